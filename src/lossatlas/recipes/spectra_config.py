"""The configuration of a measurement of curvature at networks, or along a trajectory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from lossatlas.bounds import Count, CountOrZero, Positive
from lossatlas.errors import BadInput
from lossatlas.recipes.base import AUTO, ProblemConfig
from lossatlas.recipes.shared_config import MetricsConfig, TrajectoryConfig
from lossatlas.schema import OPERATORS

__all__ = ["SpectraConfig"]

ALONG = (
    "operator",
    "top",
    "bottom",
    "probes",
    "density_steps",
    "subsets",
    "per_layer",
    "metrics",
    "gradient_tolerance",
)
"""Settings that a trajectory takes no notice of: at each snapshot both ends of the Hessian's spectrum are found."""


@dataclass(frozen=True, kw_only=True)
class MeasuredConfig(TrajectoryConfig, ProblemConfig):
    """Where curvature is measured."""

    networks: tuple[str, ...] = ()
    """Networks to measure, each by itself: files of weights, FILE#KEY for one of several networks in a file, runs of
    lossatlas train, RUN@STEP, or averages RUN@swa, RUN@ema; they can be named right after the verb."""


@dataclass(frozen=True, kw_only=True)
class SpectraConfig(MetricsConfig, MeasuredConfig):
    """Everything that a measurement of curvature depends on."""

    verb: ClassVar[str] = "curvature"
    usual: ClassVar[Mapping[str, Any]] = {
        "splits": ("train",),
        "examples": "2000",
        "buffers": "frozen",
        "plan": "loop",
        "metrics": (
            AUTO, "sam_sharpness:0.05", "worst_sharpness:0.05", "adaptive_sharpness:0.5", "average_sharpness:0.05",
        ),
    }  # fmt: skip

    operator: Literal["hessian", "ggn", "both"] = "hessian"
    """Matrix of second derivatives to measure: the Hessian, ggn for its generalised Gauss-Newton part, which has no
    negative curvature, or both."""
    top: Count = 5
    """Number of largest eigenvalues to find."""
    bottom: Count = 5
    """Number of smallest eigenvalues of the Hessian to find."""
    probes: CountOrZero = 10
    """Number of random vectors that a spectral density is estimated from; 0 leaves it out."""
    density_steps: Count = 80
    """Number of products for each random vector of a spectral density."""
    subsets: CountOrZero = 0
    """Number of further subsets of as many examples on which eigenvalues, trace, loss and gradient are measured again,
    for their spread: disjoint ones where the split has enough examples, otherwise independent random ones."""
    per_layer: bool = False
    """Whether each layer, the parameters of one module, is measured by itself, too, with all others held fixed: of both
    operators by the Hessian."""
    gradient_tolerance: Positive = 1e-3
    """Share of the loss below which the descent that the gradient allows counts as none, so that a network is called
    stationary."""

    @property
    def operators(self) -> tuple[str, ...]:
        """The operators that are measured, the one that eigenvectors are kept of first."""
        return tuple(OPERATORS) if self.operator == "both" else (self.operator,)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.networks and self.trajectory:
            raise BadInput("networks and a trajectory are given; measure one or the other")
        if len(self.splits) > 1:
            raise BadInput(
                f"splits is {' '.join(self.splits)}; expected one, such as train: curvature is that of one mean loss"
            )
        if self.precision not in ("fp32", AUTO):
            raise BadInput(f"precision is {self.precision}, and curvature is taken in fp32; leave it out")
        if self.subsets and self.examples == "all":
            raise BadInput("examples is all, of which there are no further subsets; state their number, or no subsets")
        if self.trajectory:
            self._refuse(ALONG, "with a trajectory, at whose snapshots both ends of the Hessian's spectrum are found")
        if not any(OPERATORS[name].signed for name in self.operators):
            self._refuse(("bottom",), f"with operator {self.operator}, of which no eigenvalue is negative")
        if not self.probes:
            self._refuse(("density_steps",), "with 0 probes, which leave spectral densities out")

    def _refuse(self, names: Iterable[str], where: str) -> None:
        """Refuse settings that are not the usual ones where they mean nothing.

        Raises:
            BadInput: one of them is not.
        """
        for name in names:
            if getattr(self, name) != self.usual.get(name, getattr(type(self), name)):
                raise BadInput(f"{name} means nothing {where}; leave it out")
