"""The interface of what has only some points of a grid evaluated, and the others interpolated between them."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt

from lossatlas.surveying.arrays import Mask

__all__ = ["Refining"]


class Refining(ABC):
    """Says which points of a grid are evaluated; the surveyor interpolates the others between these."""

    @abstractmethod
    def coarsest(self) -> Mask:
        """The points (U, V, ...) that decide in which numbers values are compared (:class:`Scale`): always the same."""

    @abstractmethod
    def wanted(self, values: npt.NDArray[np.float64], known: Mask) -> Mask:
        """The points to evaluate so far: those that are, and those that come next; nothing more once all are known.

        Args:
            values: (U, V, ...) of the leading metric, on its scale; what is not known does not matter.
            known: which values are.
        """
