"""Global average pooling as a mean."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional
from torch.nn.modules.utils import _pair

from lossatlas.engine.layer import Layer, Made

__all__ = ["AdaptiveAvgPool2d"]


class AdaptiveAvgPool2d(Layer):
    """The mean over an image; torch's function sets strides of its result, which ``vmap`` does not support."""

    function = staticmethod(functional.adaptive_avg_pool2d)
    has_parameters = False

    def call(self, made: Made, input: Tensor, output_size: Any) -> Tensor | None:  # noqa: A002, torch's name
        return input.mean((-2, -1), keepdim=True) if _pair(output_size) == (1, 1) else None
