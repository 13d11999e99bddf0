"""Tile sources, one per module."""
