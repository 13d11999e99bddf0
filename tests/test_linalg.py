"""Ends of spectra, densities and traces of matrices that are known by their products, against dense ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from curvature_cases import make_case
from hypothesis import given, settings, strategies as st
from torch import Tensor

from lossatlas.linalg import (
    Extremes,
    Numbered,
    Product,
    Search,
    Trace,
    count_least_steps,
    estimate_trace,
    find_extremes,
    find_half_width,
    find_quadrature,
)

DTYPES = [torch.float32, torch.float64]
ROUNDING = {torch.float32: 2e-6, torch.float64: 1e-13}
"""What an eigenvalue may be off by, as a share of the norm."""


def number_from(n: int, seed: int = 0) -> Numbered:
    return lambda k: torch.randn(n, generator=torch.Generator().manual_seed(100_003 * seed + k), dtype=torch.float64)


def turned(values: Sequence[float] | Tensor, seed: int = 0) -> Tensor:
    """A symmetric matrix (n, n) with these eigenvalues (n,), whose eigenvectors are random; float64."""
    wide = torch.as_tensor(values, dtype=torch.float64)
    drawn = torch.randn(len(wide), len(wide), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    vectors = torch.linalg.qr(drawn)[0]
    return (vectors * wide) @ vectors.T


class Counted:
    """The products of several matrices (p, n, n), which are counted for each."""

    def __init__(self, *matrices: Tensor, dtype: torch.dtype = torch.float64) -> None:
        self.matrices = torch.stack(matrices).to(dtype)
        self.counts = [0] * len(matrices)

    def __call__(self, vectors: Tensor, numbers: Tensor) -> Tensor:
        for number in numbers.tolist():
            self.counts[number] += 1
        return torch.bmm(self.matrices[numbers], vectors[:, :, None])[:, :, 0]

    def search(self, search: Search, seed: int = 0, **options: bool) -> Extremes:
        n = self.matrices.shape[1]
        return find_extremes(self, number_from(n, seed), len(self.matrices), self.matrices, search, **options)


def diagonal(values: Tensor) -> Product:
    return lambda vectors, _: vectors * values


BULK = torch.linspace(-1, 1, 40, dtype=torch.float64)
MULTIPLE = torch.cat([torch.tensor([-4.0, -4.0]), BULK, torch.tensor([3.0, 5.0, 5.0, 5.0])]).double()


class TestExtremes:
    def test_have_no_ghosts(self) -> None:
        """Without reorthogonalisation the largest eigenvalues appear several times within 100 steps in float32."""
        values = torch.linspace(-1, 1, 2000)
        values[:4] = torch.tensor([100.0, 60.0, 40.0, 25.0])
        found = find_quadrature(diagonal(values), number_from(2000), values, probes=1, steps=100)
        outside = found.nodes[0][found.nodes[0] > 1.01]
        torch.testing.assert_close(outside, torch.tensor([25.0, 40, 60, 100]).double(), rtol=1e-5, atol=0.0)
        search = Search(top=5, bottom=1, tolerance=2e-6, again=True, most_products=500)
        ends = find_extremes(diagonal(values), number_from(2000), 1, values.expand(1, 2000), search)
        torch.testing.assert_close(ends.top[0, :4].round(), torch.tensor([100.0, 60, 40, 25]).double())
        assert ends.top[0, 4] < 1.01

    @pytest.mark.parametrize("basis", [12, 48])
    @pytest.mark.parametrize("dtype", DTYPES)
    def test_come_as_often_as_they_occur(self, dtype: torch.dtype, basis: int) -> None:
        """A basis of 12 is restarted several times, and gives the same."""
        matrices = Counted(*(turned(MULTIPLE, seed) for seed in range(3)), dtype=dtype)
        tolerance = 50 * ROUNDING[dtype]
        search = Search(top=4, bottom=3, tolerance=tolerance, again=True, basis=basis, most_products=1000)
        found = matrices.search(search, vectors=True)
        assert found.converged.all()
        expected = MULTIPLE.sort().values
        error = 5 * tolerance * 5
        torch.testing.assert_close(found.top, expected.flip(0)[:4].expand(3, 4), rtol=0.0, atol=error)
        torch.testing.assert_close(found.bottom, expected[:3].expand(3, 3), rtol=0.0, atol=error)
        assert found.top_vectors is not None
        gram = found.top_vectors @ found.top_vectors.mT
        torch.testing.assert_close(gram, torch.eye(4, dtype=dtype).expand(3, 4, 4), rtol=0.0, atol=1e-4)

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize(
        ("values", "top", "bottom"),
        [
            pytest.param([0.0] * 7, 2, 2, id="zero"),
            pytest.param([3.0] + [0.0] * 29, 2, 2, id="rank 1"),
            pytest.param([-2.5], 1, 1, id="n = 1"),
            pytest.param([1.0] * 6, 3, 3, id="identity"),
            pytest.param([-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0], 8, 8, id="all at both ends"),
            pytest.param([-2.0, -2.0, -2.0, 0.0, 0.0, 3.0, 3.0, 3.0], 5, 6, id="ends that overlap"),
            pytest.param([1.0] * 10 + [2.0] * 10, 12, 0, id="top alone"),
            pytest.param([1.0] * 10 + [2.0] * 10, 0, 12, id="bottom alone"),
        ],
    )
    def test_of_special_matrices(self, values: list[float], top: int, bottom: int, dtype: torch.dtype) -> None:
        matrices = Counted(turned(values), dtype=dtype)
        found = matrices.search(Search(top=top, bottom=bottom, again=True, basis=24, tolerance=1e-5))
        expected, norm = torch.tensor(sorted(values), dtype=torch.float64), max(map(abs, values))
        assert found.converged.all()
        torch.testing.assert_close(found.top[0], expected.flip(0)[:top], rtol=0.0, atol=1e-5 * norm)
        torch.testing.assert_close(found.bottom[0], expected[:bottom], rtol=0.0, atol=1e-5 * norm)

    @settings(max_examples=40, deadline=None)
    @given(data=st.data())
    @pytest.mark.parametrize("dtype", DTYPES)
    def test_have_residuals_that_bound_their_errors(self, dtype: torch.dtype, data: st.DataObject) -> None:
        """Of whatever is returned, converged or not: an eigenvalue lies within the residual."""
        # Below the smallest normal numbers rounding is not relative any more.
        number = st.floats(-10, 10, allow_nan=False, width=32).map(lambda each: each if abs(each) > 1e-30 else 0.0)
        values = data.draw(st.lists(number | st.sampled_from([0.0, 1.0, -1.0, 1e-6]), min_size=1, max_size=24))
        n = len(values)
        search = Search(
            top=data.draw(st.integers(1, min(n, 3))),
            bottom=data.draw(st.integers(1, min(n, 3))),
            most_products=data.draw(st.integers(1, 40)),
            tolerance=data.draw(st.sampled_from([1e-1, 1e-3, 1e-5])),
            basis=data.draw(st.integers(9, 30)),
            again=data.draw(st.booleans()),
        )
        matrices = Counted(turned(values, data.draw(st.integers(0, 99))), dtype=dtype)
        found = matrices.search(search)
        held = torch.linalg.eigvalsh(matrices.matrices[0].double())
        slack = 1e-13 * float(held.abs().max())
        for ritz, residuals in ((found.top, found.top_residuals), (found.bottom, found.bottom_residuals)):
            known = ritz.isfinite()
            apart = (ritz[known][:, None] - held).abs().amin(dim=1)
            assert (apart <= residuals[known] + slack).all()
        assert matrices.counts == found.products.tolist()
        assert matrices.counts[0] <= search.most_products

    @pytest.mark.parametrize(
        ("negative", "bulk"), [((-42.8,), 1.0), ((-42.8, -30.0, -25.0, -20.0), 0.3), ((-10.0,), 0.05)]
    )
    def test_are_not_random_vectors_where_most_eigenvalues_are_near_zero(
        self, negative: tuple[float, ...], bulk: float
    ) -> None:
        """As the Hessians of networks have them: within 8 steps a random vector has a residual of 1e-3 of the norm."""
        n = 20_000
        values = bulk * torch.randn(n, generator=torch.Generator().manual_seed(0))
        large = torch.tensor([2900.0, 2100.0, 1500.0, 900.0, 600.0, 400.0, 250.0, 150.0, 90.0, 60.0])
        values[: len(large)] = large
        values[len(large) : len(large) + len(negative)] = torch.tensor(negative)
        starts = torch.randn(20, n, generator=torch.Generator().manual_seed(1))
        found = find_extremes(diagonal(values), number_from(n), 20, values, Search(), starts=starts)
        assert found.converged.all()
        torch.testing.assert_close(found.bottom, torch.full((20, 1), negative[0]).double(), rtol=0.01, atol=0.0)
        one = find_extremes(diagonal(values), number_from(n), 1, values, Search(most_products=20))
        assert not one.converged.any()
        assert one.bottom_residuals.isinf().all()
        assert one.top_residuals.isfinite().all()

    def test_that_come_up_after_a_warm_start_are_found(self) -> None:
        """The start has the old eigenvectors and a little noise, so that it has their small residuals at once."""
        n = 20_000
        values = 0.01 * torch.randn(n, generator=torch.Generator().manual_seed(0))
        values[:3] = torch.tensor([1.0, -0.6, 1.2])
        noise = torch.randn(10, n, generator=torch.Generator().manual_seed(1))
        starts = 0.3 * noise / noise.norm(dim=1, keepdim=True)
        starts[:, :2] += 1
        found = find_extremes(diagonal(values), number_from(n), 10, values, Search(unseen=0.1), starts=starts)
        torch.testing.assert_close(found.top, torch.full((10, 1), 1.2).double(), rtol=1e-3, atol=0.0)
        torch.testing.assert_close(found.bottom, torch.full((10, 1), -0.6).double(), rtol=1e-3, atol=0.0)
        (only,) = find_extremes(diagonal(values), number_from(n), 1, values, Search(top=0), starts=starts[:1]).scale
        assert float(only) == pytest.approx(1.2, rel=1e-3)

    def test_leave_less_unseen_than_a_search_allows(self) -> None:
        """An eigenvalue just as far beyond the others as is not to be missed, from 500 starts; residuals all pass."""
        n, unseen = 2000, 0.02
        values = torch.linspace(0, 1, n, dtype=torch.float64)
        values[0] = -unseen / (1 - unseen)
        starts = torch.randn(500, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        search = Search(tolerance=0.9, unseen=unseen)
        found = find_extremes(diagonal(values), number_from(n), 500, values, search, starts=starts)
        missed = (found.bottom[:, 0] - values[0]) / (values[-1] - values[0]) > unseen
        assert int(missed.sum()) <= 5
        assert set(found.products.tolist()) == {count_least_steps(n, unseen)}
        early = find_extremes(diagonal(values), number_from(n), 500, values, replace(search, unseen=0.9), starts=starts)
        assert ((early.bottom[:, 0] - values[0]) / (values[-1] - values[0]) > unseen).any()

    def test_have_the_rounding_of_the_whole_matrix_beside_what_was_found(self) -> None:
        """What is left beside a large eigenvalue is noise of its size, in float32."""
        matrices = Counted(*(turned([4.5, *([0.0] * 5)], seed) for seed in range(20)), dtype=torch.float32)
        found = matrices.search(Search(tolerance=0.1, most_products=6, again=True))
        assert (found.bottom.abs() <= found.bottom_residuals).all()
        assert (found.bottom_residuals > 1e-6).all()

    def test_stop_at_each_matrix_where_it_has_converged(self) -> None:
        easy, hard = turned([9.0, -9.0, *([0.0] * 58)]), turned(torch.linspace(-1, 1, 60, dtype=torch.float64))
        matrices = Counted(easy, hard, easy)
        found = matrices.search(Search(tolerance=1e-3))
        assert matrices.counts == found.products.tolist()
        assert matrices.counts[0] == matrices.counts[2] < 6 < 20 < matrices.counts[1]

    def test_say_where_they_were_not_found(self) -> None:
        values = torch.linspace(-1, 1, 300, dtype=torch.float64)
        found = Counted(turned(values)).search(Search(tolerance=1e-8, most_products=15, basis=9))
        assert not found.converged.any()
        assert found.products.tolist() == [15]
        assert (found.top_residuals > 1e-8).all()

    def test_whose_copies_are_not_all_looked_for_have_not_converged(self) -> None:
        """A start that the products do not suffice for might have changed what is known."""
        search = Search(top=2, bottom=0, tolerance=1e-6, again=True)
        whole = Counted(turned(MULTIPLE)).search(search)
        assert whole.converged.all()
        first = Counted(turned(MULTIPLE)).search(replace(search, again=False)).products[0]
        cut = Counted(turned(MULTIPLE)).search(replace(search, most_products=int(first) + 1))
        assert not cut.converged.any()

    def test_stay_where_a_further_start_meets_a_product_that_is_not_finite(self) -> None:
        matrices = Counted(turned(MULTIPLE))
        search = Search(top=2, bottom=1, tolerance=1e-6)
        known = matrices.search(search)
        spent = int(known.products[0])

        def fail_later(vectors: Tensor, numbers: Tensor) -> Tensor:
            matrices_of = matrices(vectors, numbers)
            return matrices_of if matrices.counts[0] <= 2 * spent + 4 else torch.full_like(matrices_of, torch.nan)

        matrices.counts[0] = 0
        found = find_extremes(fail_later, number_from(46), 1, matrices.matrices, replace(search, again=True))
        assert not found.converged.any()
        torch.testing.assert_close(found.top[:, 0], known.top[:, 0], rtol=0.0, atol=1e-4)
        assert found.bottom.isfinite().all()

    @pytest.mark.parametrize("again", [False, True])
    def test_are_those_of_each_matrix_alone(self, again: bool) -> None:
        """Of a batch in which spaces end at different steps, and one has products that are not finite."""
        spectra = [MULTIPLE, torch.zeros(46), torch.linspace(-3, 2, 46), torch.ones(46), torch.arange(46.0) % 4]
        matrices = [turned(values, seed) for seed, values in enumerate(spectra)]
        broken = turned(BULK.repeat(2)[:46])
        broken[7, 7] = torch.nan
        search = Search(top=3, bottom=2, tolerance=1e-9, again=again, basis=14, most_products=400)
        together = Counted(broken, *matrices, broken).search(search, vectors=True)
        assert together.top[[0, -1]].isnan().all()
        assert together.bottom_residuals[[0, -1]].isnan().all()
        assert not together.converged[[0, -1]].any()
        for row, matrix in enumerate(matrices, start=1):
            alone = Counted(matrix).search(search, vectors=True)
            assert alone.products[0] == together.products[row]
            torch.testing.assert_close(together.top[row], alone.top[0], rtol=0.0, atol=1e-12)
            torch.testing.assert_close(together.bottom[row], alone.bottom[0], rtol=0.0, atol=1e-12)
            assert together.converged[row] == alone.converged[0]

    def test_of_a_warm_start_take_fewer_products(self) -> None:
        matrix = turned(torch.linspace(-1, 1, 200, dtype=torch.float64))
        search = Search(top=1, bottom=0, tolerance=1e-6)
        cold = find_extremes(Counted(matrix), number_from(200), 1, matrix, search, vectors=True)
        assert cold.top_vectors is not None
        nearby = matrix + 1e-4 * turned(torch.linspace(-1, 1, 200, dtype=torch.float64), seed=1)
        warm = find_extremes(Counted(nearby), number_from(200), 1, matrix, search, starts=cold.top_vectors[:, 0])
        assert warm.products[0] < 0.7 * cold.products[0]
        assert float(warm.top) == pytest.approx(float(torch.linalg.eigvalsh(nearby)[-1]), abs=1e-6)


class TestQuadrature:
    def test_has_the_moments_of_its_start(self) -> None:
        """Exactly, up to the power 2 steps - 1."""
        matrix, number = turned(BULK), number_from(40)
        found = find_quadrature(Counted(matrix), number, matrix, probes=3, steps=4)
        torch.testing.assert_close(found.weights.sum(dim=1), torch.ones(3, dtype=torch.float64))
        for probe in range(3):
            image = start = number(probe) / number(probe).norm()
            for power in range(9):
                moment = (found.weights[probe] * found.nodes[probe] ** power).sum()
                assert (abs(float(moment - start @ image)) < 1e-12) == (power <= 7)
                image = matrix @ image

    def test_ends_where_the_space_does(self) -> None:
        matrix = turned([2.0] * 3 + [-1.0] * 5)
        found = find_quadrature(Counted(matrix), number_from(8), matrix, probes=2, steps=6)
        torch.testing.assert_close(found.nodes[:, :2], torch.tensor([[-1.0, 2.0]] * 2, dtype=torch.float64))
        assert found.nodes[:, 2:].isnan().all()
        assert not found.weights[:, 2:].any()
        expected = (found.weights[:, :2] @ torch.tensor([1.0, 4.0], dtype=torch.float64)).mean()
        assert found.find_moment(2)[0] == pytest.approx(float(expected))

    def test_finds_the_edges_of_marchenko_and_pastur(self) -> None:
        n, examples = 300, 1200
        drawn = torch.randn(examples, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        found = find_quadrature(Counted(drawn.T @ drawn / examples), number_from(n), drawn, probes=4, steps=50)
        root = (n / examples) ** 0.5
        assert float(found.nodes.amin()) == pytest.approx((1 - root) ** 2, abs=0.02)
        assert float(found.nodes.amax()) == pytest.approx((1 + root) ** 2, abs=0.08)
        for power, expected in ((1, 1.0), (2, 1 + root**2)):
            mean, error = found.find_moment(power)
            assert abs(mean - expected) < 3 * error < 0.5

    def test_of_a_product_that_is_not_finite_is_unknown(self) -> None:
        matrix = turned(BULK)
        matrix[0, 0] = torch.inf
        found = find_quadrature(Counted(matrix), number_from(40), matrix, probes=2, steps=5)
        assert found.nodes.isnan().all()


class TestTrace:
    def test_has_intervals_that_hold(self) -> None:
        """Of the Hessian of a network, whose signs are mixed: in 100 runs the mean is right, and most hold it."""
        case = make_case("conv")
        matrix = case.dense(case.theta)
        n, exact = len(matrix), float(matrix.trace())

        def product(vectors: Tensor, _: Tensor) -> Tensor:
            return vectors @ matrix

        found = [estimate_trace(product, number_from(n, seed), 1, matrix) for seed in range(100)]
        errors = torch.cat([each.value for each in found]) - exact
        widths = torch.tensor([find_half_width(float(each.standard_error), each.probes) for each in found])
        assert int((errors.abs() <= widths).sum()) >= 88
        assert abs(float(errors.mean())) < 3 * float(errors.std()) / 10
        said = torch.cat([each.standard_error for each in found]).square().mean().sqrt()
        assert 0.7 < float(said / errors.square().mean().sqrt()) < 1.4, "the error is neither over- nor understated"

    def test_is_exact_where_the_sketch_spans_the_matrix(self) -> None:
        matrices = [turned([5.0, -2.0, 1.0, *([0.0] * 47)], seed) for seed in range(2)]
        low = estimate_trace(Counted(*matrices), number_from(50), 2, matrices[0], sketch=6, probes=4)
        torch.testing.assert_close(low.value, torch.full((2,), 4.0, dtype=torch.float64))
        assert (low.standard_error < 1e-12).all()
        small = turned([5.0, -2.0, 1.0])
        whole = estimate_trace(Counted(small), number_from(3), 1, small)
        assert float(whole.value) == pytest.approx(4.0)
        assert abs(float(whole.value) - 4.0) <= float(whole.standard_error) < 1e-12, "what rounding amounts to"
        assert whole.probes == 0

    def test_of_a_product_that_is_not_finite_is_unknown_beside_others(self) -> None:
        good = turned(BULK)
        bad = good.clone()
        bad[3, 3] = torch.nan
        found = estimate_trace(Counted(good, bad, good), number_from(40), 3, good)
        alone: Trace = estimate_trace(Counted(good), number_from(40), 1, good)
        assert found.value.isnan().tolist() == found.standard_error.isnan().tolist() == [False, True, False]
        torch.testing.assert_close(found.value[[0, 2]], alone.value.expand(2))
