"""The picture that stands for a survey or a comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossatlas.cards import Shown
from lossatlas.errors import LossatlasError

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["draw_first_picture"]

DPI = 80


def draw_first_picture(subject: xr.Dataset) -> Shown | None:
    """The first picture of a survey, a comparison or a curvature run that shows what was found; None without one.

    It alone is drawn, so that this is done in the time that one picture takes.
    """
    from lossatlas.views import choose_views, draw

    views = choose_views(subject)
    kinds = {name: views[name]() for name in views if not name.startswith("target")}
    try:
        for name, kind in sorted(kinds.items(), key=lambda item: item[1].rank):
            if kind.applies(kind.prepare(subject)):
                picture = draw(subject, [name])[name]
                return Shown(picture.render("png", DPI), picture.alt)
    except LossatlasError:  # a survey without numbers has no picture
        pass
    return None
