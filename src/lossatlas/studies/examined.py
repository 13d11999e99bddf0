"""One point of a chart examined: metrics of a split as a survey has them, and in the same pass every single example."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lossatlas.charts import Chart
from lossatlas.data import Split
from lossatlas.describing import count_things, write_repr
from lossatlas.engine import EVAL_BATCH_SIZE, Engine, Evaluation, Folded, Metric, StreamingMetric, check_network
from lossatlas.errors import BadInput
from lossatlas.metrics import choose_streaming_metrics
from lossatlas.metrics.mean import find_ratio_error, sum_ratio
from lossatlas.surveying.path_points import PathPoints
from lossatlas.types import Source

__all__ = ["ChangedExample", "ExaminedSplit", "Example", "examine_network", "examine_point", "form_point"]

MOST_CLASSES = 1000
"""The most classes that a confusion matrix has: its size grows with their square."""
MOST_VALUES = 16
"""The most numbers per example that predictions of values are kept of."""
UNCOUNTED = -1
"""The target of an example whose label does not count."""

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]
Value = float | tuple[float, ...]


@dataclass(frozen=True)
class Example:
    """One example at one point.

    Attributes:
        index: Its place in the split, from 0.
        loss: Its loss.
        target: Its label, or its target values; None where they are not kept.
        prediction: The class, or the values, predicted; None where they are not kept.
        right: Whether the class predicted is the label; None where the question has no meaning.
        probability: The probability of the class predicted, where there is one.
        target_probability: The probability of its label, where it has one that counts.
    """

    index: int
    loss: float
    target: int | tuple[float, ...] | None
    prediction: int | tuple[float, ...] | None
    right: bool | None
    probability: float | None
    target_probability: float | None


@dataclass(frozen=True)
class ChangedExample:
    """One example at two points."""

    before: Example
    after: Example

    @property
    def rise(self) -> float:
        """By how much its loss is larger at the second point."""
        return self.after.loss - self.before.loss


@dataclass(frozen=True, eq=False, repr=False)
class ExaminedSplit:
    """A split at one point: metrics over it, and what they are made of, example by example.

    Nothing of the graph or of the inputs is kept; arrays are in 32 bits. With B examples and C classes:

    Attributes:
        examples: The number B of examples.
        metrics: The streaming metrics and their companions by name, as a survey stores them beside the name of the
            split; of several values at a point a tuple.
        losses: The losses (B,); None under a loss that has one mean for a whole batch.
        weights: The weights (B,) of the examples in the mean loss; None where they are equal.
        predictions: The classes predicted (B,), int32, where each example has one label; under losses that do not
            classify the values (B, ...) predicted, up to 16 an example. Otherwise None.
        targets: What predictions are compared with, of the same shape; labels that do not count are -1.
        right: Whether the class predicted is the label (B,), False where that does not count; None where predictions
            are not one class for each example.
        right_shares: Where examples have several positions (of a sequence, of an image), the share (B,) of those that
            count at which the class predicted is the label, NaN where none counts. Otherwise None.
        probabilities: The probabilities (B,) of the classes predicted; None as for ``right``.
        target_probabilities: The probabilities (B,) of the labels, NaN where these do not count; None likewise.
        confusion: How often each label (rows) was given each prediction (columns), (C, C), int64, over all positions
            that count; None without labels, or with more than 1,000 classes.
        loss_error: The standard error of the mean loss; see :func:`examine_network`. None without losses of single
            examples, or with one example.
        accuracy_error: The standard error of the accuracy; None likewise, or without labels.
        notes: What is not there and why, in lines.
    """

    examples: int
    metrics: Mapping[str, Value]
    losses: Floats | None = None
    weights: Floats | None = None
    predictions: Labels | Floats | None = None
    targets: Labels | Floats | None = None
    right: npt.NDArray[np.bool_] | None = None
    right_shares: Floats | None = None
    probabilities: Floats | None = None
    target_probabilities: Floats | None = None
    confusion: npt.NDArray[np.int64] | None = None
    loss_error: float | None = None
    accuracy_error: float | None = None
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return write_repr(self, self._describe)

    def _describe(self) -> str:
        numbers = (f"{name} {value:.3g}" for name, value in self.metrics.items() if isinstance(value, float))
        return ", ".join([count_things(self.examples, "example"), *numbers])

    @property
    def counted(self) -> npt.NDArray[np.bool_]:
        """Which examples count in the mean loss, (B,)."""
        return np.ones(self.examples, dtype=np.bool_) if self.weights is None else self.weights > 0

    def example(self, index: int) -> Example:
        """One of the examples.

        Raises:
            BadInput: the split has no example of this index, or losses of single examples are not known.
        """
        if self.losses is None:
            raise BadInput("the loss has one value for a whole batch, so that single examples have none")
        if not 0 <= index < self.examples:
            raise BadInput(f"{index} is not the index of an example; expected 0 to {self.examples - 1}")
        certain = self.right is not None and self.targets is not None and int(self.targets[index]) != UNCOUNTED
        return Example(
            index=index,
            loss=float(self.losses[index]),
            target=_read_value(self.targets, index) if certain or self.right is None else None,
            prediction=_read_value(self.predictions, index),
            right=bool(self.right[index]) if self.right is not None and certain else None,
            probability=float(self.probabilities[index]) if self.probabilities is not None else None,
            target_probability=(
                float(self.target_probabilities[index]) if self.target_probabilities is not None and certain else None
            ),
        )

    def worst(self, count: int) -> list[Example]:
        """The examples of the largest losses, the largest first; losses that are not finite come before all others.

        Examples that do not count in the mean loss are left out. Empty where losses of single examples are not known.
        """
        if self.losses is None:
            return []
        return [self.example(index) for index in _find_largest(_replace_nan(self.losses), self.counted, count)]

    def changed(self, other: ExaminedSplit, count: int) -> list[ChangedExample]:
        """The examples whose losses rise most from another point to this one, the largest rise first.

        Only those whose losses rise; a loss that is not finite any more has risen without bounds. Examples that do not
        count in the mean loss are left out. Empty where losses of single examples are not known.

        Args:
            other: the same split at another point, such as the centre.
            count: the most examples.

        Raises:
            BadInput: the other split holds other examples.
        """
        same = self.examples == other.examples and (
            (self.targets is None) == (other.targets is None)
            and (
                self.targets is None
                or other.targets is None
                or np.array_equal(self.targets, other.targets, equal_nan=True)
            )
        )
        if not same:
            raise BadInput("two points are compared on different examples; examine the same split at both")
        if self.losses is None or other.losses is None:
            return []
        before = other.losses.astype(np.float64)
        with np.errstate(invalid="ignore"):
            rises = _replace_nan(self.losses.astype(np.float64)) - before
        rising = self.counted & np.isfinite(before) & (rises > 0)
        found = _find_largest(rises, rising, count)
        return [ChangedExample(other.example(index), self.example(index)) for index in found]


def examine_point(
    engine: Engine,
    chart: Chart,
    coords: Sequence[float] | Tensor,
    split: Split | Source,
    metrics: Sequence[str | Metric] | None = None,
    eval_batch_size: int = EVAL_BATCH_SIZE,
) -> ExaminedSplit:
    """Examine a split at one point of a chart: streaming metrics as a survey has them, and every single example.

    Args:
        engine: of the problem on the chart, as :func:`lossatlas.engine_for` makes one.
        chart: where.
        coords: the coordinates (d,) of the point; along ``repeat`` the number of the repeat.
        split: the examples, in any form that :meth:`Split.of` takes.
        metrics: names or metrics; default the loss, and the accuracy where it has a meaning.
        eval_batch_size: examples that are evaluated, and under batch statistics normalised, together.

    Raises:
        BadInput: the coordinates or the metrics do not fit, or module, loss and examples do not.

    Example:
        >>> import torch, lossatlas as la
        >>> module = torch.nn.Linear(4, 2)
        >>> problem, examples = la.Problem(module, la.CrossEntropy()), (torch.randn(64, 4), torch.randint(2, (64,)))
        >>> chart = la.slice_around(module)
        >>> engine = la.engine_for(problem, chart, examples, plan="loop")
        >>> there, centre = (la.examine_point(engine, chart, at, examples) for at in ([0.5, 0.0], [0.0, 0.0]))
        >>> there.losses.shape, int(there.confusion.sum()), len(there.worst(3)), len(there.changed(centre, 5)) <= 5
        ((64,), 64, 3, True)
    """
    held = Split.of(split).to(engine.network.device)
    check_network(engine.network, held)
    chosen = choose_streaming_metrics(engine.network.loss, metrics)
    return examine_network(engine, form_point(chart, coords), held, chosen, eval_batch_size)


def form_point(chart: Chart, coords: Sequence[float] | Tensor, laid: Tensor | None = None) -> PathPoints:
    """Form what an engine evaluates at one point of a chart.

    Args:
        chart: where.
        coords: the coordinates (d,).
        laid: what :meth:`Chart.lay_controls` returned, where that was kept.

    Raises:
        BadInput: there is not one finite coordinate for each axis.
    """
    at = torch.as_tensor(coords, dtype=torch.float64)
    if at.shape != (len(chart.axes),) or not bool(at.isfinite().all()):
        raise BadInput(
            f"a point has the coordinates {at.tolist()}; expected a finite number for each of {', '.join(chart.axes)}"
        )
    (block,) = chart.blocks(at[None], 1, laid)
    return PathPoints(block.coefficients, block.controls)


def examine_network(
    engine: Engine,
    point: PathPoints,
    split: Split,
    metrics: Mapping[str, StreamingMetric],
    eval_batch_size: int,
) -> ExaminedSplit:
    """Examine a split at one weight vector, in one pass.

    Standard errors are those of the means over the B examples as estimates for examples like them that nobody has seen.
    With weights w (those of the loss; for accuracies the numbers of positions that count), values v, their ratio ``R =
    sum_i w_i v_i / sum_i w_i`` and the residuals ``e_i = w_i (v_i - R)`` they are ``sqrt(sum_i e_i^2 / (B (B - 1))) /
    (sum_i w_i / B)`` (Cochran 1977, section 2.11, without the correction for a finite population); for equal weights
    that is ``s / sqrt(B)``. Surveys, whose standard errors are for the rest of a split of which they have a random
    subset, store those among the metrics.

    Args:
        engine: evaluates it; module, loss and split have been checked to fit.
        point: one weight vector.
        split: the examples, on the device of the engine.
        metrics: by name.
        eval_batch_size: examples that are evaluated together.
    """
    gathered = _Gathering(engine)
    values = engine.evaluate(*point, split, metrics, eval_batch_size, gathered.take)
    return gathered.finish({name: _read_metric(found[0]) for name, found in values.items()}, len(split))


class _Gathering:
    """What is gathered of single examples while metrics are folded."""

    def __init__(self, engine: Engine) -> None:
        self._loss = engine.network.loss
        self._mixes = engine.network.normalises_by_the_batch
        self._parts: dict[str, list[Tensor]] = {}
        self._sums: dict[str, Tensor] = {}
        self._confusion: Tensor | None = None
        self._classes = 0
        self._single = True

    def take(self, points: slice, examples: slice, evaluation: Evaluation) -> None:
        """Take what a batch says of its examples."""
        if self._loss.per_example:
            self._keep(losses=evaluation.losses[0].float(), weights=evaluation.weights.float())
            self._add("loss", sum_ratio(evaluation.losses[:1], evaluation.weights))
        if self._loss.classifies:
            self._take_classes(evaluation)
        elif _holds_values(evaluation):
            self._keep(predictions=evaluation.outputs[0].float(), targets=evaluation.targets.float())

    def _take_classes(self, evaluation: Evaluation) -> None:
        found = evaluation.labelled
        examples, self._classes = len(found.labels), found.logits.shape[-1]
        labels, counted = found.labels.reshape(examples, -1), found.counted.reshape(examples, -1)
        logits = found.logits[0].reshape(examples, -1, self._classes)
        guesses = logits.argmax(dim=-1)
        right = (guesses == labels) & counted
        shares = right.sum(dim=1).double() / counted.sum(dim=1)
        self._keep(right_shares=shares.float())
        self._add("accuracy", sum_ratio(shares[None], evaluation.positions))
        if self._classes <= MOST_CLASSES:
            pairs = labels[counted] * self._classes + guesses[counted]
            counts = torch.bincount(pairs, minlength=self._classes**2).cpu()
            self._confusion = counts if self._confusion is None else self._confusion + counts
        self._single &= labels.shape[1] == 1
        if self._single:
            probabilities = logits[:, 0].float().softmax(dim=-1)
            own = torch.where(counted, labels, 0)
            self._keep(
                predictions=guesses[:, 0].int(),
                targets=labels[:, 0].where(counted[:, 0], UNCOUNTED).int(),
                right=right[:, 0],
                probabilities=probabilities.gather(1, guesses)[:, 0],
                target_probabilities=probabilities.gather(1, own)[:, 0].where(counted[:, 0], math.nan),
            )

    def _keep(self, **parts: Tensor) -> None:
        for name, part in parts.items():
            self._parts.setdefault(name, []).append(part.detach().cpu())

    def _add(self, name: str, sums: Tensor) -> None:
        sums = sums.detach().cpu()
        self._sums[name] = self._sums[name] + sums if name in self._sums else sums

    def finish(self, metrics: Mapping[str, Value], examples: int) -> ExaminedSplit:
        """Put together what was gathered."""
        found = {name: torch.cat(parts).numpy() for name, parts in self._parts.items()}
        if not self._single:
            for name in ("predictions", "targets", "right", "probabilities", "target_probabilities"):
                found.pop(name, None)
        elif self._loss.classifies:
            found.pop("right_shares", None)
        if "weights" in found and bool((found["weights"] == found["weights"][:1]).all()) and found["weights"][0] > 0:
            del found["weights"]
        confusion = None if self._confusion is None else self._confusion.reshape(self._classes, -1).numpy()
        return ExaminedSplit(
            examples,
            metrics,
            **found,
            confusion=confusion,
            loss_error=self._find_error("loss", examples),
            accuracy_error=self._find_error("accuracy", examples),
            notes=tuple(self._list_notes(found)),
        )

    def _find_error(self, name: str, examples: int) -> float | None:
        if name not in self._sums or examples < 2 or not self._loss.per_example:
            return None
        folded = Folded(self._sums[name], examples, math.inf, _give_no_norms)
        return float(find_ratio_error(folded)[0])

    def _list_notes(self, found: Mapping[str, npt.NDArray[np.generic]]) -> list[str]:
        notes = []
        if not self._loss.per_example:
            notes.append(
                f"the loss {self._loss.record} has one value for a whole batch, so that there are means alone, without "
                "losses of single examples and without standard errors"
            )
        elif self._mixes:
            notes.append(
                "the loss of an example depends on the others in its batch, by whose statistics layers normalise"
            )
        if self._loss.classifies and self._classes > MOST_CLASSES:
            notes.append(
                f"a confusion matrix of {self._classes:,} classes is too large; up to {MOST_CLASSES:,} are shown"
            )
        if not self._loss.classifies and self._loss.per_example and "predictions" not in found:
            notes.append(
                f"predictions are left out: they are not a tensor of up to {MOST_VALUES} numbers for each example, in "
                "the shape of the targets"
            )
        return notes


def _holds_values(evaluation: Evaluation) -> bool:
    """Whether outputs are values that targets can be compared with, few enough to be kept."""
    outputs, targets = evaluation.outputs, evaluation.targets
    return (
        isinstance(outputs, Tensor)
        and isinstance(targets, Tensor)
        and outputs.shape[1:] == targets.shape
        and not (outputs.is_complex() or targets.is_complex())
        and 0 < outputs[0].numel() <= MOST_VALUES * len(targets)
    )


def _read_metric(value: Tensor) -> Value:
    return tuple(value.tolist()) if value.ndim else float(value)


def _read_value(values: npt.NDArray[np.generic] | None, index: int) -> int | tuple[float, ...] | None:
    """A class, or values, of one example."""
    if values is None:
        return None
    one = values[index]
    return int(one) if np.issubdtype(values.dtype, np.integer) else tuple(np.ravel(one).tolist())


def _replace_nan(losses: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    return np.where(np.isnan(losses), np.inf, losses)


def _find_largest(values: npt.NDArray[np.floating], among: npt.NDArray[np.bool_], count: int) -> list[int]:
    """The indices of the largest values among some, the largest first; of equal ones the first first."""
    indices = np.flatnonzero(among)
    order = np.argsort(-values[indices], kind="stable")[: max(0, count)]
    return [int(index) for index in indices[order]]


def _give_no_norms() -> Tensor:
    raise AssertionError("means over examples ask for no norms")
