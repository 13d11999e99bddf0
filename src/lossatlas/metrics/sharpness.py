"""The computation that metrics of sharpness share, and their base."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from lossatlas.curvatures import ASCENT_STEPS, NOISE_PAIRS, SHARPNESS_VECTORS, AverageRise, CurvatureSettings, Rises
from lossatlas.data import Split
from lossatlas.engine import Derivatives, Network
from lossatlas.errors import BadInput
from lossatlas.losses import Loss
from lossatlas.metrics.computation import Computation
from lossatlas.metrics.metric import OperatorMetric
from lossatlas.schema import Quantity

__all__ = ["FoundRises", "Sharpness", "SharpnessMetric"]

SHORTEST, LONGEST = 1e-9, 1e9
"""The radii that a metric may have."""
FOUND_BY: Mapping[str, Callable[..., Tensor | AverageRise]] = {
    "sam_sharpness": Rises.by_one_step,
    "worst_sharpness": Rises.by_steps,
    "adaptive_sharpness": Rises.adaptively,
    "average_sharpness": Rises.on_average,
}
"""How metrics are found, by their names without the radius."""


class FoundRises(NamedTuple):
    """What is known of rises around p points."""

    rises: Mapping[tuple[str, float], Tensor | AverageRise]
    """By the name of the metric without the radius, and the radius."""
    rounding: Tensor
    """What a rise may be off by, (p,)."""


@dataclass(frozen=True)
class Sharpness(Computation):
    """Rises of the loss around points, of several kinds and within several radii, as far as metrics need them.

    Which are found is not recorded: a survey that gets another metric of the group is evaluated again.
    """

    parameters: tuple[str, ...] = ("*",)
    seed: int = 0
    steps: int = ASCENT_STEPS
    pairs: int = NOISE_PAIRS
    wanted: frozenset[tuple[str, float]] = field(default=frozenset(), repr=False, compare=False)
    """The metrics, by their names without the radius, and their radii."""

    name = "sharpness"
    keeps_graphs = False

    def check(self, network: Network, split: Split, dtype: torch.dtype) -> None:
        super().check(network, split, dtype)
        network.space.choose(self.parameters)

    def count_vectors(self) -> tuple[int, int]:
        return SHARPNESS_VECTORS, SHARPNESS_VECTORS

    def join(self, others: Sequence[Self]) -> Self:
        return replace(self, wanted=self.wanted.union(*(each.wanted for each in others)))

    def count_unresolved(self, found: FoundRises) -> int:
        small = [_is_rounding(rise, found.rounding) for rise in found.rises.values()]
        return int(torch.stack(small).any(dim=0).sum())

    def describe_unresolved(self, counts: str) -> str:
        smallest = min(radius for _, radius in self.wanted)
        return (
            f"the loss at {counts} rises by no more than its own rounding within a radius of sharpness (the smallest "
            f"is {smallest:g}): such values say nothing; take larger radii, or a network in 64 bits (module.double())"
        )

    def __call__(self, derivatives: Derivatives) -> FoundRises:
        rises = Rises(derivatives, self.parameters, self.seed)
        more = {"worst_sharpness": (self.steps,), "average_sharpness": (self.pairs,)}
        found: dict[tuple[str, float], Tensor | AverageRise] = {}
        for kind, radius in sorted(self.wanted):
            found[kind, radius] = FOUND_BY[kind](rises, radius, *more.get(kind, ()))
        return FoundRises(found, rises.rounding)


class SharpnessMetric(OperatorMetric):
    """How far the mean loss rises within a radius in weight space, in the parameters of the settings of curvature.

    Args:
        radius: how far the weights are moved.
        settings: which parameters are moved, and the seed of random steps.

    Raises:
        BadInput: the radius is missing or not a positive number.
    """

    kind: ClassVar[str]
    """The name of the metric without the radius."""
    words: ClassVar[str]
    """What is measured, in words, up to the radius."""

    def __init__(self, radius: float | None = None, settings: CurvatureSettings | None = None) -> None:
        if radius is None:
            raise BadInput(f"{self.kind} lacks the radius within which the loss rises; add one, as in {self.kind}:0.05")
        if isinstance(radius, bool) or not isinstance(radius, int | float) or not SHORTEST <= radius <= LONGEST:
            raise self._refuse(radius)
        self.radius = float(radius)
        self.settings = settings or CurvatureSettings()

    @classmethod
    def of(cls, argument: str) -> Self:
        try:
            radius = float(argument)
        except ValueError:
            raise cls._refuse(argument) from None
        return cls(radius)

    @classmethod
    def _refuse(cls, radius: object) -> BadInput:
        return BadInput(
            f"{radius!r} is not a radius of {cls.kind}; expected a number from {SHORTEST:g} to {LONGEST:g}, as in "
            f"{cls.kind}:0.05"
        )

    def applies(self, loss: Loss) -> bool:
        return True

    def configure(self, curvature: CurvatureSettings) -> None:
        self.settings = curvature

    @property
    def computation(self) -> Sharpness:
        wanted = frozenset({(self.kind, self.radius)})
        return Sharpness(self.settings.parameters, self.settings.seed, wanted=wanted)

    def quantity(self, loss: Loss) -> Quantity:
        digits = _write_plainly(self.radius)
        own = self.settings.parameters
        where = "" if own == ("*",) else f" in {', '.join(own)}"
        return Quantity(
            f"{self.kind}_{digits.replace('.', '_')}", f"{self.words} {digits}{where}", loss.units,
            record=f"radius {digits}",
        )  # fmt: skip

    def value(self, found: FoundRises) -> Tensor:
        rise = found.rises[self.kind, self.radius]
        return rise.value if isinstance(rise, AverageRise) else rise


def _is_rounding(rise: Tensor | AverageRise, rounding: Tensor) -> Tensor:
    """Find the points (p,) at which a rise is not to be told from the rounding of the loss.

    Also where both are zero: the step of a single ascent is zero where the gradient is, as at an exact minimum.
    """
    if not isinstance(rise, AverageRise):
        return rise.abs() <= rounding
    # A mean near zero is a result where random steps differ by more than the rounding.
    return (rise.value.abs() <= rounding) & (rise.standard_error <= rounding)


def _write_plainly(number: float) -> str:
    """Write a number without an exponent, so that different ones have different names.

    >>> _write_plainly(0.05), _write_plainly(1e-3), _write_plainly(2.0)
    ('0.05', '0.001', '2')
    """
    text = f"{Decimal(repr(number)):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
