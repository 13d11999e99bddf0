"""The base of all pictures: cells on a chart, and the target of the loss on them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from lossatlas.describing import write_repr
from lossatlas.errors import BadInput
from lossatlas.schema import AXES

__all__ = ["SMALLEST_SIDE", "Raster", "TargetVariable", "check_sides", "take_losses"]

SMALLEST_SIDE = 4
"""The smallest number of cells along a side of a picture; with fewer, hardly any cell has a neighbourhood."""

S = TypeVar("S", bound=np.generic)


@dataclass(frozen=True)
class TargetVariable:
    """A variable by which a survey stores a picture, or a channel of it."""

    name: str
    values: npt.NDArray[Any]
    """On the survey's grid, (len u, len v, len w)."""
    attributes: Mapping[str, Any]


class Raster(ABC):
    """Cells in one, two or three dimensions that a chart is to show.

    Row 0 of an array of cells is the top of the picture. Axis ``u`` runs right along the columns, ``v`` up and ``w``
    through a stack of pictures; lengths are in units of half the longest side, so that a picture of any size covers
    the same extent.

    Attributes:
        name: The name of the picture, for reports and messages.
    """

    name: str

    def __repr__(self) -> str:
        return write_repr(self, lambda: f"{self.name!r}, {' x '.join(map(str, self.shape))} cells")

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """The shape of the cells: (W,), (H, W) or (D, H, W)."""

    @property
    @abstractmethod
    def target(self) -> npt.NDArray[np.float64]:
        """The target of the loss, of the shape of the cells: larger is higher, NaN is ignored."""

    @abstractmethod
    def list_variables(self, padding: int, loss_units: str) -> Sequence[TargetVariable]:
        """List the variables by which a survey stores the picture, on ``grid(padding)``.

        Args:
            padding: the number of cells around the picture.
            loss_units: the unit of the loss that is fitted to it.

        Raises:
            BadInput: the padding is negative.
        """

    def list_contents(self) -> Mapping[str, npt.NDArray[Any]]:
        """List by name the arrays that say what is asked for, for fingerprints: equal ones are the same picture."""
        return {"target": self.target}

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of the axes: ``("u",)``, ``("u", "v")`` or ``("u", "v", "w")``."""
        return AXES[: len(self.shape)]

    @property
    def size(self) -> int:
        """The number of cells along the longest side."""
        return max(self.shape)

    @property
    def extent(self) -> tuple[float, ...]:
        """How far the picture reaches from its middle along each axis, to the outer edges of its cells."""
        return tuple(length / self.size for length in reversed(self.shape))

    def coords(self) -> npt.NDArray[np.float64]:
        """Return the coordinates of the cells: their shape and a last axis of length d, in the order of ``axes``."""
        mesh = np.meshgrid(*self.grid(0).values(), indexing="ij")
        return np.stack([self.from_grid(along_axis, 0) for along_axis in mesh], axis=-1)

    def grid(self, padding: int) -> dict[str, npt.NDArray[np.float64]]:
        """Return ascending coordinates per axis: those of the cells, and of ``padding`` further cells on each side.

        Raises:
            BadInput: the padding is negative.
        """
        _check_padding(padding)
        lengths = dict(zip(self.axes, reversed(self.shape), strict=True))
        return {
            axis: (np.arange(-padding, length + padding, dtype=np.float64) - (length - 1) / 2) / (self.size / 2)
            for axis, length in lengths.items()
        }

    def to_grid(self, values: npt.NDArray[S], padding: int, fill: float) -> npt.NDArray[S]:
        """Bring values of the cells into the order of ``grid(padding)``, (len u, len v, len w).

        Args:
            values: of the shape of the cells, of any type.
            padding: the number of cells on each side.
            fill: the value of the padding.

        Raises:
            BadInput: the padding is negative, or the values have another shape than the cells.
        """
        _check_padding(padding)
        if values.shape != self.shape:
            raise BadInput(f"values of shape {values.shape} are not those of the {self.shape} cells of {self.name!r}")
        return np.pad(_flip_v(values.T), padding, constant_values=fill)

    def from_grid(self, values: npt.NDArray[S], padding: int) -> npt.NDArray[S]:
        """Bring values on ``grid(padding)`` into the order of the cells, without the padding.

        Args:
            values: (len u, len v, len w) of any type.
            padding: the padding of the grid.

        Raises:
            BadInput: the padding is negative, or the values have another shape than the grid.
        """
        _check_padding(padding)
        expected = tuple(length + 2 * padding for length in reversed(self.shape))
        if values.shape != expected:
            raise BadInput(
                f"values of shape {values.shape} are not on the grid of picture {self.name!r} with padding {padding}; "
                f"expected {expected}, in the order of the axes {', '.join(self.axes)}"
            )
        inner = values[tuple(slice(padding, length - padding) for length in expected)]
        return _flip_v(inner).T


def check_sides(shape: tuple[int, ...], name: str) -> None:
    """Refuse a shape that is not a line, a rectangle or a cuboid of at least four cells per side.

    Raises:
        BadInput: it is not.
    """
    if not 1 <= len(shape) <= 3:
        raise BadInput(f"picture {name!r} has an array of rank {len(shape)}; expected 1 to 3 dimensions")
    if min(shape) < SMALLEST_SIDE:
        sides = " x ".join(map(str, shape))
        raise BadInput(
            f"picture {name!r} is {sides} cells; expected at least {SMALLEST_SIDE} along every side: take a larger size"
        )


def take_losses(array: npt.NDArray[Any], name: str) -> npt.NDArray[np.float64]:
    """A float64 copy of target losses, NaN where a cell is ignored.

    Raises:
        BadInput: they are not real numbers, or one is neither positive and finite nor NaN.
    """
    if array.dtype == np.bool_ or not np.isrealobj(array) or not np.issubdtype(array.dtype, np.number):
        raise BadInput(f"picture {name!r} has losses of type {array.dtype}; expected real numbers, in the loss's unit")
    losses = array.astype(np.float64)
    odd = losses[~np.isnan(losses) & ~((losses > 0) & np.isfinite(losses))]
    if odd.size:
        raise BadInput(
            f"picture {name!r} has a target loss of {odd[0]}; expected positive losses, or NaN to ignore a cell"
        )
    return losses


def _flip_v(on_grid: npt.NDArray[S]) -> npt.NDArray[S]:
    """Reverse the axis ``v`` (dimension 1 of a grid), which runs up in a grid and down the rows of a picture."""
    return np.flip(on_grid, axis=1) if on_grid.ndim > 1 else on_grid


def _check_padding(padding: int) -> None:
    if padding < 0:
        raise BadInput(f"the padding of a picture is {padding}; expected a number of cells, 0 or more")
