"""Measures: closed forms in float64, the merge tree against gudhi and against the slow way, and what is not finite."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from itertools import product
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as arrays
from numpy.polynomial import Polynomial

from lossatlas.errors import BadInput
from lossatlas.measures import MEASURES, MergeTree, Pass, Surface, measure_survey, merge_tree, take_surfaces

pytestmark = pytest.mark.filterwarnings("error")

EXACT = {"rel": 1e-10, "abs": 1e-10}
INF, NAN = math.inf, math.nan


def uneven(size: int, low: float = -1.0, high: float = 1.0) -> np.ndarray:
    """Ascending coordinates with steps that differ; 0 is one of them."""
    inner = np.random.default_rng(size).uniform(low, high, size - 3)
    return np.sort(np.concatenate([[low, 0.0, high], inner]))


def over(function: Any, *coords: np.ndarray, corners: Any = ()) -> Surface:
    return Surface(np.asarray(function(*np.meshgrid(*coords, indexing="ij")), dtype=float), coords, corners)


def between(values: Any, coords: np.ndarray, start: float = 0.0, end: float = 1.0) -> Surface:
    return Surface(np.asarray(values, dtype=float), (coords,), (("a", (start,)), ("b", (end,))))


def numbers(kind: str, surface: Surface, **options: Any) -> dict[str, Any]:
    measure = MEASURES[kind](**options)
    assert measure.applies(surface)
    found = measure.of(surface)
    json.dumps(found, allow_nan=False)
    return found


# ---- curvature


@pytest.mark.parametrize("spaced", [np.linspace, None], ids=["even", "uneven"])
def test_hessian_of_a_quadratic_function_is_exact(spaced: Any) -> None:
    u, v = (np.linspace(-1, 1, n) if spaced else uneven(n) for n in (31, 21))
    matrix = np.array([[3.0, -1.2], [-1.2, 0.4]])
    surface = over(lambda x, y: 0.7 + 0.3 * x - y + 3 * x**2 - 2.4 * x * y + 0.4 * y**2, u, v)
    found = numbers("curvature", surface)
    smallest, largest = np.linalg.eigvalsh(2 * matrix)
    expected = {
        "curvature_u": 6.0,
        "curvature_v": 0.8,
        "curvature_uv": -2.4,
        "curvature_smallest": smallest,
        "curvature_largest": largest,
        "curvature_ratio": smallest / largest,
    }
    assert found == pytest.approx(expected, **EXACT)
    assert smallest < 0  # a saddle, so that the sign is put to the test


def test_curvature_on_a_line_and_in_a_volume() -> None:
    line = numbers("curvature", over(lambda x: 1 + x + 2.5 * x**2, uneven(9)))
    assert line == pytest.approx({"curvature_u": 5.0}, **EXACT)
    volume = over(lambda x, y, z: x**2 + 2 * y**2 + 3 * z**2 + x * z, uneven(7), uneven(6), uneven(5))
    found = numbers("curvature", volume)
    assert found["curvature_uw"] == pytest.approx(1.0, **EXACT)
    assert found["curvature_uv"] == pytest.approx(0.0, **EXACT)
    assert found["curvature_smallest"] == pytest.approx(4 - math.sqrt(5), **EXACT)


def test_curvature_is_that_at_the_first_corner() -> None:
    cubic = over(lambda x: x**3, np.linspace(-1, 2, 31), corners=[("net", (0.52,))])
    assert numbers("curvature", cubic)["curvature_u"] == pytest.approx(6 * 0.5, **EXACT)  # cubes have no fourth order


def test_curvature_is_unknown_at_a_border_and_beside_what_is_not_finite() -> None:
    square = over(lambda x, y: x**2 + y**2, np.linspace(0, 1, 5), np.linspace(-1, 1, 5))
    found = numbers("curvature", square)
    assert found["curvature_u"] is None
    assert found["curvature_largest"] is None
    assert found["curvature_v"] == pytest.approx(2, **EXACT)
    assert numbers("curvature", between([1.0, NAN, 0.5, 1.0, 2.0], np.linspace(-2, 2, 5)))["curvature_u"] is None


# ---- width


def test_widths_of_a_cone_are_exact() -> None:
    surface = over(lambda x, y: 0.2 + np.maximum(x / 0.5, -x) + np.abs(y) * 0.25, uneven(40), np.linspace(-5, 5, 11))
    found = numbers("width", surface, ceilings=(0.3,))
    assert found["width_u_at_centre_plus_0.1"] == pytest.approx(0.05 + 0.1, **EXACT)
    assert found["width_v_at_centre_plus_0.1"] == pytest.approx(0.8, **EXACT)
    assert found["width_v_at_centre_plus_1"] == pytest.approx(8.0, **EXACT)
    assert found["width_u_at_0.3"] == pytest.approx(0.15, **EXACT)


def test_width_of_a_parabola_converges_with_the_square_of_the_step() -> None:
    exact = 2 * math.sqrt(0.1 / 3)
    for size in (21, 41, 81, 161, 321):
        surface = over(lambda x: 3 * x**2, np.linspace(-1, 1, size))
        short = exact - numbers("width", surface)["width_u_at_centre_plus_0.1"]
        chord = (2 / (size - 1)) ** 2 / 8 * 6  # how far one is above the parabola at most, in nats
        assert 0 <= short < 1.1 * 2 * chord / (6 * exact / 2)


def test_area_of_a_disc_and_volume_of_a_ball() -> None:
    disc = numbers("width", over(lambda x, y: x**2 + y**2, np.linspace(-2, 2, 201), np.linspace(-1.5, 1.5, 151)))
    assert disc["area_at_centre_plus_1"] == pytest.approx(math.pi, rel=0.01)
    grid = np.linspace(-1.2, 1.2, 61)
    ball = numbers("width", over(lambda x, y, z: x**2 + y**2 + z**2, grid, grid, grid))
    assert ball["volume_at_centre_plus_1"] == pytest.approx(4 / 3 * math.pi, rel=0.03)
    assert ball["volume_at_2.3026"] is None


def test_area_is_of_cells_and_of_the_centre_s_basin_alone() -> None:
    coords = (np.array([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0]), np.array([-1.0, 0.0, 2.0]))
    values = np.full((6, 3), 5.0)
    values[2, 1], values[3, 1] = 0.0, 0.5  # cells of 0.75 and 0.5 by 1.5
    inner = Surface(values, coords)
    assert numbers("width", inner)["area_at_centre_plus_1"] == pytest.approx((0.75 + 0.5) * 1.5, **EXACT)
    values[4, 0] = 0.0  # a diagonal neighbour, at the border
    assert numbers("width", inner)["area_at_centre_plus_1"] == pytest.approx((0.75 + 0.5) * 1.5, **EXACT)
    assert numbers("width", inner, diagonal=True)["area_at_centre_plus_1"] is None


def test_an_open_basin_has_no_width_and_a_high_centre_width_zero() -> None:
    slope = over(lambda x: x, np.linspace(-1, 1, 21))
    assert numbers("width", slope)["width_u_at_centre_plus_0.1"] is None
    assert numbers("width", slope, ceilings=(-0.5,))["width_u_at_-0.5"] == 0.0
    assert numbers("width", over(np.abs, np.linspace(-1, 1, 21)))["width_u_at_centre_plus_1"] == pytest.approx(2)


@pytest.mark.parametrize("wall", [NAN, INF, -INF])
def test_width_does_not_guess_where_a_crossing_is_beside_what_is_not_finite(wall: float) -> None:
    surface = Surface(np.array([2.0, 0.0, 0.05, wall, 9.0]), (np.linspace(-1, 3, 5),))
    assert numbers("width", surface)["width_u_at_centre_plus_0.1"] is None
    surface.values[2] = 1.0
    assert numbers("width", surface)["width_u_at_centre_plus_0.1"] == pytest.approx(0.05 + 0.1, **EXACT)


# ---- barrier


def linear_net(seed: int) -> tuple[Polynomial, Any]:
    """The loss of two-layer linear nets on the line between two of them: its polynomial, and the nets' own."""
    draw = np.random.default_rng(seed).normal
    inputs, first, out = draw(size=(3, 50)), draw(size=(4, 3)), draw(size=4)
    labels = out @ first @ inputs + 0.1 * draw(size=50)
    # the other net has its hidden units in another order and is a little off: nearly as good, and far away
    second, other = first[[1, 2, 3, 0]] + 0.05 * draw(size=(4, 3)), out[[1, 2, 3, 0]] + 0.05 * draw(size=4)

    def loss(t: np.ndarray) -> np.ndarray:
        nets = ((((1 - a) * out + a * other) @ ((1 - a) * first + a * second), a) for a in t)
        return np.array([np.mean((net @ inputs - labels) ** 2) for net, _ in nets])

    powers = [out @ first, (other - out) @ first + out @ (second - first), (other - out) @ (second - first)]
    moments, targets = inputs @ inputs.T / 50, inputs @ labels / 50
    coefficients = np.zeros(5)
    for (i, left), (j, right) in product(enumerate(powers), repeat=2):
        coefficients[i + j] += left @ moments @ right
    for i, power in enumerate(powers):
        coefficients[i] -= 2 * power @ targets
    coefficients[0] += np.mean(labels**2)
    return Polynomial(coefficients), loss


@pytest.mark.parametrize("seed", range(4))
def test_barrier_between_two_layer_linear_nets_equals_the_closed_form(seed: int) -> None:
    polynomial, loss = linear_net(seed)
    coords = np.linspace(-0.5, 1.5, 401)
    found = numbers("barrier", between(loss(coords), coords))
    inside = coords[100:301]
    chord = (1 - inside) * polynomial(0.0) + inside * polynomial(1.0)
    rises = polynomial(inside) - chord
    assert found["barrier_height"] == pytest.approx(rises.max(), **EXACT)
    ends = max(polynomial(0.0), polynomial(1.0))
    assert found["barrier_above_higher_end"] == pytest.approx((polynomial(inside) - ends).max(), **EXACT)
    slopes = np.abs(np.diff(polynomial(inside)) / np.diff(inside))
    assert found["barrier_steepest_slope"] == pytest.approx(slopes.max(), rel=1e-9)
    assert found["barrier_height"] > 0.1
    assert found["barrier_at"] == pytest.approx(inside[rises.argmax()], **EXACT)
    top = [t.real for t in (polynomial.deriv() - polynomial(1.0) + polynomial(0.0)).roots() if abs(t.imag) < 1e-9]
    tops = [polynomial(t) - (1 - t) * polynomial(0.0) - t * polynomial(1.0) for t in top if 0 < t < 1]
    assert found["barrier_height"] == pytest.approx(max(tops), rel=1e-4)


def test_a_bowl_has_no_barrier() -> None:
    coords = np.linspace(-0.5, 1.5, 401)
    found = numbers("barrier", between((coords - 0.5) ** 2, coords))
    assert found["barrier_height"] == pytest.approx(0, abs=1e-15)
    assert found["barrier_above_higher_end"] == pytest.approx(0, abs=1e-15)
    assert found["barrier_steepest_slope"] == pytest.approx(1 - 0.005, **EXACT)


def test_ends_between_grid_points_are_interpolated() -> None:
    coords = np.array([-1.0, 0.5, 1.5, 3.0])
    found = numbers("barrier", between([0.0, 3.0, 1.0, 4.0], coords, 2.0, 0.0))  # ends: 2 at t = 2 and 2 at t = 0
    assert found["barrier_height"] == pytest.approx(1.0, **EXACT)
    assert found["barrier_at"] == 0.5
    assert found["barrier_steepest_slope"] == pytest.approx(2.0, **EXACT)


def test_slopes_outside_the_stretch_do_not_count() -> None:
    coords = np.linspace(-1, 2, 7)
    values = np.array([50.0, 9.0, 0.0, 0.5, 0.0, 9.0, NAN])
    found = numbers("barrier", between(values, coords, 0.0, 1.0))
    assert found == {
        "barrier_height": 0.5,
        "barrier_at": 0.5,
        "barrier_above_higher_end": 0.5,
        "barrier_steepest_slope": 1.0,
    }


@pytest.mark.parametrize(("start", "end"), [(0.0, 3.0), (-2.0, 1.0), (1.0, 1.0)])
def test_no_barrier_between_ends_off_the_grid_or_equal(start: float, end: float) -> None:
    found = numbers("barrier", between(np.arange(5.0), np.linspace(-1, 2, 5), start, end))
    assert set(found.values()) == {None}


def test_a_loss_that_is_not_finite_between_the_ends_leaves_the_barrier_unknown() -> None:
    values = np.array([1.0, 2.0, INF, 2.0, 1.0])
    assert set(numbers("barrier", between(values, np.linspace(0, 1, 5))).values()) == {None}


def test_pass_of_the_scalar_linear_net_is_the_saddle_at_the_origin() -> None:
    """``(a b - 1)^2``: its minima are two branches of a hyperbola, and every way between them has a = 0 or b = 0."""
    coords = np.linspace(-2, 2, 41), np.linspace(-1.5, 1.5, 31)
    corners = [("plus", (1.0, 1.0)), ("minus", (-1.0, -1.0)), ("other", (1.0, 0.5))]
    surface = over(lambda a, b: (a * b - 1) ** 2, *coords, corners=corners)
    found = numbers("barrier", surface)
    assert found["pass_level_between_plus_and_minus"] == pytest.approx(1.0, **EXACT)
    assert found["pass_height_between_plus_and_minus"] == pytest.approx(1.0, **EXACT)
    assert 0 in np.round(found["pass_at_between_plus_and_minus"], 12)
    assert found["pass_height_between_minus_and_other"] == pytest.approx(1 - 0.25, **EXACT)
    assert found["pass_height_between_plus_and_other"] == pytest.approx(0, **EXACT)


def test_walls_that_are_not_finite_have_no_pass() -> None:
    values = np.zeros((5, 3))
    values[2] = [NAN, INF, NAN]
    coords = np.arange(5.0), np.arange(3.0)
    surface = Surface(values, coords, (("a", (0.0, 0.0)), ("b", (4.0, 2.0)), ("off", (9.0, 0.0))))
    assert set(numbers("barrier", surface).values()) == {None}
    values[2, 1] = 3.0
    found = numbers("barrier", surface)
    assert found["pass_height_between_a_and_b"] == 3.0
    assert found["pass_at_between_a_and_b"] == [2.0, 1.0]


# ---- sharpness


@pytest.mark.parametrize("size", [21, 401])
def test_sharpness_of_a_piecewise_linear_function_is_exact(size: int) -> None:
    surface = over(lambda x, y: 0.5 + np.abs(x) + 3 * np.abs(y), np.linspace(-1, 1, size), np.linspace(-2, 2, 81))
    found = numbers("sharpness", surface)
    for radius in (0.1, 0.25, 0.5, 1.0):
        assert found[f"sharpness_within_{radius:g}"] == pytest.approx(100 * 4 * radius / 1.5, **EXACT)
    assert (found["sharpness_within_0.05"] is None) == (size == 21)  # less than a step


def test_sharpness_takes_the_corner_of_the_box() -> None:
    surface = over(lambda x, y: (x + y) ** 2, np.linspace(-1, 1, 41), np.linspace(-1, 1, 21))
    assert numbers("sharpness", surface)["sharpness_within_0.5"] == pytest.approx(100.0, **EXACT)


def test_sharpness_of_a_box_beyond_the_grid_or_not_finite_is_unknown() -> None:
    coords = np.linspace(-0.5, 1.5, 41)
    values = coords**2
    values[-1] = INF
    found = numbers("sharpness", between(values, coords))
    assert found["sharpness_within_0.5"] == pytest.approx(25.0, **EXACT)
    assert found["sharpness_within_1"] is None
    values[12] = NAN
    assert numbers("sharpness", between(values, coords))["sharpness_within_0.1"] is None


# ---- roughness


def test_total_variation_counts_up_and_down() -> None:
    def varied(function: Any, *coords: np.ndarray) -> float:
        return numbers("roughness", over(function, *coords))["roughness_total_variation"]

    grid = np.linspace(-1, 1, 81)
    assert varied(np.exp, grid) == pytest.approx(1.0, **EXACT)
    assert varied(np.square, grid) == pytest.approx(2.0, **EXACT)
    assert varied(lambda x: np.cos(4 * np.pi * x), grid) == pytest.approx(8.0, **EXACT)
    assert varied(lambda x, y: x**2 + y, grid[::2], grid) == pytest.approx((81 * 2 + 41 * 1) / (81 + 41), **EXACT)


def test_bending_of_a_line_in_logarithms_is_nil_and_of_a_parabola_its_second_difference() -> None:
    grid = np.linspace(-1, 1, 21)
    straight = numbers("roughness", over(lambda x: np.exp(3 * x), uneven(20)))
    assert straight["roughness_bending"] == pytest.approx(0, abs=1e-14)
    bowl = numbers("roughness", over(lambda x: np.exp(3 * x**2), grid))
    assert bowl["roughness_bending"] == pytest.approx(0.1**2, **EXACT)  # 3 h^2 by a range of 3
    assert numbers("roughness", over(lambda x: x**2, grid))["roughness_bending"] is None


def test_convex_share_and_local_minima() -> None:
    grid = np.linspace(-1, 1, 201)
    plain = numbers("roughness", over(lambda x, y: x**2 + 2 * y**2 + 0.3 * x, grid, uneven(30)))
    assert plain["convex_share"] == 1.0
    assert plain["local_minima"] == 1
    assert numbers("roughness", over(lambda x: 0.3 * x - 7, uneven(50)))["convex_share"] == 1.0
    assert numbers("roughness", over(lambda x, y: x**2 - y**2, grid, grid))["convex_share"] == 0.0
    wave = numbers("roughness", over(lambda x: np.sin(3 * np.pi * x), grid))
    assert wave["convex_share"] == pytest.approx(0.5, abs=0.01)
    assert wave["local_minima"] == 4  # three troughs, and the right end


def test_roughness_leaves_out_what_is_not_finite() -> None:
    coords = np.linspace(-1, 1, 11), np.linspace(-1, 1, 9)
    surface = over(lambda x, y: np.exp(x**2 + y**2), *coords)
    surface.values[3, 3], surface.values[7, 2] = NAN, INF
    found = numbers("roughness", surface)
    assert found["roughness_total_variation"] == pytest.approx(2.0, **EXACT)
    assert found["convex_share"] == 1.0
    assert found["roughness_bending"] == pytest.approx(0.0257, abs=1e-3)  # half of (2 / 10)^2 and (2 / 8)^2, by 2


# ---- merge tree


def by_the_book(values: np.ndarray, diagonal: bool) -> set[tuple[Any, ...]]:
    """Point by point in the order of the values, with the components as sets."""
    order = [index for index in np.ndindex(values.shape) if np.isfinite(values[index])]
    order.sort(key=lambda index: (values[index], index))
    component: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    pairs = set()
    for point in order:
        near = [
            tuple(p + s for p, s in zip(point, step, strict=True))
            for step in product((-1, 0, 1), repeat=values.ndim)
            if any(step) and (diagonal or sum(map(abs, step)) == 1)
        ]
        touched = {id(component[n]): component[n] for n in near if n in component}
        ranked = sorted(touched.values(), key=lambda members: order.index(members[0]))
        component[point] = [point]
        if ranked:
            elder = ranked[0]
            for younger in ranked[1:]:
                if values[point] > values[younger[0]]:
                    pairs.add((younger[0], float(values[younger[0]]), float(values[point]), point, elder[0]))
                elder.extend(younger)
            elder.append(point)
            component.update(dict.fromkeys(elder, elder))
    alive = {id(members): members for members in component.values()}
    return pairs | {(members[0], float(values[members[0]]), INF, None, None) for members in alive.values()}


def flattened(tree: MergeTree) -> set[tuple[Any, ...]]:
    return {(m.index, m.birth, m.death, m.saddle, m.parent) for m in tree.minima}


grids = arrays.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=6).flatmap(
    lambda shape: arrays.arrays(np.float64, shape, elements=st.integers(0, 7).map(float))
)
holed = arrays.array_shapes(min_dims=1, max_dims=2, min_side=1, max_side=7).flatmap(
    lambda shape: arrays.arrays(np.float64, shape, elements=st.sampled_from([0.0, 1.0, 2.0, 3.0, NAN, INF, -INF]))
)


@given(st.one_of(grids, holed), st.booleans())
def test_merge_tree_is_that_of_the_book(values: np.ndarray, diagonal: bool) -> None:
    assert flattened(merge_tree(values, diagonal=diagonal)) == by_the_book(values, diagonal)


@given(grids, st.booleans())
def test_merge_tree_has_gudhi_s_persistence(values: np.ndarray, diagonal: bool) -> None:
    gudhi = pytest.importorskip("gudhi")
    # values of vertices are joined by edges, values of cells by any corner that they share
    cubes = gudhi.CubicalComplex(**{"top_dimensional_cells" if diagonal else "vertices": values})
    cubes.compute_persistence()
    theirs = sorted(map(tuple, cubes.persistence_intervals_in_dimension(0).tolist()))
    assert sorted((m.birth, m.death) for m in merge_tree(values, diagonal=diagonal).minima) == theirs


@pytest.mark.parametrize("diagonal", [False, True])
def test_merge_tree_of_a_large_noisy_grid_has_gudhi_s_persistence(diagonal: bool) -> None:
    gudhi = pytest.importorskip("gudhi")
    values = np.random.default_rng(0).normal(size=(101, 67)).round(2)
    cubes = gudhi.CubicalComplex(**{"top_dimensional_cells" if diagonal else "vertices": values})
    cubes.compute_persistence()
    theirs = sorted(map(tuple, cubes.persistence_intervals_in_dimension(0).tolist()))
    tree = merge_tree(values, diagonal=diagonal)
    assert sorted((m.birth, m.death) for m in tree.minima) == theirs
    persistences = [m.persistence for m in tree.minima]
    assert persistences == sorted(persistences, reverse=True)
    assert len(tree.persistent(1.0)) == sum(death - birth > 1.0 for birth, death in theirs)


@given(grids, st.integers(-5, 5))
def test_monotone_transforms_keep_the_tree(values: np.ndarray, shift: int) -> None:
    plain = flattened(merge_tree(values))
    assert {(i, b + shift, d + shift, s, p) for i, b, d, s, p in plain} == flattened(merge_tree(values + shift))
    bent = {(i, math.exp(b), math.exp(d), s, p) for i, b, d, s, p in plain if d < INF}
    found = {one for one in flattened(merge_tree(np.exp(values))) if one[2] < INF}
    assert {(i, s, p) for i, _, _, s, p in bent} == {(i, s, p) for i, _, _, s, p in found}
    assert sorted(x for one in found for x in one[1:3]) == pytest.approx(sorted(x for one in bent for x in one[1:3]))


@given(st.one_of(grids, holed), st.booleans(), st.data())
def test_passes_and_components_are_those_of_flooding(values: np.ndarray, diagonal: bool, data: Any) -> None:
    tree = merge_tree(values, diagonal=diagonal)
    first, second = (tuple(data.draw(st.integers(0, n - 1)) for n in values.shape) for _ in range(2))
    reached = {level: flooded(values, first, level, diagonal) for level in np.unique(values[np.isfinite(values)])}
    levels = [level for level, mask in reached.items() if mask[second]]
    lowest = tree.pass_between(first, second)
    assert (lowest and lowest.level) == (min(levels) if levels else None)
    if lowest:
        assert values[lowest.index] == lowest.level
    for level, mask in reached.items():
        assert (tree.component(first, level + 0.5) == mask).all()
        assert not tree.component(first, level)[values >= level].any()


def flooded(values: np.ndarray, start: tuple[int, ...], level: float, diagonal: bool) -> np.ndarray:
    """The part of ``{L <= level}`` that is reached from a point."""
    inside = np.isfinite(values) & (values <= level)
    mask, waiting = np.zeros(values.shape, dtype=bool), [start] if inside[start] else []
    while waiting:
        point = waiting.pop()
        if not mask[point]:
            mask[point] = True
            for step in product((-1, 0, 1), repeat=values.ndim):
                near = tuple(p + s for p, s in zip(point, step, strict=True))
                grid = all(0 <= n < size for n, size in zip(near, values.shape, strict=True))
                if grid and inside[near] and (diagonal or sum(map(abs, step)) == 1):
                    waiting.append(near)
    return mask


def test_a_tree_by_hand() -> None:
    values = np.array([3.0, 1.0, 2.0, 0.0, 5.0, 1.5, 4.0, NAN, -9.0, INF, 7.0])
    tree = merge_tree(values)
    assert [(m.index, m.birth, m.death, m.saddle, m.parent) for m in tree.minima] == [
        ((8,), -9.0, INF, None, None),
        ((3,), 0.0, INF, None, None),
        ((10,), 7.0, INF, None, None),
        ((5,), 1.5, 5.0, (4,), (3,)),
        ((1,), 1.0, 2.0, (2,), (3,)),
    ]
    assert tree.pass_between((0,), (6,)) == Pass(5.0, (4,))
    assert tree.pass_between((0,), (8,)) is None
    assert tree.pass_between((7,), (7,)) is None
    assert tree.pass_between((6,), (6,)) == Pass(4.0, (6,))


def test_a_saddle_of_three_basins_names_the_survivor() -> None:
    values = np.full((3, 3), 9.0)
    values[1, 1] = 5.0
    values[0, 1], values[1, 0], values[2, 1] = 2.0, 3.0, 1.0
    tree = merge_tree(values)
    assert {m.index: m.parent for m in tree.minima} == {(2, 1): None, (0, 1): (2, 1), (1, 0): (2, 1)}


def test_minima_are_listed_with_their_coordinates() -> None:
    coords = np.linspace(-2, 2, 81), np.linspace(-1, 1, 21)
    double = over(lambda x, y: (x**2 - 1) ** 2 + 0.1 * x + y**2, *coords)
    found = numbers("minima", double)
    assert found["minima_more_persistent_than_0.01"] == found["minima_more_persistent_than_0.1"] == 2
    lowest, other = found["minima_most_persistent"]
    assert lowest["at"] == pytest.approx([-1.0, 0.0], abs=0.05)
    assert lowest["persistence"] is lowest["saddle_at"] is lowest["parent_at"] is None
    assert other["at"] == pytest.approx([1.0, 0.0], abs=0.05)
    assert other["parent_at"] == lowest["at"]
    assert other["saddle_loss"] - other["loss"] == pytest.approx(other["persistence"], **EXACT)
    assert other["saddle_loss"] == pytest.approx(1.0, abs=0.01)
    assert numbers("minima", double, most=1, thresholds=(5.0,))["minima_more_persistent_than_5"] == 1


# ---- surveys


def survey(loss: np.ndarray, dims: tuple[str, ...] = ("u", "v"), **attrs: str) -> xr.Dataset:
    coords = {dim: np.linspace(-1, 1, n) for dim, n in zip(dims, loss.shape, strict=True) if dim != "repeat"}
    return xr.Dataset({"test_loss": (dims, loss, attrs)}, coords=coords)


def bowl(*sizes: int) -> np.ndarray:
    grid = np.meshgrid(*(np.linspace(-1, 1, n) for n in sizes), indexing="ij")
    return 0.1 + sum((k + 1) * x**2 for k, x in enumerate(grid))


def test_measures_of_a_survey_by_split() -> None:
    given = survey(bowl(21, 11)).transpose("v", "u")
    given["train_loss"] = given["test_loss"] * 2
    given["odd_name"] = given["test_loss"].assign_attrs(split="half", metric="loss")
    given["test_accuracy"] = given["test_loss"] * 0
    given["test_loss_standard_error"] = given["test_loss"].assign_attrs(
        split="test", metric="loss", companion="standard_error"
    )
    given["target_loss"] = given["test_loss"]
    given["test_streaming_done"] = given["test_loss"] > 0
    found = measure_survey(given)
    assert set(found) == {"test", "train", "half"}
    assert found["test"]["curvature_u"] == pytest.approx(2, **EXACT)
    assert found["test"]["curvature_v"] == pytest.approx(4, **EXACT)
    assert found["train"]["curvature_v"] == pytest.approx(8, **EXACT)
    assert found["test"]["centre"] == pytest.approx([0, 0])
    assert found["test"]["centre_loss"] == pytest.approx(0.1)
    assert found["half"] == found["test"]
    assert "barrier_height" not in found["test"]
    assert "spread_mean" not in found["test"]
    assert set(measure_survey(given, "accuracy")) == {"test"}
    assert measure_survey(given, "entropy") == {}


def test_corners_of_a_survey_name_its_passes() -> None:
    given = survey(bowl(21, 11))
    given["corner_u"] = ("corner", [0.5, -0.5, 0.0], {"names": ["sgd", "adam", "sgd"]})
    assert (
        "pass_height_between_sgd_0_and_adam" not in measure_survey(given)["test"]
    )  # their coordinates along v are unknown
    given["corner_v"] = ("corner", [0.2, 0.2, 0.0], {"names": ["sgd", "adam", "sgd"]})
    given["corner_weights"] = (("corner", "bin"), np.ones((3, 4)))
    found = measure_survey(given)["test"]
    assert found["centre"] == pytest.approx([0.5, 0.2])
    assert found["pass_height_between_sgd_0_and_adam"] == pytest.approx(0, abs=1e-12)
    assert found["pass_height_between_adam_and_sgd_2"] == pytest.approx(0, abs=1e-12)
    line = survey(np.array([0.0, 1.0, 3.0, 1.0, 0.0]), ("u",)).assign(corner_u=("corner", [-1.0, 1.0]))
    assert measure_survey(line)["test"]["barrier_height"] == 3.0


def test_repeats_are_measured_each_and_against_each_other() -> None:
    base = bowl(21, 11)
    repeats = np.stack([base, 2 * base, 3 * base], axis=1)
    repeats[0, 2, 0], repeats[3, 1, 4] = NAN, INF
    given = survey(repeats, ("u", "repeat", "v"))
    found = measure_survey(given)["test"]
    assert [one["curvature_u"] for one in found["draws"]] == pytest.approx([2, 4, 6], **EXACT)
    assert found["curvature_u"] == pytest.approx(4, **EXACT)
    assert found["curvature_u_standard_deviation"] == pytest.approx(2, **EXACT)
    assert found["spread_mean"] == pytest.approx(0.5, **EXACT)
    assert found["spread_largest"] == pytest.approx(0.5, **EXACT)
    assert (found["unmeasurable_nan"], found["unmeasurable_inf"]) == (1, 1)
    assert [one["unmeasurable_nan"] for one in found["draws"]] == [0, 0, 1]
    assert "spread_mean" not in found["draws"][0]
    assert found["width_u_at_2.3026"] is None  # of the first repeat the basin is open
    assert found["draws"][2]["width_u_at_2.3026"] is not None
    json.dumps(found, allow_nan=False)
    assert take_surfaces(given)["test"].values.shape == (21, 11)


def test_spread_by_hand_and_of_a_single_repeat() -> None:
    coords = (np.arange(3.0),)
    repeats = np.array([[1.0, 2.0, 0.0], [3.0, 2.0, 0.0]])
    found = numbers("spread", Surface(repeats.mean(axis=0), coords, repeats=repeats))
    assert found["spread_mean"] == pytest.approx(math.sqrt(2) / 2 / 2, **EXACT)  # the third point has no mean to go by
    assert found["spread_largest"] == pytest.approx(math.sqrt(2) / 2, **EXACT)
    assert found["spread_largest_at"] == [0.0]
    assert set(numbers("spread", Surface(repeats[0], coords, repeats=repeats[:1])).values()) == {None}
    single = measure_survey(survey(bowl(5, 7)[None], ("repeat", "u", "v")))["test"]
    assert single["spread_mean"] is None
    assert single["curvature_u_standard_deviation"] is None
    assert single["curvature_u"] == pytest.approx(2, **EXACT)


HARD = {
    "nan": np.full((5, 4), NAN),
    "infinite": np.full((5, 4), INF),
    "constant": np.full((5, 4), 0.7),
    "zero": np.zeros((5, 4)),
    "one row": bowl(7, 1),
    "one column": bowl(1, 7),
    "one point": np.array([[0.3]]),
    "one finite point": np.where(np.arange(20).reshape(5, 4) == 9, 1.0, NAN),
    "huge": np.where(np.arange(20).reshape(5, 4) % 3 == 1, 1e308, -1e308),
    "line of one": np.array([0.3]),
    "line of two": np.array([0.3, 0.4]),
    "nan line": np.array([0.3, NAN, 0.4, -INF, 2.0]),
    "volume": bowl(4, 3, 1),
    "single precision": bowl(5, 4).astype(np.float32),
}


@pytest.mark.parametrize("case", HARD)
@pytest.mark.parametrize("networks", [False, True], ids=["", "networks"])
def test_nothing_breaks_and_everything_is_counted(case: str, networks: bool) -> None:
    loss = HARD[case]
    given = survey(loss, ("u", "v", "w")[: loss.ndim])
    if networks:
        given = given.assign({f"corner_{dim}": ("corner", [-1.0, 1.0]) for dim in given["test_loss"].dims})
    found = measure_survey(given)["test"]
    json.dumps(found, allow_nan=False)
    assert found["unmeasurable_nan"] == np.isnan(loss).sum()
    assert found["unmeasurable_inf"] == np.isinf(loss).sum()
    assert found["minima_more_persistent_than_0.1"] >= bool(np.isfinite(loss).any())
    repeated = measure_survey(xr.concat([given[["test_loss"]]] * 2, "repeat"))["test"]
    json.dumps(repeated, allow_nan=False)
    assert repeated["unmeasurable_nan"] == 2 * np.isnan(loss).sum()


def test_a_single_row_has_the_minima_of_a_line() -> None:
    row = np.random.default_rng(3).normal(size=30)
    line, one_row = merge_tree(row), merge_tree(row[:, None], diagonal=True)
    assert [m.persistence for m in line.minima] == [m.persistence for m in one_row.minima]


def test_what_is_not_a_surface_is_refused() -> None:
    with pytest.raises(BadInput, match="ascend"):
        measure_survey(survey(bowl(5, 4)).isel(u=slice(None, None, -1)))
    with pytest.raises(BadInput, match="as many"):
        Surface(np.zeros((3, 4)), (np.arange(4.0), np.arange(3.0)))
    with pytest.raises(BadInput, match="for each of them"):
        Surface(np.zeros(3), (np.arange(3.0),), (("a", (0.0, 0.0)),))
    with pytest.raises(BadInput, match="no repeats"):
        measure_survey(survey(np.zeros((0, 3)), ("repeat", "u")))


def test_no_two_measures_have_a_name_in_common() -> None:
    surface = over(lambda x, y: x**2 + y**2, uneven(9), uneven(7), corners=[("a", (0, 0)), ("b", (1, 1))])
    names = [name for kind in MEASURES for name in MEASURES[kind]().of(surface)]
    assert len(names) == len(set(names))
    assert sorted(MEASURES) == ["barrier", "curvature", "minima", "roughness", "sharpness", "spread", "width"]


def test_measures_do_without_torch() -> None:
    code = "import sys, lossatlas.measures as m; [m.MEASURES[k] for k in m.MEASURES]; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
