"""Colour pictures: groups of classes, sources, the objective and its gradient, the metric, scores, fits and views."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from networks import make, plane
from PIL import Image
from torch import Tensor, nn
from torch.func import functional_call

import lossatlas as la
from lossatlas.cli.main import main
from lossatlas.engine.engine import Engine
from lossatlas.engine.network import Network
from lossatlas.engine.plan import Plan
from lossatlas.losses import find_group_losses
from lossatlas.pictures import find_source, parse_group, settle_groups, share_classes, write_group
from lossatlas.recipes.picture_kinds.colour import COLOUR
from lossatlas.views import draw
from lossatlas.views.colours import read_colours

GROUPS = ((0,), (1,), (2,))


def colours(height: int = 5, width: int = 6) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).uniform(0.1, 2.0, (height, width, 3))


def photograph(path: Path, mode: str = "RGB") -> Path:
    """A red ball on a ground that is green to the left and blue to the right, 40 x 60."""
    down, right = np.mgrid[0:40, 0:60]
    pixels = np.zeros((40, 60, 3))
    pixels[..., 1], pixels[..., 2] = 200 - 3 * right, 20 + 3 * right
    pixels[(down - 20) ** 2 + (right - 30) ** 2 < 150] = 240, 60, 30
    Image.fromarray(pixels.astype(np.uint8)).convert(mode).save(path)
    return path


# --- groups


def test_groups_are_written_as_they_are_read() -> None:
    for text in ("0-2,7", "3", "0,2,4-5"):
        assert write_group(parse_group(text)) == text
    assert parse_group("7, 0 - 2") == (0, 1, 2, 7)
    for classes in range(3, 14):
        shared = share_classes(classes)
        sizes = list(map(len, shared))
        assert [number for group in shared for number in group] == list(range(classes))
        assert sizes == sorted(sizes)
        assert sizes[-1] - sizes[0] <= 1
    assert share_classes(10) == ((0, 1, 2), (3, 4, 5), (6, 7, 8, 9))


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (("0-2", "3-5"), "names 2 groups of classes; expected three"),
        (("0-2", "2-5", "6"), "the groups 0-2, 2-5, 6 overlap in class 2"),
        (("0-2", "", "6"), "'' is not a group of classes"),
        (("0-2", "x", "6"), "'x' is not a group of classes; expected numbers and ranges"),
        (("2-0", "3", "6"), "the range 2-0 of classes runs downwards; write 0-2"),
        (("0,0", "3", "6"), "the group '0,0' names a class twice"),
    ],
)
def test_groups_that_cannot_be_are_refused(tmp_path: Path, groups: tuple[str, ...], message: str) -> None:
    path = photograph(tmp_path / "ball.png")
    with pytest.raises(la.BadInput, match=message) as caught:
        la.picture(f"colour:{path}", 12, groups=groups)
    assert "\n" not in str(caught.value)


def test_groups_fit_the_number_of_classes() -> None:
    with pytest.raises(la.BadInput, match="names class 10, which the data do not have; expected classes from 0 to 9"):
        settle_groups(((0, 10), (1,), (2,)), 10)
    with pytest.raises(la.BadInput, match="2 classes, too few for 3 groups"):
        settle_groups(None, 2)


# --- pictures and their sources


def test_a_picture_keeps_all_channels_apart() -> None:
    losses = colours()
    losses[0, 0] = np.nan
    one = la.ColourPicture(losses, "one", GROUPS, (0.05, 2.5))
    assert one.shape == one.target.shape == (5, 6)
    assert np.isnan(one.target[0, 0])
    np.testing.assert_allclose(one.target[1:], np.log(losses[1:]).mean(axis=-1))
    for channel, asked in enumerate(one.list_variables(2, "bit")):
        assert asked.name == ("target_loss_red", "target_loss_green", "target_loss_blue")[channel]
        np.testing.assert_array_equal(one.from_grid(asked.values, 2), losses[..., channel].astype(np.float32))
        assert np.isnan(asked.values[:2]).all()
        assert (asked.attributes["colour_classes"], asked.attributes["units"]) == (str(channel), "bit")
    others = [
        la.ColourPicture(losses[..., [1, 0, 2]], "one", GROUPS, (0.05, 2.5)),
        la.ColourPicture(losses, "one", ((0, 1), (2,), (3,)), (0.05, 2.5)),
        la.ColourPicture(losses, "one", ((1,), (0,), (2,)), (0.05, 2.5)),
    ]
    np.testing.assert_allclose(others[0].target, one.target)
    told = [json.dumps({k: v.tolist() for k, v in each.list_contents().items()}) for each in (one, *others)]
    assert len(set(told)) == 4


@pytest.mark.parametrize(
    ("losses", "more", "message"),
    [
        (np.ones((5, 6)), {}, r"shape \(5, 6\); expected \(height, width, 3\)"),
        (np.ones((3, 6, 3)), {}, "3 x 6 cells"),
        (colours() * 0, {}, "target loss of 0.0; expected positive"),
        (np.where(np.arange(3) == 1, np.nan, colours()), {}, "NaN in some channels"),
        (np.repeat(colours()[..., :1], 3, axis=-1), {}, "three channels that are alike"),
        (colours(), {"groups": ((0,), (1,))}, "has 2 groups of classes; expected three"),
        (colours(), {"groups": ((0,), (), (1,))}, "a group of classes is empty"),
        (colours(), {"groups": ((0,), (0, 2), (1,))}, "overlap in class 0"),
        (colours(), {"groups": ((0,), (-2,), (1,))}, "-2 is not a class"),
        (colours(), {"ends": (2.0, 1.0)}, "ends 2.0 and 1.0; expected 0 < low < high"),
    ],
)
def test_bad_pictures_are_refused_in_one_line(losses: Any, more: dict[str, Any], message: str) -> None:
    with pytest.raises(la.BadInput, match=message) as caught:
        la.ColourPicture(losses, "bad", **more)
    assert "\n" not in str(caught.value)


def test_one_scale_holds_for_all_channels_and_sizes(tmp_path: Path) -> None:
    path = photograph(tmp_path / "ball.png")
    fine, coarse = (la.picture(f"colour:{path}", size, low=0.1, high=1.6) for size in (32, 9))
    assert isinstance(fine, la.ColourPicture)
    assert isinstance(coarse, la.ColourPicture)
    assert (fine.shape, fine.groups, fine.ends) == ((21, 32), None, (0.1, 1.6))
    assert fine.losses.min() == pytest.approx(0.1)
    assert fine.losses.max() == pytest.approx(1.6)
    lowest, highest = fine.losses.min(axis=(0, 1)), fine.losses.max(axis=(0, 1))
    assert highest[0] > highest[1], "a channel that is nowhere as bright gets no higher loss"
    assert lowest[2] > lowest[0]
    np.testing.assert_allclose(coarse.log_losses[0, 0], fine.log_losses[:2, :3].mean(axis=(0, 1)), atol=0.1)
    turned = la.picture(f"colour:{path}", 32, invert=True, low=0.1, high=1.6)
    assert isinstance(turned, la.ColourPicture)
    np.testing.assert_allclose(turned.log_losses, np.log(0.16) - fine.log_losses, atol=1e-12)


def test_transparent_parts_are_white(tmp_path: Path) -> None:
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[..., 0], pixels[..., 3] = 200, 255
    pixels[:, 8:] = 0
    Image.fromarray(pixels).save(tmp_path / "half.png")
    found = la.picture(f"colour:{tmp_path / 'half.png'}", 8)
    assert isinstance(found, la.ColourPicture)
    np.testing.assert_allclose(found.losses[0, -1], 2.3, rtol=1e-6)
    assert found.losses[0, 0, 0] > 1 > 0.11 > found.losses[0, 0, 1]


def test_files_without_colours_are_sent_to_grey(tmp_path: Path) -> None:
    ramp = np.add.outer(np.arange(64), np.arange(80))
    noisy = np.repeat(ramp[..., None], 3, axis=-1) + np.random.default_rng(0).integers(0, 3, (64, 80, 3))
    Image.fromarray(noisy.astype(np.uint8)).save(tmp_path / "grey.jpg", quality=60)
    Image.fromarray(ramp.astype(np.uint8)).save(tmp_path / "grey.png")
    Image.fromarray((ramp * 400).astype(np.uint16)).save(tmp_path / "deep.png")
    for name in ("grey.jpg", "grey.png", "deep.png"):
        with pytest.raises(la.BadInput, match=f"{name}' has no colours: .* are alike; take --pattern grey:"):
            la.picture(f"colour:{tmp_path / name}", 16)
    Image.new("RGB", (20, 30), (200, 10, 30)).save(tmp_path / "red.png")
    with pytest.raises(la.BadInput, match="is of one colour"):
        la.picture(f"colour:{tmp_path / 'red.png'}")
    with pytest.raises(la.BadInput, match="colour levels beyond the loss range: low is 2"):
        la.picture(f"colour:{photograph(tmp_path / 'ball.png')}", low=2.0, high=1.0)
    with pytest.raises(la.BadInput, match="cannot read image"):
        find_source("colour:none.png")
    with pytest.raises(la.BadInput, match="cannot stand in a sequence"):
        find_source(f"sequence:heart,colour:{tmp_path / 'ball.png'}")


# --- losses of groups


def test_positions_of_an_image_may_belong_to_several_groups() -> None:
    """Means over the positions of a group, whatever the example, as torch takes them over all."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 5, 3, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(5, (4, 3, 2), generator=generator)
    labels[0, 0] = -100
    labels[3] = 4
    weight = (1.0, 0.5, 2.0, 1.0, 3.0)
    groups = ((0, 3), (1,), (2, 4))
    for loss in (la.CrossEntropy(class_axis=1), la.CrossEntropy(class_axis=1, weight=weight)):
        losses = torch.stack([loss(one, labels) for one in logits])
        for group, found in zip(groups, find_group_losses(loss, logits, losses, labels, groups), strict=True):
            inside = sum(labels == number for number in group).bool()
            rows = logits.movedim(2, -1)[:, inside]
            stated = None if loss.weight is None else torch.tensor(weight, dtype=torch.float64)
            wanted = torch.stack([nn.functional.cross_entropy(one, labels[inside], stated) for one in rows])
            torch.testing.assert_close(found.losses @ found.weights / found.weights.sum(), wanted)
            (slope,) = torch.autograd.grad(found.losses.sum(), logits, retain_graph=True)
            assert (slope.movedim(2, -1)[:, ~inside] == 0).all()


def test_other_losses_need_examples_of_one_group() -> None:
    def per_sequence(outputs: Tensor, labels: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs.movedim(-1, 1), labels, reduction="none").sum(dim=1)

    loss = la.PerExample(per_sequence, classifies=True)
    outputs = torch.randn(1, 3, 2, 4, generator=torch.Generator().manual_seed(0))
    whole = torch.tensor([[0, 0], [1, 1], [2, 3]])
    losses = loss(outputs[0], whole)[None]
    red, green, _ = find_group_losses(loss, outputs, losses, whole, ((0,), (1,), (2, 3)))
    assert (red.weights.tolist(), green.weights.tolist()) == ([1, 0, 0], [0, 1, 0])
    assert red.losses is losses
    with pytest.raises(la.BadInput, match="positions belong to several groups of classes; give cross_entropy"):
        find_group_losses(loss, outputs, losses, whole, ((0,), (1, 2), (3,)))
    with pytest.raises(la.BadInput, match="need labels, which SquaredError does not have"):
        find_group_losses(la.SquaredError(), outputs, losses, whole, GROUPS)
    soft = torch.softmax(outputs[0, :, 0], dim=-1)
    with pytest.raises(la.BadInput, match="one label per example or position, and these targets are probabilities"):
        find_group_losses(la.CrossEntropy(), outputs[:, :, 0], losses, soft, GROUPS)


def written_out(problem: la.Problem, weights: list[Tensor], batch: Any, target: Tensor, groups: Any) -> Tensor:
    """The objective by its definition: a plain loop over cells, channels and examples."""
    space = la.WeightSpace(problem.module)
    inputs, labels = batch
    total = torch.zeros((), dtype=torch.float64)
    for one, wanted in zip(weights, target, strict=True):
        params = {key: value[0] for key, value in space.unflatten(one[None]).items()}
        outputs = functional_call(problem.module, params, (inputs,))
        for channel, group in enumerate(groups):
            losses = [
                nn.functional.cross_entropy(row[None], label[None])
                for row, label in zip(outputs, labels, strict=True)
                if int(label) in group
            ]
            if losses:
                total = total + (torch.stack(losses).mean().log() - wanted[channel]).square()
    return total / (3 * len(weights))


class TestObjective:
    @pytest.mark.parametrize("strategy", ["loop", "batched", "vmap", "threads"])
    @pytest.mark.parametrize("missing", [False, True])
    def test_has_the_gradient_of_its_definition(self, strategy: str, missing: bool) -> None:
        problem, split = make("mlp")
        chart = plane(problem)
        wanted = la.ColourPicture(colours(), "random", GROUPS)
        engine = Engine(
            Network(problem, la.WeightSpace(problem.module), la.BatchStatistics(), chart), Plan.of(strategy, 3)
        )
        sampled = la.ColourLevels(wanted, cells=7).sample(0, 0, 0.0, {})
        inputs, labels = split.take(torch.arange(len(split)))
        assert {0, 1, 2} < set(labels.tolist()), "a class is left out"
        batch = (inputs[labels != 1], labels[labels != 1]) if missing else (inputs, labels)
        place = {tuple(c): t for c, t in zip(wanted.coords().reshape(-1, 2), wanted.losses.reshape(-1, 3), strict=True)}
        target = torch.tensor(np.array([place[tuple(c)] for c in sampled.coords.tolist()])).log()
        controls = chart.controls().detach()
        coefficients = chart.mixture(sampled.coords, controls).detach()
        pull = engine.pullback(coefficients.clone().requires_grad_(), controls, batch, sampled)
        leaves = coefficients.clone().requires_grad_(), controls.clone().requires_grad_()
        value = written_out(problem, list(leaves[0] @ leaves[1]), batch, target, GROUPS)
        by_coefficients, by_controls = torch.autograd.grad(value, leaves)
        assert pull.value == pytest.approx(value.item(), rel=1e-12)
        torch.testing.assert_close(pull.controls, by_controls, rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(pull.coefficients, by_coefficients, rtol=1e-9, atol=1e-11)
        report = sampled.report({"loss": torch.ones(7)})
        told = {"mean_loss", "mean_red_loss", "mean_blue_loss", "log_loss_rmse"}
        assert report.keys() == (told if missing else told | {"mean_green_loss"})
        assert report["log_loss_rmse"] == pytest.approx((pull.value * (3 / 2 if missing else 1)) ** 0.5)

    def test_groups_that_are_open_follow_from_the_logits(self) -> None:
        problem, split = make("mlp")
        chart = plane(problem)
        results = [
            la.fit(chart_of, la.ColourLevels(picture, cells=4), problem, split, steps=3, plan="loop", batch_size=8)
            for chart_of, picture in (
                (chart, la.ColourPicture(colours(), "open")),
                (plane(problem), la.ColourPicture(colours(), "stated", ((0,), (1,), (2, 3)))),
            )
        ]
        assert results[0].history[-1]["objective"] == results[1].history[-1]["objective"]
        beyond = la.ColourPicture(colours(), "beyond", ((0,), (1,), (7,)))
        with pytest.raises(la.BadInput, match="names class 7, which the data do not have"):
            la.fit(chart, la.ColourLevels(beyond), problem, split, steps=1, plan="loop")

    def test_that_cannot_be_is_refused(self) -> None:
        with pytest.raises(la.BadInput, match="a step samples 0 cells"):
            la.ColourLevels(la.ColourPicture(colours(), "x"), cells=0)
        problem, split = make("regression")
        with pytest.raises(la.BadInput, match="need labels, which SquaredError does not have"):
            la.fit(
                plane(problem), la.ColourLevels(la.ColourPicture(colours(), "x")), problem, split, steps=1, plan="loop"
            )

    def test_cells_that_count_are_drawn_without_replacement(self) -> None:
        losses = colours()
        losses[0, :2] = np.nan
        objective = la.ColourLevels(la.ColourPicture(losses, "holes"), cells=1000)
        assert objective.most_points == 28 == objective.sampled.sum()
        coords = objective.sample(1, 2, 0.0, {}).coords
        assert len({tuple(c) for c in coords.tolist()}) == 28


# --- the metric


def test_the_metric_is_the_mean_over_a_group_with_its_standard_error() -> None:
    problem, split = make("mlp")
    chart = plane(problem)
    grid = la.make_grid(chart, (2, 3))
    groups = ((0, 2), (1,))
    some = split.subset(9, torch.Generator().manual_seed(1))
    metrics = ["auto", "group_loss:0,2;1"]
    found = la.survey(chart, grid, problem, {"test": some}, metrics=metrics, plan="loop", eval_batch_size=4)
    values, errors = found["test_group_loss"], found["test_group_loss_standard_error"]
    assert values.dims == ("u", "v", "group")
    assert values.attrs["record"] == "0,2;1"
    inputs, labels = some.take(torch.arange(9))
    space, controls = la.WeightSpace(problem.module), chart.controls().detach()
    coords = torch.cartesian_prod(*(torch.from_numpy(axis) for axis in grid.values()))
    for place, weights in zip(np.ndindex(2, 3), chart.mixture(coords, controls).detach() @ controls, strict=True):
        params = {key: value[0] for key, value in space.unflatten(weights[None]).items()}
        outputs = functional_call(problem.module, params, (inputs,))
        losses = nn.functional.cross_entropy(outputs, labels, reduction="none").detach()
        for k, group in enumerate(groups):
            inside = torch.isin(labels, torch.tensor(group))
            mean = losses[inside].mean()
            residuals = torch.where(inside, losses - mean, 0)
            error = (residuals.square().sum() / 8 / 9 * (1 - 9 / len(split))).sqrt() / (inside.sum() / 9)
            assert float(values[(*place, k)]) == pytest.approx(mean.item(), rel=1e-6)
            assert float(errors[(*place, k)]) == pytest.approx(error.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("group_loss", "needs groups of classes, as in 'group_loss:0-2;3-5;6-9'"),
        ("group_loss:0;0", "overlap in class 0"),
        ("group_loss:0;", "'' is not a group of classes"),
        ("group_loss:0;7", "names class 7, which the data do not have"),
    ],
)
def test_metrics_of_no_such_groups_are_refused(spec: str, message: str) -> None:
    problem, split = make("mlp")
    chart = plane(problem)
    with pytest.raises(la.BadInput, match=message):
        la.survey(chart, la.make_grid(chart, (2, 2)), problem, {"test": split}, metrics=[spec], plan="loop")


# --- scores


def test_scores_tell_colours_from_brightness() -> None:
    picture = la.ColourPicture(colours(6, 7), "random", GROUPS)
    names = [f"{name}_correlation" for name in ("red", "green", "blue", "red_green", "blue_yellow")]
    perfect = la.score_colours(picture, picture.losses * 2)
    assert [perfect[name] for name in names] == pytest.approx([1.0] * 5)
    assert perfect["log_loss_rmse"] == pytest.approx(np.log(2))
    grey = np.repeat(np.exp(picture.target)[..., None], 3, axis=-1)
    found = la.score_colours(picture, grey)
    assert (found["red_green_correlation"], found["blue_yellow_correlation"]) == (None, None)
    swapped = la.score_colours(picture, picture.losses[..., [1, 0, 2]])
    assert swapped["red_green_correlation"] == pytest.approx(-1.0)
    assert swapped["blue_yellow_correlation"] == pytest.approx(1.0)
    broken = picture.losses.copy()
    broken[0, 0, 1] = np.nan
    assert la.score_colours(picture, broken)["non_finite"] == 1
    assert la.score_colours(picture, -picture.losses)["red_correlation"] is None
    with pytest.raises(la.BadInput, match="has shape"):
        la.score_colours(picture, picture.losses[1:])


# --- a fit


class TestRun:
    @pytest.fixture(autouse=True)
    def within(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        photograph(Path("ball.png"))

    def fit(self, *tokens: str) -> int:
        few = ["--size=6x8", "--model.hidden=12", "--cells=8", "--padding=1", "--plan=loop", "--examples=100"]
        return main(["fit", "--pattern=colour:ball.png", *few, "--out=runs/a", *tokens])

    def test_can_be_scored_opened_continued_and_drawn_from_the_store(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.fit("--steps=60", "--pictures", "--pattern.groups", "0-2", "3,4", "6,9") == 0
        said = " ".join(capsys.readouterr().err.split())
        assert "colours are mean losses, red of classes 0-2, green of classes 3-4, blue of classes 6,9" in said
        assert "classes 5, 7 and 8 belong to no colour" in said
        summary = json.loads(Path("runs/a/summary.json").read_text())
        for part in (summary, summary["train_scores"], summary["test_scores"]):
            assert {"red_correlation", "blue_yellow_correlation", "log_loss_rmse"} <= part.keys()
        report = Path("runs/a/report.html").read_text()
        assert "correlation of red minus green" in report
        assert report.index("picture and what the losses of three groups") < report.index("The loss")
        run = la.open_run("runs/a")
        assert run.metrics.keys() == {"loss", "accuracy", "group_loss"}
        store = xr.open_zarr("runs/a/survey.zarr", consolidated=False, chunks=None).load()
        Path("ball.png").rename("gone.png")
        assert la.open_run("runs/a").metrics.keys() == run.metrics.keys()
        asked = la.picture("colour:gone.png", (6, 8))
        assert isinstance(asked, la.ColourPicture)
        found = np.stack([store["test_group_loss"].values[1:-1, 1:-1, k].T[::-1] for k in range(3)], axis=-1)
        scores = la.score_colours(asked, found)
        assert scores["red_correlation"] == pytest.approx(summary["red_correlation"])
        assert scores["blue_yellow_correlation"] == pytest.approx(summary["blue_yellow_correlation"])
        drawn = draw(store)
        assert next(iter(drawn)) == "colour"
        assert "red of 0-2, green of 3-4, blue of 6,9" in drawn["colour"].caption
        assert "test red ranges from" in drawn["colour"].alt
        assert main(["view", "runs/a", "--kinds", "colour", "--out=drawn"]) == 0
        Path("gone.png").rename("ball.png")
        assert self.fit("--steps=60", "--resume", "--pattern.groups", "0-2", "3,4", "6,9") == 0
        assert self.fit("--steps=60", "--resume", "--pattern.groups", "0-2", "3,4", "7,9") == 2
        assert main(["ensemble", "runs/a@low", "--out=runs/b"]) == 2
        assert "the picture of runs/a has colours and no low cells" in " ".join(capsys.readouterr().err.split())

    def test_costs_are_estimated(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.fit("--steps=5", "--dry_run") == 0
        assert not Path("runs").exists()

    @pytest.mark.parametrize(
        ("tokens", "message"),
        [
            (["--target_gap=0.5"], "which a colour picture does not have; leave it out"),
            (["--decorrelation=1"], "decorrelation is between members of an ensemble"),
            (["--pattern.groups", "0", "1", "10"], "names class 10, which the data do not have"),
            (["--pattern.groups", "0", "1"], "names 2 groups of classes; expected three"),
            (["--metrics", "auto", "group_loss:0;1"], "are both called 'group_loss' and differ"),
        ],
    )
    def test_what_does_not_fit_is_refused(
        self, tokens: list[str], message: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.fit("--steps=5", *tokens) == 2
        assert message in " ".join(capsys.readouterr().err.split())


def test_losses_beyond_the_ends_are_clipped_and_counted() -> None:
    picture = la.ColourPicture(colours(), "random", GROUPS, (0.2, 1.0))
    asked = {one.name: (("u", "v"), one.values, dict(one.attributes)) for one in picture.list_variables(1, "nat")}
    coords = picture.grid(1)
    measured = np.full((8, 7, 3), 0.5)
    measured[0, 0], measured[1, 1], measured[2, 2, 0] = 0.1, 3.0, np.nan
    attributes = {
        "long_name": "test mean loss", "units": "nat", "split": "test", "metric": "group_loss", "dimension": "group",
        "record": "0;1;2",
    }  # fmt: skip
    given = xr.Dataset(
        {
            **asked,
            "test_loss": (("u", "v"), measured.mean(axis=-1), {"split": "test", "metric": "loss", "units": "nat"}),
            "test_group_loss": (("u", "v", "group"), measured, attributes),
        },
        coords=coords,
    )
    found = read_colours(given)
    assert found is not None
    image = found.image(found.achieved["test"])
    assert image[0, 0].tolist() == [0, 0, 0, 1]
    assert image[1, 1].tolist() == [1, 1, 1, 1]
    assert image[2, 2, 3] == 0
    np.testing.assert_allclose(image[3, 3, :3], np.log(2.5) / np.log(5))
    assert (found.image(found.asked)[[0, -1], :, 3] == 0).all(), "the padding has no target"
    picture_drawn = draw(given, ["colour"])["colour"]
    assert "3 losses of 168 lie below and 3 above" in picture_drawn.caption
    other = given.assign(test_group_loss=given["test_group_loss"].assign_attrs(record="0;2;1"))
    assert read_colours(other) is None, "those of other groups"


def test_a_group_without_training_examples_is_refused() -> None:
    inputs, labels = torch.randn(40, 3), torch.tensor([0, 1, 4, 5]).repeat(10)
    data = la.Dataset("gaps", train=la.Split.of((inputs, labels)), classes=6)
    assert data.find_trained_classes() == {0, 1, 4, 5}
    picture = la.ColourPicture(colours(), "one")
    with pytest.raises(la.BadInput, match="no training example of gaps is of classes 2-3, whose mean loss"):
        COLOUR.settle(picture, data)
    named = la.ColourPicture(colours(), "one", ((0, 2), (1,), (4, 5)))
    assert COLOUR.settle(named, data).groups == named.groups


def test_a_group_without_an_example_leaves_the_scores_of_the_others() -> None:
    picture = la.ColourPicture(colours(), "one", GROUPS)
    found = picture.losses.copy()
    found[0, 0] = np.inf
    found[..., 2] = np.nan
    scores = la.score_colours(picture, found)
    assert [scores[f"{name}_correlation"] for name in ("blue", "blue_yellow")] == [None, None]
    assert [scores[f"{name}_correlation"] for name in ("red", "green", "red_green")] == pytest.approx([1.0] * 3)
    assert (scores["log_loss_rmse"], scores["non_finite"]) == (pytest.approx(0.0), 1)
    assert set(la.score_colours(picture, found * np.nan).values()) == {None, found[..., 0].size}
