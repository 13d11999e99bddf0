"""Plans: which strategy serves what, and in which chunks.

Each service has a strategy and a chunk of its own, because fitting, surveying and derivatives want different ones.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lossatlas.describing import count_things, join_words, write_repr
from lossatlas.engine.precisions import PRECISIONS
from lossatlas.engine.strategy import STRATEGIES
from lossatlas.errors import BadInput, LossatlasError, format_error
from lossatlas.files.reading import Unreadable, convert, parse_json, read_json
from lossatlas.provenance import MOST_THREADS

__all__ = ["Plan", "Service"]


MOST_POINTS = 2**31
MOST_BYTES = 2**60
LONGEST = 200
"""The most characters of a machine's name."""


@dataclass(frozen=True)
class Service:
    """How one service of the engine is run: the strategy, the number of points at a time, and the precision."""

    strategy: str
    points: int
    precision: str = "fp32"
    examples: int | None = None
    """How many examples are evaluated at a time, if a whole batch does not fit the memory or is slower; None for whole
    batches."""
    example_bytes: int | None = None
    """The bytes that one example at one point takes, as far as that decides what is kept: the graphs of first
    derivatives are, between products with second ones, where they fit the memory. None keeps nothing."""

    def __post_init__(self) -> None:
        STRATEGIES[self.strategy], PRECISIONS[self.precision]  # refuse unknown names
        if self.example_bytes is not None and not 0 <= self.example_bytes <= MOST_BYTES:
            raise BadInput(f"example_bytes of a plan is {self.example_bytes}; expected 0 to {MOST_BYTES}")
        for what, number in (("point", self.points), ("example", self.examples)):
            if number is not None and not 1 <= number <= MOST_POINTS:
                raise BadInput(f"a plan takes at least one {what} at a time, and {MOST_POINTS} at most; got {number}")

    def __repr__(self) -> str:
        return write_repr(self, self.describe)

    def describe(self) -> str:
        """The service in words."""
        parts = "" if self.examples is None else f" x {count_things(self.examples, 'example')}"
        return f"{self.strategy}, {count_things(self.points, 'point')}{parts} at a time, {self.precision}"


@dataclass(frozen=True)
class Plan:
    """How the engine is run. Equal plans on one machine give equal results, bit for bit.

    >>> import lossatlas as la
    >>> plan = la.Plan.of("loop", points=8, threads=2)
    >>> plan.evaluate.strategy, plan.evaluate.points, la.Plan.from_dict(plan.to_dict()) == plan
    ('loop', 8, True)
    """

    evaluate: Service
    pullback: Service
    derivatives: Service
    threads: int
    """The number of torch's threads; jobs set it, library calls leave that of the process."""
    reason: str = "stated"
    differentiates_inputs: bool = False
    """Whether calls build a graph even without gradients of the loss, because the network is differentiated with
    respect to its inputs."""
    memory: int | None = None
    """The bytes that a chunk of points may take, as far as plans leave open how they are used: vectors of curvature
    at the points, and graphs that are kept. None stands for 1 GiB."""
    machine: str = ""
    """The machine that it was measured on, by :func:`~lossatlas.machine.name_machine`; empty if it was given."""

    def __post_init__(self) -> None:
        if not isinstance(self.differentiates_inputs, bool):
            raise BadInput(f"differentiates_inputs of a plan is {self.differentiates_inputs!r}; expected true or false")
        if self.derivatives.precision != "fp32":
            raise BadInput(
                f"precision of a plan's derivatives is {self.derivatives.precision}; expected fp32: second derivatives "
                "of rounded values would be noise"
            )
        if self.memory is not None and not 1 <= self.memory <= MOST_BYTES:
            raise BadInput(f"memory of a plan is {self.memory}; expected a number of bytes, 1 to {MOST_BYTES}")
        if not self.machine.isprintable() or len(self.machine) > LONGEST:
            raise BadInput(
                f"machine of a plan is {self.machine[:LONGEST]!r}; expected a line of {LONGEST} characters at most"
            )
        if not isinstance(self.threads, int) or not 1 <= self.threads <= MOST_THREADS:
            raise BadInput(f"a plan has at least one thread, and {MOST_THREADS} at most; got {self.threads!r}")

    def __repr__(self) -> str:
        return write_repr(self, self._describe)

    def _describe(self) -> str:
        named: dict[str, list[str]] = {}
        for name in ("evaluate", "pullback", "derivatives"):
            named.setdefault(getattr(self, name).describe(), []).append(name)
        services = [words if len(named) == 1 else f"{join_words(names)}: {words}" for words, names in named.items()]
        return "; ".join([*services, count_things(self.threads, "thread")])

    @classmethod
    def of(cls, strategy: str, points: int, threads: int = 1, precision: str = "fp32") -> Plan:
        """Make a plan with one strategy and chunk size for all services, and derivatives in full precision."""
        service = Service(strategy, points, precision)
        return cls(service, service, Service(strategy, points), threads)

    def to_dict(self) -> dict[str, Any]:
        """Convert the plan to JSON types; ``Plan.from_dict(plan.to_dict()) == plan``."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Any) -> Plan:
        """Make the plan that :meth:`to_dict` wrote.

        Raises:
            BadInput: fields are missing, unknown or of a wrong type.
        """
        try:
            return convert(fields, cls, exact=True)
        except LossatlasError:
            raise
        except ValueError as error:
            raise BadInput(
                f"this is not a plan ({format_error(error)}); expected evaluate, pullback, derivatives, threads"
            ) from error

    @classmethod
    def parse(cls, text: str) -> Plan:
        """Make a plan from JSON text.

        Raises:
            BadInput: it is not JSON, or not a plan.
        """
        try:
            fields = parse_json(text, dict[str, Any])
        except ValueError as error:
            raise BadInput(f"this is not a plan ({format_error(error)})") from error
        return cls.from_dict(fields)

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Read the plan in a JSON file, or in the ``provenance.json`` of a run.

        Raises:
            BadInput: the file cannot be read or holds no plan.
        """
        try:
            fields = read_json(path, dict[str, Any])
        except Unreadable as error:
            raise BadInput(f"plan file {path} cannot be read ({error.reason})") from error
        try:
            return cls.from_dict(fields.get("plan", fields))
        except BadInput as error:
            raise BadInput(f"plan file {path}: {error}") from error
