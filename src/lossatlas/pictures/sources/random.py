"""``random:P``: cells that are low at random."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from lossatlas.bounds import Seed
from lossatlas.errors import BadInput
from lossatlas.pictures.picture import Picture
from lossatlas.pictures.raster import Raster
from lossatlas.pictures.source import PrefixSource, Size, Source, scale_shape

__all__ = ["RandomMask"]

DEFAULT_SIZE = 30


@final
@dataclass(frozen=True)
class RandomMask(PrefixSource):
    """Each cell is low with probability P, independently of the others.

    As in the code of Skorokhodov & Burtsev 2019 (arXiv 1910.03867).
    """

    rings: bool = True
    """Make the outermost ring of cells high and the next ring low, whatever is drawn inside."""
    seed: Seed = 0
    """Seed of the random mask."""

    form: ClassVar[str] = "random:P"

    def open(self, rest: str, invert: bool = False) -> Source:
        """Parse the probability ``rest``; ``invert`` inverts the rings as well.

        Raises:
            BadInput: it is not a number in (0, 1).
        """
        try:
            probability = float(rest)
        except ValueError as error:
            raise BadInput(
                f"{rest!r} is not a probability; expected a number inside (0, 1), such as random:0.3"
            ) from error
        if not 0 < probability < 1:
            raise BadInput(f"{rest} is not a probability in (0, 1); expected a number inside, such as random:0.3")
        return _Random(probability, self, invert)


@final
class _Random(Source):
    # A smaller rendering is another random mask.
    scalable = False
    rank = 2

    def __init__(self, probability: float, options: RandomMask, invert: bool) -> None:
        self.name = f"random:{probability:g}"
        self._probability = probability
        self._options = options
        self._invert = invert

    def render(self, size: Size | None = None) -> Raster:
        """Sample a mask, as a function of seed, probability and shape; see :meth:`Source.render`."""
        shape = scale_shape(size, (DEFAULT_SIZE, DEFAULT_SIZE), self.name)
        key = f"{self._options.seed}/random/{self._probability!r}/{'x'.join(map(str, shape))}"
        digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
        low = np.random.default_rng(int.from_bytes(digest, "little")).random(shape) < self._probability
        if self._options.rings:
            framed = np.zeros(shape, bool)
            framed[1:-1, 1:-1] = True
            framed[2:-2, 2:-2] = low[2:-2, 2:-2]
            low = framed
        return Picture(low != self._invert, self.name)
