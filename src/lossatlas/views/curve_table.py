"""The table of losses and errors along a curve and along other paths between its ends."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

from lossatlas.views.report import Grid, text

__all__ = ["curve_grid", "keys_of_grid"]

SCORES = "_scores"
PATHS = {"curve": "curve", "straight": "straight line", "radial": "through the origin"}
LOSSES = {
    "{path}_max": "highest loss",
    "{path}_min": "lowest loss",
    "{path}_mean": "mean loss over t",
    "{path}_integral": "mean loss over length",
    "{path}_barrier": "loss barrier",
}
ERRORS = {
    "{path}_error_max": "highest error, %",
    "{path}_error_min": "lowest error, %",
    "{path}_error_mean": "mean error over t, %",
    "{path}_error_integral": "mean error over length, %",
}
"""Keys of the scores of a split, and the headings of their columns."""
WORST_ERROR = "worse_end_error"


def curve_grid(summary: Mapping[str, Any]) -> Grid:
    """Make the table with a row per split and path: the loss along the path and, where accuracies are known, the error.

    Args:
        summary: as ``lossatlas connect`` writes it: scores of each split under ``<split>_scores``. Paths without
            scores are left out; a number that is missing or not finite is shown as a dash.
    """
    found = {key.removesuffix(SCORES): scores for key, scores in summary.items() if _is_scores(key, scores)}
    splits = {split: found[split] for split in sorted(found, key=lambda split: (split != "train", split != "test"))}
    columns = {
        key: name
        for key, name in {**LOSSES, **ERRORS}.items()
        if key in LOSSES or any(key.format(path=path) in scores for scores in splits.values() for path in PATHS)
    }
    rows = [
        [f"{split}, {name}", *(_cell(key, scores.get(key.format(path=path))) for key in columns)]
        for split, scores in splits.items()
        for path, name in PATHS.items()
        if any(key.format(path=path) in scores for key in columns)
    ]
    return Grid("The curve and other paths", ["split and path", *columns.values()], rows, _note(splits))


def keys_of_grid(summary: Mapping[str, Any]) -> list[str]:
    """List the keys of a summary that :func:`curve_grid` shows: the scores of splits, and copies of these scores."""
    keys = {key.format(path=path) for key in (*LOSSES, *ERRORS) for path in PATHS} | {"worse_end", WORST_ERROR}
    return [key for key, value in summary.items() if _is_scores(key, value) or key in keys]


def _is_scores(key: str, value: object) -> bool:
    return key.endswith(SCORES) and isinstance(value, Mapping)


def _note(splits: Mapping[str, Mapping[str, Any]]) -> str:
    """Explain the columns, and state the loss of the worse end."""
    worst = []
    for split, scores in splits.items():
        error = f", error {_cell(WORST_ERROR, scores.get(WORST_ERROR))} %" * (WORST_ERROR in scores)
        worst.append(f"{split} {_cell('', scores.get('worse_end'))}{error}")
    return (
        "Means over t follow the curve's parameter; means over length weight every stretch of the curve by its length. "
        "The loss barrier is the highest loss on the path minus the loss of the worse end"
        + (f" ({'; '.join(worst)})." if worst else ".")
    )


def _cell(key: str, value: object) -> str:
    """Format a number as reports write it, errors in percent; a dash where it is missing."""
    if not isinstance(value, Real) or not math.isfinite(value):
        return text("", None)
    return text("", 100.0 * value if key in (*ERRORS, WORST_ERROR) else value)
