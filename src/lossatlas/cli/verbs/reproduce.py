"""``lossatlas reproduce``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from lossatlas.cli.app import PlainVerb
from lossatlas.cli.panels import Example, Panel
from lossatlas.cli.signals import is_asked_to_stop
from lossatlas.cli.spread_options import SpreadOptions
from lossatlas.cli.terminal import say
from lossatlas.files.reading import read_text

__all__ = ["REPRODUCE"]

ALONE = SpreadOptions()
"""The options where none is given."""


def reproduce(
    study: str,
    /,
    *,
    scale: str = "small",
    out: Path | None = None,
    folder: Path | None = None,
    device: str = "auto",
    plan: str = "auto",
    spread: Annotated[SpreadOptions, Parameter(name="*")] = ALONE,
    resume: bool = False,
    overwrite: bool = False,
    print_config: bool = False,
) -> int | None:
    """Reproduce a published figure: its runs, pictures and tables, beside the published values.

    Args:
        study: Figure to reproduce (see `lossatlas info`), such as mpo-fig4.
        scale: Scale of the study: small (minutes on two cores) or paper (as published, for a GPU).
        out: Directory of the study; by default runs/STUDY.
        folder: Folder that holds data sets in the layout of the Hugging Face hub, as FOLDER/fashion_mnist and
            FOLDER/cifar10.
        device: Device to compute on: auto, cpu, cuda, or cuda:N for one of several GPUs.
        plan: Engine plan of every run: auto, which measures what is fastest, a strategy (see `lossatlas info`), or a
            plan file.
        spread: Workers that carry out the runs.
        resume: Continue the study in --out; finished runs are kept.
        overwrite: Replace the study in --out.
        print_config: Print the settings of every run, and stop.
    """
    from lossatlas.progress.terminal import RichReporter
    from lossatlas.reproduce import STUDIES
    from lossatlas.reproduce.run import run_study, state_runs

    chosen = STUDIES[study]
    if print_config:
        import yaml

        runs = state_runs(chosen, scale, folder, device, plan)
        stated = {name: config.flat() for name, config in runs.items()}
        say(yaml.safe_dump(stated, sort_keys=False).removesuffix("\n"), keep="\n")
        return None
    place = out if out is not None else Path("runs") / study
    with RichReporter() as reporter:
        run_study(
            chosen, scale, place, folder=folder, device=device, plan=plan, resume=resume, overwrite=overwrite,
            reporter=reporter, stop=is_asked_to_stop, spreading=spread.spreading,
        )  # fmt: skip
    say(read_text(place / "results.md"), keep="\n")
    say(f"written to {place / 'results.md'}")
    return None


REPRODUCE = PlainVerb(
    reproduce,
    panels=(
        Panel(title="Study", common=("study",)),
        Panel(
            title="How it runs",
            common=("scale", "folder", "device", "plan", "workers", "resume", "print_config"),
            rare=("executor", "ray_address", "claims"),
        ),
        Panel(title="Output", common=("out", "overwrite")),
    ),
    examples=(
        Example("A small version of a figure, in minutes", "lossatlas reproduce mpo-fig4"),
        Example(
            "The figure as published, on a GPU, from data sets in a folder",
            "lossatlas reproduce mpo-fig4 --scale paper --folder data --device cuda",
        ),
        Example("What its runs would be, as YAML", "lossatlas reproduce mpo-fig4 --print_config"),
    ),
)
