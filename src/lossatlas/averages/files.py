"""Files of averages: moments and an exponential average of the weights of a model, with its parameters' names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save
from torch import Tensor

from lossatlas.averages.exponential import ExponentialAverage
from lossatlas.averages.moments import Moments
from lossatlas.bounds import Tally
from lossatlas.errors import BadInput
from lossatlas.files.reading import parse_json, tell_reason
from lossatlas.files.tensors import check_alike, read_tensors
from lossatlas.weights import WeightSpace

__all__ = ["Averages", "encode_averages", "read_averages"]

METADATA = "lossatlas"
EXPONENTIAL = "exponential"


@dataclass(frozen=True)
class Averages:
    """What was averaged of one training.

    Attributes:
        moments: The moments.
        exponential: The exponential average; None where none was asked for, or nothing was averaged yet.
        step: The step after which they were last brought up to date.
    """

    moments: Moments
    exponential: ExponentialAverage | None = None
    step: int = 0


@dataclass(frozen=True)
class _Told:
    """The metadata of a file of averages."""

    count: Tally
    rank: Tally
    source: Literal["running moments", "kept snapshots"]
    step: Tally
    parameters: list[tuple[str, list[int]]]
    decay: float | None = None
    updates: Tally = 0


def encode_averages(averages: Averages, space: WeightSpace) -> bytes:
    """Serialise averages as a safetensors file that :func:`read_averages` reads.

    It has ``mean`` (n,) and ``variance`` (n,) in float64, ``deviations`` (K, n) and ``exponential`` (n,), where n runs
    over the parameters that its metadata list; without those of which no vector was taken yet.

    Args:
        averages: what was averaged.
        space: the weight space of the vectors.
    """
    moments, exponential = averages.moments, averages.exponential
    tensors = {}
    if moments.count:
        tensors = {"mean": moments.mean, "variance": moments.variance, "deviations": moments.deviations}
    told = {
        "count": moments.count, "rank": moments.rank, "source": moments.source, "step": averages.step,
        "parameters": _list_parameters(space),
    }  # fmt: skip
    if exponential is not None:
        told |= {"decay": exponential.decay, "updates": exponential.count}
        if exponential.count:
            tensors[EXPONENTIAL] = exponential.value
    plain = {name: value.cpu().contiguous() for name, value in tensors.items()}
    return save(plain, {METADATA: json.dumps(told)})


def read_averages(path: Path, space: WeightSpace) -> Averages:
    """Read the averages in a file, onto the CPU.

    Args:
        path: the file.
        space: the weight space that they have to be of.

    Raises:
        BadInput: the file is missing or damaged, does not hold averages, or holds those of another model.
    """
    try:
        tensors, metadata = read_tensors(path)
        if METADATA not in metadata:
            raise ValueError("it does not say of what")
        told = parse_json(metadata[METADATA], _Told)
    except ValueError as error:
        raise _no_averages(path, error) from error
    _check_parameters(path, told, space)
    exponential = ExponentialAverage(told.decay) if told.decay is not None else None
    try:
        _check_tensors(tensors, told, space.size)
        moments = Moments(told.rank)
        moments.source = told.source
        if told.count:
            sums = {"sum": tensors["mean"] * told.count, "squares": tensors["variance"] * told.count}
            moments.restore({**sums, "deviations": tensors["deviations"]}, told.count)
        if exponential is not None and told.updates:
            exponential.restore(tensors[EXPONENTIAL], told.updates)
    except ValueError as error:
        raise _no_averages(path, error) from error
    return Averages(moments, exponential, told.step)


def _check_tensors(tensors: Mapping[str, Tensor], told: _Told, size: int) -> None:
    """Refuse tensors that averages of a network of a size do not have.

    Raises:
        ValueError: a name, a shape or a dtype is another one, or a number cannot be one of averages.
    """
    held = tensors.get("deviations", torch.empty(0)).dtype
    shapes: dict[str, tuple[int, ...]] = {}
    if told.count:
        shapes |= {"mean": (size,), "variance": (size,), "deviations": (min(told.count, told.rank), size)}
    if told.updates:
        shapes[EXPONENTIAL] = (size,)
    dtypes = {"deviations": held if held == torch.float64 else torch.float32}
    check_alike(
        tensors,
        {
            name: torch.empty(shape, dtype=dtypes.get(name, torch.float64), device="meta")
            for name, shape in shapes.items()
        },
    )
    if not all(value.isfinite().all() for value in tensors.values()):
        raise ValueError("its numbers are not all finite")
    if told.count and (tensors["variance"] < 0).any():
        raise ValueError("a variance is negative")


def _list_parameters(space: WeightSpace) -> list[tuple[str, list[int]]]:
    return [(entry.name, list(entry.shape)) for entry in space.entries]


def _check_parameters(path: Path, told: _Told, space: WeightSpace) -> None:
    """Refuse averages of the weights of another model.

    Raises:
        BadInput: the first parameter that differs.
    """
    if len({name for name, _ in told.parameters}) != len(told.parameters):
        raise _no_averages(path, ValueError("a parameter is named twice"))
    there, here = dict(told.parameters), dict(_list_parameters(space))
    for name in [*here, *there]:
        if there.get(name) != here.get(name):
            described = f"has shape {tuple(there[name])}" if name in there else "is missing"
            expected = f"has shape {tuple(here[name])}" if name in here else "is missing"
            raise BadInput(
                f"{path} holds averages of another model: {name!r} {described} there and {expected} in the model; "
                "choose the model and parameters that it was trained with"
            )
    if list(there) != list(here):
        raise BadInput(
            f"{path} holds averages of a model with the same parameters in another order; choose the model that it was "
            "trained with"
        )


def _no_averages(path: Path, error: ValueError) -> BadInput:
    return BadInput(f"{path} holds no averages ({tell_reason(error)}); train again with --average, or keep snapshots")
