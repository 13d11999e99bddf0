"""The numbers of a curve: what lies along it, beside the straight line."""

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
    """Numbers of the test split (or the first) at the top, those of each split below.

    Of each split, losses in their unit and errors as rates: ``<path>_max``, ``_min``, ``_mean`` and ``_barrier`` (the
    highest loss above that of the worst of the networks that are joined), where the path is the curve, the straight
    line or the radial path; ``worse_end``, the loss of that network; ``curve_integral``, the mean over the curve's
    length; the same of errors as ``<path>_error_max`` and so on. A loss that is not finite somewhere leaves None.

    Args:
        survey: of the curve, with what is known of the other paths.
        geometry: numbers that need no network, ``length`` and ``straight_length`` among them.
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
            # Somewhere each path has that network, or would have if its ends had not been trained.
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
    """The loss or error of the worst of the networks that a path joins: they are all on the straight one."""
    values = _values(survey, "straight", split, "loss") if metric == "loss" else _errors(survey, "straight", split)
    assert values is not None, "whatever is known of a path is known of the straight one"
    joined = _joined(survey)
    worst: np.float64 = values[joined if path != "radial" else joined[[0, -1]]].max()
    return worst


def _errors(survey: xr.Dataset, path: str, split: str) -> Reals | None:
    """Rates (T,) of errors along a path, measured as such or as accuracies."""
    accuracies = _values(survey, path, split, "accuracy")
    return 1 - accuracies if accuracies is not None else _values(survey, path, split, "error")


def _joined(survey: xr.Dataset) -> npt.NDArray[np.intp]:
    """The places along t (k,) of the networks that are joined."""
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
    """The mean over the curve's length, by trapezes between lengths (T,) from its beginning."""
    pieces = np.diff(reached) * (values[1:] + values[:-1]) / 2
    return drop_infinite(pieces.sum() / reached[-1])
