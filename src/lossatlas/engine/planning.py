"""Choosing a plan: by name, from a file, or by measuring a chunk of the real problem."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from lossatlas.engine.memory import chunk_that_fits
from lossatlas.engine.network import Network
from lossatlas.engine.plan import Plan, Service
from lossatlas.engine.precision import PRECISIONS
from lossatlas.engine.race import RUNS, Contestant, Outcome, race
from lossatlas.engine.strategy import STRATEGIES, Points, Strategy
from lossatlas.errors import BadInput, first_line, unknown
from lossatlas.types import Batch, Outputs

__all__ = ["LARGEST_CHUNK", "MEASURING_SECONDS", "check_plan", "measuring_seconds", "plan_for"]

MEASURING_SECONDS = 2.0
"""What measuring may take where a run does not say more."""
LARGEST_CHUNK = 256
MEASURED_APART = 8
"""Points of a timed run of strategies that call one network after another; or two for each thread."""
FEWEST = 32
"""Examples that a timed run has at least, where there are so many."""
PROBED_EXAMPLES = 8, 16
"""What a point keeps in memory is seen on so many."""


def measuring_seconds(budget: float | None) -> float:
    """What an automatic plan may cost a run: 2 seconds, or 3 % of a budget of a minute and more.

    Args:
        budget: in seconds; None where it is given in steps.
    """
    return 0.03 * budget if budget is not None and budget >= 60 else MEASURING_SECONDS


def plan_for(
    network: Network,
    controls: Tensor,
    step_batch: Batch,
    group_batch: Batch,
    spec: str = "auto",
    *,
    memory: int,
    precision: str = "fp32",
    points: int = LARGEST_CHUNK,
    seconds: float = MEASURING_SECONDS,
) -> Plan:
    """The plan for a fit and its surveys.

    Args:
        network: what will be evaluated.
        controls: (m, n), those of the chart.
        step_batch: a minibatch as a step of the fit will see it.
        group_batch: a group of examples as a survey will see it.
        spec: ``auto`` measures every strategy for each service and takes the fastest; a strategy's name takes it
            for both; a path reads a plan file.
        memory: bytes that a chunk may take.
        precision: of evaluations and steps; a plan file states its own, which counts.
        points: how many points a step of the fit has.
        seconds: what measuring may take, about.

    Raises:
        BadInput: an unknown name, an unreadable file, a strategy that cannot serve this network, or memory for less
            than one point.
    """
    if precision not in PRECISIONS:
        raise unknown("precision", precision, [*PRECISIONS])
    if (read := check_plan(spec)) is not None:
        return read
    at_precision = network.at(precision)
    step = _Piece("pullback", at_precision, controls, step_batch, min(LARGEST_CHUNK, points))
    group = _Piece("evaluate", at_precision, controls, group_batch, LARGEST_CHUNK)
    slopes = _Piece("derivatives", network.at("fp32"), controls, group_batch, LARGEST_CHUNK)
    names = list(STRATEGIES) if spec == "auto" else [spec]
    try:
        for piece in (step, group):
            piece.shorten(seconds / 2 / len(names) / RUNS)
    except Exception as error:  # the user's own module may fail in any way
        raise BadInput(f"the model fails on a batch of these data: {first_line(error)}") from error

    outcomes: dict[str, Outcome] = {}
    services: dict[str, Service] = {}
    notes = []
    for piece in (step, group):
        chunks, refused = piece.chunks(names, memory)
        if spec == "auto":
            contestants = {name: piece.contestant(name, chunk) for name, chunk in chunks.items()}
            # Probing memory is not charged.
            outcome = race(contestants, seconds / 2)
        else:
            outcome = Outcome(dict.fromkeys(chunks, 0.0), {}, chunks)
        outcomes[piece.which] = replace(outcome, refused=refused | outcome.refused)
        if not outcome.seconds:
            why = "; ".join(f"{name}: {reason}" for name, reason in outcomes[piece.which].refused.items())
            raise BadInput(f"no strategy can evaluate this model: {why}")
        best = min(outcome.seconds, key=outcome.seconds.__getitem__)
        fits = piece.tried(best, chunks[best])
        if fits < chunks[best]:
            notes.append(f"{piece.which}: {chunks[best]} points at once ran out of memory, {fits} do not")
        services[piece.which] = Service(best, fits, precision)
    # Second derivatives keep more: a strategy that has no room for them leaves them to the loop.
    pulled = services["pullback"].strategy
    chunks, _ = slopes.chunks([pulled, "loop"], memory)
    derived = pulled if pulled in chunks else "loop"
    services["derivatives"] = Service(derived, chunks.get(derived, 1))
    if spec == "auto":
        notes += [
            f"{piece.which} measured on {piece.raced} of {piece.examples} examples"
            for piece in (step, group)
            if piece.raced < piece.examples
        ]
    reason = "; ".join([_reason(spec, outcomes), *notes])
    return Plan(**services, threads=torch.get_num_threads(), reason=reason)


def check_plan(spec: str) -> Plan | None:
    """The plan that a file states, if one is named.

    Raises:
        BadInput: an unknown name, or an unreadable file.
    """
    if spec.endswith(".json"):
        return Plan.read(Path(spec))
    if spec != "auto" and spec not in STRATEGIES:
        raise unknown("plan", spec, ["auto", *STRATEGIES, "FILE.json"])
    return None


class _Piece:
    """One service of the engine, on a piece of the real problem."""

    def __init__(self, which: str, network: Network, controls: Tensor, batch: Batch, most: int) -> None:
        self.which = which
        self._network = network
        self._controls = controls
        self._batch = batch
        self._most = most
        self.examples = max(len(leaf) for leaf in tree_leaves(batch))
        self.raced = self.examples
        """Examples of a run that is timed."""

    def shorten(self, seconds: float) -> None:
        """Take so few examples for timed runs that one point on them takes a loop no longer than this, or about.

        Who is faster hardly depends on examples; but where a single run uses the time up, nobody is ever measured warm.
        """
        begin = time.perf_counter()
        self.work("loop", 1)()
        spent = time.perf_counter() - begin
        self.raced = max(min(self.examples, FEWEST), min(self.examples, int(self.examples * seconds / spent)))

    def work(self, name: str, count: int, examples: int | None = None) -> Callable[[], None]:
        """One run of a strategy at so many points near the chart's first control; returns when it is done."""
        strategy: Strategy = STRATEGIES[name]()
        coefficients = torch.full((count, len(self._controls)), 0.1).to(self._controls)
        coefficients[:, 0] = 1.0
        space = self._network.space
        points = Points(space.combine(coefficients, self._controls), coefficients, space.unflatten(self._controls))
        batch = tree_map(lambda leaf: leaf[:examples], self._batch)
        services: dict[str, Callable[[], object]] = {
            "evaluate": lambda: strategy.forward(self._network, points, batch),
            "pullback": lambda: strategy.pullback(self._network, points, batch, _mean_loss),
            "derivatives": lambda: strategy.hessian_product(self._network, points, points.params, batch, _mean_loss),
        }

        def run() -> None:
            with self._network.in_force():
                services[self.which]()
            if self._network.device.type == "cuda":
                torch.cuda.synchronize(self._network.device)

        return run

    def contestant(self, name: str, chunk: int) -> Contestant:
        # Of strategies that call one network after another, more points would not change what one costs.
        apart = max(MEASURED_APART, 2 * torch.get_num_threads())
        most = chunk if STRATEGIES[name].stacks_points else min(chunk, apart)
        return Contestant(lambda count: self.work(name, count, self.raced), most)

    def chunks(self, names: Sequence[str], memory: int) -> tuple[dict[str, int], dict[str, str]]:
        """How many points a chunk may have, by strategy; and why others can take none.

        Raises:
            BadInput: the memory is all that is in the way.
        """
        able: dict[str, int] = {}
        refused: dict[str, str] = {}
        too_large: dict[str, int] = {}
        for name in names:
            try:
                per_point = self._bytes_per_point(name)
            except Exception as error:  # a strategy may fail on a user's module in any way
                refused[name] = first_line(error)
                continue
            if per_point <= memory:
                able[name] = min(self._most, memory // per_point)
            else:
                too_large[name] = per_point
        if too_large and not able:
            raise BadInput(
                f"memory for a chunk is {memory / 1e6:,.3g} MB, one point takes "
                f"{min(too_large.values()) / 1e6:,.3g} MB; allow more (--memory), or use a smaller batch or group"
            )
        return able, refused | {name: f"one point takes {size / 1e6:,.3g} MB" for name, size in too_large.items()}

    def tried(self, name: str, chunk: int) -> int:
        """The chunk, or the largest of its halves that a GPU has room for."""
        if self._network.device.type == "cpu":
            return chunk
        return chunk_that_fits(lambda count: self.work(name, count)(), chunk)

    def _bytes_per_point(self, name: str) -> int:
        """What a point takes in a chunk: weights, gradients and, where activations are in memory together, those.

        Those that autograd keeps, an upper bound of what a forward pass holds, too; seen on a few examples and
        extrapolated.
        """
        weights = 3 * self._controls.shape[1] * self._controls.element_size()
        if not STRATEGIES[name].stacks_points:
            return weights
        few, more = (min(count, self.examples) for count in PROBED_EXAMPLES)
        kept, kept_of_more = self._kept(name, few), self._kept(name, more)
        per_example = (kept_of_more - kept) / (more - few) if more > few else 0.0
        return weights + kept_of_more + int(per_example * (self.examples - more))

    def _kept(self, name: str, examples: int) -> int:
        """Bytes that autograd keeps of one point on so many examples."""
        total = 0

        def count(tensor: Tensor) -> Tensor:
            nonlocal total
            total += tensor.numel() * tensor.element_size()
            return tensor

        which = "pullback" if self.which == "evaluate" else self.which
        probe = _Piece(which, self._network, self._controls, self._batch, 1)
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            probe.work(name, 1, examples)()
        return total


def _mean_loss(outputs: Outputs, losses: Tensor, points: slice) -> Tensor:
    return losses.mean()


def _reason(spec: str, outcomes: dict[str, Outcome]) -> str:
    if spec != "auto":
        return "stated"
    services = []
    for which, outcome in outcomes.items():
        ranked = sorted(outcome.seconds.items(), key=lambda entry: entry[1])
        times = [f"{name} {1e6 * value:.0f} us/point" for name, value in ranked]
        services.append(f"{which}: {', '.join(times)}")
        services += [f"{name} cannot serve {which}: {why}" for name, why in outcome.refused.items()]
    return "measured, " + "; ".join(services)
