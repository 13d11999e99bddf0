"""Gathering what members predict: the rows that a split has, and the engine's outputs chunk by chunk."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from lossatlas.data import Split, count_examples
from lossatlas.engine import Engine, Evaluation
from lossatlas.ensembles.members import Members
from lossatlas.ensembles.predictions import CLASSES, VALUES, Kind, Predictions, Rows
from lossatlas.errors import BadInput, Caution
from lossatlas.losses import Loss
from lossatlas.losses.kinds.cross_entropy import CrossEntropy
from lossatlas.losses.kinds.squared_error import SquaredError

__all__ = ["choose_kind", "find_rows", "gather_predictions"]

FEW = 2
"""The number of examples on which outputs are looked at."""
CERTAIN = 1 - 1e-3
"""The least probability of a target that is as good as a label."""
EQUAL = 1e-6
"""The relative difference up to which weights of rows are equal."""


def choose_kind(loss: Loss, stated: str = "auto") -> Kind:
    """Choose what members of an ensemble predict: probabilities of classes, which are averaged, or values.

    Args:
        loss: that of the problem.
        stated: ``classes``, ``values``, or ``auto``, which follows from the loss.

    Raises:
        BadInput: it does not follow from the loss, or does not fit it.
    """
    if loss.classifies or isinstance(loss, SquaredError):
        kind: Kind = CLASSES if loss.classifies else VALUES
        if stated not in ("auto", kind):
            raise BadInput(f"predictions are {stated}, and under {loss.record} they are {kind}; leave it out")
        return kind
    if stated != VALUES:
        raise BadInput(
            f"what an ensemble averages does not follow from the loss {loss.record}; where outputs are predictions of "
            "the targets, say so by --predictions values; for classes use a loss that classifies"
        )
    return VALUES


def find_rows(engine: Engine, members: Members, split: Split, eval_batch_size: int, kind: Kind) -> Rows:
    """Find what is predicted on a split; the first member is evaluated on a few examples alone.

    Args:
        engine: with the members' chart and statistics.
        members: points of its chart.
        split: the examples.
        eval_batch_size: examples per batch.
        kind: what is predicted.

    Returns:
        The rows. It warns where the loss weighs them or smooths labels, which scores do not.

    Raises:
        BadInput: outputs do not fit the targets, targets are probabilities of several classes, or no label counts.
    """
    network = engine.network
    few = split.take(torch.arange(min(FEW, len(split))))
    with torch.no_grad():
        block = next(members.chart.blocks(members.coords[:1].to(network.device), 1))
        tried = next(engine.evaluations(block.coefficients, block.controls, Split(few), FEW))[2]
    examine = _Labels(tried) if kind == CLASSES else _Values(tried)
    targets, examples, seen, weights = [], [], 0, _Weights(tried.loss)
    for batch in split.eval_batches(eval_batch_size):
        found, counts = examine.of(of_batch := network.targets(batch))
        weights.take(of_batch, counts)
        targets.append(found.cpu())
        examples.append(seen + torch.repeat_interleave(torch.arange(len(counts)), counts.cpu()))
        seen += count_examples(batch)
    rows = Rows(kind, torch.cat(targets), examine.width, torch.cat(examples), seen, examine.dtype)
    if not len(rows):
        raise BadInput("no label of the split counts; expected one at least")
    if kind == CLASSES and int(rows.targets.max()) >= rows.width:
        raise BadInput(f"a label is {int(rows.targets.max())} and the model has {rows.width} outputs; expected less")
    weights.warn()
    return rows


def gather_predictions(
    engine: Engine,
    members: Members,
    split: Split,
    eval_batch_size: int,
    predictions: Predictions,
    first: int = 0,
    done: int = 0,
) -> Iterator[int]:
    """Evaluate members and put what they predict where it belongs, chunk by chunk.

    Args:
        engine: with the members' chart and statistics.
        members: points of its chart.
        split: the examples, whose rows are those of the predictions.
        eval_batch_size: examples per batch.
        predictions: where they are put.
        first: the place of the first of these members there.
        done: how many of these members are there already.

    Yields:
        The number of members that are there, after each chunk.

    Raises:
        BadInput: outputs have another number of classes or values than those of the first member.
    """
    rows = predictions.rows
    starts = torch.searchsorted(rows.examples, torch.arange(rows.total + 1)).tolist()
    with torch.no_grad():
        left = members.coords[done:].to(engine.network.device)
        for block in members.chart.blocks(left, engine.plan.evaluate.points):
            evaluations = engine.evaluations(block.coefficients, block.controls, split, eval_batch_size)
            for points, examples, evaluation in evaluations:
                at = slice(*(first + done + block.points.start + end for end in (points.start, points.stop)))
                predicted = _predict(evaluation, rows)
                if predicted.shape[2] != rows.width:
                    raise BadInput(
                        f"a member has {predicted.shape[2]} outputs and the first one {rows.width}; expected members "
                        "of the same outputs"
                    )
                predictions.put(at, slice(starts[examples.start], starts[examples.stop]), predicted.cpu())
                if examples.stop == rows.total:
                    yield at.stop - first


class _Weights:
    """What a loss does to rows that scores do not: class weights, weights of examples, smoothed labels."""

    def __init__(self, loss: Loss) -> None:
        self._loss = loss
        self._low, self._high = float("inf"), 0.0

    def take(self, targets: Any, counts: Tensor) -> None:
        """Take the weights of a batch, whose examples have so many rows (B,)."""
        weights = self._loss.weights(targets)
        if weights is None or not bool((counts > 0).any()):
            return
        each = (weights.double().cpu() / counts.cpu())[counts.cpu() > 0]
        self._low, self._high = min(self._low, float(each.min())), max(self._high, float(each.max()))

    def warn(self) -> None:
        """Say that scores are without these."""
        smoothed = isinstance(self._loss, CrossEntropy) and self._loss.label_smoothing > 0
        weighted = self._high > self._low * (1 + EQUAL)
        if found := " and ".join(["weighs examples or classes"] * weighted + ["smooths labels"] * smoothed):
            warnings.warn(
                Caution(
                    f"scores are unweighted: the loss {self._loss.record} {found}, and the scores of an ensemble count "
                    "every label or value once, as it is"
                ),
                stacklevel=3,
            )


class _Labels:
    """The labels of batches, of all positions that count."""

    def __init__(self, tried: Evaluation) -> None:
        if not isinstance(tried.targets, Tensor):
            raise BadInput(
                f"targets are in a {type(tried.targets).__name__}; an ensemble needs one tensor of labels: choose "
                "another loss"
            )
        found = tried.labelled
        self._loss = tried.loss
        self._rank, self._axis = tried.outputs.ndim - 1, found.axis
        self.width = found.logits.shape[-1]
        self.dtype = torch.float32  # logarithms of probabilities need no more

    def of(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The labels (rows,) of a batch, and how many rows each example has (B,)."""
        if targets.is_floating_point() and bool((targets.amax(dim=self._axis) < CERTAIN).any()):
            raise BadInput(
                "targets are probabilities of several classes; expected labels, of which scores of an ensemble are: "
                "give a split with one class for each example"
            )
        # Which positions count follows from the shape of the outputs alone, so that the network need not be called.
        shape = list(targets.shape)
        if len(shape) == self._rank:  # as probabilities, or with an axis of length one in the place of the classes
            del shape[self._axis]
        shape.insert(self._rank + self._axis, self.width)
        found = self._loss.labelled(torch.zeros((), device=targets.device).expand(1, *shape), targets)
        counted = found.counted.reshape(len(targets), -1)
        return found.labels.reshape(counted.shape)[counted], counted.sum(dim=1)


class _Values:
    """The target values of batches."""

    def __init__(self, tried: Evaluation) -> None:
        if not isinstance(tried.outputs, Tensor) or not isinstance(tried.targets, Tensor):
            raise BadInput("predictions of values need one tensor of outputs and one of targets; choose another loss")
        if tried.outputs.shape[1:] != tried.targets.shape:
            raise BadInput(
                f"the model's output {tuple(tried.outputs.shape[1:])} does not fit targets "
                f"{tuple(tried.targets.shape)}; expected equal shapes"
            )
        self.width = tried.targets[0].numel()
        self.dtype = torch.promote_types(tried.outputs.dtype, torch.float32)

    def of(self, targets: Any) -> tuple[Tensor, Tensor]:
        """The values (B, D) of a batch, of one row each, in float64: targets may be large and errors small."""
        return targets.reshape(len(targets), -1).double(), torch.ones(len(targets), dtype=torch.int64)


def _predict(evaluation: Evaluation, rows: Rows) -> Tensor:
    """The log-probabilities (p, rows, C) or the values (p, rows, D) of a batch."""
    if rows.kind == VALUES:
        outputs: Tensor = evaluation.outputs
        return outputs.reshape(*outputs.shape[:2], -1).to(rows.dtype)
    found = evaluation.labelled
    logits = found.logits.to(torch.promote_types(found.logits.dtype, torch.float32))
    if found.counted.ndim > 1 or not bool(found.counted.all()):
        logits = logits.flatten(1, -2)[:, found.counted.flatten()]
    return logits.log_softmax(dim=-1).to(rows.dtype)
