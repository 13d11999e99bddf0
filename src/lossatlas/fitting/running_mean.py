"""Means of the trained parameters of a chart over steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from lossatlas.files.tensors import check_alike

__all__ = ["RunningMean"]

SUM = "mean."
"""The prefix of the sums among the tensors of a stored fit."""


@final
class RunningMean:
    """The mean of parameters over the steps at which they were added, from sums in float64.

    In 32 bits a sum of thousands of nearly equal vectors would lose the digits in which they differ. Nothing is held
    before the first step is added.

    Args:
        parameters: the parameters by name, which say shapes, number formats and the device.
    """

    def __init__(self, parameters: Mapping[str, Tensor]) -> None:
        self._like = {name: value.detach() for name, value in parameters.items()}
        self._sums: dict[str, Tensor] = {}
        self.count = 0
        """The number of steps that the mean is of."""

    @property
    def held_bytes(self) -> int:
        """Return the bytes of the sums."""
        return sum(value.numel() * value.element_size() for value in self._sums.values())

    @torch.no_grad()
    def add(self, parameters: Mapping[str, Tensor]) -> None:
        """Add the parameters as they are now."""
        if not self._sums:
            self._sums = {name: torch.zeros_like(like, dtype=torch.float64) for name, like in self._like.items()}
        for name, value in parameters.items():
            self._sums[name].add_(value.detach())
        self.count += 1

    def clear(self) -> None:
        """Begin again."""
        for value in self._sums.values():
            value.zero_()
        self.count = 0

    def compute(self) -> dict[str, Tensor]:
        """Compute the mean, in the parameters' own number formats."""
        return {name: (value / self.count).to(self._like[name].dtype) for name, value in self._sums.items()}

    def state(self) -> dict[str, Tensor]:
        """Return the sums, by name."""
        return {SUM + name: value for name, value in self._sums.items()}

    def restore(self, tensors: Mapping[str, Tensor], count: int) -> None:
        """Continue from sums that :meth:`state` returned, and from the number of steps in them.

        Raises:
            ValueError: they are not sums of such parameters.
        """
        sums = {name.removeprefix(SUM): value for name, value in tensors.items() if name.startswith(SUM)}
        if not sums and count:
            raise ValueError(f"the sums of {count} steps are missing")
        if sums:
            check_alike(sums, {name: torch.empty_like(v, dtype=torch.float64) for name, v in self._like.items()})
        self._sums = {name: value.to(self._like[name].device).clone() for name, value in sums.items()}
        self.count = count
