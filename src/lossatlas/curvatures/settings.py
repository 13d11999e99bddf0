"""What curvature is measured in, and how exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real

from lossatlas.errors import BadInput

__all__ = ["CurvatureSettings"]

MOST_PRODUCTS = 100_000


@dataclass(frozen=True, kw_only=True)
class CurvatureSettings:
    """How the metrics of curvature are computed; those of one survey share them.

    Attributes:
        parameters: Shell-style patterns of the parameters that curvature is taken in, among those that vary;
            ``matrices`` stands for those of two and more dimensions (Li et al. 2018 take these).
        tolerance: The residual at which an eigenvalue counts as found, as a share of the largest magnitude among the
            eigenvalues.
        products: The most products with the operator at a point. An eigenvalue that is not found by then is stored
            with the residual that it has.
        second_start: Whether a second random start looks for eigenvalues that the first one missed.
        seed: The seed of random starts and probes, which all points share.

    Raises:
        BadInput: a number is out of range, something is of another type, or no parameters are named.

    >>> CurvatureSettings(tolerance=1e-4).products
    300
    """

    parameters: tuple[str, ...] = ("*",)
    tolerance: float = 1e-3
    products: int = 300
    second_start: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.parameters, str):
            object.__setattr__(self, "parameters", (self.parameters,))
        named = self.parameters
        if not (isinstance(named, Sequence) and named and all(isinstance(each, str) and each for each in named)):
            raise BadInput(
                f"parameters of curvature are {named!r}; expected patterns of names, such as '*', 'matrices' or "
                "'head.*'"
            )
        if not isinstance(self.tolerance, Real) or not 0 < self.tolerance < 1:
            raise BadInput(
                f"the tolerance of curvature is {self.tolerance!r}; expected a share of the largest eigenvalue between "
                "0 and 1, such as 1e-3"
            )
        if not _is_whole(self.products) or not 2 <= self.products <= MOST_PRODUCTS:
            raise BadInput(f"the number of products is {self.products!r}; expected 2 to {MOST_PRODUCTS:,}, such as 300")
        if not isinstance(self.second_start, bool):
            raise BadInput(f"second_start is {self.second_start!r}; expected True or False")
        if not _is_whole(self.seed) or self.seed < 0:
            raise BadInput(f"the seed of curvature is {self.seed!r}; expected a whole number, 0 or more")
        plain = {"parameters": tuple(named), "tolerance": float(self.tolerance)}
        for name, value in {**plain, "products": int(self.products), "seed": int(self.seed)}.items():
            object.__setattr__(self, name, value)  # records of equal settings are equal, whatever types of numbers


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
