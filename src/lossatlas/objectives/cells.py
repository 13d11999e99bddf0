"""The base of objectives that ask something of each cell of a picture."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lossatlas.errors import BadInput
from lossatlas.objectives.objective import SampledPoints, SingleStage
from lossatlas.objectives.scoring import pick_points
from lossatlas.pictures import Raster
from lossatlas.streams import make_generator

__all__ = ["CellTargets"]


class CellTargets(SingleStage):
    """Targets of all cells that are not ignored, of which a step samples some without replacement.

    Args:
        picture: the picture.
        targets: of the shape of the picture's cells and any further axes; NaN where a cell is ignored.
        cells: how many cells a step samples; all where there are fewer.

    Raises:
        BadInput: fewer than one cell a step.
    """

    def __init__(self, picture: Raster, targets: npt.NDArray[np.float64], cells: int) -> None:
        if cells < 1:
            raise BadInput(f"a step samples {cells} cells; expected at least 1")
        self.picture = picture
        self.axes = picture.axes
        self.sampled = np.asarray(np.isfinite(targets.reshape(*picture.shape, -1)).all(axis=-1))
        """The cells that may be sampled, shaped like the picture's: all that are not ignored."""
        self._coords, self._targets = (torch.from_numpy(each[self.sampled]) for each in (picture.coords(), targets))
        self.most_points = min(cells, len(self._targets))

    def _describe(self) -> str:
        return f"{self.picture!r}, {super()._describe()}"

    def sample(self, seed: int, step: int, progress: float, running: Mapping[str, float]) -> SampledPoints:
        order = torch.randperm(len(self._targets), generator=make_generator(seed, "cells", step))
        picked = order[: self.most_points]
        return self.sample_at(self._coords[picked], self._targets[picked])

    @abstractmethod
    def sample_at(self, coords: Tensor, targets: Tensor) -> SampledPoints:
        """Make the points of a step of their coordinates (P, d) and targets (P, ...), both float64 on the CPU."""

    def _pick_scored(self, most: int) -> tuple[Tensor, npt.NDArray[np.float64]]:
        """The coordinates (P, d) of the cells that charts are judged at, and their targets (P, ...)."""
        picked = pick_points(len(self._targets), most, "scored")
        return self._coords[picked], self._targets[picked].numpy()
