"""One service of the engine on a piece of the real problem: how it is run, timed and bounded, strategy by strategy."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from lossatlas.data import count_examples, cut_parts, take_rows
from lossatlas.engine.footprint import Footprint, Limit, measure_peak_bytes
from lossatlas.engine.memory import find_fitting_chunk
from lossatlas.engine.network import Network
from lossatlas.engine.private import FORWARD_MODE
from lossatlas.engine.purity import TINY, alike, is_comparable
from lossatlas.engine.race import Contestant
from lossatlas.engine.strategy import STRATEGIES, Points, Strategy
from lossatlas.errors import BadInput, format_error
from lossatlas.types import Batch, Outputs

__all__ = ["PLAIN", "Pace", "Piece", "Portion", "Way"]

MEASURED_APART = 8
"""Points of a timed run of strategies that call one network after another; or two for each thread."""
FEWEST = 32
"""Examples that a timed run has at least, where there are so many."""
PARTS = 128, 32
"""Examples at a time that are tried on CPUs: the activations of so many stay in their caches."""
PACED = 2
"""Timed runs by which the pace of a point is told."""
ROUNDING = 1e-5
"""How far losses may differ that are the same but for the order of sums, in shares of the largest."""
CALLS = 0.3
"""The share of a point's time that calls take, whatever the examples, for which points are taken together on a CPU."""
CHEAP = 8
"""So many runs of a point in the time of one that is raced are not worth to be left out, by a share that is a guess."""
PLAIN = "plain"
"""The strategy that others are compared with."""
SECOND = 3
"""How many times what a first derivative keeps a second one does, at most."""
PROBED_EXAMPLES = 8, 16
"""What a point keeps in memory is seen on so many."""
FEW = 2
"""Examples on which calls are interleaved."""
COMPARED = 64
"""Examples on which precisions are compared."""
ALIKE = 1e-2
"""How far strategies may differ in 32 bits, in shares of the largest number: units at the kink of a ReLU may fall on
either side."""


@dataclass(frozen=True)
class Portion:
    """What is done at a time."""

    points: int
    examples: int | None
    """None: whole groups."""


@dataclass(frozen=True)
class Way:
    """How a service may be run: a strategy, and what it does at a time."""

    strategy: str
    portion: Portion

    @property
    def name(self) -> str:
        """As it is listed: ``loop``, or ``loop/128`` where examples come in parts of so many."""
        examples = self.portion.examples
        return self.strategy if examples is None else f"{self.strategy}/{examples}"


@dataclass(frozen=True)
class Pace:
    """Seconds that one point takes one call after the other."""

    calls: float
    """Whatever the number of examples."""
    arithmetic: float
    """On all examples."""

    @property
    def whole(self) -> float:
        """On all examples."""
        return self.calls + self.arithmetic

    @property
    def share_of_calls(self) -> float:
        """What taking points together might save on a CPU."""
        return self.calls / self.whole


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
        self.examples = count_examples(batch)
        self.raced = self.examples
        """Examples of a run that is timed."""
        self.long = False
        """Whether a point on all of them takes too long for that."""
        self._plain: list[Tensor] | None = None
        """What the plain loop makes of a few examples, once somebody is compared with it."""
        self._footprints: dict[str, Footprint] = {}

    def pace(self, portion: Portion) -> Pace:
        """What one point takes in the plain loop, about: seen on a few examples, and extrapolated.

        Args:
            portion: what the plain loop may do at a time.
        """
        more = min(FEWEST, portion.examples or self.examples)
        few = max(1, more // 8)
        runs = [self.work(PLAIN, 1, examples) for examples in (few, more)]
        for run in runs:
            run()
        # The shortest of runs in turn: others who are at work on the machine only lengthen them.
        times = [[_seconds(run) for run in runs] for _ in range(PACED)]
        seconds_of_few, seconds_of_more = map(min, zip(*times, strict=True))
        slope = max(0.0, (seconds_of_more - seconds_of_few) / (more - few)) if more > few else seconds_of_more / more
        return Pace(max(0.0, seconds_of_more - slope * more), slope * self.examples)

    def worth_trying(self, names: Sequence[str], pace: Pace, a_run: float) -> tuple[list[str], dict[str, str]]:
        """Strategies that may be faster than the plain loop; and why others are not.

        On a CPU to take points together saves calls and nothing else, and examples in parts are better.

        Args:
            names: strategies.
            pace: what one point takes, about.
            a_run: seconds that a timed run may take.
        """
        if self._network.device.type != "cpu":
            return list(names), {}
        left_out = {}
        for name in names:
            if not STRATEGIES[name].stacks_points or CHEAP * pace.whole < a_run:
                continue
            if pace.share_of_calls < CALLS:
                share = f"{pace.share_of_calls:.0%} is calls, all that it could save"
                left_out[name] = f"of {1e3 * pace.whole:.3g} ms a point {share}"
            elif pace.whole > a_run and self._parts:
                left_out[name] = f"a point takes {1e3 * pace.whole:.3g} ms, too long to be timed"
        return [name for name in names if name not in left_out], left_out

    def ways(self, portions: Mapping[str, Portion], pace: Pace, a_run: float) -> list[Way]:
        """How the service may be run, the simpler first.

        On CPUs examples are taken in parts, too, where cutting groups changes nothing; and only so where a point on a
        whole group takes too long for a race. What cannot be cut is then raced on fewer examples than it will have.

        Args:
            portions: what strategies do at a time, by what fits the memory.
            pace: what one point takes, about.
            a_run: seconds that a timed run may take.
        """
        self.long = long = pace.whole > a_run
        parts = self._parts if self._network.device.type == "cpu" else []
        ways = []
        for name, portion in sorted(portions.items(), key=lambda entry: STRATEGIES[entry[0]].rank):
            if portion.examples is not None or not (long and parts):
                ways.append(Way(name, portion))
            if portion.examples is None and not STRATEGIES[name].stacks_points:
                some = parts if name != PLAIN else parts[:1] * long
                ways += [Way(name, Portion(portion.points, part)) for part in some]
        if long and not parts:
            fit = min(way.portion.examples or self.examples for way in ways)
            self.raced = max(min(fit, FEWEST), min(fit, int(self.examples * a_run / pace.whole)))
        return ways

    @cached_property
    def _parts(self) -> list[int]:
        """How many examples may be evaluated at a time, beside all of them, because cutting a group changes nothing.

        That is looked at where the network is called, and not at its own weights alone.
        """
        parts = [part for part in PARTS if part < self.examples]
        return parts if self.which == "evaluate" and parts and self.can_cut else []

    @cached_property
    def can_cut(self) -> bool:
        """Whether a group of examples may be evaluated part by part, as seen where the network is called, too."""
        if not self._network.can_cut(self._batch):
            return False
        network, some = self._network.at("fp32"), min(self.examples, 2 * min(PARTS))
        points, batch = self._probes(2), take_rows(self._batch, slice(some))
        strategy: Strategy = STRATEGIES[PLAIN]()
        with network.in_force():
            whole = strategy.forward(network, points, batch)[1]
            halves = [strategy.forward(network, points, part)[1] for part in cut_parts([batch], -(-some // 2))]
        return alike(torch.cat(halves, dim=1), whole, ROUNDING)

    def work(self, name: str, count: int, examples: int | None = None, part: int | None = None) -> Callable[[], None]:
        """One run of a strategy at so many points near the chart's first control; returns when it is done.

        Args:
            name: the strategy's.
            count: how many points.
            examples: how many of the batch's, the first ones; default all.
            part: how many at a time; default all of them.
        """
        strategy: Strategy = STRATEGIES[name]()
        coefficients = torch.full((count, len(self._controls)), 0.1).to(self._controls)
        coefficients[:, 0] = 1.0
        points = self._points(coefficients)
        batches = list(cut_parts([take_rows(self._batch, slice(examples))], part))
        services: dict[str, Callable[[Batch], object]] = {
            "evaluate": lambda batch: strategy.forward(self._network, points, batch),
            "pullback": lambda batch: strategy.pullback(self._network, points, batch, _summed_loss),
            "derivatives": lambda batch: strategy.hessian_product(
                self._network, points, points.params, batch, _summed_loss
            ),
        }

        def run() -> None:
            with self._network.in_force():
                for batch in batches:
                    services[self.which](batch)
            if self._network.device.type == "cuda":
                torch.cuda.synchronize(self._network.device)

        return run

    @property
    def precision(self) -> str:
        """By name."""
        return self._network.precision

    def at(self, precision: str) -> Piece:
        """The same in another precision."""
        twin = copy.copy(self)
        twin._network, twin._footprints = self._network.at(precision), {}
        return twin

    def departure(self, way: Way) -> float:
        """How far losses are from those in fp32 at a few points: the largest difference, as a share of the largest."""
        strategy: Strategy = STRATEGIES[way.strategy]()
        points, batch = self._probes(3), take_rows(self._batch, slice(COMPARED))
        means = []
        for network in (self._network, self._network.at("fp32")):
            with network.in_force():
                means.append(strategy.forward(network, points, batch)[1].double().mean(dim=1))
        gap = (means[0] - means[1]).abs().max() / means[1].abs().max().clamp_min(TINY)
        return float(gap) if gap.isfinite() else math.inf

    def contestant(self, way: Way, points: int | None = None) -> Contestant:
        """A way of running the service as it takes part in a race; examples in parts are raced on one part where
        all of them take too long.

        Args:
            way: of running it.
            points: that each run has; default any number up to what fits.
        """
        # Of strategies that call one network after another, more points would not change what one costs.
        apart = max(MEASURED_APART, 2 * torch.get_num_threads())
        stacks = STRATEGIES[way.strategy].stacks_points
        part = way.portion.examples
        points = None if points is None else min(points, self._most if stacks else apart)
        examples = min(self.raced, part or self.examples) if self.long else self.raced
        if points is not None:
            share = points * examples / self.examples
            return Contestant(lambda _: self.work(way.strategy, points, examples, part), 1, share)
        return Contestant(
            lambda count: self.work(way.strategy, count, examples, part),
            way.portion.points if stacks else min(way.portion.points, apart),
            examples / self.examples,
            STRATEGIES[way.strategy].at_once() or 1,
            stacks,
        )

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
                self.compare_with_plain(name)
                footprint = self._footprint_of(name)
            except Exception as error:  # a strategy may fail on a user's module in any way
                refused[name] = format_error(error)
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
        if self.which != "pullback" and self.can_cut:
            examples = footprint.most_examples(limit.usual, self.examples)
            return Portion(1, examples) if examples else None
        return Portion(1, None) if footprint.size(1, self.examples) <= limit.most else None

    def _why_whole(self) -> str:
        """Why a group of examples cannot be cut, in words."""
        if self.which == "pullback" or self.can_cut:
            return ""
        return f" with a group of {self.examples} examples, which have to be evaluated together"

    def tried(self, name: str, chunk: int) -> int:
        """The chunk, or the largest of its halves that a GPU has room for."""
        if self._network.device.type == "cpu":
            return chunk
        return find_fitting_chunk(lambda count: self.work(name, count)(), chunk)

    def _points(self, coefficients: Tensor) -> Points:
        space = self._network.space
        return Points(space.combine(coefficients, self._controls), coefficients, space.unflatten(self._controls))

    def _probes(self, count: int) -> Points:
        """A few points that differ, near the chart's first control."""
        coefficients = 0.1 * torch.arange(1.0, 1.0 + count)[:, None].repeat(1, len(self._controls)).to(self._controls)
        coefficients[:, 0] = 1.0
        return self._points(coefficients)

    def compare_with_plain(self, name: str) -> None:
        """Refuse a strategy that gives other numbers than one network after another, on a few examples at two points.

        Rules for many networks at once can fail without an error where a module does something unforeseen.
        """
        if name == PLAIN:
            return
        if self._plain is None:
            self._plain = self._numbers(PLAIN)
        if STRATEGIES[name].at_once() not in (None, 1):
            self._check_apart(name)
        if not all(alike(*pair, ALIKE) for pair in zip(self._numbers(name), self._plain, strict=True)):
            raise BadInput(f"strategy {name!r} gives other values than calling one network after the other")

    def _check_apart(self, name: str) -> None:
        """Refuse a strategy that works on copies of a network at the same time where their calls would meet.

        A copy has no closures of its own: what hooks keep in one is the same for all copies. Tried without threads, so
        that it is found each time: a second network is called before each layer of a first.
        """
        if self._network.uses(FORWARD_MODE):
            raise BadInput(
                f"strategy {name!r} works on several networks at the same time, and this one is differentiated in "
                "forward mode as it is called, which all threads of a process share"
            )
        network, batch = self._network.at("fp32"), take_rows(self._batch, slice(FEW))
        points = self._probes(2).params
        first, second = ({key: value[k] for key, value in points.items()} for k in range(2))
        with network.in_force(), network.calling():
            (_, alone), (_, between) = network(first, batch), network.interleaved(first, second, batch)
        if not alike(between, alone, ROUNDING):
            raise BadInput(
                f"strategy {name!r} works on copies of the model at the same time, and calls of this one change what "
                "its copies share (a container that hooks write to, say)"
            )

    def _numbers(self, name: str) -> list[Tensor]:
        """Outputs, losses and, of services that differentiate, the gradient in the controls."""
        strategy: Strategy = STRATEGIES[name]()
        network, space = self._network.at("fp32"), self._network.space
        points, batch = self._probes(2), take_rows(self._batch, slice(PROBED_EXAMPLES[0]))
        with network.in_force():
            if self.which == "evaluate":
                outputs, losses = strategy.forward(network, points, batch)
                return [*filter(is_comparable, tree_leaves(outputs)), losses]
            got = strategy.pullback(network, points, batch, _summed_loss)
        into = torch.zeros_like(self._controls)
        space.fold(got.params, points.coefficients, into)
        space.add(got.controls, into)
        return [got.losses, into]

    def _footprint_of(self, name: str) -> Footprint:
        """What a strategy takes; those that call one network after another do the same in each call."""
        stacks = STRATEGIES[name].stacks_points
        watched = name if stacks else PLAIN
        if self.which == "derivatives":  # to be compared says nothing of those
            self.work(name, 1, min(PROBED_EXAMPLES[0], self.examples))()
        if watched not in self._footprints:
            self._footprints[watched] = self._footprint(watched)
        return replace(self._footprints[watched], networks=STRATEGIES[name].at_once())

    def _footprint(self, name: str) -> Footprint:
        """What a strategy takes: seen on a few examples of one point, and extrapolated."""
        few, more = (min(count, self.examples) for count in PROBED_EXAMPLES)
        piece, times = self, 1
        if self.which == "derivatives":
            # Not watched: torch ends the process where second derivatives of a transform in a forward pass
            # (torch.func.hessian) meet a dispatch mode. They keep what first ones do, and the way back of these.
            piece, times = Piece("pullback", self._network, self._controls, self._batch, 1), SECOND
        kept, kept_of_more = (times * float(measure_peak_bytes(piece.work(name, 1, count))) for count in (few, more))
        slope = max(0.0, (kept_of_more - kept) / (more - few)) if more > few else kept_of_more / more
        returned = STRATEGIES[name].stacks_points or self.which == "derivatives"
        return Footprint(
            weights=3 * self._controls.shape[1] * self._controls.element_size(),
            fixed=max(0.0, kept_of_more - slope * more),
            per_example=slope,
            output=0.0 if returned else 2 * self._returned(few) / few,
            networks=STRATEGIES[name].at_once(),
        )

    def _returned(self, examples: int) -> int:
        """Bytes of the outputs and losses of one point on so many examples."""
        with self._network.calling(), self._network.in_force():
            leaves = tree_leaves(self._network({}, take_rows(self._batch, slice(examples))))
        return sum(leaf.numel() * leaf.element_size() for leaf in leaves if is_comparable(leaf))


def _seconds(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def _summed_loss(outputs: Outputs, losses: Tensor, points: slice) -> Tensor:
    return losses.sum()
