"""Inputs of networks as small images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["make_image"]

MOST_PIXELS = 512
"""The longest side of an image."""
FEWEST_PIXELS = 4
"""The shortest side of an image with an axis of channels."""
FEWEST_PLAIN = 8
"""The shortest side of an image without one: narrower matrices are likelier to be something else."""


def make_image(inputs: Any) -> npt.NDArray[np.uint8] | None:
    """Make an image of the inputs of one example, stretched from its smallest number to its largest.

    Args:
        inputs: what a module is called with for a batch of one example, with any nesting. The first tensor counts; it
            looks like an image as (1, C, H, W), (1, H, W, C) or (1, H, W) with one or three channels.

    Returns:
        The image, (H, W) of one channel and (H, W, 3) of three; None where it does not look like one.
    """
    import torch
    from torch.utils._pytree import tree_leaves

    tensor = next((leaf for leaf in tree_leaves(inputs) if isinstance(leaf, torch.Tensor)), None)
    pixels = None if tensor is None else _find_pixels(tensor)
    if pixels is None or not bool(pixels.isfinite().all()):
        return None
    values = pixels.double().cpu().numpy()
    low, high = float(values.min()), float(values.max())
    stretched = (values - low) / (high - low) if high > low else np.full_like(values, 0.5)
    return np.round(stretched * 255).astype(np.uint8)


def _find_pixels(tensor: Tensor) -> Tensor | None:
    """The pixels of the first example, (H, W) or (H, W, 3); None where they do not look like an image."""
    if tensor.ndim not in (3, 4) or len(tensor) != 1 or tensor.is_complex():
        return None
    one = tensor[0]
    if not (one.is_floating_point() or str(one.dtype) == "torch.uint8"):  # other integers are tokens
        return None
    if one.ndim == 3:
        if one.shape[0] in (1, 3):
            one = one.permute(1, 2, 0)
        if one.shape[2] not in (1, 3):
            return None
        one = one[:, :, 0] if one.shape[2] == 1 else one
    fewest = FEWEST_PIXELS if tensor.ndim == 4 else FEWEST_PLAIN
    return one if all(fewest <= side <= MOST_PIXELS for side in one.shape[:2]) else None
