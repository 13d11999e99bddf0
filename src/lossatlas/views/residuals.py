"""How accurate quantities of curvature are, in words for captions: residuals and errors over probes, as shares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr

from lossatlas.describing import count_things
from lossatlas.schema import say_metric
from lossatlas.views import data
from lossatlas.views.scales import Floats, percent

__all__ = ["count_infinite", "describe_accuracy", "describe_share", "find_largest_share"]


def describe_accuracy(survey: xr.Dataset, shown: Sequence[data.Field]) -> list[str]:
    """Make notes on the residuals of eigenvalues and the errors of traces; empty where none are shown.

    A residual is stated as a share of the largest magnitude among the eigenvalues of the same operator and split that
    the survey holds at the same point, which is what tolerances are shares of.
    """
    solved = [field for field in shown if field.residual is not None and field.metric != data.RATIO]
    stated = []
    for metric in _metrics(solved):
        own = [one for one in solved if one.metric == metric]
        infinite = count_infinite(one.residual for one in own if one.residual is not None)
        stated.append(f"{_name(metric)} {describe_share(_find_share(survey, own), infinite)}")
    listed = ", ".join(stated)
    notes = [f"largest residual, as a share of the largest eigenvalue known at the point: {listed}"] * bool(listed)
    probed = [field for field in shown if field.error is not None and field.metric.endswith("_trace")]
    for metric in _metrics(probed):
        own = [field for field in probed if field.metric == metric]
        whole = np.max(np.abs(_join(field.values for field in own)), initial=0, where=_finite(own))
        error = _join(field.error for field in own if field.error is not None)
        share = find_largest_share(error, np.full(error.shape, whole))
        notes.append(
            f"largest standard error of the {_name(metric)} over probes, as a share of its largest magnitude: "
            f"{describe_share(share, count_infinite([error]))}"
        )
    return notes


def find_largest_share(residuals: Floats, magnitudes: Floats) -> float | None:
    """Find the largest ratio of a residual to a magnitude, of the same shape; None where none is finite.

    Points at which either is not finite or the magnitude is zero are left out.
    """
    there = np.isfinite(residuals) & np.isfinite(magnitudes) & (magnitudes > 0)
    return float((residuals[there] / magnitudes[there]).max()) if there.any() else None


def describe_share(share: float | None, infinite: int = 0) -> str:
    """Write a share in percent, or that it is not known, and how many residuals are infinite.

    >>> describe_share(0.02), describe_share(0.02, 3), describe_share(None, 1), describe_share(None)
    ('2 %', '2 % where finite, infinite in 3 places', 'infinite in 1 place', 'not known')
    """
    known = "" if share is None else percent(share)
    if not infinite:
        return known or "not known"
    return f"{known} where finite, " * bool(known) + f"infinite in {count_things(infinite, 'place')}"


def count_infinite(residuals: Iterable[Floats]) -> int:
    """Count the residuals that are infinite: nothing is known of the values beside them."""
    return sum(int(np.isinf(each).sum()) for each in residuals)


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
    return say_metric(metric)


def _join(arrays: Iterable[Floats]) -> Floats:
    return np.concatenate([array.ravel() for array in arrays])


def _finite(fields: Sequence[data.Field]) -> np.ndarray:
    return np.isfinite(_join(field.values for field in fields))
