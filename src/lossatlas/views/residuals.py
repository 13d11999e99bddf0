"""How accurate quantities of curvature are, in words for captions: residuals and errors over probes, as shares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr

from lossatlas.schema import name_curvature
from lossatlas.views import data
from lossatlas.views.scales import Floats, percent

__all__ = ["describe_accuracy", "describe_share", "find_largest_share"]


def describe_accuracy(survey: xr.Dataset, shown: Sequence[data.Field]) -> list[str]:
    """Make notes on the residuals of eigenvalues and the errors of traces; empty where none are shown.

    A residual is stated as a share of the largest magnitude among the eigenvalues of the same operator and split that
    the survey holds at the same point, which is what tolerances are shares of.
    """
    solved = [field for field in shown if field.residual is not None and field.metric != data.RATIO]
    shares = {
        metric: _find_share(survey, [one for one in solved if one.metric == metric]) for metric in _metrics(solved)
    }
    listed = ", ".join(f"{_name(metric)} {describe_share(share)}" for metric, share in shares.items())
    notes = [f"largest residual, as a share of the largest eigenvalue known at the point: {listed}"] * bool(listed)
    probed = [field for field in shown if field.error is not None and field.metric.endswith("_trace")]
    for metric in _metrics(probed):
        own = [field for field in probed if field.metric == metric]
        whole = np.max(np.abs(_join(field.values for field in own)), initial=0, where=_finite(own))
        error = _join(field.error for field in own if field.error is not None)
        share = find_largest_share(error, np.full(error.shape, whole))
        notes.append(
            f"largest standard error of the {_name(metric)} over probes: {describe_share(share)} of its largest "
            "magnitude"
        )
    return notes


def find_largest_share(residuals: Floats, magnitudes: Floats) -> float | None:
    """Find the largest ratio of a residual to a magnitude, of the same shape; None where none is finite.

    Points at which either is not finite or the magnitude is zero are left out.
    """
    there = np.isfinite(residuals) & np.isfinite(magnitudes) & (magnitudes > 0)
    return float((residuals[there] / magnitudes[there]).max()) if there.any() else None


def describe_share(share: float | None) -> str:
    """Write a share in percent, or that it is not known."""
    return "not known" if share is None else percent(share)


def _find_share(survey: xr.Dataset, fields: Sequence[data.Field]) -> float | None:
    """Find the largest share that a residual of one metric is of the eigenvalues at its point, over all splits."""
    every = [field for several in data.others(survey).values() for field in several]
    every += [one for splits in data.by_value(survey).values() for several in splits.values() for one in several]
    found = []
    for field in fields:
        operator = field.metric.partition("_")[0]
        alike = [
            np.abs(one.values)
            for one in [*every, field]
            if one.residual is not None
            and one.split == field.split
            and one.metric != data.RATIO
            and one.metric.partition("_")[0] == operator
        ]
        assert field.residual is not None
        found.append(find_largest_share(field.residual, np.fmax.reduce(alike)))
    return max((share for share in found if share is not None), default=None)


def _metrics(fields: Sequence[data.Field]) -> list[str]:
    return list(dict.fromkeys(field.metric for field in fields))


def _name(metric: str) -> str:
    return name_curvature(metric) or metric.replace("_", " ")


def _join(arrays: Iterable[Floats]) -> Floats:
    return np.concatenate([array.ravel() for array in arrays])


def _finite(fields: Sequence[data.Field]) -> np.ndarray:
    return np.isfinite(_join(field.values for field in fields))
