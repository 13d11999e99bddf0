"""Single examples at one point: what they add up to is what a survey has there."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from networks import Tied
from sklearn.metrics import accuracy_score, confusion_matrix
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import vector_to_parameters

import lossatlas as la
from lossatlas.studies import examine_network, form_point, measure_place
from lossatlas.surveying.standing import Standing

AT = (0.4, -0.3)
EXAMPLES = 70


def make_examples(classes: int = 3, width: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(EXAMPLES, width, generator=generator)
    return inputs, torch.randint(classes, (EXAMPLES,), generator=generator)


def make_module(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 9), nn.Tanh(), nn.Linear(9, 3))


def build_at(module: nn.Module, chart: la.CoefficientChart, at: tuple[float, ...] = AT) -> nn.Module:
    """The module with the weights of a point in it, in evaluation mode, as nobody's copy of an engine."""
    built = copy.deepcopy(module).eval()
    weights = chart.points(torch.tensor([at], dtype=torch.float64)).detach()[0]
    vector_to_parameters(weights, built.parameters())
    return built


def examine(problem: la.Problem, chart: la.Chart, data: Any, at: tuple[float, ...] = AT, **options: Any) -> Any:
    engine = la.engine_for(problem, chart, data, plan="loop", eval_batch_size=32)
    return la.examine_point(engine, chart, at, data, eval_batch_size=32, **options)


@pytest.fixture(scope="module")
def classified() -> tuple[nn.Module, la.Slice, tuple[Tensor, Tensor], Any]:
    module, data = make_module(), make_examples()
    chart = la.slice_around(module)
    return module, chart, data, examine(la.Problem(module, la.CrossEntropy()), chart, data)


class TestAClassifier:
    def test_has_the_metrics_of_a_survey(self, classified: Any) -> None:
        module, chart, data, found = classified
        grid = {axis: np.array([value]) for axis, value in zip(chart.axes, AT, strict=True)}
        problem = la.Problem(module, la.CrossEntropy())
        survey = la.survey(chart, grid, problem, {"test": data}, plan="loop", eval_batch_size=32)
        assert found.metrics.keys() == {"loss", "accuracy"}
        for name, value in found.metrics.items():
            assert value == pytest.approx(float(survey[f"test_{name}"].item()), rel=1e-6)

    def test_has_the_losses_predictions_and_probabilities_of_a_network_built_anew(self, classified: Any) -> None:
        module, chart, (inputs, labels), found = classified
        with torch.no_grad():
            logits = build_at(module, chart)(inputs)
        np.testing.assert_allclose(found.losses, functional.cross_entropy(logits, labels, reduction="none"), rtol=2e-5)
        np.testing.assert_array_equal(found.predictions, logits.argmax(dim=1))
        np.testing.assert_array_equal(found.targets, labels)
        np.testing.assert_array_equal(found.right, logits.argmax(dim=1) == labels)
        probabilities = logits.softmax(dim=1)
        np.testing.assert_allclose(found.probabilities, probabilities.max(dim=1).values, rtol=1e-5)
        own = probabilities[torch.arange(EXAMPLES), labels]
        np.testing.assert_allclose(found.target_probabilities, own, rtol=1e-5)
        assert found.right_shares is None
        assert found.notes == ()

    def test_has_the_confusion_of_scikit_learn(self, classified: Any) -> None:
        _, _, (_, labels), found = classified
        np.testing.assert_array_equal(found.confusion, confusion_matrix(labels, found.predictions, labels=range(3)))
        assert found.metrics["accuracy"] == pytest.approx(accuracy_score(labels, found.predictions))

    def test_has_the_standard_errors_of_means(self, classified: Any) -> None:
        *_, found = classified
        assert found.loss_error == pytest.approx(found.losses.std(ddof=1) / math.sqrt(EXAMPLES), rel=1e-5)
        assert found.accuracy_error == pytest.approx(found.right.std(ddof=1) / math.sqrt(EXAMPLES), rel=1e-9)

    def test_is_light(self, classified: Any) -> None:
        *_, found = classified
        arrays = [value for value in vars(found).values() if isinstance(value, np.ndarray)]
        assert all(array.itemsize <= 4 for array in arrays if len(array) == EXAMPLES)
        assert not any(isinstance(value, Tensor) for value in vars(found).values())

    def test_names_its_worst_examples(self, classified: Any) -> None:
        *_, found = classified
        worst = found.worst(5)
        assert [each.index for each in worst] == np.argsort(-found.losses, kind="stable")[:5].tolist()
        first = worst[0]
        assert (first.target, first.prediction) == (found.targets[first.index], found.predictions[first.index])
        assert first.right is bool(found.right[first.index])
        assert len(found.worst(1000)) == EXAMPLES

    def test_names_what_changed_most_from_another_point(self, classified: Any) -> None:
        module, chart, data, found = classified
        centre = examine(la.Problem(module, la.CrossEntropy()), chart, data, (0.0, 0.0))
        changed = found.changed(centre, 1000)
        rises = found.losses - centre.losses
        assert len(changed) == (rises > 0).sum()
        assert [each.after.index for each in changed] == [k for k in np.argsort(-rises, kind="stable") if rises[k] > 0]
        first = changed[0]
        assert first.rise == pytest.approx(rises.max(), rel=1e-6)
        assert first.before.prediction == centre.predictions[first.before.index]

    def test_is_not_compared_on_other_examples(self, classified: Any) -> None:
        module, chart, (inputs, labels), found = classified
        other = examine(la.Problem(module, la.CrossEntropy()), chart, (inputs, (labels + 1) % 3))
        with pytest.raises(la.BadInput, match="compared on different examples"):
            found.changed(other, 3)

    def test_of_a_sample_has_the_companions_of_a_survey(self, classified: Any) -> None:
        module, chart, data, _ = classified
        some = la.Split(data).subset(40, torch.Generator().manual_seed(0))
        problem = la.Problem(module, la.CrossEntropy())
        found = examine(problem, chart, some)
        grid = {axis: np.array([value]) for axis, value in zip(chart.axes, AT, strict=True)}
        survey = la.survey(chart, grid, problem, {"test": some}, plan="loop", eval_batch_size=32)
        stored = float(survey["test_loss_standard_error"].item())
        assert found.metrics["loss_standard_error"] == pytest.approx(stored, rel=1e-5)
        # A survey's is for the rest of the split, this one for examples that nobody has seen.
        assert found.loss_error == pytest.approx(stored / math.sqrt(1 - 40 / EXAMPLES), rel=1e-5)

    def test_is_refused_coordinates_that_do_not_fit(self, classified: Any) -> None:
        module, chart, data, _ = classified
        for wrong in ((0.0,), (0.0, math.nan)):
            with pytest.raises(la.BadInput, match="expected a finite number for each of u, v"):
                examine(la.Problem(module, la.CrossEntropy()), chart, data, wrong)


def test_weights_of_classes_count_as_in_the_mean_loss() -> None:
    module, (inputs, labels) = make_module(), make_examples()
    labels[:4] = -100
    problem = la.Problem(module, la.CrossEntropy(weight=(1.0, 0.0, 3.0)))
    found = examine(problem, chart := la.slice_around(module), (inputs, labels))
    with torch.no_grad():
        logits = build_at(module, chart)(inputs)
    weight = torch.tensor([1.0, 0.0, 3.0])
    assert found.metrics["loss"] == pytest.approx(float(functional.cross_entropy(logits, labels, weight)), rel=1e-5)
    w = np.where(labels >= 0, weight[labels.clamp(min=0)], 0.0)
    np.testing.assert_allclose(found.weights, w)
    residuals = w * (found.losses - found.metrics["loss"])
    expected = math.sqrt((residuals**2).sum() / (EXAMPLES * (EXAMPLES - 1))) / w.mean()
    assert found.loss_error == pytest.approx(expected, rel=1e-4)
    assert found.confusion.sum() == EXAMPLES - 4
    assert (found.targets[:4] == -1).all()
    assert not found.right[:4].any()
    one = found.example(0)
    assert (one.target, one.right, one.target_probability) == (None, None, None)
    assert all(w[each.index] > 0 for each in found.worst(EXAMPLES))


def test_a_loss_that_is_not_finite_is_the_worst_and_has_risen_most() -> None:
    module, data = make_module(), make_examples()

    def logarithm(outputs: Tensor, targets: Tensor) -> Tensor:
        losses = functional.cross_entropy(outputs, targets, reduction="none")
        return torch.where(outputs.sum(dim=1) > outputs.sum(dim=1).sort().values[-2], torch.nan, losses)

    problem = la.Problem(module, la.PerExample(logarithm, classifies=True))
    chart = la.slice_around(module)
    engine = la.engine_for(la.Problem(module, la.CrossEntropy()), chart, data, plan="loop")
    centre = la.examine_point(engine, chart, (0.0, 0.0), data)
    standing = Standing(problem, la.WeightSpace(module), la.Split(data))
    found = examine_network(standing.engine, standing.point, la.Split(data), {}, 500)
    nan = int(np.flatnonzero(np.isnan(found.losses))[0])
    assert found.worst(1)[0].index == nan
    assert found.changed(centre, 1)[0].after.index == nan


def test_of_tokens_the_share_of_right_positions_is_known() -> None:
    torch.manual_seed(0)
    module, tokens = Tied(), torch.randint(7, (20, 6))
    labels = tokens.roll(1, dims=1)
    labels[:, :2], labels[3] = -100, -100
    problem = la.Problem(module, la.CrossEntropy())
    chart = la.slice_around(module)
    found = examine(problem, chart, (tokens, labels))
    with torch.no_grad():
        logits = build_at(module, chart)(tokens)
    right, counted = (logits.argmax(dim=-1) == labels).numpy(), (labels >= 0).numpy()
    shares = np.array([row[mask].mean() if mask.any() else np.nan for row, mask in zip(right, counted, strict=True)])
    np.testing.assert_allclose(found.right_shares, shares, rtol=1e-6)
    assert found.right is None
    assert found.predictions is None
    assert found.metrics["accuracy"] == pytest.approx(right[counted].mean())
    np.testing.assert_array_equal(
        found.confusion, confusion_matrix(labels[counted], logits.argmax(dim=-1)[counted], labels=range(7))
    )


def test_of_a_regression_predictions_are_values() -> None:
    torch.manual_seed(0)
    module, inputs, targets = nn.Linear(4, 2), torch.randn(30, 4), torch.randn(30, 2)
    chart = la.slice_around(module)
    found = examine(la.Problem(module, la.SquaredError()), chart, (inputs, targets))
    with torch.no_grad():
        outputs = build_at(module, chart)(inputs)
    np.testing.assert_allclose(found.predictions, outputs, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.losses, (outputs - targets).square().mean(dim=1), rtol=1e-5)
    assert found.right is None
    assert found.confusion is None
    assert found.accuracy_error is None
    worst = found.worst(1)[0]
    assert worst.target == pytest.approx(tuple(targets[worst.index].tolist()))


def test_a_loss_with_one_mean_has_means_alone_and_says_so() -> None:
    module, data = make_module(), make_examples()
    problem = la.Problem(module, la.BatchMean(functional.cross_entropy))
    found = examine(problem, la.slice_around(module), data)
    assert found.losses is None
    assert found.loss_error is None
    assert (found.worst(3), found.changed(found, 3)) == ([], [])
    assert any("one value for a whole batch" in note for note in found.notes)
    with pytest.raises(la.BadInput, match="one value for a whole batch"):
        found.example(0)


def make_normalised() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Linear(9, 3))


def test_reestimated_statistics_are_those_of_a_survey() -> None:
    module, data = make_normalised(), make_examples()
    problem, chart = la.Problem(module, la.CrossEntropy()), la.slice_around(module)
    policy = la.ReestimatedStatistics(data, batches=2, size=35)
    engine = la.engine_for(problem, chart, data, plan="loop", buffers=policy)
    found = la.examine_point(engine, chart, AT, data)
    built = build_at(module, chart)
    for part in built.modules():
        if isinstance(part, nn.BatchNorm1d):
            part.momentum = None
            part.reset_running_stats()
    built.train()
    with torch.no_grad():
        for batch in data[0].split(35):
            built(batch)
        losses = functional.cross_entropy(built.eval()(data[0]), data[1], reduction="none")
    np.testing.assert_allclose(found.losses, losses, rtol=1e-4, atol=1e-6)
    state = engine.find_state(*form_point(chart, AT))
    fresh = make_normalised()
    fresh.load_state_dict({**state, "1.num_batches_tracked": torch.tensor(0)}, strict=True)
    with torch.no_grad():
        again = functional.cross_entropy(fresh.eval()(data[0]), data[1])
    assert float(again) == pytest.approx(found.metrics["loss"], rel=1e-5)


def test_batch_statistics_are_told() -> None:
    module, data = make_normalised(), make_examples()
    chart = la.slice_around(module)
    engine = la.engine_for(
        la.Problem(module, la.CrossEntropy()), chart, data, plan="loop", buffers=la.BatchStatistics()
    )
    found = la.examine_point(engine, chart, AT, data)
    assert any("depends on the others in its batch" in note for note in found.notes)


def test_the_state_of_a_point_has_tied_parameters_under_all_names_and_shares_nothing() -> None:
    module, tokens = Tied(), torch.randint(7, (20, 6))
    chart = la.slice_around(module)
    engine = la.engine_for(la.Problem(module, la.CrossEntropy()), chart, (tokens, tokens), plan="loop")
    state = engine.find_state(*form_point(chart, AT))
    assert state.keys() == module.state_dict().keys()
    assert torch.equal(state["head.weight"], state["embedding.weight"])
    assert state["head.weight"].data_ptr() != state["embedding.weight"].data_ptr()
    weights = chart.points(torch.tensor([AT])).detach()[0]
    torch.testing.assert_close(la.WeightSpace(module).flatten(state), weights)


def test_a_state_with_other_things_than_tensors_is_refused() -> None:
    class Noted(nn.Linear):
        def get_extra_state(self) -> str:
            return "noted"

        def set_extra_state(self, state: Any) -> None:
            pass

    module, data = Noted(4, 3), make_examples()
    chart = la.slice_around(module)
    engine = la.engine_for(la.Problem(module, la.CrossEntropy()), chart, data, plan="loop")
    with pytest.raises(la.BadInput, match="'_extra_state' in the state of the model is a str"):
        engine.find_state(*form_point(chart, AT))


def test_a_place_is_measured_as_by_numpy() -> None:
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randn(2, 3000, generator=generator)
    place = measure_place(one, other)
    a, b = one.double().numpy(), other.double().numpy()
    assert place.distance == pytest.approx(np.linalg.norm(a - b), rel=1e-12)
    assert place.relative_distance == pytest.approx(np.linalg.norm(a - b) / np.linalg.norm(b), rel=1e-12)
    assert place.cosine == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), rel=1e-9)
    assert measure_place(one, one).distance == 0
    assert math.isnan(measure_place(one, torch.zeros(3000)).cosine)
