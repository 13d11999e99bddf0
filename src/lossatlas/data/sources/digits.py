"""Scikit-learn's digits: 1,797 images of 8x8 pixels, the embedded default."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from lossatlas.data.dataset import Dataset
from lossatlas.data.source import DataSource
from lossatlas.data.split import Split
from lossatlas.streams import make_generator

__all__ = ["Digits"]

TEST_EXAMPLES = 450
MEAN, STD = 4.884, 6.017


@dataclass(frozen=True)
class Digits(DataSource):
    """Handwritten digits (Alpaydin & Kaynak 1998) as images (N, 1, 8, 8), standardised by fixed constants.

    The split is fixed: 1,347 training and 450 test examples. Mean 4.884 and standard deviation 6.017 of all pixels
    (range 0 to 16) are subtracted and divided by.
    """

    def load(self) -> Dataset:
        images, labels = _read()
        order = torch.randperm(len(labels), generator=make_generator(0, "data/digits"))
        test, train = order[:TEST_EXAMPLES], order[TEST_EXAMPLES:]
        return Dataset(
            name="digits",
            train=Split((images[train], labels[train])),
            test=Split((images[test], labels[test])),
            classes=10,
            class_names=tuple(str(digit) for digit in range(10)),
            normalisation=f"(x - {MEAN}) / {STD} for values x in 0..16; constants of digits",
        )


@cache
def _read() -> tuple[Tensor, Tensor]:
    """All images (N, 1, 8, 8), standardised, and their labels (N,): cached, since studies load them for each run.

    These tensors must not be handed out: changing a split would change the splits of all later runs.
    """
    from sklearn.datasets import load_digits  # slow to import, and only needed here

    raw = load_digits()
    images = torch.tensor(raw.images, dtype=torch.float32)[:, None]
    return (images - MEAN) / STD, torch.tensor(raw.target, dtype=torch.int64)
