"""Directions from a file."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from lossatlas.charts import RepeatedSlice, Slice, load_chart
from lossatlas.directions.direction import Around, Direction
from lossatlas.errors import BadInput
from lossatlas.files.reading import check_path
from lossatlas.rundir import CHART
from lossatlas.training.start import load_start
from lossatlas.weights.loading import flatten_state

__all__ = ["FromFile"]


class FromFile(Direction):
    """Named tensors of the parameters' shapes as one direction, or the directions of another slice in their order.

    The slice is given as its run directory or its ``chart.safetensors``.
    """

    takes = "path"

    def make_vectors(self, count: int, around: Around) -> Tensor:
        path = Path(self.argument)
        found = self._of_slice(path) if self._is_chart(path) else self._of_state(around)
        if count > len(found):
            raise BadInput(
                f"{path} holds {len(found)} directions, and {count} axes need one; choose other directions for the rest"
            )
        if found.shape[1] != around.space.size:
            raise BadInput(
                f"the directions in {path} have {found.shape[1]} numbers and the network has {around.space.size} "
                "parameters; choose directions of the same architecture"
            )
        return found[:count].to(around.origin)

    def label(self, number: int) -> str:
        return f"direction {number + 1} of {Path(self.argument).name}"

    def _of_state(self, around: Around) -> Tensor:
        vector, notes = flatten_state(around.space, load_start(self.argument), f"checkpoint {self.argument}")
        around.notes.extend(notes)
        return vector[None]

    @staticmethod
    def _is_chart(path: Path) -> bool:
        check_path(path)
        return path.name == CHART or (path / CHART).is_file()

    @staticmethod
    def _of_slice(path: Path) -> Tensor:
        chart = load_chart(path if path.name == CHART else path / CHART)
        if isinstance(chart, Slice):
            return chart.directions
        if isinstance(chart, RepeatedSlice):
            return chart.directions[0]
        raise BadInput(f"the chart in {path} does not have fixed directions; give a slice, or a file of named tensors")
