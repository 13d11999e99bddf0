"""One network after the other, each called as it was written, like a script without lossatlas."""

from __future__ import annotations

from lossatlas.engine.strategies.loop import Loop

__all__ = ["Plain"]


class Plain(Loop):
    """A functional call per point, with images as they are given.

    The reference with which other strategies are compared in results and in time.
    """

    rank = 0
    rewrites = False
