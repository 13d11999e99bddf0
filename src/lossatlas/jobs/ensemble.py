"""The job of ``lossatlas ensemble``: what the average of many networks predicts, and how good it is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import xarray as xr

from lossatlas.engine import Plan
from lossatlas.engine.memory import find_memory_limit
from lossatlas.ensembles import Rows, check_comparable
from lossatlas.errors import BadInput
from lossatlas.exchange.ensemble import ENSEMBLE, read_ensemble
from lossatlas.exchange.netcdf import encode_netcdf
from lossatlas.files.reading import Unreadable, read_json
from lossatlas.jobs.ensemble_evaluation import EnsembleEvaluation
from lossatlas.jobs.ensemble_summary import summarise_ensemble
from lossatlas.jobs.estimate import Estimate, measure_peak_bytes
from lossatlas.jobs.forecast import PICTURES, Forecast, Phase
from lossatlas.jobs.job import Handling, Job
from lossatlas.jobs.pictures import write_pictures
from lossatlas.jobs.starting import Start
from lossatlas.recipes import complete
from lossatlas.recipes.ensemble import EnsembleRecipe, build_ensemble
from lossatlas.recipes.ensemble_config import EnsembleConfig
from lossatlas.recipes.measured import describe_measurement
from lossatlas.recipes.opened_run import OpenedRun
from lossatlas.rundir import REPORT, RunDirectory
from lossatlas.views import Style, draw
from lossatlas.views.ensembling import write_ensembles

__all__ = ["run_ensemble"]

PREDICTIONS = "predictions.bin"
"""The file of a run that holds what members predict, until it is scored."""
GATHERED = "predictions.json"
"""The file of a run that says how much of it is there."""
SCORING = 3e-8
"""About the seconds that scoring takes for each probability, once for each number of members that is scored."""
FEW = 20
"""About how many these are, without pairs."""
UNCERTAIN = 5.0
"""The factor by which this may be wrong."""


@dataclass(frozen=True)
class _Gathered:
    """How many members' predictions are there, and by which plans they are made."""

    done: int = 0
    plans: tuple[dict[str, Any], ...] = ()


def _read_gathered(run: RunDirectory) -> _Gathered:
    """Read how much of the predictions of a resumed run is there."""
    if not (run.path / GATHERED).is_file():
        return _Gathered()
    try:
        return read_json(run.path / GATHERED, _Gathered)
    except Unreadable as error:
        raise BadInput(f"{error}; start again with --overwrite") from error


def _carry_out(start: Start[EnsembleConfig], how: Handling) -> dict[str, Any]:
    """Evaluate the members, score their average, and write what it comes to.

    ``ensemble.nc`` holds the scores. What members predict is in a mapped file until then, so that a run that was killed
    continues where it was.
    """
    run = start.run
    recipe = build_ensemble(start.config)
    before = _read_gathered(run) if start.continuing else _Gathered()
    evaluation = EnsembleEvaluation(recipe, [Plan.from_dict(plan) for plan in before.plans] or [start.config.plan])
    others = _open_others(recipe, evaluation.rows)
    start.put(
        recipe.base.device, recipe.fingerprints(), disk=evaluation.prediction_bytes + 500_000,
        plan=evaluation.plans[0].to_dict(), normalisation=recipe.base.data.normalisation,
    )  # fmt: skip
    how.introduce(recipe.base.problem, recipe.base.data, *recipe.notes)
    how.foretell(lambda: _phases(evaluation, before.done, how.pictures))
    started = time.perf_counter()
    predictions = evaluation.hold_predictions(run.path / PREDICTIONS, keep=before.done > 0)
    total, plans = len(predictions), [plan.to_dict() for plan in evaluation.plans]
    there = min(before.done, total) if predictions.kept else 0
    how.tell("members", there / total)
    for done in evaluation.gather(predictions, there):
        predictions.flush()  # what it says is there has to be there
        run.write_json(GATHERED, {"done": done, "plans": plans})
        how.tell("members", done / total)
    gathered = time.perf_counter() - started
    data = evaluation.score(predictions, lambda share: how.tell("scores", share))
    data.attrs["name"] = run.path.name
    run.write_bytes(ENSEMBLE, encode_netcdf(data))
    seconds = time.perf_counter() - started
    summary = {
        **summarise_ensemble(data, others),
        "seconds": seconds,
        "peak_memory_bytes": measure_peak_bytes(),
    }
    if how.pictures:
        record = describe_measurement(data, OpenedRun(run.path))
        pictures = draw(data, style=Style(title=run.path.name), record=record)
        write_ensembles(
            run.path / REPORT, data, run.config_text(), pictures, write_pictures(run, pictures), against=others or None
        )
    for file in (GATHERED, PREDICTIONS):  # in this order: a file of zeros would count as gathered
        (run.path / file).unlink(missing_ok=True)
    start.finish(summary, {"members": gathered, "scores": seconds - gathered})
    return summary


def _open_others(recipe: EnsembleRecipe, rows: Rows) -> dict[str, xr.Dataset]:
    """Read the ensembles that this one is compared with.

    Raises:
        BadInput: one is missing, or was scored on other examples or in another way.
    """
    found = {}
    for path in recipe.config.against:
        found[path] = other = OpenedRun(path, "name a run of lossatlas ensemble").ensemble
        try:
            check_comparable(
                other, data_hash=recipe.split.fingerprint(), kind=recipe.kind, bins=recipe.config.bins,
                examples=rows.scored,
            )  # fmt: skip
        except BadInput as error:
            raise BadInput(f"--against {path}: {error}") from error
    return found


def _estimate(config: EnsembleConfig) -> Estimate:
    """Estimate the cost of a run by evaluating a member on a few examples; writes nothing.

    Raises:
        BadInput: the run itself would be refused.
    """
    recipe = build_ensemble(complete(config))
    evaluation = EnsembleEvaluation(recipe, [config.plan])
    _open_others(recipe, evaluation.rows)
    return Estimate(
        work={"ensemble": f"{len(recipe.names)} members x {len(recipe.split):,} examples"},
        forecast=Forecast(list(_phases(evaluation, 0, pictures=True))),
        peak_bytes=measure_peak_bytes(),
        chunk_bytes=find_memory_limit(config.memory, recipe.base.device),
        disk_bytes=evaluation.prediction_bytes + 500_000,
    )


run_ensemble = Job(EnsembleConfig, _carry_out, _estimate, reread=read_ensemble)
"""The job of ``lossatlas ensemble``."""


def _phases(evaluation: EnsembleEvaluation, done: int, pictures: bool) -> Iterator[Phase]:
    """Yield the phases that are still to come, measured on a few examples."""
    total = len(evaluation.recipe.names)
    if done < total:
        rate = evaluation.time_members(total - done)
        yield Phase("members", (total - done) * rate.seconds, rate.factor)
    yield Phase(
        "scores", SCORING * evaluation.prediction_bytes / 4 * (total if evaluation.settings.pairs else FEW), UNCERTAIN
    )
    if pictures:
        yield PICTURES
