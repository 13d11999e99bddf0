"""``.vts``: structured grids of VTK, for ParaView."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeAlias, final
from xml.sax.saxutils import quoteattr

import numpy as np
import numpy.typing as npt
import xarray as xr

from lossatlas.errors import BadInput, make_unknown_error
from lossatlas.exchange.format import Format
from lossatlas.exchange.grid import find_axes, find_coordinate, find_gridded
from lossatlas.schema import CLASSES, SAMPLE_DIMENSIONS

__all__ = ["Vts"]

Array: TypeAlias = npt.NDArray[Any]

MOST_AXES = 3
HIDDEN = 2  # vtkDataSetAttributes::HIDDENPOINT
GHOSTS = "vtkGhostType"


@final
@dataclass(frozen=True)
class Vts(Format):
    """A structured grid in VTK's XML, with every variable as point data; the format can only be written.

    One axis becomes a line along x, two a sheet in the plane z = 0, three a block. Of a variable with several repeats,
    members, samples or classes each is an array of its own: ``test_loss_repeat0``. Booleans are 0 and 1.
    """

    height: str | None = None
    """A variable whose log10 is the height of a sheet or, along y, of a line: ``test_loss``. None leaves them flat.

    Points where it is not finite or not positive lie at the lowest height and are hidden.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".vts",)
    reads: ClassVar[bool] = False

    def read(self, path: Path) -> xr.Dataset:
        raise BadInput(f"{path} is not in a format that can be read, as .vts can only be written")

    def bytes_of(self, survey: xr.Dataset) -> bytes:
        names = find_axes(survey)
        if not names:
            raise BadInput("the survey has no axes and .vts files have one to three; write .csv")
        if len(names) > MOST_AXES:
            raise BadInput(
                f"the survey has {len(names)} axes ({', '.join(names)}) and .vts files have three at most; "
                "select a slice of it, or write .csv"
            )
        # VTK counts points with x running fastest, which is Fortran's order of our (u, v, w).
        grid = np.meshgrid(*(find_coordinate(survey, name) for name in names), indexing="ij")
        points = np.zeros((grid[0].size, 3))
        for column, along in zip(points.T, grid, strict=False):
            column[:] = along.ravel(order="F")
        arrays = dict(_arrays(survey))
        if self.height is not None:
            points[:, len(names)], hidden = self._heights(arrays, self.height, len(names))
            if hidden.any():
                arrays[GHOSTS] = hidden * np.uint8(HIDDEN)
        return _document(tuple(survey.sizes[name] for name in names), points, arrays)

    def _heights(self, arrays: dict[str, Array], name: str, rank: int) -> tuple[Array, npt.NDArray[np.bool_]]:
        """The heights of all points, and which of them have none of their own."""
        if rank == MOST_AXES:
            raise BadInput(f"{name} cannot be the height of a survey with three axes; expected one or two axes")
        if name not in arrays:
            raise make_unknown_error("variable for the height", name, arrays)
        values = arrays[name].astype(np.float64)
        shown = np.isfinite(values) & (values > 0)
        if not shown.any():
            raise BadInput(
                f"{name} is nowhere positive and finite, so its logarithm is not a height; choose another variable"
            )
        heights = np.log10(values, out=np.zeros_like(values), where=shown)
        return np.where(shown, heights, heights[shown].min()), ~shown


def _arrays(survey: xr.Dataset) -> Iterator[tuple[str, Array]]:
    """All variables, each (points,) with x running fastest."""
    for name, array in find_gridded(survey).items():
        several = [dim for dim in (*SAMPLE_DIMENSIONS, CLASSES) if dim in array.dims]
        for where in np.ndindex(*(array.sizes[dim] for dim in several)):
            chosen = dict(zip(several, where, strict=True))
            label = "".join(f"_{dim}{k}" for dim, k in chosen.items())
            yield f"{name}{label}", array.isel(chosen).values.ravel(order="F")


def _document(shape: tuple[int, ...], points: Array, arrays: dict[str, Array]) -> bytes:
    extent = " ".join(f"0 {side - 1}" for side in (*shape, 1, 1)[:3])
    data = "\n".join(_data_array(name, values) for name, values in arrays.items())
    return (
        '<?xml version="1.0"?>\n'
        '<VTKFile type="StructuredGrid" version="1.0" byte_order="LittleEndian" header_type="UInt64">\n'
        f'<StructuredGrid WholeExtent="{extent}">\n<Piece Extent="{extent}">\n'
        f"<PointData>\n{data}\n</PointData>\n"
        f"<Points>\n{_data_array('Points', points)}\n</Points>\n"
        "</Piece>\n</StructuredGrid>\n</VTKFile>\n"
    ).encode()


def _data_array(name: str, values: Array) -> str:
    """One array of (points,) or (points, components), as base64 of its length in bytes and its numbers."""
    kind = {"b": "UInt", "u": "UInt", "i": "Int", "f": "Float"}[values.dtype.kind]
    known = values.dtype.kind != "f" or values.dtype.itemsize in (4, 8)
    numbers = values if known else values.astype(np.float64)
    content = np.ascontiguousarray(numbers).astype(numbers.dtype.newbyteorder("<")).tobytes()
    encoded = base64.b64encode(np.uint64(len(content)).astype("<u8").tobytes() + content).decode()
    components = values.shape[1] if values.ndim > 1 else 1
    return (
        f'<DataArray type="{kind}{8 * numbers.dtype.itemsize}" Name={quoteattr(name)} '
        f'NumberOfComponents="{components}" format="binary">\n{encoded}\n</DataArray>'
    )
