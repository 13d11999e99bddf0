"""The style of a picture: its title, its printed width, and its scale, colours and levels."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np

from lossatlas.errors import BadInput, make_unknown_error
from lossatlas.views import data, scales
from lossatlas.views.scales import LOSS, Floats, Limits

if TYPE_CHECKING:
    from lossatlas.views.figures import Palette

__all__ = ["COLOURED", "CONTOURED", "MILLIMETRE", "PLAIN", "SCALED", "SCALES", "Style", "parse_width"]

SCALES = ("log", "linear")
MILLIMETRES = {"mm": 1.0, "cm": 10.0, "in": 25.4, "pt": 25.4 / 72}
NARROWEST, WIDEST = 60.0, 1000.0  # millimetres; in a narrower picture the labels would take all the room
MILLIMETRE = 1 / 25.4
"""In inches."""

SCALED = frozenset({"limits", "scale"})
"""The settings that apply to every picture of a quantity on a scale."""
COLOURED = SCALED | {"colormap"}
"""The settings that apply to pictures that show a quantity as colours."""
CONTOURED = COLOURED | {"levels"}
"""The settings that apply to pictures with contours."""


@dataclass(frozen=True, kw_only=True)
class Style:
    """The style of a picture; what is left at its default is chosen by the picture.

    Attributes:
        title: The title above the picture; may be empty.
        width: The width of the printed picture, inches; None for the natural width, which suits a screen.
        colormap: The name of matplotlib's colour map of a quantity.
        limits: The ends of the scale of a quantity, in its units.
        scale: The scale of a quantity, ``log`` or ``linear``.
        levels: The levels of contour lines, ascending, in the units of the quantity.
        metric: The quantity to which the last four apply; other quantities of the picture keep their own scales.

    Raises:
        BadInput: a setting is not valid.
    """

    title: str = ""
    width: float | None = None
    colormap: str | None = None
    limits: tuple[float, float] | None = None
    scale: str | None = None
    levels: tuple[float, ...] = ()
    metric: str = LOSS

    def __post_init__(self) -> None:
        if self.scale is not None and self.scale not in SCALES:
            raise make_unknown_error("scale", self.scale, SCALES)
        if self.width is not None:
            _check_width(self.width, f"{self.width / MILLIMETRE:.4g}mm")
        if self.limits is not None:
            _check_limits(self.limits, self.scale)
        if self.levels and not all(math.isfinite(level) for level in self.levels):
            raise BadInput(f"levels {_listed(self.levels)} are not finite numbers; give numbers such as 0.1 0.5 1")
        if list(self.levels) != sorted(set(self.levels)):
            raise BadInput(f"levels {_listed(self.levels)} do not ascend; give each once, the lowest first")
        if self.colormap is not None:
            _check_colormap(self.colormap)

    def is_narrower(self, inches: float) -> bool:
        """Whether a width was requested, and it is less than so many inches."""
        return self.width is not None and self.width < inches

    @property
    def asked(self) -> list[str]:
        """The names of the settings of a quantity that are not left to the picture."""
        return [name for name in ("limits", "scale", "colormap", "levels") if getattr(self, name) not in (None, ())]

    def concerns(self, metric: str) -> bool:
        """Whether the settings apply to this quantity; other losses count as the loss."""
        return self.metric in ("", metric) or (self.metric == LOSS and metric.endswith(f"_{LOSS}"))

    def limit(self, fields: Sequence[data.Field], *, log: bool | None = None) -> Limits:
        """Compute the range of a scale for fields of one metric.

        Args:
            fields: at least one field.
            log: whether the scale is logarithmic where none is requested; None where the metric decides.

        Raises:
            BadInput: the requested limits, scale or levels do not fit the values.
        """
        usual = data.limits_of(fields, log=log)
        metric = fields[0].metric or (LOSS if fields[0].name.endswith(LOSS) else "")
        if not self.concerns(metric):
            return usual
        return self.limit_values(np.concatenate([field.values.ravel() for field in fields]), usual)

    def limit_values(self, values: Floats, usual: Limits) -> Limits:
        """Compute the requested range for values of the quantity; ``usual`` where none is requested."""
        finite = values[np.isfinite(values)]
        found = usual
        if self.scale is not None and (self.scale == "log") != usual.log:
            found = scales.limits(values, log=self.scale == "log")
            if self.scale == "log" and not found.log:
                low = scales.number(float(finite.min()))
                raise BadInput(
                    f"scale log does not fit values below zero, of which the lowest is {low}; use scale linear"
                )
        elif self.scale == "linear" and usual.linear is not None:
            found = replace(usual, linear=None, note=usual.note.partition(",")[0])
        if self.limits is not None:
            found = scales.hold_limits(found, values, *self.limits)
        if self.levels:
            _check_levels(self.levels, finite, found)
            found = replace(found, levels=self.levels)
        return found

    def colour(self, palette: Palette, metric: str) -> Palette:
        """Return the requested colours of a quantity, or else those of the palette."""
        return replace(palette, colours=self.colormap) if self.colormap and self.concerns(metric) else palette

    def restrict(self, metric: str, heeded: frozenset[str]) -> Style:
        """The same style for another quantity, with those settings alone that a picture heeds."""
        unheeded: dict[str, Any] = {name: () if name == "levels" else None for name in set(self.asked) - heeded}
        return replace(self, metric=metric, **unheeded)


PLAIN = Style()
"""The style of a picture for which nothing is requested."""


def parse_width(text: str) -> float:
    """Convert a width with its unit to inches.

    >>> round(parse_width("85mm"), 3), round(parse_width("3.3 in"), 3)
    (3.346, 3.3)

    Raises:
        BadInput: the text is not a width, or the width is too small or too large to be read.
    """
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*(mm|cm|in|pt)\s*", str(text).lower())
    if found is None:
        raise BadInput(f"width {text!r} is not a width; expected a number with mm, cm, in or pt, such as 85mm")
    wide = float(found[1]) * MILLIMETRES[found[2]] * MILLIMETRE
    _check_width(wide, text)
    return wide


def _check_width(inches: float, given: str) -> None:
    if not NARROWEST <= round(inches / MILLIMETRE, 6) <= WIDEST:  # inches are rounded
        raise BadInput(f"width {given!r} is not between {NARROWEST:g}mm and {WIDEST:g}mm; columns of journals are 85mm")


def _check_limits(limits: tuple[float, float], scale: str | None) -> None:
    low, high = limits
    if not (math.isfinite(high - low) and low < high):
        raise BadInput(f"limits {_listed(limits)} are not a range; give two finite numbers, the lower first")
    if scale == "log" and low <= 0:
        raise BadInput(f"limits {_listed(limits)} do not fit a log scale, which begins above 0; raise the lower one")


def _check_levels(levels: tuple[float, ...], finite: Floats, limits: Limits) -> None:
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (math.nan, math.nan)
    if outside := [level for level in levels if not low < level < high]:
        between = f"{scales.number(low)} and {scales.number(high)}" if finite.size else "no numbers: none is finite"
        raise BadInput(f"levels {_listed(outside)} are outside the data, which lies between {between}; choose others")
    if outside := [level for level in levels if not limits.low < level < limits.high]:
        ends = f"{scales.number(limits.low)} and {scales.number(limits.high)}"
        raise BadInput(f"levels {_listed(outside)} are outside the scale, which lies between {ends}; widen the limits")


def _check_colormap(name: str) -> None:
    from matplotlib import colormaps

    if name not in colormaps:
        near = get_close_matches(name, list(colormaps), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise BadInput(f"colormap {name!r} is not one of matplotlib's; {hint}expected one such as viridis or magma")


def _listed(numbers: Sequence[float]) -> str:
    return " ".join(f"{number:g}" for number in numbers)
