"""Pictures to be fitted into a loss landscape: masks of low and high loss, grey levels, their sources and scores.

Does not import torch or matplotlib.
"""

from __future__ import annotations

from lossatlas.pictures.array import ArraySource
from lossatlas.pictures.colour import ColourPicture
from lossatlas.pictures.grey import GreyPicture
from lossatlas.pictures.groups import (
    check_groups,
    find_left_out,
    parse_group,
    parse_groups,
    settle_groups,
    share_classes,
    write_group,
    write_groups,
)
from lossatlas.pictures.members import MemberGrid
from lossatlas.pictures.names import SHAPES, SOURCES, find_picture_options, find_source, picture
from lossatlas.pictures.picture import Picture
from lossatlas.pictures.raster import Raster, TargetVariable
from lossatlas.pictures.scores import (
    LOSS_FLOOR,
    correlate,
    score_accuracy,
    score_colours,
    score_loss,
    score_members,
)
from lossatlas.pictures.shape import Shape, ShapeSource
from lossatlas.pictures.source import PrefixSource, Size, Source, parse_size
from lossatlas.pictures.sources.array import ArrayFile
from lossatlas.pictures.sources.colour import ColourImage
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
    "ColourImage",
    "ColourPicture",
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
    "TargetVariable",
    "TextWords",
    "check_groups",
    "correlate",
    "find_left_out",
    "find_picture_options",
    "find_source",
    "parse_group",
    "parse_groups",
    "parse_size",
    "picture",
    "score_accuracy",
    "score_colours",
    "score_loss",
    "score_members",
    "settle_groups",
    "share_classes",
    "write_group",
    "write_groups",
]
