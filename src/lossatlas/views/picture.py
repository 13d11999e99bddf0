"""Pictures that keep who they are, and their renderings: PNG, PDF, SVG and HTML."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossatlas.errors import BadInput, make_unknown_error
from lossatlas.files.writing import write_atomically
from lossatlas.views.plot import Plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "CAPTION",
    "FORMATS",
    "Captioned",
    "InteractivePicture",
    "Picture",
    "Pictures",
    "check_dpi",
    "check_formats",
    "save_pictures",
]

FORMATS = ("png", "pdf", "svg", "html")
"""What a picture can be rendered as."""
CAPTION = "caption.txt"
"""How the file with a picture's caption ends, which stands beside it."""
DPI = 150
LEAST_DPI, MOST_DPI = 36, 1200


@dataclass(frozen=True, eq=False, kw_only=True)
class Captioned:
    """What every picture knows of itself.

    Attributes:
        name: the name of its files, without their suffix.
        caption: what it shows, in sentences; those that a reader has to know to read it rightly stand at its end.
        alt: what can be seen on it, for those who cannot see it.
        subject: the survey, the comparison, or the surveys by name that it shows.
        record: what a paper must state of how the numbers were measured: sentences.
    """

    name: str
    caption: str
    alt: str
    subject: Any
    record: tuple[str, ...] = ()

    def describe(self) -> str:
        """The caption for a paper: what is seen, and how it was measured."""
        return " ".join([self.caption, *self.record])


@dataclass(frozen=True, eq=False, kw_only=True)
class InteractivePicture(Captioned):
    """A picture that readers of a page turn, move and choose the quantity of.

    Attributes:
        plot: plotly's figure and its controls, which :mod:`lossatlas.views.report` puts on a page.
    """

    plot: Plot


@dataclass(frozen=True, eq=False, kw_only=True)
class Picture(Captioned):
    """A figure that knows what it shows; for the rest see :class:`Captioned`.

    Attributes:
        figure: matplotlib's, to work on: ``picture.figure.axes[0].set_xlim(-1, 1)``.
        width: its natural width in inches, or the one that it was drawn for.
        whole: whether a page shows it as wide as the page is, however high that makes it.
    """

    figure: Figure
    width: float
    whole: bool = False

    def render(self, format: str = "png", dpi: int = DPI) -> bytes:  # noqa: A002
        """The content of a file that shows the picture; equal pictures give equal bytes.

        In PDF files fonts are embedded as TrueType, and in SVG files text is text; a paper's editor wants both.

        Args:
            format: one of :data:`FORMATS`; HTML is a page of its own, with caption.
            dpi: dots per inch of what is not drawn as lines.

        Raises:
            BadInput: the format or the resolution cannot be.
        """
        check_formats([format])
        check_dpi(dpi)
        return RENDERINGS[format](self, dpi)

    def save(self, path: Path | str, dpi: int = DPI) -> None:
        """Write the picture in the format that the path's suffix names, whole or not at all; folders are made.

        Raises:
            BadInput: the suffix is not a format.
            CannotFinish: the file cannot be written.
        """
        path = Path(path)
        write_atomically(path, self.render(path.suffix.removeprefix(".").lower(), dpi), folders=True)

    def embed(self, dpi: int = DPI) -> str:
        """The picture as an HTML figure that needs no other file."""
        source = b64encode(self.render("png", dpi)).decode()
        return (
            f'<figure style="margin:0"><img src="data:image/png;base64,{source}" alt="{escape(self.alt)}" '
            f'style="max-width:100%;height:auto;background:#fff"><figcaption>{escape(self.caption)}</figcaption></figure>'
        )

    def _repr_html_(self) -> str:
        return self.embed()

    def __repr__(self) -> str:
        return f"Picture({self.name!r}, {self.width:.3g} in wide: {self.caption})"


class Pictures(dict[str, Picture]):
    """Pictures by name; a notebook shows them."""

    def save(self, folder: Path | str, formats: Sequence[str] = ("png",), dpi: int = DPI) -> list[Path]:
        """Write every picture as ``NAME.FORMAT``, and its caption beside it; see :func:`save_pictures`."""
        return save_pictures(self, folder, formats, dpi)

    def _repr_html_(self) -> str:
        return "\n".join(picture.embed() for picture in self.values())


def save_pictures(
    pictures: Mapping[str, Picture],
    folder: Path | str,
    formats: Sequence[str] = ("png",),
    dpi: int = DPI,
    *,
    overwrite: bool = True,
) -> list[Path]:
    """Write pictures as ``NAME.FORMAT``, and what a paper must state of each as ``NAME.caption.txt``.

    Args:
        pictures: by the name of their files.
        folder: where they go; it is made if need be.
        formats: of :data:`FORMATS`; a file each.
        dpi: dots per inch of what is not drawn as lines.
        overwrite: replace files that exist.

    Returns:
        The files of the pictures, in their order.

    Raises:
        BadInput: a format cannot be, or a file exists; nothing is written then.
        CannotFinish: a file cannot be written.
    """
    check_formats(formats)
    check_dpi(dpi)
    places = {name: [Path(folder) / f"{name}.{suffix}" for suffix in formats] for name in pictures}
    if not overwrite and (there := [place for several in places.values() for place in several if place.exists()]):
        raise BadInput(f"{there[0]} exists; choose another folder, or replace it with --overwrite")
    for name, several in places.items():
        for place, suffix in zip(several, formats, strict=True):
            write_atomically(place, pictures[name].render(suffix, dpi), folders=True)
        caption = f"{pictures[name].describe()}\n".encode(errors="backslashreplace")
        write_atomically(Path(folder) / f"{name}.{CAPTION}", caption, folders=True)
    return [place for several in places.values() for place in several]


def check_formats(formats: Sequence[str]) -> None:
    """Refuse what no picture can be rendered as.

    Raises:
        BadInput: a format is unknown, or there is none.
    """
    if isinstance(formats, str) or not formats:
        raise BadInput(f"formats {formats!r} are not a list of formats; give some of {', '.join(FORMATS)}")
    if wrong := [suffix for suffix in formats if suffix not in FORMATS]:
        raise make_unknown_error("picture format", wrong[0], FORMATS)


def check_dpi(dpi: int) -> None:
    """Refuse a resolution at which nothing can be seen, or that no memory holds.

    Raises:
        BadInput: it is not within bounds.
    """
    if not (math.isfinite(dpi) and LEAST_DPI <= dpi <= MOST_DPI):
        raise BadInput(f"dpi {dpi} is not between {LEAST_DPI} and {MOST_DPI}; 300 is what most journals ask for")


def _save(picture: Picture, format: str, dpi: int, settings: Mapping[str, Any], metadata: Mapping[str, Any]) -> bytes:  # noqa: A002
    """What matplotlib writes; settings hold while it does, for they are otherwise the user's own."""
    from matplotlib import rc_context

    from lossatlas.views.figures import crop_height

    buffer = BytesIO()
    with rc_context(dict(settings)):  # type: ignore[arg-type]
        box = crop_height(picture.figure)
        picture.figure.savefig(buffer, format=format, dpi=dpi, metadata=dict(metadata), bbox_inches=box)
    return buffer.getvalue()


def _render_png(picture: Picture, dpi: int) -> bytes:
    return _save(
        picture,
        "png",
        dpi,
        {},
        {"Software": None, "Description": picture.alt.encode("latin-1", "replace").decode("latin-1")},
    )


def _render_pdf(picture: Picture, dpi: int) -> bytes:
    # Type 3 fonts, which matplotlib embeds by itself, are refused by many publishers.
    told = {"Title": picture.name, "Subject": picture.caption, "CreationDate": None, "Creator": "lossatlas"}
    return _save(picture, "pdf", dpi, {"pdf.fonttype": 42}, told)


def _render_svg(picture: Picture, dpi: int) -> bytes:
    told = {"Title": picture.name, "Description": picture.alt, "Date": None, "Creator": "lossatlas"}
    return _save(picture, "svg", dpi, {"svg.fonttype": "none", "svg.hashsalt": picture.name}, told)


def _render_html(picture: Picture, dpi: int) -> bytes:
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    body = f"<title>{escape(picture.name)}</title></head><body>{picture.embed(dpi)}</body></html>"
    page = f'<!doctype html>\n<html lang="en"><head>{head}{body}\n'
    return page.encode(errors="backslashreplace")


RENDERINGS: dict[str, Callable[[Picture, int], bytes]] = {
    "png": _render_png,
    "pdf": _render_pdf,
    "svg": _render_svg,
    "html": _render_html,
}
