"""Averages of the weights of a training as networks: with statistics of their own, wherever networks are named."""

from __future__ import annotations

from collections.abc import Callable

import torch

from lossatlas.charts import Plane
from lossatlas.engine import EVAL_BATCH_SIZE
from lossatlas.engine.buffers.reestimated import ReestimatedStatistics
from lossatlas.engine.buffers_policy import find_normalisation_layers
from lossatlas.engine.network import Network
from lossatlas.errors import BadInput
from lossatlas.recipes.averages import place_end
from lossatlas.recipes.member_kind import MEMBER_KINDS, AverageKind
from lossatlas.recipes.problem import ProblemRecipe
from lossatlas.recipes.slicing import use_one_thread
from lossatlas.specs import NetworkSpec
from lossatlas.types import Params

__all__ = ["place_average"]


def place_average(named: NetworkSpec, base: ProblemRecipe) -> tuple[str, ...]:
    """Load an average of the weights of a training into the module of a problem, in place.

    It is formed in float64 and rounded once, to the dtype of the module. Parameters that are held and buffers are those
    of the training's end, but running statistics, which fit no average, are re-estimated on the train split as the mean
    of the statistics of a few batches (Izmailov et al. 2018, arXiv 1803.05407, section 3.2).

    Args:
        named: the run, and the kind of average with its argument.
        base: the problem.

    Returns:
        Notes that name what is averaged, and what statistics are estimated from.

    Raises:
        BadInput: the kind is unknown, the training has no such average, or it does not fit the module.
    """
    kind = _find_kind(named)
    argument = named.average.partition(":")[2]
    weights, note = kind.average(str(named.path), argument, base)
    notes = place_end(named.path, base)
    parameters = dict(base.problem.module.named_parameters())
    with torch.no_grad():
        for name, value in base.space.unflatten(weights).items():
            parameters[name].copy_(value)
    return (*notes, note, *_reestimate(base, f"{named.path}@{named.average}"))


def _find_kind(named: NetworkSpec) -> AverageKind:
    """Find the kind of an average by its name.

    Raises:
        BadInput: there is no such kind, or it takes several networks.
    """
    name = named.average.partition(":")[0]
    kind = MEMBER_KINDS[name] if name in MEMBER_KINDS.names() else None
    if isinstance(kind, AverageKind):
        return kind
    averages = " or ".join(f"@{each}" for each in MEMBER_KINDS.names() if isinstance(MEMBER_KINDS[each], AverageKind))
    what = "names several networks" if kind is not None else "does not name a network"
    raise BadInput(
        f"{named.path}@{named.average} {what}; expected one: a run, a file, a snapshot such as RUN@100, or an average, "
        f"RUN{averages}"
    )


def _reestimate(base: ProblemRecipe, name: str) -> tuple[str, ...]:
    """Estimate the running statistics of the network in the module, in place; returns a note that says so."""
    module = base.problem.module
    if not find_normalisation_layers(module):
        return ()
    weights = base.space.vector_of(module)[None].to(base.device)
    policy = ReestimatedStatistics(base.train, size=EVAL_BATCH_SIZE)
    chart = Plane(weights[0], torch.eye(1, weights.shape[1]).to(weights), train_origin=False)  # which is not looked at
    network = Network(base.problem, base.space, policy, chart, base.device)
    with use_one_thread():  # runs recognise their networks bit for bit
        found = network.with_buffers(_at_one, base.space.unflatten(weights), weights.new_ones(1, 1))
    buffers = dict(module.named_buffers())
    with torch.no_grad():
        for buffer in buffers.keys() & found.keys():
            buffers[buffer].copy_(found[buffer][0])
    return (f"running statistics of {name} are its own, re-estimated on {policy.passes:,} examples of the train split",)


def _at_one(function: Callable[[Params], Params], params: Params) -> Params:
    """Apply a function at a single point."""
    found = function({name: value[0] for name, value in params.items()})
    return {name: value[None] for name, value in found.items()}
