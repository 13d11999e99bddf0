"""How charts stretch, shear and fold weight space, against closed forms, and how surveys and pictures show it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import lossatlas as la
from lossatlas.charts import distortion
from lossatlas.errors import BadInput
from lossatlas.schema import OnChart
from lossatlas.surveying.distorting import describe_distortion, select_domain, summarise_distortion
from lossatlas.views import data, draw
from lossatlas.views.report import sentence

GRID = {"u": np.linspace(-1, 1, 9), "v": np.linspace(-0.8, 0.8, 7)}


def bilinear() -> la.BezierSurface:
    """(x, y, x y): its forms are E = 1 + y^2, F = x y, G = 1 + x^2."""
    corners = [(x, y, x * y) for x in (-1.0, 1.0) for y in (-1.0, 1.0)]
    return la.BezierSurface(torch.tensor(corners).double(), (2, 2), (1, 1))


def folded(axes: int = 1) -> la.Spline:
    """(|u|, v), from a spline of degree 1 with three controls along u."""
    rows = [(abs(u), v) for u in (-1.0, 0.0, 1.0) for v in (-1.0, 1.0)]
    if axes == 1:
        return la.Spline(torch.tensor([[1.0], [0.0], [1.0]]).double(), (3,), (1,))
    return la.Spline(torch.tensor(rows).double(), (3, 2), (1, 1))


@pytest.fixture(scope="module")
def problem() -> la.Problem:
    torch.manual_seed(0)
    return la.Problem(nn.Sequential(nn.Linear(3, 2)), la.CrossEntropy())


class TestClosedForms:
    def test_a_bilinear_surface(self) -> None:
        found = la.measure_distortion(bilinear(), GRID)
        x, y = np.meshgrid(*GRID.values(), indexing="ij")
        np.testing.assert_allclose(found.scale**2, 1 + (x**2 + y**2).mean() / 2, rtol=1e-12)
        np.testing.assert_allclose(found.area * found.scale**2, np.sqrt(1 + x**2 + y**2), rtol=1e-12)
        cosine = x * y / np.sqrt((1 + x**2) * (1 + y**2))
        np.testing.assert_allclose(found.angles["u", "v"], np.degrees(np.arccos(cosine)), rtol=1e-12)

    def test_a_parabolic_cylinder(self) -> None:
        """(x, x^2, y), whose element of area is sqrt(1 + 4 x^2), and whose points are compared pair by pair."""
        controls = [(x, z, y) for x, z in ((-1.0, 1.0), (0.0, -1.0), (1.0, 1.0)) for y in (-1.0, 1.0)]
        found = la.measure_distortion(la.BezierSurface(torch.tensor(controls).double(), (3, 2), (2, 1)), GRID)
        x, y = np.meshgrid(*GRID.values(), indexing="ij")
        np.testing.assert_allclose(found.area * found.scale**2, np.sqrt(1 + 4 * x**2), rtol=1e-12)
        np.testing.assert_allclose(found.angles["u", "v"], 90, rtol=1e-12)
        at = np.stack([x.ravel(), y.ravel()], axis=1)
        laid = np.stack([x.ravel(), x.ravel() ** 2, y.ravel()], axis=1)
        apart = np.linalg.norm(at[:, None] - at, axis=2)
        ratios = np.linalg.norm(laid[:, None] - laid, axis=2) / np.where(apart < 0.5 - 1e-9, np.nan, apart)
        expected = np.nanmin(ratios, axis=1).reshape(x.shape) / found.scale
        np.testing.assert_allclose(found.separation, expected, rtol=1e-10)
        assert found.complete
        assert found.partners == x.size

    def test_a_fold_brings_far_cells_together(self) -> None:
        found = la.measure_distortion(folded(), {"u": np.linspace(-1, 1, 21)})
        assert found.separation[0] == pytest.approx(0, abs=1e-12)
        np.testing.assert_allclose(found.area, 1, rtol=1e-12)
        assert found.angles == {}
        surface = la.measure_distortion(folded(axes=2), GRID)
        assert surface.separation.min() == pytest.approx(0, abs=1e-12)

    def test_a_sheared_slice_has_the_angle_of_its_directions(self) -> None:
        directions = torch.tensor([[1.0, 0.0, 0.0], [np.cos(np.radians(60)), np.sin(np.radians(60)), 0.0]]).double()
        found = la.measure_distortion(la.Slice(torch.ones(3).double() * 100, directions), GRID)
        np.testing.assert_allclose(found.angles["u", "v"], 60, rtol=1e-12)
        np.testing.assert_allclose(found.area, np.sin(np.radians(60)), rtol=1e-12)

    @pytest.mark.parametrize("axes", [1, 2, 3])
    def test_a_plane_is_not_distorted(self, axes: int) -> None:
        module = nn.Linear(6, 5).double()
        plane = la.Plane.random(module, axes=axes, initialiser=la.Xavier(), scale=2.0, seed=0)
        found = la.measure_distortion(plane, {axis: np.linspace(-1, 1, 5 + k) for k, axis in enumerate(plane.axes)})
        for values in (found.area, found.separation):
            np.testing.assert_allclose(values, 1, atol=1e-10)
        assert len(found.angles) == axes * (axes - 1) / 2
        for values in found.angles.values():
            np.testing.assert_allclose(values, 90, atol=1e-8)

    def test_a_scaled_chart_is_distorted_alike(self) -> None:
        one, many = bilinear(), bilinear()
        with torch.no_grad():
            many.vectors.mul_(7.0)
        found, other = (la.measure_distortion(chart, GRID) for chart in (one, many))
        assert other.scale == pytest.approx(7 * found.scale)
        np.testing.assert_allclose(other.area, found.area, rtol=1e-12)
        np.testing.assert_allclose(other.separation, found.separation, rtol=1e-10)

    def test_far_from_the_origin_as_near_it(self) -> None:
        away = bilinear()
        with torch.no_grad():
            away.vectors.add_(1e6)
        found, other = (la.measure_distortion(chart, GRID) for chart in (bilinear(), away))
        np.testing.assert_allclose(other.separation, found.separation, rtol=1e-8)
        np.testing.assert_allclose(np.abs(other.principal), np.abs(found.principal), atol=1e-8)


class TestWhatIsMeasured:
    def test_singular_points(self) -> None:
        """(x, x y): along x = 0 the derivatives are (1, y) and (0, 0)."""
        corners = [(x, x * y) for x in (-1.0, 1.0) for y in (-1.0, 1.0)]
        found = la.measure_distortion(la.BezierSurface(torch.tensor(corners).double(), (2, 2), (1, 1)), GRID)
        middle = len(GRID["u"]) // 2
        assert (found.area[middle] == 0).all()
        assert np.isnan(found.angles["u", "v"][middle]).all()
        assert np.isfinite(np.delete(found.angles["u", "v"], middle, axis=0)).all()

    def test_the_padding_counts_neither_for_the_scale_nor_as_far(self) -> None:
        wide = {axis: np.concatenate([[at[0] - 1], at, [at[-1] + 1]]) for axis, at in GRID.items()}
        chart = la.BezierSurface(bilinear().vectors.detach(), (2, 2), (1, 1), extent=(1.0, 0.8))
        inner, outer = (la.measure_distortion(chart, grid) for grid in (GRID, wide))
        assert outer.scale == pytest.approx(inner.scale)
        assert outer.within.sum() == inner.area.size
        np.testing.assert_allclose(outer.area[1:-1, 1:-1], inner.area, rtol=1e-12)
        np.testing.assert_allclose(outer.separation[1:-1, 1:-1], inner.separation, rtol=1e-10)

    def test_many_points_are_compared_with_some_and_say_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = la.measure_distortion(bilinear(), GRID)
        monkeypatch.setattr(distortion, "MOST_PARTNERS", 20)
        found = la.measure_distortion(bilinear(), GRID)
        assert 0 < found.partners <= 20
        assert not found.complete
        assert (found.separation >= whole.separation - 1e-12)[np.isfinite(found.separation)].all()

    def test_parts_make_no_difference(self, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = la.measure_distortion(bilinear(), GRID)
        monkeypatch.setattr(distortion, "ENTRIES", 5)
        found = la.measure_distortion(bilinear(), GRID)
        np.testing.assert_allclose(found.separation, whole.separation, rtol=1e-12)
        np.testing.assert_allclose(found.area, whole.area, rtol=1e-12)

    def test_what_cannot_be_measured_is_refused(self) -> None:
        with pytest.raises(BadInput, match="the grid runs along v, u, the chart along u, v"):
            la.measure_distortion(bilinear(), dict(reversed(GRID.items())))
        for wrong in ([], [np.nan, 1.0]):
            with pytest.raises(BadInput, match="finite coordinates along each axis"):
                la.measure_distortion(bilinear(), {"u": np.array(wrong), "v": np.array([0.0])})
        with pytest.raises(BadInput, match="a single point"):
            la.measure_distortion(la.BezierSurface(torch.zeros(4, 3), (2, 2), (1, 1)), GRID)
        with pytest.raises(BadInput, match="finite"):
            la.measure_distortion(la.BezierSurface(torch.full((4, 3), torch.nan), (2, 2), (1, 1)), GRID)


class TestSurveys:
    @staticmethod
    def survey(problem: la.Problem, chart: Any, grid: dict[str, Any]) -> Any:
        return la.survey(chart, grid, problem, {"test": (torch.ones(4, 3), torch.arange(4) % 2)}, plan="loop")

    @staticmethod
    def spline(axes: int) -> la.Spline:
        vectors = torch.randn(4**axes, 8, generator=torch.Generator().manual_seed(1))
        return la.Spline(vectors, (4,) * axes, (2,) * axes)

    def test_they_hold_the_maps_and_no_other_reader_takes_them_for_metrics(self, problem: la.Problem) -> None:
        chart = self.spline(2)
        found = self.survey(problem, chart, GRID)
        measured = la.measure_distortion(chart, GRID)
        np.testing.assert_array_equal(found[OnChart.AREA], measured.area)
        np.testing.assert_array_equal(found[OnChart.angle("u", "v")], measured.angles["u", "v"])
        np.testing.assert_array_equal(found[OnChart.SEPARATION], measured.separation)
        assert found[OnChart.angle("u", "v")].attrs["units"] == "degree"
        assert found[OnChart.SEPARATION].attrs["partners"] == measured.partners
        assert {field.name for field in data.quantities(found)} == {"test_loss", "test_accuracy"}
        assert data.axes(found) == ("u", "v")

    def test_flat_charts_have_none(self, problem: la.Problem) -> None:
        plane = la.Plane.random(problem.module, initialiser=la.Xavier(), scale=2.0, seed=0)
        found = self.survey(problem, plane, GRID)
        assert not [name for name in found.data_vars if str(name).startswith(OnChart.PREFIX)]
        assert summarise_distortion(found) == {}
        with pytest.raises(BadInput, match="distortion was measured"):
            draw(found, ["distortion"])

    def test_reports_call_a_curved_chart_curved(self, problem: la.Problem) -> None:
        flat = la.Plane.random(problem.module, initialiser=la.Xavier(), scale=2.0, seed=0)
        said = {
            "A plane through": self.survey(problem, flat, GRID),
            "A curved surface through": self.survey(problem, self.spline(2), GRID),
            "A curve through": self.survey(problem, self.spline(1), {"u": GRID["u"]}),
        }
        for words, survey in said.items():
            assert sentence(survey).startswith(words)

    @pytest.mark.parametrize("axes", [1, 2])
    def test_they_are_drawn(self, problem: la.Problem, axes: int) -> None:
        grid = dict(list(GRID.items())[:axes])
        found = self.survey(problem, self.spline(axes), grid)
        picture = draw(found, ["distortion"])["distortion"]
        assert picture.render("png").startswith(b"\x89PNG")
        assert "smallest separation" in picture.alt
        assert ("angle between u and v" in picture.alt) == (axes == 2)

    def test_numbers_and_the_line_that_warns(self, problem: la.Problem) -> None:
        found = self.survey(problem, self.spline(2), GRID)
        numbers = summarise_distortion(found, lambda values: values[1:-1, 1:-1])
        inside = found[OnChart.AREA].values[1:-1, 1:-1]
        assert numbers["area_element_ratio"] == pytest.approx(inside.max() / inside.min())
        assert numbers["axis_angle_smallest"] <= numbers["axis_angle_largest"]
        wide = {axis: np.concatenate([[-1.5], at, [1.5]]) for axis, at in GRID.items()}
        chart = la.Spline(self.spline(2).vectors.detach(), (4, 4), (2, 2), extent=(1.0, 0.8))
        padded = self.survey(problem, chart, wide)
        within = summarise_distortion(padded, select_domain(chart, wide))
        assert within["area_element_ratio"] < summarise_distortion(padded)["area_element_ratio"]
        area = padded[OnChart.AREA].values[1:-1, 1:-1]
        assert within["area_element_ratio"] == pytest.approx(area.max() / area.min())
        flat = {"area_element_smallest": 0.9, "area_element_largest": 1.1, "area_element_ratio": 1.2}
        flat |= {"axis_angle_smallest": 85.0, "axis_angle_largest": 95.0, "separation_smallest": 0.7}
        assert describe_distortion(flat) == ""
        for changed, said in (
            ({"area_element_ratio": 12.3}, "the area element varies by a factor of 12.3"),
            ({"area_element_ratio": None}, "the area element is 0 at a point"),
            ({"axis_angle_largest": 170.0}, "axes meet at 10 degrees"),
            ({"separation_smallest": 0.03}, "as near as 0.03 of their distance"),
        ):
            line = describe_distortion({**flat, **changed})
            assert said in line
            assert "--isometry" in line
