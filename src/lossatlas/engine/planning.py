"""Choosing a plan: by name, from a file, or by measuring a chunk of the real problem."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from lossatlas.engine.failures import make_failure
from lossatlas.engine.footprint import Limit
from lossatlas.engine.network import Network
from lossatlas.engine.piece import PLAIN, Piece, Portion, Way
from lossatlas.engine.plan import Plan, Service
from lossatlas.engine.precisions import AUTO, PRECISIONS, check_precision
from lossatlas.engine.race import PATIENCE, ROUNDS, Outcome, race
from lossatlas.engine.strategy import STRATEGIES
from lossatlas.errors import BadInput, Caution, make_unknown_error
from lossatlas.machine import name_machine
from lossatlas.types import Batch

__all__ = [
    "LARGEST_CHUNK",
    "MEASURING_SECONDS",
    "allow_measuring",
    "check_plan",
    "plan_for",
    "tell_of_departure",
    "tell_of_slower",
]  # fmt: skip

MEASURING_SECONDS = 2.0
"""The default of the seconds that measuring a plan may take."""
MOST_SECONDS = 60.0
"""The most seconds that measuring a plan may take."""
SHARE = 0.03
"""The share of a run's time that measuring a plan may take."""
LARGEST_CHUNK = 256
SEVERAL = 8
"""The number of points on which precisions are compared for strategies that evaluate a chunk at once."""
DEPARTURE = 0.01
"""The largest difference of losses in another precision from those in fp32, as a share of the largest loss."""


def allow_measuring(budget: float | None) -> float:
    """Choose the seconds that measuring a plan may take: 2, or 3 % of a budget of at least a minute, at most 60.

    Args:
        budget: the budget of the run in seconds; None if it is given in steps.
    """
    return min(MOST_SECONDS, SHARE * budget) if budget is not None and budget >= 60 else MEASURING_SECONDS


def plan_for(
    network: Network,
    controls: Tensor,
    step_batch: Batch,
    eval_batch: Batch,
    spec: str = AUTO,
    *,
    memory: Limit,
    precision: str = "fp32",
    points: int = LARGEST_CHUNK,
    seconds: float = MEASURING_SECONDS,
    steps: bool = True,
    evaluations: int = 0,
    curvature: bool = False,
) -> Plan:
    """Choose the plan for a fit and its surveys.

    Args:
        network: what will be evaluated.
        controls: the controls of the chart, (m, n).
        step_batch: a minibatch of a step of the fit.
        eval_batch: an evaluation batch of a survey.
        spec: ``auto`` to measure every strategy for each service and choose the fastest; the name of a strategy for
            all services; or the path of a plan file.
        memory: the bytes that may be used.
        precision: the precision of evaluations and steps, fp32, bf16 or tf32; ``auto`` chooses the fastest one with
            losses within 1 % of those in fp32 at a few points. A plan file states its own, which has priority.
        points: the number of points of a step of the fit.
        seconds: about how long measuring may take.
        steps: whether a fit will make steps; if not, a lack of memory for steps is not an error.
        evaluations: the number of points times evaluation batches, as far as it is known: measuring may take 3 % of
            their time, if that is more than ``seconds``.
        curvature: whether derivatives at points will be needed, so that strategies are measured for them, too.

    Raises:
        BadInput: an unknown name, an unreadable file, a strategy that cannot serve this network, or memory for less
            than one point.
    """
    check_precision(precision)
    others = _others(network, precision)
    if (read := check_plan(spec)) is not None:
        return read
    at_precision = network.at("fp32" if precision == AUTO else precision)
    step = Piece("pullback", at_precision, controls, step_batch, min(LARGEST_CHUNK, points))
    group = Piece("evaluate", at_precision, controls, eval_batch, LARGEST_CHUNK)
    slopes = Piece("derivatives", network.at("fp32"), controls, eval_batch, LARGEST_CHUNK)
    services: dict[str, Service] = {}
    reasons = []
    for piece, expected in ((step, 0), (group, evaluations)):
        dispensable = piece is step and not steps
        try:
            tried = _raced(piece, memory, seconds / 2, expected) if spec == AUTO else _stated(piece, spec, memory)
        except BadInput:
            if not dispensable:
                raise
            tried = _Tried()
        if not tried.outcome.rounds:
            if dispensable:
                services[piece.which] = Service(PLAIN, 1, at_precision.precision)
                continue
            why = "; ".join(f"{name}: {reason}" for name, reason in tried.refused.items())
            raise BadInput(f"no strategy can evaluate this model: {why}")
        outcome, way = tried.outcome, tried.ways[tried.outcome.winner]
        if spec == AUTO:
            reasons += _told(piece, tried)
        if (limit := tried.portions[way.strategy].examples) is not None:
            reasons.append(f"{piece.which}: {limit} of {piece.examples} examples at once fit the memory")
        chosen = _in_the_best_precision(piece, way, outcome.points[way.name], precision, others, seconds / 4)
        # For strategies that evaluate points together no more than were timed, as the cost of more is unknown.
        stacks = STRATEGIES[way.strategy].stacks_points
        wanted = outcome.points[way.name] if stacks else way.portion.points
        fits = chosen.tried(way.strategy, wanted)
        if fits < wanted:
            reasons.append(f"{piece.which}: {wanted} points at once ran out of memory, {fits} do not")
        services[piece.which] = Service(way.strategy, fits, chosen.precision, way.portion.examples)
    services["derivatives"], told = _derivatives(
        slopes, services["pullback"].strategy, memory, seconds / 2 if curvature and spec == AUTO else 0.0
    )
    reasons += told
    return Plan(
        **services,
        threads=torch.get_num_threads(),
        reason="; ".join(["measured" if spec == AUTO else "stated", *reasons]),
        differentiates_inputs=network.differentiates,
        memory=_round_memory(memory),
        machine=name_machine(network.device) if spec == AUTO else "",
    )


def tell_of_departure(plan: Plan, network: Network, controls: Tensor, batch: Batch) -> None:
    """Warn if the losses of a given plan differ too much from those in fp32.

    Args:
        plan: the plan, which is followed in any case.
        network: what will be evaluated.
        controls: the controls of the chart, (m, n).
        batch: an evaluation batch.
    """
    for which, service in (("pullback", plan.pullback), ("evaluate", plan.evaluate)):
        if service.precision == "fp32":
            continue
        piece = Piece(which, network.at(service.precision), controls, batch, 1)
        _tell_departure(piece, Way(service.strategy, Portion(1, None)))


def tell_of_slower(
    plan: Plan, network: Network, controls: Tensor, step_batch: Batch | None, eval_batch: Batch, *, memory: Limit
) -> None:
    """Say if a plan that was measured on another machine is slower here than another one.

    Args:
        plan: the plan, which is followed in any case.
        network: what will be evaluated.
        controls: the controls of the chart, (m, n).
        step_batch: as for :func:`plan_for`; None if there are no steps.
        eval_batch: as for :func:`plan_for`.
        memory: the bytes that other plans may use.
    """
    here = name_machine(network.device)
    if plan.machine in ("", here):
        return
    for which, service, batch in (("pullback", plan.pullback, step_batch), ("evaluate", plan.evaluate, eval_batch)):
        if batch is None:
            continue
        piece = Piece(which, network.at(service.precision), controls, batch, LARGEST_CHUNK)
        stated = Way(service.strategy, Portion(service.points, service.examples))
        try:
            tried = _raced(piece, memory, MEASURING_SECONDS / 2, 0, stated)
        except BadInput:  # others do not fit the memory
            continue
        seconds = tried.outcome.seconds
        if stated.name not in seconds:  # it fails here, and will say so itself
            continue
        best = tried.outcome.winner
        if best != stated.name:
            _tell(
                f"{which}: the plan was measured on another machine ({plan.machine}) and is followed, though slower on "
                f"this one ({here}): {1e6 * seconds[stated.name]:,.0f} us a point, {1e6 * seconds[best]:,.0f} with "
                f"{best}, as a new run with --plan auto would have it"
            )


def _others(network: Network, precision: str) -> list[str]:
    """The precisions with which the requested one is compared.

    Raises:
        BadInput: the device does not have it.
    """
    if precision == AUTO:
        return [name for name in PRECISIONS if name != "fp32" and _has(network, name)]
    network.at(precision)
    return [] if precision == "fp32" else ["fp32"]


def _has(network: Network, precision: str) -> bool:
    try:
        network.at(precision)
    except BadInput:
        return False
    return True


def _in_the_best_precision(
    piece: Piece, way: Way, points: int, asked: str, others: Sequence[str], seconds: float
) -> Piece:
    """The service in the requested precision, or in the fastest one for ``auto``.

    A requested precision is measured, too; a message says if it is slower, or if losses differ.

    Args:
        piece: the service in the requested precision, or in fp32.
        way: how it is run.
        points: the number of points of a timed run.
        asked: the requested precision, or ``auto``.
        others: the precisions with which it is compared.
        seconds: the seconds that measuring may take.
    """
    if not others:
        return piece
    pieces = {piece.precision: piece} | {name: piece.at(name) for name in others}
    at_once = STRATEGIES[way.strategy].at_once() or SEVERAL
    runs = {name: each.contestant(way, min(points, at_once)) for name, each in pieces.items()}
    outcome = race(runs, seconds)
    if piece.precision not in outcome.rounds:
        raise BadInput(f"precision {piece.precision} cannot serve this model: {outcome.refused[piece.precision]}")
    told = ", ".join(f"{1e6 * value:,.0f} us a point in {name}" for name, value in outcome.seconds.items())
    if asked == AUTO:
        chosen = pieces[outcome.winner]
        if chosen is not piece and (gap := chosen.departure(way)) > DEPARTURE:
            _tell(
                f"{piece.which}: fp32 is taken, though slower ({told}): losses in {chosen.precision} differ by "
                f"{gap:.1%}, and {DEPARTURE:.0%} is allowed"
            )
            return piece
        return chosen
    if outcome.winner != asked:
        _tell(f"{piece.which}: {asked} does not pay on this machine: {told}; leave --precision out, or use auto")
    _tell_departure(piece, way)
    return piece


def _tell_departure(piece: Piece, way: Way) -> None:
    if (gap := piece.departure(way)) > DEPARTURE:
        _tell(f"{piece.which}: losses in {piece.precision} differ by {gap:.1%} from those in fp32")


def _tell(message: str) -> None:
    warnings.warn(message, Caution, stacklevel=2)


@dataclass(frozen=True)
class _Tried:
    """The ways to run a service, and their times."""

    portions: Mapping[str, Portion] = field(default_factory=dict)
    """The points and examples that fit the memory, by strategy."""
    ways: Mapping[str, Way] = field(default_factory=dict)
    """The ways by name, the simpler first."""
    outcome: Outcome = field(default_factory=lambda: Outcome({}, {}, {}))
    refused: Mapping[str, str] = field(default_factory=dict)
    """Why strategies or ways failed, or were not tried."""


def _raced(piece: Piece, memory: Limit, seconds: float, expected: int, stated: Way | None = None) -> _Tried:
    """Measure the ways to run a service; probing memory does not count.

    Args:
        piece: the service.
        memory: the bytes that may be used.
        seconds: the seconds that the race may take.
        expected: the number of points times batches that will be evaluated; the race may take 3 % of their time.
        stated: a given way, with which others are compared.

    Raises:
        BadInput: the memory does not suffice for one point, or the model fails.
    """
    plain, refused = piece.portions([PLAIN], memory)
    if not plain:
        return _Tried(refused=refused)
    try:
        pace = piece.pace(plain[PLAIN])
    except Exception as error:  # the user's own module may fail in any way
        raise make_failure(error, "the model fails on a batch of these data") from error
    seconds = max(seconds, min(MOST_SECONDS, SHARE * expected * pace.whole))
    # So that each way has a run to warm up and ROUNDS rounds before the time is over.
    a_run = PATIENCE * seconds / len(STRATEGIES) / (ROUNDS + 1)
    names, left_out = piece.worth_trying(list(STRATEGIES), pace, a_run)
    portions, refused = piece.portions(names, memory)
    ways = {way.name: way for way in piece.ways(portions, pace, a_run)}
    contestants = {name: piece.contestant(way) for name, way in ways.items()}
    if stated is not None:  # with its own number of points, which others of its name need not have
        contestants = {stated.name: piece.contestant(stated, stated.portion.points)} | {
            name: each for name, each in contestants.items() if name != stated.name
        }
    outcome = race(contestants, seconds)
    return _Tried(portions, ways, outcome, left_out | refused | outcome.refused)


def _stated(piece: Piece, name: str, memory: Limit) -> _Tried:
    """The requested strategy.

    Raises:
        BadInput: the memory does not suffice for one point.
    """
    portions, refused = piece.portions([name], memory)
    ways = {way.name: way for way in (Way(name, portion) for name, portion in portions.items())}
    points = {name: way.portion.points for name, way in ways.items()}
    return _Tried(portions, ways, Outcome({key: [0.0] for key in ways}, {}, points), refused)


def _round_memory(memory: Limit) -> int:
    """The bytes that a plan records: what was stated, or the power of two below a share of what happens to be free."""
    return memory.usual if memory.usual == memory.most else 1 << (memory.usual.bit_length() - 1)


def _derivatives(slopes: Piece, pulled: str, memory: Limit, seconds: float) -> tuple[Service, list[str]]:
    """The service of derivatives, and the outcome of its race in words.

    It is raced only if there is time for that; otherwise the strategy of steps serves it. Second derivatives that do
    not fit the memory are left to the plain loop.
    """
    try:
        if seconds:
            tried = _raced(slopes, memory, seconds, 0)
            if tried.outcome.rounds:
                way = tried.ways[tried.outcome.winner]
                return _make_service(slopes, way.strategy, way.portion), _told(slopes, tried)
        portions, _ = slopes.portions([pulled, PLAIN], memory)
    except BadInput:  # they may never be requested
        portions = {}
    name = pulled if pulled in portions else PLAIN
    if name not in portions:
        return Service(name, 1), []
    return _make_service(slopes, name, portions[name]), []


def _make_service(slopes: Piece, strategy: str, portion: Portion) -> Service:
    """The service of derivatives by a strategy, with what an example takes where graphs are kept."""
    kept = slopes.bytes_of_example(strategy)
    return Service(strategy, portion.points, examples=portion.examples, example_bytes=kept)


def check_plan(spec: str) -> Plan | None:
    """Read the plan file, if ``spec`` names one; check the name of a strategy.

    Raises:
        BadInput: the name is unknown, or the file cannot be read.
    """
    if spec.endswith(".json"):
        return Plan.read(Path(spec))
    if spec != AUTO and spec not in STRATEGIES:
        raise make_unknown_error("plan", spec, [AUTO, *STRATEGIES, "FILE.json"])
    return None


def _told(piece: Piece, tried: _Tried) -> list[str]:
    """The outcome of a race, in words."""
    ranked = sorted(tried.outcome.seconds.items(), key=lambda entry: entry[1])
    told = [f"{piece.which}: " + ", ".join(f"{name} {1e6 * value:.0f} us/point" for name, value in ranked)]
    told += [f"{piece.which} without {name}: {why}" for name, why in tried.refused.items()]
    if piece.raced < piece.examples:
        told.append(f"{piece.which} measured on {piece.raced} of {piece.examples} examples")
    return told
