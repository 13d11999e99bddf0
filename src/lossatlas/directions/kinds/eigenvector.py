"""Eigenvectors of the Hessian at the centre."""

from __future__ import annotations

import torch
from torch import Tensor

from lossatlas.curvatures import CurvatureSettings
from lossatlas.directions.direction import Around, Direction, require_centre
from lossatlas.errors import BadInput, make_unknown_error
from lossatlas.linalg import find_precision_limit

__all__ = ["Eigenvector"]

LARGEST, SMALLEST = "", "smallest"
"""The arguments: which end of the spectrum."""


class Eigenvector(Direction):
    """Eigenvectors of the Hessian of the mean loss at the centre, of length 1, the largest eigenvalues first.

    ``eigenvector:smallest`` are those of the smallest eigenvalues. Of a vector and its negative the one is taken whose
    entry of largest magnitude is positive.
    """

    takes = "end"
    needs_argument = False
    is_derived = True

    def __init__(self, argument: str = "") -> None:
        super().__init__(argument)
        if argument not in (LARGEST, SMALLEST):
            raise make_unknown_error("direction", f"eigenvector:{argument}", ["eigenvector", f"eigenvector:{SMALLEST}"])
        self._told: list[str] = []
        """The eigenvalues that were found, in words."""

    def make_vectors(self, count: int, around: Around) -> Tensor:
        centre = require_centre(around, "eigenvector")
        # Both ends come from one search, whichever kind is asked first.
        top, bottom = (around.names.count(name) for name in ("eigenvector", f"eigenvector:{SMALLEST}"))
        found = centre.find_eigenvectors(top, bottom)
        if self.argument == SMALLEST:
            values, residuals, vectors = found.bottom[0], found.bottom_residuals[0], found.bottom_vectors
        else:
            values, residuals, vectors = found.top[0], found.top_residuals[0], found.top_vectors
        assert vectors is not None
        self._check(values, centre.settings)
        limit = max(centre.settings.tolerance, find_precision_limit(vectors.dtype)) * float(found.scale[0])
        self._told = [_tell(*pair, limit) for pair in zip(values.tolist(), residuals.tolist(), strict=True)]
        for number, residual in enumerate(residuals.tolist()):
            if residual > limit:
                around.notes.append(
                    f"{self.label(number)} is not found to the tolerance {centre.settings.tolerance:g} after "
                    f"{centre.settings.products} products; allow more with --curvature_products"
                )
        return torch.stack([_orient(vector) for vector in vectors[0].double().cpu()]).to(around.origin)

    def label(self, number: int) -> str:
        told = f" ({self._told[number]})" if number < len(self._told) else ""
        return f"eigenvector {number + 1}{' from below' * (self.argument == SMALLEST)}{told}"

    @staticmethod
    def _check(values: Tensor, settings: CurvatureSettings) -> None:
        """Refuse eigenvalues that were not found.

        Raises:
            BadInput: products are not finite, or there were too few.
        """
        if not values.isfinite().any():
            raise BadInput(
                "products with the Hessian at the centre are not finite, so it has no eigenvectors; choose other "
                "directions"
            )
        if not values.isfinite().all():
            raise BadInput(
                f"{int(values.isfinite().sum())} of {len(values)} eigenvectors are found with {settings.products} "
                "products; allow more with --curvature_products"
            )


def _tell(value: float, residual: float, limit: float) -> str:
    """Tell an eigenvalue in words, with its residual where that is above the limit."""
    return f"eigenvalue {value:.4g}" + (f" ± {residual:.2g}" if residual > limit else "")


def _orient(vector: Tensor) -> Tensor:
    """Give a vector (n,) length 1, and the sign that makes its entry of largest magnitude positive."""
    unit: Tensor = vector / vector.norm()
    return -unit if unit[unit.abs().argmax()] < 0 else unit
