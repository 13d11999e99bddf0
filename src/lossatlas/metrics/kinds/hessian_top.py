"""The largest eigenvalues of the Hessian."""

from __future__ import annotations

from typing import Self

from lossatlas.curvatures import CurvatureSettings
from lossatlas.metrics.curvature import Eigenvalues

__all__ = ["HessianTop"]


class HessianTop(Eigenvalues):
    """The K largest eigenvalues of the Hessian of the mean loss, descending, each as often as it occurs."""

    def __init__(self, settings: CurvatureSettings | None = None, count: int = 5) -> None:
        super().__init__(settings, count)

    @classmethod
    def of(cls, argument: str) -> Self:
        return cls.of_count(argument)
