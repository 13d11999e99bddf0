"""Making an engine for a problem and a chart, with checks on the data and a plan."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

import torch
from torch import Tensor, nn

from lossatlas.charts import Chart
from lossatlas.data import Split, count_examples
from lossatlas.engine.buffers_policy import BuffersPolicy
from lossatlas.engine.checking import check_network
from lossatlas.engine.contracts import Metric, StreamingMetric
from lossatlas.engine.engine import Engine
from lossatlas.engine.grouping import warn_of_groups
from lossatlas.engine.memory import find_memory_limits
from lossatlas.engine.network import Network
from lossatlas.engine.piece import Piece
from lossatlas.engine.plan import Plan
from lossatlas.engine.planning import LARGEST_CHUNK, MEASURING_SECONDS, plan_for, tell_of_departure, tell_of_slower
from lossatlas.engine.usual import choose_policy
from lossatlas.errors import BadInput, format_error
from lossatlas.problem import Problem
from lossatlas.types import Batch, Source
from lossatlas.weights import WeightSpace

__all__ = ["BATCH", "EVAL_BATCH_SIZE", "choose_batch_size", "engine_for", "find_device"]

BATCH = 32
"""The default number of examples per step of a fit."""
EVAL_BATCH_SIZE = 500
"""The default evaluation batch size of a survey."""


def engine_for(
    problem: Problem,
    chart: Chart,
    split: Split | Source,
    *,
    space: WeightSpace | None = None,
    buffers: BuffersPolicy | None = None,
    plan: str | Plan = "auto",
    precision: str = "fp32",
    batch_size: int | None = None,
    eval_batch_size: int = EVAL_BATCH_SIZE,
    points: int = LARGEST_CHUNK,
    memory: str = "auto",
    measuring: float = MEASURING_SECONDS,
    steps: bool = True,
    evaluations: int = 0,
    metrics: Mapping[str, Metric] | None = None,
) -> Engine:
    """Make an engine on the device of a chart.

    Args:
        problem: what is evaluated.
        chart: where it is evaluated; its dimension is that of the space.
        split: examples of the kind that will be evaluated, in any form that :meth:`Split.of` takes.
        space: the parameters that the chart spans; default all.
        buffers: which statistics normalisation layers use. By default those of the network around one network, those
            re-estimated from ``split`` between networks, those of the fit on a fitted chart, and those of the batch
            through random weights.
        plan: a :class:`Plan`, ``auto``, the name of a strategy, or a plan file.
        precision: the precision of evaluations and steps, unless a plan states its own: fp32, bf16, tf32, or auto,
            which is measured.
        batch_size: the number of examples per step of a fit; default that of the split, else 32.
        eval_batch_size: how many examples a survey evaluates together.
        points: the largest number of points of a step.
        memory: the bytes that a chunk of points may take, such as 2GiB; auto is a quarter of the free memory.
        measuring: the seconds that measuring an automatic plan may take.
        steps: whether a fit will make steps; a survey does not need their memory.
        evaluations: the number of points times evaluation batches, as far as it is known: measuring an automatic plan
            may take 3 % of their time.
        metrics: metrics that will be evaluated: streaming ones are tried on a few examples, and for others strategies
            are measured on derivatives, too.

    Raises:
        BadInput: module, loss, metrics and data do not fit each other, the chart has another dimension, or the plan is
            not possible.
    """
    space = space if space is not None else WeightSpace(problem.module)
    if chart.dimension != space.size:
        raise BadInput(f"the chart lies in R^{chart.dimension}, the module's weight space is R^{space.size}")
    controls = chart.lay_controls().detach()
    split = Split.of(split).to(controls.device)
    buffers = buffers if buffers is not None else choose_policy(chart, problem.module, split, eval_batch_size)
    network = Network(problem, space, buffers, chart, controls.device)
    check_network(network, split)
    derives = not all(isinstance(metric, StreamingMetric) for metric in (metrics or {}).values())
    warn_of_groups(network, split, eval_batch_size, derives=derives)
    stated = isinstance(plan, Plan) or plan.endswith(".json")
    step_batch = split.take(torch.arange(min(choose_batch_size(batch_size, split), len(split))))
    eval_batch = next(split.eval_batches(eval_batch_size))
    limit = find_memory_limits(memory, network.device)
    if isinstance(plan, str):
        plan = plan_for(
            network, controls, step_batch, eval_batch, plan, memory=limit, precision=precision, points=points,
            seconds=measuring, steps=steps, evaluations=evaluations,
            curvature=derives,
        )  # fmt: skip
    engine = Engine(network, plan)
    if metrics:
        engine.shapes(split, metrics)
    if stated:  # it was not measured
        _check_stated(engine, controls, eval_batch)
        tell_of_departure(plan, network, controls, eval_batch)
        tell_of_slower(plan, network, controls, step_batch if steps else None, eval_batch, memory=limit)
    return engine


def _check_stated(engine: Engine, controls: Tensor, batch: Batch) -> None:
    """Refuse a given plan that cannot be followed, or would give other results here.

    Raises:
        BadInput: its strategy fails or differs from the loop, or it cuts batches that have to be evaluated whole.
    """
    plan, network = engine.plan, engine.network
    differentiating = {plan.pullback.strategy, plan.derivatives.strategy} if network.has_gradient else set()
    for which, verb, names in (
        ("evaluate", "evaluate", {plan.evaluate.strategy}),
        ("pullback", "differentiate", differentiating),
    ):
        piece = Piece(which, network, controls, batch, 1)
        for name in sorted(names):
            try:
                piece.compare_with_plain(name)
            except BadInput:
                raise
            except Exception as error:  # the user's own module may fail in any way
                raise BadInput(
                    f"strategy {name!r} of the plan cannot {verb} this model: {format_error(error)}; use --plan auto"
                ) from error
    parts = [each.examples for each in (plan.evaluate, plan.derivatives) if each.examples is not None]
    if parts and min(parts) < count_examples(batch) and not Piece("evaluate", network, controls, batch, 1).can_cut:
        raise BadInput(
            f"the plan evaluates {min(parts)} examples at a time, and those of a batch ({count_examples(batch)}) "
            "have to be evaluated together; use --plan auto"
        )


def choose_batch_size(batch_size: int | None, split: Split, otherwise: int = BATCH) -> int:
    """Choose the number of examples per step: the given one, else that of the split's loader, else ``otherwise``."""
    return batch_size if batch_size is not None else split.batch_size or otherwise


def find_device(module: nn.Module) -> torch.device:
    """Find the device of a chart or a network."""
    held = next(chain(module.parameters(), module.buffers()), None)
    return held.device if held is not None else torch.device("cpu")
