"""Directions from a file."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from lossatlas.charts import Chart, RepeatedSlice, Slice, load_chart
from lossatlas.directions.direction import Around, Direction
from lossatlas.errors import BadInput
from lossatlas.files.reading import check_path
from lossatlas.rundir import CHART
from lossatlas.schema import REPEAT
from lossatlas.training.start import load_start
from lossatlas.weights.loading import flatten_state

__all__ = ["FromFile"]


class FromFile(Direction):
    """Named tensors of the parameters' shapes as one direction, or the directions of another slice in their order.

    The slice is given as its run directory or its ``chart.safetensors``.
    """

    takes = "path"

    def __init__(self, argument: str = "") -> None:
        super().__init__(argument)
        self._labels: list[str] = []
        """What the slice in the file calls its axes, as far as it says so."""

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
        known = number < len(self._labels)
        return f"{self._labels[number] if known else f'direction {number + 1}'} of {Path(self.argument).name}"

    def _of_state(self, around: Around) -> Tensor:
        vector, notes = flatten_state(around.space, load_start(self.argument), f"checkpoint {self.argument}")
        around.notes.extend(notes)
        return vector[None]

    @staticmethod
    def _is_chart(path: Path) -> bool:
        check_path(path)
        return path.name == CHART or (path / CHART).is_file()

    def _of_slice(self, path: Path) -> Tensor:
        chart = load_chart(path if path.name == CHART else path / CHART)
        self._labels = _list_labels(chart)
        if isinstance(chart, Slice):
            return chart.directions
        if isinstance(chart, RepeatedSlice):
            return chart.directions[0]
        raise BadInput(f"the chart in {path} does not have fixed directions; give a slice, or a file of named tensors")


def _list_labels(chart: Chart) -> list[str]:
    """The labels of a chart's axes; empty unless all have one."""
    labels = [chart.axis_labels.get(axis) for axis in chart.axes if axis != REPEAT]
    return [label for label in labels if label] if all(labels) else []
