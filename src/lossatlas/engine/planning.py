"""Choosing a plan: by name, from a file, or by measuring a chunk of the real problem."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from lossatlas.engine.memory import chunk_that_fits
from lossatlas.engine.network import Network
from lossatlas.engine.plan import Plan, Service
from lossatlas.engine.race import Contestant, Outcome, race
from lossatlas.engine.strategy import STRATEGIES, Strategy
from lossatlas.errors import BadInput, first_line, unknown
from lossatlas.types import Batch, Outputs

__all__ = ["LARGEST_CHUNK", "MEASURING_SECONDS", "plan_for"]

MEASURING_SECONDS = 2.0
"""What measuring may take where a run does not say more."""
LARGEST_CHUNK = 256
MEASURED_APART = 8
"""Points of a timed run of strategies that call one network after another: more would not change what one costs."""


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
        precision: of evaluations and steps; a plan file has its own.
        points: how many points a step of the fit has.
        seconds: what measuring may take, about.

    Raises:
        BadInput: an unknown name, an unreadable file, a strategy that cannot serve this network, or memory for less
            than one point.
    """
    if spec.endswith(".json"):
        return Plan.read(Path(spec))
    if spec != "auto" and spec not in STRATEGIES:
        raise unknown("plan", spec, ["auto", *STRATEGIES, "FILE.json"])
    bench = _Bench(network.at(precision), controls, {"pullback": step_batch, "evaluate": group_batch})
    try:
        for which in bench.batches:
            bench.run("loop", which, 1)
    except Exception as error:  # the user's own module may fail in any way
        raise BadInput(f"the model fails on a batch of these data: {first_line(error)}") from error

    names = list(STRATEGIES) if spec == "auto" else [spec]
    limits = {"pullback": min(LARGEST_CHUNK, points), "evaluate": LARGEST_CHUNK, "derivatives": LARGEST_CHUNK}
    outcomes, chunks, halved = {}, {}, []
    for which in bench.batches:
        able, refused = {}, {}
        for name in names:
            try:
                per_point = bench.bytes_per_point(name, which)
            except Exception as error:  # a strategy may fail on a user's module in any way
                refused[name] = first_line(error)
                continue
            if per_point > memory:
                refused[name] = (
                    f"one point takes {per_point / 1e6:,.1f} MB, more than --memory ({memory / 1e6:,.1f} MB)"
                )
            else:
                able[name] = min(limits[which], memory // per_point)
        chunks[which] = able
        if spec == "auto":
            outcome = race({name: bench.contestant(name, which, most) for name, most in able.items()}, seconds / 2)
            outcomes[which] = Outcome(outcome.seconds, refused | outcome.refused)
        else:
            outcomes[which] = Outcome(dict.fromkeys(able, 0.0), refused)
        if not outcomes[which].seconds:
            why = "; ".join(f"{name}: {reason}" for name, reason in outcomes[which].refused.items())
            raise BadInput(f"no strategy can evaluate this model: {why}")

    services = {}
    for which, outcome in outcomes.items():
        best = min(outcome.seconds, key=outcome.seconds.__getitem__)
        chunk = chunks[which][best]
        if network.device.type != "cpu":
            fits = chunk_that_fits(partial(bench.run, best, which), chunk)
            halved += [f"{which}: {chunk} points at once ran out of memory, {fits} do not"] if fits < chunk else []
            chunk = fits
        services[which] = Service(best, chunk, precision)
    pulled = services["pullback"].strategy
    on_groups = max(1, min(limits["derivatives"], memory // bench.bytes_per_point(pulled, "derivatives")))
    return Plan(
        **services,
        derivatives=Service(pulled, on_groups),
        threads=torch.get_num_threads(),
        reason="; ".join([_reason(spec, outcomes), *halved]),
    )


class _Bench:
    """Pieces of the real problem to try strategies on."""

    def __init__(self, network: Network, controls: Tensor, batches: dict[str, Batch]) -> None:
        self.batches = batches
        self._network = network
        self._controls = controls

    def contestant(self, name: str, which: str, chunk: int) -> Contestant:
        most = chunk if STRATEGIES[name].stacks_points else min(chunk, MEASURED_APART)
        return Contestant(lambda count: self.runner(name, which, count), most)

    def runner(self, name: str, which: str, count: int) -> Callable[[], object]:
        """One run of a strategy at so many points near the chart's first control."""
        strategy: Strategy = STRATEGIES[name]()
        coefficients = torch.full((count, len(self._controls)), 0.1).to(self._controls)
        coefficients[:, 0] = 1.0
        params = self._network.space.combine(coefficients, self._controls)
        batch = self.batches["pullback" if which == "pullback" else "evaluate"]
        if which == "evaluate":
            return lambda: strategy.forward(self._network, params, batch)
        return lambda: strategy.pullback(self._network, params, batch, _mean_loss)

    def run(self, name: str, which: str, count: int) -> None:
        """Once, for its demands."""
        self.runner(name, which, count)()

    def bytes_per_point(self, name: str, which: str) -> int:
        """What a point takes in a chunk: weights, gradients and, where activations are in memory together, those.

        Those that autograd keeps, an upper bound of what a forward pass holds, too.
        """
        held = 0

        def count(tensor: Tensor) -> Tensor:
            nonlocal held
            held += tensor.numel() * tensor.element_size()
            return tensor

        weights = 3 * self._controls.shape[1] * self._controls.element_size()
        if not STRATEGIES[name].stacks_points:
            return weights
        strategy: Strategy = STRATEGIES[name]()
        batch = self.batches["pullback" if which == "pullback" else "evaluate"]
        params = self._network.space.combine(torch.ones_like(self._controls[:1, :1]), self._controls[:1])
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            strategy.pullback(self._network, params, batch, _mean_loss)
        return weights + held


def _mean_loss(outputs: Outputs, losses: Tensor, points: slice) -> Tensor:
    return losses.mean()


def _reason(spec: str, outcomes: dict[str, Outcome]) -> str:
    if spec != "auto":
        return "stated"
    services = [
        f"{which}: " + ", ".join(f"{name} {1e6 * value:.0f} us/point" for name, value in _ranked(outcome))
        for which, outcome in outcomes.items()
    ]
    refused = {name: why for outcome in outcomes.values() for name, why in outcome.refused.items()}
    return "measured, " + "; ".join(services + [f"{name} cannot serve: {why}" for name, why in refused.items()])


def _ranked(outcome: Outcome) -> list[tuple[str, float]]:
    return sorted(outcome.seconds.items(), key=lambda entry: entry[1])
