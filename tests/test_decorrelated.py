"""Members on one chart whose errors differ: the grid, the objective, its gradient, and a fit of it."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from networks import make, plane
from torch import Tensor, nn
from torch.func import functional_call

import lossatlas as la
from lossatlas.cli.main import main
from lossatlas.engine.engine import Engine
from lossatlas.engine.network import Network
from lossatlas.engine.plan import Plan
from lossatlas.fitting import Fit
from lossatlas.objectives.residuals import find_residuals, multiply_residuals
from lossatlas.pictures import MemberGrid

MEMBERS = 7


class TestGrid:
    @pytest.mark.parametrize(
        ("count", "rank", "shape"),
        [
            (16, 2, (4, 4)), (31, 2, (6, 6)), (2, 2, (2, 2)), (5, 2, (2, 3)), (12, 2, (3, 4)), (27, 3, (3, 3, 3)),
            (31, 3, (3, 3, 4)), (2, 3, (2, 2, 2)), (5, 1, (5,)),
        ],
    )  # fmt: skip
    def test_is_as_square_as_possible(self, count: int, rank: int, shape: tuple[int, ...]) -> None:
        grid = MemberGrid(count, rank)
        assert grid.shape == shape
        assert grid.low.sum() == count
        assert (np.isnan(grid.target) == ~grid.low).all()
        assert grid.member_coords().shape == (count, rank)
        assert len({tuple(place) for place in grid.member_coords()}) == count
        (asked,) = grid.list_variables(1, "nat")
        values = asked.values
        assert asked.name == "target"
        assert sorted(set(values.ravel().tolist())) == [0, 1]
        assert (grid.from_grid(values, 1) > 0).tolist() == grid.low.tolist()

    @pytest.mark.parametrize(
        ("spec", "options", "message"),
        [
            ("members:1", {}, "an ensemble of 1 members is asked for; expected two or more"),
            ("members:x", {}, "'x' is not a number of members"),
            ("members:-3", {}, "'-3' is not a number of members"),
            ("members:9", {"axes": 4}, "axes is 4; expected 1, 2 or 3"),
            ("members:9", {"invert": True}, "cannot be inverted"),
            ("members:9", {"size": 12}, "the size of a grid of members follows from their number"),
            ("members:99999999", {}, "expected 1,000,000 at most"),
        ],
    )
    def test_that_cannot_be_is_refused(self, spec: str, options: dict[str, Any], message: str) -> None:
        with pytest.raises(la.BadInput, match=message):
            la.picture(spec, options.pop("size", None), options.pop("invert", False), **options)


def residual(name: str, outputs: Tensor, targets: Tensor) -> Tensor:
    """The residuals of one network, (B, F), written out."""
    if name == "regression":
        return (outputs - targets) / targets.shape[1] ** 0.5
    return outputs.softmax(dim=-1) - nn.functional.one_hot(targets, outputs.shape[-1])


def written_out(name: str, problem: la.Problem, weights: list[Tensor], batch: Any, weight: float) -> Tensor:
    """The objective by its definition: a plain loop over members, and one over all ordered pairs of them."""
    space = la.WeightSpace(problem.module)
    inputs, targets = batch
    losses, residuals = [], []
    for one in weights:
        params = {key: value[0] for key, value in space.unflatten(one[None]).items()}
        outputs = functional_call(problem.module, params, (inputs,))
        squared = (outputs - targets).square().mean() if name == "regression" else None
        losses.append(squared if squared is not None else nn.functional.cross_entropy(outputs, targets))
        residuals.append(residual(name, outputs, targets))
    pairs = [(residuals[i] * residuals[j]).sum(dim=1).mean() for i, j in permutations(range(len(weights)), 2)]
    return torch.stack(losses).mean() + weight * torch.stack(pairs).mean()


class TestObjective:
    @pytest.mark.parametrize("strategy", ["loop", "batched", "vmap"])
    @pytest.mark.parametrize("name", ["mlp", "conv", "regression"])
    @pytest.mark.parametrize("weight", [0.0, 0.7])
    def test_has_the_gradient_of_its_definition(self, name: str, strategy: str, weight: float) -> None:
        problem, split = make(name)
        chart = plane(problem)
        engine = Engine(
            Network(problem, la.WeightSpace(problem.module), la.BatchStatistics(), chart), Plan.of(strategy, 3)
        )
        sampled = la.Decorrelated(MemberGrid(MEMBERS), weight=weight).sample(0, 0, 0.0, {})
        assert sampled.coupled == (weight > 0)
        batch = split.take(torch.arange(len(split)))
        controls = chart.controls().detach()
        coefficients = chart.mixture(sampled.coords, controls).detach()
        pull = engine.pullback(coefficients.clone().requires_grad_(), controls, batch, sampled)
        leaves = coefficients.clone().requires_grad_(), controls.clone().requires_grad_()
        wanted = written_out(name, problem, list(leaves[0] @ leaves[1]), batch, weight)
        by_coefficients, by_controls = torch.autograd.grad(wanted, leaves)
        assert pull.value == pytest.approx(wanted.item(), rel=1e-12)
        torch.testing.assert_close(pull.controls, by_controls, rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(pull.coefficients, by_coefficients, rtol=1e-9, atol=1e-11)

    def test_takes_the_mean_over_pairs_without_forming_them(self) -> None:
        residuals = torch.randn(6, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        pairs = [(residuals[i] * residuals[j]).sum(dim=1) for i, j in permutations(range(6), 2)]
        found = multiply_residuals(residuals.sum(dim=0), residuals.square().sum(dim=(0, 2)), 6)
        torch.testing.assert_close(found, torch.stack(pairs).mean(dim=0), rtol=1e-12, atol=1e-14)

    def test_counts_examples_and_positions_as_the_loss_does(self) -> None:
        """Of texts, the tokens that count, and of examples their weights."""
        generator = torch.Generator().manual_seed(1)
        logits = torch.randn(2, 3, 5, 4, generator=generator, dtype=torch.float64)
        labels = torch.randint(4, (3, 5), generator=generator)
        labels[0, 2:] = -100
        found = find_residuals(la.CrossEntropy(class_axis=-1), logits, labels)
        wrong = logits.softmax(-1) - nn.functional.one_hot(labels.clamp(min=0), 4)
        assert (found[0, 0] @ found[1, 0]).item() == pytest.approx((wrong[0, 0, :2] * wrong[1, 0, :2]).sum().item() / 2)
        assert (found[0, 1] @ found[1, 1]).item() == pytest.approx((wrong[0, 1] * wrong[1, 1]).sum().item() / 5)
        soft = torch.softmax(torch.randn(3, 4, generator=generator, dtype=torch.float64), dim=-1)
        logits = logits[:, :, 0]
        torch.testing.assert_close(find_residuals(la.CrossEntropy(), logits, soft), logits.softmax(-1) - soft)

    def test_samples_some_of_many_members(self) -> None:
        objective = la.Decorrelated(MemberGrid(40), weight=1.0, cells=8)
        drawn = [tuple(map(tuple, objective.sample(0, step, 0.0, {}).coords.tolist())) for step in range(60)]
        assert {len(set(one)) for one in drawn} == {8}
        assert len(set().union(*map(set, drawn))) == 40
        assert drawn[3] == tuple(map(tuple, objective.sample(0, 3, 0.5, {}).coords.tolist()))

    def test_that_cannot_be_is_refused(self) -> None:
        with pytest.raises(la.BadInput, match="the weight of decorrelation is -1"):
            la.Decorrelated(MemberGrid(4), weight=-1)
        with pytest.raises(la.BadInput, match="a step samples 1 members; expected at least two, whose errors differ"):
            la.Decorrelated(MemberGrid(4), weight=1, cells=1)
        problem, split = make("mlp")
        own = la.Problem(problem.module, la.PerExample(lambda outputs, _: outputs.square().sum(dim=1)))
        chart = plane(own)
        with pytest.raises(la.BadInput, match="decorrelation is of the errors of probabilities or of numbers"):
            la.fit(chart, la.Decorrelated(MemberGrid(4), weight=1), own, split, steps=1, plan="loop")


@pytest.mark.parametrize("rank", [2, 3])
def test_decorrelated_members_hold_the_memory_of_their_chart(rank: int) -> None:
    """Weights of the origin and of each axis, their gradients and two moments, however many members there are."""
    problem, split = make("mlp")
    held = set()
    for count in (4, 40):
        chart = plane(problem, rank)
        trained = sum(p.numel() for p in chart.parameters() if p.requires_grad)
        objective = la.Decorrelated(MemberGrid(count, rank), weight=0.3)
        engine = la.engine_for(problem, chart, split, plan="loop", points=8)
        fit = Fit(chart, objective, engine, split, la.Steps(2), optimizer=la.Adam(), batch_size=4)
        record = fit.step()
        assert {"mean_loss", "mean_accuracy", "error_product"} <= record.keys()
        steps = sum(state["step"].numel() for state in fit._optimizer.state.values()) * 4
        held.add(fit.held_bytes - steps)
        assert fit.held_bytes - steps == 4 * 8 * trained
        assert trained <= (rank + 1) * la.WeightSpace(problem.module).size + 1
    assert len(held) == 1


class TestRun:
    def fit(self, path: Path, *tokens: str) -> int:
        few = ["--model.hidden", "12", "--steps", "150", "--plan", "loop", "--no_pictures", "--padding", "1"]
        return main(["fit", *few, "--examples", "300", "--out", str(path), *tokens])

    def test_scores_what_members_are_together(self, tmp_path: Path) -> None:
        assert self.fit(tmp_path / "run", "--pattern", "members:7", "--decorrelation", "0.5") == 0
        run = la.open_run(tmp_path / "run")
        summary, grid = run.summary, MemberGrid(7)
        assert isinstance(run.chart, la.CoefficientChart)
        controls = run.chart.controls().detach()
        weights = run.chart.mixture(torch.from_numpy(grid.member_coords()), controls).detach() @ controls
        inputs, labels = run.splits["test"].take(torch.arange(300))
        with torch.no_grad():
            params = run.base.space.unflatten(weights)
            outputs = [
                functional_call(run.problem.module, {key: value[k] for key, value in params.items()}, (inputs,))
                for k in range(7)
            ]
        probabilities = torch.stack(outputs).double().softmax(dim=-1)
        losses = [float(nn.functional.cross_entropy(one, labels)) for one in outputs]
        mean = probabilities.mean(dim=0)
        wrong = probabilities - nn.functional.one_hot(labels, 10)
        pairs = [float((wrong[i] * wrong[j]).sum(dim=1).mean()) for i, j in permutations(range(7), 2)]
        apart = [
            float((probabilities[i] - probabilities[j]).square().sum(dim=1).mean())
            for i, j in permutations(range(7), 2)
        ]
        assert summary["member_loss"] == pytest.approx(np.mean(losses), rel=1e-4)
        assert summary["lowest_member_loss"] == pytest.approx(min(losses), rel=1e-4)
        assert summary["highest_member_loss"] == pytest.approx(max(losses), rel=1e-4)
        assert summary["averaged_loss"] == pytest.approx(float(nn.functional.nll_loss(mean.log(), labels)), rel=1e-4)
        assert summary["averaged_accuracy"] == pytest.approx(float((mean.argmax(dim=1) == labels).double().mean()))
        assert summary["error_product"] == pytest.approx(np.mean(pairs), rel=1e-4)
        assert summary["mean_squared_difference"] == pytest.approx(np.mean(apart), rel=1e-3)
        assert summary["averaged_loss"] < summary["member_loss"]
        # The same members, found in the run by whoever scores ensembles.
        scoring = ["--examples", "300", "--no_pictures", "--out", str(tmp_path / "scores")]
        assert main(["ensemble", f"{tmp_path / 'run'}@low", *scoring]) == 0
        scored = la.open_run(tmp_path / "scores").summary
        assert scored["members"] == 7
        assert scored["nll"] == pytest.approx(summary["averaged_loss"], rel=1e-4)

    def test_members_that_have_become_one_network_are_told_of(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        told = "the members have become one network"
        assert self.fit(tmp_path / "one", "--pattern", "members:4", "--scale", "1e-6", "--scale_lr", "1e-9") == 0
        assert told in capsys.readouterr().err
        assert self.fit(tmp_path / "many", "--pattern", "members:4", "--decorrelation", "1") == 0
        assert told not in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("tokens", "message"),
        [
            (
                ("--pattern", "heart", "--decorrelation", "0.3"),
                "which picture 'heart' does not have; give --pattern mem",
            ),
            (("--pattern", "members:4", "--target_gap", "0.5"), "which a grid of members does not have; leave it out"),
            (("--pattern", "members:4", "--decorrelation", "-1"), "decorrelation is -1"),
            (("--pattern", "members:4", "--decorrelation", "1", "--cells", "1"), "expected at least two"),
            (("--pattern", "members:4", "--size", "8"), "leave --size out"),
            (
                (
                    "--pattern",
                    "members:1",
                ),
                "expected two or more",
            ),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, tokens: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.fit(tmp_path / "run", *tokens) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize("axes", ["1", "3"])
    def test_members_lie_on_a_line_or_in_a_volume(self, axes: str, tmp_path: Path) -> None:
        tokens = ("--pattern", "members:5", "--pattern.axes", axes, "--decorrelation", "0.1", "--steps", "3")
        few = ["--model.hidden", "4", "--plan", "loop", "--padding", "1", "--examples", "50"]
        assert main(["fit", *few, "--out", str(tmp_path / "run"), *tokens]) == 0
        assert len(la.open_run(tmp_path / "run").chart.axes) == int(axes)
        assert (tmp_path / "run" / "report.html").is_file()
