"""Batch sources, one per module."""
