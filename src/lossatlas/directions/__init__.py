"""Directions of slices by name: the axes of a chart around a network."""

from lossatlas.directions.centre import Centre
from lossatlas.directions.direction import DIRECTIONS, Around, Direction, make_direction, make_directions, orthogonalise
from lossatlas.directions.normalisations import NORMALISATIONS, Normalisation
from lossatlas.directions.slices import slice_along, slice_around

__all__ = [
    "DIRECTIONS",
    "NORMALISATIONS",
    "Around",
    "Centre",
    "Direction",
    "Normalisation",
    "make_direction",
    "make_directions",
    "orthogonalise",
    "slice_along",
    "slice_around",
]
