"""``lossatlas reproduce``."""

from __future__ import annotations

from pathlib import Path

from lossatlas.cli.app import PlainVerb
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
    resume: bool = False,
    overwrite: bool = False,
    print_config: bool = False,
) -> int | None:
    """Make a published figure anew: its runs, pictures and tables, beside the published values.

    Args:
        study: which (see `lossatlas info`), such as mpo-fig4.
        scale: small (minutes on two cores) or paper (as published, for a GPU).
        out: the directory; default runs/STUDY.
        folder: where data sets lie as FOLDER/fashion_mnist and FOLDER/cifar10 in the hub's layout.
        device: auto, cpu, cuda, ...
        plan: engine plan of every run: auto, a strategy's name, or a plan file.
        resume: continue the study in --out; finished runs are kept.
        overwrite: replace the study in --out.
        print_config: print the settings of every run and stop.
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
            reporter=reporter, stop=is_asked_to_stop,
        )  # fmt: skip
    say(read_text(place / "results.md"), keep="\n")
    say(f"written to {place / 'results.md'}")
    return None


REPRODUCE = PlainVerb(reproduce)
