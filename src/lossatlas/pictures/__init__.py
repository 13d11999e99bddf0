"""Pictures to be fitted into a loss landscape: masks of low and high loss, where they come from, and scores.

Imports neither torch nor matplotlib.
"""

from __future__ import annotations

from lossatlas.pictures.names import SHAPES, SOURCES, picture, picture_source
from lossatlas.pictures.picture import Picture
from lossatlas.pictures.scores import LOSS_FLOOR, score_accuracy, score_loss
from lossatlas.pictures.shape import Shape, ShapeSource
from lossatlas.pictures.source import PrefixSource, Size, Source, parse_size
from lossatlas.pictures.sources.array import ArraySource
from lossatlas.pictures.sources.image import ImageSource

__all__ = [
    "LOSS_FLOOR",
    "SHAPES",
    "SOURCES",
    "ArraySource",
    "ImageSource",
    "Picture",
    "PrefixSource",
    "Shape",
    "ShapeSource",
    "Size",
    "Source",
    "parse_size",
    "picture",
    "picture_source",
    "score_accuracy",
    "score_loss",
]
