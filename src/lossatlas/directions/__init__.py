"""Directions of slices, by name: what the axes of a chart around a network point along."""

from lossatlas.directions.direction import DIRECTIONS, Around, Direction, direction, directions, orthogonalised
from lossatlas.directions.normalisation import NORMALISATIONS, Normalisation

__all__ = [
    "DIRECTIONS",
    "NORMALISATIONS",
    "Around",
    "Direction",
    "Normalisation",
    "direction",
    "directions",
    "orthogonalised",
]
