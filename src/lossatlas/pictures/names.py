"""Pictures by name, as the command line has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from lossatlas.errors import BadInput, make_unknown_error
from lossatlas.pictures.raster import Raster
from lossatlas.pictures.shape import Shape, ShapeSource
from lossatlas.pictures.source import PrefixSource, Size, Source
from lossatlas.registry import Registry

__all__ = ["SHAPES", "SOURCES", "find_picture_options", "find_source", "picture"]

SHAPES: Registry[Shape] = Registry("picture", "lossatlas.pictures.shapes")
"""The shapes by name."""

SOURCES: Registry[type[PrefixSource]] = Registry("picture", "lossatlas.pictures.sources")
"""The options of the sources by prefix."""


def find_picture_options(spec: str) -> type[PrefixSource] | None:
    """The dataclass of options of a picture: that of its prefix, None for a shape, which has no options.

    Args:
        spec: what the user wrote.

    Raises:
        BadInput: an unknown name or prefix (the message has the nearest match), or nothing after the colon.

    >>> [field.name for field in fields(find_picture_options("random:0.3"))]
    ['rings', 'seed']
    """
    prefix, colon, rest = spec.partition(":")
    if not colon and spec in SHAPES:
        return None
    if not colon or prefix not in SOURCES:
        # What follows a prefix would only blur the search for the nearest one.
        raise make_unknown_error("picture", prefix + colon, [*SHAPES, *(SOURCES[name].form for name in SOURCES)])
    if not rest:
        raise BadInput(f"picture {spec!r} ends at its colon; expected {SOURCES[prefix].form}")
    return SOURCES[prefix]


def find_source(spec: str, invert: bool = False, options: Mapping[str, Any] | None = None) -> Source:
    """The source for a name (``heart``) or a prefix with its argument (``image:FILE``, ``text:WORDS``).

    Args:
        spec: what the user wrote.
        invert: turn ink and background.
        options: fields of the prefix's dataclass (:func:`find_picture_options`); shapes have none.

    Raises:
        BadInput: an unknown name, prefix or option (the message has the nearest match), or a source that cannot be
            read.
    """
    family, given = find_picture_options(spec), dict(options or {})
    choices = [field.name for field in fields(family)] if family is not None else []
    for name in given:
        if not choices:
            raise BadInput(f"picture {spec!r} has no options; leave out {name!r}")
        if name not in choices:
            raise make_unknown_error(f"option of picture {spec!r}:", name, choices)
    if family is None:
        return ShapeSource(SHAPES[spec], spec, invert)
    return family(**given).open(spec.partition(":")[2], invert)


def picture(spec: str, size: Size | None = None, invert: bool = False, **options: Any) -> Raster:
    """The picture for a name or a prefix with its argument, at a size (None: the source's own).

    Args:
        spec: a shape's name, or a prefix with its argument.
        size: the longest side, or the shape.
        invert: turn ink and background.
        options: those of the prefix.

    Raises:
        BadInput: see :func:`find_source` and :meth:`Source.render`.

    >>> picture("heart", (20, 30)).shape
    (20, 30)
    >>> picture("random:0.3", 12, seed=1).shape
    (12, 12)
    """
    return find_source(spec, invert, options).render(size)
