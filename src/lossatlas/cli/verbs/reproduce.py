"""``lossatlas reproduce``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from lossatlas.bounds import Count
from lossatlas.cli.app import PlainVerb
from lossatlas.cli.panels import Example, Panel
from lossatlas.cli.signals import is_asked_to_stop
from lossatlas.cli.terminal import say
from lossatlas.files.reading import read_text

__all__ = ["REPRODUCE"]


def reproduce(
    study: str,
    /,
    *,
    scale: str = "small",
    out: Path | None = None,
    folder: Path | None = None,
    device: str = "auto",
    plan: str = "auto",
    executor: str = "none",
    workers: Count | None = None,
    ray_address: str | None = None,
    claims: Literal["auto", "locks", "leases"] = "auto",
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
        executor: Where the workers are that carry out runs side by side: none (this process carries out one after the
            other), local (processes on this machine), or ray (a Ray cluster). With --workers the default is local.
        workers: Number of workers; with --executor one per GPU, or else per core.
        ray_address: Address of the Ray cluster, as HOST:PORT; by default one is started on this machine.
        claims: How processes keep out of each other's way: by locks of the system; by leases, files that expire when
            their writer shows no sign of life for two minutes; or auto, by what the file system allows.
        resume: Continue the study in --out; finished runs are kept.
        overwrite: Replace the study in --out.
        print_config: Print the settings of every run, and stop.
    """
    from lossatlas.jobs.spreading import Spreading
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
            reporter=reporter, stop=is_asked_to_stop, spreading=Spreading(executor, workers, ray_address, claims),
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
