"""What curvature is measured in, and how exactly."""

from __future__ import annotations

from dataclasses import dataclass

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
        BadInput: a number is out of range, or no parameters are named.

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
        object.__setattr__(self, "parameters", tuple(self.parameters))
        if not self.parameters or not all(isinstance(each, str) and each for each in self.parameters):
            raise BadInput(
                f"parameters of curvature are {self.parameters!r}; expected patterns of names, such as '*', 'matrices' "
                "or 'head.*'"
            )
        if not 0 < self.tolerance < 1:
            raise BadInput(
                f"the tolerance of curvature is {self.tolerance!r}; expected a share of the largest eigenvalue between "
                "0 and 1, such as 1e-3"
            )
        if not 2 <= self.products <= MOST_PRODUCTS:
            raise BadInput(f"the number of products is {self.products!r}; expected 2 to {MOST_PRODUCTS:,}, such as 300")
