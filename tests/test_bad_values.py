"""Values of options, and users' own code, that cannot be: refused in one line, before anything is computed or kept."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import lossatlas as la
from lossatlas.bounds import Bounded, NamedOptions, Positive
from lossatlas.cli import main
from lossatlas.data import AUGMENTATIONS, DATA
from lossatlas.data.load import find_data_options
from lossatlas.losses import LOSSES
from lossatlas.models import MODELS, check_weights_fit
from lossatlas.pictures import SOURCES
from lossatlas.recipes import CompareConfig, ConnectConfig, FitConfig, SpectraConfig, SurveyConfig, TrainConfig
from lossatlas.recipes.room import Extent
from lossatlas.schedules import SCHEDULES
from lossatlas.training import parse_optimizer, parse_switch, parse_thinning
from lossatlas.weights.files import load_state, read_checkpoint
from lossatlas.weights.loading import flatten_state

CONFIGS = (FitConfig, SurveyConfig, ConnectConfig, TrainConfig, CompareConfig, SpectraConfig)
REGISTRIES = (MODELS, SCHEDULES, DATA, SOURCES, AUGMENTATIONS, LOSSES)
OPTIONS = [
    *CONFIGS,
    *(
        registry[name]
        for registry in REGISTRIES
        for name in registry
        if hasattr(registry[name], "__dataclass_fields__")
    ),
    find_data_options("hub:some/images"),
    la.Adam,
    la.Momentum,
]
INFINITE = {("FitConfig", "max_norm"), ("ConnectConfig", "max_norm"), ("Adam", "max_norm"), ("Momentum", "max_norm")}
INFINITE |= {(kind.__name__, "memory") for kind in OPTIONS if "memory" in getattr(kind, "__dataclass_fields__", ())}
"""Where infinity has a meaning: no clip, and all of a split on the device. As a word, ``memory`` is not a number."""
QUICK = ["--examples=20", "--plan=loop", "--no_pictures"]


def numbers_of(kind: type, number: type) -> Iterator[tuple[str, Any]]:
    """The fields of a dataclass that hold such numbers, and how one is put there."""
    hints = get_type_hints(kind)
    for field in fields(kind):
        hint = hints[field.name]
        parts = {hint, *get_args(hint)}
        if number in parts:
            yield field.name, lambda value: value
        for part in parts:
            if get_origin(part) is tuple and number in get_args(part):
                count = max(1, sum(each is number for each in get_args(part)))
                yield field.name, lambda value, count=count: (value,) * count


def cases(number: type) -> list[Any]:
    return [
        pytest.param(kind, name, put, id=f"{kind.__name__}.{name}")
        for kind in OPTIONS
        for name, put in numbers_of(kind, number)
    ]


@dataclass(frozen=True)
class Some(Bounded):
    several: tuple[Positive, ...] = ()
    free: float = 0.0


class TestNumbers:
    @pytest.mark.parametrize(("kind", "name", "put"), cases(float))
    def test_that_are_not_finite_are_refused_by_the_name_of_their_option(self, kind: type, name: str, put: Any) -> None:
        for value in (math.nan, math.inf, -math.inf, 1e300, 1e-320):
            if value == math.inf and (kind.__name__, name) in INFINITE:
                continue
            with pytest.raises(la.BadInput, match=rf"\b{name} is .*; expected") as refusal:
                kind(**{name: put(value)})
            assert len(str(refusal.value).splitlines()) == 1

    @pytest.mark.parametrize(("kind", "name", "put"), cases(int))
    def test_that_64_bits_do_not_hold_are_refused(self, kind: type, name: str, put: Any) -> None:
        for value in (2**70, -(2**70), 10**5000):
            with pytest.raises(la.BadInput, match=rf"\b{name} is .*; expected") as refusal:
                kind(**{name: put(value)})
            assert len(str(refusal.value)) < 200

    def test_every_option_is_looked_at(self) -> None:
        found = {(case.values[0].__name__, case.values[1]) for number in (float, int) for case in cases(number)}
        assert {("FitConfig", "lr"), ("FitConfig", "betas"), ("MLP", "hidden"), ("LinearDecay", "low")} <= found
        assert {("SurveyConfig", "range"), ("Crop", "padding"), ("CrossEntropy", "weight")} <= found
        assert len(found) > 90

    def test_bounds_stand_in_annotations(self) -> None:
        assert Some((1.0, 2.0), -3.0).free == -3.0
        for wrong, message in (((1.0, 0.0), "several is 0.0; expected a positive number"), ((1e39,), "ordinary size")):
            with pytest.raises(la.BadInput, match=message):
                Some(wrong)

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: TrainConfig(epochs="2"), "epochs is '2'; expected a positive number"),
            (lambda: TrainConfig(epochs=None), "epochs is None; expected a positive number"),
            (lambda: TrainConfig(batch_size=32.0), "batch_size is 32.0; expected a positive number"),
            (lambda: FitConfig(betas=(0.9,)), "betas is (0.9,); expected a list of numbers"),
            (lambda: FitConfig(splits="train"), "splits is 'train'; expected a list of texts"),
            (lambda: FitConfig(coarse=(0.3, "x")), "coarse is (0.3, 'x'); expected a list of numbers"),
            (lambda: FitConfig(origin_at="top"), "origin_at is 'top'; expected 'centre' or 'corner'"),
            (lambda: FitConfig(invert="no"), "invert is 'no'; expected a truth value"),
            (lambda: FitConfig(pattern=3), "pattern is 3; expected a text"),
            (lambda: la.Adam(lr="fast"), "lr is 'fast'; expected"),
            (lambda: la.MLP(hidden=8), "mlp's hidden is 8; expected a list of whole numbers"),
            (lambda: la.train(None, None, epochs="2"), "epochs is '2'; expected a number"),  # type: ignore[arg-type]
            (lambda: la.fit(None, None, None, None, steps="2"), "steps is '2'; expected a whole number"),  # type: ignore[arg-type]
            (lambda: la.survey(None, {}, None, {}, padding=1.5), "padding is 1.5; expected a whole number"),  # type: ignore[arg-type]
            (lambda: la.slice_around(None, repeats="2"), "repeats is '2'; expected a whole number"),  # type: ignore[arg-type]
        ],
    )
    def test_values_of_another_type_are_refused_in_one_line(self, make: Any, message: str) -> None:
        with pytest.raises(la.BadInput, match=f"^{re.escape(message)}"):
            make()

    def test_scalars_and_lists_of_other_libraries_are_taken(self) -> None:
        made: Any = TrainConfig
        kept = made(epochs=np.float32(2), batch_size=np.int64(3), lr=torch.tensor(0.5), augment=["flip"], seed=True)
        assert (float(kept.epochs), kept.batch_size, float(kept.lr), list(kept.augment)) == (2, 3, 0.5, ["flip"])
        assert made(epochs=2).epochs == 2
        assert FitConfig(invert=np.bool_(True)).invert  # type: ignore[arg-type]

    @pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.kind)
    def test_options_of_a_named_thing_are_told_by_its_name(self, registry: Any) -> None:
        for name in registry:
            kind = registry[name]
            if issubclass(kind, NamedOptions):
                for field, put in numbers_of(kind, int):
                    with pytest.raises(la.BadInput, match=f"{name if registry is not DATA else 's'}.* {field} is"):
                        kind(**{field: put(2**70)})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: parse_optimizer("adam,lr=1e400"),
            "inf is not a value for lr of optimizer 'adam'; expected a positive number",
        ),
        (lambda: parse_optimizer("sgd,lr=0"), "0 is not a value for lr of optimizer 'sgd'; expected a positive number"),
        (lambda: parse_optimizer("adam,betas=(0.9,1.5)"), "optimizer 'adam' refuses: Invalid beta"),
        (
            lambda: parse_optimizer("adam,betas=(0.9,1e999)"),
            "inf is not a value for betas of optimizer 'adam'; expected a finite",
        ),
        (lambda: parse_optimizer("sgd,weight_decay=1e999"), "inf is not a value for weight_decay of optimizer 'sgd'"),
        (lambda: parse_optimizer("momentum,lr=nan"), "'nan' is not a value for optimizer option lr; expected a number"),
        (lambda: parse_optimizer("sgd,lr=3e38,weight_decay=9"), "makes a weight of 1 infinite in one step"),
        (
            lambda: parse_optimizer(f"adam,lr={'(' * 5000}"),
            "'[(]{40}' is not a value for optimizer option lr; expected a number",
        ),
        (lambda: parse_switch("1e300:sgd"), "is not a switch; expected EPOCH:OPTIMIZER"),
        (lambda: parse_thinning("distance:inf"), "snapshots 'distance:inf' is not a choice of steps"),
        (lambda: parse_thinning("epoch:1e-320"), "snapshots 'epoch:1e-320' is not a choice of steps"),
        (lambda: FitConfig(seed=-1), "seed is -1; expected a seed of 0 or more"),
        (lambda: FitConfig(steps=10**18), "steps is 1000000000000000000; expected .* a year of steps"),
        (lambda: FitConfig(seconds=0.0), "seconds is 0.0; expected a positive number"),
        (lambda: SurveyConfig(at=("0,1e39",)), "at is 0,1e39; expected two or more rising numbers"),
        (lambda: SurveyConfig(range=(-1e308, 1e308)), "range is -1e.*308; expected"),
        (lambda: FitConfig(examples="9" * 5000), "examples is .*; expected a positive number, all or auto"),
        (lambda: la.Seconds(math.inf), "inf seconds is not a budget"),
    ],
)
def test_texts_with_numbers(make: Any, message: str) -> None:
    with pytest.raises(la.BadInput, match=message) as refusal:
        make()
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize("kind", [FitConfig, CompareConfig])
@pytest.mark.parametrize("device", ["meta", "cpu:7", "cuda:-1", "vulkan", "mkldnn", "", "CPU", "cuda:1:2"])
def test_devices_that_nothing_is_evaluated_on(kind: type, device: str) -> None:
    with pytest.raises(la.BadInput, match=f"device is {device!r}; expected auto, cpu, cuda"):
        kind(device=device)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FitConfig(splits=("train", "train")), "splits names 'train' twice"),
        (lambda: FitConfig(metrics=("loss", "loss")), "metrics names 'loss' twice"),
        (lambda: SurveyConfig(metrics=("auto", "um:f", "um:f")), "metrics names 'um:f' twice"),
        (lambda: SurveyConfig(splits=("test", "train", "test")), "splits names 'test' twice"),
        (lambda: ConnectConfig(splits=("train", "train")), "splits names 'train' twice"),
        (lambda: CompareConfig(splits=("train", "train")), "splits names 'train' twice"),
    ],
)
def test_what_is_named_twice(make: Any, message: str) -> None:
    with pytest.raises(la.BadInput, match=message):
        make()


class TestRoom:
    """Free memory is what each test says it is."""

    @pytest.fixture(autouse=True)
    def _little(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in ("lossatlas.recipes.room", "lossatlas.models.family"):
            monkeypatch.setattr(f"{module}.free_memory", lambda _: 10**9)

    def test_points_take_memory_disk_and_hours(self) -> None:
        extent = Extent(10**9, splits=2, numbers=4)
        assert extent.memory == 14 * 8 * 10**9
        assert extent.disk == math.ceil(10**9 / 256) * (8 + 4) * 4096
        assert extent.hours == pytest.approx(2e4 / 3600)
        with pytest.raises(la.BadInput) as refusal:
            extent.check("grid", "1 x 1,000,000,000")
        for part in ("grid: 1 x 1,000,000,000 = 1,000,000,000 points", "112 GB of memory", "1 GB are free", "192 GB on",
                     "5.56 hours"):  # fmt: skip
            assert part in str(refusal.value)

    def test_a_year_is_too_long_whatever_the_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lossatlas.recipes.room.free_memory", lambda _: 10**30)
        Extent(10**12, splits=1, numbers=1).check("grid")
        with pytest.raises(la.BadInput, match="hours"):
            Extent(10**13, splits=1, numbers=1).check("grid")

    @pytest.mark.parametrize(
        ("family", "message"),
        [
            (la.MLP(hidden=(10**12,)), r"'mine' would have 12.3 PB of weights, and 1 GB of memory are free"),
            (la.MLP(hidden=(10**12, 10**12)), r"more than 2\^63 bytes of weights"),
            (la.VGG(width=10**5), "GB of weights|TB of weights"),
            (la.ResNet(width=2**40), "more than"),
        ],
    )
    def test_networks_are_counted_before_they_are_made(self, family: Any, message: str) -> None:
        with pytest.raises(la.BadInput, match=message):
            check_weights_fit("mine", family, (3, 32, 32), 10)
        check_weights_fit("mine", la.ResNet(), (3, 32, 32), 10)

    def test_counting_draws_nothing(self) -> None:
        before = torch.get_rng_state()
        for name in MODELS:
            check_weights_fit(name, MODELS[name](), (3, 32, 32), 10)
        assert torch.equal(before, torch.get_rng_state())


MODULE = """
import sys
import numpy as np
import torch

def ones(outputs, batch): return torch.ones(len(batch[0]))
def raises(outputs, batch): raise ValueError("two lines:\\nthe reason")
def nothing(outputs, batch): return None
def text(outputs, batch): return "good"
def one_number(outputs, batch): return 0.5
def wrong_shape(outputs, batch): return torch.zeros(len(batch[0]), 10)
def no_shape(outputs, batch): return torch.zeros(())
def complex_numbers(outputs, batch): return torch.ones(len(batch[0])) * 1j
def sparse(outputs, batch): return torch.ones(len(batch[0])).to_sparse()
def meta(outputs, batch): return torch.ones(len(batch[0]), device="meta")
def exits(outputs, batch): sys.exit(0)
def needs_more(outputs): return outputs
def writes_outputs(outputs, batch): return outputs.mul_(0).sum(dim=1)
def writes_batch(outputs, batch): batch[1].fill_(0); return torch.ones(len(outputs))
def writes_past_torch(outputs, batch): outputs.numpy()[:] = 0; return torch.ones(len(outputs))

def a_list(outputs, batch): return [0.5] * len(outputs)
def an_array(outputs, batch): return np.full(len(outputs), 0.5)
def whole(outputs, batch): return torch.full((len(outputs),), 2)
def booleans(outputs, batch): return outputs.argmax(dim=1) == batch[1]
def with_a_graph(outputs, batch): return torch.full((len(outputs),), 0.5, requires_grad=True)
def not_numbers(outputs, batch): return torch.full((len(outputs),), float("nan"))

calls = 0
def late(outputs, batch):
    global calls
    calls += 1
    if calls > 6: outputs.zero_()
    return torch.ones(len(outputs))

def factory_memory(): raise MemoryError
def factory_torch(): return torch.nn.Linear(64, 10**15)
def factory_exits(): sys.exit(0)
def factory_number(): return 3
def factory_more(width): return torch.nn.Linear(64, width)
def factory_meta(): return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10, device="meta"))
def factory_deep(): return factory_deep()
number = 3
"""
BAD_METRICS = {
    "raises": "metric 'raises' fails on the model's output: two lines: the reason",
    "nothing": "metric 'nothing' returned NoneType for 8 examples; expected one number each",
    "text": "metric 'text' returned str for 8 examples",
    "one_number": "metric 'one_number' returned float for 8 examples",
    "wrong_shape": "metric 'wrong_shape' returned shape (8, 10) for 8 examples",
    "no_shape": "metric 'no_shape' returned shape () for 8 examples",
    "complex_numbers": "metric 'complex_numbers' returned torch.complex64; expected real numbers",
    "sparse": "metric 'sparse' returned Tensor for 8 examples",
    "meta": "metric 'meta' returned Tensor for 8 examples",
    "exits": "metric 'exits' fails on the model's output: it called sys.exit(0)",
    "needs_more": "metric 'needs_more' fails on the model's output: needs_more() takes 1 positional argument",
    "writes_outputs": "metric 'writes_outputs' writes into the outputs or the batch, which others see, too",
    "writes_batch": "metric 'writes_batch' writes into the outputs or the batch",
    "writes_past_torch": "metric 'writes_past_torch' writes into the outputs or the batch",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two short trainings, of which the first has a trajectory, and a module of users' functions."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, seed in (("a", 0), ("b", 1)):
            tokens = ["--epochs=1", "--model.hidden", "8", "--snapshots=step:3", f"--seed={seed}", f"--out={name}"]
            assert main(["train", *tokens]) == 0
    (folder / "um.py").write_text(MODULE)
    return folder


@pytest.fixture
def inside(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(trained)
    yield trained
    shutil.rmtree("x", ignore_errors=True)


def refusal_of(capsys: pytest.CaptureFixture[str], *tokens: str) -> str:
    """The one line that a command line is refused with; nothing may be left behind."""
    capsys.readouterr()
    before = sorted(Path.cwd().rglob("*"))
    assert main([*tokens]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("lossatlas: note:")]
    left = [path for path in sorted(Path.cwd().rglob("*")) if path not in before and "__pycache__" not in path.parts]
    assert not left
    assert len(lines) == 1, lines
    return lines[0]


class TestCommandLines:
    @pytest.mark.parametrize(
        ("tokens", "message"),
        [
            (["fit", "--lr=inf"], "lr is inf; expected a positive number"),
            (["fit", "--scale=1e400"], "scale is inf"),
            (["fit", "--seed=18446744073709551616"], "seed is 18446744073709551616"),
            (["fit", "--device=meta"], "device is 'meta'"),
            (["fit", "--device=cuda:99"], "device 'cuda:99' is not available"),
            (["fit", "--model.hidden=1000000000000"], "would have 300 TB of weights"),
            (["fit", "--model=resnet", "--model.depth=1000000"], "resnet's depth is 1000000; expected 10,000 at most"),
            (["fit", "--padding=1000000"], "size with padding: 2,000,040 x 2,000,040 = "),
            (["fit", "--size=100000x100000"], "expected at most 1,000,000"),
            (["fit", "--size=0x5"], "size '0x5' is too small"),
            (["fit", "--size=99999999x99999999"], "is not a size"),
            (["fit", "--size=8", "--padding=10000000", "--dry_run"], "20,000,008 x 20,000,008"),
            (["fit", "--checkpoint_seconds=nan"], "checkpoint_seconds is nan"),
            (["train", "--checkpoint_seconds=-1"], "checkpoint_seconds is -1.0"),
            (["fit", f"--memory={'9' * 400}"], "expected auto, or a positive number of bytes"),
            (["fit", "--memory=0.0001"], "expected auto, or a positive number of bytes"),
            (["fit", f"--output={'9' * 5000}"], "999"),
            (["train", "--epochs=1e30"], "expected at most 631,152,000,000"),
            (["train", "--optimizer=adam,lr=1e999"], "inf is not a value for lr of optimizer 'adam'"),
            (["train", "--init_gain=1e38", "--init_from=a"], "the loss of the first batch is nan before any step"),
            (["train", "--schedule=linear", "--schedule.begin=nan"], "linear's begin is nan"),
            (["survey", "--checkpoint=a", "--grid=1000000000"], "1,000,000,000 x 1,000,000,000 = "),
            (["survey", "--checkpoint=a", "--grid=1000000000000", "--directions", "random"], "hours"),
            (["survey", "--checkpoint=a", "--grid=100000000000", "--dry_run", "--budget=300"], "hours"),
            (["survey", "--checkpoint=a", "--repeats=1000000000"], "repeats is 1,000,000,000: their directions take"),
            (["survey", "--checkpoint=a", "--range", "-1e308", "1e308"], "range is -1e+308"),
            (["survey", "--checkpoint=a", "--range", "1", "1.0000000000000002"], "too short for 25 different points"),
            (["survey", "--between", "a", "b", "--margin=inf"], "margin is inf"),
            (["survey", "--between", "a", "a"], "a is named twice"),
            (["connect", "a", "b", "--plane=1000000"], "plane: 1,000,000 x 1,000,000 = "),
            (["connect", "a", "b", "--grid=1000000000000"], "grid: 3 x 1,000,000,000,000"),
            (["connect", "a", "b", "--bends=1000000000"], "bends is 1,000,000,000: the curve's control points take"),
            (["connect", "a", "b", "--points=10000000000000"], "points is 10,000,000,000,000"),
            (["compare", "a", "b", "--line=1000000000000"], "line: 1,000,000,000,000 points"),
            (["compare", "a", "b", "--slice_points=1000000000000"], "slice_points and repeats: "),
            (["compare", "a", "b", "--grid=1000000000"], "grid: 1,000,000,000,000,000,000 points"),
            (["compare", "a", "b", "--slice_range=nan"], "slice_range is nan"),
        ],
        ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
    )
    def test_are_refused_in_one_line(
        self, tokens: list[str], message: str, inside: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert message in refusal_of(capsys, *tokens, "--out=x")

    def test_a_disk_that_is_too_small(
        self, inside: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("lossatlas.recipes.room.free_disk", lambda _: 1000)
        for tokens in (["survey", "--checkpoint=a", "--grid=3", *QUICK], ["train", "--model.hidden", "8"]):
            assert "on disk, and 1 kB are free at x" in refusal_of(capsys, *tokens, "--out=x")


class TestUsersCode:
    @pytest.mark.parametrize("name", BAD_METRICS)
    def test_metrics_that_cannot_be_are_found_before_a_survey_begins(
        self, name: str, inside: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        tokens = ["--checkpoint=a", "--grid=2", "--metrics", "loss", f"um:{name}", *QUICK, "--out=x"]
        assert BAD_METRICS[name] in refusal_of(capsys, "survey", *tokens)

    @pytest.mark.parametrize("name", ["wrong_shape", "exits", "writes_outputs"])
    def test_and_before_a_fit_and_a_curve(self, name: str, inside: Path, capsys: pytest.CaptureFixture[str]) -> None:
        fit = ["fit", "--size=8", "--steps=2", "--model.hidden", "8", *QUICK, "--metrics", "loss", f"um:{name}"]
        for tokens in (fit, [*fit, "--dry_run"], ["connect", "a", "b", "--steps=2", *QUICK, *fit[-3:]]):
            assert BAD_METRICS[name] in refusal_of(capsys, *tokens, "--out=x")

    def test_results_that_can_be_taken_are(self, inside: Path, tmp_path: Path) -> None:
        names = {"a_list": 0.5, "an_array": 0.5, "whole": 2.0, "with_a_graph": 0.5, "not_numbers": math.nan}
        metrics = ["accuracy", "um:booleans", *(f"um:{name}" for name in names)]
        tokens = ["--checkpoint=a", "--grid=2", "--metrics", *metrics, *QUICK[1:], "--splits", "test"]
        assert main(["survey", *tokens, f"--out={tmp_path / 'x'}"]) == 0
        survey = xr.open_zarr(tmp_path / "x" / "survey.zarr", consolidated=False)
        for name, value in names.items():
            np.testing.assert_allclose(survey[f"test_{name}"], value)
        np.testing.assert_array_equal(survey["test_booleans"], survey["test_accuracy"])

    def test_a_metric_that_begins_to_write_later_ends_the_run(
        self, inside: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        tokens = ["--checkpoint=a", "--grid=4", "--metrics", "um:late", "accuracy", *QUICK, f"--out={tmp_path / 'x'}"]
        assert main(["survey", *tokens]) == 3
        assert "metric 'late' writes into the outputs" in capsys.readouterr().err

    def test_a_metric_costs_a_call_on_a_few_examples(self) -> None:
        sizes = []

        def counted(outputs: Tensor, batch: Any) -> Tensor:
            sizes.append(len(outputs))
            return outputs[:, 0]

        module = nn.Linear(3, 2)
        split = la.Split((torch.randn(30, 3), torch.randint(2, (30,))))
        chart = la.slice_around(module, ("random",))
        grid = {"u": np.linspace(0, 1, 3)}
        la.survey(
            chart, grid, la.Problem(module, la.CrossEntropy()), {"t": split}, metrics=[la.PerExampleMetric(counted)]
        )
        assert sorted(sizes) == [8, 30, 30, 30]

    @pytest.mark.parametrize(
        ("model", "message"),
        [
            ("um:factory_memory", "model 'um:factory_memory' failed: MemoryError"),
            ("um:factory_torch", "model 'um:factory_torch' failed: "),
            ("um:factory_exits", "model 'um:factory_exits' failed: it called sys.exit(0)"),
            ("um:factory_number", "returned int; expected a torch.nn.Module"),
            ("um:factory_more", "failed: factory_more() missing 1 required positional argument"),
            ("um:factory_meta", "no numbers in '1.weight', which is on the device meta"),
            ("um:factory_deep", "failed: maximum recursion depth exceeded"),
            ("um:number", "'number' is not callable in module 'um'"),
            ("um:none", "'none' does not exist in module 'um'"),
            ("um:", "'' does not exist in module 'um'"),
            (":f", "cannot import ''"),
            ("leaves:f", "cannot import 'leaves' (it called sys.exit(0))"),
            ("loops:f", "cannot import 'loops' (maximum recursion depth"),
        ],
    )
    def test_factories(self, model: str, message: str, inside: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (inside / "leaves.py").write_text("import sys\nsys.exit(0)\n")
        (inside / "loops.py").write_text("def f(): f()\nf()\n")
        assert message in refusal_of(capsys, "fit", f"--model={model}", "--out=x")

    @pytest.mark.parametrize(
        ("forward", "message"),
        [
            ("import sys; sys.exit(0)", "the model fails on these data.*it called sys.exit.0."),
            ("raise KeyError('x\\ny')", "the model fails on these data.*KeyError: 'x.*y'"),
        ],
    )
    def test_networks_that_exit(self, forward: str, message: str) -> None:
        scope: dict[str, Any] = {"nn": nn}
        exec(f"class Net(nn.Linear):\n def forward(self, x):\n  {forward}", scope)
        split = la.Split((torch.randn(9, 3), torch.randint(2, (9,))))
        module = scope["Net"](3, 2)
        chart = la.slice_around(module, ("random",))
        with pytest.raises(la.BadInput, match=message):
            la.survey(chart, {"u": np.zeros(1)}, la.Problem(module, la.CrossEntropy()), {"t": split})

    def test_losses_that_are_complex_or_exit_or_write(self) -> None:
        module, data = nn.Linear(3, 2), (torch.randn(9, 3), torch.randint(2, (9,)))
        chart = la.slice_around(module, ("random",))

        def leaves(outputs: Tensor, targets: Tensor) -> Tensor:
            raise SystemExit(0)

        def writes(outputs: Tensor, targets: Tensor) -> Tensor:
            return outputs.clamp_(min=0).sum(dim=1)

        for function, message in (
            (lambda outputs, _: outputs[:, 0] * 1j, "the loss is complex"),
            (leaves, "it called sys.exit"),
            (writes, "the loss writes into the outputs"),
        ):
            with pytest.raises(la.BadInput, match=message):
                la.survey(chart, {"u": np.zeros(1)}, la.Problem(module, la.PerExample(function)), {"t": la.Split(data)})

    def test_items_that_exit(self) -> None:
        class Items:
            def __len__(self) -> int:
                return 5

            def __getitem__(self, row: int) -> Any:
                raise SystemExit(row)

        with pytest.raises(la.BadInput, match="item 0 of the data set cannot be read: Exited"):
            la.Split.of(Items())


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))


WEIGHT = torch.arange(12.0).reshape(3, 4)
ODD_WEIGHTS: dict[str, tuple[Callable[[], Tensor], str]] = {
    "complex": (lambda: WEIGHT * 1j, "as torch.complex64 and the model as torch.float32"),
    "sparse": (WEIGHT.to_sparse, "as a sparse tensor; save it as a plain one"),
    "compressed": (WEIGHT.to_sparse_csr, "as a sparse tensor"),
    "out of bounds": (
        lambda: torch.sparse_coo_tensor(torch.tensor([[10**6], [0]]), torch.ones(1), (3, 4), check_invariants=False),
        "as a sparse tensor",
    ),
    "meta": (lambda: torch.empty(3, 4, device="meta"), "has no numbers in '0.weight'"),
    "whole": (WEIGHT.long, "as torch.int64"),
    "bool": (WEIGHT.bool, "as torch.bool"),
}


@pytest.mark.parametrize("kind", ODD_WEIGHTS)
@pytest.mark.filterwarnings("ignore:Sparse")
def test_weights_of_a_file_that_are_not_plain_real_numbers(kind: str, tmp_path: Path) -> None:
    make, message = ODD_WEIGHTS[kind]
    module = net()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    torch.save({**module.state_dict(), "0.weight": make()}, tmp_path / "x.pt")
    for use in (
        lambda: load_state(module, read_checkpoint(tmp_path / "x.pt"), "it"),
        lambda: flatten_state(la.WeightSpace(module), read_checkpoint(tmp_path / "x.pt"), "it"),
    ):
        with pytest.raises(la.BadInput, match=message):
            use()
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def test_statistics_of_a_file_that_are_complex(tmp_path: Path) -> None:
    module = net()
    torch.save({**module.state_dict(), "1.running_mean": torch.ones(3) * 1j}, tmp_path / "x.pt")
    with pytest.raises(la.BadInput, match="'1.running_mean' as torch.complex64"):
        load_state(module, read_checkpoint(tmp_path / "x.pt"), "it")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (WEIGHT.to_sparse(), "a sparse tensor"),
        (torch.empty(3, 4, device="meta"), "without numbers"),
        ([np.datetime64("2020-01-01")] * 3, "which torch cannot hold"),
        ([10**30] * 3, "which torch cannot hold"),
    ],
    ids=["sparse", "meta", "dates", "huge"],
)
def test_examples_that_are_not_plain_numbers(value: Any, message: str) -> None:
    labels = torch.zeros(3, dtype=torch.int64)
    for pair in ((value, labels), (labels, value)):
        with pytest.raises(la.BadInput, match=message):
            la.Split.of(pair)
        if isinstance(value, Tensor):
            with pytest.raises(la.BadInput, match=message):
                la.Split(pair)


class Tagged(Tensor):
    """A tensor with a class of its own, as image libraries have them."""


def test_a_class_that_keeps_its_numbers_where_they_are_is_taken() -> None:
    split = la.Split.of((WEIGHT.as_subclass(Tagged), torch.zeros(3)))
    assert type(split.data[0]) is Tensor
    assert torch.equal(split.data[0], WEIGHT)


class TestDiverged:
    """A trajectory whose end is not finite, as that of a training which diverged."""

    @pytest.fixture
    def diverged(self, trained: Path, tmp_path: Path) -> Path:
        shutil.copytree(trained / "a", tmp_path / "diverged")
        last = sorted((tmp_path / "diverged" / "snapshots").glob("*.safetensors"))[-2:]
        for path in last:
            state = load_file(path)
            save_file({name: torch.full_like(value, math.nan) for name, value in state.items()}, path)
        return tmp_path / "diverged"

    def test_is_surveyed_as_far_as_it_is(
        self, diverged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        steps = [snapshot.step for snapshot in la.Trajectory.of(diverged).snapshots]
        tokens = [f"--trajectory={diverged}", "--grid=2", *QUICK]
        assert main(["survey", *tokens, f"--out={tmp_path / 'x'}"]) == 0
        notes = capsys.readouterr().err
        assert f"the weights of steps {steps[-2]}, {steps[-1]} are not finite" in notes
        assert f"the trajectory ends at step {steps[-3]}" in notes
        survey = xr.open_zarr(tmp_path / "x" / "survey.zarr", consolidated=False)
        assert survey["path_step"].values.tolist() == steps[:-2]
        assert np.isfinite(survey["path_loss_train"]).all()
        # The chart lies around the last that is finite, and is known again.
        assert main(["survey", f"--run={tmp_path / 'x'}", "--grid=2", *QUICK, f"--out={tmp_path / 'y'}"]) == 0

    def test_is_refused_where_too_little_is_left(
        self, diverged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for path in sorted((diverged / "snapshots").glob("*.safetensors"))[1:]:
            save_file({name: torch.full_like(value, math.inf) for name, value in load_file(path).items()}, path)
        assert main(["survey", f"--trajectory={diverged}", *QUICK, f"--out={tmp_path / 'x'}"]) == 2
        assert "are not finite; expected two finite snapshots at least" in capsys.readouterr().err
        assert not (tmp_path / "x").exists()

    @pytest.mark.parametrize("verb", ["survey --checkpoint={}", "survey --between {} a", "connect {} a",
                                      "fit --checkpoint={}", "train --init_from={}", "compare {} a",
                                      "survey --checkpoint=a --directions random towards:{}"])  # fmt: skip
    def test_weights_that_are_not_finite_are_refused_everywhere(
        self, verb: str, diverged: Path, inside: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        state = load_file(diverged / "model.safetensors")
        state["1.weight"][0, 0] = math.inf
        save_file(state, diverged / "model.safetensors")
        tokens = [*verb.format(diverged).split(), *([] if "compare" in verb else ["--model.hidden", "8"]), "--out=x"]
        assert "weights that are not finite: '1.weight'" in refusal_of(capsys, *tokens)
