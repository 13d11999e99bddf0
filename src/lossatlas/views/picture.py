"""Pictures with their captions and subjects, and their renderings: PNG, PDF, SVG and HTML."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossatlas.cards import embed_png
from lossatlas.errors import BadInput, make_unknown_error
from lossatlas.files.writing import write_atomically
from lossatlas.views.plot import Plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "CAPTION",
    "FORMATS",
    "Captioned",
    "DrawnPicture",
    "InteractivePicture",
    "Pictures",
    "check_dpi",
    "check_formats",
    "save_pictures",
]

FORMATS = ("png", "pdf", "svg", "html")
"""The formats in which a picture can be rendered."""
CAPTION = "caption.txt"
"""The end of the name of the file with the caption, which is written beside each picture."""
DPI = 150
LEAST_DPI, MOST_DPI = 36, 1200
MOST_PIXELS = 2e8
"""Of a picture: two square metres at 180 dots per inch, some gigabytes while it is drawn."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Captioned:
    """What all pictures have: a name, texts, and the subject that they show.

    Attributes:
        name: The name of the files, without their suffix.
        caption: Sentences on what the picture shows, with notes on scales and left-out values at the end.
        alt: The alternative text, for readers who cannot see the picture.
        subject: The survey, the comparison, or the surveys by name that the picture shows.
        record: Sentences on how the numbers were measured, as a paper must state them.
    """

    name: str
    caption: str
    alt: str
    subject: Any
    record: tuple[str, ...] = ()

    def describe(self) -> str:
        """Return the caption for a paper: what the picture shows, and how it was measured."""
        return " ".join([self.caption, *self.record])


@dataclass(frozen=True, eq=False, kw_only=True)
class InteractivePicture(Captioned):
    """An interactive picture, which readers turn or move, and whose quantity they choose.

    Attributes:
        plot: Plotly's figure and its controls, which :mod:`lossatlas.views.report` puts on a page.
    """

    plot: Plot


@dataclass(frozen=True, eq=False, kw_only=True)
class DrawnPicture(Captioned):
    """A figure with its caption and the subject that it shows; see :class:`Captioned` for further attributes.

    Attributes:
        figure: Matplotlib's figure, which can be changed: ``picture.figure.axes[0].set_xlim(-1, 1)``.
        width: The requested width in inches, or else the natural one.
        title: The title above it; may be empty.
        whole: Whether a page shows the picture at the full width of the page, whatever its height.
    """

    figure: Figure
    width: float
    whole: bool = False
    title: str = ""

    def render(self, format: str = "png", dpi: int = DPI) -> bytes:  # noqa: A002
        """Render the picture as the content of a file; equal pictures give equal bytes.

        In PDF files fonts are embedded as TrueType, and in SVG files text stays text, as publishers require.

        Args:
            format: one of :data:`FORMATS`; HTML is a self-contained page with the caption.
            dpi: the resolution of raster parts, in dots per inch.

        Raises:
            BadInput: the format is unknown, or the resolution is out of bounds.
        """
        check_formats([format])
        check_dpi(dpi)
        return RENDERINGS[format](self, dpi)

    def save(self, path: Path | str, dpi: int = DPI) -> None:
        """Write the picture in the format of the path's suffix, atomically; missing folders are made.

        Raises:
            BadInput: the suffix is not a format.
            CannotFinish: the file cannot be written.
        """
        path = Path(path)
        write_atomically(path, self.render(path.suffix.removeprefix(".").lower(), dpi), folders=True)

    @property
    def heading(self) -> str:
        """The title, or else the name."""
        return self.title or self.name

    def embed(self, dpi: int = DPI, *, record: bool = False) -> str:
        """Make a self-contained HTML figure of the picture, with how it was measured if ``record`` is True."""
        caption = self.describe() if record else self.caption
        source = embed_png(self.render("png", dpi))
        return (
            f'<figure style="margin:0"><img src="{source}" alt="{escape(self.alt)}" '
            f'style="max-width:100%;height:auto;background:#fff"><figcaption>{escape(caption)}</figcaption></figure>'
        )

    def _repr_html_(self) -> str:
        return self.embed()

    def __repr__(self) -> str:
        return f"DrawnPicture({self.name!r}, {self.width:.3g} in wide: {self.caption})"


class Pictures(dict[str, DrawnPicture]):
    """Pictures by name, which notebooks display."""

    def save(self, folder: Path | str, formats: Sequence[str] = ("png",), dpi: int = DPI) -> list[Path]:
        """Write every picture as ``NAME.FORMAT`` and its caption beside it; see :func:`save_pictures`."""
        return save_pictures(self, folder, formats, dpi)

    def _repr_html_(self) -> str:
        return "\n".join(picture.embed() for picture in self.values())


def save_pictures(
    pictures: Mapping[str, DrawnPicture],
    folder: Path | str,
    formats: Sequence[str] = ("png",),
    dpi: int = DPI,
    *,
    overwrite: bool = True,
) -> list[Path]:
    """Write pictures as ``NAME.FORMAT``, and the caption of each for a paper as ``NAME.caption.txt``.

    Args:
        pictures: the pictures by the name of their files.
        folder: the directory of the files, made if need be.
        formats: some of :data:`FORMATS`; each picture is written once per format.
        dpi: the resolution of raster parts, in dots per inch.
        overwrite: whether to replace existing files.

    Returns:
        The paths of the pictures, in their order.

    Raises:
        BadInput: a format is unknown, or a file exists; nothing is written then.
        CannotFinish: a file cannot be written.
    """
    check_formats(formats)
    check_dpi(dpi)
    folder, formats = _take_folder(folder), list(dict.fromkeys(formats))
    places = {name: [folder / f"{name}.{suffix}" for suffix in formats] for name in pictures}
    captions = {name: folder / f"{name}.{CAPTION}" for name in pictures}
    every = [*(place for several in places.values() for place in several), *captions.values()]
    if not overwrite and (there := [place for place in every if place.exists()]):
        raise BadInput(f"{there[0]} exists; choose another folder, or ask for files to be overwritten")
    if wrong := [place for place in every if place.is_dir()]:
        raise BadInput(f"{wrong[0]} is a directory; choose another folder")
    for name, several in places.items():
        for place, suffix in zip(several, formats, strict=True):
            write_atomically(place, pictures[name].render(suffix, dpi), folders=True)
        caption = f"{pictures[name].describe()}\n".encode(errors="backslashreplace")
        write_atomically(captions[name], caption, folders=True)
    return [place for several in places.values() for place in several]


def _take_folder(folder: object) -> Path:
    """A folder that files can be written to, or that can be made.

    Raises:
        BadInput: it is not a path, or something else has its name.
    """
    try:
        place = Path(folder)  # type: ignore[arg-type]
        if "\0" in str(place):
            raise ValueError("a path holds no null byte")
        taken = place.exists() and not place.is_dir()
    except (TypeError, ValueError) as error:
        raise BadInput(f"{folder!r} is not the path of a folder; give one such as pictures") from error
    if taken:
        raise BadInput(f"{place} is a file; give a folder")
    return place


def check_formats(formats: Sequence[str]) -> None:
    """Refuse formats that are unknown.

    Raises:
        BadInput: a format is unknown, or the list is empty.
    """
    if isinstance(formats, str) or not isinstance(formats, Sequence) or not formats:
        raise BadInput(f"formats {formats!r} are not a list of formats; give some of {', '.join(FORMATS)}")
    if wrong := [suffix for suffix in formats if suffix not in FORMATS]:
        raise make_unknown_error("picture format", wrong[0], FORMATS)


def check_dpi(dpi: int) -> None:
    """Refuse a resolution that is too low to be legible or too high for the memory.

    Raises:
        BadInput: the resolution is out of bounds.
    """
    if not (isinstance(dpi, int | float) and LEAST_DPI <= dpi <= MOST_DPI):
        raise BadInput(f"dpi {dpi!r} is not between {LEAST_DPI} and {MOST_DPI}; most journals require 300")


def _save(
    picture: DrawnPicture, suffix: str, dpi: int, settings: Mapping[str, Any], metadata: Mapping[str, Any]
) -> bytes:
    """Save the figure with matplotlib under temporary settings, which leave those of the user unchanged."""
    from matplotlib import rc_context

    from lossatlas.views.figures import crop_height

    buffer = BytesIO()
    with rc_context(dict(settings)):  # type: ignore[arg-type]
        width, height = (float(side) * dpi for side in picture.figure.get_size_inches())
        if width * height > MOST_PIXELS:
            raise BadInput(f"{width:.0f} x {height:.0f} pixels are more than can be drawn; give a lower dpi or width")
        box = crop_height(picture.figure)
        picture.figure.savefig(buffer, format=suffix, dpi=dpi, metadata=dict(metadata), bbox_inches=box)
    return buffer.getvalue()


def _render_png(picture: DrawnPicture, dpi: int) -> bytes:
    return _save(
        picture,
        "png",
        dpi,
        {},
        {"Software": None, "Description": picture.alt.encode("latin-1", "replace").decode("latin-1")},
    )


def _render_pdf(picture: DrawnPicture, dpi: int) -> bytes:
    # Many publishers refuse Type 3 fonts, which matplotlib embeds by default.
    metadata = {
        "Title": picture.heading,
        "Subject": picture.caption,
        "CreationDate": None,
        "Creator": "lossatlas",
    }
    return _save(picture, "pdf", dpi, {"pdf.fonttype": 42}, metadata)


def _render_svg(picture: DrawnPicture, dpi: int) -> bytes:
    metadata = {
        "Title": picture.heading,
        "Description": picture.alt,
        "Date": None,
        "Creator": "lossatlas",
    }
    return _save(picture, "svg", dpi, {"svg.fonttype": "none", "svg.hashsalt": picture.name}, metadata)


def _render_html(picture: DrawnPicture, dpi: int) -> bytes:
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    body = f"<title>{escape(picture.heading)}</title></head><body>{picture.embed(dpi, record=True)}</body></html>"
    page = f'<!doctype html>\n<html lang="en"><head>{head}{body}\n'
    return page.encode(errors="backslashreplace")


RENDERINGS: dict[str, Callable[[DrawnPicture, int], bytes]] = {
    "png": _render_png,
    "pdf": _render_pdf,
    "svg": _render_svg,
    "html": _render_html,
}
