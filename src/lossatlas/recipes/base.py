"""What configurations have in common: how they are spelt on the command line and in YAML, and the problem.

One rule for what settings say beside values of their own:

- None, an option that is left out: nothing was said. There is no such thing (``checkpoint``), or the default follows
  from the verb and the other settings (``lr``).
- ``auto``, which can be said: lossatlas decides, by measuring or from the verb, the data, the network and the chart.
- ``none``, which can be said: without.
- An empty list, where there may be none of what it lists: there are none (``augment``).
"""

# Annotations are evaluated here, not where a subclass is defined: the command line reads them.

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, Final, Self, TypeVar

from cyclopts import Parameter

from lossatlas.bounds import Bounded, Seed, check_types
from lossatlas.errors import BadInput, LossatlasError
from lossatlas.files.reading import converted

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
"""What a setting says that leaves it to lossatlas."""
OPTIONS = "_options"
"""How the fields end that hold the options of a named thing."""

Options = Annotated[Mapping[str, Any], Parameter(parse=False)]
"""The options of a named thing, by name; on the command line ``--thing.option``."""


class NotSettings(BadInput):
    """Settings of which a configuration does not have one, or has it with another type."""


@dataclass(frozen=True, kw_only=True)
class Config(Bounded):
    """Everything that a run depends on; the base of every verb's configuration."""

    verb: ClassVar[str]
    """That makes the run."""
    usual: ClassVar[Mapping[str, Any]] = {}
    """What this verb makes of settings that several verbs share where they have their common default."""

    device: str = AUTO
    """Device to compute on: auto, cpu, cuda, or cuda:N for one of several GPUs."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_device(self.device)
        for each in fields(self):
            if getattr(self, each.name) == "":
                raise BadInput(f"{each.name} is empty; name something, or leave it out")
        self._settle(**{name: self.meant(name, getattr(self, name)) for name in self.usual})

    @classmethod
    def meant(cls, name: str, said: Any) -> Any:
        """What a value of a setting comes to with this verb, which settles the common default by itself."""
        return cls.usual.get(name, said) if said == getattr(cls, name) else said

    def _settle(self, **values: Any) -> None:
        """Decide what was left open; only while the configuration is made."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def named(cls) -> tuple[str, ...]:
        """The fields that name something with options of its own, which ``<name>_options`` holds."""
        return tuple(f.name.removesuffix(OPTIONS) for f in fields(cls) if f.name.endswith(OPTIONS))

    def settled(self, stored: Mapping[str, Any]) -> Self:
        """This configuration with what it leaves to a run decided as the run with another flat configuration has it."""
        return self

    def grown_from(self, stored: Mapping[str, Any]) -> Self | None:
        """What a run with another flat configuration becomes when this is added to it; None where that cannot be."""
        return None

    def flat(self) -> dict[str, Any]:
        """The configuration as the command line and YAML spell it: ``model.depth`` is an option of the model."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if not f.name.endswith(OPTIONS)}
        for name in (f.name for f in fields(self) if f.name.endswith(OPTIONS)):
            plain |= {f"{name.removesuffix(OPTIONS)}.{key}": value for key, value in getattr(self, name).items()}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}

    @classmethod
    def from_flat(cls, flat: Mapping[str, Any]) -> Self:
        """The configuration that :meth:`flat` spells; what it leaves out has its default.

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
            return converted(named, cls, exact=True)
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
    """Where two flat configurations differ, one phrase each."""
    return [
        f"{name} was {stored.get(name)!r} and is {wanted.get(name)!r}"
        for name in sorted({*stored, *wanted})
        if stored.get(name) != wanted.get(name)
    ]


def require(value: T | None) -> T:
    """The value of a setting that may be left open, and that its configuration has settled."""
    assert value is not None
    return value


def spell_list(values: Sequence[Any]) -> str:
    """A list as the command line takes it.

    >>> spell_list((5, 7)), spell_list(())
    ('5 7', 'none')
    """
    return " ".join(map(str, values)) or "none"


def check_device(name: str) -> None:
    """Refuse what networks are not evaluated on; whether a machine has it is found when a run begins.

    Raises:
        BadInput: it is not ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", name):
        raise BadInput(f"device is {name!r}; expected auto, cpu, cuda, or cuda:N for one of several")


def check_count(name: str, text: str, *words: str) -> None:
    """Refuse what is neither a positive whole number nor one of some words.

    Args:
        name: of the option.
        text: its value.
        words: what else it may be.

    Raises:
        BadInput: it is something else.
    """
    if text not in words and not (re.fullmatch("[0-9]{1,18}", text) and int(text)):
        raise BadInput(f"{name} is {text!r}; expected {', '.join(['a positive number', *words[:-1]])} or {words[-1]}")


def check_named_once(name: str, values: Sequence[str], done: str, choices: str) -> None:
    """Refuse an option that names nothing, or something twice, which would change nothing.

    Args:
        name: of the option, a plural.
        values: what it names.
        done: what is done with it, such as ``surveyed``.
        choices: what it may name, in words.

    Raises:
        BadInput: it does.
    """
    if not values:
        raise BadInput(f"no {name} are {done}; expected {choices}")
    twice = [value for value in values if values.count(value) > 1]
    if twice:
        raise BadInput(f"{name} names {twice[0]!r} twice; name each once")
