"""What tests of pictures look at: the figures of a subject by kind, and their bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO

import xarray as xr
from matplotlib.figure import Figure

from lossatlas.views import Style, draw, draw_interactive
from lossatlas.views.plot import Plot

__all__ = ["plot_of", "show", "to_png"]


def show(
    subject: xr.Dataset | Mapping[str, xr.Dataset], kinds: Sequence[str] | None = None, title: str = ""
) -> dict[str, Figure]:
    """The figures of all pictures of a subject, or of some kinds."""
    return {name: picture.figure for name, picture in draw(subject, kinds, Style(title=title)).items()}


def to_png(figure: Figure, dpi: int = 150) -> bytes:
    """A figure as a PNG file."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def plot_of(survey: xr.Dataset) -> Plot | None:
    """The plot of the interactive picture of a survey."""
    picture = draw_interactive(survey)
    return picture.plot if picture is not None else None
