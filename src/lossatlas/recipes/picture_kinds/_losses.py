"""What pictures share whose cells have losses of their own, rather than low or high ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from lossatlas.data import Dataset, has_images

__all__ = ["list_usual_noise"]


def list_usual_noise(data: Dataset) -> Mapping[str, Any]:
    """List the usual augmentation: noise on images, which these pictures need most, and none of other examples.

    Without it a few examples that are classified wrongly with certainty hold most of the mean loss of dark cells
    (docs/reports/results.md).
    """
    return {"augment": ("noise",) if has_images(data.train.take(torch.arange(1))) else ()}
