"""Scores of ensembles the slow way: one number after the other, with libraries that others wrote."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

from lossatlas.ensembles import Predictions, Rows


def draw_classes(
    members: int = 4, rows: int = 60, classes: int = 3, seed: int = 0, examples: Tensor | None = None
) -> Predictions:
    """Members that are somewhat right, each in its own way, and too certain."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(rows) % classes
    shared = torch.randn(rows, classes, generator=generator)
    logits = shared + torch.randn(members, rows, classes, generator=generator)
    logits = 2 * (logits + 1.2 * torch.nn.functional.one_hot(labels, classes))
    own = torch.arange(rows) if examples is None else examples
    total = int(own.max()) + 1
    names = [f"member {k}" for k in range(members)]
    return Predictions(names, Rows("classes", labels, classes, own, total), logits.log_softmax(dim=2))


def draw_values(members: int = 4, rows: int = 40, width: int = 2, seed: int = 0) -> Predictions:
    """Members whose mean is near the targets, with too little spread."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randn(rows, width, generator=generator)
    values = targets + torch.randn(rows, width, generator=generator) / 2
    values = values + torch.randn(members, rows, width, generator=generator) / 4
    names = [f"member {k}" for k in range(members)]
    return Predictions(names, Rows("values", targets, width, torch.arange(rows), rows), values)


def average(predictions: Predictions, chosen: Sequence[int]) -> Tensor:
    """Averaged probabilities (N, C)."""
    return torch.stack([predictions.of(k).double().exp() for k in chosen]).mean(dim=0)


def score_classes(probabilities: Tensor, labels: Tensor, bins: int = 15) -> dict[str, float]:
    """All scores of probabilities (N, C)."""
    one_hot = torch.nn.functional.one_hot(labels, probabilities.shape[1])
    ece = multiclass_calibration_error(probabilities, labels, probabilities.shape[1], n_bins=bins)
    return {
        "nll": float(-probabilities[torch.arange(len(labels)), labels].log().mean()),
        "error": float((probabilities.argmax(dim=1) != labels).double().mean()),
        "brier": float((probabilities - one_hot).square().sum(dim=1).mean()),
        "ece": float(ece),
    }


def temper(probabilities: Tensor, temperature: float) -> Tensor:
    """Probabilities (N, C) with a temperature."""
    return (probabilities.log() / temperature).softmax(dim=1)


def find_temperature(probabilities: Tensor, labels: Tensor) -> float:
    """The best temperature, by a search of another library."""

    def cost(logarithm: float) -> float:
        return score_nll(temper(probabilities, float(np.exp(logarithm))), labels)

    found = minimize_scalar(cost, bounds=(np.log(0.05), np.log(20)), method="bounded", options={"xatol": 1e-9})
    return float(np.exp(found.x))


def score_nll(probabilities: Tensor, labels: Tensor) -> float:
    """The negative log likelihood of probabilities (N, C)."""
    return float(-probabilities[torch.arange(len(labels)), labels].log().mean())


def order_greedily(predictions: Predictions, rows: Tensor) -> list[int]:
    """The greedy order by trying every member at every step, on some rows (N,), bool."""
    labels = predictions.targets[rows]
    chosen: list[int] = []
    while len(chosen) < len(predictions):
        left = [k for k in range(len(predictions)) if k not in chosen]
        chosen.append(min(left, key=lambda k: score_nll(average(predictions, [*chosen, k])[rows], labels)))
    return chosen
