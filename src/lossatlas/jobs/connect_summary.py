"""The numbers of a curve: what lies along it, beside the straight line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from lossatlas import schema
from lossatlas.schema import Along, Corner

__all__ = ["connect_summary"]

Reals = npt.NDArray[np.float64]


def connect_summary(survey: xr.Dataset, geometry: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers of the test split (or the first) at the top, those of each split below.

    Of each split, losses in nats and errors as rates: ``<path>_max``, ``_min``, ``_mean`` and ``_barrier`` (the highest
    loss above that of the worst of the networks that are joined), where the path is the curve, the straight line or the
    radial path; ``worse_end``, the loss of that network; ``curve_integral``, the mean over the curve's length; the same
    of errors as ``<path>_error_max`` and so on. A loss that is not finite somewhere leaves None.

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
    joined = _joined(survey)
    for path in ("curve", "straight", "radial"):
        there = joined if path != "radial" else joined[[0, -1]]
        losses = _values(survey, path, split, "loss")
        if losses is not None:
            worse = losses[there].max()
            scores[f"{path}_barrier"] = _number(losses.max() - worse)
            scores |= _spread(path, losses)
            if path == "curve":
                scores |= {"worse_end": _number(worse), "curve_integral": _over_length(losses, reached)}
        accuracies = _values(survey, path, split, "accuracy")
        if accuracies is not None:
            errors = 1 - accuracies
            scores |= _spread(f"{path}_error", errors)
            if path == "curve":
                scores |= {
                    "worse_end_error": _number(errors[there].max()),
                    "curve_error_integral": _over_length(errors, reached),
                }
    return scores


def _joined(survey: xr.Dataset) -> npt.NDArray[np.intp]:
    """The places along t (k,) of the networks that are joined."""
    t = np.asarray(survey[Along.T].values, dtype=np.float64)
    at = np.asarray(survey[Corner.coordinate("t")].values, dtype=np.float64)
    nearest: npt.NDArray[np.intp] = np.abs(t - at[:, None]).argmin(axis=1)
    return nearest


def _values(survey: xr.Dataset, path: str, split: str, metric: str) -> Reals | None:
    name = schema.split_variable(split, metric) if path == "curve" else Along.of(path, split, metric)
    return np.asarray(survey[name].values, dtype=np.float64) if name in survey else None


def _spread(name: str, values: Reals) -> dict[str, float | None]:
    return {
        f"{name}_min": _number(values.min()),
        f"{name}_max": _number(values.max()),
        f"{name}_mean": _number(values.mean()),
    }


def _over_length(values: Reals, reached: Reals) -> float | None:
    """The mean over the curve's length, by trapezes between lengths (T,) from its beginning."""
    pieces = np.diff(reached) * (values[1:] + values[:-1]) / 2
    return _number(pieces.sum() / reached[-1])


def _number(value: float | np.float64) -> float | None:
    return float(value) if np.isfinite(value) else None
