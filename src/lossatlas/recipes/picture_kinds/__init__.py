"""Kinds of pictures that are fitted: each module defines one, what a fit does with its rasters."""
