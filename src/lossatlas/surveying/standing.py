"""A network as it stands: one point, evaluated by the engine."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lossatlas.charts import Plane
from lossatlas.data import Split
from lossatlas.engine import EVAL_BATCH_SIZE, Derivatives, Evaluation, Plan, StreamingMetric, engine_for
from lossatlas.engine.buffers.frozen import FrozenStatistics
from lossatlas.metrics import choose_streaming_metrics
from lossatlas.problem import Problem
from lossatlas.schema import name_variable
from lossatlas.surveying.path_points import PathPoints
from lossatlas.weights import WeightSpace

__all__ = ["Standing", "score_network"]


class Standing:
    """A problem's module with the weights and the running statistics that it has now.

    Args:
        problem: module, loss and feed.
        space: its parameters that derivatives are taken in.
        split: examples of the kind that it will be evaluated on, on the device to use.
        plan: how the engine runs.
        eval_batch_size: examples per batch.
        memory: the bytes that an evaluation may take, such as 2GiB; auto is a quarter of the free memory.

    Raises:
        BadInput: module, loss and examples do not fit together, or the module is random in evaluation mode.
    """

    def __init__(
        self,
        problem: Problem,
        space: WeightSpace,
        split: Split,
        plan: str | Plan = "loop",
        eval_batch_size: int = EVAL_BATCH_SIZE,
        memory: str = "auto",
    ) -> None:
        weights = space.vector_of(problem.module).to(split.device)
        # A chart has an axis; only its origin is evaluated.
        chart = Plane(weights, torch.eye(1, len(weights)).to(weights), train_origin=False)
        self._eval_batch_size = eval_batch_size
        self.point = PathPoints(torch.ones(1, 1).to(weights), weights[None])
        """Its weights, as the engine takes them."""
        self.engine = engine_for(
            problem, chart, split, space=space, buffers=FrozenStatistics(), plan=plan, eval_batch_size=eval_batch_size,
            memory=memory,
        )  # fmt: skip
        """Evaluates any points of weight space, with these statistics."""

    def evaluate(self, split: Split, metrics: Mapping[str, StreamingMetric]) -> dict[str, float]:
        """The metrics over a split."""
        found = self.engine.evaluate(*self.point, split, metrics, self._eval_batch_size)
        return {name: float(values[0]) for name, values in found.items()}

    def predictions(self, split: Split) -> tuple[Tensor, Tensor] | None:
        """What the network says of all that counts in a split, and what each of it counts; on the CPU.

        Returns:
            Under losses that classify the logits (M, C) of the M positions whose label counts, and ones (M,). Otherwise
            the outputs (N, ...) of all examples and what each counts in the mean loss (N,), float64; None where outputs
            are more than one tensor.
        """
        groups = self.engine.evaluations(*self.point, split, self._eval_batch_size)
        parts = [_counted(evaluation) for _, _, evaluation in groups if isinstance(evaluation.outputs, Tensor)]
        if not parts:
            return None
        outputs, weights = (torch.cat(leaves) for leaves in zip(*parts, strict=True))
        return outputs, weights

    def gradient(self, split: Split) -> Tensor:
        """The gradient (n,) of the mean loss over a split."""
        return self.derive(split).gradient()[0]

    def derive(self, split: Split, vectors: tuple[int, int] = (0, 0)) -> Derivatives:
        """Make the derivatives of the mean loss over a split, with room for vectors (``Engine.derivatives``)."""
        ((_, derivatives),) = self.engine.derivatives(*self.point, split, self._eval_batch_size, vectors)
        return derivatives


def score_network(
    problem: Problem, space: WeightSpace, splits: Mapping[str, Split], eval_batch_size: int = EVAL_BATCH_SIZE
) -> dict[str, float]:
    """Loss and accuracy of a problem's module as it stands, by ``<split>_<metric>``.

    Args:
        problem: module, loss and feed.
        space: parameters of the module.
        splits: examples by name, all of which are taken, on the device to use.
        eval_batch_size: examples per batch.

    Raises:
        BadInput: as :class:`Standing`.
    """
    metrics = choose_streaming_metrics(problem.loss)
    scores: dict[str, float] = {}
    for name, split in splits.items():
        found = Standing(problem, space, split, eval_batch_size=eval_batch_size).evaluate(split, metrics)
        scores |= {name_variable(name, metric): value for metric, value in found.items()}
    return scores


def _counted(evaluation: Evaluation) -> tuple[Tensor, Tensor]:
    """Of one network's batch what :meth:`Standing.predictions` says."""
    if not evaluation.loss.classifies:
        return evaluation.outputs[0].cpu(), evaluation.weights.cpu()
    found = evaluation.labelled
    logits = found.logits[0][found.counted].cpu()
    return logits, torch.ones(len(logits), dtype=torch.float64)
