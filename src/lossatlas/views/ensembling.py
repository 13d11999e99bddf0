"""The report of ensembles: a self-contained HTML page with scores, costs, pictures and the configuration."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from lossatlas.describing import count_things, format_bytes
from lossatlas.schema import InEnsemble
from lossatlas.views import data, scales
from lossatlas.views.ensemble_data import (
    Ensembles,
    count_members,
    has_values,
    list_costs,
    list_differing,
    list_scores,
    name_ensembles,
    read_halves,
    read_values,
)
from lossatlas.views.picture import DrawnPicture
from lossatlas.views.report import Grid, place_pictures, write_page

__all__ = ["write_ensembles"]

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


def write_ensembles(
    path: Path | str,
    subject: Ensembles | xr.Dataset,
    config_yaml: str,
    pictures: Mapping[str, DrawnPicture],
    rendered: Mapping[str, bytes] | None = None,
    *,
    title: str = "",
    grids: Sequence[Grid] = (),
) -> None:
    """Write the page of an ensemble, or of several, whole or not at all.

    Args:
        path: the file; its directory is made if need be.
        subject: the labelled data of an ensemble (see :class:`lossatlas.schema.InEnsemble`), or of several by name.
        config_yaml: the configuration that reproduces them.
        pictures: the pictures in the order of the page.
        rendered: PNG files of the pictures by name, where they exist already.
        title: the title of the page; by default it states how many members there are.
        grids: further tables, which are shown after the scores.

    Raises:
        CannotFinish: the file cannot be written.
    """
    ensembles = name_ensembles(subject)
    tables = [_tabulate_all(ensembles)] if len(ensembles) > 1 else []
    details = []
    for name, one in ensembles.items():
        of = f"{name}: " if len(ensembles) > 1 else ""
        tables.append(_tabulate_scores(one, f"{of}scores on all examples"))
        tables += _tabulate_halves(one, f"{of}scores on halves")
        details += [_tabulate_counts(one, f"{of}number of members"), _tabulate_members(one, f"{of}members")]
    write_page(
        path,
        title=title or _name_page(ensembles),
        lead=" ".join([*(_summarise(name, one) for name, one in ensembles.items()), *_note_differing(ensembles)]),
        tiles=_tile(ensembles),
        images=place_pictures(pictures, rendered),
        summary_grids=[*tables, *grids],
        grids=details,
        config_yaml=config_yaml,
    )


def _name_page(ensembles: Ensembles) -> str:
    if len(ensembles) > 1:
        return f"{len(ensembles)} ensembles compared"
    (one,) = ensembles.values()
    return f"Ensemble of {count_things(one.sizes[InEnsemble.MEMBER], 'member')}"


def _summarise(name: str, ensemble: xr.Dataset) -> str:
    """State in a sentence what was averaged, and how its first score compares with that of the first member."""
    what = "probabilities" if ensemble.attrs[InEnsemble.KIND] == InEnsemble.CLASSES else "outputs"
    score = list_scores({name: ensemble})[0]
    alone, together, difference = _read_ends(ensemble, score)
    examples = count_things(int(ensemble.attrs[InEnsemble.EXAMPLES]), "example")
    members = count_things(int(count_members(ensemble)[-1]), "member")
    compared = f", {difference} against the first member's {alone}" * (NOTHING not in (alone, difference))
    split = f" of the {ensemble.attrs[InEnsemble.SPLIT]} split" if InEnsemble.SPLIT in ensemble.attrs else ""
    return (
        f"{name}: the {what} of {members}, averaged, on {examples}{split}: "
        f"{_label(ensemble, score)} {together}{compared}."
    )


def _note_differing(ensembles: Ensembles) -> Iterator[str]:
    for note in list_differing(ensembles):
        yield f"{note[0].upper()}{note[1:]}."


def _tile(ensembles: Ensembles) -> list[tuple[str, str]]:
    """List the main numbers of a single ensemble."""
    if len(ensembles) > 1:
        return [("ensembles", str(len(ensembles)))]
    (one,) = ensembles.values()
    tiles = [("members", str(one.sizes[InEnsemble.MEMBER]))]
    tiles += [(_label(one, score), _read_ends(one, score)[1]) for score in list_scores(ensembles)]
    if (found := read_halves(one, "nll", InEnsemble.GIVEN, InEnsemble.TEMPERED)) is not None:
        tiles.append((f"{_label(one, 'nll')}, tempered on halves", _write(found, -1)))
    return tiles


def _read_ends(ensemble: xr.Dataset, score: str) -> tuple[str, str, str]:
    """Write a score of the first member, of all members, and the paired difference, each with its standard error."""
    whole = read_values(ensemble, score)
    alone = read_values(ensemble, InEnsemble.of_member(score))
    name = InEnsemble.difference(score)
    difference = _write(read_values(ensemble, name), -1, signed=True) if name in ensemble else NOTHING
    return _write(alone, 0), _write(whole, -1), difference


def _tabulate_all(ensembles: Ensembles) -> Grid:
    """Make the table of several ensembles with all their members, a row for each."""
    scores, costs = list_scores(ensembles), list_costs(ensembles)
    first = next(iter(ensembles.values()))
    halves = [score for score in scores if any(InEnsemble.halves(score) in one for one in ensembles.values())]
    rows = [
        [
            name,
            str(one.sizes[InEnsemble.MEMBER]),
            *(_read_ends(one, score)[1] for score in scores),
            *(_write(read_halves(one, score, InEnsemble.GIVEN, InEnsemble.TEMPERED), -1) for score in halves),
            *(_write_cost(one, cost, -1) for cost in costs),
        ]
        for name, one in ensembles.items()
    ]
    head = [
        "ensemble",
        "members",
        *(_label(first, score) for score in scores),
        *(f"{_label(first, score)}, tempered" for score in halves),
        *(HEADS[cost] for cost in costs),
    ]
    return Grid("Ensembles", head, rows, f"{ERRORS} Tempered scores are those on halves. {ON_HALVES}")


def _tabulate_scores(ensemble: xr.Dataset, title: str) -> Grid:
    rows = []
    for score in list_scores({"": ensemble}):
        alone, together, difference = _read_ends(ensemble, score)
        rows.append([_label(ensemble, score), alone, _write_spread(ensemble, score), together, difference])
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


def _tabulate_halves(ensemble: xr.Dataset, title: str) -> Iterator[Grid]:
    """Make the table of raw and tempered scores of one, of about half and of all members; none without halves."""
    counts = count_members(ensemble)
    places = list(dict.fromkeys((0, len(counts) // 2, len(counts) - 1)))
    rows = []
    for score in list_scores({"": ensemble}):
        for order in (InEnsemble.GIVEN, InEnsemble.GREEDY):
            for scale in (InEnsemble.RAW, InEnsemble.TEMPERED):
                if (found := read_halves(ensemble, score, order, scale)) is not None:
                    name = f"{_label(ensemble, score)}, {order} order, {scale}"
                    rows.append([name, *(_write(found, place) for place in places)])
    if rows:
        head = ["score", *(count_things(int(counts[place]), "member") for place in places)]
        yield Grid(_capitalise(title), head, rows, f"{ERRORS} {ON_HALVES}")


def _tabulate_counts(ensemble: xr.Dataset, title: str) -> Grid:
    """Make the table of scores and costs by number of members, in the given order."""
    scores = list_scores({"": ensemble})
    costs = [cost for cost in HEADS if has_values(ensemble, cost)]
    rows = [
        [
            f"{count:.0f}",
            *(_write(read_values(ensemble, score), k) for score in scores),
            *(_write_cost(ensemble, cost, k) for cost in costs),
        ]
        for k, count in enumerate(count_members(ensemble))
    ]
    unknown = [HEADS[cost] for cost in HEADS if cost not in costs]
    note = f"The first members in the given order, raw, on all examples. {ERRORS}"
    lost = f" Not known: {', '.join(unknown)}." * bool(unknown)
    head = ["members", *(_label(ensemble, score) for score in scores), *(HEADS[cost] for cost in costs)]
    return Grid(_capitalise(title), head, rows, note + lost)


def _tabulate_members(ensemble: xr.Dataset, title: str) -> Grid:
    scores = list_scores({"": ensemble})
    places = None
    if InEnsemble.POSITION in ensemble:
        over = [dim for dim in ensemble[InEnsemble.POSITION].dims if dim != InEnsemble.MEMBER]
        places = 1 + np.asarray(ensemble[InEnsemble.POSITION].mean(over).values, dtype=np.float64)
    rows = [
        [
            str(name),
            *(_write(read_values(ensemble, InEnsemble.of_member(score)), k) for score in scores),
            *([] if places is None else [scales.number(float(places[k]))]),
        ]
        for k, name in enumerate(ensemble[InEnsemble.MEMBER].values)
    ]
    greedy = [] if places is None else ["mean place in greedy orders"]
    return Grid(_capitalise(title), ["member", *(_label(ensemble, score) for score in scores), *greedy], rows, ERRORS)


def _label(ensemble: xr.Dataset, score: str) -> str:
    return data.label_variable(ensemble, score)


def _capitalise(title: str) -> str:
    return f"{title[0].upper()}{title[1:]}" if ": " not in title else title


def _write(found: tuple[scales.Floats, scales.Floats | None] | None, place: int, *, signed: bool = False) -> str:
    """Write a value with its standard error, both to two digits of the latter.

    >>> _write((np.array([0.173333]), np.array([0.0219])), 0), _write((np.array([-0.2]), None), 0, signed=True)
    ('0.173 ± 0.022', '−0.2')
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
