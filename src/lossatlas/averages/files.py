"""Files of averages: moments and an exponential average of the weights of a model, with its parameters' names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from lossatlas.averages.exponential import ExponentialAverage
from lossatlas.averages.moments import Moments
from lossatlas.bounds import Tally
from lossatlas.errors import BadInput
from lossatlas.files.reading import parse_json, tell_reason
from lossatlas.files.tensors import read_tensors
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
    source: str
    step: Tally
    parameters: list[tuple[str, list[int]]]
    decay: float | None = None
    updates: Tally = 0


def encode_averages(averages: Averages, space: WeightSpace) -> bytes:
    """Serialise averages as a safetensors file that :func:`read_averages` reads.

    It has ``mean`` (n,) and ``variance`` (n,) in float64, ``deviations`` (K, n) and ``exponential`` (n,), where n runs
    over the parameters that its metadata list.

    Args:
        averages: of at least one vector.
        space: the weight space of the vectors.
    """
    moments, exponential = averages.moments, averages.exponential
    tensors = {"mean": moments.mean, "variance": moments.variance, "deviations": moments.deviations}
    told = {
        "count": moments.count, "rank": moments.rank, "source": moments.source, "step": averages.step,
        "parameters": _list_parameters(space),
    }  # fmt: skip
    if exponential is not None and exponential.count:
        tensors[EXPONENTIAL] = exponential.value
        told |= {"decay": exponential.decay, "updates": exponential.count}
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
    try:
        moments = Moments(told.rank)
        moments.source = told.source
        sums = {"sum": tensors["mean"] * told.count, "squares": tensors["variance"] * told.count}
        moments.restore(sums | _part(tensors, "deviations"), told.count)
        exponential = None
        if told.decay is not None:
            exponential = ExponentialAverage(told.decay)
            exponential.restore(tensors[EXPONENTIAL], told.updates)
        lengths = {value.shape[-1] for value in tensors.values()}
        if lengths != {space.size}:
            raise ValueError(f"its vectors have lengths {sorted(lengths)}")
        if not all(value.isfinite().all() for value in tensors.values()):
            raise ValueError("its numbers are not all finite")
        if (tensors["variance"] < 0).any():
            raise ValueError("a variance is negative")
    except (KeyError, ValueError) as error:
        raise _no_averages(path, error) from error
    return Averages(moments, exponential, told.step)


def _part(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {name: tensors[name]} if name in tensors else {}


def _list_parameters(space: WeightSpace) -> list[tuple[str, list[int]]]:
    return [(entry.name, list(entry.shape)) for entry in space.entries]


def _check_parameters(path: Path, told: _Told, space: WeightSpace) -> None:
    """Refuse averages of the weights of another model.

    Raises:
        BadInput: the first parameter that differs.
    """
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


def _no_averages(path: Path, error: Exception) -> BadInput:
    reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else tell_reason(error)
    return BadInput(f"{path} holds no averages ({reason}); train again with --average, or keep snapshots")
