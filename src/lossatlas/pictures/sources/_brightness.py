"""Brightness as losses: what photographs in grey and in colour have in common."""

from __future__ import annotations

from typing import final

import numpy as np
import numpy.typing as npt

from lossatlas.errors import BadInput
from lossatlas.pictures.scores import LOSS_FLOOR
from lossatlas.pictures.source import Size, scale_shape
from lossatlas.pictures.sources._files import Reals, resize_values

__all__ = ["FLAT", "Brightness", "check_ends"]

DEFAULT_SIZE = 32
FLAT = 1e-4  # of the brightest: below this a range of greys is the rounding of a resize

HIGHEST = 1e4
"""The highest target loss, far above the threshold of clips."""


def check_ends(low: float, high: float, kind: str) -> None:
    """Refuse losses that cannot stand for the darkest and the brightest.

    Args:
        low: the loss of the darkest.
        high: the loss of the brightest.
        kind: what has these levels, ``grey``.

    Raises:
        BadInput: they are not 0 < low < high.
    """
    if not LOSS_FLOOR < low < high < HIGHEST:
        raise BadInput(
            f"{kind} levels beyond the loss range: low is {low} and high {high}; expected "
            f"{LOSS_FLOOR:g} < low < high < {HIGHEST:g}"
        )


@final
class Brightness:
    """The brightness of pixels, as losses of any number of cells: in proportion to the logarithm.

    Args:
        bright: of each pixel, (H, W), or (H, W, K) of K channels that have one scale.
        path: the file, for messages.
        name: the name of the picture, for messages.
        ends: the losses of the darkest and the brightest cell at the default size.
        invert: whether bright parts are low.

    Raises:
        BadInput: pixels are not finite.
    """

    def __init__(self, bright: Reals, path: str, name: str, ends: tuple[float, float], invert: bool) -> None:
        self.path = path
        self._bright = bright
        self._name = name
        self._ends = ends
        self._invert = invert
        if not np.isfinite(bright).all():
            raise BadInput(f"image {path!r} has pixels that are not finite; expected greys")
        self.usual = self.resize(None)
        """The brightness at the default size, of which the darkest and the brightest get the end losses."""

    def resize(self, size: Size | None) -> npt.NDArray[np.float64]:
        """Resize the brightness with antialiasing.

        Raises:
            BadInput: as :func:`~lossatlas.pictures.source.scale_shape`.
        """
        height, width = scale_shape(DEFAULT_SIZE if size is None else size, self._bright.shape[:2], self._name)
        channels = self._bright.reshape(*self._bright.shape[:2], -1)
        resized = [resize_values(channels[..., k], (height, width)) for k in range(channels.shape[-1])]
        values = np.stack(resized, axis=-1).astype(np.float64).reshape(height, width, *self._bright.shape[2:])
        # Resampling overshoots beside an edge; without clipping the overshoot would get the ends of the range.
        lowest, highest = (end.reshape(self._bright.shape[2:]) for end in (channels.min((0, 1)), channels.max((0, 1))))
        return np.clip(values, lowest, highest)

    def to_losses(self, bright: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Map resized brightness to losses.

        One scale holds for all sizes, so that coarse pictures have the same target losses as fine ones, and for all
        channels, so that colours are kept.
        """
        bright = np.clip((bright - self.usual.min()) / np.ptp(self.usual), 0, 1)
        low, high = np.log(self._ends)
        share = 1 - bright if self._invert else bright
        return np.asarray(np.exp((1 - share) * low + share * high))
