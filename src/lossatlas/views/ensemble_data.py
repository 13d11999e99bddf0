"""What pictures and reports of ensembles show: one or several by name, their scores, and what differs between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import xarray as xr

from lossatlas.describing import count_things
from lossatlas.errors import BadInput
from lossatlas.paired import ScoreDifference, compare_ensembles
from lossatlas.schema import STANDARD_ERROR, InEnsemble, parse_texts
from lossatlas.views import data, scales
from lossatlas.views.scales import Floats

__all__ = [
    "COSTS",
    "Ensembles",
    "check_ensembles",
    "count_members",
    "describe_ends",
    "find_differences",
    "find_label",
    "has_values",
    "is_ensemble",
    "list_costs",
    "list_differing",
    "list_scores",
    "name_ensembles",
    "read_halves",
    "read_values",
]

Ensembles = Mapping[str, xr.Dataset]
"""Several ensembles, or one, by the names that pictures show."""

COSTS = (InEnsemble.PASSES, InEnsemble.BYTES, InEnsemble.EVALUATIONS)
"""What so many members cost, in the order of pictures."""


def is_ensemble(subject: xr.Dataset) -> bool:
    """Whether labelled data are the scores of an ensemble."""
    return InEnsemble.KIND in subject.attrs


def name_ensembles(subject: Ensembles | xr.Dataset) -> Ensembles:
    """Several ensembles by name as they are, a single one by its own name."""
    if isinstance(subject, xr.Dataset):
        return {str(subject.attrs.get("name") or "ensemble"): subject}
    return subject


def check_ensembles(subject: Ensembles) -> None:
    """Refuse what is not several ensembles that have scores in common.

    Raises:
        BadInput: something is not an ensemble, or classifiers are mixed with regressions.
    """
    if wrong := [name for name, one in subject.items() if not is_ensemble(one)]:
        raise BadInput(f"{wrong[0]!r} is not an ensemble, as others are; draw it alone")
    if not list_scores(subject):
        kinds = ", ".join(f"{name!r} predicts {one.attrs[InEnsemble.KIND]}" for name, one in subject.items())
        raise BadInput(f"ensembles have no score in common: {kinds}; draw each by itself")


def list_scores(ensembles: Ensembles) -> list[str]:
    """List the scores that all ensembles have."""
    each = [parse_texts(one.attrs.get(InEnsemble.SCORES)) for one in ensembles.values()]
    return [name for name in each[0] if all(name in scores for scores in each[1:])]


def list_costs(ensembles: Ensembles) -> list[str]:
    """List the costs that are known of one of the ensembles at least."""
    return [name for name in COSTS if any(has_values(one, name) for one in ensembles.values())]


def has_values(ensemble: xr.Dataset, name: str) -> bool:
    """Whether a variable is there with a finite number at least."""
    return name in ensemble and bool(np.isfinite(data.read_numbers(ensemble, name)).any())


def read_values(ensemble: xr.Dataset, name: str) -> tuple[Floats, Floats | None]:
    """Read a score or another quantity for each number of members, and its standard errors: (count,) each.

    Returns:
        The values; and their standard errors, None where these are not known.
    """
    error = STANDARD_ERROR.of(name)
    return data.read_numbers(ensemble, name), data.read_numbers(ensemble, error) if error in ensemble else None


def read_halves(ensemble: xr.Dataset, score: str, order: str, scale: str) -> tuple[Floats, Floats | None] | None:
    """Read a score on halves that nothing was chosen on, as :func:`read_values`; None where it was not measured.

    Args:
        ensemble: the ensemble.
        score: its name.
        order: that of the members, ``given`` or ``greedy``.
        scale: ``raw`` or ``tempered``.
    """
    name = InEnsemble.halves(score)
    if name not in ensemble or any(
        key not in ensemble[dim].values for dim, key in ((InEnsemble.ORDER, order), (InEnsemble.SCALE, scale))
    ):
        return None
    own = ensemble.sel({InEnsemble.ORDER: order, InEnsemble.SCALE: scale})
    values, error = read_values(own, name)
    return (values, error) if np.isfinite(values).any() else None


def find_label(ensembles: Ensembles, name: str) -> str:
    """The label of a variable with its unit, as the first ensemble that has it says."""
    return data.label_variable(next(one for one in ensembles.values() if name in one), name)


def count_members(ensemble: xr.Dataset) -> Floats:
    """The numbers of members (count,) that were scored."""
    return data.read_numbers(ensemble, InEnsemble.COUNT)


def describe_ends(ensembles: Ensembles, names: Sequence[str]) -> Iterator[str]:
    """State some quantities of each ensemble with its fewest and its most members, a sentence for each ensemble."""
    for called, one in ensembles.items():
        counts, said = count_members(one), []
        for name in names:
            values, _ = read_values(one, name) if name in one else (np.full(len(counts), np.nan), None)
            there = np.flatnonzero(np.isfinite(values))
            if there.size:
                ends = [
                    f"{scales.number(float(values[k]))} with {count_things(int(counts[k]), 'member')}"
                    for k in dict.fromkeys((int(there[0]), int(there[-1])))
                ]
                said.append(f"{one[name].attrs.get('long_name', name)} {', '.join(ends)}")
        yield f"{called}: {'; '.join(said) or 'nothing finite'}."


def find_differences(ensembles: Ensembles, reference: xr.Dataset) -> dict[str, dict[tuple[str, bool], ScoreDifference]]:
    """Find the paired differences of ensembles from another one, of all members, by score and whether it is tempered.

    Ensembles that cannot be compared with it example by example are left out.
    """
    found = {}
    for name, one in ensembles.items():
        own: dict[tuple[str, bool], ScoreDifference] = {}
        for scale in (InEnsemble.RAW, InEnsemble.TEMPERED):
            try:
                differences = compare_ensembles(one, reference, scale)
            except BadInput:  # of other examples, of an older version, or without halves
                continue
            own |= {(score, scale == InEnsemble.TEMPERED): each for score, each in differences.items()}
        if own:
            found[name] = own
    return found


def list_differing(ensembles: Ensembles) -> list[str]:
    """Notes on what of several ensembles is not alike, so that their scores are not quite comparable."""
    splits = dict.fromkeys(str(one.attrs.get(InEnsemble.SPLIT, "unknown")) for one in ensembles.values())
    if len(splits) > 1:
        return [f"measured on different splits: {', '.join(splits)}"]
    hashes = {one.attrs[InEnsemble.DATA_HASH] for one in ensembles.values() if InEnsemble.DATA_HASH in one.attrs}
    counts = {int(one.attrs[InEnsemble.EXAMPLES]) for one in ensembles.values()}
    differ = len(hashes) > 1 or len(counts) > 1
    return [f"{next(iter(splits))} examples differ between the ensembles".removeprefix("unknown ")] * differ
