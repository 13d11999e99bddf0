"""Differences between two ensembles on the same examples; pictures show them, so that it does without torch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr

from lossatlas.errors import BadInput
from lossatlas.schema import InEnsemble, parse_texts

__all__ = ["ScoreDifference", "check_comparable", "compare_ensembles"]

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
        By score that both have its value for one minus that for the other, and the standard error of paired
        differences: of the calibration error with the signs of its bins held fixed, by which it is too large rather
        than too small where a bin is calibrated. Where a likelihood is infinite they are infinite or NaN.

    Raises:
        BadInput: the ensembles were scored on different examples, are of different kinds, have other bins, or no
            tempered scores.
    """
    _check(one, other, scale)
    names = [name for name in parse_texts(one.attrs[Names.SCORES]) if Names.of_example(name) in other]
    rows = one[Names.EXAMPLE_ROWS].values if Names.EXAMPLE_ROWS in one else np.ones(one.sizes[Names.EXAMPLE])
    found = {}
    for name in names:
        first, second = (each[Names.of_example(name)].sel({Names.SCALE: scale}).values for each in (one, other))
        with np.errstate(invalid="ignore"):  # an infinite likelihood has no differences
            differences = first.astype(np.float64) - second
            mean = float(differences @ rows / rows.sum())
            residuals = (differences - mean) * rows
            error = np.sqrt(np.square(residuals).sum() * len(rows) / (len(rows) - 1)) / rows.sum()
        found[name] = ScoreDifference(mean, float(error))
    return found


def check_comparable(other: xr.Dataset, *, data_hash: str, kind: str, bins: int, examples: int) -> None:
    """Refuse data of an ensemble that cannot be compared, example by example, with one that is to be scored.

    Args:
        other: the data.
        data_hash: says of which examples the scores of this one are.
        kind: what it averages, ``classes`` or ``values``.
        bins: its number of bins of confidence.
        examples: how many of its examples have a row.

    Raises:
        BadInput: it was scored on other examples, is of another kind, has other bins, or lacks scores of examples.
    """
    _compare_hashes(data_hash, other.attrs.get(Names.DATA_HASH))
    expected = [(Names.KIND, kind, "predictions"), (Names.BINS, bins, "bins of confidence")]
    for attribute, own, words in expected if kind == Names.CLASSES else expected[:1]:
        if (found := other.attrs.get(attribute)) != own:
            raise BadInput(f"two ensembles have {own} and {found} {words}; expected the same: score one of them again")
    names = parse_texts(other.attrs.get(Names.SCORES))
    if not names or any(not _has_examples(other, name, examples) for name in names):
        raise BadInput(
            f"an ensemble lacks the scores of its {examples:,} examples, as it is damaged or of another version; "
            "expected them for paired differences: score it again"
        )


def _has_examples(ensemble: xr.Dataset, score: str, examples: int) -> bool:
    """Whether there is a score for each example, without and perhaps with a temperature."""
    name = Names.of_example(score)
    return (
        name in ensemble
        and ensemble[name].dims == (Names.SCALE, Names.EXAMPLE)
        and ensemble.sizes[Names.EXAMPLE] == examples
        and Names.RAW in ensemble.get(Names.SCALE, ())
    )


def _compare_hashes(own: str | None, found: str | None) -> None:
    if own is None or own != found:
        unknown = own is None or found is None
        why = "do not say on which examples they were scored" if unknown else "were scored on different examples"
        raise BadInput(f"two ensembles {why}; expected the same split of the same data: score both on one split")


def _check(one: xr.Dataset, other: xr.Dataset, scale: str) -> None:
    _compare_hashes(one.attrs.get(Names.DATA_HASH), other.attrs.get(Names.DATA_HASH))
    for each in (one, other):  # the first one with itself, too, since it may be damaged as well
        check_comparable(
            each,
            data_hash=str(one.attrs[Names.DATA_HASH]),
            kind=str(one.attrs.get(Names.KIND)),
            bins=int(one.attrs.get(Names.BINS, 0)),
            examples=int(one.sizes.get(Names.EXAMPLE, 0)),
        )
    if any(scale not in each[Names.SCALE].values for each in (one, other)):
        raise BadInput(f"an ensemble has no {scale} scores, as its examples were not halved; score it with halvings")
