"""``colour:FILE``: a photograph whose red, green and blue are the losses of three groups of classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

import numpy as np

from lossatlas.errors import BadInput
from lossatlas.pictures.colour import ColourPicture
from lossatlas.pictures.groups import check_groups, parse_group
from lossatlas.pictures.raster import Raster
from lossatlas.pictures.source import PrefixSource, Size, Source
from lossatlas.pictures.sources._brightness import FLAT, Brightness, check_ends
from lossatlas.pictures.sources._files import Reals, read_colours
from lossatlas.schema import CHANNELS

__all__ = ["ColourImage"]

COLOURLESS = 0.02
"""The largest difference between the channels of a cell, of the range of brightness, that is the noise of a JPEG file
of greys."""


@final
@dataclass(frozen=True)
class ColourImage(PrefixSource):
    """A picture file whose red, green and blue become the target losses of three groups of classes: bright is high."""

    low: float = 0.1
    """Loss of a group where its colour is darkest."""
    high: float = 2.3
    """Loss of a group where its colour is brightest; the cross-entropy of guessing among ten classes is ln 10 = 2.3."""
    groups: tuple[str, ...] | None = None
    """Classes of red, of green and of blue, each numbers and ranges such as 0-2,7; by default all classes in their
    order, shared out as equally as possible: 0-2 3-5 6-9 of ten."""

    form: ClassVar[str] = "colour:FILE"

    def open(self, rest: str, invert: bool = False) -> Source:
        """Open the file ``rest``, with transparent parts white; ``invert`` makes bright parts low.

        Raises:
            BadInput: the file cannot be read or has no colours, the losses are not 0 < low < high, or the groups are
                not three that are disjoint.
        """
        check_ends(self.low, self.high, "colour")
        return _Colour(rest, (self.low, self.high), self.parse_groups(), invert)

    def parse_groups(self) -> tuple[tuple[int, ...], ...] | None:
        """Parse the groups; None while they are left to the number of classes.

        Raises:
            BadInput: they are not three disjoint groups of classes.
        """
        if self.groups is None:
            return None
        if len(self.groups) != len(CHANNELS):
            raise BadInput(
                f"pattern.groups names {len(self.groups)} groups of classes; expected three, of red, green and blue, "
                "such as 0-2 3-5 6-9"
            )
        return check_groups(map(parse_group, self.groups))


@final
class _Colour(Source):
    scalable = True
    rank = 2

    def __init__(
        self, path: str, ends: tuple[float, float], groups: tuple[tuple[int, ...], ...] | None, invert: bool
    ) -> None:
        self.name = Path(path).stem
        self._ends = ends
        self._groups = groups
        self._brightness = Brightness(read_colours(path), path, self.name, ends, invert)
        usual = self._brightness.usual
        self._check_range(usual)
        if np.ptp(usual, axis=-1).max() <= COLOURLESS * np.ptp(usual):
            raise BadInput(
                f"image {path!r} has no colours: its red, green and blue are alike; take --pattern grey:{path}"
            )

    def render(self, size: Size | None = None) -> Raster:
        """Resize the image with antialiasing; the darkest and the brightest channel of any cell at the default size get
        the end losses.

        See :meth:`Source.render`.
        """
        colours = self._brightness.resize(size)
        self._check_range(colours)
        return ColourPicture(self._brightness.to_losses(colours), self.name, self._groups, self._ends)

    def _check_range(self, colours: Reals) -> None:
        if np.ptp(colours, axis=(0, 1)).max() <= FLAT * max(abs(float(colours.max())), FLAT):
            raise BadInput(
                f"image {self._brightness.path!r} at {'x'.join(map(str, colours.shape[:2]))} is of one colour; "
                "expected at least two: take another image or a larger size"
            )
