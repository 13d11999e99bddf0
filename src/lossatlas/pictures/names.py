"""Pictures by the names of the command line."""

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
"""The shapes, by name."""

SOURCES: Registry[type[PrefixSource]] = Registry("picture", "lossatlas.pictures.sources")
"""The dataclasses of the options of sources, by prefix."""


def find_picture_options(spec: str) -> type[PrefixSource] | None:
    """Find the dataclass of the options of a picture; None for a shape, which has no options.

    Args:
        spec: a name, or a prefix with its argument.

    Raises:
        BadInput: the name or prefix is unknown (the message has the nearest match), or nothing follows the colon.

    >>> [field.name for field in fields(find_picture_options("random:0.3"))]
    ['rings', 'seed']
    """
    prefix, colon, rest = spec.partition(":")
    if not colon and spec in SHAPES:
        return None
    if not colon or prefix not in SOURCES:
        # The argument would only disturb the search for the nearest prefix.
        raise make_unknown_error("picture", prefix + colon, [*SHAPES, *(SOURCES[name].form for name in SOURCES)])
    if not rest:
        raise BadInput(f"picture {spec!r} ends at its colon; expected {SOURCES[prefix].form}")
    return SOURCES[prefix]


def find_source(spec: str, invert: bool = False, options: Mapping[str, Any] | None = None) -> Source:
    """Find the source of a picture by its name (``heart``) or a prefix with its argument (``image:FILE``).

    Args:
        spec: a name, or a prefix with its argument.
        invert: whether to exchange ink and background.
        options: the options of the prefix by name (:func:`find_picture_options`); shapes have none.

    Raises:
        BadInput: the name, the prefix or an option is unknown (the message has the nearest match), or the source
            cannot be read.
    """
    family, given = find_picture_options(spec), dict(options or {})
    choices = [field.name for field in fields(family)] if family is not None else []
    for name in given:
        if not choices:
            raise BadInput(f"picture {spec!r} has no options; leave out {name!r}")
        if name not in choices:
            raise make_unknown_error(f"option of picture {spec!r}", name, choices)
    if family is None:
        return ShapeSource(SHAPES[spec], spec, invert)
    return family(**given).open(spec.partition(":")[2], invert)


def picture(spec: str, size: Size | None = None, invert: bool = False, **options: Any) -> Raster:
    """Make a picture from a name or from a prefix with its argument.

    Args:
        spec: the name of a shape (``heart``), or a prefix with its argument (``image:FILE``, ``text:WORDS``).
        size: the number of cells along the longest side, or the shape (height, width); None for the size of the source.
        invert: whether to exchange ink and background.
        options: the options of the prefix.

    Returns:
        A :class:`Picture`, or a :class:`GreyPicture` for the prefix ``grey``.

    Raises:
        BadInput: as for :func:`find_source` and :meth:`Source.render`.

    Example:
        >>> import lossatlas as la
        >>> la.picture("heart", (20, 30)).shape
        (20, 30)
        >>> la.picture("random:0.3", 12, seed=1).shape
        (12, 12)
    """
    return find_source(spec, invert, options).render(size)
