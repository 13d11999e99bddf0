"""How batches are handed to a module, and what the loss sees of what it returns."""

from __future__ import annotations

import copy
from collections import UserDict, namedtuple
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
import yaml
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import lossatlas as la
from lossatlas.cli.main import main
from lossatlas.data import Dataset
from lossatlas.jobs.train import run_train
from lossatlas.recipes import FitConfig, SurveyConfig, TrainConfig
from lossatlas.recipes.problem import build_problem
from lossatlas.reproduce.settings import copy_problem
from lossatlas.rundir import RunDirectory

# Where one of several outputs is looked at, the layers of the others are.
pytestmark = pytest.mark.filterwarnings("ignore:unused by the model on these data:lossatlas.errors.Caution")

AT = np.array([-0.4, 0.0, 0.7])
EXAMPLES = 12


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


X, Z, MASK = numbers(EXAMPLES, 4), numbers(EXAMPLES, 3), (torch.arange(EXAMPLES * 4).view(-1, 4) % 3 > 0).float()
LENGTHS, LABELS = torch.arange(EXAMPLES) % 4, torch.arange(EXAMPLES) % 3


class Two(nn.Module):
    """Takes two inputs by position."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(4, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.left(x) + torch.tanh(self.right(z))


class Whole(Two):
    """Takes both as one argument."""

    def forward(self, inputs: tuple[Tensor, Tensor]) -> Tensor:  # type: ignore[override]
        return super().forward(*inputs)


class Anything(Two):
    def forward(self, *inputs: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(*inputs)


class Optional(Two):
    def forward(self, x: Tensor, z: Tensor | None = None, *, scale: float = 1.0) -> Tensor:  # type: ignore[override]
        out = scale * self.left(x)
        return out if z is None else out + torch.tanh(self.right(z))


class Wrapped(nn.Module):
    """What averaged models and data-parallel ones look like."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()


def by_hand(module: nn.Module, chart: la.Chart, loss: Callable[[nn.Module], Tensor]) -> list[float]:
    found = []
    for weights in chart.points(torch.from_numpy(AT)[:, None]):
        twin = copy.deepcopy(module).eval()
        with torch.no_grad():
            nn.utils.vector_to_parameters(weights, twin.parameters())
            found.append(float(loss(twin)))
    return found


def agrees(
    module: nn.Module,
    data: Any,
    call: Callable[[nn.Module], Tensor],
    feed: la.Feed | None = None,
    plan: str = "loop",
    loss: Any = None,
) -> None:
    """A line around a module has the losses of newly built modules with the same weights."""
    chart = la.slice_around(module, ["random"])
    problem = la.Problem(module, loss or la.CrossEntropy(), feed)
    survey = la.survey(chart, {"u": AT}, problem, {"t": la.Split(data)}, metrics=["loss"], plan=plan)
    wanted = by_hand(module, chart, lambda twin: cross_entropy(call(twin), LABELS))
    np.testing.assert_allclose(survey["t_loss"], wanted, rtol=1e-5)
    assert np.ptp(wanted) > 0.01


def refusal(module: nn.Module, data: Any, feed: la.Feed | None = None, loss: Any = None) -> str:
    """What is said of these data before anything is computed: in one line."""
    chart = la.slice_around(module, ["random"])
    with pytest.raises(la.BadInput) as refused:
        la.survey(chart, {"u": AT}, la.Problem(module, loss or la.CrossEntropy(), feed), {"t": la.Split(data)})
    assert len(str(refused.value).splitlines()) == 1
    return str(refused.value)


class TestPairs:
    @pytest.mark.parametrize("plan", ["loop", "vmap", "threads"])
    @pytest.mark.parametrize("make", [Two, Anything, Optional])
    @pytest.mark.parametrize("kind", [tuple, list])
    def test_several_inputs_are_handed_over_by_position(self, make: type[nn.Module], kind: type, plan: str) -> None:
        agrees(seeded(make), (kind((X, Z)), LABELS), lambda net: net(X, Z), plan=plan)

    @pytest.mark.parametrize("plan", ["loop", "vmap"])
    def test_or_together_where_the_module_takes_one(self, plan: str) -> None:
        agrees(seeded(Whole), ((X, Z), LABELS), lambda net: net((X, Z)), plan=plan)

    def test_a_single_one_in_a_tuple_is_an_argument(self) -> None:
        agrees(seeded(Optional), ((X,), LABELS), lambda net: net(X))
        agrees(seeded(lambda: nn.Sequential(nn.Linear(4, 3))), ((X,), LABELS), lambda net: net(X))

    @pytest.mark.parametrize(
        "wrap",
        [
            Wrapped,
            nn.DataParallel,
            lambda net: torch.compile(net, backend="eager"),
            torch.optim.swa_utils.AveragedModel,
            lambda net: Wrapped(Wrapped(net)),
        ],
    )
    @pytest.mark.parametrize(("make", "one"), [(Two, False), (Whole, True)])
    def test_wrapped_modules_take_what_is_in_them(
        self, wrap: Callable[[nn.Module], nn.Module], make: type[nn.Module], one: bool
    ) -> None:
        inner = seeded(make)
        args, kwargs = la.Problem(wrap(inner), la.CrossEntropy()).feed.inputs(((X, Z), LABELS))
        assert kwargs == {}
        assert len(args) == (1 if one else 2)
        torch.testing.assert_close(inner(*args), Two.forward(inner, X, Z))

    def test_a_forward_that_was_replaced_takes_what_it_takes(self) -> None:
        net = seeded(Whole)
        net.forward = lambda x, z: x + z  # type: ignore[method-assign]
        assert len(la.Problem(net, la.CrossEntropy()).feed.inputs(((X, Z), LABELS))[0]) == 2

    def test_a_signature_that_cannot_be_read_takes_one(self) -> None:
        net = seeded(Two)
        net.forward = min  # type: ignore[assignment]  # of C, without a signature
        assert la.Problem(net, la.CrossEntropy()).feed.inputs(((X, Z), LABELS))[0] == ((X, Z),)

    def test_three_entries_are_not_a_pair(self) -> None:
        """The lengths are not labels."""
        said = refusal(seeded(lambda: nn.Linear(4, 3)), (X, LENGTHS, LABELS))
        assert said.startswith(
            "a batch is a tuple of 3 (shape (8, 4), shape (8,), shape (8,)); expected (inputs, targets)"
        )
        for way_out in ("((inputs, lengths), targets)", "la.Dict()", "feed="):
            assert way_out in said

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            ((X,), "a batch is a tuple of 1 (shape (8, 4)); expected (inputs, targets)"),
            (X, "a batch is one tensor of shape (8, 4); expected (inputs, targets)"),
            ([X, X, X, LABELS], "a batch is a list of 4"),
            (
                {"x": X, "labels": LABELS},
                "a mapping of x, labels; expected (inputs, targets): give la.Problem(module, ",
            ),
            ({"x": X, "labels": LABELS}, "la.Dict())"),
            ({"x": X, "y": LABELS}, "la.Dict(targets=KEY))"),
        ],
    )
    def test_nor_is_anything_else(self, data: Any, said: str) -> None:
        assert said in refusal(seeded(lambda: nn.Linear(4, 3)), data)

    def test_trainings_refuse_it_too(self) -> None:
        net = seeded(lambda: nn.Linear(4, 3))
        with pytest.raises(la.BadInput, match="a batch is a tuple of 3"):
            la.fit(
                la.Plane.random(net, initialiser=la.Xavier()), la.Pattern(la.picture("heart", size=(7, 7))),
                la.Problem(net, la.CrossEntropy()), la.Split((X, LENGTHS, LABELS)), steps=1,
            )  # fmt: skip


class Named(nn.Module):
    """Takes two inputs by name."""

    def __init__(self) -> None:
        super().__init__()
        self.two = Two()

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        out: Tensor = self.two(x, z)
        return out


class TestDicts:
    @pytest.mark.parametrize("targets", ["labels", "label"])
    @pytest.mark.parametrize("plan", ["loop", "vmap"])
    def test_entries_are_handed_over_by_name(self, targets: str, plan: str) -> None:
        data = {"z": Z, targets: LABELS, "x": X}
        agrees(seeded(Named), data, lambda net: net(X, Z), la.Dict(), plan)

    def test_or_some_of_them_by_position(self) -> None:
        data = {"idx": LENGTHS, "noise": Z, "image": X, "label": LABELS}
        agrees(seeded(lambda: nn.Linear(4, 3)), data, lambda net: net(X), la.Dict(inputs=("image",)))
        agrees(seeded(lambda: nn.Linear(4, 3)), data, lambda net: net(X), la.Dict(inputs="image"))
        agrees(seeded(Two), data, lambda net: net(X, Z), la.Dict(inputs=["image", "noise"]))

    def test_targets_of_another_name(self) -> None:
        agrees(seeded(Named), {"x": X, "z": Z, "class": LABELS}, lambda net: net(X, Z), la.Dict("class"))

    def test_any_mapping_is_one(self) -> None:
        batch = UserDict({"x": X, "labels": LABELS})
        for feed in (la.Dict(), la.Dict(inputs=("x",))):
            feed = la.Problem(nn.Linear(4, 3), la.CrossEntropy(), feed).feed
            assert feed.targets(batch) is LABELS
            args, kwargs = feed.inputs(batch)
            assert [*args, *kwargs.values()] == [X]

    def test_targets_may_go_to_the_module_too(self) -> None:
        batch = {"x": X, "z": Z, "labels": LABELS}
        assert la.Dict(with_targets=True).inputs(batch) == ((), batch)
        args, kwargs = la.Dict(inputs=("z",), with_targets=True).inputs(batch)
        assert args[0] is Z
        assert [*kwargs] == ["labels"]

    @pytest.mark.parametrize(
        ("data", "feed", "said"),
        [
            ({"x": X, "y": LABELS}, la.Dict(), "a batch has no 'labels'; its entries are x, y: say which holds the"),
            ({"x": X, "y": LABELS}, la.Dict("label"), "a batch has no 'label'; its entries are x, y"),
            ({"x": X, "label": LABELS, "target": LABELS}, la.Dict(), "a batch has no 'labels'"),
            ({"x": X, "label": LABELS}, la.Dict(inputs=("image",)), "no 'image', which is to be an input; its entries"),
            ((X, LABELS), la.Dict(), "a batch is a tuple of 2 (shape (8, 4), shape (8,)); expected a mapping"),
        ],
    )
    def test_what_is_missing_is_named(self, data: Any, feed: la.Dict, said: str) -> None:
        assert said in refusal(seeded(lambda: nn.Linear(4, 3)), data, feed)


@dataclass
class Output:
    mean: Tensor
    scale: Tensor | None = None


class Slots:
    __slots__ = ("mean",)

    def __init__(self, mean: Tensor) -> None:
        self.mean = mean


Parts = namedtuple("Parts", ["scale", "mean"])


class Returning(nn.Module):
    """Returns its output in some form."""

    def __init__(self, form: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.layer, self.form = nn.Linear(4, 3), form

    def forward(self, x: Tensor) -> Any:
        return self.form(self.layer(x))


def returning(form: Callable[[Tensor], Any]) -> Returning:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Returning(form)


class TestOutputs:
    @pytest.mark.parametrize("plan", ["loop", "vmap"])
    @pytest.mark.parametrize(
        ("form", "output"),
        [
            (lambda out: {"out": out}, None),
            (lambda out: {"out": out, "step": 3}, None),
            (lambda out: Output(out), None),
            (lambda out: SimpleNamespace(mean=out), None),
            (lambda out: {"out": out, "aux": 2 * out}, "out"),
            (lambda out: Output(out, 2 * out), "mean"),
            (lambda out: SimpleNamespace(mean=out, scale=2 * out), "mean"),
            (lambda out: Slots(out), "mean"),
            (lambda out: Parts(2 * out, out), "mean"),
            (lambda out: (2 * out, out), 1),
            (lambda out: [2 * out, out], -1),
        ],
    )
    def test_the_one_that_is_meant_is_taken(self, form: Callable[[Tensor], Any], output: Any, plan: str) -> None:
        net = returning(form)
        feed = la.Pair() if output is None else la.Pair(output=output)
        agrees(net, (X, LABELS), lambda twin: twin.layer(X), feed, plan)
        named = la.Dict() if output is None else la.Dict(output=output)
        agrees(net, {"x": X, "labels": LABELS}, lambda twin: twin.layer(X), named, plan)

    @pytest.mark.parametrize(
        "form",
        [
            lambda out: {"mean": out, "scale": 2 * out},
            lambda out: UserDict({"mean": out, "scale": out}),
            lambda out: Output(out, out),
            lambda out: SimpleNamespace(mean=out, scale=out),
        ],
    )
    def test_where_there_are_several_their_names_are_listed(self, form: Callable[[Tensor], Any]) -> None:
        for said in (
            refusal(returning(form), (X, LABELS)),
            refusal(returning(form), {"x": X, "labels": LABELS}, la.Dict()),
        ):
            assert said.startswith("the model returns mean, scale, and the loss takes one tensor: say which, as in")
            for way_out in ("la.Pair(output='mean')", "la.Dict", "--output mean"):
                assert way_out in said

    def test_a_part_that_is_not_there_is_refused(self) -> None:
        assert "the model returns no 'out'; it returns mean, scale" in refusal(
            returning(lambda out: {"mean": out, "scale": out}), (X, LABELS), la.Pair(output="out")
        )
        assert "the model returns no 2; it returns tuple" in refusal(
            returning(lambda out: (out, out)), (X, LABELS), la.Pair(output=2)
        )
        assert "the model returns one tensor, which has no part 0" in refusal(
            returning(lambda out: out), (X, LABELS), la.Pair(output=0)
        )

    def test_a_users_function_sees_all_of_it(self) -> None:
        def loss(outputs: Mapping[str, Tensor], targets: Tensor) -> Tensor:
            return cross_entropy(outputs["mean"] + 0 * outputs["scale"], targets, reduction="none")

        agrees(returning(lambda out: {"mean": out, "scale": out}), (X, LABELS), lambda twin: twin.layer(X), loss=loss)
        single = returning(lambda out: {"mean": out})
        agrees(
            single, (X, LABELS), lambda twin: twin.layer(X),
            loss=lambda outputs, targets: cross_entropy(outputs["mean"], targets, reduction="none"),
        )  # fmt: skip


SEGMENTING = """
import torch
from torch import nn
from collections import OrderedDict

class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.own, self.aux = nn.Linear(4, 6), nn.Linear(6, 3), nn.Linear(6, 3)
    def forward(self, x):
        x = torch.tanh(self.body(x))
        return OrderedDict(aux=self.aux(x), out=self.own(x))

class Listed(Heads):
    def forward(self, x):
        return [*super().forward(x).values()]

class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(4, 3), nn.Linear(4, 3)
    def forward(self, x, other):
        return self.left(x) + self.right(other)

class Labelled(nn.Module):
    def __init__(self):
        super().__init__()
        self.left = nn.Linear(4, 3)
    def forward(self, image):
        return self.left(image)

x = torch.randn(80, 4, generator=torch.Generator().manual_seed(0))
y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
def data(): return (x[:50], y[:50]), (x[50:], y[50:])
def two(): return tuple(((x[part], x[part].flip(1)), y[part]) for part in (slice(50), slice(50, 80)))
def three(): return (x[:50], y[:50], y[:50]), (x[50:], y[50:], y[50:])
def dicts(): return tuple({"image": x[part], "label": y[part]} for part in (slice(50), slice(50, 80)))
def nameless(): return {"a": x, "b": y}, {"a": x, "b": y}
def bare(): return x, x
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "segmenting_of_mine.py").write_text(SEGMENTING)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def problem(**options: Any) -> dict[str, Any]:
    given = {"data": "data", "model": "Heads"} | options
    places = {name: f"segmenting_of_mine:{given[name]}" for name in ("data", "model")}
    return given | places


class TestOfTheCommandLine:
    @pytest.mark.parametrize(("model", "output"), [("Heads", "out"), ("Listed", "1")])
    def test_an_output_reaches_every_verb(self, mine: Path, model: str, output: str) -> None:
        shared = problem(model=model, output=output)
        for seed in range(2):
            config = TrainConfig(**shared, seed=seed, epochs=1, optimizer="adam,lr=0.05", snapshots="epoch:1")
            run_train(config, mine / f"net{seed}")
        names = [f"--model=segmenting_of_mine:{model}", "--data=segmenting_of_mine:data"]
        unmeasured = ["--plan=loop", "--no_pictures"]
        tokens = [*names, f"--output={output}", *unmeasured]
        assert main(["survey", *tokens, "--checkpoint=net0", "--grid=3", "--directions=random", "--out=slice"]) == 0
        assert main(["survey", *names, "--run=slice", "--grid=3", "--out=again", "--plan=loop", "--no_pictures"]) == 0
        fit = ["--pattern=heart", "--size=7", "--steps=2", "--cells=2"]
        assert main(["fit", *tokens, *fit, "--out=fit"]) == 0
        assert main(["connect", "net0", "net1", "--steps=2", "--grid=3", "--plane=0", *unmeasured, "--out=curve"]) == 0
        few = ["--grid=3", "--line=3", "--slice_points=5", "--repeats=1"]
        assert main(["compare", "net0", "net1", *few, *unmeasured, "--out=both"]) == 0
        for run in ("net0", "slice", "again", "fit", "curve", "both/surveys/net0.slice"):
            assert RunDirectory(mine / run).config()["output"] == output
        survey = xr.open_zarr(str(mine / "slice" / "survey.zarr"), consolidated=False, chunks=None)
        import importlib

        module = importlib.import_module("segmenting_of_mine")
        net = getattr(module, model)()
        from safetensors.torch import load_file

        net.load_state_dict(load_file(mine / "net0" / "model.safetensors"))
        with torch.no_grad():
            returned = net(module.x[50:])
            loss = float(cross_entropy(returned["out"] if model == "Heads" else returned[1], module.y[50:]))
        assert float(survey["test_loss"].sel(u=0.0)) == pytest.approx(loss, rel=1e-5)

    def test_it_is_printed_and_asked_for(self, mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["fit", "--output=out", "--print_config"]) == 0
        assert yaml.safe_load(capsys.readouterr().out)["output"] == "out"
        tokens = ["--model=segmenting_of_mine:Heads", "--data=segmenting_of_mine:data", "--out=fit"]
        assert main(["fit", *tokens]) == 2
        said = capsys.readouterr().err
        assert "the model returns aux, out, and the loss takes one tensor" in said
        assert "--output aux" in said
        assert not (mine / "fit").exists()

    def test_it_belongs_to_the_problem_that_studies_share(self) -> None:
        assert copy_problem(TrainConfig(output="out"))["output"] == "out"
        assert FitConfig(output="0").output == "0"

    @pytest.mark.parametrize(("data", "model"), [("two", "Both"), ("dicts", "Labelled"), ("data", "Labelled")])
    def test_batches_of_all_kinds_are_understood(self, mine: Path, data: str, model: str) -> None:
        recipe = build_problem(SurveyConfig(**problem(data=data, model=model)))
        agreed = recipe.problem
        args, kwargs = agreed.feed.inputs(recipe.train.take(torch.arange(5)))
        import segmenting_of_mine

        wanted = [segmenting_of_mine.x[:5]] + [segmenting_of_mine.x[:5].flip(1)] * (data == "two")
        found = [*args, *kwargs.values()]
        assert len(found) == len(wanted)
        assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))
        assert torch.equal(agreed.feed.targets(recipe.train.take(torch.arange(5))), segmenting_of_mine.y[:5])
        assert isinstance(recipe.data, Dataset)

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            ("three", "a batch of the data is a tuple of 3 (shape (8, 4), shape (8,), shape (8,)); expected (inputs, "),
            ("bare", "a batch of the data is one tensor of shape (8, 4); expected (inputs, targets)"),
            ("nameless", "examples are dicts of a, b; expected the targets under 'labels' (or a single 'label')"),
        ],
    )
    def test_others_are_refused_in_a_line(
        self, mine: Path, data: str, said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        tokens = [f"--data=segmenting_of_mine:{data}", "--model=segmenting_of_mine:Labelled", "--out=fit"]
        assert main(["fit", *tokens]) == 2
        told = capsys.readouterr().err
        assert said in told
        assert len(told.strip().splitlines()) == 1
        assert not (mine / "fit").exists()
