"""Slices around a network along named directions."""

from __future__ import annotations

import reprlib
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from lossatlas.bounds import check_arguments
from lossatlas.charts import RepeatedSlice, Slice
from lossatlas.curvatures import CurvatureSettings
from lossatlas.data import Split
from lossatlas.directions.centre import Centre
from lossatlas.directions.direction import Around, make_direction, make_directions, orthogonalise
from lossatlas.directions.normalisations import NORMALISATIONS
from lossatlas.engine.setup import find_device
from lossatlas.errors import BadInput
from lossatlas.problem import Problem
from lossatlas.types import Source
from lossatlas.weights import WeightSpace

__all__ = ["slice_along", "slice_around"]

DEPENDENT = 1e-10
"""The smallest eigenvalue of the unit directions' Gram matrix below which they count as linearly dependent."""

UNCHANGED = 1e-3
"""The share of its length by which a direction may change and still counts as what it was: its curvature changes by the
square of it."""


@check_arguments
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
    problem: Problem | None = None,
    split: Split | Source | None = None,
    curvature: CurvatureSettings | None = None,
) -> Slice | RepeatedSlice:
    """Make a chart around a network, with one direction per axis (Li et al. 2018, arXiv 1712.09913).

    By default random directions are filter-normalised and zero in parameters of one dimension, as in section 4 there;
    ``normalize="none", without_vectors=False`` leaves them as they were sampled.

    Args:
        module: the network at the centre; it is not changed.
        kinds: the direction of each axis, as on the command line: ``random``, ``towards:CHECKPOINT``, ``file:PATH``,
            ``gradient``, ``eigenvector`` or ``eigenvector:smallest``.
        normalize: the normalisation of random directions: ``none``, ``filter``, ``layer`` or ``weight``.
        without_vectors: set random directions to zero in parameters of one dimension: biases, and scales and shifts of
            normalisation layers (``--ignore biasbn``).
        orthogonal: make each direction orthogonal to those before it, and keep its length.
        repeats: number of independent sets of random directions; more than one add the dimension ``repeat``.
        seed: the seed of the first repeat; repeat k has the seed plus k.
        space: the parameters that vary; default all.
        problem: the loss of the module, which gradients and eigenvectors are those of.
        split: the examples over which that loss is averaged.
        curvature: in which parameters eigenvectors are taken, and how exactly.

    Returns:
        A chart with the network at coordinate 0; one unit along an axis is one length of its direction.

    Warns:
        UserWarning: a file that a direction is read from holds several networks that fit; it says which one was taken.
            An eigenvector is not found to the tolerance.

    Raises:
        BadInput: a direction or a normalisation is unknown, repeats are asked for and none of the directions is
            random, random directions are zero because all varying parameters have one dimension or all filters are
            zero, or the problem and the split of a gradient or an eigenvector are missing.

    >>> import torch, lossatlas as la
    >>> module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    >>> chart = la.slice_around(module, seed=1)
    >>> centre = chart.points(torch.zeros(1, 2))[0]
    >>> chart.axes, torch.equal(centre, la.WeightSpace(module).vector_of(module))
    (('u', 'v'), True)
    """
    if isinstance(kinds, str) or not all(isinstance(kind, str) for kind in kinds):
        raise BadInput(f"the directions are {kinds!r}; expected a name for each axis, such as ('random', 'gradient')")
    space = space if space is not None else WeightSpace(module)
    origin = space.vector_of(module)
    centre = _find_centre(module, space, problem, split, curvature)
    around = Around(space, origin.cpu(), NORMALISATIONS[normalize](), without_vectors, seed=seed, centre=centre)
    chart = slice_along(kinds, around, orthogonal, repeats)
    for note in dict.fromkeys(around.notes):
        warnings.warn(note, stacklevel=3)  # the function is wrapped
    moved = chart.to(origin.device)
    assert isinstance(moved, Slice | RepeatedSlice)
    return moved


def _find_centre(
    module: nn.Module,
    space: WeightSpace,
    problem: Problem | None,
    split: Split | Source | None,
    curvature: CurvatureSettings | None,
) -> Centre | None:
    """The derivatives at the module; None where its loss is not known.

    Raises:
        BadInput: one of problem and split is missing, or the problem is that of another module.
    """
    if problem is None and split is None:
        return None
    if problem is None or split is None:
        lacking = "problem" if problem is None else "split"
        raise BadInput(f"{lacking} is missing; expected problem= and split= together, or neither")
    if not isinstance(problem, Problem):
        raise BadInput(f"problem is {reprlib.repr(problem)}; expected la.Problem(module, loss)")
    if not isinstance(curvature, CurvatureSettings | None):
        raise BadInput(f"curvature is {reprlib.repr(curvature)}; expected la.CurvatureSettings(...), or None")
    if problem.module is not module:
        raise BadInput("the problem is that of another module; give la.Problem of the module at the centre")
    examples = Split.of(split).to(find_device(module))
    return Centre(problem, space, examples, curvature)


def slice_along(kinds: Sequence[str], around: Around, orthogonal: bool, repeats: int) -> Slice | RepeatedSlice:
    """The chart along directions around something, its axes labelled after them.

    Raises:
        BadInput: see :func:`slice_around`.
    """
    if repeats > 1 and not any(make_direction(kind).is_random for kind in kinds):
        raise BadInput(
            f"{repeats} repeats need random directions, and {', '.join(kinds)} are not; leave out the repeats"
        )
    found = []
    for repeat in range(repeats):
        vectors, names = make_directions(kinds, replace(around, seed=around.seed + repeat))
        if orthogonal:
            plain, vectors = vectors, orthogonalise(vectors)
            names = _tell_changes(kinds, names, plain, vectors)
        found.append(vectors)
    for vectors in found:
        units = vectors.double() / vectors.double().norm(dim=1, keepdim=True)
        if not (torch.linalg.eigvalsh(units @ units.T) > DEPENDENT).all():
            raise BadInput(f"the directions {', '.join(kinds)} are linearly dependent; choose others")
    chart = Slice(around.origin, found[0]) if repeats == 1 else RepeatedSlice(around.origin, torch.stack(found))
    chart.axis_labels = dict(zip(chart.axes, names, strict=False))
    if any(make_direction(kind).is_random for kind in kinds):
        chart.random_directions = _record_random(around, repeats)
    return chart


def _tell_changes(kinds: Sequence[str], labels: Sequence[str], before: Tensor, after: Tensor) -> list[str]:
    """The labels of axes whose directions (d, n) were made orthogonal: what they say need not hold of them any more.

    Random directions stay random.
    """
    changes = (after.double() - before.double()).norm(dim=1) / before.double().norm(dim=1)
    return [
        f"{label}, made orthogonal" if change > UNCHANGED and not make_direction(kind).is_random else label
        for kind, label, change in zip(kinds, labels, changes.tolist(), strict=True)
    ]


def _record_random(around: Around, repeats: int) -> dict[str, Any]:
    """How random directions are made, in the words of the settings."""
    names = {kind: name for name, kind in NORMALISATIONS.items()}
    return {
        "normalize": names.get(type(around.normalisation), "none"),
        "ignore": "biasbn" if around.without_vectors else "none",
        "direction_seed": around.seed,
        "repeats": repeats,
    }
