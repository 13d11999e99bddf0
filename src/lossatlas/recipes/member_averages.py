"""What averages of a training do not say: the rest of its last network, and statistics."""

from __future__ import annotations

from pathlib import Path

from lossatlas.engine.buffers_policy import find_normalisation_layers
from lossatlas.recipes.averages import place_end
from lossatlas.recipes.base import AUTO
from lossatlas.recipes.networks import copy_state, keep_module
from lossatlas.recipes.problem import ProblemRecipe
from lossatlas.types import Params

__all__ = ["describe_statistics", "load_last"]


def load_last(place: str, base: ProblemRecipe) -> Params:
    """Load the network at the end of a training, which has what its average does not say.

    Args:
        place: the path of a run, or of the folder of a trajectory or of averages; the latter has none, and serves where
            averages say all.
        base: the problem; its module keeps its weights.

    Raises:
        BadInput: it does not fit the module, or there is none and it is needed.
    """
    with keep_module(base.problem.module):
        place_end(Path(place), base)
        return copy_state(base.problem.module)


def describe_statistics(base: ProblemRecipe, buffers: str) -> tuple[str, ...]:
    """Say that running statistics of samples are not known, and what they have in their place.

    Args:
        base: the problem.
        buffers: the policy that is stated; auto re-estimates them.
    """
    found = {
        AUTO: "they are re-estimated at each on examples of the train split",
        "reestimated": "they are re-estimated at each on examples of the train split",
        "batch": "each is normalised by the statistics of the batch that is evaluated",
    }
    if buffers not in found or not find_normalisation_layers(base.problem.module):
        return ()  # other policies are refused where there are statistics
    return (f"running statistics of samples are not known: {found[buffers]}",)
