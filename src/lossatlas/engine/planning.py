"""Choosing a plan: by name, from a file, or by measuring a chunk of the real problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from lossatlas.engine.failures import model_failure
from lossatlas.engine.footprint import Limit
from lossatlas.engine.network import Network
from lossatlas.engine.piece import Piece, Portion
from lossatlas.engine.plan import Plan, Service
from lossatlas.engine.precision import PRECISIONS
from lossatlas.engine.race import RUNS, Outcome, race
from lossatlas.engine.strategy import STRATEGIES
from lossatlas.errors import BadInput, unknown
from lossatlas.types import Batch

__all__ = ["LARGEST_CHUNK", "MEASURING_SECONDS", "check_plan", "measuring_seconds", "plan_for"]

MEASURING_SECONDS = 2.0
"""What measuring may take where a run does not say more."""
LARGEST_CHUNK = 256


def measuring_seconds(budget: float | None) -> float:
    """What an automatic plan may cost a run: 2 seconds, or 3 % of a budget of a minute and more, a minute at most.

    Args:
        budget: in seconds; None where it is given in steps.
    """
    return min(60.0, 0.03 * budget) if budget is not None and budget >= 60 else MEASURING_SECONDS


def plan_for(
    network: Network,
    controls: Tensor,
    step_batch: Batch,
    group_batch: Batch,
    spec: str = "auto",
    *,
    memory: Limit,
    precision: str = "fp32",
    points: int = LARGEST_CHUNK,
    seconds: float = MEASURING_SECONDS,
    steps: bool = True,
) -> Plan:
    """The plan for a fit and its surveys.

    Args:
        network: what will be evaluated.
        controls: (m, n), those of the chart.
        step_batch: a minibatch as a step of the fit will see it.
        group_batch: a group of examples as a survey will see it.
        spec: ``auto`` measures every strategy for each service and takes the fastest; a strategy's name takes it
            for both; a path reads a plan file.
        memory: bytes that may be taken.
        precision: of evaluations and steps; a plan file states its own, which counts.
        points: how many points a step of the fit has.
        seconds: what measuring may take, about.
        steps: whether a fit will make steps; if not, what has no memory for them is no reason to refuse.

    Raises:
        BadInput: an unknown name, an unreadable file, a strategy that cannot serve this network, or memory for less
            than one point.
    """
    if precision not in PRECISIONS:
        raise unknown("precision", precision, [*PRECISIONS])
    if (read := check_plan(spec)) is not None:
        return read
    at_precision = network.at(precision)
    step = Piece("pullback", at_precision, controls, step_batch, min(LARGEST_CHUNK, points))
    group = Piece("evaluate", at_precision, controls, group_batch, LARGEST_CHUNK)
    slopes = Piece("derivatives", network.at("fp32"), controls, group_batch, LARGEST_CHUNK)
    names = list(STRATEGIES) if spec == "auto" else [spec]
    outcomes: dict[str, Outcome] = {}
    services: dict[str, Service] = {}
    notes = []
    for piece in (step, group):
        dispensable = piece is step and not steps
        try:
            portions, refused = piece.portions(names, memory)
        except BadInput:
            if not dispensable:
                raise
            portions, refused = {}, {}
        if dispensable and not portions:
            services[piece.which] = Service("loop", 1, precision)
            continue
        outcome = _raced(piece, portions, seconds / 2) if spec == "auto" else _stated(portions)
        outcomes[piece.which] = replace(outcome, refused=refused | outcome.refused)
        if not outcome.seconds:
            why = "; ".join(f"{name}: {reason}" for name, reason in outcomes[piece.which].refused.items())
            raise BadInput(f"no strategy can evaluate this model: {why}")
        best = min(outcome.seconds, key=outcome.seconds.__getitem__)
        portion = portions[best]
        fits = piece.tried(best, portion.points)
        if fits < portion.points:
            notes.append(f"{piece.which}: {portion.points} points at once ran out of memory, {fits} do not")
        if portion.examples is not None:
            notes.append(f"{piece.which}: {portion.examples} of {piece.examples} examples at once fit the memory")
        services[piece.which] = Service(best, fits, precision, portion.examples)
    services["derivatives"] = _derivatives(slopes, services["pullback"].strategy, memory)
    if spec == "auto":
        notes += [
            f"{piece.which} measured on {piece.raced} of {piece.examples} examples"
            for piece in (step, group)
            if piece.raced < piece.examples
        ]
    reason = "; ".join([_reason(spec, outcomes), *notes])
    return Plan(
        **services, threads=torch.get_num_threads(), reason=reason, differentiates_inputs=network.differentiates
    )


def _raced(piece: Piece, portions: Mapping[str, Portion], seconds: float) -> Outcome:
    """How long strategies take, measured; probing memory is not charged."""
    try:
        piece.shorten(seconds / max(1, len(portions)) / RUNS, list(portions.values()))
    except Exception as error:  # the user's own module may fail in any way
        raise model_failure(error, "the model fails on a batch of these data") from error
    return race({name: piece.contestant(name, portion) for name, portion in portions.items()}, seconds)


def _stated(portions: Mapping[str, Portion]) -> Outcome:
    return Outcome(dict.fromkeys(portions, 0.0), {}, {name: portion.points for name, portion in portions.items()})


def _derivatives(slopes: Piece, pulled: str, memory: Limit) -> Service:
    """Second derivatives keep more: a strategy that has no room for them leaves them to the loop."""
    try:
        portions, _ = slopes.portions([pulled, "loop"], memory)
    except BadInput:  # nobody has asked for them yet
        portions = {}
    name = pulled if pulled in portions else "loop"
    portion = portions.get(name, Portion(1, None))
    return Service(name, portion.points, examples=portion.examples)


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
