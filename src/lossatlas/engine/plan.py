"""Plans: which strategy serves what, and in which chunks."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lossatlas.engine.strategy import STRATEGIES
from lossatlas.errors import BadInput

__all__ = ["Plan", "Service"]


@dataclass(frozen=True)
class Service:
    """How one service of the engine is run: a strategy's name and the points it takes at a time."""

    strategy: str
    points: int

    def __post_init__(self) -> None:
        STRATEGIES[self.strategy]  # refuses unknown names
        if self.points < 1:
            raise BadInput(f"a plan takes at least one point at a time; got {self.points}")


@dataclass(frozen=True)
class Plan:
    """How the engine runs. Equal plans on one machine give equal results, bit for bit."""

    evaluate: Service
    pullback: Service
    threads: int
    precision: str = "float32"
    reason: str = "stated"

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON types; ``Plan.from_dict(plan.to_dict()) == plan``."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Plan:
        """The plan that :meth:`to_dict` wrote.

        Raises:
            BadInput: fields are missing, unknown or of a wrong type.
        """
        try:
            services = {name: Service(**fields[name]) for name in ("evaluate", "pullback")}
            return cls(**{**fields, **services})
        except (KeyError, TypeError) as error:
            raise BadInput(f"this is no plan ({error}); expected evaluate, pullback, threads, precision") from error

    @classmethod
    def read(cls, path: Path) -> Plan:
        """The plan in a JSON file, or in the ``provenance.json`` of a run.

        Raises:
            BadInput: the file cannot be read or holds no plan.
        """
        try:
            fields = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise BadInput(f"plan file {path}: {error}") from error
        return cls.from_dict(fields.get("plan", fields) if isinstance(fields, dict) else {})
