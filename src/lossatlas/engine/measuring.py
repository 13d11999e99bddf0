"""Evaluation of metrics on a batch, with checks, since some are user code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from lossatlas.engine.contracts import Evaluation, Metric, StreamingMetric
from lossatlas.engine.purity import is_comparable
from lossatlas.errors import LossatlasError, ModelFailure, format_error
from lossatlas.users_code import call_user_code

__all__ = ["check_derived", "count_values", "measure_batch", "run_computation", "try_metric"]

T = TypeVar("T")


def measure_batch(metrics: Mapping[str, StreamingMetric], evaluation: Evaluation) -> Iterator[tuple[str, Tensor]]:
    """Compute the sums (p, ...) of each metric over a batch, float64, without a graph.

    Raises:
        ModelFailure: a metric fails, returns something else, or writes into the outputs or the batch.
    """
    given = _given(evaluation)
    for name, metric in metrics.items():
        before = [tensor._version for tensor in given]
        sums = _sums(name, metric, evaluation)
        if [tensor._version for tensor in given] != before:
            raise _writes(name)
        yield name, sums


def try_metric(name: str, metric: StreamingMetric, evaluation: Evaluation, value: Callable[[Tensor], T]) -> T:
    """Evaluate a metric on a few examples, and check that it does not change them.

    Args:
        name: the name of the metric.
        metric: the metric.
        evaluation: the results of one network on a few examples.
        value: computes the value of the metric from its sums.

    Raises:
        ModelFailure: as :func:`measure_batch`; writes that torch does not track, as through NumPy, are found, too.
    """
    given = _given(evaluation)
    copies = [tensor.clone() for tensor in given]
    ((_, sums),) = measure_batch({name: metric}, evaluation)
    if not all(torch.equal(_bits(a), _bits(b)) for a, b in zip(copies, given, strict=True)):
        raise _writes(name)
    return _checked(name, lambda: value(sums))


def count_values(name: str, metric: Metric, evaluation: Evaluation) -> int:
    """Find the number of values that a metric declares to have at a point.

    Raises:
        ModelFailure: the metric fails, or the number is not positive.
    """
    said = _checked(name, lambda: metric.length(evaluation))
    if isinstance(said, bool) or not isinstance(said, int) or said < 1:
        raise ModelFailure(f"metric {name!r} says that it has {said!r} values at a point; expected a positive number")
    return said


def run_computation(name: str, work: Callable[[], Any]) -> Any:
    """Run a computation on derivatives.

    Raises:
        ModelFailure: the computation fails.
    """
    return _checked(name, work, "computation")


def check_derived(name: str, shape: tuple[int, ...], value: Callable[[], Tensor]) -> Tensor:
    """Compute a metric of derivatives, or a companion, at p points: (p,), or (p, k), on the CPU.

    Raises:
        ModelFailure: the metric fails, or returns something else.
    """
    found = _checked(name, value)
    if not isinstance(found, Tensor) or found.shape != shape or found.is_complex():
        said = f"{found.dtype} {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        each = f"{shape[1]} real numbers" if len(shape) > 1 else "a real number"
        raise ModelFailure(f"metric {name!r} gives {said} for {shape[0]} points; expected {each} for each")
    return found.detach().cpu()


def _sums(name: str, metric: StreamingMetric, evaluation: Evaluation) -> Tensor:
    sums = _checked(name, lambda: metric.sums(evaluation))
    points = len(evaluation.losses)
    if not isinstance(sums, Tensor) or sums.shape[:1] != (points,) or sums.is_complex():
        found = f"{sums.dtype} {tuple(sums.shape)}" if isinstance(sums, Tensor) else type(sums).__name__
        raise ModelFailure(f"metric {name!r} gives {found} for {points} points; expected real sums, a row for each")
    return sums.detach().double()


def _checked(name: str, work: Callable[[], T], kind: str = "metric") -> T:
    """Run code of a metric, whose errors are described in one line."""
    try:
        return call_user_code(work)
    except (LossatlasError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # it may be the user's own
        raise ModelFailure(f"{kind} {name!r} fails on the model's output: {format_error(error)}") from error


def _given(evaluation: Evaluation) -> list[Tensor]:
    """The tensors that all metrics are given, except for those of inference mode, which cannot be written to."""
    leaves = tree_leaves(
        [evaluation.outputs, evaluation.losses, evaluation.targets, evaluation.batch, evaluation.terms]
    )
    return [leaf for leaf in leaves if is_comparable(leaf) and not leaf.is_inference()]


def _bits(tensor: Tensor) -> Tensor:
    """The bits of a tensor, in which NaN is equal to itself."""
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def _writes(name: str) -> ModelFailure:
    return ModelFailure(
        f"metric {name!r} writes into the outputs or the batch, which others see, too; have it work on a copy, as with "
        "outputs.clone()"
    )
