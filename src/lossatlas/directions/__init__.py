"""Directions of slices, by name: what the axes of a chart around a network point along."""

from lossatlas.directions.direction import DIRECTIONS, Around, Direction, directions

__all__ = ["DIRECTIONS", "Around", "Direction", "directions"]
