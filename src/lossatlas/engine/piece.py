"""One service of the engine on a piece of the real problem: running, timing and bounding each strategy."""

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
"""The points of a timed run of strategies that call one network after another; or two per thread."""
FEWEST = 32
"""The fewest examples of a timed run, if there are as many."""
PARTS = 128, 32
"""The numbers of examples at a time that are tried on CPUs, whose activations stay in the caches."""
PACED = 2
"""The number of timed runs by which the pace of a point is estimated."""
ROUNDING = 1e-5
"""The tolerance for losses that differ in the order of sums, as a share of the largest."""
CALLS = 0.3
"""The share of calls in the time of a point from which evaluating points together is tried on a CPU."""
CHEAP = 8
"""If this many runs of a point fit the time of a timed run, no strategy is left out by an estimate."""
PLAIN = "plain"
"""The strategy with which the others are compared."""
SECOND = 3
"""The memory of second derivatives relative to that of first ones, at most."""
PROBED_EXAMPLES = 8, 16
"""The numbers of examples on which the memory of a point is measured."""
FEW = 2
"""The number of examples on which calls are interleaved."""
COMPARED = 64
"""The number of examples on which precisions are compared."""
ALIKE = 1e-2
"""The tolerance between strategies in 32 bits, as a share of the largest number: units at the kink of a ReLU may be on
either side."""


@dataclass(frozen=True)
class Portion:
    """The number of points and of examples at a time."""

    points: int
    examples: int | None
    """The number of examples at a time; None for whole batches."""


@dataclass(frozen=True)
class Way:
    """A way to run a service: a strategy, with the points and examples that it evaluates at a time."""

    strategy: str
    portion: Portion

    @property
    def name(self) -> str:
        """The name in messages: ``loop``, or ``loop/128`` for parts of 128 examples."""
        examples = self.portion.examples
        return self.strategy if examples is None else f"{self.strategy}/{examples}"


@dataclass(frozen=True)
class Pace:
    """The seconds that one point takes, by single calls."""

    calls: float
    """The seconds of calls, which do not depend on the number of examples."""
    arithmetic: float
    """The seconds of arithmetic on all examples."""

    @property
    def whole(self) -> float:
        """The seconds of a point on all examples."""
        return self.calls + self.arithmetic

    @property
    def share_of_calls(self) -> float:
        """The share of calls, which evaluating points together might save on a CPU."""
        return self.calls / self.whole


class Piece:
    """One service of the engine, on a piece of the real problem.

    Args:
        which: ``evaluate``, ``pullback`` or ``derivatives``.
        network: what is evaluated.
        controls: the controls of the chart, (m, n).
        batch: a batch of the kind that the service will evaluate.
        most: the largest number of points at a time.
    """

    def __init__(self, which: str, network: Network, controls: Tensor, batch: Batch, most: int) -> None:
        self.which = which
        self._network = network
        self._controls = controls
        self._batch = batch
        self._most = most
        self.examples = count_examples(batch)
        self.raced = self.examples
        """The number of examples of a timed run."""
        self.long = False
        """Whether a point on all examples takes too long for a timed run."""
        self._plain: list[Tensor] | None = None
        """The results of the plain loop on a few examples, once they are needed for a comparison."""
        self._footprints: dict[str, Footprint] = {}

    def pace(self, portion: Portion) -> Pace:
        """Estimate the time of one point in the plain loop, on a few examples with extrapolation.

        Args:
            portion: the points and examples that the plain loop may evaluate at a time.
        """
        more = min(FEWEST, portion.examples or self.examples)
        few = max(1, more // 8)
        runs = [self.work(PLAIN, 1, examples) for examples in (few, more)]
        for run in runs:
            run()
        # The shortest of several runs: other processes on the machine only make them longer.
        times = [[_seconds(run) for run in runs] for _ in range(PACED)]
        seconds_of_few, seconds_of_more = map(min, zip(*times, strict=True))
        slope = max(0.0, (seconds_of_more - seconds_of_few) / (more - few)) if more > few else seconds_of_more / more
        return Pace(max(0.0, seconds_of_more - slope * more), slope * self.examples)

    def worth_trying(self, names: Sequence[str], pace: Pace, a_run: float) -> tuple[list[str], dict[str, str]]:
        """Find the strategies that may be faster than the plain loop, and why others are not.

        On a CPU, evaluating points together saves calls and nothing else, and parts of examples are better.

        Args:
            names: the names of strategies.
            pace: the estimated time of one point.
            a_run: the seconds that a timed run may take.
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
        """List the ways to run the service, the simpler first.

        On CPUs examples are evaluated in parts, too, if that does not change results; and only in parts if a point on
        a whole batch takes too long for a race. A batch that cannot be cut is then raced on fewer examples.

        Args:
            portions: the points and examples that fit the memory, by strategy.
            pace: the estimated time of one point.
            a_run: the seconds that a timed run may take.
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
        """The sizes of parts in which examples may be evaluated, besides whole batches.

        Whether parts change results is checked at points of the chart, and not at the network's own weights alone.
        """
        parts = [part for part in PARTS if part < self.examples]
        return parts if self.which == "evaluate" and parts and self.can_cut else []

    @cached_property
    def can_cut(self) -> bool:
        """Whether a batch may be evaluated in parts, as checked at points of the chart, too."""
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
        """Run a strategy at points near the first control of the chart; returns when it is done.

        Args:
            name: the name of the strategy.
            count: the number of points.
            examples: the number of examples, the first ones of the batch; default all.
            part: the number of examples at a time; default all of them.
        """
        strategy: Strategy = STRATEGIES[name]()
        coefficients = torch.full((count, len(self._controls)), 0.1).to(self._controls)
        coefficients[:, 0] = 1.0
        points = self._points(coefficients)
        batches = list(cut_parts([take_rows(self._batch, slice(examples))], part))
        services: dict[str, Callable[[Batch], object]] = {
            "evaluate": lambda batch: strategy.forward(self._network, points, batch),
            "pullback": lambda batch: strategy.pullback(self._network, points, batch, _summed_loss),
            "derivatives": lambda batch: strategy.multiply(
                self._network, points, points.params, batch, _summed_loss, "hessian"
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
        """The name of the precision."""
        return self._network.precision

    def at(self, precision: str) -> Piece:
        """Make the same piece in another precision."""
        twin = copy.copy(self)
        twin._network, twin._footprints = self._network.at(precision), {}
        return twin

    def departure(self, way: Way) -> float:
        """Measure the largest difference from losses in fp32 at a few points, as a share of the largest loss."""
        strategy: Strategy = STRATEGIES[way.strategy]()
        points, batch = self._probes(3), take_rows(self._batch, slice(COMPARED))
        means = []
        for network in (self._network, self._network.at("fp32")):
            with network.in_force():
                means.append(strategy.forward(network, points, batch)[1].double().mean(dim=1))
        gap = (means[0] - means[1]).abs().max() / means[1].abs().max().clamp_min(TINY)
        return float(gap) if gap.isfinite() else math.inf

    def contestant(self, way: Way, points: int | None = None) -> Contestant:
        """Make the contestant of a race for a way to run the service, on one part of examples if all take too long.

        Args:
            way: the way to run the service.
            points: the number of points of each run; default any number up to what fits.
        """
        # For strategies that call one network after another, the cost of a point does not depend on their number.
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
        """Find the points and examples that fit the memory, by strategy, and why some strategies fail.

        Raises:
            BadInput: no strategy fits the memory.
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
            able = whole  # cutting batches is the last resort, as it costs time and makes comparisons unequal
        if too_large and not able:
            raise BadInput(
                f"memory for a chunk is {limit.usual / 1e6:,.3g} MB, one point takes "
                f"{min(too_large.values()) / 1e6:,.3g} MB{self._why_whole()}; allow more (--memory), or use a smaller "
                "--batch_size or --eval_batch_size"
            )
        return able, refused | {name: f"one point takes {size / 1e6:,.3g} MB" for name, size in too_large.items()}

    def _portion(self, footprint: Footprint, limit: Limit) -> Portion | None:
        """The points and examples that fit the memory; None if not even one point does."""
        if points := footprint.most_points(self.examples, limit.usual, self._most):
            return Portion(points, None)
        if self.which != "pullback" and self.can_cut:
            examples = footprint.most_examples(limit.usual, self.examples)
            return Portion(1, examples) if examples else None
        return Portion(1, None) if footprint.size(1, self.examples) <= limit.most else None

    def _why_whole(self) -> str:
        """Why a batch cannot be cut, in words."""
        if self.which == "pullback" or self.can_cut:
            return ""
        return f" with a batch of {self.examples} examples, which have to be evaluated together"

    def bytes_of_example(self, name: str) -> int:
        """The bytes that a strategy takes for one example at one point, with its share of all others."""
        return math.ceil(self._footprint_of(name).size(1, self.examples) / self.examples)

    def tried(self, name: str, chunk: int) -> int:
        """Find the largest of a chunk, its half, its quarter, ... that fits the memory of a GPU."""
        if self._network.device.type == "cpu":
            return chunk
        return find_fitting_chunk(lambda count: self.work(name, count)(), chunk)

    def _points(self, coefficients: Tensor) -> Points:
        space = self._network.space
        return Points(space.combine(coefficients, self._controls), coefficients, space.unflatten(self._controls))

    def _probes(self, count: int) -> Points:
        """A few different points near the first control of the chart."""
        coefficients = 0.1 * torch.arange(1.0, 1.0 + count)[:, None].repeat(1, len(self._controls)).to(self._controls)
        coefficients[:, 0] = 1.0
        return self._points(coefficients)

    def compare_with_plain(self, name: str) -> None:
        """Refuse a strategy whose results differ from those of the plain loop, on a few examples at two points.

        Rules for many networks at once can fail without an error if a module does something unforeseen.
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
        """Refuse a strategy that calls copies of a network at the same time if the copies share state.

        Copies share closures, in which hooks may store something. Tried without threads, so that the outcome is
        certain: a second network is called before each layer of a first.
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
        """Outputs, losses and, for services that differentiate, the gradient with respect to the controls."""
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
        """The memory of a strategy; those that call one network after another have the same."""
        stacks = STRATEGIES[name].stacks_points
        watched = name if stacks else PLAIN
        if self.which == "derivatives":  # to be compared says nothing of those
            self.work(name, 1, min(PROBED_EXAMPLES[0], self.examples))()
        if watched not in self._footprints:
            self._footprints[watched] = self._footprint(watched)
        return replace(self._footprints[watched], networks=STRATEGIES[name].at_once())

    def _footprint(self, name: str) -> Footprint:
        """The memory of a strategy, measured on a few examples at one point with extrapolation."""
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
        """The bytes of the outputs and losses of one point on a number of examples."""
        with self._network.calling(), self._network.in_force():
            leaves = tree_leaves(self._network({}, take_rows(self._batch, slice(examples))))
        return sum(leaf.numel() * leaf.element_size() for leaf in leaves if is_comparable(leaf))


def _seconds(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def _summed_loss(outputs: Outputs, losses: Tensor, points: slice) -> Tensor:
    return losses.sum()
