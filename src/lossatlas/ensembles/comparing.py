"""Differences between two ensembles on the same examples."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr

from lossatlas.errors import BadInput
from lossatlas.schema import InEnsemble, parse_texts

__all__ = ["ScoreDifference", "compare_ensembles"]

Names = InEnsemble


class ScoreDifference(NamedTuple):
    """By how much a score of one ensemble is above that of another."""

    difference: float
    standard_error: float


def compare_ensembles(one: xr.Dataset, other: xr.Dataset, scale: str = Names.RAW) -> dict[str, ScoreDifference]:
    """Compare the averages of all members of two ensembles on the same examples, example by example.

    Args:
        one: data of an ensemble.
        other: those of the other one.
        scale: ``raw``, or ``tempered`` with temperatures that were fitted on the other half of the examples.

    Returns:
        By score its value for one minus that for the other, and the standard error of paired differences: of the
        calibration error with the signs of its bins held fixed, by which it is too large rather than too small where
        a bin is calibrated.

    Raises:
        BadInput: the ensembles were scored on different examples, are of different kinds, have other bins, or no
            tempered scores.
    """
    _check(one, other, scale)
    rows = one[Names.EXAMPLE_ROWS].values if Names.EXAMPLE_ROWS in one else np.ones(one.sizes[Names.EXAMPLE])
    found = {}
    for name in parse_texts(one.attrs[Names.SCORES]):
        first, second = (each[Names.of_example(name)].sel({Names.SCALE: scale}).values for each in (one, other))
        differences = first.astype(np.float64) - second
        mean = float(differences @ rows / rows.sum())
        residuals = (differences - mean) * rows
        error = np.sqrt(np.square(residuals).sum() * len(rows) / (len(rows) - 1)) / rows.sum()
        found[name] = ScoreDifference(mean, float(error))
    return found


def _check(one: xr.Dataset, other: xr.Dataset, scale: str) -> None:
    hashes = [each.attrs.get(Names.DATA_HASH) for each in (one, other)]
    if None in hashes or hashes[0] != hashes[1]:
        why = "do not say on which examples they were scored" if None in hashes else "were scored on different examples"
        raise BadInput(f"two ensembles {why}; expected the same split of the same data: score both on one split")
    for attribute, words in ((Names.KIND, "predictions"), (Names.BINS, "bins of confidence")):
        if (own := one.attrs.get(attribute)) != (found := other.attrs.get(attribute)):
            raise BadInput(f"two ensembles have {own} and {found} {words}; expected the same: score one of them again")
    if any(scale not in each[Names.SCALE].values for each in (one, other)):
        raise BadInput(f"an ensemble has no {scale} scores, as its examples were not halved; score it with halvings")
