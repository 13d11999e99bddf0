"""An engine for a problem and a chart, checked on the data and planned."""

from __future__ import annotations

import torch

from lossatlas.charts import CoefficientChart
from lossatlas.data import Split
from lossatlas.engine.buffers_policy import BuffersPolicy
from lossatlas.engine.engine import Engine
from lossatlas.engine.memory import memory_limit
from lossatlas.engine.network import Network
from lossatlas.engine.plan import Plan
from lossatlas.engine.planning import LARGEST_CHUNK, MEASURING_SECONDS, plan_for
from lossatlas.engine.usual import usual_policy
from lossatlas.errors import BadInput
from lossatlas.problem import Problem
from lossatlas.weights import WeightSpace

__all__ = ["BATCH", "GROUP", "engine_for"]

BATCH = 32
"""Examples per step of a fit, by default."""
GROUP = 500
"""Examples per group of a survey, by default."""


def engine_for(
    problem: Problem,
    chart: CoefficientChart,
    split: Split,
    *,
    space: WeightSpace | None = None,
    buffers: BuffersPolicy | None = None,
    plan: str | Plan = "auto",
    precision: str = "fp32",
    batch_size: int = BATCH,
    group: int = GROUP,
    points: int = LARGEST_CHUNK,
    memory: str = "auto",
    measuring: float = MEASURING_SECONDS,
) -> Engine:
    """The engine on the chart's device.

    Args:
        problem: what is evaluated.
        chart: where; its dimension is that of the space.
        split: examples of the kind that will be evaluated, on the chart's device.
        space: which parameters the chart spans; default all.
        buffers: what running statistics mean; default what is usual where the chart lies: the network's own around
            one, between networks such as are estimated anew from ``split``, on a fitted chart what the fit used, and
            the batch's own through random weights.
        plan: a :class:`Plan`, ``auto``, a strategy's name or a plan file.
        precision: of evaluations and steps, unless a plan states its own: fp32, bf16 or tf32.
        batch_size: examples per step of a fit.
        group: examples per group of a survey.
        points: how many points a step has at most.
        memory: bytes that a chunk of points may take, such as 2GiB; auto is a quarter of what is free.
        measuring: seconds that an automatic plan may be measured for.

    Raises:
        BadInput: module, loss and data do not fit together, the chart has another dimension, or the plan cannot be.
    """
    space = space if space is not None else WeightSpace(problem.module)
    buffers = buffers if buffers is not None else usual_policy(chart, problem.module, split, group)
    if chart.dimension != space.size:
        raise BadInput(f"the chart lies in R^{chart.dimension}, the module's weight space is R^{space.size}")
    controls = chart.controls().detach()
    network = Network(problem, space, buffers, chart, controls.device)
    network.check(split)
    stated = isinstance(plan, Plan) or plan.endswith(".json")
    if isinstance(plan, str):
        step_batch = split.take(torch.arange(min(batch_size, len(split))))
        group_batch = next(split.groups(group))
        limit = memory_limit(memory, network.device)
        plan = plan_for(
            network, controls, step_batch, group_batch, plan, memory=limit, precision=precision, points=points,
            seconds=measuring,
        )  # fmt: skip
    engine = Engine(network, plan)
    if stated:  # nobody has measured it
        engine.try_out(controls, split)
    return engine
