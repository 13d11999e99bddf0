"""What a network gives at a few points of a survey, by which another network, or other code of it, is noticed.

Hashes tell other weights, other data and other options apart. They do not see what a module computes with its weights:
an activation that has changed leaves the same parameters.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from lossatlas.errors import BadInput
from lossatlas.files.reading import parse_json

__all__ = ["EXAMPLES", "PROBE", "Probe"]

PROBE = "probe"
"""The attribute of a store that holds the probe of its first writer."""
EXAMPLES = 8
"""How many examples the network is tried on."""
CLOSE = {"fp32": 1e-3, "tf32": 1e-2, "bf16": 5e-2}
"""The relative difference that devices may make, by precision; measured between CPUs, it was below 1e-5 in 32 bits."""


@dataclass(frozen=True)
class Probe:
    """The mean losses of a few examples at a few points.

    Attributes:
        coords: Of the points, on the axes of the chart.
        losses: At each of them; None where they are not finite.
    """

    coords: list[list[float]]
    losses: list[float | None]

    @classmethod
    def of(cls, coords: Sequence[Sequence[float]], losses: Sequence[float]) -> Probe:
        """The probe of losses, finite or not, at points."""
        return cls([list(each) for each in coords], [loss if math.isfinite(loss) else None for loss in losses])

    def record(self) -> str:
        """The probe as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> Probe:
        """The probe that :meth:`record` wrote.

        Raises:
            BadInput: the text is something else.
        """
        try:
            return parse_json(text, cls)
        except ValueError as error:
            raise BadInput(f"the survey has a {PROBE} that cannot be read; survey again with --overwrite") from error

    def check(self, losses: Sequence[float], precision: str, where: str) -> None:
        """Refuse losses that are others than those of the probe.

        Args:
            losses: at the probe's points.
            precision: in which they are evaluated.
            where: the survey, for the message.

        Raises:
            BadInput: they differ by more than devices do.
        """
        for coords, was, now in zip(self.coords, self.losses, Probe.of(self.coords, losses).losses, strict=True):
            if was is None or now is None:
                same = was is now
            else:
                same = math.isclose(was, now, rel_tol=CLOSE.get(precision, CLOSE["fp32"]), abs_tol=1e-6)
            if not same:
                place = ", ".join(f"{value:.4g}" for value in coords)
                raise BadInput(
                    f"the network is not the one that {where} was begun with: its loss on {EXAMPLES} examples at "
                    f"({place}) was {_tell(was)} and is {_tell(now)}; use the same code of the model everywhere, or "
                    "choose another path"
                )


def _tell(loss: float | None) -> str:
    return "not finite" if loss is None else f"{loss:.6g}"
