"""The numbers of a finished fit: how well the loss shows the picture, and what the fit cost."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from lossatlas.fitting import Fit
from lossatlas.jobs.estimate import measure_peak_bytes
from lossatlas.pictures import LOSS_FLOOR, Raster, correlate
from lossatlas.recipes.fit import FitRecipe
from lossatlas.schema import STANDARD_ERROR, name_variable
from lossatlas.surveying.distorting import summarise_distortion

__all__ = ["summarise_descent", "summarise_fit"]

Reals = npt.NDArray[np.float64]


def summarise_fit(
    recipe: FitRecipe,
    fit: Fit,
    survey: xr.Dataset,
    survey_seconds: float,
    together: Mapping[str, Mapping[str, float]] | None = None,
) -> dict[str, Any]:
    """Summarise a fit: scores of the test split (or the first) at the top level, those of each split below.

    Args:
        recipe: the recipe of the run.
        fit: the finished fit.
        survey: the finished survey.
        survey_seconds: the seconds that the survey took.
        together: further scores by split, of members together.
    """
    maps = {
        split: {
            name: _on_cells(recipe, survey[variable])
            for name in recipe.kind.scored
            if (variable := name_variable(split, name)) in survey
        }
        for split in recipe.surveyed
    }
    per_split = {
        split: {
            **recipe.kind.score(recipe.picture, found, recipe.sampled),
            **(together or {}).get(split, {}),
            "examples": len(recipe.surveyed[split]),
            **_errors(recipe, survey, split),
        }
        for split, found in maps.items()
    }
    headline = per_split.get("test", next(iter(per_split.values()), {}))
    separate = fit.measure_separate_bytes(int(np.isfinite(recipe.picture.target).sum()))
    return {
        **headline,
        **_agreement(recipe.picture, maps),
        **{f"{split}_scores": scores for split, scores in per_split.items()},
        "pattern": recipe.picture.name,
        "shape": list(recipe.picture.shape),
        "parameters": recipe.space.size,
        **recipe.chart.numbers(),
        **summarise_distortion(survey, partial(recipe.picture.from_grid, padding=recipe.config.padding)),
        **summarise_descent(fit, survey_seconds),
        **_summarise_selection(fit),
        "held_bytes_of_separate_models": separate,
    }


def summarise_descent(fit: Fit, survey_seconds: float) -> dict[str, Any]:
    """Summarise the cost of a finished fit and of its survey."""
    return {
        "steps": fit.steps,
        "points_per_step": fit.objective.most_points,
        "training_passes": fit.training_passes,
        "seconds": fit.seconds,
        "seconds_per_step": fit.seconds / max(1, fit.steps),
        "survey_seconds": survey_seconds,
        "held_bytes": fit.held_bytes,
        "peak_memory_bytes": measure_peak_bytes(),
    }


def _summarise_selection(fit: Fit) -> dict[str, Any]:
    """Summarise which weights the chart has, where these are not those of the last step: an average, or the best."""
    averaged = {"averaged_steps": fit.averaged} if fit.averaged else {}
    if fit.kept is None:
        return averaged
    kept = fit.kept
    return averaged | {
        "kept_step": kept.step,
        "kept_progress": kept.progress,
        "held_out_score": kept.score,
        "held_out_score_at_end": kept.score_at_end if np.isfinite(kept.score_at_end) else None,
        "held_out_score_name": kept.name,
        "held_out_examples": kept.examples,
        "held_out_looks": kept.looks,
    }


def _on_cells(recipe: FitRecipe, variable: xr.DataArray) -> Reals:
    """Bring a variable of the survey into the order of the cells; several values at a point become the last axis."""
    axes = recipe.picture.axes
    further = [dim for dim in variable.dims if dim not in axes]
    values = variable.transpose(*axes, *further).values.astype(np.float64)
    if not further:
        return recipe.picture.from_grid(values, recipe.config.padding)
    each = [recipe.picture.from_grid(values[..., k], recipe.config.padding) for k in range(values.shape[-1])]
    return np.stack(each, axis=-1)


def _errors(recipe: FitRecipe, survey: xr.Dataset, split: str) -> dict[str, float]:
    """Return by metric the median standard error of a cell; empty where all examples were evaluated."""
    counted = np.isfinite(recipe.picture.target)
    found = {}
    for metric in ("accuracy", "loss"):
        if (name := STANDARD_ERROR.of(name_variable(split, metric))) in survey:
            errors = _on_cells(recipe, survey[name])[counted]
            found[STANDARD_ERROR.of(metric)] = float(np.median(errors))
    return found


def _agreement(picture: Raster, maps: Mapping[str, Mapping[str, Reals]]) -> dict[str, float | None]:
    """Return Pearson's correlation between the maps of training and test examples, over all cells that are not
    ignored.
    """
    if not {"train", "test"} <= maps.keys():
        return {}
    counted = np.isfinite(picture.target)
    agreement: dict[str, float | None] = {}
    for name, key in (("loss", "train_test_correlation"), ("accuracy", "train_test_accuracy_correlation")):
        if name in maps["train"] and name in maps["test"]:
            pair = [maps[split][name][counted] for split in ("train", "test")]
            if name == "loss":
                pair = [np.log(np.maximum(values, LOSS_FLOOR)) for values in pair]
            finite = np.isfinite(pair).all(axis=0)
            agreement[key] = correlate(*(values[finite] for values in pair)) if finite.any() else None
    return agreement
