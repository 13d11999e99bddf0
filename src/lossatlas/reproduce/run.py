"""The job of ``lossatlas reproduce``: a study and a directory become its runs, pictures and tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import yaml

from lossatlas.data import find_data_options
from lossatlas.engine.planning import check_plan
from lossatlas.errors import BadInput, Interrupted, make_unknown_error
from lossatlas.files.reading import resolve_path
from lossatlas.jobs.attending import Attendance
from lossatlas.jobs.estimate import Pieces
from lossatlas.jobs.job import CHECKPOINT_SECONDS, Handling
from lossatlas.jobs.spreading import NOWHERE, Spreading
from lossatlas.jobs.sweep import run_sweep
from lossatlas.pools import Pool
from lossatlas.progress import Reporter, Silent
from lossatlas.provenance import list_versions
from lossatlas.recipes import Config, FitConfig, ProblemConfig, TrainConfig, list_differences
from lossatlas.recipes.fit import build_fit
from lossatlas.recipes.inputs import NETWORKS, change_paths
from lossatlas.recipes.opened_run import OpenedRun
from lossatlas.recipes.problem import find_device
from lossatlas.recipes.train import build_train
from lossatlas.reproduce.study import SCALES, Run, Study
from lossatlas.rundir import SUMMARY, RunDirectory

__all__ = ["run_study", "state_runs"]

RUNS = "runs"


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
    spreading: Spreading = NOWHERE,
) -> dict[str, Any]:
    """Carry out a study's runs and make its pictures and tables.

    Args:
        study: a study of :data:`~lossatlas.reproduce.STUDIES`.
        scale: ``small`` or ``paper``.
        out: the directory of the study; its runs are in ``out/runs``.
        folder: a folder with data sets as ``folder/<name>`` in the layout of the hub, in place of the hub.
        device: the device of every run.
        plan: the plan of every run that has one.
        resume: resume a study that is there; finished runs are kept.
        overwrite: replace a study that is there.
        reporter: the reporter of the progress.
        stop: a function that is called after every step and tile; True stops the study.
        spreading: over which workers the runs are spread.

    Returns:
        The summaries of the runs by name; ``results.md`` and PNG files are in ``out``.

    Raises:
        BadInput: before anything is written: an unknown scale, data that cannot be had, a directory that
            is taken, or that another process writes.
        CannotFinish: a run could not be finished.
        Interrupted: ``stop`` said so.
    """
    reporter = reporter if reporter is not None else Silent()
    if resume and overwrite:
        raise BadInput(
            "--resume and --overwrite are both given, of which one continues and one replaces a study; give one of the "
            "two"
        )
    configs = state_runs(study, scale, folder, device, plan)
    stated = {"study": study.title, "scale": scale, "runs": {key: config.flat() for key, config in configs.items()}}
    run, pieces = RunDirectory(out, spreading.claims), Pieces("study", len(configs), "runs")
    run.recover()
    if not (resume and run.exists):
        run.check_free(overwrite=overwrite)
        spreading.check_pieces(pieces)
        _check(configs)
    with (
        spreading.limit(pieces, find_device(device)).open_pool(out, find_device(device)) as pool,
        closing(_begun(run, study, configs, stated, resume=resume, overwrite=overwrite)),
        Attendance(out, "" if spreading.is_alone else spreading.executor, reporter) as attendance,
    ):
        how = Handling(out / RUNS, CHECKPOINT_SECONDS, False, reporter, stop, spreading, attendance)
        return _carried_out(run, study, scale, configs, how, pool)


def _begun(
    run: RunDirectory, study: Study, configs: Mapping[str, Config], stated: Mapping[str, Any], *, resume: bool,
    overwrite: bool,
) -> RunDirectory:  # fmt: skip
    """Open and lock the directory of a study that is started or resumed."""
    if resume and run.exists:
        _check_same(OpenedRun(run.path, "it cannot be resumed; choose another --out"), stated)
        run.claim()
    else:
        provenance = {"versions": list_versions(), "study": study.title}
        run.begin(yaml.safe_dump(stated, sort_keys=False), provenance, replace=overwrite)
    return run


def _carried_out(
    run: RunDirectory, study: Study, scale: str, configs: Mapping[str, Config], how: Handling, pool: Pool | None
) -> dict[str, Any]:
    """Carry out a study's runs and write its pictures and tables; returns the summaries."""
    out = run.path
    try:
        linked = {key: _linked(config, configs, out / RUNS) for key, config in configs.items()}
        summaries = run_sweep(linked, how, pool)
    except Interrupted as error:
        raise Interrupted(f"interrupted in the study; continue with --out {out} --resume") from error
    runs = {key: Run(config, summaries[key], out / RUNS / key) for key, config in configs.items()}
    text = f"# {study.title}\n\nScale: {scale}. {len(runs)} runs.\n\n{study.results(runs, out)}"
    run.write_bytes("results.md", text.encode())
    run.write_json(SUMMARY, summaries)
    return summaries


def state_runs(study: Study, scale: str, folder: Path | None, device: str, plan: str) -> dict[str, Config]:
    """Return a study's runs as they will be carried out.

    Raises:
        BadInput: the scale is unknown.
    """
    if scale not in SCALES:
        raise make_unknown_error("scale", scale, SCALES)
    return {name: _placed(config, folder, device, plan) for name, config in study.runs(scale).items()}


def _check(configs: Mapping[str, Config]) -> None:
    """Refuse what any of the runs would refuse, as far as one per verb, data set and model can tell.

    A survey of what the study itself will train cannot be asked yet.
    """
    for spec in {str(getattr(config, "plan", "auto")) for config in configs.values()}:
        check_plan(spec)
    problems = [config for config in configs.values() if isinstance(config, ProblemConfig)]
    kinds = {(type(c), c.data, c.model, str(c.model_options)): c for c in problems}
    for config in kinds.values():
        if isinstance(config, FitConfig):
            recipe = build_fit(config)
            # A stated strategy spares the measurement; what is wrong with a plan is found all the same.
            plan = "loop" if config.plan == "auto" else config.plan
            recipe.begin_fit(recipe.build_engine(plan, buffers=recipe.buffers))
        elif isinstance(config, TrainConfig):
            build_train(replace(config, init_from=None))


def _placed(config: Config, folder: Path | None, device: str, plan: str) -> Config:
    changes: dict[str, Any] = {}
    if isinstance(config, ProblemConfig):
        options = dict(config.data_options)
        source = find_data_options(config.data)
        if folder is not None and source is not None and "folder" in {field.name for field in fields(source)}:  # type: ignore[arg-type]
            options["folder"] = str(folder / config.data)
        changes["data_options"] = options
    stated = {"device": device, "plan": plan}
    return replace(config, **changes, **{f.name: stated[f.name] for f in fields(config) if f.name in stated})


def _linked(config: Config, configs: Mapping[str, Config], runs: Path) -> Config:
    """Return a configuration with the directories of the study's own runs in place of their names."""

    def placed(path: str) -> str:
        return str(resolve_path(runs / path)) if path in configs else path

    links = {field.name for field in fields(config)} & (NETWORKS | {"directions"})
    return replace(config, **{name: change_paths(name, getattr(config, name), placed) for name in sorted(links)})


def _check_same(run: OpenedRun, stated: Mapping[str, Any]) -> None:
    found = list_differences(run.find_settings(), yaml.safe_load(yaml.safe_dump(stated)))
    if found:
        names = ", ".join(phrase.split()[0] for phrase in found)
        raise BadInput(f"{run.path} was started with other settings ({names}); leave them out or choose a new --out")
