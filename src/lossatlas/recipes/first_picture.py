"""The picture that stands for a survey."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossatlas.cards import Shown
from lossatlas.errors import LossatlasError

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["draw_first_picture"]

DPI = 80


def draw_first_picture(survey: xr.Dataset) -> Shown | None:
    """The first picture of a survey or a comparison that shows what was found; None where there is none.

    It alone is drawn, so that this is done in the time that one picture takes.
    """
    from lossatlas.views import VIEWS, png, view
    from lossatlas.views.comparison import CAPTIONS, draw_comparison
    from lossatlas.views.data import take_first_sample

    if {"run", "other_run"} <= set(survey.sizes):
        name, figure = next(iter(draw_comparison(survey).items()))
        return Shown(png(figure, DPI), CAPTIONS[name])
    kinds = {name: VIEWS[name]() for name in VIEWS if not name.startswith("target")}
    for name, kind in sorted(kinds.items(), key=lambda item: item[1].rank):
        given = survey if kind.all_samples else take_first_sample(survey)
        try:
            if kind.applies(given):
                return Shown(png(view(survey, kinds=[name])[name], DPI), kind.told(given))
        except LossatlasError:  # a survey without numbers has no picture
            return None
    return None
