"""The job of ``lossatlas reproduce``: a study and a directory become its fits, pictures and tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import xarray as xr
import yaml

from lossatlas.data import data_options
from lossatlas.errors import BadInput, Interrupted, unknown
from lossatlas.jobs.fit import make_engine, make_fit
from lossatlas.jobs.reporter import Reporter, Silent
from lossatlas.jobs.sweep import run_sweep
from lossatlas.recipes import FitConfig, differences
from lossatlas.recipes.fit import build_fit
from lossatlas.reproduce.study import SCALES, Run, Study
from lossatlas.rundir import SUMMARY, RunDirectory, versions

__all__ = ["run_study", "stated_fits"]


def run_study(
    study: Study,
    scale: str,
    out: Path,
    *,
    folder: Path | None = None,
    device: str = "auto",
    plan: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    reporter: Reporter | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Carry out a study's fits and make its pictures and tables.

    Args:
        study: from :data:`~lossatlas.reproduce.STUDIES`.
        scale: ``small`` or ``paper``.
        out: the directory of the study; its runs are in ``out/runs``.
        folder: where data sets lie as ``folder/<name>`` in the hub's layout, instead of the hub.
        device: of every fit.
        plan: of every fit.
        resume: continue what is there; finished fits are kept.
        overwrite: replace a study that is there.
        reporter: told how things stand.
        stop: see :func:`~lossatlas.jobs.fit.run_fit`.

    Returns:
        The summaries of the fits by name; ``results.md`` and PNG files are in ``out``.

    Raises:
        BadInput: before anything is written: an unknown scale, data that cannot be had, a directory that
            is taken.
        CannotFinish: a fit could not be finished.
        Interrupted: ``stop`` said so.
    """
    reporter = reporter if reporter is not None else Silent()
    if resume and overwrite:
        raise BadInput("--resume continues a study and --overwrite replaces it; give one of the two")
    configs = stated_fits(study, scale, folder, device, plan)
    stated = {"study": study.title, "scale": scale, "fits": {key: config.flat() for key, config in configs.items()}}
    run = RunDirectory(out)
    if resume and run.exists:
        _check_same(run, stated)
    else:
        run.check_free(overwrite=overwrite)
        _check(configs)
        run.create(yaml.safe_dump(stated, sort_keys=False), {"versions": versions(), "study": study.title})
    try:
        summaries = run_sweep(configs, out / "runs", reporter=reporter, stop=stop)
    except Interrupted as error:
        raise Interrupted(f"interrupted in the study; continue with --out {out} --resume") from error
    runs = {key: Run(config, summaries[key], _survey(out / "runs" / key)) for key, config in configs.items()}
    text = f"# {study.title}\n\nScale: {scale}. {len(runs)} fits.\n\n{study.results(runs, out)}"
    run.write_bytes("results.md", text.encode())
    run.write_json(SUMMARY, summaries)
    return summaries


def stated_fits(study: Study, scale: str, folder: Path | None, device: str, plan: str) -> dict[str, FitConfig]:
    """A study's fits as they will be carried out.

    Raises:
        BadInput: an unknown scale.
    """
    if scale not in SCALES:
        raise unknown("scale", scale, SCALES)
    return {name: _placed(config, folder, device, plan) for name, config in study.fits(scale).items()}


def _check(configs: Mapping[str, FitConfig]) -> None:
    """Refuse what any of the fits would refuse, as far as one fit per data set and model can tell."""
    kinds = {(config.data, config.model, str(config.model_options)): config for config in configs.values()}
    for config in kinds.values():
        recipe = build_fit(config)
        # A stated strategy spares the measurement; what is wrong with a plan is found all the same.
        make_fit(recipe, config, make_engine(recipe, config, "loop" if config.plan == "auto" else config.plan))


def _placed(config: FitConfig, folder: Path | None, device: str, plan: str) -> FitConfig:
    options = dict(config.data_options)
    source = data_options(config.data)
    if folder is not None and source is not None and "folder" in {field.name for field in fields(source)}:  # type: ignore[arg-type]
        options["folder"] = str(folder / config.data)
    return replace(config, data_options=options, device=device, plan=plan)


def _check_same(run: RunDirectory, stated: Mapping[str, Any]) -> None:
    if not run.is_run:
        raise BadInput(f"{run.path} is no lossatlas run that could be resumed; choose another --out")
    found = differences(run.config(), yaml.safe_load(yaml.safe_dump(stated)))
    if found:
        names = ", ".join(phrase.split()[0] for phrase in found)
        raise BadInput(f"{run.path} was started with other settings ({names}); leave them out or use a new --out")


def _survey(run: Path) -> xr.Dataset:
    survey: xr.Dataset = xr.open_zarr(str(run / "survey.zarr"), consolidated=False, chunks=None).load()
    return survey
