"""The numbers of a curve, beside those of the straight line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from lossatlas import schema
from lossatlas.measures.surface import drop_infinite
from lossatlas.schema import CURVE, Along, Corner

__all__ = ["summarise_curve"]

Reals = npt.NDArray[np.float64]


def summarise_curve(survey: xr.Dataset, geometry: Mapping[str, Any]) -> dict[str, Any]:
    """Summarise a curve: numbers of the test split (or the first) at the top level, those of each split below.

    Losses are in their unit, errors are rates in [0, 1]. For each split and path (``curve``, ``straight`` or
    ``radial``): ``<path>_max``, ``<path>_min``, ``<path>_mean`` and ``<path>_barrier`` (the highest loss minus that of
    the worst of the connected networks); ``worse_end``, the loss of that network; ``curve_integral``, the mean over
    the curve's length; and the same of errors as ``<path>_error_max`` and so on. A number is None where a loss on
    the path is not finite.

    Args:
        survey: the survey of the curve, with the metrics of the other paths.
        geometry: numbers that do not depend on the loss, among them ``length`` and ``straight_length``.
    """
    splits = list(dict.fromkeys(str(v.attrs["split"]) for v in survey.data_vars.values() if v.attrs.get("split")))
    reached = np.asarray(survey[Along.LENGTH].values, dtype=np.float64)
    scores = {split: _scores(survey, split, reached) for split in splits}
    headline = scores.get("test", next(iter(scores.values()), {}))
    norms = survey[Along.NORM].values
    found: dict[str, Any] = {
        **headline,
        **{f"{split}_scores": numbers for split, numbers in scores.items()},
        **geometry,
        "length_ratio": geometry["length"] / geometry["straight_length"],
        "norm_first": float(norms[0]),
        "norm_last": float(norms[-1]),
        "norm_min": float(norms.min()),
        "norm_max": float(norms.max()),
    }
    if Along.RADIAL_DISTANCE in survey:
        away = survey[Along.RADIAL_DISTANCE].values
        found |= {"radial_distance_max": float(away.max()), "radial_distance_mean": float(away.mean())}
    return found


def _scores(survey: xr.Dataset, split: str, reached: Reals) -> dict[str, Any]:
    scores: dict[str, Any] = {}
    for path in ("curve", "straight", "radial"):
        losses = _values(survey, path, split, "loss")
        if losses is not None:
            worse = _worst(survey, path, split, "loss")
            # Each path passes through that network, or would if its ends had not been trained.
            scores[f"{path}_barrier"] = drop_infinite(np.maximum(losses.max() - worse, 0.0))
            scores |= _spread(path, losses)
            if path == "curve":
                scores |= {"worse_end": drop_infinite(worse), "curve_integral": _over_length(losses, reached)}
        errors = _errors(survey, path, split)
        if errors is not None:
            scores |= _spread(f"{path}_error", errors)
            if path == "curve":
                scores |= {
                    "worse_end_error": drop_infinite(_worst(survey, path, split, "error")),
                    "curve_error_integral": _over_length(errors, reached),
                }
    return scores


def _worst(survey: xr.Dataset, path: str, split: str, metric: str) -> np.float64:
    """Return the loss or error of the worst of the connected networks, which all lie on the straight path."""
    values = _values(survey, "straight", split, "loss") if metric == "loss" else _errors(survey, "straight", split)
    assert values is not None, "a metric of a path is one of the straight path, too"
    joined = _joined(survey)
    worst: np.float64 = values[joined if path != "radial" else joined[[0, -1]]].max()
    return worst


def _errors(survey: xr.Dataset, path: str, split: str) -> Reals | None:
    """Return the error rates (T,) along a path, measured as errors or as accuracies."""
    accuracies = _values(survey, path, split, "accuracy")
    return 1 - accuracies if accuracies is not None else _values(survey, path, split, "error")


def _joined(survey: xr.Dataset) -> npt.NDArray[np.intp]:
    """Return the indices along t, (k,), of the connected networks."""
    t = np.asarray(survey[Along.T].values, dtype=np.float64)
    at = np.asarray(survey[Corner.coordinate(CURVE)].values, dtype=np.float64)
    nearest: npt.NDArray[np.intp] = np.abs(t - at[:, None]).argmin(axis=1)
    return nearest


def _values(survey: xr.Dataset, path: str, split: str, metric: str) -> Reals | None:
    name = schema.name_variable(split, metric) if path == "curve" else Along.of(path, split, metric)
    return np.asarray(survey[name].values, dtype=np.float64) if name in survey else None


def _spread(name: str, values: Reals) -> dict[str, float | None]:
    return {
        f"{name}_min": drop_infinite(values.min()),
        f"{name}_max": drop_infinite(values.max()),
        f"{name}_mean": drop_infinite(values.mean()),
    }


def _over_length(values: Reals, reached: Reals) -> float | None:
    """Return the mean over the curve's length by the trapezoidal rule; lengths (T,) count from its beginning."""
    pieces = np.diff(reached) * (values[1:] + values[:-1]) / 2
    return drop_infinite(pieces.sum() / reached[-1])
