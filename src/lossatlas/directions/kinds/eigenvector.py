"""Eigenvectors of the Hessian at the centre."""

from __future__ import annotations

from torch import Tensor

from lossatlas.curvatures import CurvatureSettings
from lossatlas.directions.direction import Around, Direction, require_centre
from lossatlas.directions.eigenvectors import label_eigenvector, orient
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
        self._found: list[tuple[float, float]] = []
        """The eigenvalues that were found, with their residuals."""

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
        if not float(found.scale[0]) > 0:
            raise BadInput(
                "the Hessian at the centre is zero, so any direction is an eigenvector; choose other directions"
            )
        limit = max(centre.settings.tolerance, find_precision_limit(vectors.dtype)) * float(found.scale[0])
        self._found = list(zip(values.tolist(), residuals.tolist(), strict=True))
        for number, residual in enumerate(residuals.tolist()):
            if residual > limit:
                around.notes.append(
                    f"{self.label(number)} is not found to the tolerance {centre.settings.tolerance:g} after "
                    f"{centre.settings.products} products; allow more with --curvature_products"
                )
        return orient(vectors[0].double().cpu()).to(around.origin)

    def label(self, number: int) -> str:
        found = self._found[number] if number < len(self._found) else None
        return label_eigenvector(number, self.argument == SMALLEST, found)

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
