"""Tables of the report of ensembles: scores, differences, temperatures, costs and members."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import xarray as xr

from lossatlas.describing import count_things, format_bytes
from lossatlas.paired import ScoreDifference
from lossatlas.schema import InEnsemble
from lossatlas.views import data, scales
from lossatlas.views.ensemble_data import (
    Ensembles,
    count_members,
    find_differences,
    has_values,
    list_costs,
    list_scores,
    read_halves,
    read_values,
)
from lossatlas.views.report import Grid

__all__ = [
    "NOTHING",
    "label_score",
    "read_ends",
    "tabulate_all",
    "tabulate_counts",
    "tabulate_differences",
    "tabulate_halves",
    "tabulate_members",
    "tabulate_scores",
    "tabulate_temperatures",
    "write_score",
]

NOTHING = "\u2013"
MINUS = "\u2212"
MOST_DIGITS = 6
ERRORS = "After \u00b1 stands one standard error over examples."
PAIRED = f"{ERRORS} That of a difference is paired: of the differences of the same examples."
ON_HALVES = (
    "Temperature and greedy order are chosen on one half of the examples, and the other half is scored, both ways, "
    "averaged over the halvings; raw scores are of the same halves."
)
HEADS = {
    InEnsemble.STEPS: "training steps",
    InEnsemble.PASSES: "training passes",
    InEnsemble.BYTES: "bytes held",
    InEnsemble.EVALUATIONS: "evaluations",
}


def read_ends(ensemble: xr.Dataset, score: str) -> tuple[str, str, str]:
    """Write a score of the first member, of all members, and the paired difference, each with its standard error."""
    whole = read_values(ensemble, score)
    alone = read_values(ensemble, InEnsemble.of_member(score))
    name = InEnsemble.difference(score)
    difference = write_score(read_values(ensemble, name), -1, signed=True) if name in ensemble else NOTHING
    return write_score(alone, 0), write_score(whole, -1), difference


def tabulate_all(ensembles: Ensembles) -> Grid:
    """Make the table of several ensembles with all their members, a row for each."""
    scores, costs = list_scores(ensembles), list_costs(ensembles)
    first = next(iter(ensembles.values()))
    halves = [score for score in scores if any(InEnsemble.halves(score) in one for one in ensembles.values())]
    rows = [
        [
            name,
            str(one.sizes[InEnsemble.MEMBER]),
            *(read_ends(one, score)[1] for score in scores),
            *(write_score(read_halves(one, score, InEnsemble.GIVEN, InEnsemble.TEMPERED), -1) for score in halves),
            *(_write_cost(one, cost, -1) for cost in costs),
        ]
        for name, one in ensembles.items()
    ]
    head = [
        "ensemble",
        "members",
        *(label_score(first, score) for score in scores),
        *(f"{label_score(first, score)}, tempered" for score in halves),
        *(HEADS[cost] for cost in costs),
    ]
    return Grid("Ensembles", head, rows, f"{ERRORS} Tempered scores are those on halves. {ON_HALVES}")


def tabulate_differences(ensembles: Ensembles, against: Ensembles | None) -> Iterator[Grid]:
    """Make tables of the differences from other ensembles, one for each, where they are of the same examples."""
    first = next(iter(ensembles))
    for other, reference in ({first: ensembles[first]} if against is None else against).items():
        found = find_differences({name: one for name, one in ensembles.items() if one is not reference}, reference)
        if not found:
            continue
        columns = list(dict.fromkeys(key for each in found.values() for key in each))
        rows = [
            [
                name,
                *(write_score(_as_arrays(each[key]), 0, signed=True) if key in each else NOTHING for key in columns),
            ]
            for name, each in found.items()
        ]
        head = [
            "ensemble",
            *(f"{label_score(reference, score)}{', tempered' * tempered}" for score, tempered in columns),
        ]
        yield Grid(f"Paired differences from {other}", head, rows, f"All members; below zero is better. {PAIRED}")


def _as_arrays(found: ScoreDifference) -> tuple[scales.Floats, scales.Floats]:
    return np.array([found.difference]), np.array([found.standard_error])


def tabulate_scores(ensemble: xr.Dataset, title: str) -> Grid:
    """Make the table of the scores of one member and of all, a row for each score."""
    rows = []
    for score in list_scores({"": ensemble}):
        alone, together, difference = read_ends(ensemble, score)
        rows.append([label_score(ensemble, score), alone, _write_spread(ensemble, score), together, difference])
    head = ["score", "first member", "mean member (lowest to highest)", "all members", "all less the first"]
    return Grid(_capitalise(title), head, rows, f"Lower is better. {PAIRED}")


def _write_spread(ensemble: xr.Dataset, score: str) -> str:
    """Write the mean of a score over the members, with the lowest and the highest, to as many digits as one of them."""
    members, errors = read_values(ensemble, InEnsemble.of_member(score))
    known = members[np.isfinite(members)]
    if not known.size:
        return NOTHING
    digits = _count_digits(math.nan if errors is None else float(errors[0]))
    mean, low, high = (
        (scales.number(each) if digits is None else f"{each:,.{digits}f}").replace("-", MINUS)
        for each in (float(known.mean()), float(known.min()), float(known.max()))
    )
    return f"{mean} ({low} to {high})"


def tabulate_halves(ensemble: xr.Dataset, title: str) -> Iterator[Grid]:
    """Make the table of raw and tempered scores of one, of about half and of all members; none without halves."""
    counts = count_members(ensemble)
    places = list(dict.fromkeys((0, len(counts) // 2, len(counts) - 1)))
    rows = []
    for score in list_scores({"": ensemble}):
        for order in (InEnsemble.GIVEN, InEnsemble.GREEDY):
            for scale in (InEnsemble.RAW, InEnsemble.TEMPERED):
                if (found := read_halves(ensemble, score, order, scale)) is not None:
                    name = f"{label_score(ensemble, score)}, {order} order, {scale}"
                    rows.append([name, *(write_score(found, place) for place in places)])
    if rows:
        head = ["score", *(count_things(int(counts[place]), "member") for place in places)]
        yield Grid(_capitalise(title), head, rows, f"{ERRORS} {ON_HALVES}")


def tabulate_temperatures(ensemble: xr.Dataset, title: str) -> Iterator[Grid]:
    """Make the table of temperatures of one, of about half and of all members; none without halves."""
    if not has_values(ensemble, InEnsemble.TEMPERATURE):
        return
    counts = count_members(ensemble)
    rows = []
    for order in map(str, ensemble[InEnsemble.ORDER].values):
        own = ensemble.sel({InEnsemble.ORDER: order})
        kept = own[InEnsemble.TEMPERATURE].transpose(InEnsemble.COUNT, ...)
        fitted = np.asarray(kept.values, dtype=np.float64).reshape(len(counts), -1)
        bound = data.read_numbers(own, InEnsemble.AT_BOUND)
        for place in dict.fromkeys((0, len(counts) // 2, len(counts) - 1)):
            known = fitted[place][np.isfinite(fitted[place])]
            ends = [scales.number(float(end)) for end in (known.mean(), known.min(), known.max())] if known.size else []
            cells = [*ends, f"{bound[place]:.0f} of {known.size}"] if ends else [NOTHING] * 4
            rows.append([f"{order} order, {count_things(int(counts[place]), 'member')}", *cells])
    low, high = (
        scales.number(float(ensemble.attrs[end])) for end in (InEnsemble.TEMPERATURE_LOW, InEnsemble.TEMPERATURE_HIGH)
    )
    note = f"Each is fitted on one half of the examples, in [{low}, {high}]; scores with one at a bound are doubtful."
    yield Grid(_capitalise(title), ["temperatures", "mean", "lowest", "highest", "at a bound"], rows, note)


def tabulate_counts(ensemble: xr.Dataset, title: str) -> Grid:
    """Make the table of scores and costs by number of members, in the given order."""
    scores = list_scores({"": ensemble})
    costs = [cost for cost in HEADS if has_values(ensemble, cost)]
    rows = [
        [
            f"{count:.0f}",
            *(write_score(read_values(ensemble, score), k) for score in scores),
            *(_write_cost(ensemble, cost, k) for cost in costs),
        ]
        for k, count in enumerate(count_members(ensemble))
    ]
    unknown = [HEADS[cost] for cost in HEADS if cost not in costs]
    note = f"The first members in the given order, raw, on all examples. {ERRORS}"
    lost = f" Not known: {', '.join(unknown)}." * bool(unknown)
    head = ["members", *(label_score(ensemble, score) for score in scores), *(HEADS[cost] for cost in costs)]
    return Grid(_capitalise(title), head, rows, note + lost)


def tabulate_members(ensemble: xr.Dataset, title: str) -> Grid:
    """Make the table of the scores of each member alone, with its place in greedy orders."""
    scores = list_scores({"": ensemble})
    places = None
    if InEnsemble.POSITION in ensemble:
        over = [dim for dim in ensemble[InEnsemble.POSITION].dims if dim != InEnsemble.MEMBER]
        places = 1 + np.asarray(ensemble[InEnsemble.POSITION].mean(over).values, dtype=np.float64)
    rows = [
        [
            str(name),
            *(write_score(read_values(ensemble, InEnsemble.of_member(score)), k) for score in scores),
            *([] if places is None else [scales.number(float(places[k]))]),
        ]
        for k, name in enumerate(ensemble[InEnsemble.MEMBER].values)
    ]
    greedy = [] if places is None else ["mean place in greedy orders"]
    return Grid(
        _capitalise(title), ["member", *(label_score(ensemble, score) for score in scores), *greedy], rows, ERRORS
    )


def label_score(ensemble: xr.Dataset, score: str) -> str:
    """The label of a score with its unit."""
    return data.label_variable(ensemble, score)


def _capitalise(title: str) -> str:
    return f"{title[0].upper()}{title[1:]}" if ": " not in title else title


def write_score(found: tuple[scales.Floats, scales.Floats | None] | None, place: int, *, signed: bool = False) -> str:
    """Write a value with its standard error, both to two digits of the latter.

    >>> write_score((np.array([0.173333]), np.array([0.0219])), 0)
    '0.173 ± 0.022'
    >>> write_score((np.array([-0.2]), None), 0, signed=True)
    '−0.2'
    """
    if found is None or not math.isfinite(found[0][place]):
        return NOTHING if found is None or math.isnan(found[0][place]) else "infinite"
    value, error = float(found[0][place]), math.nan if found[1] is None else float(found[1][place])
    plus = "+" * (signed and value > 0)
    if (digits := _count_digits(error)) is None:
        return f"{plus}{scales.number(value)}".replace("-", MINUS)
    return f"{plus}{value:,.{digits}f}".replace("-", MINUS) + f" \u00b1 {error:,.{digits}f}"


def _count_digits(error: float) -> int | None:
    """Count the digits after the point with which a number shows two of its standard error; None without an error."""
    if not (math.isfinite(error) and error > 0):
        return None
    return min(max(0, 1 - math.floor(math.log10(error))), MOST_DIGITS)


def _write_cost(ensemble: xr.Dataset, cost: str, place: int) -> str:
    value = float(data.read_numbers(ensemble, cost)[place]) if cost in ensemble else math.nan
    if not math.isfinite(value):
        return NOTHING
    if cost != InEnsemble.BYTES:
        return f"{value:,.0f}" if value == round(value) else scales.number(value)
    return format_bytes(value)
