"""One service of the engine on a piece of the real problem: how it is run, timed and bounded, strategy by strategy."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from lossatlas.data import examples_in, rows_of
from lossatlas.engine.footprint import Footprint, Limit, peak_bytes_of
from lossatlas.engine.memory import chunk_that_fits
from lossatlas.engine.network import Network
from lossatlas.engine.purity import comparable
from lossatlas.engine.race import Contestant
from lossatlas.engine.strategy import STRATEGIES, Points, Strategy
from lossatlas.errors import BadInput, in_one_line
from lossatlas.types import Batch, Outputs

__all__ = ["Piece", "Portion"]

MEASURED_APART = 8
"""Points of a timed run of strategies that call one network after another; or two for each thread."""
FEWEST = 32
"""Examples that a timed run has at least, where there are so many."""
SECOND = 3
"""How many times what a first derivative keeps a second one does, at most."""
PROBED_EXAMPLES = 8, 16
"""What a point keeps in memory is seen on so many."""
ALIKE, TINY = 1e-2, 1e-6
"""How far strategies may differ in 32 bits, in shares of the largest number: units at the kink of a ReLU may fall on
either side; and below what nobody looks."""


@dataclass(frozen=True)
class Portion:
    """What is done at a time."""

    points: int
    examples: int | None
    """None: whole groups."""


class Piece:
    """One service of the engine, on a piece of the real problem.

    Args:
        which: ``evaluate``, ``pullback`` or ``derivatives``.
        network: what is evaluated.
        controls: (m, n), those of the chart.
        batch: as the service will see it.
        most: points that it has at a time at most.
    """

    def __init__(self, which: str, network: Network, controls: Tensor, batch: Batch, most: int) -> None:
        self.which = which
        self._network = network
        self._controls = controls
        self._batch = batch
        self._most = most
        self.examples = examples_in(batch)
        self.raced = self.examples
        """Examples of a run that is timed."""
        self._plain: list[Tensor] | None = None
        """What the loop makes of a few examples, once somebody is compared with it."""

    def shorten(self, seconds: float, portions: Sequence[Portion]) -> None:
        """Take so few examples for timed runs that one point on them takes a loop no longer than this, or about.

        Who is faster hardly depends on examples; but where a single run uses the time up, nobody is ever measured warm.

        Args:
            seconds: that it may take.
            portions: what strategies do at a time.
        """
        fit = min((portion.examples or self.examples for portion in portions), default=self.examples)
        begin = time.perf_counter()
        self.work("loop", 1, fit)()
        spent = time.perf_counter() - begin
        self.raced = max(min(fit, FEWEST), min(fit, int(fit * seconds / spent)))

    def work(self, name: str, count: int, examples: int | None = None) -> Callable[[], None]:
        """One run of a strategy at so many points near the chart's first control; returns when it is done."""
        strategy: Strategy = STRATEGIES[name]()
        coefficients = torch.full((count, len(self._controls)), 0.1).to(self._controls)
        coefficients[:, 0] = 1.0
        points = self._points(coefficients)
        batch = rows_of(self._batch, slice(examples))
        services: dict[str, Callable[[], object]] = {
            "evaluate": lambda: strategy.forward(self._network, points, batch),
            "pullback": lambda: strategy.pullback(self._network, points, batch, _summed_loss),
            "derivatives": lambda: strategy.hessian_product(self._network, points, points.params, batch, _summed_loss),
        }

        def run() -> None:
            with self._network.in_force():
                services[self.which]()
            if self._network.device.type == "cuda":
                torch.cuda.synchronize(self._network.device)

        return run

    def contestant(self, name: str, portion: Portion) -> Contestant:
        """A strategy as it takes part in a race."""
        # Of strategies that call one network after another, more points would not change what one costs.
        apart = max(MEASURED_APART, 2 * torch.get_num_threads())
        most = portion.points if STRATEGIES[name].stacks_points else min(portion.points, apart)
        return Contestant(lambda count: self.work(name, count, self.raced), most)

    def portions(self, names: Sequence[str], limit: Limit) -> tuple[dict[str, Portion], dict[str, str]]:
        """What fits the memory at a time, by strategy; and why others can do nothing.

        Raises:
            BadInput: the memory is all that is in the way.
        """
        able: dict[str, Portion] = {}
        refused: dict[str, str] = {}
        too_large: dict[str, float] = {}
        for name in names:
            try:
                self.compare_with_loop(name)
                footprint = self._footprint(name)
            except Exception as error:  # a strategy may fail on a user's module in any way
                refused[name] = in_one_line(error)
                continue
            portion = self._portion(footprint, limit)
            if portion is None:
                too_large[name] = footprint.size(1, self.examples)
            else:
                able[name] = portion
        if whole := {name: portion for name, portion in able.items() if portion.examples is None}:
            able = whole  # to cut groups is the last resort: it costs time, and strategies are compared on equal terms
        if too_large and not able:
            raise BadInput(
                f"memory for a chunk is {limit.usual / 1e6:,.3g} MB, one point takes "
                f"{min(too_large.values()) / 1e6:,.3g} MB{self._why_whole()}; allow more (--memory), or use a smaller "
                "batch or group"
            )
        return able, refused | {name: f"one point takes {size / 1e6:,.3g} MB" for name, size in too_large.items()}

    def _portion(self, footprint: Footprint, limit: Limit) -> Portion | None:
        """What fits at a time; None where not even a point does."""
        if points := footprint.most_points(self.examples, limit.usual, self._most):
            return Portion(points, None)
        if self.which != "pullback" and self._network.can_cut(self._batch):
            examples = footprint.most_examples(limit.usual, self.examples)
            return Portion(1, examples) if examples else None
        return Portion(1, None) if footprint.size(1, self.examples) <= limit.most else None

    def _why_whole(self) -> str:
        """Why a group of examples cannot be cut, in words."""
        if self.which == "pullback" or self._network.can_cut(self._batch):
            return ""
        return f" with a group of {self.examples} examples, which have to be evaluated together"

    def tried(self, name: str, chunk: int) -> int:
        """The chunk, or the largest of its halves that a GPU has room for."""
        if self._network.device.type == "cpu":
            return chunk
        return chunk_that_fits(lambda count: self.work(name, count)(), chunk)

    def _points(self, coefficients: Tensor) -> Points:
        space = self._network.space
        return Points(space.combine(coefficients, self._controls), coefficients, space.unflatten(self._controls))

    def compare_with_loop(self, name: str) -> None:
        """Refuse a strategy that gives other numbers than one network after another, on a few examples at two points.

        Rules for many networks at once can fail without an error where a module does something unforeseen.
        """
        if name == "loop":
            return
        if self._plain is None:
            self._plain = self._numbers("loop")
        if not all(map(_alike, self._numbers(name), self._plain)):
            raise BadInput(f"strategy {name!r} gives other values than calling one network after the other")

    def _numbers(self, name: str) -> list[Tensor]:
        """Outputs, losses and, of services that differentiate, the gradient in the controls."""
        strategy: Strategy = STRATEGIES[name]()
        network, space = self._network.at("fp32"), self._network.space
        coefficients = 0.1 * torch.arange(1.0, 3.0)[:, None].repeat(1, len(self._controls)).to(self._controls)
        coefficients[:, 0] = 1.0
        points, batch = self._points(coefficients), rows_of(self._batch, slice(PROBED_EXAMPLES[0]))
        with network.in_force():
            if self.which == "evaluate":
                outputs, losses = strategy.forward(network, points, batch)
                return [*filter(comparable, tree_leaves(outputs)), losses]
            got = strategy.pullback(network, points, batch, _summed_loss)
        into = torch.zeros_like(self._controls)
        space.fold(got.params, coefficients, into)
        space.add(got.controls, into)
        return [got.losses, into]

    def _footprint(self, name: str) -> Footprint:
        """What a strategy takes: seen on a few examples of one point, and extrapolated."""
        stacks = STRATEGIES[name].stacks_points
        few, more = (min(count, self.examples) for count in PROBED_EXAMPLES)
        # Threads are watched in one of them: they do what the loop does.
        watched, piece, times = name if stacks else "loop", self, 1
        if self.which == "derivatives":
            # Tried, and not watched: torch ends the process where second derivatives of a transform in a forward pass
            # (torch.func.hessian) meet a dispatch mode. They keep what first ones do, and the way back of these.
            self.work(name, 1, few)()
            piece, times = Piece("pullback", self._network, self._controls, self._batch, 1), SECOND
        kept, kept_of_more = (times * float(peak_bytes_of(piece.work(watched, 1, count))) for count in (few, more))
        slope = max(0.0, (kept_of_more - kept) / (more - few)) if more > few else kept_of_more / more
        return Footprint(
            weights=3 * self._controls.shape[1] * self._controls.element_size(),
            fixed=max(0.0, kept_of_more - slope * more),
            per_example=slope,
            output=0.0 if stacks or self.which == "derivatives" else 2 * self._returned(few) / few,
            networks=None if stacks else (torch.get_num_threads() if name == "threads" else 1),
        )

    def _returned(self, examples: int) -> int:
        """Bytes of the outputs and losses of one point on so many examples."""
        with self._network.calling(), self._network.in_force():
            leaves = tree_leaves(self._network({}, rows_of(self._batch, slice(examples))))
        return sum(leaf.numel() * leaf.element_size() for leaf in leaves if comparable(leaf))


def _alike(found: Tensor, wanted: Tensor) -> bool:
    """Whether two results are the same up to rounding, in shares of the largest number."""
    if found.shape != wanted.shape or not torch.equal(found.isfinite(), wanted.isfinite()):
        return False
    gap = (found.double() - wanted.double())[wanted.isfinite()].abs()
    largest = wanted.double()[wanted.isfinite()].abs()
    return not gap.numel() or float(gap.max()) <= ALIKE * float(largest.max()) + TINY


def _summed_loss(outputs: Outputs, losses: Tensor, points: slice) -> Tensor:
    return losses.sum()
