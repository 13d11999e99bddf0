"""The base of all configurations: how they are written on the command line and in YAML, and the problem.

The values that settings have beside their own follow one rule:

- None, the value of an option that is left out: the thing does not exist (``checkpoint``), or the default follows from
  the verb and the other settings (``lr``).
- ``auto``: lossatlas decides, by measuring or from the verb, the data, the network and the chart.
- ``none``: the thing is left out.
- An empty list, where the list may be empty (``augment``).
"""

# Annotations are evaluated here, not where a subclass is defined: the command line reads them.

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, Final, Self, TypeVar

from cyclopts import Parameter

from lossatlas.bounds import Bounded, CountOrZero, Seed, check_types
from lossatlas.errors import BadInput, LossatlasError
from lossatlas.files.reading import convert

__all__ = [
    "AUTO",
    "Config",
    "NotSettings",
    "Options",
    "ProblemConfig",
    "check_count",
    "check_device",
    "check_named_once",
    "list_differences",
    "require",
    "spell_list",
]

T = TypeVar("T")

AUTO: Final = "auto"
"""The value of a setting that lossatlas decides."""
OPTIONS = "_options"
"""The suffix of fields that hold the options of a named thing."""

Options = Annotated[Mapping[str, Any], Parameter(parse=False)]
"""The options of a named thing, by name; ``--thing.option`` on the command line."""


class NotSettings(BadInput):
    """Settings of which a configuration does not have one, or has it with another type."""


@dataclass(frozen=True, kw_only=True)
class Config(Bounded):
    """Everything that a run depends on; the base class of the configurations of all verbs."""

    verb: ClassVar[str]
    """The verb that carries out the run."""
    usual: ClassVar[Mapping[str, Any]] = {}
    """The defaults of this verb for settings that several verbs share."""

    device: str = AUTO
    """Device to compute on: auto, cpu, cuda, or cuda:N for one of several GPUs."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_device(self.device)
        for each in fields(self):
            if getattr(self, each.name) == "":
                raise BadInput(f"{each.name} is empty; give a value, or leave it out")
        self._settle(**{name: self.meant(name, getattr(self, name)) for name in self.usual})

    @classmethod
    def meant(cls, name: str, said: Any) -> Any:
        """Return the effective value of a setting with this verb, which replaces the common default by its own."""
        return cls.usual.get(name, said) if said == getattr(cls, name) else said

    def _settle(self, **values: Any) -> None:
        """Set fields that were left open, during the construction of the configuration."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def named(cls) -> tuple[str, ...]:
        """Return the fields that name something with options, which ``<name>_options`` holds."""
        return tuple(f.name.removesuffix(OPTIONS) for f in fields(cls) if f.name.endswith(OPTIONS))

    @classmethod
    def complete_record(cls, flat: Mapping[str, Any]) -> dict[str, Any]:
        """Complete the flat configuration of a run that is older than a setting with what the run did without it.

        Only where that is not the default; other settings that are missing have theirs.
        """
        return dict(flat)

    def settled(self, stored: Mapping[str, Any]) -> Self:
        """Return this configuration with the settings that a run decides itself taken from the flat configuration of
        one.
        """
        return self

    def grown_from(self, stored: Mapping[str, Any]) -> Self | None:
        """Return the configuration of a stored run that grows by this one; None if it cannot grow to it."""
        return None

    def flat(self) -> dict[str, Any]:
        """Return the configuration as on the command line and in YAML: ``model.depth`` is an option of the model."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if not f.name.endswith(OPTIONS)}
        for name in (f.name for f in fields(self) if f.name.endswith(OPTIONS)):
            plain |= {f"{name.removesuffix(OPTIONS)}.{key}": value for key, value in getattr(self, name).items()}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}

    @classmethod
    def from_flat(cls, flat: Mapping[str, Any]) -> Self:
        """Make the configuration from the form that :meth:`flat` returns; missing settings have their defaults.

        Raises:
            NotSettings: an option is unknown or of another type.
            BadInput: the configuration refuses it.
        """
        named: dict[str, Any] = {}
        known = [f.name for f in fields(cls) if not f.name.endswith(OPTIONS)]
        for key, value in flat.items():
            thing, dot, option = key.partition(".")
            if dot and thing + OPTIONS in {f.name for f in fields(cls)}:
                value = tuple(value) if isinstance(value, list) else value
                named.setdefault(thing + OPTIONS, {})[option] = value
            elif key not in known:
                near = get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"see lossatlas {cls.verb} --help_all"
                raise NotSettings(f"{key!r} is not a setting of lossatlas {cls.verb}; {hint}")
            else:
                named[key] = value
        try:
            check_types(cls, named)
        except BadInput as error:
            raise NotSettings(str(error)) from error
        try:
            return convert(named, cls, exact=True)
        except LossatlasError:
            raise
        except ValueError as error:
            raise NotSettings(f"these are not the settings of lossatlas {cls.verb}: {error}") from error


@dataclass(frozen=True, kw_only=True)
class ProblemConfig(Config):
    """Which network, on which data, under which loss; the base of the configurations that say so themselves."""

    data: str = "digits"
    """Data set: a name (see `lossatlas info`), hub:OWNER/NAME, a folder in the layout of the Hugging Face hub, or
    module:callable."""
    data_options: Options = field(default_factory=dict)
    """Options of the data set; on the command line --data.OPTION."""
    holdout: CountOrZero = 0
    """Number of training examples that are held out of all training and fitting, a fixed random subset; --splits
    holdout evaluates on them, such as for the choice of a setting."""
    model: str = "mlp"
    """Model: a name (see `lossatlas info`), with options as --model.OPTION, or module:callable."""
    model_options: Options = field(default_factory=dict)
    """Options of the named model; on the command line --model.OPTION."""
    loss: str = "auto"
    """Loss: a name (see `lossatlas info`), with options as --loss.OPTION, module:callable, or auto, which follows from
    the targets."""
    loss_options: Options = field(default_factory=dict)
    """Options of the named loss; on the command line --loss.OPTION."""
    output: str | None = None
    """Part of the model's output that the loss is computed from: a key or an index, such as out or 0. By default its
    logits, its only tensor, or the first tensor of a tuple."""
    parameters: tuple[str, ...] = ("*",)
    """Patterns of the names of the parameters that vary; the other parameters are held fixed."""
    seed: Seed = 0
    """Seed of initialisation, batches, augmentation and random subsets of examples."""


def list_differences(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """List the differences between two flat configurations, one phrase each."""
    return [
        f"{name} was {stored.get(name)!r} and is {wanted.get(name)!r}"
        for name in sorted({*stored, *wanted})
        if stored.get(name) != wanted.get(name)
    ]


def require(value: T | None) -> T:
    """Return the value of a setting that may be left open in general and is set here."""
    assert value is not None
    return value


def spell_list(values: Sequence[Any]) -> str:
    """A list as the command line takes it.

    >>> spell_list((5, 7)), spell_list(())
    ('5 7', 'none')
    """
    return " ".join(map(str, values)) or "none"


def check_device(name: str) -> None:
    """Refuse the name of an unsupported device; whether the machine has it is checked when a run starts.

    Raises:
        BadInput: the name is not ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", name):
        raise BadInput(f"device is {name!r}; expected auto, cpu, cuda, or cuda:N for one of several")


def check_count(name: str, text: str, *words: str) -> None:
    """Refuse a text that is neither a positive whole number nor one of some words.

    Args:
        name: the name of the option.
        text: its value.
        words: the words that are allowed, too.

    Raises:
        BadInput: the text is something else.
    """
    if text not in words and not (re.fullmatch("[0-9]{1,18}", text) and int(text)):
        raise BadInput(f"{name} is {text!r}; expected {', '.join(['a positive number', *words[:-1]])} or {words[-1]}")


def check_named_once(name: str, values: Sequence[str], done: str, choices: str) -> None:
    """Refuse an option whose list is empty or names something twice.

    Args:
        name: the name of the option, a plural.
        values: the list.
        done: a participle for the message, such as ``surveyed``.
        choices: the possible values, in words.

    Raises:
        BadInput: the list is empty or has a duplicate.
    """
    if not values:
        raise BadInput(f"no {name} are {done}; expected {choices}")
    twice = [value for value in values if values.count(value) > 1]
    if twice:
        raise BadInput(f"{name} names {twice[0]!r} twice; name each once")
