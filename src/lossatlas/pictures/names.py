"""Pictures by name, as the command line has them."""

from __future__ import annotations

from lossatlas.errors import BadInput, unknown
from lossatlas.pictures.picture import Picture
from lossatlas.pictures.shape import Shape, ShapeSource
from lossatlas.pictures.source import PrefixSource, Size, Source
from lossatlas.registry import Registry

__all__ = ["SHAPES", "SOURCES", "picture", "picture_source"]

SHAPES: Registry[Shape] = Registry("picture", "lossatlas.pictures.shapes")
"""The shapes by name."""

SOURCES: Registry[type[PrefixSource]] = Registry("picture", "lossatlas.pictures.sources")
"""The sources by prefix."""


def picture_source(spec: str, invert: bool = False) -> Source:
    """The source for a name (``heart``) or a prefix with its argument (``image:FILE``, ``array:FILE``).

    Args:
        spec: what the user wrote.
        invert: turn ink and background.

    Raises:
        BadInput: an unknown name or prefix (the message has the nearest match), or a source that cannot be read.
    """
    prefix, colon, rest = spec.partition(":")
    if not colon and spec in SHAPES:
        return ShapeSource(SHAPES[spec], spec, invert)
    if not colon or prefix not in SOURCES:
        # What follows a prefix would only blur the search for the nearest one.
        raise unknown("picture", prefix + colon, [*SHAPES, *(SOURCES[name].form for name in SOURCES)])
    source = SOURCES[prefix]
    if not rest:
        raise BadInput(f"picture {spec!r} ends at its colon; expected {source.form}")
    return source.from_spec(rest, invert)


def picture(spec: str, size: Size | None = None, invert: bool = False) -> Picture:
    """The picture for a name or a prefix with its argument, at a size (None: the source's own).

    Raises:
        BadInput: see :func:`picture_source` and :meth:`Source.render`.

    >>> picture("heart", (20, 30)).shape
    (20, 30)
    """
    return picture_source(spec, invert).render(size)
