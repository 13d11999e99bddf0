"""Scores of how well measured accuracies and losses show a picture.

All arrays have the shape of the picture's cells (see :meth:`Raster.from_grid`), without padding, and ignored cells do
not count.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lossatlas.errors import BadInput
from lossatlas.pictures.colour import ColourPicture
from lossatlas.pictures.members import MemberGrid
from lossatlas.pictures.picture import Picture
from lossatlas.pictures.raster import Raster
from lossatlas.schema import CHANNELS

__all__ = ["LOSS_FLOOR", "correlate", "score_accuracy", "score_colours", "score_loss", "score_members"]

LOSS_FLOOR = 1e-12
"""Smaller losses are replaced by this value before a logarithm is taken."""

Reals = npt.NDArray[np.floating[Any]]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def score_accuracy(picture: Picture, accuracy: Reals, sampled: Mask) -> dict[str, float | None]:
    """Score the accuracies of low and high cells, and how similar the map of accuracies is to the ink.

    Args:
        picture: the requested picture.
        accuracy: in [0, 1], of the shape of the cells; ignored cells may hold anything.
        sampled: the cells that the fit sampled, such as :meth:`Picture.find_boundary`, a boolean array of the shape of
            the cells.

    Returns:
        ``low_accuracy`` and ``high_accuracy``, means over all cells of a class; the same over its cells that the fit
        sampled (``_drawn``) or not (``_undrawn``), None where there are none; ``gap``, low minus high; and ``iou``,
        the intersection over union of the ink and the cells whose accuracy is above the midpoint of the two means.

    Raises:
        BadInput: another shape, or accuracies that are not finite.

    >>> import numpy as np, lossatlas as la
    >>> diagonal = la.Picture(np.eye(4, dtype=bool), "diagonal")
    >>> scores = la.score_accuracy(diagonal, np.where(np.eye(4), 0.9, 0.1), diagonal.find_boundary())
    >>> round(scores["gap"], 3), scores["iou"]
    (0.8, 1.0)
    """
    _check_shape(picture, accuracy, "accuracy")
    _check_shape(picture, sampled, "mask of sampled cells")
    counted = picture.low | picture.high
    values = np.where(counted, accuracy, 0.0).astype(np.float64)
    if not np.isfinite(values).all():
        raise BadInput(
            f"the accuracy of {np.count_nonzero(~np.isfinite(values))} cells of picture {picture.name!r} is not finite"
            "; expected numbers in [0, 1]: finish the survey first"
        )
    low, high = float(values[picture.low].mean()), float(values[picture.high].mean())
    # A constant map is not above its own mean, whatever the rounding error.
    seen = counted & (values > (low + high) / 2 + 1e-12)
    iou = float(np.count_nonzero(seen & picture.low) / np.count_nonzero(seen | picture.low))
    return {
        "low_accuracy": low,
        "high_accuracy": high,
        "gap": low - high,
        "iou": iou,
        "low_accuracy_drawn": _mean(values[picture.low & sampled]),
        "low_accuracy_undrawn": _mean(values[picture.low & ~sampled]),
        "high_accuracy_drawn": _mean(values[picture.high & sampled]),
        "high_accuracy_undrawn": _mean(values[picture.high & ~sampled]),
    }


def score_loss(picture: Raster, loss: Reals) -> dict[str, float | None]:
    """Score how the logarithm of the loss correlates with the target, and how far it differs from it.

    The target is +1 on high cells and -1 on low ones, or the logarithm of the loss of a grey picture, so that a good
    fit has positive correlations. Natural logarithms are taken of the loss or of 1e-12, whichever is larger.

    Args:
        picture: the requested picture.
        loss: of the shape of the cells; ignored cells may hold anything.

    Returns:
        ``log_loss_correlation`` with the target (Pearson) and ``log_loss_rank_correlation`` (Spearman, average ranks
        for ties); ``non_finite``, how many cells were left out because their loss is infinite or NaN. For a
        :class:`Picture` also ``low_loss`` and ``high_loss``, means over a class, and ``log_loss_gap``, the mean log
        loss of high cells minus that of low ones; for a :class:`GreyPicture` ``log_loss_rmse``, the root mean square
        of log loss minus target. None stands for what is not defined: no cell of a class is left, all losses are
        equal, or (for what needs the logarithm) a loss is negative.

    Raises:
        BadInput: another shape.

    >>> import numpy as np, lossatlas as la
    >>> diagonal = la.Picture(np.eye(4, dtype=bool), "diagonal")
    >>> scores = la.score_loss(diagonal, np.where(np.eye(4), 0.1, 2.3))
    >>> round(scores["log_loss_correlation"], 3)
    1.0
    """
    _check_shape(picture, loss, "loss")
    counted = ~np.isnan(picture.target)
    finite = counted & np.isfinite(loss)
    values, target = loss[finite].astype(np.float64), picture.target[finite]
    logs = np.log(np.maximum(values, LOSS_FLOOR)) if values.size and values.min() >= 0 else None
    if isinstance(picture, Picture):
        scores = _class_losses(values, logs, picture.high[finite])
    else:
        scores = {"log_loss_rmse": None if logs is None else float(np.sqrt(np.mean((logs - target) ** 2)))}
    return {
        **scores,
        "log_loss_correlation": None if logs is None else correlate(logs, target),
        "log_loss_rank_correlation": None if logs is None else correlate(_ranks(logs), _ranks(target)),
        "non_finite": int(np.count_nonzero(counted & ~finite)),
    }


def score_colours(picture: ColourPicture, losses: Reals) -> dict[str, float | None]:
    """Score how the logarithms of the losses of three groups of classes correlate with their targets.

    Natural logarithms are taken of the losses or of 1e-12, whichever is larger.

    Args:
        picture: the requested picture.
        losses: of red, green and blue, (H, W, 3); ignored cells may hold anything.

    Returns:
        ``red_correlation``, ``green_correlation`` and ``blue_correlation`` of a channel with its target (Pearson);
        ``red_green_correlation`` of the difference R - G of log losses with that of their targets, and
        ``blue_yellow_correlation`` of B - (R + G) / 2, which say whether there are colours and not only brightness;
        ``log_loss_rmse``, the root mean square of log loss minus target over cells and channels; and ``non_finite``,
        how many cells were left out because a loss of theirs is infinite or NaN. None stands for what is not defined:
        a constant, or (for all) a negative loss. A channel that is finite nowhere, as that of a group without an
        example, has no score and takes no cell from the others.

    Raises:
        BadInput: another shape.
    """
    _check_shape(picture, losses[..., 0], "losses")
    if losses.shape[-1] != len(CHANNELS):
        raise BadInput(f"the losses of picture {picture.name!r} are of {losses.shape[-1]} groups; expected three")
    counted = np.isfinite(picture.target)
    known = np.isfinite(losses[counted]).any(axis=0)
    finite = counted & np.isfinite(losses[..., known]).all(axis=-1) & known.any()
    values, target = losses[finite][:, known].astype(np.float64), picture.log_losses[finite][:, known]
    logs = np.log(np.maximum(values, LOSS_FLOOR)) if values.size and values.min() >= 0 else None

    def score(weights: tuple[float, float, float]) -> float | None:
        mix = np.array(weights)
        if logs is None or mix[~known].any():
            return None
        return correlate(logs @ mix[known], target @ mix[known])

    pure = {"red": (1.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0), "blue": (0.0, 0.0, 1.0)}
    opponent = {"red_green": (1.0, -1.0, 0.0), "blue_yellow": (-0.5, -0.5, 1.0)}
    return {
        **{f"{name}_correlation": score(weights) for name, weights in (pure | opponent).items()},
        "log_loss_rmse": None if logs is None else float(np.sqrt(np.mean((logs - target) ** 2))),
        "non_finite": int(np.count_nonzero(counted & ~finite)),
    }


def score_members(picture: MemberGrid, name: str, values: Reals) -> dict[str, float]:
    """Score the members of a grid by one number of each, such as the loss.

    Args:
        picture: the grid of members.
        name: what the numbers are.
        values: of the shape of the cells; those that are ignored may hold anything.

    Returns:
        The mean over members (``member_loss``), the lowest and the highest (``lowest_member_loss``, ...).

    Raises:
        BadInput: another shape.

    >>> import numpy as np, lossatlas as la
    >>> score_members(la.MemberGrid(3), "loss", np.array([[1.0, 2.0], [6.0, 0.0]]))
    {'member_loss': 3.0, 'lowest_member_loss': 1.0, 'highest_member_loss': 6.0}
    """
    _check_shape(picture, values, name)
    found = values[picture.low].astype(np.float64)
    return {
        f"member_{name}": float(found.mean()),
        f"lowest_member_{name}": float(found.min()),
        f"highest_member_{name}": float(found.max()),
    }


def _class_losses(values: Floats, logs: Floats | None, high: Mask) -> dict[str, float | None]:
    gap = None
    if logs is not None and high.any() and not high.all():
        gap = float(logs[high].mean() - logs[~high].mean())
    return {"low_loss": _mean(values[~high]), "high_loss": _mean(values[high]), "log_loss_gap": gap}


def _check_shape(picture: Raster, array: npt.NDArray[Any], what: str) -> None:
    if array.shape != picture.shape:
        raise BadInput(
            f"the {what} of picture {picture.name!r} has shape {array.shape}; expected that of its cells, "
            f"{picture.shape} (from_grid turns a survey's order into it)"
        )


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if values.size else None


def _ranks(values: Floats) -> Floats:
    """Ranks from 1, with average ranks for ties."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse])


def correlate(a: Floats, b: Floats) -> float | None:
    """Compute Pearson's correlation; None where one of the two is constant."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
