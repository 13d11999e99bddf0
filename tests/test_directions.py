"""Directions of slices, their normalisations, and surveys around a checkpoint."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from networks import make
from torch import Tensor, nn

import lossatlas as la
from lossatlas.cli.main import main
from lossatlas.directions import NORMALISATIONS, Around, make_directions
from lossatlas.recipes.measured import describe_measurement
from lossatlas.weights.files import collect_state, serialise_state


def around(module: nn.Module, kind: str, without_vectors: bool = False) -> Around:
    space = la.WeightSpace(module)
    return Around(space, space.vector_of(module), NORMALISATIONS[kind](), without_vectors, seed=5)


def drawn(module: nn.Module, kind: str, without_vectors: bool = False) -> dict[str, Tensor]:
    place = around(module, kind, without_vectors)
    vectors, _ = make_directions(["random", "random"], place)
    return place.space.unflatten(vectors[0])


@pytest.mark.parametrize("name", ["conv", "batch_norm", "transformer"])
class TestNormalisations:
    def test_per_filter_give_each_filter_the_networks_length(self, name: str) -> None:
        module = make(name)[0].module
        found, plain = drawn(module, "filter"), drawn(module, "none")
        own = dict(module.named_parameters())
        for key, value in found.items():
            if value.ndim < 2:
                assert torch.equal(value, own[key])
                continue
            lengths = own[key].detach().flatten(1).norm(dim=1)
            torch.testing.assert_close(value.flatten(1).norm(dim=1), lengths, rtol=1e-6, atol=1e-9)
            cosines = torch.nn.functional.cosine_similarity(value.flatten(1), plain[key].flatten(1))
            torch.testing.assert_close(cosines[lengths > 0], torch.ones_like(cosines[lengths > 0]))

    def test_per_layer_and_weight_are_what_they_say(self, name: str) -> None:
        module = make(name)[0].module
        plain = drawn(module, "none")
        for key, own in module.named_parameters():
            if own.ndim < 2:
                continue
            layer, weight = drawn(module, "layer")[key], drawn(module, "weight")[key]
            torch.testing.assert_close(layer, plain[key] * own.detach().norm() / plain[key].norm())
            torch.testing.assert_close(weight, plain[key] * own.detach())

    def test_without_vectors_hold_biases_and_scales(self, name: str) -> None:
        module = make(name)[0].module
        for kind in NORMALISATIONS:
            for value in drawn(module, kind, without_vectors=True).values():
                assert (value.ndim < 2) == (not value.any())


def rescaled(module: nn.Sequential, factor: float) -> nn.Sequential:
    """The same function of its input: one layer times a factor, the next divided by it."""
    state = {key: value.clone() for key, value in module.state_dict().items()}
    for key in ("0.weight", "0.bias"):
        state[key] *= factor
    state["2.weight"] /= factor
    twin = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3))
    twin.double().load_state_dict(state)
    return twin


@pytest.mark.parametrize(("kind", "same"), [("filter", True), ("layer", True), ("weight", True), ("none", False)])
def test_rescaling_layers_against_each_other_distorts_plain_surfaces_alone(kind: str, same: bool) -> None:
    """A ReLU network stays the same function; its filter-normalised surface stays the same, too."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3)).double()
    rows, labels = torch.randn(40, 6, dtype=torch.float64), torch.arange(40) % 3
    surfaces = []
    for network in (module, rescaled(module, 7.0)):
        problem, place = la.Problem(network, la.CrossEntropy()), around(network, kind, without_vectors=True)
        vectors, _ = make_directions(["random", "random"], place)
        chart = la.Slice(place.origin, vectors)
        grid = la.make_grid(chart, (5, 4))
        surfaces.append(la.survey(chart, grid, problem, {"train": la.Split((rows, labels))}, plan="loop")["train_loss"])
    assert np.allclose(surfaces[0], surfaces[1], rtol=1e-6) == same


def test_a_slice_goes_along_its_directions_as_they_are() -> None:
    module = make("mlp")[0].module
    origin = la.WeightSpace(module).vector_of(module)
    vectors = torch.randn(2, len(origin), dtype=torch.float64)
    chart = la.Slice(origin, vectors)
    points = chart.points(torch.tensor([[0.0, 0.0], [2.0, -0.5]], dtype=torch.float64))
    torch.testing.assert_close(points[0], origin)
    torch.testing.assert_close(points[1], origin + 2 * vectors[0] - 0.5 * vectors[1])
    with pytest.raises(la.BadInput, match="a direction of a slice is zero"):
        la.Slice(origin, vectors * torch.tensor([[1.0], [0.0]], dtype=torch.float64))
    with pytest.raises(la.BadInput, match=r"directions \(d, n\)"):
        la.Slice(origin, vectors[:, :-1])


def small_problem() -> tuple[la.Problem, la.Split]:
    torch.manual_seed(3)
    module = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    return la.Problem(module, la.CrossEntropy()), la.Split((torch.randn(30, 4).double(), torch.arange(30) % 3))


def dense_hessian(problem: la.Problem, split: la.Split) -> tuple[Tensor, Tensor]:
    """The gradient (n,) and the Hessian (n, n) of the mean loss, by plain autograd."""
    space = la.WeightSpace(problem.module)
    rows, labels = split.take(torch.arange(len(split)))

    def loss(vector: Tensor) -> Tensor:
        outputs = torch.func.functional_call(problem.module, space.unflatten(vector), rows)
        return nn.functional.cross_entropy(outputs, labels)

    weights = space.vector_of(problem.module)
    return torch.autograd.functional.jacobian(loss, weights), torch.autograd.functional.hessian(loss, weights)


EXACT = la.CurvatureSettings(tolerance=1e-9)


class TestDerivatives:
    def test_eigenvectors_are_those_of_the_dense_hessian(self) -> None:
        problem, split = small_problem()
        values, vectors = torch.linalg.eigh(dense_hessian(problem, split)[1])
        kinds = ("eigenvector", "eigenvector:smallest", "eigenvector")
        chart = la.slice_around(problem.module, kinds, problem=problem, split=split, curvature=EXACT)
        wanted = vectors.T[[-1, 0, -2]]
        wanted = wanted * wanted.gather(1, wanted.abs().argmax(dim=1, keepdim=True)).sign()
        torch.testing.assert_close(chart.directions, wanted, rtol=0, atol=1e-6)
        first, last, second = (f"{float(values[k]):.4g}" for k in (-1, 0, -2))
        labels = [re.sub(r" ± [0-9.e-]+\)$", ")", label) for label in chart.axis_labels.values()]
        assert labels == [
            f"eigenvector 1 (eigenvalue {first})",
            f"eigenvector 1 from below (eigenvalue {last})",
            f"eigenvector 2 (eigenvalue {second})",
        ]

    def test_labels_say_which_directions_were_made_orthogonal(self) -> None:
        """What they say of eigenvalues and gradients does not hold of those; eigenvectors are orthogonal already."""
        problem, split = small_problem()
        kinds = ("gradient", "eigenvector", "random", "eigenvector")
        given = {"problem": problem, "split": split, "curvature": EXACT}
        plain = [*la.slice_around(problem.module, kinds, **given).axis_labels.values()]
        changed = [*la.slice_around(problem.module, kinds, orthogonal=True, **given).axis_labels.values()]
        assert changed == [plain[0], f"{plain[1]}, made orthogonal", plain[2], f"{plain[3]}, made orthogonal"]
        alone = la.slice_around(problem.module, ("eigenvector", "eigenvector", "gradient"), orthogonal=True, **given)
        labels = [*alone.axis_labels.values()]
        assert [label.endswith("made orthogonal") for label in labels] == [False, False, True]

    def test_parameters_that_curvature_leaves_out_are_held(self) -> None:
        problem, split = small_problem()
        space = la.WeightSpace(problem.module)
        kept = torch.cat([torch.full((entry.size,), len(entry.shape) > 1) for entry in space.entries])
        vectors = torch.linalg.eigh(dense_hessian(problem, split)[1][kept][:, kept])[1]
        curvature = la.CurvatureSettings(parameters=("matrices",), tolerance=1e-9)
        chart = la.slice_around(
            problem.module, ("eigenvector",), problem=problem, split=split, curvature=curvature, space=space
        )
        assert not chart.directions[0, ~kept].any()
        assert float((chart.directions[0, kept] @ vectors[:, -1]).abs()) == pytest.approx(1, abs=1e-9)

    def test_the_gradient_has_length_1(self) -> None:
        problem, split = small_problem()
        gradient = dense_hessian(problem, split)[0]
        chart = la.slice_around(problem.module, ("gradient", "random"), problem=problem, split=split)
        torch.testing.assert_close(chart.directions[0], gradient / gradient.norm())
        assert chart.axis_labels["u"] == "gradient"

    def test_repeats_vary_random_directions_alone_and_derivatives_are_computed_once(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from lossatlas.directions import centre

        searches = []

        def find_spectrum(*args: Any, **options: Any) -> Any:
            searches.append(options)
            return found(*args, **options)

        found = centre.find_spectrum
        monkeypatch.setattr(centre, "find_spectrum", find_spectrum)
        problem, split = small_problem()
        kinds = ("eigenvector", "random", "eigenvector:smallest")
        chart = la.slice_around(problem.module, kinds, problem=problem, split=split, repeats=2)
        assert torch.equal(chart.directions[0, ::2], chart.directions[1, ::2])
        assert not torch.equal(chart.directions[0, 1], chart.directions[1, 1])
        assert len(searches) == 1
        with pytest.raises(la.BadInput, match="2 repeats need random directions, and eigenvector are not"):
            la.slice_around(problem.module, ("eigenvector",), problem=problem, split=split, repeats=2)

    def test_an_eigenvector_that_is_not_found_says_how_far_it_is_off(self) -> None:
        problem, split = small_problem()
        short = la.CurvatureSettings(products=3)
        with pytest.warns(UserWarning, match="is not found to the tolerance 0.001 after 3 products"):
            chart = la.slice_around(problem.module, ("eigenvector",), problem=problem, split=split, curvature=short)
        label = chart.axis_labels["u"]
        value, residual = map(float, label.removeprefix("eigenvector 1 (eigenvalue ").removesuffix(")").split(" ± "))
        values = torch.linalg.eigvalsh(dense_hessian(problem, split)[1])
        assert float((values - value).abs().min()) <= residual * 1.1

    @pytest.mark.parametrize(
        ("kinds", "options", "message"),
        [
            (("gradient",), {"split": None, "problem": None}, "pass problem= and split=, or choose another direction"),
            (("gradient",), {"split": None}, "split is missing; expected problem= and split= together"),
            (("gradient", "gradient"), {}, "'gradient' is given for 2 axes; expected one axis"),
            (("eigenvector:biggest",), {}, "'eigenvector:biggest' is not a direction; did you mean"),
            (("gradient:3",), {}, "direction 'gradient' takes no argument"),
            ((3,), {}, "the directions are (3,); expected a name for each axis"),
            ("gradient", {}, "the directions are 'gradient'; expected a name for each axis"),
            (("gradient",), {"problem": 3}, "problem is 3; expected la.Problem"),
            (("gradient",), {"curvature": 3}, "curvature is 3; expected la.CurvatureSettings"),
            (("eigenvector:",), {}, "nothing follows the colon of direction 'eigenvector:'; leave it out"),
            (("gradient:",), {}, "nothing follows the colon of direction 'gradient:'; leave it out"),
            (("towards:",), {}, "direction 'towards' lacks its"),
            (("eigenvector",) * 3, {"space": ["2.bias"]}, "3 eigenvalues are asked for, and curvature is taken in 2"),
            (("eigenvector",), {"curvature": la.CurvatureSettings(tolerance=1e-16)}, "expected more"),
        ],
    )
    def test_refusals(self, kinds: tuple[str, ...], options: dict[str, Any], message: str) -> None:
        problem, split = small_problem()
        problem.module[2] = nn.Linear(5, 2).double() if "space" in options else problem.module[2]
        if "space" in options:
            split = la.Split((torch.randn(30, 4).double(), torch.arange(30) % 2))
            options = {"space": la.WeightSpace(problem.module, options["space"])}
        given = {"problem": problem, "split": split, **options}
        with pytest.raises(la.BadInput, match=re.escape(message)) as caught:
            la.slice_around(problem.module, kinds, **given)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("weight", "kind", "message"),
        [
            (0.0, "gradient", "the gradient at the centre is zero, so it defines no direction"),
            (float("inf"), "gradient", "the gradient at the centre is not finite, so it defines no direction"),
            (1.0, "eigenvector", "the Hessian at the centre is zero, so any direction is an eigenvector"),
            (1e200, "eigenvector", "products with the Hessian at the centre are not finite"),
        ],
    )
    def test_what_defines_no_direction(self, weight: float, kind: str, message: str) -> None:
        module = nn.Linear(1, 1, bias=False).double()
        nn.init.constant_(module.weight, weight)
        rows = torch.tensor([[1e200 if weight == 1e200 else 1.0]]).double()
        linear = la.PerExample(lambda outputs, _: outputs[:, 0])
        problem = la.Problem(module, linear if weight == 1.0 else la.SquaredError())
        with pytest.raises(la.BadInput, match=message):
            la.slice_around(module, (kind,), problem=problem, split=(rows, torch.zeros(1, 1).double()))


def labels_of(run: Path) -> list[str]:
    """What the survey of a run calls its axes."""
    survey = xr.open_zarr(str(run / "survey.zarr"), consolidated=False, chunks=None)
    return [survey[axis].attrs["long_name"] for axis in ("u", "v")]


class TestCommandLine:
    def checkpoint(self, folder: Path) -> Path:
        torch.manual_seed(1)
        path = folder / "weights.safetensors"
        path.write_bytes(serialise_state(collect_state(la.MLP(hidden=(8,)).build((1, 8, 8), 10))))
        return path

    def test_surveys_around_anybodys_weights(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = self.checkpoint(tmp_path)
        tokens = ["survey", f"--checkpoint={path}", "--model.hidden", "8", "--directions", "random", "random"]
        tokens += [
            "--normalize=filter",
            "--ignore=biasbn",
            "--range",
            "-0.5",
            "1",
            "--grid",
            "4",
            "3",
            "--examples=100",
        ]
        assert main([*tokens, "--plan=loop", f"--out={tmp_path / 'run'}"]) == 0
        assert "test_lowest_loss" in capsys.readouterr().out
        survey = xr.open_zarr(str(tmp_path / "run" / "survey.zarr"), consolidated=False, chunks=None).load()
        assert survey["u"].values.tolist() == [-0.5, 0.0, 0.5, 1.0]
        assert survey["v"].values.tolist() == [-0.5, 0.25, 1.0]
        chart = la.load_chart(tmp_path / "run" / "chart.safetensors")
        module = la.MLP(hidden=(8,)).build((1, 8, 8), 10)
        nn.utils.vector_to_parameters(chart.points(torch.tensor([[0.5, 1.0]]))[0], module.parameters())
        from lossatlas.streams import make_generator

        split = la.load_data("digits").splits["test"].subset(100, make_generator(0, "survey/test"))
        images, labels = split.take(torch.arange(100))
        with torch.no_grad():
            loss = float(nn.functional.cross_entropy(module(images), labels))
        assert float(survey["test_loss"].sel(u=0.5, v=1.0)) == pytest.approx(loss, rel=1e-5)
        assert {path.name for path in (tmp_path / "run").glob("*.png")} >= {"loss.png", "surface.png"}
        assert not (tmp_path / "run" / "trajectory.png").exists()

    def test_goes_along_eigenvectors_resumes_on_the_same_chart_and_lends_its_directions(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shared = ["--model.hidden", "8", "--grid=3", "--examples=60", "--plan=loop", "--no-pictures"]
        around = ["survey", f"--checkpoint={self.checkpoint(tmp_path)}", *shared]
        kinds = ["--directions", "eigenvector", "gradient", "--orthogonal"]
        runs = [tmp_path / name for name in ("first", "second")]
        for run in runs:
            assert main([*around, *kinds, f"--out={run}"]) == 0
        files = [(run / "chart.safetensors").read_bytes() for run in runs]
        assert files[0] == files[1]
        labels = labels_of(runs[0])
        assert re.fullmatch(r"eigenvector 1 \(eigenvalue [0-9.]+ ± [0-9.e-]+\)", labels[0])
        assert labels[1] == "gradient, made orthogonal"
        told = describe_measurement(xr.Dataset(), la.open_run(runs[0]))
        assert "Directions eigenvector, gradient: of the mean loss over the train examples at the centre" in " ".join(
            told
        )

        lent = ["--directions", f"file:{runs[0]}", f"file:{runs[0]}"]
        assert main([*around, *lent, f"--out={tmp_path / 'third'}"]) == 0
        assert labels_of(tmp_path / "third") == [f"{label} of first" for label in labels]

        def refuse(*_: Any, **__: Any) -> None:
            raise AssertionError("computed again")

        monkeypatch.setattr("lossatlas.directions.centre.find_spectrum", refuse)
        capsys.readouterr()
        assert main([*around, *kinds, f"--out={runs[0]}", "--resume", "--metrics", "loss", "error"]) == 0
        assert (runs[0] / "chart.safetensors").read_bytes() == files[0]
        assert labels_of(runs[0]) == labels

    def test_mixes_components_of_a_trajectory_with_eigenvectors(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        network = ["--model.hidden", "8", "--epochs=1", "--batch_size=400", "--snapshots=step:1"]
        assert main(["train", *network, f"--out={tmp_path / 'net'}"]) == 0
        along = ["survey", f"--trajectory={tmp_path / 'net'}", "--grid=3", "--examples=60", "--plan=loop",
                 "--no-pictures", f"--out={tmp_path / 'map'}", "--directions", "component", "eigenvector"]  # fmt: skip
        assert main(along) == 0
        labels = labels_of(tmp_path / "map")
        assert re.fullmatch(r"principal component 1 \([0-9.]+ %\)", labels[0])
        assert re.match(r"eigenvector 1 \(eigenvalue [0-9.]+ ± [0-9.e-]+\)", labels[1])
        monkeypatch.delattr("lossatlas.directions.centre.find_spectrum")
        assert main([*along, "--resume", "--metrics", "loss", "error"]) == 0
        assert labels_of(tmp_path / "map") == labels

    @pytest.mark.parametrize(
        ("tokens", "message"),
        [
            ([], "the survey lacks a network; name its weights with --checkpoint, its trajectory with --trajectory"),
            (["--checkpoint=FILE", "--trajectory=way"], "give one of them"),
            (["--checkpoint=FILE", "--range", "1", "-1"], "range is 1 -1; expected two rising numbers"),
            (["--checkpoint=FILE", "--normalize=filtr"], "'filtr' is not a normalisation; did you mean 'filter'"),
            (
                ["--checkpoint=FILE", "--directions", "component"],
                "is computed from a trajectory; name one with --trajectory",
            ),
            (["--checkpoint=nowhere.pt"], "checkpoint nowhere.pt does not exist"),
            (["--checkpoint=FILE", "--directions", "eigenvector:"], "nothing follows the colon of direction"),
            (["--checkpoint=FILE", "--directions", "eigenvector:top"], "'eigenvector:top' is not a direction"),
            (
                ["--checkpoint=FILE", "--directions", "eigenvector", "--curvature_parameters=layer9.*"],
                "no parameters that vary match layer9.*",
            ),
            (["--checkpoint=FILE", "--directions=gradient", "--repeats=3"], "and gradient are not"),
        ],
    )
    def test_says_in_one_line_what_is_wrong(
        self, tokens: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = self.checkpoint(tmp_path)
        tokens = [token.replace("FILE", str(path)) for token in tokens]
        assert main(["survey", *tokens, "--model.hidden", "8", f"--out={tmp_path / 'run'}"]) == 2
        errors = capsys.readouterr().err
        assert message in " ".join(errors.split())
        assert len(errors.splitlines()) == 1
        assert not (tmp_path / "run").exists()
