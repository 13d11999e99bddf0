"""Slices around a network along directions by name."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from lossatlas.charts import RepeatedSlice, Slice
from lossatlas.directions.direction import Around, make_direction, make_directions, orthogonalise
from lossatlas.directions.normalisations import NORMALISATIONS
from lossatlas.errors import BadInput
from lossatlas.weights import WeightSpace

__all__ = ["slice_along", "slice_around"]

DEPENDENT = 1e-10
"""Squared: a direction of which less than this share lies outside the others' span lies in it."""


def slice_around(
    module: nn.Module,
    kinds: Sequence[str] = ("random", "random"),
    *,
    normalize: str = "filter",
    without_vectors: bool = True,
    orthogonal: bool = False,
    repeats: int = 1,
    seed: int = 0,
    space: WeightSpace | None = None,
) -> Slice | RepeatedSlice:
    """The chart around a network along directions, one per axis (Li et al. 2018, arXiv 1712.09913).

    Random directions are filter-normalised and hold parameters of one dimension, as in their section 4, unless
    something else is asked for; those that are drawn as they are have ``normalize="none", without_vectors=False``.

    Args:
        module: the network in the centre; read, never changed.
        kinds: what each axis points along, as on the command line: ``random``, ``towards:CHECKPOINT``, ``file:PATH``.
        normalize: the scale of random directions: ``none``, ``filter``, ``layer`` or ``weight``.
        without_vectors: random directions hold parameters of one dimension (``--ignore biasbn``): biases, and scales
            and shifts of normalisations.
        orthogonal: make each direction orthogonal to those before it.
        repeats: of the random directions; more than one lie along a further dimension ``repeat``.
        seed: of the first repeat; the others follow.
        space: which parameters vary; default all.

    Warns:
        UserWarning: a file that a direction is made of holds several networks that fit; says which one was taken.

    Raises:
        BadInput: a direction or a normalisation that there is not, repeats of directions that are not random, or random
            directions that are zero, because all that varies has one dimension or all filters are zero.
    """
    space = space if space is not None else WeightSpace(module)
    origin = space.vector_of(module)
    around = Around(space, origin.cpu(), NORMALISATIONS[normalize](), without_vectors, seed=seed)
    chart = slice_along(kinds, around, orthogonal, repeats)
    for note in dict.fromkeys(around.notes):
        warnings.warn(note, stacklevel=2)
    moved = chart.to(origin.device)
    assert isinstance(moved, Slice | RepeatedSlice)
    return moved


def slice_along(kinds: Sequence[str], around: Around, orthogonal: bool, repeats: int) -> Slice | RepeatedSlice:
    """The chart along directions around something, its axes labelled after them.

    Raises:
        BadInput: as :func:`slice_around`.
    """
    if repeats > 1 and not any(make_direction(kind).drawn for kind in kinds):
        raise BadInput(f"{repeats} repeats are asked for and no direction is random; leave out the repeats")
    found = []
    for repeat in range(repeats):
        vectors, names = make_directions(kinds, replace(around, seed=around.seed + repeat))
        found.append(orthogonalise(vectors) if orthogonal else vectors)
    for vectors in found:
        units = vectors.double() / vectors.double().norm(dim=1, keepdim=True)
        if not (torch.linalg.eigvalsh(units @ units.T) > DEPENDENT).all():
            raise BadInput(f"the directions {', '.join(kinds)} lie along one line, or in one plane; choose others")
    chart = Slice(around.origin, found[0]) if repeats == 1 else RepeatedSlice(around.origin, torch.stack(found))
    chart.axis_labels = dict(zip(chart.axes, names, strict=False))
    return chart
