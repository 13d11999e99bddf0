"""The computation that metrics of curvature share, and their base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from lossatlas.curvatures import (
    CurvatureSettings,
    check_search,
    count_trace_vectors,
    count_vectors,
    find_spectrum,
    find_trace,
    looks_again,
)
from lossatlas.data import Split
from lossatlas.engine import Derivatives, Evaluation, Network, check_operator
from lossatlas.errors import BadInput
from lossatlas.linalg import Extremes, Trace
from lossatlas.losses import Loss
from lossatlas.metrics.computation import Computation
from lossatlas.metrics.metric import OperatorMetric
from lossatlas.schema import ENDS, OPERATORS, PROBE_ERROR, RESIDUAL, Companion, Quantity
from lossatlas.weights import WeightSpace

__all__ = ["Eigenvalues", "Spectral", "SpectralMetric", "Spectrum", "SpectrumTrace"]

MOST = 1000
"""The most eigenvalues of a metric."""


class Spectral(NamedTuple):
    """What is known of the spectrum of an operator at p points."""

    extremes: Extremes | None
    trace: Trace | None


@dataclass(frozen=True)
class Spectrum(Computation):
    """Eigenvalues at the ends of the spectrum of an operator, and its trace, as far as metrics need them.

    How many are found is not recorded: a survey that gets another metric of the group is evaluated again.
    """

    operator: str
    settings: CurvatureSettings
    top: int = field(default=0, repr=False, compare=False)
    """The number of largest eigenvalues."""
    bottom: int = field(default=0, repr=False, compare=False)
    """The number of smallest eigenvalues."""
    trace: bool = field(default=False, repr=False, compare=False)
    """Whether the trace is estimated."""

    @property
    def name(self) -> str:  # type: ignore[override]
        """The name of the group of metrics."""
        return self.operator

    def check(self, network: Network, split: Split, dtype: torch.dtype) -> None:
        super().check(network, split, dtype)
        size = self.choose_space(network.space).size
        if self.top or self.bottom:
            check_search(max(self.top, self.bottom), self.settings, size, dtype)
        check_operator(network, split, self.operator)

    def choose_space(self, space: WeightSpace) -> WeightSpace:
        return space.choose(self.settings.parameters)

    def count_vectors(self) -> tuple[int, int]:
        wanted = self.top + self.bottom
        needs = [(0, 0)]
        if wanted:
            needs.append(count_vectors(wanted, keeps=looks_again(self.settings, self.top, self.bottom)))
        if self.trace:
            needs.append(count_trace_vectors())
        leasts, usual = zip(*needs, strict=True)
        return max(leasts), max(usual)

    def join(self, others: Sequence[Self]) -> Self:
        every = [self, *others]
        return replace(
            self,
            top=max(each.top for each in every),
            bottom=max(each.bottom for each in every),
            trace=any(each.trace for each in every),
        )

    def count_unresolved(self, found: Spectral) -> int:
        if found.extremes is None:
            return 0
        finite = torch.cat([found.extremes.top, found.extremes.bottom], dim=1).isfinite().all(dim=1)
        return int((finite & ~found.extremes.converged).sum())

    def describe_unresolved(self, counts: str) -> str:
        return (
            f"eigenvalues of the {OPERATORS[self.operator].words} at {counts} did not settle within "
            f"{self.settings.products:,} products: their residuals are above the tolerance, or others may lie beyond "
            "them; allow more with --curvature_products"
        )

    def __call__(self, derivatives: Derivatives) -> Spectral:
        # The trace first: it needs the graphs of all points, of which eigenvalues drop those that have converged.
        trace = find_trace(derivatives, self.settings, self.operator) if self.trace else None
        extremes = None
        if self.top or self.bottom:
            extremes = find_spectrum(derivatives, self.settings, self.operator, top=self.top, bottom=self.bottom)
        return Spectral(extremes, trace)


class SpectralMetric(OperatorMetric):
    """A metric of the spectrum of an operator.

    Args:
        settings: in which parameters, and how exactly.
    """

    operator: ClassVar[str] = "hessian"
    """The name of the operator."""

    def __init__(self, settings: CurvatureSettings | None = None) -> None:
        self.settings = settings or CurvatureSettings()

    def applies(self, loss: Loss) -> bool:
        return True

    def configure(self, curvature: CurvatureSettings) -> None:
        self.settings = curvature

    @property
    def words(self) -> str:
        """The operator in words, with the parameters in which it is taken where these are not all."""
        every = self.settings.parameters == ("*",)
        return OPERATORS[self.operator].words + ("" if every else f" in {', '.join(self.settings.parameters)}")


class Eigenvalues(SpectralMetric):
    """Some of the largest, or smallest, eigenvalues of an operator, with their residuals.

    A residual r says that an eigenvalue lies within r of the value, not that there is none beyond it.
    """

    top: ClassVar[bool] = True
    """Whether the largest eigenvalues are meant, or the smallest ones."""
    companions = (RESIDUAL,)

    def __init__(self, settings: CurvatureSettings | None = None, count: int | None = None) -> None:
        super().__init__(settings)
        self.count = count
        """How many; None for one, which has no dimension of its own."""

    @property
    def computation(self) -> Spectrum:
        count = self.count or 1
        top, bottom = (count, 0) if self.top else (0, count)
        return Spectrum(self.operator, self.settings, top=top, bottom=bottom)

    def quantity(self, loss: Loss) -> Quantity:
        end = "top" if self.top else "bottom"
        told = ENDS[end]
        if self.count is None:
            name = f"{self.operator}_{told.extreme}"
            return Quantity(name, f"{told.words} eigenvalue of the {self.words}", loss.units)
        return Quantity(
            f"{self.operator}_{end}", f"{told.words} eigenvalues of the {self.words}", loss.units,
            dimension=told.dimension, record=f"{self.count} eigenvalues",
        )  # fmt: skip

    def length(self, evaluation: Evaluation) -> int:
        return self.count or 1

    def value(self, found: Spectral) -> Tensor:
        assert found.extremes is not None
        return self._pick(found.extremes.top if self.top else found.extremes.bottom)

    def companion(self, companion: Companion, found: Spectral) -> Tensor:
        assert found.extremes is not None
        return self._pick(found.extremes.top_residuals if self.top else found.extremes.bottom_residuals)

    def _pick(self, values: Tensor) -> Tensor:
        return values[:, 0] if self.count is None else values[:, : self.count]

    @classmethod
    def of_count(cls, argument: str) -> Self:
        """Make the metric of as many eigenvalues as the argument of its name says.

        Raises:
            BadInput: it is not a number of eigenvalues.
        """
        if not argument.isdecimal() or not 1 <= int(argument) <= MOST:
            raise BadInput(f"{argument!r} is not a number of eigenvalues; expected 1 to {MOST:,}, as in hessian_top:5")
        return cls(count=int(argument))


class SpectrumTrace(SpectralMetric):
    """The trace of an operator, the sum of its eigenvalues, with its standard error over random probes."""

    companions = (PROBE_ERROR,)

    @property
    def computation(self) -> Spectrum:
        return Spectrum(self.operator, self.settings, trace=True)

    def quantity(self, loss: Loss) -> Quantity:
        return Quantity(f"{self.operator}_trace", f"trace of the {self.words}", loss.units)

    def value(self, found: Spectral) -> Tensor:
        assert found.trace is not None
        return found.trace.value

    def companion(self, companion: Companion, found: Spectral) -> Tensor:
        assert found.trace is not None
        return found.trace.standard_error
