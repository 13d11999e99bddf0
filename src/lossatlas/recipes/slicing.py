"""Slices around a network, from a configuration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from lossatlas.charts import Chart, RepeatedSlice, Slice
from lossatlas.directions import NORMALISATIONS, Around, Centre, make_direction, slice_along
from lossatlas.engine.buffers_policy import find_normalisation_layers
from lossatlas.engine.memory import find_memory_limit
from lossatlas.errors import BadInput
from lossatlas.recipes.base import require
from lossatlas.recipes.metrics import make_curvature_settings
from lossatlas.recipes.problem import ProblemRecipe
from lossatlas.recipes.room import check_memory
from lossatlas.recipes.site import Network
from lossatlas.recipes.survey_config import SurveyConfig
from lossatlas.training.weight_trajectory import WeightTrajectory

__all__ = ["has_derived_directions", "list_notes", "make_around", "make_slice", "use_one_thread"]

BATCH = "batch"
"""The buffers policy under which normalisation is by the batch."""


def has_derived_directions(config: SurveyConfig) -> bool:
    """Return whether a survey has directions that are computed from derivatives at the centre of its slice."""
    return bool(config.checkpoint or config.trajectory) and any(
        make_direction(kind).is_derived for kind in config.kinds
    )


def make_around(
    config: SurveyConfig, base: ProblemRecipe, origin: Tensor, trajectory: WeightTrajectory | None = None
) -> Around:
    """Make the centre of a slice from a configuration; the network at the centre is in the problem's module.

    Raises:
        BadInput: directions are computed from derivatives, and the loss is one under statistics of the batch.
    """
    centre = None
    if has_derived_directions(config):
        if config.buffers == BATCH and find_normalisation_layers(base.problem.module):
            raise BadInput(
                "buffers is batch, under which a loss belongs to a group of examples, and eigenvectors and gradients "
                "are of the loss under the network's own statistics; choose --buffers frozen, or other directions"
            )
        split = config.splits[0]
        centre = Centre(
            base.problem,
            base.space,
            base.take_examples(config.examples, [split])[split],
            make_curvature_settings(config),
            config.eval_batch_size,
            config.memory,
        )
    return Around(
        base.space,
        origin,
        NORMALISATIONS[config.normalize](),
        config.ignore == "biasbn",
        trajectory,
        config.direction_seed,
        find_memory_limit(config.memory, torch.device("cpu")),
        centre=centre,
    )


def make_slice(
    config: SurveyConfig, around: Around, held: Chart | None = None
) -> tuple[Slice | RepeatedSlice, list[Network]]:
    """The chart around a network, and the networks that lie on its axes.

    Args:
        config: the configuration.
        around: the centre.
        held: the chart of the run that is resumed, which is taken as it is.

    Raises:
        BadInput: a direction cannot be computed, or repeats are asked for and no direction is random.
    """
    # Each direction is in memory by itself and in the chart.
    repeats = require(config.repeats)
    size = 2 * repeats * len(config.kinds) * around.origin.numel() * around.origin.element_size()
    check_memory(f"repeats is {repeats:,}", size, "their directions")
    if isinstance(held, Slice | RepeatedSlice):
        chart = held
    else:
        chart = slice_along(config.kinds, around, config.orthogonal, repeats)
    kinds = [make_direction(spec) for spec in config.kinds]
    first = chart.directions if isinstance(chart, Slice) else chart.directions[0]
    ends = []
    if not config.orthogonal:
        for axis, kind in enumerate(kinds):
            if kind.end is not None:
                coords = tuple(float(other == axis) for other in range(len(kinds)))
                ends.append(Network(kind.end, coords, around.origin + first[axis]))
    return chart, ends


def list_notes(config: SurveyConfig, around: Around) -> tuple[str, ...]:
    """List notes on the files of directions, and on filters of length zero."""
    return (*dict.fromkeys(around.notes), *_zero_filters(config, around))


def _zero_filters(config: SurveyConfig, around: Around) -> tuple[str, ...]:
    if config.normalize not in ("filter", "layer") or "random" not in config.kinds:
        return ()
    norms = around.space.filter_norms(around.origin)
    zeros = {entry.name: int((norms[entry.name] == 0).sum()) for entry in around.space.entries if len(entry.shape) > 1}
    return tuple(
        f"{count} of {len(norms[name])} filters of {name!r} are zero, and so are normalised random directions there"
        for name, count in zeros.items()
        if count
    )


@contextmanager
def use_one_thread() -> Iterator[None]:
    """Use one thread within the context, so that sums, and thus a grid, do not depend on the number of threads."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(before)
