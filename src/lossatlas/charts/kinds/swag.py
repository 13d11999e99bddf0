"""The Gaussian posterior of SWAG, whose samples are points of weight space."""

from __future__ import annotations

import math
import warnings
from typing import Self

import torch
from torch import Tensor

from lossatlas.averages import Moments
from lossatlas.charts.chart import Chart, check_coords
from lossatlas.describing import count_things
from lossatlas.errors import BadInput, Caution
from lossatlas.schema import SAMPLE
from lossatlas.streams import make_generator

__all__ = ["Swag"]

STREAM = "swag"
"""The stream of random numbers of the samples."""
LEAST_COLUMNS = 2
"""The fewest deviations that a covariance is estimated from."""
MOST = 2**53
"""The bound of the numbers of samples, up to which float64 holds every whole number."""


class Swag(Chart):
    """Samples of the Gaussian that SWAG fits to the iterates of a training, along the axis ``sample``.

    The distribution is ``N(mean, ½ (diag(variance) + DᵀD / (K − 1)))`` with the K deviations D (K, n) that are really
    held (Maddox et al. 2019, arXiv 1902.02476, equation 1): sample k is ``mean + sqrt(variance / 2) z₁ + Dᵀ z₂ /
    sqrt(2 (K − 1))`` with standard normal z₁ (n,) and one z₂ (K,) for all parameters together. With fewer than two
    deviations it is SWAG-Diagonal, ``N(mean, diag(variance))``.

    Sample k is a function of the seed and k alone, whatever is formed together with it. Nothing is trained, and running
    statistics of normalisation layers fit none of the samples: they are re-estimated at each.

    Samples have the dtype of the deviations, which is that of the network, but at least 32 bits, to which the mean is
    rounded once; engines compute networks of 16 bits in 32, so that nothing is rounded further.

    Args:
        mean: the mean of the iterates, (n,).
        variance: their variances, (n,), not negative.
        deviations: deviations from the running mean, (K, n), in the dtype of the samples, in which all is held.
        seed: the seed of the samples.

    Raises:
        BadInput: shapes do not fit, a variance is negative, or a number is not finite.

    Warns:
        Caution: fewer than two deviations, so that parameters are independent of one another.

    >>> import torch, lossatlas as la
    >>> swag = la.Swag(torch.ones(3), torch.zeros(3), torch.tensor([[1.0, 1.0, 0.0], [-1.0, -1.0, 0.0]]), seed=7)
    >>> samples = swag.points(torch.arange(4)[:, None])
    >>> bool((samples[:, 0] == samples[:, 1]).all()), samples[:, 2].tolist()
    (True, [1.0, 1.0, 1.0, 1.0])
    >>> torch.equal(swag.points(torch.tensor([[2]])), samples[2:3])
    True
    """

    axes = (SAMPLE,)
    joins_networks = True
    centred = False
    counts = {"seed": torch.int64}  # noqa: RUF012

    mean: Tensor
    variance: Tensor
    deviations: Tensor
    seed: Tensor

    def __init__(self, mean: Tensor, variance: Tensor, deviations: Tensor, seed: int = 0) -> None:
        super().__init__()
        size = mean.shape[0] if mean.ndim == 1 else -1
        if variance.shape != (size,) or deviations.ndim != 2 or deviations.shape[1] != size:
            shapes = ", ".join(str(tuple(each.shape)) for each in (mean, variance, deviations))
            raise BadInput(f"mean, variance and deviations have shapes {shapes}; expected (n,), (n,) and (K, n)")
        if not all(each.isfinite().all() for each in (mean, variance, deviations)) or (variance < 0).any():
            raise BadInput("a posterior needs finite numbers and variances of 0 or more, as moments have")
        if not 0 <= seed < 2**63:
            raise BadInput(f"{seed} is not a seed of samples; expected a whole number from 0 to 2^63 - 1")
        # What is held of a posterior of rank K are K + 2 vectors like the network.
        self.register_buffer("mean", mean.detach().to(deviations.dtype, copy=True))
        self.register_buffer("variance", variance.detach().to(deviations.dtype, copy=True))
        self.register_buffer("deviations", deviations.detach().clone())
        self.register_buffer("seed", torch.tensor(seed))
        if len(deviations) < LEAST_COLUMNS:
            warnings.warn(
                f"the posterior holds {count_things(len(deviations), 'deviation')}, fewer than a covariance needs: its "
                "samples vary in each parameter by itself (SWAG-Diagonal); average more snapshots, of a rank of 2 or "
                "more, for correlated ones",
                Caution,
                stacklevel=2,
            )

    @classmethod
    def of(cls, moments: Moments, seed: int = 0) -> Self:
        """The posterior of moments, with as many deviations as they hold.

        Raises:
            BadInput: the moments are of fewer than two vectors.

        >>> import torch, lossatlas as la
        >>> la.Swag.of(la.Moments.of(torch.eye(5), rank=3)).rank
        3
        """
        moments.check()
        return cls(moments.mean, moments.variance, moments.deviations, seed)

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Self:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Caution)  # who made the chart was told
            return cls(state["mean"], state["variance"], state["deviations"], int(state["seed"]))

    @property
    def rank(self) -> int:
        """The number K of deviations that are held."""
        return self.deviations.shape[0]

    @property
    def dimension(self) -> int:
        return self.mean.shape[0]

    def _describe_controls(self) -> str:
        return f"rank {self.rank}, seed {int(self.seed)}, "

    @torch.no_grad()
    def points(self, coords: Tensor) -> Tensor:
        """The samples (P, n) of the numbers (P, 1), in the dtype of the deviations.

        Raises:
            BadInput: a number is not whole, or negative.
        """
        numbers = self._number(coords)
        low = self.rank >= LEAST_COLUMNS
        like, mean = self.deviations, self.mean
        scale = (self.variance / 2 if low else self.variance).sqrt()
        found = like.new_empty(len(numbers), self.dimension)
        for row, number in zip(found, numbers, strict=True):
            # One by one, since a product of several at once may round otherwise than that of one.
            generator = make_generator(int(self.seed), STREAM, number)
            torch.mul(self._draw(generator, self.dimension), scale, out=row)
            if low:
                shares = self._draw(generator, self.rank) / math.sqrt(2 * (self.rank - 1))
                row += torch.mv(like.T, shares)
            row += mean
        return found

    def _draw(self, generator: torch.Generator, size: int) -> Tensor:
        """Standard normal numbers (size,), the same on every device."""
        return torch.randn(size, generator=generator, dtype=self.deviations.dtype).to(self.deviations.device)

    def _number(self, coords: Tensor) -> list[int]:
        """The numbers of the samples that coordinates (P, 1) stand for.

        Raises:
            BadInput: one is not whole, or negative.
        """
        wanted = check_coords(coords, self.axes).double().flatten()
        whole = wanted.round()
        if not (torch.equal(whole, wanted) and ((whole >= 0) & (whole < MOST)).all()):
            wrong = next(each for each in wanted.tolist() if not (0 <= each < MOST and each == round(each)))
            raise BadInput(f"{wrong:g} is not the number of a sample; expected whole numbers from 0 on, as in 0,1,2")
        return [int(number) for number in whole.tolist()]
