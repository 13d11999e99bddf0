"""``lossatlas fit``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from inspect import Parameter as SignatureParameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import yaml
from cyclopts import Parameter

from lossatlas.cli.app import Verb, make_app, option_given, tokens_of
from lossatlas.cli.layers import merged_tokens, read_yaml
from lossatlas.cli.named import NAMED, option_types, with_options
from lossatlas.cli.signals import stop_signals
from lossatlas.errors import BadInput
from lossatlas.recipes import PRESETS, FitConfig
from lossatlas.rundir import RunDirectory

if TYPE_CHECKING:
    from lossatlas.jobs.estimate import Estimate

__all__ = ["FIT"]

OUT = "runs/demo"


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a run is carried out; nothing here changes its result."""

    out: Path = Path(OUT)
    """The run directory."""
    config: Path | None = None
    """A YAML file of options; the command line overrides it."""
    preset: str = "fast"
    """Settings to begin with (see `lossatlas info`); files and the command line override them."""
    resume: bool = False
    """Continue the run in --out with its own settings; start it where there is none."""
    overwrite: bool = False
    """Replace the lossatlas run in --out."""
    print_config: bool = False
    """Print the full configuration, which reproduces the run, and stop."""
    dry_run: bool = False
    """Say what the run would cost, and stop; writes nothing."""
    checkpoint_seconds: float = 10.0
    """Seconds between checkpoints."""
    pictures: bool = True
    """Draw the survey and write the report; `lossatlas view` draws a run that has none."""


class _Fit(Verb):
    def layered(self, tokens: list[str]) -> list[str]:
        return _layered(tokens)

    def function(self, tokens: list[str]) -> Callable[..., int | None]:
        types = option_types(tokens)

        def fit(*, config: Any = FitConfig(), run: Any = RunOptions(), **options: Any) -> int | None:  # noqa: B008
            named = {name: options.get(f"{name}_options", types[name]()) for name in NAMED}
            return _fit(with_options(config, named), run)

        fit.__doc__ = (
            "Fit a picture into a loss landscape, survey it and draw it. Without options: the demo, into runs/demo.\n\n"
            "Name a model, a data set or a picture together with --help to see its options: --model.OPTION and so on."
        )
        # Set here because the types of these options are known only now.
        named = {
            f"{name}_options": (Annotated[kind, Parameter(name=f"--{name}")], kind()) for name, kind in types.items()
        }
        parameters = {
            "config": (Annotated[FitConfig, Parameter(name="*")], FitConfig()),
            **named,
            "run": (Annotated[RunOptions, Parameter(name="*")], RunOptions()),
        }
        fit.__annotations__ = {**{name: kind for name, (kind, _) in parameters.items()}, "return": int | None}
        fit.__signature__ = Signature(  # type: ignore[attr-defined]
            [
                SignatureParameter(name, SignatureParameter.KEYWORD_ONLY, default=default, annotation=kind)
                for name, (kind, default) in parameters.items()
            ]
        )
        return fit


FIT = _Fit()


def _layered(tokens: list[str]) -> list[str]:
    """The tokens with those of the stored run, the preset and the configuration file put before them."""
    layers: list[Mapping[str, list[str]]] = []
    out = Path(option_given(tokens, "out") or OUT)
    preset, config = option_given(tokens, "preset"), option_given(tokens, "config")
    if "--resume" in tokens and (run := RunDirectory(out)).is_run:
        layers.append(tokens_of(run.config()))
    if preset is not None:
        layers.append(tokens_of(PRESETS[preset]))
    if config is not None:
        layers.append(tokens_of(_checked_yaml(Path(config))))
    return merged_tokens(layers, tokens)


def _checked_yaml(path: Path) -> dict[str, Any]:
    """The options in a file, parsed once by themselves so that an error names the file."""
    from cyclopts import CycloptsError

    options = read_yaml(path)
    if misplaced := sorted({f.name for f in fields(RunOptions)} & set(options)):
        raise BadInput(
            f"config {path}: {misplaced[0]} is an option of the command line alone; leave it out of the file"
        )
    tokens = [token for group in tokens_of(options).values() for token in group]
    try:
        make_app(["fit", *tokens]).parse_args(["fit", *tokens], exit_on_error=False, print_error=False)
    except (CycloptsError, BadInput) as error:
        raise BadInput(f"config {path}: {error}") from error
    return options


def _fit(config: FitConfig, run: RunOptions) -> int | None:
    if run.print_config:
        print(yaml.safe_dump(config.flat(), sort_keys=False), end="")
        return None
    if run.resume and run.overwrite:
        raise BadInput("--resume continues a run and --overwrite replaces it; give one of the two")
    from lossatlas.jobs.estimate import estimate_fit
    from lossatlas.jobs.fit import run_fit

    if run.dry_run:
        _print_estimate(estimate_fit(config))
        return None
    from lossatlas.cli.progress import RichReporter

    with RichReporter() as reporter, stop_signals() as stop:
        if run.preset != "fast":
            reporter.say(f"preset {run.preset}: " + ", ".join(f"{k}={getattr(config, k)}" for k in PRESETS[run.preset]))
        summary = run_fit(
            config,
            run.out,
            resume=run.resume,
            overwrite=run.overwrite,
            checkpoint_seconds=run.checkpoint_seconds,
            pictures=run.pictures,
            reporter=reporter,
            stop=stop,
        )
    _print_summary(summary, run.out, run.pictures)
    return None


def _print_estimate(estimate: Estimate) -> None:
    print(f"fit     {estimate.points_per_step} points x {estimate.examples_per_step} examples a step")
    print(f"survey  {estimate.survey_points:,} points x {estimate.survey_examples:,} examples")
    print(f"time    about {estimate.seconds:.0f} s")
    print(f"memory  about {estimate.peak_bytes / 2**20:.0f} MiB at its peak")
    print(f"disk    about {estimate.disk_bytes / 2**20:.0f} MiB")


def _print_summary(summary: Mapping[str, Any], out: Path, pictures: bool) -> None:
    shown = (
        "gap",
        "iou",
        "low_accuracy",
        "high_accuracy",
        "log_loss_correlation",
        "log_loss_rmse",
        "log_loss_gap",
        "steps",
        "seconds",
    )
    numbers = [f"{name} {summary[name]:.4g}" for name in shown if isinstance(summary.get(name), int | float)]
    print(", ".join(numbers))
    print(f"report: {out / 'report.html'}" if pictures else f"summary: {out / 'summary.json'}")
