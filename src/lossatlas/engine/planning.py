"""Choosing a plan: by name, from a file, or by measuring a chunk of the real problem."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from lossatlas.engine.network import Network
from lossatlas.engine.plan import Plan, Service
from lossatlas.engine.strategy import STRATEGIES, Strategy
from lossatlas.errors import BadInput, first_line, unknown
from lossatlas.types import Batch, Outputs, Params

__all__ = ["plan_for"]

MEMORY = 2**30
"""Bytes that one chunk may take by default."""
MEASURED_POINTS = 32
"""Of strategies that take them together."""
MEASURED_APART = 8
"""Of strategies that call one network after another: what one costs does not depend on their number."""
MEASURED_SECONDS = 0.3
MEASURED_RUNS = 3
"""At least: one run may meet a stall of the machine."""
LONGEST_SECONDS = 1.5
"""After so long a second run has to do."""
LARGEST_CHUNK = 256


def plan_for(
    network: Network,
    point: Tensor,
    step_batch: Batch,
    group_batch: Batch,
    spec: str = "auto",
    *,
    precision: str = "fp32",
    points: int = LARGEST_CHUNK,
    memory: int = MEMORY,
) -> Plan:
    """The plan for a fit and its surveys.

    Args:
        network: what will be evaluated.
        point: (n,), weights of the order that will be evaluated.
        step_batch: a minibatch as a step of the fit will see it.
        group_batch: a group of examples as a survey will see it.
        spec: ``auto`` measures every strategy for each service and takes the fastest; a strategy's name takes it
            for both; a path reads a plan file.
        precision: of evaluations and steps; a plan file has its own.
        points: how many points a step of the fit has.
        memory: bytes that a chunk may take.

    Raises:
        BadInput: an unknown name, an unreadable file, or a strategy that cannot serve this network.
    """
    if spec.endswith(".json"):
        return Plan.read(Path(spec))
    if spec != "auto" and spec not in STRATEGIES:
        raise unknown("plan", spec, ["auto", *STRATEGIES, "FILE.json"])
    network = network.at(precision)
    names = list(STRATEGIES) if spec == "auto" else [spec]
    try:
        of_group, of_step = (_activation_bytes(network, point, batch) for batch in (group_batch, step_batch))
    except Exception as error:  # the user's own module may fail in any way
        raise BadInput(f"the model fails on a batch of these data: {first_line(error)}") from error
    held = {"evaluate": of_group, "pullback": of_step, "derivatives": of_group}

    def service(name: str, which: str) -> Service:
        per_point = 3 * point.numel() * point.element_size()
        per_point += held[which] if STRATEGIES[name].stacks_points else 0
        limit = min(LARGEST_CHUNK, points) if which == "pullback" else LARGEST_CHUNK
        kept = "fp32" if which == "derivatives" else precision
        return Service(name, max(1, min(limit, memory // per_point)), kept)

    seconds: dict[str, dict[str, float]] = {"evaluate": {}, "pullback": {}}
    refused: dict[str, str] = {}
    for name in names:
        try:
            for which, batch in (("evaluate", group_batch), ("pullback", step_batch)):
                most = MEASURED_POINTS if STRATEGIES[name].stacks_points else MEASURED_APART
                count = min(most, service(name, which).points)
                run = _runner(
                    STRATEGIES[name](),
                    which,
                    network,
                    network.space.combine(point.new_ones(count, 1), point[None]),
                    batch,
                )
                seconds[which][name] = _seconds(run, repeat=spec == "auto") / count
        except Exception as error:  # a strategy may fail on a user's module in any way
            refused[name] = first_line(error)
            for which in seconds:
                seconds[which].pop(name, None)
    if not seconds["pullback"]:
        raise BadInput(f"no strategy can evaluate this model: {'; '.join(f'{k}: {v}' for k, v in refused.items())}")
    best = {which: min(times, key=times.__getitem__) for which, times in seconds.items()}
    return Plan(
        evaluate=service(best["evaluate"], "evaluate"),
        pullback=service(best["pullback"], "pullback"),
        derivatives=service(best["pullback"], "derivatives"),
        threads=torch.get_num_threads(),
        reason=_reason(spec, seconds, refused),
    )


def _runner(strategy: Strategy, which: str, network: Network, params: Params, batch: Batch) -> Callable[[], object]:
    def mean_loss(outputs: Outputs, losses: Tensor, points: slice) -> Tensor:
        return losses.mean()

    if which == "evaluate":
        return lambda: strategy.forward(network, params, batch)
    return lambda: strategy.pullback(network, params, batch, mean_loss)


def _seconds(run: Callable[[], object], repeat: bool) -> float:
    """The shortest time of one run after a first, within a small budget."""
    run()
    if not repeat:
        return 0.0
    best, runs, started = float("inf"), 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < MEASURED_SECONDS or runs < MEASURED_RUNS:
        if runs and spent > LONGEST_SECONDS:
            break
        runs += 1
        begin = time.perf_counter()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begin)
    return best


def _activation_bytes(network: Network, point: Tensor, batch: Batch) -> int:
    """Bytes that autograd keeps for one point on a batch: an upper bound of what a forward pass holds, too."""
    total = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal total
        total += tensor.numel() * tensor.element_size()
        return tensor

    params = {name: view.detach().requires_grad_() for name, view in network.space.unflatten(point).items()}
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        network(params, batch)
    return total


def _reason(spec: str, seconds: dict[str, dict[str, float]], refused: dict[str, str]) -> str:
    if spec != "auto":
        return "stated"
    services = [
        f"{which}: " + ", ".join(f"{name} {1e6 * value:.0f} us/point" for name, value in sorted(times.items()))
        for which, times in seconds.items()
    ]
    return "measured, " + "; ".join(services + [f"{name} cannot serve: {why}" for name, why in refused.items()])
