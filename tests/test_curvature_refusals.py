"""Curvature is never silently wrong: what has no second derivatives is refused by name, and the rest is said."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

import lossatlas as la
from lossatlas.cli import main
from lossatlas.errors import BadInput, Caution

ROWS = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(20) % 5
TOKENS = torch.arange(140).reshape(20, 7) % 9
IMAGES = (ROWS.repeat(1, 24).reshape(20, 1, 12, 12) > 0.5).float()


def surveyed(module: nn.Module, inputs: Tensor, metric: str = "hessian_max", **options: Any) -> la.Survey:
    """A survey of a metric of curvature around a module, at three points."""
    options = {"loss": la.CrossEntropy(), "buffers": None, "curvature": None, "grid": (0.0, 0.01, 0.02)} | options
    start = torch.nn.utils.parameters_to_vector(module.parameters()).detach()
    chart = la.Plane(start.float() if start.dtype != torch.float64 else start, torch.eye(1, len(start)).to(start))
    return la.survey(
        chart, {"u": np.array(options["grid"])}, la.Problem(module, options["loss"]), {"test": (inputs, LABELS)},
        metrics=[metric], plan="loop", buffers=options["buffers"], curvature=options["curvature"],
    )  # fmt: skip


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.tanh()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return slope * (1 - x.tanh() ** 2)


class Detached(Once):
    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return slope * (1 - x.detach().tanh() ** 2)


class Numbers(Once):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.from_numpy(np.tanh(x.detach().numpy().astype(np.float32))).to(x)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return slope.detach() * torch.from_numpy(1 - np.tanh(x.detach().numpy()) ** 2)


class Twice(Once):
    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return slope * (1 - x.tanh() ** 2)


class Own(nn.Module):
    """A layer with a backward pass of its own."""

    def __init__(self, function: type[torch.autograd.Function]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function.apply(x)


class Checkpointed(nn.Module):
    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.inner, self.reentrant = nn.Sequential(nn.Linear(8, 8), nn.Tanh()), reentrant

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.inner, x, use_reentrant=self.reentrant)


class Narrow(nn.Module):
    """A normalisation that computes in 32 bits, whatever it is given."""

    def forward(self, x: Tensor) -> Tensor:
        y = x.float()
        return (y * torch.rsqrt(y.square().mean(-1, keepdim=True) + 1e-6)).to(x.dtype)


class Sequences(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.embedding, self.layer, self.head = nn.Embedding(9, 8), layer, nn.Linear(8, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        seen = self.layer(self.embedding(tokens))
        return self.head((seen[0] if isinstance(seen, tuple) else seen).mean(dim=1))


def around(layer: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), layer, nn.Linear(8, 5))


@pytest.mark.parametrize("kind", [Once, Detached, Numbers])
def test_a_backward_pass_without_second_derivatives_is_refused_by_its_layer(kind: type[Once]) -> None:
    with pytest.raises(BadInput, match=r"^layer '1' \(Own\) has no correct second derivatives") as caught:
        surveyed(around(Own(kind)), ROWS)
    assert "\n" not in str(caught.value)


def test_a_gauss_newton_matrix_needs_first_derivatives_alone() -> None:
    found, wanted = (surveyed(around(layer), ROWS, "ggn_max")["test_ggn_max"] for layer in (Own(Detached), nn.Tanh()))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")  # torch's, of the same thing
def test_a_reentrant_checkpoint_is_refused_by_its_layer_and_another_one_is_right() -> None:
    with pytest.raises(BadInput, match=r"^layer '1' \(Checkpointed\) .*use_reentrant=False"):
        surveyed(around(Checkpointed(True)), ROWS)
    plain = around(Checkpointed(True).inner)
    found, wanted = surveyed(around(Checkpointed(False)), ROWS), surveyed(plain, ROWS)
    np.testing.assert_allclose(found["test_hessian_max"], wanted["test_hessian_max"], rtol=1e-4)


@pytest.mark.parametrize(
    ("module", "inputs"),
    [
        (lambda: around(Own(Twice)), ROWS),
        (lambda: around(nn.Hardswish()), ROWS),
        (lambda: around(nn.Sequential(nn.ReLU(), Narrow(), nn.Linear(8, 8), nn.ReLU())), ROWS),
        (lambda: nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                               nn.Linear(100, 8), nn.LeakyReLU(), nn.Linear(8, 5)), IMAGES),
        (lambda: Sequences(nn.LSTM(8, 8, batch_first=True)), TOKENS),
        (lambda: Sequences(nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)), TOKENS),
    ],
    ids=["own", "hardswish", "narrow", "pooled", "lstm", "attention"],
)  # fmt: skip
@pytest.mark.parametrize("metric", ["hessian_max", "ggn_max"])
def test_no_false_alarms(module: Callable[[], nn.Module], inputs: Tensor, metric: str) -> None:
    torch.manual_seed(0)
    found = surveyed(module(), inputs, metric, grid=(0.0,))
    assert np.isfinite(found[f"test_{metric}"]).all()


@pytest.mark.parametrize(
    "loss",
    [
        la.NetworkLoss(lambda network, batch: network(batch[0]).square().sum(dim=1)),
        la.BatchMean(lambda loss, _: loss),
    ],
    ids=["network", "mean"],
)
def test_a_gauss_newton_matrix_of_what_is_the_loss_itself_is_refused(loss: la.Loss) -> None:
    class Judged(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            outputs = super().forward(x)
            return outputs if isinstance(loss, la.NetworkLoss) else outputs.square().sum()

    torch.manual_seed(0)
    with pytest.raises(BadInput, match=r"^ggn is zero: .*; use hessian"):
        surveyed(Judged(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 5)), ROWS, "ggn_max", loss=loss)


def test_weights_of_16_bits_are_told_once_with_the_size_of_the_error() -> None:
    with pytest.warns(Caution) as said:
        surveyed(around(nn.Tanh()).bfloat16(), ROWS)
    (line,) = (str(each.message) for each in said)
    (share,) = re.findall(r"the weights are bfloat16: .* by ([\d.e-]+) of its size", line)
    assert 1e-4 < float(share) < 0.1


def test_points_that_have_not_converged_are_counted_once() -> None:
    with pytest.warns(Caution) as said:
        found = surveyed(around(nn.Tanh()), ROWS, curvature=la.CurvatureSettings(products=3))
    (line,) = (str(each.message) for each in said)
    assert line.startswith("test: eigenvalues of the Hessian at 3 of 3 points did not settle within 3 ")
    assert (found["test_hessian_max_residual"] > 1e-3 * abs(found["test_hessian_max"])).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        surveyed(around(nn.Tanh()), ROWS)


def test_a_ratio_is_not_resolved_where_the_search_was_too_short_to_see_its_weaker_end() -> None:
    """However small its residuals are: the Hessian of softmax regression is never negative."""
    module = nn.Linear(6, 5)
    with pytest.warns(Caution, match="did not settle within 3 products"):
        short = surveyed(module, ROWS, "hessian_ratio", curvature=la.CurvatureSettings(products=3, tolerance=0.9))
    assert np.isinf(short["test_hessian_ratio_residual"]).all()
    whole = surveyed(module, ROWS, "hessian_ratio", curvature=la.CurvatureSettings(tolerance=0.9))
    assert np.isfinite(whole["test_hessian_ratio_residual"]).all()


def test_a_point_whose_loss_is_not_finite_is_stored_as_such_and_the_rest_is_right() -> None:
    module = around(nn.Softplus())
    found = surveyed(module, ROWS, grid=(-0.01, 0.0, 3e38))["test_hessian_max"]
    assert np.isnan(found[2])
    np.testing.assert_array_equal(found[:2], surveyed(module, ROWS, grid=(-0.01, 0.0))["test_hessian_max"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short training of a network with normalisation."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    tokens = ["--model=conv", "--model.channels", "2", "--model.hidden=4", "--model.batch_norm"]
    assert main(["train", *tokens, "--epochs=1", f"--out={folder}"]) == 0
    return folder


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["--metrics=hessian_max", "--buffers=batch"], r"the hessian is not that of the split: .*--buffers frozen"),
        (["--metrics=hessian_top:900"], r"900 eigenvalues are asked for, and curvature is taken in \d+ dimensions"),
        (["--metrics=hessian_max", "--curvature_tolerance=1e-9"], r"tolerance of curvature is 1e-09, .*32 bits"),
        (["--metrics=hessian_max", "--memory=5kB"], r"memory for a chunk is 0\.005 MB, .*--memory"),
        (["--metrics=hessian_max", "--curvature_parameters=nothing.*"], r"no parameters that vary match nothing\.\*"),
        (["--metrics=sam_sharpness:0.1", "--curvature_parameters=nothing.*"], r"no parameters that vary match"),
        (["--metrics=hessian_top:0"], r"'0' is not a number of eigenvalues"),
        (["--metrics=hessian_top:x"], r"'x' is not a number of eigenvalues"),
        (["--metrics=hessian_max:3"], r"this metric takes no argument; leave out ':3'"),
        (["--metrics=sam_sharpness"], r"sam_sharpness lacks the radius"),
        (["--metrics=sam_sharpness:-1"], r"-1\.0 is not a radius of sam_sharpness"),
    ],
)
def test_command_lines_are_refused_before_anything_is_written(
    trained: Path, tokens: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    out = tmp_path / "out"
    given = ["survey", f"--checkpoint={trained}/model.safetensors", "--grid=3", "--examples=20", "--plan=loop"]
    assert main([*given, *tokens, f"--out={out}"]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("lossatlas: note:")]
    assert len(lines) == 1, lines
    assert re.search(message, lines[0]), lines
    assert not out.exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tolerance": None}, "the tolerance of curvature is None"),
        ({"tolerance": "1e-3"}, "the tolerance of curvature is '1e-3'"),
        ({"tolerance": float("nan")}, "the tolerance of curvature is nan"),
        ({"products": 2.5}, "the number of products is 2.5"),
        ({"products": "300"}, "the number of products is '300'"),
        ({"products": True}, "the number of products is True"),
        ({"seed": -1}, "the seed of curvature is -1"),
        ({"seed": "a"}, "the seed of curvature is 'a'"),
        ({"second_start": "no"}, "second_start is 'no'"),
        ({"parameters": None}, "parameters of curvature are None"),
        ({"parameters": 7}, "parameters of curvature are 7"),
    ],
)
def test_settings_of_other_types_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=f"^{re.escape(message)}; expected "):
        la.CurvatureSettings(**settings)


def test_settings_that_are_equal_have_equal_records_whatever_types_of_numbers() -> None:
    given = la.CurvatureSettings(tolerance=np.float64(1e-2), products=np.int64(20), parameters=["*"])
    assert repr(given) == repr(la.CurvatureSettings(tolerance=1e-2, products=20))


PROBLEM = la.Problem(nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 5)), la.CrossEntropy())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"problem": None}, "problem is of type NoneType; expected la.Problem"),
        ({"problem": PROBLEM.module}, "problem is of type Sequential; expected la.Problem"),
        ({"splits": 3}, "the train examples: examples cannot be taken from an object of type int"),
        ({"splits": {"valid": (ROWS, LABELS)}}, "valid is not a choice of splits; expected train, and beside it test"),
        ({"splits": {"hessian_top": (ROWS, LABELS)}}, "hessian_top is not a choice of splits"),
        ({"splits": {1: (ROWS, LABELS)}}, "1 is not a choice of splits"),
        ({"splits": {"test": (ROWS, LABELS)}}, "test is not a choice of splits; expected train"),
        ({"split": "test"}, "'test' is not one of the splits; expected train"),
        ({"split": ["train"]}, r"['train'] is not one of the splits; expected train"),
        ({"split": "test", "splits": {"train": (ROWS, LABELS), "test": (ROWS[:, :2], LABELS)}}, "the model fails on"),
        ({"networks": 3}, "networks are of type int; expected networks by name"),
        ({"networks": PROBLEM.module}, "networks are of type Sequential; expected networks by name"),
        ({"curvature": 3}, "curvature is of type int; expected la.CurvatureSettings"),
        ({"curvature": {"tolerance": 1}}, "curvature is of type dict; expected la.CurvatureSettings"),
        ({"precision": "bf16"}, "precision is bf16, and curvature is taken in fp32; leave it out"),
        ({"top": "5"}, "top is '5'; expected"),
        ({"probes": -1}, "these are not the settings of lossatlas curvature"),
        ({"curvature_parameters": 7}, "curvature_parameters is [7]; expected a list of texts"),
    ],
)
def test_what_python_cannot_measure_is_refused_in_a_line(given: dict[str, Any], message: str) -> None:
    arguments = {"problem": PROBLEM, "splits": (ROWS, LABELS), **given}
    with pytest.raises(BadInput, match=f"^{re.escape(message)}") as caught:
        la.curvature(**arguments)
    assert "\n" not in str(caught.value)


def test_another_split_than_train_can_be_measured_and_shown() -> None:
    splits = {"train": (ROWS, LABELS), "test": (ROWS[:8], LABELS[:8])}
    small = {"top": 1, "bottom": 1, "probes": 0, "metrics": ["loss"]}
    found = la.curvature(PROBLEM, splits, split="test", **small)
    alone = la.curvature(PROBLEM, (ROWS[:8], LABELS[:8]), **small)
    np.testing.assert_array_equal(found.data["hessian_top"], alone.data["hessian_top"])
    assert (found.data.attrs["split"], found.data.attrs["examples"]) == ("test", 8)
    assert list(la.view(found)) == list(la.view(found.data)) != []


def test_a_hessian_that_is_zero_is_measured_and_has_no_slices() -> None:
    module = nn.Linear(6, 1)
    problem = la.Problem(module, la.PerExample(lambda outputs, _: outputs[:, 0]))
    found = la.curvature(problem, (ROWS, LABELS), top=1, bottom=1, probes=2, density_steps=4)
    assert float(found.data["hessian_top"][0, 0, 0]) == 0
    assert "not stationary" in found.verdicts[0]
    assert not found.charts


@pytest.mark.parametrize("direction", ["eigenvector", "gradient"])
def test_directions_of_derivatives_are_refused_under_statistics_of_the_batch(
    direction: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    given = ["survey", f"--checkpoint={trained}/model.safetensors", "--grid=3", "--examples=20", f"--out={out}"]
    assert main([*given, "--buffers=batch", "--directions", direction]) == 2
    (line,) = (each for each in capsys.readouterr().err.splitlines() if not each.startswith("lossatlas: note:"))
    assert "choose --buffers frozen, or other directions" in line
    assert not out.exists()
