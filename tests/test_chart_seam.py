"""The seam of charts: a kind that is written here alone goes everywhere, and every kind keeps what charts promise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.torch import save
from torch import Tensor, nn

import lossatlas as la
from lossatlas.bounds import NamedOptions
from lossatlas.charts import CHARTS, Between, ChartStart, CoefficientChart, Startable, encode_chart
from lossatlas.cli import main
from lossatlas.describing import describe_numbers
from lossatlas.registry import Registry
from lossatlas.schema import GEOMETRY, PAIR_CORNERS, Geometry
from lossatlas.types import Params
from lossatlas.views import draw

SMALL = (
    "--size=8x10", "--steps=4", "--model=mlp", "--model.hidden", "8", "--cells=4", "--examples=40", "--padding=1",
    "--plan=loop", "--coarse=0.7", "--shares", "0.5", "0.5",
)  # fmt: skip
STEP = 1e-6


@dataclass(frozen=True)
class BentOptions(NamedOptions):
    bend: float = 0.5
    """How far the surface leaves its plane at first."""
    turns: int = 0
    """How often it was turned; a whole number in the state."""


class Bent(Startable):
    """``w = origin + u a + v b + (u^2 + v^2) c``, all of it trained."""

    options = BentOptions
    counts = {"turns": torch.int64}  # noqa: RUF012
    axes = ("u", "v")
    interpolation = "quadratic"

    def __init__(self, origin: Tensor, arms: Tensor, turns: int = 0, centred: bool = False) -> None:
        super().__init__()
        self.origin = nn.Parameter(origin.detach().clone())
        self.arms = nn.Parameter(arms.detach().clone())
        self.register_buffer("turns", torch.tensor([turns, int(centred)]))

    @classmethod
    def started(cls, start: ChartStart, options: BentOptions) -> Self:
        if start.axes != 2:
            raise la.BadInput(f"a bent surface has two axes; got {start.axes}")
        arms = start.scale * torch.stack([*start.directions(), options.bend * start.direction(2)])
        return cls(start.origin(), arms, options.turns, start.centred)

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Self:
        return cls(state["origin"], state["arms"], *state["turns"].tolist())

    @property
    def centred(self) -> bool:
        return bool(self.turns[1])

    @property
    def dimension(self) -> int:
        return self.origin.shape[0]

    @property
    def statistics(self) -> Params:
        return {}

    def coefficients(self, coords: Tensor) -> Tensor:
        squares = coords.square().sum(dim=1, keepdim=True)
        return torch.cat([torch.ones_like(squares), coords, squares], dim=1)

    def controls(self) -> Tensor:
        return torch.cat([self.origin[None], self.arms])

    def corner_coords(self) -> Tensor:
        return torch.zeros(1, 2, dtype=torch.float64)


@dataclass(frozen=True)
class SagOptions(NamedOptions):
    sag: float = 0.25


class Sagging(Between):
    """A line between two networks that sags towards zero: its coefficients do not sum to one between them."""

    least = most = 2
    options = SagOptions

    def __init__(self, corners: Tensor, statistics: Params | None = None, sag: float = 0.25) -> None:
        super().__init__(corners, statistics)
        self.register_buffer("sag", torch.tensor(sag))

    @classmethod
    def spanned(cls, corners: Tensor, statistics: Params, options: SagOptions) -> Self:
        return cls(corners, statistics, options.sag)

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Self:
        return cls(state["corners"], None, float(state["sag"]))

    @classmethod
    def _dimensions(cls, corners: int) -> int:
        return 1

    def corner_coords(self) -> Tensor:
        return torch.tensor([[0.0], [1.0]]).double()

    def coefficients(self, coords: Tensor) -> Tensor:
        kept = 1 - 4 * self.sag.to(coords) * coords * (1 - coords)
        return torch.cat([kept * (1 - coords), kept * coords], dim=1)


class Unfinished(Startable):
    axes = ("u", "v")


class Forgetful(Bent):
    """Does not come back from its own state."""

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Self:
        return cls(state["origin"] + 1, state["arms"])


class Failing(Bent):
    def coefficients(self, coords: Tensor) -> Tensor:
        raise RuntimeError("no coefficients today")


class Absent(Bent):
    """Keeps a number that its coefficients need beside its state."""

    factor = 1.0

    @classmethod
    def started(cls, start: ChartStart, options: BentOptions) -> Self:
        chart = super().started(start, options)
        chart.factor = 5.0
        return chart

    def coefficients(self, coords: Tensor) -> Tensor:
        return super().coefficients(coords) * torch.tensor([1.0, self.factor, 1.0, 1.0]).to(coords)


class FewRows(Bent):
    """Fits two points alone."""

    def coefficients(self, coords: Tensor) -> Tensor:
        found = super().coefficients(coords)
        return found if len(coords) == 2 else found[:1]


class Mixing(Bent):
    """Its rows depend on each other's coordinates."""

    def coefficients(self, coords: Tensor) -> Tensor:
        return super().coefficients(coords - coords.mean(dim=0))


class Twice(Bent):
    axes = ("u", "u")


class Spaced(Bent):
    axes = ("u", "v 2")


class Many(Bent):
    """Fails at the points of a step alone."""

    def coefficients(self, coords: Tensor) -> Tensor:
        return super().coefficients(coords)[:5]


class Stretched(Bent):
    """Its first coordinate is stretched by what is trained."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.stretch = nn.Parameter(torch.ones((), dtype=self.origin.dtype))

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Self:
        chart = super().from_state(state)
        chart.load_state_dict(state)
        return chart

    def coefficients(self, coords: Tensor) -> Tensor:
        return super().coefficients(torch.cat([coords[:, :1] * self.stretch.to(coords), coords[:, 1:]], dim=1))


class Detached(Bent):
    def coefficients(self, coords: Tensor) -> Tensor:
        return super().coefficients(coords).detach()


class StretchedDetached(Stretched):
    def coefficients(self, coords: Tensor) -> Tensor:
        return super().coefficients(coords).detach()


@pytest.fixture
def registered() -> Iterator[None]:
    """The kinds of this file by name, as long as a test runs."""
    before = dict(CHARTS._added)
    CHARTS.add("bent", Bent)
    CHARTS.add("sagging", Sagging)
    yield
    CHARTS._added.clear()
    CHARTS._added.update(before)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    before = dict(CHARTS._added)
    yield
    CHARTS._added.clear()
    CHARTS._added.update(before)


def vectors(count: int, n: int = 9, seed: int = 0) -> Tensor:
    return torch.randn(count, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def opened(run: str) -> xr.Dataset:
    return xr.open_zarr(Path(run) / "survey.zarr", consolidated=False, chunks=None).load()


def refused(capsys: pytest.CaptureFixture[str], *tokens: str) -> str:
    """The one line that a command line is refused with."""
    capsys.readouterr()
    assert main([*tokens]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert not Path("runs").exists()
    return line


# --- every kind ------------------------------------------------------------------------------------------------------

KINDS: dict[str, CoefficientChart] = {
    "plane": la.Plane(vectors(1)[0], vectors(3, seed=1), 0.7, anchor=(0.1, 0.2, 0.3)),
    "corners": la.Corners(*vectors(2), vectors(1, seed=1), 0.7),
    "slice": la.Slice(vectors(1)[0], vectors(2, seed=1)),
    "repeated_slice": la.RepeatedSlice(vectors(1)[0], vectors(6, seed=1).view(3, 2, 9)),
    "grown": la.Grown(vectors(4)),
    "simplex": la.Simplex(vectors(4)),
    "through": la.Through(vectors(3)),
    "quadrilateral": la.Quadrilateral(vectors(4)),
    "bezier": la.Bezier(vectors(4)),
    "bezier_surface": la.BezierSurface(vectors(12), (3, 4), (2, 3), extent=(1.0, 0.8)),
    "spline": la.Spline(vectors(20), (4, 5), (2, 3), origin=vectors(1, seed=1)[0], anchor=(0.1, -0.2)),
    "chain": la.Chain(vectors(4)),
    "radial": la.Radial(vectors(2), torch.arange(9) % 3 + 1),
    "bent": Bent(vectors(1)[0], vectors(3, seed=1)),
    "sagging": Sagging(vectors(2), {}, 0.3),
}


def coords_of(chart: CoefficientChart) -> Tensor:
    """Points where the chart is smooth."""
    drawn = 0.05 + 0.9 * torch.rand(7, len(chart.axes), generator=torch.Generator().manual_seed(2)).double()
    if isinstance(chart, la.RepeatedSlice):
        drawn[:, -1] = torch.arange(7) % 3
    return drawn


def test_all_kinds_of_the_package_are_looked_at() -> None:
    assert set(KINDS) - {"bent", "sagging"} == set(CoefficientChart.names())


@pytest.mark.parametrize("name", KINDS)
def test_derivatives_are_what_finite_differences_come_to(name: str) -> None:
    chart, coords = KINDS[name], coords_of(KINDS[name])
    found = chart.derivatives(coords)
    assert found.shape == (7, len(chart.controls()), len(chart.axes))
    own = [k for k, axis in enumerate(chart.axes) if axis != "repeat"]
    assert found[:, :, [k for k in range(len(chart.axes)) if k not in own]].isnan().all()
    for k in own:
        step = STEP * torch.eye(len(chart.axes), dtype=torch.float64)[k]
        differences = (chart.coefficients(coords + step) - chart.coefficients(coords - step)) / (2 * STEP)
        torch.testing.assert_close(found[:, :, k], differences, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", [name for name in KINDS if name != "repeated_slice"])
def test_automatic_derivatives_are_the_closed_ones(name: str) -> None:
    chart, coords = KINDS[name], coords_of(KINDS[name])
    with torch.no_grad():
        automatic = CoefficientChart.derivatives(chart, coords)
    torch.testing.assert_close(automatic, chart.derivatives(coords), rtol=1e-12, atol=1e-12)
    assert chart.derivatives(coords.float()).dtype == torch.float32


def test_at_a_kink_derivatives_are_those_of_the_piece_to_its_right() -> None:
    for name, knots in (("chain", (0.0, 1 / 3, 2 / 3)), ("radial", (0.5,))):
        chart = KINDS[name]
        at = torch.tensor(knots, dtype=torch.float64)[:, None]
        ahead = (chart.coefficients(at + STEP) - chart.coefficients(at)) / STEP
        torch.testing.assert_close(chart.derivatives(at)[:, :, 0], ahead, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_geometry_is_told_as_it_is(name: str) -> None:
    chart = KINDS[name]
    told = chart.geometry()
    assert Geometry.parse(told.record()) == told
    assert json.loads(told.record())["kind"] == (name if name in CHARTS else type(chart).__name__.lower())
    assert told.axes == tuple(axis for axis in chart.axes if axis != "repeat")
    corners = torch.tensor(told.corners, dtype=torch.float64)
    assert len(corners) >= 1
    if told.interpolation in ("affine", "barycentric"):  # straight between any two points
        one, other = coords_of(chart)[:3], coords_of(chart)[3:6]
        middle = (chart.points(one) + chart.points(other)) / 2
        if not isinstance(chart, la.RepeatedSlice):
            torch.testing.assert_close(chart.points((one + other) / 2), middle)
    if told.interpolation == "barycentric":
        torch.testing.assert_close(chart.coefficients(corners), torch.eye(len(corners)).double())
    elif told.interpolation in ("bilinear", "curve"):  # each corner is one of what the chart was made of
        shares = chart.coefficients(corners)
        ends = chart.ends if isinstance(chart, la.Radial) else chart.controls()
        nearest = torch.cdist(shares @ chart.controls(), ends).min(dim=1).values
        torch.testing.assert_close(nearest, torch.zeros(len(corners)).double(), rtol=0, atol=1e-6)


def test_what_is_not_a_geometry_is_refused_in_one_line() -> None:
    for text in ("{", '{"kind": 3}', '{"kind": "a", "axes": ["u"], "interpolation": "", "corners": [[0, 1]]}'):
        with pytest.raises(la.BadInput) as caught:
            Geometry.parse(text)
        assert "\n" not in str(caught.value)


# --- the registry ----------------------------------------------------------------------------------------------------


def test_what_was_added_is_found_by_its_name_and_the_packages_own_stay(registered: None) -> None:
    assert CHARTS.names()[-2:] == ["bent", "sagging"]
    assert CHARTS["bent"] is Bent
    assert (CHARTS.name_of(Bent), CHARTS.name_of(la.Plane), CHARTS.name_of(Forgetful)) == ("bent", "plane", None)
    CHARTS.add("bent", Forgetful)  # a cell of a notebook that ran again
    assert CHARTS["bent"] is Forgetful
    for name in ("plane", ""):
        with pytest.raises(la.BadInput, match="add yours under another"):
            CHARTS.add(name, Bent)
    other: Registry[Any] = Registry("preset", "lossatlas.recipes.presets", dashes=True)
    assert "bent" not in other
    assert "authors-code" in other


def test_info_says_what_kinds_serve_and_what_options_they_have(
    registered: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "plane: fit; --chart.order" in told
    assert "bent: fit; --chart.bend --chart.turns" in told
    assert "sagging: survey --between; --chart.sag" in told
    assert "chain: connect" in told


# --- a kind of somebody's own ----------------------------------------------------------------------------------------


def test_it_is_fitted_and_surveyed_from_python(registered: None) -> None:
    net = la.MLP(hidden=(4,)).build((3,), 2)
    inputs = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    split = la.Split((inputs, (inputs[:, 0] > 0).long()))
    chart = Bent.random(net, initialiser=la.Xavier(), options={"bend": 0.2})
    before = chart.arms.detach().clone()
    problem = la.Problem(net, la.CrossEntropy())
    picture = la.picture("heart", size=(7, 7))
    la.fit(chart, la.Pattern(picture, cells=2), problem, split, steps=3, plan="loop")
    assert all((row != old).any() for row, old in zip(chart.arms, before, strict=True)), "each of the arms is trained"
    survey = la.survey(chart, picture, problem, {"test": split}, padding=0, plan="loop")
    assert Geometry.parse(survey.attrs[GEOMETRY]) == chart.geometry()
    assert (chart.geometry().kind, chart.geometry().interpolation) == ("bent", "quadratic")
    with pytest.raises(la.BadInput, match="'bent' is not an option of chart 'bent'; did you mean 'bend'"):
        Bent.random(net, initialiser=la.Xavier(), options={"bent": 0.2})
    with pytest.raises(la.BadInput, match="chart 'corners' has no options; leave out 'order'"):
        la.Corners.random(net, initialiser=la.Xavier(), options={"order": (0, 1)})


def test_from_the_command_line_it_is_fitted_written_drawn_and_surveyed_again(
    registered: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", *SMALL, "--chart=bent", "--chart.bend=0.25", "--out=runs/a"]) == 0, capsys.readouterr().err
    assert Path("runs/a/loss.png").is_file()
    assert "chart.bend: 0.25\nchart.turns: 0" in Path("runs/a/config.yaml").read_text()
    chart = la.load_chart("runs/a/chart.safetensors")
    assert type(chart) is Bent
    assert float(chart.arms[2].detach().norm()) == pytest.approx(
        0.25 * float(chart.arms[:2].detach().norm(dim=1).mean()), rel=0.3
    )
    first = opened("runs/a")
    assert first.attrs["chart"] == chart.fingerprint()
    assert Geometry.parse(first.attrs[GEOMETRY]).kind == "bent"
    ends = [f"{float(first[axis][k])!r}" for axis in ("u", "v") for k in (0, -1)]
    grid = ["--grid", *(str(first.sizes[axis]) for axis in ("u", "v"))]
    again = ["survey", "--run=runs/a", "--range", *ends, *grid, "--examples=40", "--plan=loop", "--no_pictures"]
    assert main([*again, "--buffers=batch", "--model=mlp", "--model.hidden", "8", "--out=runs/b"]) == 0
    np.testing.assert_allclose(opened("runs/b")["test_loss"], first["test_loss"], rtol=1e-5)
    assert main(["fit", "--resume", "--out=runs/a"]) == 0
    assert main(["fit", *SMALL, "--chart=bent", "--chart.bend=0.5", "--resume", "--out=runs/a"]) == 2
    assert "chart.bend was 0.25 and is 0.5" in capsys.readouterr().err


def test_a_figure_of_ones_own_lies_between_networks_with_its_option(registered: None) -> None:
    states = []
    for k in range(2):
        torch.manual_seed(k)
        net = la.MLP(hidden=(4,)).build((1, 8, 8), 10)
        torch.save(net.state_dict(), f"{k}.pt")
        states.append(nn.utils.parameters_to_vector(net.parameters()).detach())
    common = ("--model=mlp", "--model.hidden", "4", "--examples=40", "--plan=loop", "--no_pictures", "--grid=3")
    between = ("survey", *common, "--between", "0.pt", "1.pt")
    assert main([*between, "--chart=sagging", "--chart.sag=0.5", "--out=runs/s"]) == 0
    chart = la.load_chart("runs/s/chart.safetensors")
    torch.testing.assert_close(chart.points(torch.tensor([[0.5]]))[0], 0.25 * (states[0] + states[1]))
    assert Geometry.parse(opened("runs/s").attrs[GEOMETRY]).corners == ((0.0,), (1.0,))
    assert main([*between, "--out=runs/t"]) == 0
    assert type(la.load_chart("runs/t/chart.safetensors")) is la.Simplex, "the usual one stays"


CODE = """
from dataclasses import dataclass
from test_chart_seam import Bent, BentOptions

class Mine(Bent):
    pass
"""


def test_a_class_of_a_module_is_named_as_models_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(Path.cwd())
    monkeypatch.syspath_prepend(Path(__file__).parent)
    Path("surfaces_of_mine.py").write_text(CODE)
    assert (
        main(["fit", *SMALL, "--chart=surfaces_of_mine:Mine", "--chart.bend=0.1", "--out=runs/a", "--no_pictures"]) == 0
    )
    assert "chart: surfaces_of_mine:Mine" in Path("runs/a/config.yaml").read_text()
    CHARTS._added.clear()  # as in another process
    with pytest.raises(la.BadInput, match=r"'surfaces_of_mine:Mine' is not a chart.*is added first, by .*CHARTS\.add"):
        la.load_chart("runs/a/chart.safetensors")
    capsys.readouterr()
    again = ["survey", "--run=runs/a", "--grid=3", "--examples=20", "--model=mlp", "--model.hidden", "8"]
    assert main([*again, "--plan=loop", "--out=runs/b", "--no_pictures"]) == 0, capsys.readouterr().err
    CHARTS._added.clear()
    Path("runs/a/surfaces_of_theirs.py").write_text(CODE)
    config = Path("runs/a/config.yaml")
    config.write_text(config.read_text().replace("surfaces_of_mine", "surfaces_of_theirs"))
    monkeypatch.syspath_prepend(Path("runs/a").absolute())
    assert main([*again, "--out=runs/c"]) == 2
    assert "is code that came with the run" in capsys.readouterr().err
    assert not any("surfaces_of_theirs" in name for name in CHARTS)


def test_nothing_that_a_file_names_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    Path("harmful.py").write_text("raise SystemExit('imported')")
    state = {name: value.detach() for name, value in KINDS["slice"].state_dict().items()}
    told = {"chart": "harmful:Slice", "axes": ["u", "v"], "fitted_under": ""}
    Path("chart").write_bytes(save(state, {"lossatlas": json.dumps(told)}))
    with pytest.raises(la.BadInput, match="'harmful:Slice' is not a chart") as caught:
        la.load_chart("chart")
    assert "\n" not in str(caught.value)


def test_a_kind_without_a_name_is_not_written() -> None:
    with pytest.raises(la.BadInput, match=r"have no name yet; give them one: CHARTS.add\('bent', Bent\)"):
        encode_chart(KINDS["bent"])


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (
            ["fit", "--chart=slice"],
            "chart 'slice' cannot be fitted; choose bezier_surface or corners or plane or spline or bent",
        ),
        (["fit", "--chart=benz"], "'benz' is not a chart; did you mean 'bent'?"),
        (["fit", "--chart=bent", "--chart.band=1"], "--chart.bend"),
        (["fit", "--chart=bent", "--chart.bend=nan"], "bend is nan; expected a number"),
        (["fit", "--chart=bent", "--scale_lr=0.1"], "chart 'bent' does not train; leave it out"),
        (["fit", "--chart=corners", "--chart.order", "0", "1"], "--chart.order"),
        (["fit", "--chart.order", "0", "0"], "(0, 0) is not a permutation of 0..1"),
        (["fit", "--chart=nowhere:Chart"], "cannot import 'nowhere'"),
        (["fit", "--chart=math:sqrt"], "'math:sqrt' is not a kind of chart"),
        (["fit", "--chart=test_chart_seam:Unfinished"], "lacks centred, coefficients, controls, dimension, from_state"),
        (["fit", "--chart=test_chart_seam:Forgetful"], "is another chart"),
        (
            ["fit", "--chart=test_chart_seam:Absent"],
            "has other coefficients; keep all that they depend on",
        ),
        (["fit", "--chart=test_chart_seam:FewRows"], "its coefficients are (1, 4) at 5 points; expected (5, 4)"),
        (["fit", "--chart=test_chart_seam:Mixing"], "its coefficients at 2 of 5 points are others than at all"),
        (["fit", "--chart=test_chart_seam:Twice"], "its axes are ('u', 'u'); expected distinct names"),
        (["fit", "--chart=test_chart_seam:Spaced"], "its axes are ('u', 'v 2'); expected distinct names"),
        (["fit", "--chart=test_chart_seam:Many"], "coefficients of Many at 8 points are (5, 4); expected (8, 4)"),
        (["fit", "--chart=test_chart_seam:StretchedDetached"], "change with its parameter 'stretch' and have no grad"),
        (["fit", "--chart=test_chart_seam:Failing"], "failed: RuntimeError: no coefficients today"),
        (["fit", "--chart=test_chart_seam:Sagging"], "cannot be fitted"),
        (["survey", "--between", "a", "b", "--chart=planet"], "'planet' is not a chart; did you mean 'plane'"),
        (["survey", "--checkpoint=a", "--chart=simplex"], "chart means nothing with checkpoint"),
        (["survey", "--between", "a", "b", "--chart.sag=1"], "--chart.sag"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_does_not_fit_is_refused_in_one_line(
    tokens: list[str], message: str, registered: None, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    more = SMALL if tokens[0] == "fit" else ()
    assert message in refused(capsys, tokens[0], *more, *tokens[1:], "--out=runs/x")


def fitted(kind: type[Bent]) -> Bent:
    """After three steps on a few examples."""
    net = la.MLP(hidden=(4,)).build((3,), 2)
    inputs = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    split = la.Split((inputs, (inputs[:, 0] > 0).long()))
    chart, picture = kind.random(net, initialiser=la.Xavier()), la.picture("heart", size=(7, 7))
    la.fit(chart, la.Pattern(picture, cells=2), la.Problem(net, la.CrossEntropy()), split, steps=3, plan="loop")
    return chart


def test_coefficients_that_are_not_trained_need_no_gradient() -> None:
    for own, other in zip(fitted(Bent).parameters(), fitted(Detached).parameters(), strict=True):
        assert torch.equal(own, other)
    assert float(fitted(Stretched).stretch.detach()) != 1, "those that are have one"
    with pytest.raises(la.BadInput, match="'stretch' and have no gradient"):
        fitted(StretchedDetached)


def test_progress_is_told_where_only_low_cells_have_a_finite_loss() -> None:
    assert (
        describe_numbers({"low_loss": 1.0, "low_accuracy": 0.5, "high_accuracy": 0.25}) == "low/high accuracy 0.50/0.25"
    )
    assert describe_numbers({"low_loss": 1.0}) == ""


def test_between_networks_and_along_curves_the_kinds_that_serve_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for k in range(5):
        torch.manual_seed(k)
        torch.save(la.MLP(hidden=(4,)).build((1, 8, 8), 10).state_dict(), f"{k}.pt")
    nets = [f"{k}.pt" for k in range(5)]
    survey = ("survey", "--model.hidden", "4", "--between")
    connect = ("connect", *nets[:2], "--model.hidden", "4")
    for tokens, message in (
        ((*survey, *nets[:2], "--chart=plane"), "'plane' does not lie between networks; choose quadrilateral or"),
        ((*survey, *nets[:2], "--chart=through"), "lies between 3 networks, 2 are given; choose simplex"),
        ((*survey, *nets), "no chart is usual between 5 networks; choose up to four"),
        ((*connect, "--curve=plane"), "curve 'plane' does not join networks by a curve; choose bezier or"),
        ((*connect, "--curve=bezir"), "'bezir' is not a curve; did you mean 'bezier'?"),
    ):
        assert message in refused(capsys, *tokens, "--out=runs/x")


def test_the_order_of_a_plane_says_which_direction_stays_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    for name, tokens in {
        "usual": [],
        "last": ["--chart.order", "1", "0"],
        "first": ["--chart.order", "0", "1"],
    }.items():
        assert main(["fit", *SMALL, "--lr=1e-30", "--no_pictures", *tokens, f"--out=runs/{name}"]) == 0
    charts = {name: la.load_chart(f"runs/{name}/chart.safetensors") for name in ("usual", "last", "first")}
    usual, last, first = (chart.controls().detach() for chart in charts.values())
    assert torch.equal(usual, last)
    raw = charts["first"].directions.detach()
    assert torch.nn.functional.cosine_similarity(first[1], raw[0], dim=0) == pytest.approx(1)
    assert torch.nn.functional.cosine_similarity(usual[2], raw[1], dim=0) == pytest.approx(1)
    assert torch.nn.functional.cosine_similarity(usual[1], raw[0], dim=0) < 0.99999


# --- pictures --------------------------------------------------------------------------------------------------------


def test_a_comparison_marks_corners_where_their_record_says() -> None:
    names = ["a", "b"]
    losses = np.full((2, 2, 3, 3), np.nan)
    losses[0, 1] = 1 + np.arange(9.0).reshape(3, 3)
    told = Geometry("mine", ("u", "v"), "general", ((0.1, 0.2), (0.9, 0.3), (0.4, 0.7)), PAIR_CORNERS[:-1])
    geometry = np.array([["", told.record()], ["", ""]])
    single = {name: ("run", np.ones(2)) for name in ("weight_norm", "distance_from_start", "test_error")}
    comparison = xr.Dataset(
        {
            "group": ("run", np.array(names)), "surface_test_loss": (("run", "other_run", "u", "v"), losses),
            GEOMETRY: (("run", "other_run"), geometry), "reason": (("run", "other_run"), np.full((2, 2), "")),
            "sharpness": (("run", "repeat"), np.full((2, 1), np.nan)),
            "weights": (("run", "bin"), np.ones((2, 3))), **single,
        },
        coords={"run": names, "other_run": names, "u": [0.0, 0.5, 1.0], "v": [0.0, 0.5, 1.0], "bin": [-1.0, 0.0, 1.0]},
        attrs={"split": "test", "compared_split": "test", "units": "nat"},
    )  # fmt: skip
    marks = {
        (line.get_marker(), float(line.get_xdata()[0]), float(line.get_ydata()[0]))
        for ax in draw(comparison)["matrix"].figure.axes
        for line in ax.lines
        if line.get_marker() in ("s", "o", "^")
    }
    assert marks == {("s", 0.1, 0.2), ("o", 0.9, 0.3), ("^", 0.4, 0.7)}
