"""Directions of slices, by name: what the axes of a chart around a network point along."""

from lossatlas.directions.direction import DIRECTIONS, Around, Direction, direction, directions, orthogonalised
from lossatlas.directions.normalisations import NORMALISATIONS, Normalisation
from lossatlas.directions.slices import slice_along, slice_around

__all__ = [
    "DIRECTIONS",
    "NORMALISATIONS",
    "Around",
    "Direction",
    "Normalisation",
    "direction",
    "directions",
    "orthogonalised",
    "slice_along",
    "slice_around",
]
