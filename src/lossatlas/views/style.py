"""What one asks of a picture: its title, how wide it is printed, and its scale, colours and levels."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lossatlas.errors import BadInput, make_unknown_error
from lossatlas.views import data, scales
from lossatlas.views.scales import LOSS, Floats, Limits

if TYPE_CHECKING:
    from lossatlas.views.figures import Palette

__all__ = ["COLOURED", "CONTOURED", "PLAIN", "SCALED", "SCALES", "Style", "parse_width"]

SCALES = ("log", "linear")
MILLIMETRES = {"mm": 1.0, "cm": 10.0, "in": 25.4, "pt": 25.4 / 72}
NARROWEST, WIDEST = 40.0, 1000.0  # millimetres; below, a panel has no room beside its labels
INCH = 25.4  # millimetres

SCALED = frozenset({"limits", "scale"})
"""What every picture heeds that shows a quantity on a scale."""
COLOURED = SCALED | {"colormap"}
"""What a picture heeds that shows a quantity as colours."""
CONTOURED = COLOURED | {"levels"}
"""What a picture with contours heeds."""


@dataclass(frozen=True, kw_only=True)
class Style:
    """What one asks of a picture; by default the picture decides for itself.

    Attributes:
        title: above the picture; may be empty.
        width: of the printed picture, inches; None for its natural width, which suits a screen.
        colormap: matplotlib's name of the colours of a quantity.
        limits: the ends of the scale of a quantity, in its units.
        scale: ``log`` or ``linear``.
        levels: of contour lines, ascending, in the units of the quantity.
        metric: the quantity that the last four are about; the picture's others keep their own scales.

    Raises:
        BadInput: one of them cannot be.
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
        if self.limits is not None:
            _check_limits(self.limits, self.scale)
        if self.levels and not all(math.isfinite(level) for level in self.levels):
            raise BadInput(f"levels {_listed(self.levels)} are not finite numbers; give numbers such as 0.1 0.5 1")
        if list(self.levels) != sorted(set(self.levels)):
            raise BadInput(f"levels {_listed(self.levels)} do not ascend; give each once, the lowest first")
        if self.colormap is not None:
            _check_colormap(self.colormap)

    @property
    def asked(self) -> list[str]:
        """Which of the settings about a quantity are not left to the picture."""
        return [name for name in ("limits", "scale", "colormap", "levels") if getattr(self, name) not in (None, ())]

    def concerns(self, metric: str) -> bool:
        """Whether the settings about a quantity are about this one; other losses count as the loss."""
        return self.metric in ("", metric) or (self.metric == LOSS and metric.endswith(f"_{LOSS}"))

    def limit(self, fields: Sequence[data.Field], *, log: bool | None = None) -> Limits:
        """The range of a scale for some fields of one metric.

        Args:
            fields: one at least.
            log: whether the scale is logarithmic where that is not asked for; None where the metric asks for it.

        Raises:
            BadInput: the limits, the scale or the levels that were asked for do not fit the values.
        """
        usual = data.limits_of(fields, log=log)
        metric = fields[0].metric or (LOSS if fields[0].name.endswith(LOSS) else "")
        if not self.concerns(metric):
            return usual
        return self.limit_values(np.concatenate([field.values.ravel() for field in fields]), usual)

    def limit_values(self, values: Floats, usual: Limits) -> Limits:
        """The range that was asked for, for values of the quantity that this is about; ``usual`` where none was."""
        finite = values[np.isfinite(values)]
        found = usual
        if self.scale is not None and (self.scale == "log") != usual.log:
            found = scales.limits(values, log=self.scale == "log")
            if self.scale == "log" and not found.log:
                low = scales.number(float(finite.min()))
                raise BadInput(f"a log scale cannot show values below zero, and the lowest is {low}; use scale linear")
        if self.limits is not None:
            found = scales.hold_limits(found, values, *self.limits)
        if self.levels:
            _check_levels(self.levels, finite)
            found = replace(found, levels=self.levels)
        return found

    def colour(self, palette: Palette, metric: str) -> Palette:
        """The colours of a quantity: those asked for, if this is about it."""
        return replace(palette, colours=self.colormap) if self.colormap and self.concerns(metric) else palette

    def __or__(self, metric: str) -> Style:
        """The same about another quantity."""
        return replace(self, metric=metric)


PLAIN = Style()
"""Nothing is asked for."""


def parse_width(text: str) -> float:
    """A width with its unit in inches.

    >>> round(parse_width("85mm"), 3), round(parse_width("3.3 in"), 3)
    (3.346, 3.3)

    Raises:
        BadInput: it is not a width, or one at which nothing can be read.
    """
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*(mm|cm|in|pt)\s*", str(text))
    if found is None:
        raise BadInput(f"width {text!r} is not a width; expected a number with mm, cm, in or pt, such as 85mm")
    wide = float(found[1]) * MILLIMETRES[found[2]]
    if not NARROWEST <= wide <= WIDEST:
        raise BadInput(f"width {text!r} is not between {NARROWEST:g}mm and {WIDEST:g}mm; columns of journals are 85mm")
    return wide / INCH


def _check_limits(limits: tuple[float, float], scale: str | None) -> None:
    low, high = limits
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise BadInput(f"limits {_listed(limits)} are not a range; give two finite numbers, the lower first")
    if scale == "log" and low <= 0:
        raise BadInput(f"limits {_listed(limits)} do not fit a log scale, which begins above 0; raise the lower one")


def _check_levels(levels: tuple[float, ...], finite: Floats) -> None:
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (math.nan, math.nan)
    if outside := [level for level in levels if not low < level < high]:
        between = f"{scales.number(low)} and {scales.number(high)}" if finite.size else "no numbers: none is finite"
        raise BadInput(f"levels {_listed(outside)} are outside the data, which lies between {between}; choose others")


def _check_colormap(name: str) -> None:
    from matplotlib import colormaps

    if name not in colormaps:
        listed = [one for one in colormaps if not one.endswith("_r")]
        raise make_unknown_error("colormap", name, {*listed, f"{name}_r"} & set(colormaps) or listed)


def _listed(numbers: Sequence[float]) -> str:
    return " ".join(f"{number:g}" for number in numbers)
