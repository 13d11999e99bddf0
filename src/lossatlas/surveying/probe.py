"""What is found at a few points of a survey, by which another network, or other code of it or of a metric, is noticed.

Hashes tell other weights, other data and other options apart. They do not see what a module computes with its weights
(an activation that has changed leaves the same parameters), nor what a metric of one's own computes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lossatlas.errors import BadInput
from lossatlas.files.reading import parse_json

__all__ = ["EXAMPLES", "PROBE", "Probe"]

PROBE = "probe"
"""The attribute of a store that holds the probe of its first writer."""
EXAMPLES = 8
"""How many examples the network is tried on."""
CLOSE = {"fp32": 1e-3, "tf32": 1e-2, "bf16": 5e-2}
"""The difference that devices may make, by precision, as a share of the largest loss; in 32 bits CPUs differed by less
than 1e-5."""


@dataclass(frozen=True)
class Probe:
    """What is found on a few examples at a few points.

    Attributes:
        split: The name of the split that the examples are of.
        under: What it depends on beside the network: the fingerprint of the split, the examples that are
            evaluated together, the buffers policy, the loss, the precision.
        coords: Of the points, on the axes of the chart.
        values: By metric, with the mean loss in any case, what it is at each of them; None where that is not finite.
    """

    split: str
    under: dict[str, Any]
    coords: list[list[float]]
    values: dict[str, list[float | None]]

    @classmethod
    def of(
        cls,
        split: str,
        under: Mapping[str, Any],
        coords: Sequence[Sequence[float]],
        values: Mapping[str, Sequence[float]],
    ) -> Probe:
        """The probe of values, finite or not, at points."""
        finite = {name: [each if math.isfinite(each) else None for each in found] for name, found in values.items()}
        return cls(split, dict(under), [list(each) for each in coords], finite)

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

    def check(self, values: Mapping[str, Sequence[float]], where: str) -> None:
        """Refuse values that are others than those of the probe, as far as both have a metric.

        Points at which one of both is not finite say nothing: where numbers end depends on the device.

        Args:
            values: by metric those at the probe's points.
            where: the survey, for the message.

        Raises:
            BadInput: they differ by more than devices do.
        """
        for name, found in self.values.items():
            pairs = [
                (coords, was, now)
                for coords, was, now in zip(self.coords, found, values.get(name, [math.nan] * len(found)), strict=True)
                if was is not None and math.isfinite(now)
            ]
            largest = max((abs(value) for _, *both in pairs for value in both), default=0.0)
            bound = CLOSE.get(str(self.under.get("precision")), CLOSE["fp32"]) * largest
            for coords, was, now in pairs:
                if abs(was - now) > bound:
                    place = ", ".join(f"{value:.4g}" for value in coords)
                    raise BadInput(
                        f"the network, or the metric, is not the one that {where} was begun with: its {name} on "
                        f"{EXAMPLES} examples of split {self.split!r} at ({place}) was {was:.6g} and is {now:.6g}; use "
                        "the same code of model and metrics everywhere, or choose another path"
                    )
