"""What examples count: every mean over a split is a ratio of sums, whatever the groups, and as torch has it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from reference import gradients
from torch import Tensor, nn
from torch.autograd.functional import hvp
from torch.func import functional_call

import lossatlas as la
from lossatlas.cli import main
from lossatlas.engine import Evaluation, Folded
from lossatlas.engine.grouping import depends_on_groups
from lossatlas.engine.network import Network
from lossatlas.errors import Caution
from lossatlas.jobs.fit import run_fit
from lossatlas.losses import check_total, find_loss_options, total_weights
from lossatlas.metrics import METRICS, MeanMetric, choose_metrics
from lossatlas.progress import Reporter
from lossatlas.recipes import CompareConfig, FitConfig
from lossatlas.recipes.alike import Known, check_same_losses
from lossatlas.recipes.problem import build_loss
from lossatlas.schedules import SCHEDULES
from lossatlas.schema import STANDARD_ERROR, Quantity
from lossatlas.studies import disagreement, jensen_shannon, measure_differences
from lossatlas.surveying.ensembles import evaluate_ensembles
from lossatlas.surveying.path_points import PathPoints
from lossatlas.surveying.standing import Standing
from lossatlas.training.optimizers import parse_optimizer

STRATEGIES = ("loop", "threads", "vmap", "batched")
EXAMPLES, CLASSES, LENGTH = 11, 4, 6
POINTS = 3


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def drawn_labels(*shape: int) -> Tensor:
    return torch.randint(0, CLASSES, shape, generator=torch.Generator().manual_seed(1))


class Sequence(nn.Module):
    """Logits (B, C, T) of inputs (B, 2, T), or (B, T, C)."""

    def __init__(self, *, last: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(2, CLASSES, 3, padding=1)
        self.last = last

    def forward(self, inputs: Tensor) -> Tensor:
        logits = self.convolution(inputs)
        return logits.transpose(1, 2) if self.last else logits


def padded(*inner: int, ignored: int = -100) -> Tensor:
    """Labels of which an example has 0, 1, 2, ... or, from the fourth on, all."""
    labels = drawn_labels(EXAMPLES, *inner).reshape(EXAMPLES, -1)
    labels[torch.arange(labels.shape[1]) >= torch.tensor([0, 1, 2, *[10**6] * (EXAMPLES - 3)])[:, None]] = ignored
    return labels.reshape(EXAMPLES, *inner)


def padded_from_the_fourth(labels: Tensor, ignored: int = -100) -> Tensor:
    """Likewise, and the last example is padding alone."""
    labels[-1] = ignored
    return labels


@dataclass
class Case:
    """Outputs and labels, under options that torch has, too."""

    module: Callable[[], nn.Module]
    labels: Callable[[], Tensor]
    options: dict[str, Any] = field(default_factory=dict)
    axis: int | None = None
    inputs: tuple[int, ...] = (2, LENGTH)
    dtype: torch.dtype = torch.int64

    def problem(self) -> la.Problem:
        torch.manual_seed(0)
        return la.Problem(self.module().double(), la.CrossEntropy(self.axis, **self.options))

    def split(self) -> la.Split:
        labels = self.labels()
        return la.Split(
            (random(EXAMPLES, *self.inputs), labels if labels.is_floating_point() else labels.to(self.dtype))
        )

    def torchs(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Its own mean over all of these."""
        logits = outputs if self.axis == 1 or outputs.ndim == 2 else outputs.movedim(-1, 1)
        options = dict(self.options)
        if "weight" in options:
            options["weight"] = torch.tensor(options["weight"], dtype=torch.float64)
        return nn.functional.cross_entropy(logits, labels if labels.is_floating_point() else labels.long(), **options)


UNEVEN = (0.5, 2.0, 1.0, 3.0)
WITHOUT_ONE = (0.5, 0.0, 1.0, 0.0)
CASES = {
    "rows": Case(lambda: nn.Linear(3, CLASSES), lambda: drawn_labels(EXAMPLES), inputs=(3,)),
    "ignored rows": Case(lambda: nn.Linear(3, CLASSES), lambda: padded(1)[:, 0], inputs=(3,)),
    "labels of 8 bits": Case(
        lambda: nn.Linear(3, CLASSES), lambda: drawn_labels(EXAMPLES), inputs=(3,), dtype=torch.int8
    ),
    "tokens": Case(lambda: Sequence(last=True), lambda: padded_from_the_fourth(padded(LENGTH))),
    "torch's layout": Case(lambda: Sequence(last=False), lambda: padded(LENGTH), axis=1),
    "images": Case(
        lambda: nn.Conv2d(2, CLASSES, 3, padding=1), lambda: padded(5, 4, ignored=255), {"ignore_index": 255}, 1,
        (2, 5, 4), torch.uint8,
    ),
    "weights": Case(lambda: Sequence(last=True), lambda: padded(LENGTH), {"weight": UNEVEN}),
    "weights of zero": Case(
        lambda: nn.Linear(3, CLASSES), lambda: drawn_labels(EXAMPLES), {"weight": WITHOUT_ONE}, inputs=(3,)
    ),
    "smoothed": Case(lambda: Sequence(last=False), lambda: padded(LENGTH), {"label_smoothing": 0.2}, 1),
    "smoothed and weighed": Case(
        lambda: Sequence(last=True), lambda: padded(LENGTH), {"label_smoothing": 0.2, "weight": UNEVEN}
    ),
    "smoothed with weights of zero": Case(
        lambda: nn.Linear(3, CLASSES), lambda: padded(1)[:, 0],
        {"label_smoothing": 0.3, "weight": WITHOUT_ONE}, inputs=(3,),
    ),
    "probabilities": Case(
        lambda: nn.Linear(3, CLASSES), lambda: random(EXAMPLES, CLASSES).softmax(dim=1), {"weight": UNEVEN}, inputs=(3,)
    ),
    "probabilities of positions": Case(
        lambda: Sequence(last=False), lambda: random(EXAMPLES, CLASSES, LENGTH).softmax(dim=1),
        {"label_smoothing": 0.1}, 1,
    ),
}  # fmt: skip


def chart_of(problem: la.Problem) -> la.Slice:
    origin = la.WeightSpace(problem.module).vector_of(problem.module)
    return la.Slice(origin, random(1, len(origin), seed=3) / 3)


def points_of(chart: la.Slice) -> tuple[Tensor, Tensor]:
    """Coefficients (P, m) and controls (m, n) of a few points."""
    coords = torch.linspace(-1, 1, POINTS, dtype=torch.float64)[:, None]
    return chart.coefficients(coords), chart.controls().detach()


def whole(case: Case, problem: la.Problem, split: la.Split) -> Callable[[Tensor], Tensor]:
    """Torch's mean loss of the whole split as a function of the weights (n,)."""
    space = la.WeightSpace(problem.module)

    def loss(weights: Tensor) -> Tensor:
        inputs, labels = split.data
        return case.torchs(functional_call(problem.module, space.unflatten(weights), (inputs,)), labels)

    return loss


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("group", [1, 4, EXAMPLES])
@pytest.mark.usefixtures("two_threads")
def test_losses_and_derivatives_are_those_of_torch_on_the_whole_split(name: str, group: int) -> None:
    case = CASES[name]
    problem, split = case.problem(), case.split()
    chart = chart_of(problem)
    coefficients, controls = points_of(chart)
    expected = whole(case, problem, split)
    points = coefficients @ controls
    vectors = random(*points.shape, seed=4)
    losses = torch.stack([expected(w) for w in points])
    slopes = torch.stack([torch.func.grad(expected)(w) for w in points])
    bends = torch.stack([hvp(expected, w, v)[1] for w, v in zip(points, vectors, strict=True)])
    for strategy in STRATEGIES:
        engine = la.engine_for(problem, chart, split, plan=strategy, eval_batch_size=group)
        found = engine.evaluate(coefficients, controls, split, choose_metrics(problem.loss, ["loss"]), group)["loss"]
        torch.testing.assert_close(found, losses, rtol=1e-9, atol=1e-12)
        for at, derivatives in engine.derivatives(coefficients, controls, split, group):
            torch.testing.assert_close(derivatives.gradient(), slopes[at], rtol=1e-8, atol=1e-10)
            torch.testing.assert_close(derivatives.hessian_product(vectors[at]), bends[at], rtol=1e-8, atol=1e-10)


def test_labels_in_a_column_are_labels_in_a_row() -> None:
    case = CASES["rows"]
    problem, (inputs, labels) = case.problem(), case.split().data
    column = la.Split((inputs, labels[:, None].to(torch.int16)))
    found = la.survey(chart_of(problem), {"u": np.array([0.0, 0.5])}, problem, {"t": column}, plan="loop")
    plain = la.survey(chart_of(problem), {"u": np.array([0.0, 0.5])}, problem, {"t": case.split()}, plan="loop")
    np.testing.assert_array_equal(found.t_loss, plain.t_loss)
    np.testing.assert_array_equal(found.t_accuracy, plain.t_accuracy)
    images = torch.randint(0, 3, (4, 1, 5, 6))
    torch.testing.assert_close(
        la.CrossEntropy()(random(4, 3, 5, 6), images), la.CrossEntropy(1)(random(4, 3, 5, 6), images[:, 0])
    )


class TestTheAxisOfTheClasses:
    def test_is_understood_where_one_fits(self) -> None:
        logits, labels = random(8, 5, 12), torch.randint(0, 5, (8, 12))
        every = nn.functional.cross_entropy(logits, labels, reduction="none").mean(dim=1)
        for loss in (la.CrossEntropy(), la.CrossEntropy(1), la.CrossEntropy(-2)):
            torch.testing.assert_close(loss(logits, labels), every)
        for loss in (la.CrossEntropy(), la.CrossEntropy(2), la.CrossEntropy(class_axis=-1)):
            torch.testing.assert_close(loss(logits.mT, labels), every)

    def test_is_asked_for_where_two_do(self) -> None:
        with pytest.raises(la.BadInput, match=r"axis 1 and along axis 2; say which: .*class_axis.*--loss\.class_axis"):
            la.CrossEntropy().check(random(8, 5, 5), drawn_labels(8, 5), drawn_labels(8, 5))
        la.CrossEntropy(class_axis=1).check(random(8, 5, 5), drawn_labels(8, 5), drawn_labels(8, 5))

    def test_stays_what_the_first_batch_showed(self) -> None:
        loss = la.CrossEntropy().settled(random(8, 5, 12), drawn_labels(8, 12))
        logits, labels = random(8, 5, 5), drawn_labels(8, 5)
        torch.testing.assert_close(loss(logits, labels), la.CrossEntropy(class_axis=1)(logits, labels))
        assert loss.record == "CrossEntropy"

    def test_that_is_not_there_is_refused(self) -> None:
        for axis in (3, -3):
            with pytest.raises(la.BadInput, match=rf"class_axis {axis} is not there: .*\(8, 5, 12\).* from 1 to 2"):
                la.CrossEntropy(axis).check(random(8, 5, 12), drawn_labels(8, 12), drawn_labels(8, 12))
        with pytest.raises(la.BadInput, match="class_axis is 0, the axis of the examples"):
            la.CrossEntropy(class_axis=0)

    def test_of_one_logit_is_none(self) -> None:
        labels = torch.tensor([0, 1, 1, 0])
        for logits in (random(4), random(4, 1)):
            with pytest.raises(la.BadInput, match="binary_cross_entropy_with_logits"):
                la.CrossEntropy().check(logits, labels, labels)


class TestRefusals:
    @pytest.mark.parametrize("kind", [torch.float32, torch.bool])
    def test_labels_that_are_not_integers(self, kind: torch.dtype) -> None:
        labels = torch.tensor([0, 1, 1, 0]).to(kind)
        with pytest.raises(la.BadInput, match=f"needs integer labels; got {kind}"):
            la.CrossEntropy().check(random(4, 3), labels, labels)

    def test_scores_that_are_not_distributions(self) -> None:
        several = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
        with pytest.raises(la.BadInput, match="do not sum to 1"):
            la.CrossEntropy().check(random(2, 3), several, several)
        even = torch.full((2, 3, 5), 1 / 3)
        with pytest.raises(la.BadInput, match="class_axis"):
            la.CrossEntropy().check(random(2, 3, 5), even, even)

    def test_labels_that_do_not_fit(self) -> None:
        for labels in (drawn_labels(8, 11), drawn_labels(8), drawn_labels(8, 12, 2)):
            with pytest.raises(la.BadInput, match=r"does not fit labels .*squeeze"):
                la.CrossEntropy().check(random(8, 5, 12), labels, labels)

    @pytest.mark.parametrize("weight", [(1.0, -1.0), (0.0, 0.0), (1.0, float("nan")), ()])
    def test_weights_of_classes_that_cannot_be(self, weight: tuple[float, ...]) -> None:
        with pytest.raises(la.BadInput, match="none below 0 and not all 0|weight is nan; expected a number"):
            la.CrossEntropy(weight=weight)

    def test_weights_of_other_classes_than_the_models(self) -> None:
        labels = drawn_labels(8)
        with pytest.raises(la.BadInput, match="weight has 3 numbers and the model 4 outputs"):
            la.CrossEntropy(weight=(1, 2, 3)).check(random(8, 4), labels, labels)
        with pytest.raises(la.BadInput, match="label_smoothing is 1.5"):
            la.CrossEntropy(label_smoothing=1.5)

    @pytest.mark.parametrize(
        ("weights", "what"),
        [
            (lambda y: y - 1.0, "run from -1 to 9; expected finite numbers, none below 0"),
            (lambda y: y / 0.0, "run from nan to nan"),
            (lambda y: 0 * y, "no example counts under PerExample"),
            (lambda y: y[:, None], r"are shape \(11, 1\) for 11 examples"),
            (lambda _: 1.0, "are float for 11 examples"),
        ],
    )
    def test_weights_of_examples_that_cannot_be(self, weights: Callable[[Tensor], Any], what: str) -> None:
        def squares(outputs: Tensor, targets: Tensor) -> Tensor:
            return (outputs[:, 0] - targets).square()

        problem = la.Problem(nn.Linear(3, 1), la.PerExample(squares, weights=weights))
        split = la.Split((torch.zeros(EXAMPLES, 3), torch.arange(float(EXAMPLES))))
        with pytest.raises(la.BadInput, match=what):
            la.survey(
                la.slice_around(problem.module, ["random"]), {"u": np.zeros(1)}, problem, {"t": split}, plan="loop"
            )

    def test_a_split_that_is_padding_alone(self) -> None:
        loss, labels = la.CrossEntropy(), torch.full((5, 3), -100)
        loss.check(random(5, 3, 4), labels, labels)  # another part of the split may count
        total = total_weights(loss, labels, 5)
        assert total_weights(loss, torch.zeros_like(labels), 5) == 15
        with pytest.raises(la.BadInput, match="no example counts under CrossEntropy"):
            check_total(loss, total)
        unseen = la.CrossEntropy(weight=(1, 0, 1), label_smoothing=0.1)
        with pytest.raises(la.BadInput, match="no example counts"):
            check_total(unseen, total_weights(unseen, torch.ones(5, dtype=torch.int64), 5))

    def test_a_column_of_targets_for_a_row_of_predictions(self) -> None:
        with pytest.raises(la.BadInput, match=r"output \(4,\) does not fit squared error with targets \(4, 1\)"):
            la.SquaredError()(torch.zeros(4), torch.zeros(4, 1))
        problem = la.Problem(nn.Linear(2, 1), la.SquaredError())
        with pytest.raises(la.BadInput, match="expected equal shapes"):
            training(problem, la.Split((torch.zeros(8, 2), torch.zeros(8))))


class TestAccuracies:
    @pytest.mark.parametrize("name", ["tokens", "torch's layout", "images", "weights"])
    def test_count_positions_alike(self, name: str) -> None:
        case = CASES[name]
        problem, split = case.problem(), case.split()
        names = ["accuracy", "error", "class_accuracy"]
        standing = Standing(problem, la.WeightSpace(problem.module), split, eval_batch_size=4)
        chart = chart_of(problem)
        engine = la.engine_for(problem, chart, split, plan="vmap", eval_batch_size=4)
        coefficients, controls = points_of(chart)
        found = engine.evaluate(coefficients, controls, split, choose_metrics(problem.loss, names), 4)
        inputs, labels = split.data
        outputs = problem.module(inputs)
        logits = outputs.movedim(case.axis if case.axis is not None else -1, -1)
        counted = labels.long() != problem.loss.ignore_index
        right = (logits.argmax(dim=-1) == labels.long())[counted]
        assert float(found["accuracy"][POINTS // 2]) == pytest.approx(float(right.double().mean()), abs=1e-12)
        assert float(found["error"][POINTS // 2]) == pytest.approx(1 - float(right.double().mean()), abs=1e-12)
        of_class = [float(right[labels.long()[counted] == k].double().mean()) for k in range(CLASSES)]
        np.testing.assert_allclose(found["class_accuracy"][POINTS // 2], of_class, atol=1e-12)
        logits_that_count, ones = standing.predictions(split)
        torch.testing.assert_close(logits_that_count, logits.detach()[counted])
        assert ones.tolist() == [1.0] * int(counted.sum())

    def test_never_compare_labels_in_a_column_with_rows(self) -> None:
        def own(outputs: Tensor, targets: Tensor) -> Tensor:
            return nn.functional.cross_entropy(outputs, targets[:, 0], reduction="none")

        logits, labels = random(8, 4), drawn_labels(8)
        made = Evaluation.of_one(logits, torch.zeros(8), labels[:, None], None, la.PerExample(own, classifies=True))
        assert float(METRICS["accuracy"]().sums(made)[0, 0]) == int((logits.argmax(dim=1) == labels).sum())
        other = Evaluation.of_one(logits, torch.zeros(8), labels[None], None, la.PerExample(own, classifies=True))
        with pytest.raises(la.BadInput, match="does not fit labels"):
            METRICS["accuracy"]().sums(other)


def squares(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets[..., 0]).square()


class Identity(MeanMetric):
    """The outputs themselves, weighed by the targets."""

    def __init__(self, *, weighed: bool) -> None:
        self.weighed = weighed

    def applies(self, loss: la.Loss) -> bool:
        return True

    def quantity(self, loss: la.Loss) -> Quantity:
        return Quantity("identity", "identity", "1")

    def per_example(self, evaluation: Evaluation) -> Tensor:
        return evaluation.outputs

    def weights(self, evaluation: Evaluation) -> Tensor | None:
        return evaluation.targets if self.weighed else None


def folded(metric: MeanMetric, values: Tensor, weights: Tensor, population: int) -> tuple[float, float]:
    """The metric and its standard error, folded over two batches."""
    parts = [slice(0, len(values) // 3), slice(len(values) // 3, None)]
    loss = la.SquaredError()
    sums = sum(metric.sums(Evaluation(values[None, s], values[None, s], weights[s], None, loss)) for s in parts)
    whole = Folded(sums, len(values), population, lambda: torch.ones(1))
    return float(metric.value(whole)), float(metric.companion(STANDARD_ERROR, whole))


class TestStandardErrors:
    def test_of_a_ratio_are_those_of_the_formula(self) -> None:
        values, weights = random(40), random(40, seed=1).square()
        ratio, error = folded(Identity(weighed=True), values, weights, 100)
        assert ratio == pytest.approx(float((weights * values).sum() / weights.sum()))
        residuals = weights * values - ratio * weights
        expected = (residuals.square().sum() / 39 / 40 * (1 - 0.4)).sqrt() / weights.mean()
        assert error == pytest.approx(float(expected), rel=1e-12)

    def test_of_equal_weights_are_those_of_a_mean(self) -> None:
        values = random(40)
        expected = (float(values.mean()), float((values.var() / 40 * (1 - 0.4)).sqrt()))
        for weights in (torch.ones(40, dtype=torch.float64), torch.full((40,), 7.0, dtype=torch.float64)):
            assert folded(Identity(weighed=True), values, weights, 100) == pytest.approx(expected, rel=1e-12)
        assert folded(Identity(weighed=False), values, weights, 100) == pytest.approx(expected, rel=1e-12)

    def test_are_how_far_samples_are_off(self) -> None:
        """Lengths from 1 to 30, most of them short, and numbers that grow with them; plain means err by less."""
        generator = torch.Generator().manual_seed(0)
        lengths = (30 * torch.rand(300, generator=generator, dtype=torch.float64).square()).ceil()
        values = 0.02 * lengths + random(300, seed=5)
        truth = float((lengths * values).sum() / lengths.sum())
        found = np.array(
            [
                (*folded(Identity(weighed=True), values[rows], lengths[rows], 300), float(values[rows].std()))
                for rows in (torch.randperm(300, generator=generator)[:90] for _ in range(1500))
            ]
        )
        off = float(np.sqrt(np.mean((found[:, 0] - truth) ** 2)))
        assert np.sqrt(np.mean(found[:, 1] ** 2)) == pytest.approx(off, rel=0.06)
        plain = float(np.mean(found[:, 2])) / np.sqrt(90) * np.sqrt(1 - 0.3)
        assert abs(plain - off) > 0.15 * off

    def test_are_stored_of_losses_and_accuracies_of_a_subset(self) -> None:
        case = CASES["tokens"]
        problem, split = case.problem(), case.split().subset(6, torch.Generator().manual_seed(0))
        survey = la.survey(chart_of(problem), {"u": np.zeros(1)}, problem, {"t": split}, plan="loop", eval_batch_size=2)
        inputs, labels = split.data
        counted = (labels != -100).double()
        logits = problem.module(inputs).detach()
        every = nn.functional.cross_entropy(logits.movedim(-1, 1), labels, reduction="none")
        for name, each in {"loss": every, "accuracy": (logits.argmax(dim=-1) == labels) * counted}.items():
            sums, positions = each.sum(dim=1), counted.sum(dim=1)
            ratio = sums.sum() / positions.sum()
            residuals = (sums - ratio * positions).square().sum()
            error = (residuals / 5 / 6 * (1 - 6 / EXAMPLES)).sqrt() / positions.mean()
            assert float(survey[f"t_{name}"][0]) == pytest.approx(float(ratio), rel=1e-9)
            assert float(survey[f"t_{name}_standard_error"][0]) == pytest.approx(float(error), rel=1e-9)


class Bent(la.Functional):
    """Not linear in the mean losses, and coupled: all of them count together."""

    coupled = True
    geometric = False

    def value(self, outputs: Tensor, losses: Tensor, shares: Tensor, points: slice) -> Tensor:
        return (losses @ shares).logsumexp(dim=0)

    def geometry(self, coefficients: Tensor, gram: Tensor) -> Tensor:
        raise AssertionError("not asked for")


class TestFits:
    @pytest.mark.parametrize("strategy", STRATEGIES)
    @pytest.mark.parametrize("name", ["tokens", "weights", "smoothed with weights of zero"])
    @pytest.mark.parametrize("kind", ["pattern", "coupled"])
    def test_go_down_on_torchs_mean_of_the_batch(self, strategy: str, name: str, kind: str) -> None:
        case = CASES[name]
        problem, split = case.problem(), case.split()
        chart = chart_of(problem)
        coefficients, controls = points_of(chart)
        cells = -np.ones((4, 4), dtype=np.int8)
        cells[1, 1] = 1
        pattern = la.Pattern(la.Picture(cells, "dot"), cells=2, clip=la.ClipPerCell(1.2)).sample(0, 0, 0.0, {})
        functional = pattern if kind == "pattern" else Bent()
        engine = la.engine_for(problem, chart, split, plan=strategy)
        pull = engine.pullback(coefficients, controls, split.data, functional, choose_metrics(problem.loss))
        value, rows = gradients(problem, coefficients @ controls, split.data, functional, "frozen")
        assert pull.value == pytest.approx(float(value), rel=1e-9)
        torch.testing.assert_close(pull.controls, coefficients.T @ rows, rtol=1e-7, atol=1e-10)
        of_torch = torch.stack([whole(case, problem, split)(w) for w in coefficients @ controls])
        torch.testing.assert_close(pull.metrics["loss"], of_torch, rtol=1e-9, atol=0)
        by_hand = of_torch.logsumexp(dim=0) if kind == "coupled" else of_torch[0] - of_torch[1:].clamp(max=1.2).mean()
        assert pull.value == pytest.approx(float(by_hand), rel=1e-9)

    def test_clip_the_losses_of_examples_in_the_proportion_in_which_these_count(self) -> None:
        losses = torch.tensor([[1.0, 5.0], [4.0, 2.0]])
        shares = torch.tensor([0.75, 0.25])
        assert la.ClipPerExample(2.5).mean(losses, shares).tolist() == [0.75 + 2.5 / 4, 0.75 * 2.5 + 0.5]
        assert la.ClipPerCell(2.5).mean(losses, shares).tolist() == [2.0, 2.5]

    def test_go_on_where_nothing_in_a_batch_counts(self) -> None:
        case = CASES["tokens"]
        problem, (inputs, labels) = case.problem(), case.split().data
        split = la.Split((inputs, torch.where(torch.arange(EXAMPLES)[:, None] < 9, -100, labels)))
        chart = la.Plane.random(problem.module, initialiser=la.ModuleDefault())
        result = la.fit(
            chart, la.Pattern(la.picture("heart", 6), cells=3), problem, split, steps=8, batch_size=2, plan="loop"
        )
        assert any(np.isnan(step["low_loss"]) for step in result.history)
        assert all(np.isfinite(step["objective"]) for step in result.history)
        assert all(bool(part.isfinite().all()) for part in chart.parameters())


def training(problem: la.Problem, split: la.Split, batch_size: int = 4) -> la.Training:
    return la.Training(
        problem, la.WeightSpace(problem.module), split, epochs=1, optimizer=parse_optimizer("sgd,lr=0.1"),
        schedule=SCHEDULES["constant"](), batch_size=batch_size,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["tokens", "images", "weights", "smoothed with weights of zero"])
def test_trainings_step_on_torchs_mean_of_the_batch(name: str) -> None:
    case = CASES[name]
    problem, split = case.problem(), case.split()
    before = la.WeightSpace(problem.module).vector_of(problem.module).clone()
    expected = whole(case, problem, split)
    value, slope = expected(before), torch.func.grad(expected)(before)
    run = training(problem, split, batch_size=EXAMPLES)
    assert run.step()["loss"] == pytest.approx(float(value), rel=1e-9)
    torch.testing.assert_close(la.WeightSpace(problem.module).vector_of(problem.module), before - 0.1 * slope)


@pytest.mark.parametrize("name", ["images", "weights"])
def test_ensembles_are_scored_by_what_counts(name: str) -> None:
    case = CASES[name]
    problem, split = case.problem(), case.split()
    chart = chart_of(problem)
    engine = la.engine_for(problem, chart, split, plan="loop", eval_batch_size=3)
    coefficients, controls = points_of(chart)
    stay, path = (PathPoints(part, controls) for part in (coefficients[:2], coefficients))
    found = evaluate_ensembles(engine, stay, path, problem.loss, split, 3)
    space, (inputs, labels) = la.WeightSpace(problem.module), split.data
    axis = case.axis if case.axis is not None else -1
    each = [
        functional_call(problem.module, space.unflatten(w), (inputs,)).softmax(dim=axis)
        for w in coefficients @ controls
    ]
    for point in range(POINTS):
        for row, others in enumerate(([], [0], [0, 1])):
            mean = torch.stack([each[point], *(each[other] for other in others)]).mean(dim=0)
            assert float(found["loss"][row, point]) == pytest.approx(float(case.torchs(mean.log(), labels)), rel=1e-9)
            counted = labels.long() != problem.loss.ignore_index
            right = (mean.argmax(dim=axis) == labels.long())[counted].double().mean()
            assert float(found["accuracy"][row, point]) == pytest.approx(float(right), abs=1e-12)


def test_networks_differ_by_what_counts() -> None:
    one, other, weights = random(30, 4), random(30, 4, seed=1), torch.arange(30) % 3
    kept = weights > 0
    repeated = torch.arange(30).repeat_interleave(weights)
    for function in (disagreement, jensen_shannon):
        assert function(one, other, weights) == pytest.approx(function(one[repeated], other[repeated]), rel=1e-12)
    one[~kept] = float("nan")  # what counts nothing says nothing
    (found,) = measure_differences({"a": one, "b": other}, classifies=False, weights=weights)
    expected = (one[repeated] - other[repeated]).square().sum(dim=1).mean()
    assert found.values[0, 1] == pytest.approx(float(expected), rel=1e-12)


class Language(nn.Module):
    """A toy model that returns the mean over the positions that count, as those of ``transformers`` do."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(CLASSES, 5), nn.Linear(5, CLASSES)

    def forward(self, input_ids: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.head(self.embedding(input_ids))
        return {"logits": logits, "loss": nn.functional.cross_entropy(logits.movedim(-1, 1), labels)}


def positions(labels: Tensor) -> Tensor:
    return (labels != -100).sum(dim=1)


def texts() -> dict[str, Tensor]:
    return {"input_ids": drawn_labels(EXAMPLES, LENGTH), "labels": padded_from_the_fourth(padded(LENGTH))}


def language(weights: Callable[[Tensor], Tensor] | None) -> la.Problem:
    torch.manual_seed(0)
    feed = la.Dict(output="loss", with_targets=True)
    return la.Problem(Language().double(), la.BatchMean(lambda own, _: own, weights=weights), feed)


class TestMeansOfBatches:
    @pytest.mark.parametrize("strategy", STRATEGIES)
    @pytest.mark.parametrize("group", [1, 4, EXAMPLES])
    def test_with_the_numbers_of_their_positions_are_the_mean_over_all(self, strategy: str, group: int) -> None:
        problem, split = language(positions), la.Split(texts())
        chart = chart_of(problem)
        coefficients, controls = points_of(chart)
        space = la.WeightSpace(problem.module)

        def whole(weights: Tensor) -> Tensor:
            return functional_call(problem.module, space.unflatten(weights), (), split.data)["loss"]

        engine = la.engine_for(problem, chart, split, plan=strategy, eval_batch_size=group)
        found = engine.evaluate(coefficients, controls, split, choose_metrics(problem.loss), group)["loss"]
        points = coefficients @ controls
        torch.testing.assert_close(found, torch.stack([whole(w) for w in points]))
        for at, derivatives in engine.derivatives(coefficients, controls, split, group):
            torch.testing.assert_close(
                derivatives.gradient(), torch.stack([torch.func.grad(whole)(w) for w in points[at]])
            )
            vectors = random(*points[at].shape)
            bends = [hvp(whole, w, v)[1] for w, v in zip(points[at], vectors, strict=True)]
            torch.testing.assert_close(derivatives.hessian_product(vectors), torch.stack(bends))

    def test_without_them_say_that_they_depend_on_the_group(self) -> None:
        problem, split = language(None), la.Split(texts())
        chart = chart_of(problem)
        with pytest.warns(
            Caution, match=r"BatchMean\(.*\) depends on how many .*weights=.*evaluate the whole split together"
        ) as told:
            la.survey(chart, {"u": np.zeros(1)}, problem, {"a": split, "b": split}, plan="loop", eval_batch_size=4)
        assert len(told) == 1
        la.survey(
            chart, {"u": np.zeros(1)}, problem, {"a": split}, plan="loop", eval_batch_size=EXAMPLES
        )  # nothing to say

    @pytest.mark.parametrize(
        ("function", "depends"),
        [
            (nn.functional.mse_loss, False),
            (lambda out, y: nn.functional.l1_loss(out, y), False),
            (lambda out, y: (out - y).square().sum(), True),
            (lambda out, y: (out - y).square().mean().sqrt(), True),
            (lambda out, y: ((out - y).square() * (y > 0)).sum() / (y > 0).sum(), True),
        ],
    )
    def test_are_told_apart_from_means_over_examples(self, function: Callable[..., Tensor], depends: bool) -> None:
        problem = la.Problem(nn.Linear(3, 2), la.BatchMean(function))
        split = la.Split((random(40, 3).float(), random(40, 2, seed=1).float()))
        network = Network(problem, la.WeightSpace(problem.module), la.BatchStatistics(), chart_of_single(problem))
        assert depends_on_groups(network, split, calls=True) is depends

    def test_of_sorted_lengths_are_found_out(self) -> None:
        def mean(logits: Tensor, labels: Tensor) -> Tensor:
            return nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())

        lengths = torch.arange(200).div(20, rounding_mode="floor") + 1
        labels = drawn_labels(200, 10).where(torch.arange(10) < lengths[:, None], -100)
        for targets, depends in ((labels, True), (drawn_labels(200, 10), False)):
            torch.manual_seed(0)
            problem = la.Problem(nn.Embedding(CLASSES, CLASSES), la.BatchMean(mean))
            network = Network(problem, la.WeightSpace(problem.module), la.BatchStatistics(), chart_of_single(problem))
            assert depends_on_groups(network, la.Split((drawn_labels(200, 10), targets)), calls=True) is depends

    def test_that_normalise_by_the_batch_are_not_accused(self) -> None:
        class Own(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.head = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1))

            def forward(self, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
                return {"loss": (self.head(inputs)[:, 0] - labels).square().mean()}

        torch.manual_seed(0)
        problem = la.Problem(Own(), la.BatchMean(lambda own, _: own), la.Dict(output="loss", with_targets=True))
        split = la.Split({"inputs": torch.randn(40, 3), "labels": torch.randn(40)})
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            la.survey(
                chart_of_single(problem), {"u": np.zeros(1)}, problem, {"t": split}, plan="loop", eval_batch_size=10
            )


def chart_of_single(problem: la.Problem) -> la.Slice:
    return la.slice_around(problem.module, ["random"])


class TestRecords:
    def test_say_all_options_that_are_not_the_defaults(self) -> None:
        stated = la.CrossEntropy(class_axis=1, ignore_index=255, weight=torch.tensor([1.0, 0.5]), label_smoothing=0.1)
        assert stated.record == ("CrossEntropy(class_axis=1, ignore_index=255, weight=(1.0, 0.5), label_smoothing=0.1)")
        assert la.CrossEntropy().record == "CrossEntropy"
        many = [la.CrossEntropy(weight=[1.0] * 99 + [last]).record for last in (2.0, 3.0)]
        assert many[0] != many[1]
        assert max(map(len, many)) < 60

    def test_tell_weights_of_examples(self) -> None:
        assert la.PerExample(squares, weights=positions).record != la.PerExample(squares).record
        assert "positions" in la.BatchMean(squares, weights=positions).record


class Listening(Reporter):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def progress(self, phase: str, share: float, numbers: Any) -> None:
        pass


class TestTheCommandLine:
    OPTIONS = (
        "--loss", "cross_entropy", "--loss.class_axis", "1", "--loss.ignore_index", "255", "--loss.weight", "1", "2",
        "0.5", "--loss.label_smoothing", "0.1",
    )  # fmt: skip

    def test_options_of_the_loss_are_printed_so_that_they_can_be_read(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["fit", *self.OPTIONS, "--print_config"]) == 0
        printed = capsys.readouterr().out
        flat = yaml.safe_load(printed)
        assert flat["loss.weight"] == [1.0, 2.0, 0.5]
        (tmp_path / "run.yaml").write_text(printed)
        assert main(["fit", "--config", str(tmp_path / "run.yaml"), "--print_config"]) == 0
        assert capsys.readouterr().out == printed
        config = FitConfig.from_flat(flat)
        split = la.Split((torch.zeros(4, 3), torch.tensor([0, 1, 2, 1])))
        assert build_loss(config.loss, split, config.loss_options) == la.CrossEntropy(1, 255, (1, 2, 0.5), 0.1)

    def test_a_loss_that_depends_on_the_group_is_noted_once(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "grouped.py").write_text(
            "import lossatlas as la\nLOSS = la.BatchMean(lambda out, y: (out.logsumexp(dim=1) * y).sum() / y.sum())\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        tokens = ["--loss", "grouped:LOSS", "--clip", "cell", "--steps", "1", "--size", "6x6", "--cells", "2"]
        tokens += [
            "--examples",
            "40",
            "--eval_batch_size",
            "20",
            "--plan",
            "loop",
            "--no_pictures",
            "--out",
            str(tmp_path / "run"),
        ]
        assert main(["fit", *tokens]) == 0
        said = [line for line in capsys.readouterr().err.splitlines() if "depends on how many" in line]
        assert len(said) == 1
        assert said[0].startswith("lossatlas: note: BatchMean(grouped.<lambda>)")

    @pytest.mark.parametrize(
        ("tokens", "said"),
        [
            (
                ["--loss.class_axis", "1"],
                "--loss.class_axis is an option of a named loss, and the loss is auto; name one",
            ),
            (["--loss", "squared_error", "--loss.weight=1"], "the loss is squared_error; name one"),
            (["--loss", "cross_entropie", "--loss.weight=1"], "did you mean 'cross_entropy'"),
            (["--loss", "cross_entropy", "--loss.wieght=1"], "loss.wieght"),
            (["--loss", "cross_entropy", "--loss.weight", "1", "-2"], "none below 0"),
            (["--loss", "cross_entropy", "--loss.class_axis", "3", "--plan", "loop"], "class_axis 3 is not there"),
        ],
    )
    def test_what_cannot_be_is_one_line(
        self, tokens: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["fit", *tokens, "--steps", "1", "--out", str(tmp_path / "run")]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert said in lines[0]
        assert not (tmp_path / "run").exists()

    def test_a_run_says_its_loss_and_resumes_with_its_options(self, tmp_path: Path) -> None:
        config = FitConfig(
            loss="cross_entropy", loss_options={"label_smoothing": 0.1}, size="6x6", steps=2, cells=2, plan="loop",
            model_options={"hidden": (4,)}, examples="40", padding=0,
        )  # fmt: skip
        told = Listening()
        summary = run_fit(config, tmp_path / "run", reporter=told, pictures=False)
        assert told.lines.count("loss: CrossEntropy(label_smoothing=0.1)") == 1
        assert run_fit(config, tmp_path / "run", resume=True, pictures=False) == summary
        with pytest.raises(la.BadInput, match="loss.label_smoothing was 0.1 and is 0.0"):
            run_fit(FitConfig(**{**vars(config), "loss_options": {}}), tmp_path / "run", resume=True, pictures=False)

    def test_a_run_that_is_older_than_an_option_has_its_default(self, tmp_path: Path) -> None:
        config = FitConfig(
            loss="cross_entropy", size="6x6", steps=2, cells=2, plan="loop", model_options={"hidden": (4,)},
            examples="40", padding=0,
        )  # fmt: skip
        summary = run_fit(config, tmp_path / "run", pictures=False)
        stored = tmp_path / "run" / "config.yaml"
        flat = yaml.safe_load(stored.read_text())
        assert flat.pop("loss.ignore_index") == -100
        stored.write_text(yaml.safe_dump(flat))
        assert run_fit(config, tmp_path / "run", resume=True, pictures=False) == summary

    def test_losses_with_other_options_are_other_losses(self) -> None:
        split = la.Split((torch.zeros(4, 3), torch.tensor([0, 1, 2, 1])))
        runs = [
            Known("a", {"loss": "auto"}, {}),
            Known("b", {"loss": "cross_entropy", "loss.ignore_index": -100}, {}),
            Known("c", {"loss": "cross_entropy", "loss.weight": [1, 2, 3]}, {}),
        ]
        check_same_losses(runs[:2], split, "or else")
        with pytest.raises(la.BadInput, match=r"CrossEntropy and CrossEntropy\(weight=\(1.0, 2.0, 3.0\)\); or else"):
            check_same_losses(runs, split, "or else")

    def test_only_losses_with_options_have_some(self) -> None:
        assert find_loss_options("cross_entropy") is la.CrossEntropy
        assert find_loss_options("squared_error") is find_loss_options("auto") is find_loss_options("mine:own") is None
        assert "loss" not in CompareConfig.named()
