"""The report of a comparison of networks: a self-contained HTML page with pictures, tables and the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from lossatlas.views import scales
from lossatlas.views.picture import DrawnPicture
from lossatlas.views.report import Grid, place_pictures, text, write_page

__all__ = ["write_comparison"]

KINDS = {
    "within_same_start": "same group, same start",
    "within_other_start": "same group, different starts",
    "between_same_start": "different groups, same start",
    "between_other_start": "different groups, different starts",
}
"""Names of the kinds of pairs in tables."""
PER_RUN = {
    "group": "group",
    "train_loss": "train loss",
    "test_loss": "test loss",
    "test_accuracy": "test accuracy",
    "distance_from_start": "distance from the start",
    "weight_norm": "weight norm",
    "width": "basin width",
    "sharpness": "sharpness, %",
}
PER_PAIR = {
    "distance": "distance",
    "barrier": "loss barrier",
    "barrier_slope": "steepest slope of the loss",
    "disagreement": "disagreement",
    "js_divergence": "JS divergence, nats",
    "squared_difference": "squared difference",
}


def write_comparison(
    path: Path | str,
    comparison: xr.Dataset,
    summary: Mapping[str, Any],
    config_yaml: str,
    pictures: Mapping[str, DrawnPicture],
    rendered: Mapping[str, bytes] | None = None,
) -> None:
    """Write the page of a comparison, whole or not at all.

    Args:
        path: the file; its directory is made if need be.
        comparison: the labelled data of the comparison.
        summary: the numbers of the comparison: ``runs``, ``pairs``, ``groups``, ``spread`` and
            ``sharpness_and_test_error``.
        config_yaml: the configuration that reproduces the comparison.
        pictures: the pictures in the order of the page.
        rendered: PNG files of the pictures by name, where they exist already.

    Raises:
        CannotFinish: the file cannot be written.
    """
    largest = max(len(runs) for runs in summary["groups"].values())
    write_page(
        path,
        title=f"{len(summary['runs'])} networks compared",
        lead=_lead(comparison, summary),
        tiles=_tiles(summary),
        images=place_pictures(pictures, rendered),
        grids=[_runs(comparison, summary), *([_spread(summary)] if largest > 1 else []), _pairs(summary)],
        config_yaml=config_yaml,
    )


def _lead(comparison: xr.Dataset, summary: Mapping[str, Any]) -> str:
    groups = summary["groups"]
    largest = max(len(runs) for runs in groups.values())
    repeated = f", with up to {largest} runs each that differ only by their seed" if largest > 1 else ""
    return (
        f"{len(summary['runs'])} trained networks in {len(groups)} group{'s' * (len(groups) > 1)}{repeated}. The loss "
        f"between and around them was measured on the {comparison.attrs['split']} split, and how differently they "
        f"predict on the {comparison.attrs['compared_split']} split. Every surface, line and slice is a run of its own "
        "in surveys/."
    )


def _tiles(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List the main results of the comparison."""
    pairs = summary["pairs"].values()
    tiles = [("networks", text("", len(summary["runs"]))), ("groups", text("", len(summary["groups"])))]
    for key, label in (("barrier", "largest loss barrier"), ("disagreement", "largest disagreement")):
        known = [pair[key] for pair in pairs if pair.get(key) is not None]
        if known:
            tiles.append((label, scales.percent(max(known)) if key == "disagreement" else text("", max(known))))
    rank = summary["sharpness_and_test_error"]
    if rank["spearman"] is not None:
        tiles.append(
            (f"rank correlation of sharpness with test error over {rank['runs']} runs", text("", rank["spearman"]))
        )
    return tiles


def _runs(comparison: xr.Dataset, summary: Mapping[str, Any]) -> Grid:
    runs = summary["runs"]
    keys = [key for key in PER_RUN if any(key in run for run in runs.values())]
    rows = [
        [name, *(_with_deviation(run.get(key), run.get(f"{key}_standard_deviation")) for key in keys)]
        for name, run in runs.items()
    ]
    attributes = comparison.attrs
    note = (
        f"The basin width is how far, in lengths of the slice's direction, the {attributes['split']} loss stays below "
        f"{scales.number(float(attributes['level']))}; a dash means that it does to the end of the slice. Sharpness "
        f"(Keskar et al. 2017) is the largest rise of the loss on the slice within {float(attributes['radius']):g} of "
        "the network, in percent of one plus its loss. Both are means over repeats, with their standard deviations."
    )
    return Grid("Networks", ["run", *(PER_RUN[key] for key in keys)], rows, note)


def _spread(summary: Mapping[str, Any]) -> Grid:
    found = summary["spread"]
    kinds = [kind for kind in KINDS if any(kind in rows for rows in found.values())]
    rows = [
        [PER_PAIR.get(key, key), *(_moments(kinds_found.get(kind)) for kind in kinds)]
        for key, kinds_found in found.items()
    ]
    note = (
        "Each cell is a mean over pairs, with its standard deviation and, in brackets, the number of pairs. The runs "
        "of a group differ only by their seed; runs from the same start had the same initial weights."
    )
    return Grid("Within and between groups", ["quantity", *(KINDS[kind] for kind in kinds)], rows, note)


def _moments(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return text("", None)
    return f"{_with_deviation(found['mean'], found['deviation'])} ({found['pairs']})"


def _pairs(summary: Mapping[str, Any]) -> Grid:
    pairs = summary["pairs"]
    keys = [key for key in PER_PAIR if any(key in pair for pair in pairs.values())]
    rows: Sequence[Sequence[str]] = [
        [name.replace("--", " and "), *(text("", pair.get(key)) for key in keys)] for name, pair in pairs.items()
    ]
    note = (
        "The loss barrier is how far the loss on the straight line between two networks rises above the line between "
        "their losses. Disagreement is the share of examples that they label differently. The JS divergence is a mean "
        "over examples, in natural logarithms and thus at most log 2 = 0.693."
    )
    return Grid("Pairs", ["pair", *(PER_PAIR[key] for key in keys)], rows, note)


def _with_deviation(value: object, deviation: object) -> str:
    return text("", value) + (f" ± {text('', deviation)}" if deviation is not None else "")
