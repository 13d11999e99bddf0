"""Pictures to be fitted into a loss landscape: masks of low and high loss, grey levels, their sources and scores.

Does not import torch or matplotlib.
"""

from __future__ import annotations

from lossatlas.pictures.array import ArraySource
from lossatlas.pictures.grey import GreyPicture
from lossatlas.pictures.members import MemberGrid
from lossatlas.pictures.names import SHAPES, SOURCES, find_picture_options, find_source, picture
from lossatlas.pictures.picture import Picture
from lossatlas.pictures.raster import Raster
from lossatlas.pictures.scores import LOSS_FLOOR, correlate, score_accuracy, score_loss, score_members
from lossatlas.pictures.shape import Shape, ShapeSource
from lossatlas.pictures.source import PrefixSource, Size, Source, parse_size
from lossatlas.pictures.sources.array import ArrayFile
from lossatlas.pictures.sources.grey import GreyImage
from lossatlas.pictures.sources.image import ImageFile
from lossatlas.pictures.sources.members import MemberCells
from lossatlas.pictures.sources.random import RandomMask
from lossatlas.pictures.sources.sequence import PictureSequence
from lossatlas.pictures.sources.text import TextWords

__all__ = [
    "LOSS_FLOOR",
    "SHAPES",
    "SOURCES",
    "ArrayFile",
    "ArraySource",
    "GreyImage",
    "GreyPicture",
    "ImageFile",
    "MemberCells",
    "MemberGrid",
    "Picture",
    "PictureSequence",
    "PrefixSource",
    "RandomMask",
    "Raster",
    "Shape",
    "ShapeSource",
    "Size",
    "Source",
    "TextWords",
    "correlate",
    "find_picture_options",
    "find_source",
    "parse_size",
    "picture",
    "score_accuracy",
    "score_loss",
    "score_members",
]
