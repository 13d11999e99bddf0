"""``text:WORDS``: words as a picture."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import numpy as np
import numpy.typing as npt
from msgspec import Meta
from PIL import Image, ImageDraw, ImageFont

from lossatlas.errors import BadInput
from lossatlas.files.reading import Unreadable, read_bytes, tell_reason
from lossatlas.pictures.picture import Picture
from lossatlas.pictures.raster import Raster
from lossatlas.pictures.source import PrefixSource, Size, Source, scale_shape

__all__ = ["TextWords"]

DEFAULT_SIZE = 40
WIDEST = 10
"""The widest margin, in units of the font's size."""
LONGEST = 500
"""The most characters of a text; with more there would be too few cells for each."""
MOST_FONT = 2**27
"""The most bytes of a font file."""
LARGEST_LETTER = 64
"""The largest area of a letter in squares of the font's size; a damaged font may request any number of pixels."""
BOLDEST = 0.2
"""The widest addition to strokes, with which the counters of most letters are closed."""
FONT_SIZE = 96  # pixels of the first drawing, which gives the aspect
FINENESS = 8  # pixels per cell, at least
LINE_SPACING = 0.2  # in units of the font's size
INK_SHARES = (0.3, 0.5)  # of a cell's area that makes it ink: for strokes much thinner than a cell, and for others
UNASSIGNED = "\U0010ffff"  # a character that no font has: drawn as what stands for missing glyphs

Ink = npt.NDArray[np.float32]


@final
@dataclass(frozen=True)
class TextWords(PrefixSource):
    r"""Words, in several lines if there are line breaks in them (typed as ``\n`` or real), centred."""

    font: str | None = None
    """Font file (.ttf or .otf); by default the font that comes with Pillow, which has the letters of English only."""
    margin: Annotated[float, Meta(ge=0, le=WIDEST, description=f"0 to {WIDEST} sizes of the font")] = 0.15
    """Margin around the ink, in units of the size of the font."""
    stroke: Annotated[float, Meta(ge=0, le=BOLDEST, description=f"0 to {BOLDEST} sizes of the font")] = 0.0
    """Width by which strokes are widened on each side, in units of the size of the font: thin strokes of long texts are
    lost between few cells."""

    form: ClassVar[str] = "text:WORDS"

    def open(self, rest: str, invert: bool = False) -> Source:
        """Open the words ``rest``; ``invert`` makes them high on a low background.

        Raises:
            BadInput: no ink, characters that the font lacks, too many of them, or a font that cannot be read.
        """
        lines = [line.strip() for line in rest.replace("\\n", "\n").expandtabs(4).splitlines()]
        if len(rest) > LONGEST:
            raise BadInput(
                f"the text has {len(rest)} characters; expected {LONGEST} at most, so that each has some cells"
            )
        if not any(lines):
            raise BadInput("the text is blank and leaves no ink; expected words, such as text:HI")
        return _Text(lines, self, invert)


@final
class _Text(Source):
    scalable = True
    rank = 2

    def __init__(self, lines: Sequence[str], options: TextWords, invert: bool) -> None:
        self.name = " ".join(filter(None, lines))
        self._lines = lines
        self._options = options
        self._invert = invert
        with _drawable(options.font):
            font = _font(options.font, FONT_SIZE)
            if missing := _missing(font, self.name):
                whose = f"font {options.font!r}" if options.font else "the default font"
                raise BadInput(
                    f"{whose} has no glyph for {missing!r} in {self.name!r}; give a font file that has it (option "
                    "font) or other words"
                )
            self._native = _drawing(font, lines, options).shape

    def render(self, size: Size | None = None) -> Raster:
        """Render the words large and average over each cell; background is added where the aspect ratio differs."""
        height, width = shape = scale_shape(DEFAULT_SIZE if size is None else size, self._native, self.name)
        cell = min(n / m for n, m in zip(shape, self._native, strict=True))
        with _drawable(self._options.font):
            font = _font(self._options.font, int(np.ceil(FONT_SIZE * max(1.0, FINENESS * cell))))
            drawn = _drawing(font, self._lines, self._options)
        paper = _letterboxed(drawn, shape)
        covered = np.asarray(Image.fromarray(paper).resize((width, height), Image.Resampling.BOX))
        # A stroke on the border of two cells covers each with half of its width; a higher limit would break it up.
        share = np.clip(0.45 * _thickness(drawn) * width / paper.shape[1], *INK_SHARES)
        try:
            return Picture((covered >= share) != self._invert, self.name)
        except BadInput as error:
            raise BadInput(f"text {self.name!r}: {error}") from error


def _font(path: str | None, size: int) -> ImageFont.FreeTypeFont:
    font = (
        ImageFont.load_default(size)
        if path is None
        else ImageFont.truetype(io.BytesIO(read_bytes(path, MOST_FONT)), size)
    )
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


@contextmanager
def _drawable(path: str | None) -> Iterator[None]:
    """Refuse a font that cannot be read, or is found to be damaged when a letter is drawn.

    Raises:
        BadInput: the font cannot be used.
    """
    try:
        yield
    except (OSError, Unreadable) as error:
        detail = tell_reason(error)
        raise BadInput(f"cannot read font {path!r} ({detail}); expected a .ttf or .otf file") from error


def _missing(font: ImageFont.FreeTypeFont, words: str) -> str:
    """The characters that the font lacks: drawn as nothing, or as its sign for missing glyphs."""

    def picture(character: str) -> tuple[tuple[int, int], bytes]:
        mask = font.getmask(character)
        return mask.size, bytes(mask)

    stand_in = picture(UNASSIGNED)
    return "".join(c for c in dict.fromkeys(words) if not c.isspace() and _blank_or(picture(c), stand_in))


def _blank_or(drawn: tuple[tuple[int, int], bytes], stand_in: tuple[tuple[int, int], bytes]) -> bool:
    return drawn == stand_in or not any(drawn[1])


def _drawing(font: ImageFont.FreeTypeFont, lines: Sequence[str], options: TextWords) -> Ink:
    """The ink of the lines, (H, W) in [0, 1], with a margin around it."""
    words, spacing, widened = "\n".join(lines), round(LINE_SPACING * font.size), round(options.stroke * font.size)
    left, top, right, bottom = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox(
        (0, 0), words, font, spacing=spacing, align="center", stroke_width=widened
    )
    width, height = int(np.ceil(right - left)) + 2, int(np.ceil(bottom - top)) + 2
    if width * height > LARGEST_LETTER * (len(words) + 1) * font.size**2:
        raise OSError(f"it draws {width} x {height} pixels at the size {font.size:.0f}")
    canvas = Image.new("L", (width, height))
    ImageDraw.Draw(canvas).multiline_text(
        (1 - left, 1 - top), words, 255, font, spacing=spacing, align="center", stroke_width=widened
    )
    ink = canvas.crop(canvas.getbbox())
    return np.pad(np.asarray(ink, np.float32) / 255, round(options.margin * font.size))


def _thickness(ink: Ink) -> float:
    """The approximate width of strokes in pixels: twice the area of the ink over the length of its outline."""
    framed = np.pad(ink, 1)  # without a margin ink ends at the edge
    outline = sum(np.abs(np.diff(framed, axis=axis)).sum() for axis in (0, 1))
    return float(2 * ink.sum() / outline)


def _letterboxed(ink: Ink, shape: tuple[int, ...]) -> Ink:
    """The ink with background added on two sides, so that cells of the shape are square."""
    height, width = ink.shape
    pixels = max(height / shape[0], width / shape[1])  # per cell
    missing = (round(pixels * shape[0]) - height, round(pixels * shape[1]) - width)
    return np.pad(ink, [(max(n, 0) // 2, (max(n, 0) + 1) // 2) for n in missing])
