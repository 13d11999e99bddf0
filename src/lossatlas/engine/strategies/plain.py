"""One network after the other, each called as it was written: what a script without lossatlas does."""

from __future__ import annotations

from lossatlas.engine.strategies.loop import Loop

__all__ = ["Plain"]


class Plain(Loop):
    """A functional call per point, images as they are given.

    Nothing has to be faster than this, so it is what others are compared with, in their numbers and in their time.
    """

    rank = 0
    rewrites = False
