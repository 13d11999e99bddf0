"""What the members of a fit are together: their averaged prediction, and how alike they err."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lossatlas.data import Split
from lossatlas.engine import Engine, Evaluation, Folded
from lossatlas.losses import Loss
from lossatlas.metrics import choose_streaming_metrics
from lossatlas.objectives.residuals import find_residuals, has_residuals, multiply_residuals
from lossatlas.pictures import MemberGrid

if TYPE_CHECKING:
    from lossatlas.recipes.fit import FitRecipe

__all__ = ["coincide", "score_together"]

ALIKE = 1e-4
"""Members are one network where the predictions of two differ by this share of their errors, squared, or less."""

SMALLEST = 1e-30
"""Smaller averaged probabilities are replaced by this value before a logarithm is taken."""


def score_together(recipe: FitRecipe, engine: Engine) -> dict[str, dict[str, float]]:
    """Score the averaged prediction of the members of a fitted grid, on the examples that are surveyed.

    Args:
        recipe: the recipe of a fit of members.
        engine: the engine of its survey.

    Returns:
        By split ``averaged_loss`` and, under a loss that classifies, ``averaged_accuracy``: those of the mean of the
        members' probabilities, or of their outputs under the squared error; and ``error_product``, the mean over
        examples and pairs of members of the product of their residuals; and ``mean_squared_difference``, that of the
        squared distance of their predictions. Nothing under other losses.
    """
    picture = recipe.picture
    assert isinstance(picture, MemberGrid)
    if not has_residuals(engine.network.loss):
        return {}
    controls = recipe.chart.controls().detach()
    coefficients = recipe.chart.mixture(torch.from_numpy(picture.member_coords()), controls).detach()
    size = recipe.config.eval_batch_size
    return {name: _score(engine, coefficients, controls, split, size) for name, split in recipe.surveyed.items()}


def coincide(scores: Iterable[Mapping[str, float]]) -> bool:
    """Return whether the members of a fit have become one network, by what :func:`score_together` found by split."""
    found = [(one["mean_squared_difference"], one["error_product"]) for one in scores]
    return bool(found) and all(difference <= ALIKE * max(product, 0.0) for difference, product in found)


def _score(engine: Engine, coefficients: Tensor, controls: Tensor, split: Split, size: int) -> dict[str, float]:
    loss, count = engine.network.loss, len(coefficients)
    metrics = choose_streaming_metrics(loss)
    sums: dict[int, list[Tensor]] = {}
    """What is summed over members, by the first example of a batch."""
    found: dict[str, Tensor] = {}
    product = square = weight = 0.0
    for points, examples, evaluation in engine.evaluations(coefficients, controls, split, size):
        residuals = find_residuals(loss, evaluation.outputs, evaluation.targets).double()
        share = [
            _predict(loss, evaluation.outputs, evaluation.targets).double().sum(dim=0),
            residuals.sum(dim=0),
            residuals.square().sum(dim=(0, 2)),
        ]
        before = sums.get(examples.start)
        sums[examples.start] = now = share if before is None else [a + b for a, b in zip(before, share, strict=True)]
        if points.stop < count:
            continue
        predicted, total, squares = now
        product += float(multiply_residuals(total, squares, count) @ evaluation.weights)
        square += float(squares @ evaluation.weights) / count
        weight += float(evaluation.weights.sum())
        averaged = _evaluate(loss, predicted / count, evaluation)
        for name, metric in metrics.items():
            added = metric.sums(averaged).double()
            found[name] = found[name] + added if name in found else added
        del sums[examples.start]
    folded = {name: Folded(total, len(split), len(split), lambda: torch.ones(1)) for name, total in found.items()}
    return {
        **{f"averaged_{name}": float(metric.value(folded[name])) for name, metric in metrics.items()},
        "error_product": product / weight if weight else math.nan,
        "mean_squared_difference": 2 * (square - product) / weight if weight else math.nan,
    }


def _predict(loss: Loss, outputs: Tensor, targets: Any) -> Tensor:
    """Return probabilities in the layout of the outputs (k, B, ...); under the squared error the outputs."""
    return outputs.double().softmax(dim=loss.labelled(outputs, targets).axis) if loss.classifies else outputs


def _evaluate(loss: Loss, predicted: Tensor, one: Evaluation) -> Evaluation:
    """Return the evaluation of an averaged prediction (B, ...), on the batch of another evaluation."""
    outputs = predicted.clamp(min=SMALLEST).log() if loss.classifies else predicted.to(one.outputs.dtype)
    return Evaluation.of_one(outputs, loss(outputs, one.targets), one.targets, one.batch, loss)
