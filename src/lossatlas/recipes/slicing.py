"""Slices around a network, as a configuration asks for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from lossatlas.charts import CoefficientChart, Slice
from lossatlas.directions import NORMALISATIONS, Around, direction, slice_along
from lossatlas.engine.memory import memory_limit
from lossatlas.errors import BadInput
from lossatlas.files.reading import resolved
from lossatlas.recipes.base import stated
from lossatlas.recipes.room import check_memory
from lossatlas.recipes.site import Network
from lossatlas.recipes.survey_config import SurveyConfig
from lossatlas.training.start import starting_state
from lossatlas.training.weight_trajectory import WeightTrajectory
from lossatlas.weights import WeightSpace
from lossatlas.weights.loading import check_finite_values

__all__ = ["around_of", "check_finite", "named", "notes_of", "one_thread", "sliced", "tails"]


def around_of(
    config: SurveyConfig, space: WeightSpace, origin: Tensor, trajectory: WeightTrajectory | None = None
) -> Around:
    """What a slice lies around."""
    return Around(
        space,
        origin,
        NORMALISATIONS[config.normalize](),
        config.ignore == "biasbn",
        trajectory,
        config.direction_seed,
        memory_limit(config.memory, torch.device("cpu")),
    )


def sliced(config: SurveyConfig, around: Around) -> tuple[CoefficientChart, dict[str, str], list[Network]]:
    """The chart around a network, what its axes are called, and the networks that lie on these.

    Raises:
        BadInput: a direction cannot be had, or several repeats are asked for of directions that are not random.
    """
    # Each is there by itself, and in the chart.
    repeats = stated(config.repeats)
    size = 2 * repeats * len(config.kinds) * around.origin.numel() * around.origin.element_size()
    check_memory(f"repeats is {repeats:,}", size, "their directions")
    chart, labels = slice_along(config.kinds, around, config.orthogonal, repeats)
    kinds = [direction(spec) for spec in config.kinds]
    first = chart.directions if isinstance(chart, Slice) else chart.directions[0]
    ends = []
    if not config.orthogonal:
        for axis, kind in enumerate(kinds):
            if kind.end is not None:
                coords = tuple(float(other == axis) for other in range(len(kinds)))
                ends.append(Network(kind.end, coords, around.origin + first[axis]))
    return chart, labels, ends


def notes_of(config: SurveyConfig, around: Around) -> tuple[str, ...]:
    """What there is to say of files of directions, and what a normalisation holds for the network has nothing there."""
    return (*dict.fromkeys(around.notes), *_zero_filters(config, around))


def _zero_filters(config: SurveyConfig, around: Around) -> tuple[str, ...]:
    if config.normalize not in ("filter", "layer") or "random" not in config.kinds:
        return ()
    norms = around.space.filter_norms(around.origin)
    zeros = {entry.name: int((norms[entry.name] == 0).sum()) for entry in around.space.entries if len(entry.shape) > 1}
    return tuple(
        f"{count} of {len(norms[name])} filters of {name!r} are zero: normalised random directions leave them so"
        for name, count in zeros.items()
        if count
    )


def check_finite(module: nn.Module, source: str) -> None:
    """Refuse a network whose loss is nowhere a number.

    Raises:
        BadInput: a parameter is not finite; the first one is named.
    """
    for name, parameter in module.named_parameters():
        check_finite_values(name, parameter, source)


def named(specs: Sequence[str]) -> dict[str, Mapping[str, Tensor]]:
    """The states of several networks by short names: the ends of their paths, as long as it takes to tell them apart.

    Raises:
        BadInput: one cannot be read, or stands there twice.
    """
    places = [str(resolved(spec)) for spec in specs]
    twice = [spec for spec, place in zip(specs, places, strict=True) if places.count(place) > 1]
    if twice:
        raise BadInput(f"{twice[0]} is named twice; name networks that differ")
    names = tails(specs)
    return {name: starting_state(spec) for name, spec in zip(names, specs, strict=True)}


def tails(paths: Sequence[str]) -> list[str]:
    """Short names of paths that differ: their ends, as long as it takes to tell them apart.

    >>> tails(["runs/a/last", "runs/b/last"])
    ['a/last', 'b/last']
    """
    parts = [Path(path).parts for path in paths]
    length = next(
        (k for k in range(1, max(map(len, parts)) + 1) if len({part[-k:] for part in parts}) == len(parts)), 1
    )
    return [str(Path(*part[-length:])) for part in parts]


@contextmanager
def one_thread() -> Iterator[None]:
    """While entered, sums are formed in one order: a grid must not depend on how many threads a machine has."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(before)
