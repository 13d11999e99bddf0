"""Derivatives at the centre of a slice, for the directions that are computed from them."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

from torch import Tensor

from lossatlas.curvatures import CurvatureSettings, count_vectors, find_spectrum
from lossatlas.data import Split
from lossatlas.engine import Derivatives
from lossatlas.engine.derivatives import Operator
from lossatlas.engine.setup import EVAL_BATCH_SIZE
from lossatlas.linalg import Extremes
from lossatlas.problem import Problem
from lossatlas.weights import WeightSpace

if TYPE_CHECKING:
    from lossatlas.surveying.standing import Standing

__all__ = ["Centre"]

STRATEGY = "loop"
"""How derivatives are computed whatever is fastest: equal directions must have equal bits, as equal charts must."""


class Centre:
    """Derivatives of the mean loss over a split at the centre of a slice: each is computed when it is first asked for.

    Args:
        problem: module, loss and feed; the module has the weights of the centre, and its running statistics count.
        space: the parameters that vary.
        split: the examples, on the device to use.
        settings: of the Hessian and its eigenvalues; None for the defaults.
        eval_batch_size: examples per batch.
        memory: the bytes that vectors and graphs may take, such as 2GiB; auto is a quarter of the free memory.
    """

    def __init__(
        self,
        problem: Problem,
        space: WeightSpace,
        split: Split,
        settings: CurvatureSettings | None = None,
        eval_batch_size: int = EVAL_BATCH_SIZE,
        memory: str = "auto",
    ) -> None:
        self.settings = settings or CurvatureSettings()
        self._problem = problem
        self._space = space
        self._split = split
        self._eval_batch_size = eval_batch_size
        self._memory = memory
        self._spectra: dict[tuple[int, int], Extremes] = {}

    @cached_property
    def gradient(self) -> Tensor:
        """The gradient (n,), on the CPU.

        Raises:
            BadInput: module, loss and examples do not fit together, or the losses have no gradient.
        """
        return self._derive(0).gradient()[0].cpu()

    def find_eigenvectors(self, top: int, bottom: int) -> Extremes:
        """Find eigenvalues of the Hessian at both ends, with residuals and with eigenvectors in the whole space.

        Args:
            top: the number of largest eigenvalues.
            bottom: the number of smallest ones.

        Raises:
            BadInput: as :func:`lossatlas.curvatures.find_spectrum`, or module, loss and examples do not fit together.
        """
        if (top, bottom) not in self._spectra:
            derivatives = self._derive(top + bottom)
            found = find_spectrum(derivatives, self.settings, top=top, bottom=bottom, vectors=True)
            whole = partial(_embed, derivatives.operator("hessian", self.settings.parameters))
            self._spectra[top, bottom] = replace(
                found, top_vectors=whole(found.top_vectors), bottom_vectors=whole(found.bottom_vectors)
            )
        return self._spectra[top, bottom]

    @cached_property
    def _standing(self) -> Standing:
        from lossatlas.surveying.standing import Standing  # and with it zarr, which slices do without

        return Standing(self._problem, self._space, self._split, STRATEGY, self._eval_batch_size, self._memory)

    def _derive(self, wanted: int) -> Derivatives:
        """Make the derivatives, with room for so many eigenvectors."""
        return self._standing.derive(self._split, count_vectors(wanted, keeps=True) if wanted else (0, 0))


def _embed(operator: Operator, vectors: Tensor | None) -> Tensor | None:
    """Put vectors (1, k, n) of an operator's parameters into the whole space, on the CPU; None where there are none."""
    return operator.embed(vectors).cpu() if vectors is not None and vectors.numel() else None
