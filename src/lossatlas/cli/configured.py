"""Verbs that compute: a configuration of many options in layers, and options of how the run is carried out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from inspect import Parameter as SignatureParameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, TypeVar

import yaml
from cyclopts import CycloptsError, Parameter

from lossatlas.bounds import Bounded
from lossatlas.cli.app import Verb, find_option, is_flag_given, make_app, make_tokens
from lossatlas.cli.layers import list_options, merge_tokens, read_yaml
from lossatlas.cli.named import add_options, find_option_types
from lossatlas.cli.panels import PANELS, Example
from lossatlas.cli.process import RUN, check_limits
from lossatlas.cli.refusals import explain_refusal
from lossatlas.cli.signals import check_interrupts, is_asked_to_stop
from lossatlas.cli.terminal import say
from lossatlas.cli.unnamed import put_names_first
from lossatlas.errors import BadInput, Interrupted
from lossatlas.recipes import Config, ProblemConfig
from lossatlas.recipes.opened_run import OpenedRun
from lossatlas.recipes.owners import find_owner
from lossatlas.registry import Registry
from lossatlas.rundir import RunDirectory
from lossatlas.specs import NetworkSpec

if TYPE_CHECKING:
    from lossatlas.jobs.estimate import Estimate
    from lossatlas.jobs.job import Job
    from lossatlas.jobs.spreading import Spreading

__all__ = ["ConfiguredVerb", "RunOptions", "format_numbers", "lend_problem", "lend_problem_of", "print_place"]

C = TypeVar("C", bound=Config)
R = TypeVar("R", bound="RunOptions")
HANDLING = ("resume", "overwrite", "checkpoint_seconds", "pictures")
"""What a job is told of how it is carried out."""


@dataclass(frozen=True, kw_only=True)
class RunOptions(Bounded):
    """How a run is carried out; nothing here changes its result. Verbs add their own, and where runs go by default."""

    out: Path = Path("runs/run")
    """Directory of the run."""
    config: Path | None = None
    """YAML file of options, which the command line overrides."""
    resume: bool = False
    """Continue the run in --out, if there is one."""
    overwrite: bool = False
    """Replace the lossatlas run in --out."""
    print_config: bool = False
    """Print the full configuration, which reproduces the run, and stop."""
    dry_run: bool = False
    """Estimate time, memory and disk space, and stop without writing anything."""

    def handling(self) -> dict[str, Any]:
        """Those of the options that a job is told."""
        return {name: getattr(self, name) for name in HANDLING if hasattr(self, name)}


class ConfiguredVerb(Verb, Generic[C, R]):
    """A verb that makes a run from a configuration.

    Layers, the lowest first: the configuration's defaults; what another run lends (:meth:`inherited`); those of the run
    that ``--resume`` continues; a preset; a file; the command line.

    Args:
        name: of the verb.
        config: the configuration's class.
        run: the class of run options.
        presets: settings by the name of a preset; None where the verb has none.
        help: what the verb does.
        examples: what its help ends with.
    """

    unnamed: ClassVar[str | None] = None
    """The option that values without a name are those of; None where all have one."""

    def __init__(
        self,
        name: str,
        config: type[C],
        run: type[R],
        presets: Registry[dict[str, Any]] | None,
        help: str,  # noqa: A002
        examples: Sequence[Example],
    ) -> None:
        self.panels = PANELS
        self.examples = examples
        self._name = name
        self._config = config
        self._run = run
        self._presets = presets
        self._help = help

    @abstractmethod
    def job(self) -> Job[C]:
        """What makes the run; imported here, because it takes long and ``--help`` does without."""

    @abstractmethod
    def tell(self, summary: Mapping[str, Any], run: R) -> None:
        """Print what the run came to."""

    def before(self, config: C, run: R) -> str:
        """A line to say before the run is made; may be empty."""
        return ""

    def carry_out(self, config: C, run: R) -> None:
        """Make the run, or say what it would cost."""
        job = self.job()
        check_interrupts()
        check_limits(RUN)
        if run.dry_run:
            _print_estimate(job.estimate(config), run.handling().get("spreading"))
            return
        from lossatlas.progress.terminal import RichReporter

        place = RunDirectory(run.out)
        own = run.resume or not place.exists
        try:
            with RichReporter() as reporter:
                if line := self.before(config, run):
                    reporter.say(line)
                summary = job(config, run.out, reporter=reporter, stop=is_asked_to_stop, **run.handling())
        except KeyboardInterrupt as error:
            if own and place.is_run:
                raise Interrupted(f"interrupted; continue with --out {run.out} --resume") from error
            raise
        self.tell(summary, run)

    def layered(self, tokens: list[str]) -> list[str]:
        """The tokens with those of the stored run, the preset and the configuration file put before them."""
        if self.unnamed is not None:
            nested = find_option_types(tokens, self._config)
            tokens = put_names_first(tokens, self.unnamed, self._config, self._run, nested=nested)
        layers: list[Mapping[str, list[str]]] = []
        out = Path(find_option(tokens, "out") or self._run().out)
        preset, config = find_option(tokens, "preset"), find_option(tokens, "config")
        options = self._checked_yaml(Path(config)) if config else {}  # an empty path is refused with all others
        if is_flag_given(tokens, "resume") and (run := RunDirectory(out)).is_run:
            # What a finished run was made of need not be there any more, unless it is to grow, which is seen later.
            needed = () if run.finished else None
            layers.append(make_tokens(OpenedRun(out).find_settings(needed, {*list_options(tokens), *options})))
        if preset is not None and self._presets is not None:
            layers.append(make_tokens(self._presets[preset]))
        layers.append(make_tokens(options))
        given = merge_tokens(layers, tokens)
        return merge_tokens([make_tokens(self.inherited(given))], given)

    def settled(self) -> Mapping[str, Any]:
        return self._config().flat()

    def inherited(self, tokens: list[str]) -> dict[str, Any]:
        """Settings that another run, which the tokens of all other layers name, lends to this one."""
        return {}

    def function(self, tokens: list[str]) -> Callable[..., int | None]:
        types = find_option_types(tokens, self._config)

        def verb(*, config: Any = None, run: Any = None, **options: Any) -> int | None:
            config = config if config is not None else self._config()
            run = run if run is not None else self._run()
            given = {name: options.get(f"{name}_options", kind()) for name, kind in types.items()}
            config = add_options(config, given)
            if run.print_config:
                say(yaml.safe_dump(config.flat(), sort_keys=False).removesuffix("\n"), keep="\n")
                return None
            if run.resume and run.overwrite:
                raise BadInput("--resume continues a run and --overwrite replaces it; give one of the two")
            self.carry_out(config, run)
            return None

        verb.__name__ = self._name
        verb.__doc__ = self._help + _how_to_see_options(list(types))
        # Set here because the types of these options are known only now.
        named = {
            f"{name}_options": (Annotated[kind, Parameter(name=f"--{name}")], kind()) for name, kind in types.items()
        }
        parameters = {
            "config": (Annotated[self._config, Parameter(name="*")], self._config()),
            **named,
            "run": (Annotated[self._run, Parameter(name="*")], self._run()),
        }
        verb.__annotations__ = {**{name: kind for name, (kind, _) in parameters.items()}, "return": int | None}
        verb.__signature__ = Signature(  # type: ignore[attr-defined]
            [
                SignatureParameter(name, SignatureParameter.KEYWORD_ONLY, default=default, annotation=kind)
                for name, (kind, default) in parameters.items()
            ]
        )
        return verb

    def _checked_yaml(self, path: Path) -> dict[str, Any]:
        """The options in a file, parsed once by themselves so that an error names the file."""
        options = read_yaml(path)
        if misplaced := sorted({f.name for f in fields(self._run)} & set(options)):
            raise BadInput(
                f"config {path}: {misplaced[0]} is an option of the command line alone; leave it out of the file"
            )
        tokens = [self._name, *(token for group in make_tokens(options).values() for token in group)]
        try:
            make_app(tokens).parse_args(tokens, exit_on_error=False, print_error=False)
        except CycloptsError as error:
            raise BadInput(f"config {path}: {explain_refusal(error)}") from error
        except BadInput as error:
            raise BadInput(f"config {path}: {error}") from error
        return options


def lend_problem(path: Path, tokens: list[str], without: Collection[str] = ()) -> dict[str, Any]:
    """The problem of the run at a path, as far as the tokens state none; nothing where the run does not exist.

    Args:
        path: a run directory.
        tokens: options of a thing go with the thing: where they name another one, those of the run mean nothing.
        without: fields that are not lent.
    """
    run = RunDirectory(path)
    if not run.is_run:
        return {}
    problem = {field.name for field in fields(ProblemConfig)} - set(without)
    given = list_options(tokens)
    problem -= {name for name in ProblemConfig.named() if name in given}
    needed = {f"{name}.folder" for name in problem} | problem
    settings = OpenedRun(path).find_settings(needed, given)
    return {name: value for name, value in settings.items() if name.partition(".")[0] in problem}


def lend_problem_of(network: str, tokens: list[str]) -> dict[str, Any]:
    """The problem of the run that a network belongs to, but for the device, as :func:`lend_problem`.

    Args:
        network: the network: a run, a snapshot of one, or its file of weights.
        tokens: options that state the problem themselves.
    """
    return lend_problem(find_owner(NetworkSpec.parse(network)), tokens, without=("device",))


def _print_estimate(estimate: Estimate, spreading: Spreading | None) -> None:
    """What a dry run found, by the workers that are asked for.

    Raises:
        BadInput: there are more of them than pieces of work.
    """
    forecast, most = estimate.forecast, estimate.chunk_bytes / 2**20
    if spreading is not None and spreading.workers is not None and estimate.pieces is not None:
        spreading.check_pieces(estimate.pieces)
        forecast = forecast.share(estimate.pieces.phase, spreading.workers)
    chunk = f" for a few points; a full chunk takes up to {most:,.0f} MiB more (see --memory)" if most else ""
    rows = {
        **estimate.work,
        "time": f"about {forecast.seconds:.0f} s (within a factor of {forecast.factor:.1f}): {forecast.parts}",
        "memory": f"about {estimate.peak_bytes / 2**20:.0f} MiB at the peak{chunk}",
        "disk": f"about {estimate.disk_bytes / 2**20:.0f} MiB",
    }
    width = max(7, *map(len, rows))
    for name, text in rows.items():
        say(f"{name:<{width}} {text}")


def format_numbers(found: object, names: Iterable[str], digits: int = 4) -> str:
    """``loss 0.31, accuracy 0.9``: the numbers among entries of a summary, which may be anybody's."""
    entries = found if isinstance(found, Mapping) else {}
    numbers = {name: entries[name] for name in names if isinstance(entries.get(name), int | float)}
    return ", ".join(f"{name} {number:.{digits}g}" for name, number in numbers.items())


def print_place(run: RunOptions, pictures: bool) -> None:
    """Where the result is to be looked at."""
    say(f"report: {run.out / 'report.html'}" if pictures else f"summary: {run.out / 'summary.json'}")


def _how_to_see_options(names: list[str]) -> str:
    """What help says of options that belong to named things; nothing where there are none."""
    if not names:
        return ""
    return (
        "\n\nSome values have options of their own, such as --model.depth: to see them, give "
        f"{_listed(names)} together with --help."
    )


def _listed(names: list[str]) -> str:
    """``--data, --model or --pattern``."""
    flags = [f"--{name}" for name in names]
    return f"{', '.join(flags[:-1])} or {flags[-1]}"
