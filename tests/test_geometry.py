"""Weight space, Gram-Schmidt and the plane."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings, strategies as st
from networks import NETWORKS, Tied, make
from safetensors.torch import save
from torch import nn

import lossatlas as la
from lossatlas.charts import encode_chart
from lossatlas.linalg import combine, form_gram, gram_schmidt
from lossatlas.weights import INITIALISERS, Role
from lossatlas.weights.files import load_state, read_state
from lossatlas.weights.mixing import SparseShares


def vectors(d: int, n: int, seed: int) -> torch.Tensor:
    return torch.randn(d, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class TestGramSchmidt:
    @settings(deadline=None, max_examples=30)
    @given(d=st.integers(1, 5), extra=st.integers(0, 20), seed=st.integers(0, 10**6), log_noise=st.floats(-7, 0))
    def test_orthogonal_and_of_equal_length_also_for_nearly_parallel_vectors(
        self, d: int, extra: int, seed: int, log_noise: float
    ) -> None:
        common = vectors(1, d + extra, seed)
        made = gram_schmidt(common + 10**log_noise * vectors(d, d + extra, seed + 1))
        gram = made @ made.T / made[0].square().sum()
        torch.testing.assert_close(gram, torch.eye(d, dtype=torch.float64), rtol=0, atol=1e-13)

    @settings(deadline=None, max_examples=30)
    @given(factors=st.tuples(*[st.floats(1e-3, 1e3)] * 3), seed=st.integers(0, 10**6))
    def test_followers_may_be_scaled_and_the_leader_scales_all(self, factors: tuple[float, ...], seed: int) -> None:
        raw = vectors(3, 9, seed)
        scaled = raw * torch.tensor(factors, dtype=torch.float64)[:, None]
        torch.testing.assert_close(gram_schmidt(scaled), factors[0] * gram_schmidt(raw), rtol=1e-9, atol=1e-12)

    def test_equation_2_for_two_vectors(self) -> None:
        up, right = vectors(2, 6, 3)
        hat = right - (right @ up) / (up @ up) * up
        expected = torch.stack([up, up.norm() / hat.norm() * hat])
        torch.testing.assert_close(gram_schmidt(torch.stack([up, right])), expected)

    def test_order_says_who_leads(self) -> None:
        raw = vectors(2, 6, 3)
        torch.testing.assert_close(gram_schmidt(raw, (1, 0)), gram_schmidt(raw.flip(0)).flip(0))

    def test_gradient_is_that_of_finite_differences(self) -> None:
        raw = vectors(3, 5, 8).requires_grad_()
        assert torch.autograd.gradcheck(lambda x: gram_schmidt(x, (2, 0, 1)), raw)

    @pytest.mark.parametrize("rows", [[[1.0, 0, 0], [2.0, 0, 0]], [[0.0, 0, 0], [1.0, 0, 0]]])
    def test_dependent_vectors_are_refused(self, rows: list[list[float]]) -> None:
        with pytest.raises(la.BadInput, match=r"direction \d is zero or lies in the span"):
            gram_schmidt(torch.tensor(rows))

    def test_float32_is_orthogonal_to_its_rounding(self) -> None:
        raw = (vectors(1, 10_000, 0) + 1e-4 * vectors(3, 10_000, 1)).float()
        made = gram_schmidt(raw).double()
        gram = made @ made.T / made[0].square().sum()
        assert float((gram - torch.eye(3)).abs().max()) < 1e-6


class TestPlane:
    @pytest.mark.parametrize("axes", [1, 2, 3, 5])
    def test_coords_of_inverts_points(self, axes: int) -> None:
        chart = la.Plane(vectors(1, 30, 0)[0], vectors(axes, 30, 1), 2.5)
        coords = vectors(11, axes, 2)
        torch.testing.assert_close(chart.coords_of(chart.points(coords)), coords)
        assert len(chart.axes) == len(set(chart.axes)) == axes

    def test_equation_1(self) -> None:
        chart = la.Plane(vectors(1, 7, 0)[0], vectors(2, 7, 1), 0.5)
        origin, right, up = chart.controls()
        torch.testing.assert_close(up, 0.5 * chart.directions[1])  # up leads, as in the paper
        expected = origin + 3 * right - 2 * up
        torch.testing.assert_close(chart.points(torch.tensor([[3.0, -2.0]], dtype=torch.float64))[0], expected)

    def test_scale_stretches_the_frame_alone(self) -> None:
        small, large = (la.Plane(vectors(1, 7, 0)[0], vectors(2, 7, 1), s) for s in (1.0, 3.0))
        torch.testing.assert_close(large.controls()[0], small.controls()[0])
        torch.testing.assert_close(large.controls()[1:], 3 * small.controls()[1:])

    def test_around_a_checkpoint_the_origin_is_held(self) -> None:
        module = make("mlp")[0].module
        own = la.WeightSpace(module).vector_of(module)
        chart = la.Plane.random(module, initialiser=la.Xavier(), origin=own, train_origin=False)
        assert torch.equal(chart.points(torch.zeros(1, 2, dtype=own.dtype))[0], own)
        assert not chart.origin.requires_grad
        assert chart.directions.requires_grad

    @pytest.mark.parametrize(
        ("origin", "directions"), [((5,), (2, 4)), ((5,), (6, 5)), ((5, 1), (1, 5)), ((5,), (0, 5))]
    )
    def test_shapes_that_do_not_fit_are_refused(self, origin: tuple[int, ...], directions: tuple[int, ...]) -> None:
        with pytest.raises(la.BadInput, match="a plane"):
            la.Plane(torch.ones(origin), torch.ones(directions))

    def test_the_fingerprint_tells_charts_apart(self) -> None:
        raw = vectors(1, 7, 0)[0], vectors(2, 7, 1)
        one, two, three = la.Plane(*raw, 1.0), la.Plane(*raw, 3.0), la.Plane(*raw, 1.0, order=(0, 1))
        assert one.fingerprint() == copy.deepcopy(one).fingerprint()
        assert len({one.fingerprint(), two.fingerprint(), three.fingerprint()}) == 3

    def test_a_file_keeps_the_chart(self, tmp_path) -> None:
        chart = la.Plane(vectors(1, 7, 0)[0], vectors(2, 7, 1), 3.0, order=(0, 1))
        (tmp_path / "chart.safetensors").write_bytes(encode_chart(chart))
        again = la.load_chart(tmp_path / "chart.safetensors")
        assert again.fingerprint() == chart.fingerprint()
        assert torch.equal(again.controls(), chart.controls())
        (tmp_path / "chart.safetensors").write_bytes(b"nothing")
        with pytest.raises(la.BadInput, match="holds no chart"):
            la.load_chart(tmp_path / "chart.safetensors")


class TestWeightSpace:
    def test_combine_fold_and_along_are_products_with_whole_vectors(self) -> None:
        space = la.WeightSpace(make("conv")[0].module)
        controls, coefficients = vectors(3, space.size, 0), vectors(5, 3, 1)
        params = space.combine(coefficients, controls)
        torch.testing.assert_close(space.stack(params), coefficients @ controls)
        into = vectors(3, space.size, 2)
        expected = into + coefficients.T @ space.stack(params)
        space.fold(params, coefficients, into)
        torch.testing.assert_close(into, expected)
        torch.testing.assert_close(space.along(params, controls), coefficients @ controls @ controls.T)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_sparse_coefficients_mix_and_fold_as_dense_ones_do(self, dtype: torch.dtype) -> None:
        """Also with a point that touches nothing, and with parameters that have no gradient."""
        space = la.WeightSpace(make("conv")[0].module)
        spline = la.Spline(torch.zeros(130, 1), net=(10, 13), degree=(2, 2))
        shares = spline.coefficients(
            torch.rand(17, 2, dtype=dtype, generator=torch.Generator().manual_seed(0)) * 2.4 - 1.2
        )
        shares = torch.cat([shares, shares.new_zeros(1, 130)])
        controls, into = vectors(130, space.size, 0).to(dtype), vectors(130, space.size, 2).to(dtype)
        assert SparseShares.of(shares, controls) is not None
        params = space.combine(shares, controls)
        assert all(value.is_contiguous() and value.dtype == dtype for value in params.values())
        torch.testing.assert_close(space.stack(params), shares @ controls)
        again = space.combine(shares, controls)
        assert all(torch.equal(again[name], value) for name, value in params.items())
        for left_out in (set(), {space.entries[1].name, space.entries[-1].name}):
            given = {name: value for name, value in params.items() if name not in left_out}
            all_of_them = {name: value * (name in given) for name, value in params.items()}
            found, expected = into.clone(), into + shares.T @ space.stack(all_of_them)
            space.fold(given, shares, found)
            torch.testing.assert_close(found, expected)

    def test_a_control_that_no_point_touches_spoils_none(self) -> None:
        space = la.WeightSpace(make("conv")[0].module)
        shares = torch.eye(16, dtype=torch.float64)[:3]
        controls = vectors(16, space.size, 0)
        controls[5] = math.nan
        assert torch.equal(space.stack(space.combine(shares, controls)), controls[:3])
        controls[1] = math.inf
        assert space.stack(space.combine(shares, controls)).isinf().all(dim=1).tolist() == [False, True, False]

    def test_dense_coefficients_and_recorded_gradients_go_through_dense_products(self) -> None:
        space = la.WeightSpace(make("conv")[0].module)
        controls, dense = vectors(25, space.size, 0), vectors(4, 25, 1)
        product = space.combine(dense, controls)
        assert all(torch.equal(product[e.name].flatten(1), dense @ controls[:, e.slice]) for e in space.entries)
        plane = vectors(4, 3, 1) * torch.tensor([1.0, 0.0, 0.0])
        assert SparseShares.of(plane, controls[:3]) is None, "counting would cost more than it saves"
        shares = torch.eye(25, dtype=torch.float64)[:4].requires_grad_()
        mixed = space.combine(shares, controls)
        torch.stack([value.sum() for value in mixed.values()]).sum().backward()
        torch.testing.assert_close(shares.grad, controls.sum(dim=1).expand(4, 25))

    @pytest.mark.parametrize("name", NETWORKS)
    def test_unflatten_inverts_flatten(self, name: str) -> None:
        module = make(name)[0].module
        space = la.WeightSpace(module)
        vector = space.vector_of(module)
        assert vector.shape == (space.size,)
        named = space.unflatten(vector)
        for key, value in named.items():
            assert torch.equal(value, module.get_parameter(key))
        assert torch.equal(space.flatten(named), vector)
        stack = space.unflatten(torch.stack([vector, 2 * vector]))
        assert all(torch.equal(stack[key][1], 2 * named[key]) for key in named)

    def test_tied_parameters_count_once_under_any_of_their_names(self) -> None:
        module = Tied()
        space = la.WeightSpace(module)
        assert space.size == 7 * 5 + 5 * 5 + 5
        assert space.entries[0].names == ("embedding.weight", "head.weight")
        params = dict(module.named_parameters(remove_duplicate=False))
        del params["embedding.weight"]
        assert torch.equal(space.flatten(params), space.vector_of(module))
        assert la.WeightSpace(module, ["head.*"]).size == 35

    def test_a_subset_holds_the_others_fixed(self) -> None:
        problem, split = make("mlp")
        space = la.WeightSpace(problem.module, ["5.*"])
        chart = la.Plane.random(problem.module, initialiser=la.Xavier(), space=space)
        before = copy.deepcopy(problem.module)
        la.fit(chart, la.Pattern(la.picture("heart", 8)), problem, split, space=space, steps=2, plan="loop")
        assert space.size == 5 * 4 + 4
        for old, new in zip(before.parameters(), problem.module.parameters(), strict=True):
            assert torch.equal(old, new)
        with pytest.raises(la.BadInput, match=r"no parameters match nothing; the module's are: 1\.bias"):
            la.WeightSpace(problem.module, ["nothing"])

    def test_filters_are_slices_of_dimension_0(self) -> None:
        module = make("conv")[0].module
        space = la.WeightSpace(module)
        norms = space.filter_norms(space.vector_of(module))
        for key, parameter in module.named_parameters():
            expected = parameter.detach().reshape(len(parameter), -1).norm(dim=1)
            torch.testing.assert_close(norms[key], expected)

    def test_a_wrong_shape_is_named(self) -> None:
        module = nn.Linear(3, 2)
        with pytest.raises(la.BadInput, match=r"'weight' has shape \(3, 2\); the model's is \(2, 3\)"):
            la.WeightSpace(module).flatten({"weight": torch.zeros(3, 2), "bias": torch.zeros(2)})


class TestInitialisers:
    def draw(self, name: str, module: nn.Module, role: Role, seed: int = 0) -> dict[str, torch.Tensor]:
        space = la.WeightSpace(module)
        generator = torch.Generator().manual_seed(seed)
        return space.unflatten(INITIALISERS[name]().sample(module, space, role, generator))

    def test_xavier_has_glorots_bound_and_zero_biases(self) -> None:
        module = nn.Sequential(nn.Linear(300, 100), nn.Conv2d(4, 6, 3))
        drawn = self.draw("xavier", module, Role.ORIGIN)
        for key, bound in (("0.weight", math.sqrt(6 / 400)), ("1.weight", math.sqrt(6 / (9 * 10)))):
            assert float(drawn[key].abs().max()) <= bound
            assert float(drawn[key].std()) == pytest.approx(bound / math.sqrt(3), rel=0.1)
        assert not drawn["0.bias"].any()

    @pytest.mark.parametrize("name", INITIALISERS)
    def test_normalisation_scales_are_those_of_appendix_c(self, name: str) -> None:
        module = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(4000))
        origin = self.draw(name, module, Role.ORIGIN)["1.weight"]
        direction = self.draw(name, module, Role.DIRECTION)["1.weight"]
        assert float(origin.min()) >= 0
        assert float(origin.mean()) == pytest.approx(0.5, abs=0.03)
        assert float(direction.mean()) == pytest.approx(0.0, abs=0.03)
        assert float(direction.min()) < -0.45

    @pytest.mark.parametrize("name", INITIALISERS)
    def test_seeded_and_without_a_trace(self, name: str) -> None:
        module = make("conv")[0].module
        before = copy.deepcopy(module.state_dict())
        state = torch.random.get_rng_state()
        one, again, other = (self.draw(name, module, Role.DIRECTION, seed) for seed in (1, 1, 2))
        assert all(torch.equal(one[key], again[key]) for key in one)
        assert any(not torch.equal(one[key], other[key]) for key in one)
        assert torch.equal(torch.random.get_rng_state(), state)
        assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())

    def test_the_modules_own_needs_reset_parameters(self) -> None:
        class Custom(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.gate = nn.Parameter(torch.ones(3))

        with pytest.raises(la.BadInput, match="'gate' belongs to Custom, which has no reset_parameters"):
            self.draw("module", Custom(), Role.ORIGIN)


class TestFiles:
    def test_round_trip_through_torch_and_nested_checkpoints(self, tmp_path) -> None:
        module = make("batch_norm")[0].module
        torch.save({"epoch": 3, "state_dict": module.state_dict()}, tmp_path / "a.pt")
        fresh = copy.deepcopy(module)
        for p in fresh.parameters():
            p.data.zero_()
        load_state(fresh, read_state(tmp_path / "a.pt"), "a.pt")
        assert all(torch.equal(a, b) for a, b in zip(module.parameters(), fresh.parameters(), strict=True))

    def test_the_first_difference_is_named_and_nothing_is_loaded(self) -> None:
        module, other = nn.Linear(3, 2), nn.Linear(4, 2)
        before = module.weight.clone()
        with pytest.raises(la.BadInput, match=r"'weight' has shape \(2, 4\) there and has shape \(2, 3\) in the model"):
            load_state(module, other.state_dict(), "x.pt")
        assert torch.equal(module.weight, before)


def test_parameter_counts_of_the_papers_networks() -> None:
    def count(**options: object) -> int:
        return sum(p.numel() for p in la.Conv(**options).build((1, 28, 28), 10).parameters())

    study = (8, 8, 32, 32, 64, 64)
    assert count() == 153_402
    assert count(channels=study, max_pool=False) == 200_162
    assert count(channels=study, max_pool=False, batch_norm=True) == 200_578


@pytest.mark.parametrize(("depth", "size"), [(20, 269_722), (56, 853_018), (110, 1_727_962)])
@pytest.mark.parametrize("shortcuts", [True, False])
def test_resnets_have_the_papers_numbers_of_parameters(depth: int, size: int, shortcuts: bool) -> None:
    """0.27M, 0.85M and 1.7M in table 6 of He et al. 2016; their shortcuts have none."""
    module = la.ResNet(depth=depth, shortcuts=shortcuts).build((3, 32, 32), 10)
    assert la.WeightSpace(module).size == size


def test_a_resnet_block_without_weights_is_its_shortcut() -> None:
    module = la.ResNet(depth=8, width=2).build((2, 8, 8), 3)
    images = torch.rand(4, 2, 8, 8)
    for block in (module[3], module[4]):
        for part in (block.convolution_1, block.convolution_2):
            nn.init.zeros_(part.weight)
    assert torch.equal(module[3](images), images)
    halved = module[4](images)
    assert torch.equal(halved[:, :2], images[:, :, ::2, ::2])
    assert torch.equal(halved[:, 2:], torch.zeros(4, 2, 4, 4))


@pytest.mark.parametrize("depth", [0, 2, 21, -4])
def test_resnet_refuses_depths_that_are_none_of_its_own(depth: int) -> None:
    with pytest.raises(la.BadInput, match=rf"depth is {depth}; expected 6 n \+ 2, such as 20"):
        la.ResNet(depth=depth).build((3, 8, 8), 10)


def test_conv_refuses_images_that_are_too_small() -> None:
    with pytest.raises(la.BadInput, match="images of 4x4 are too small"):
        la.Conv().build((1, 4, 4), 10)


class TestCorners:
    """The chart of the multi-point paper's code."""

    def chart(self, anchor: tuple[float, ...] = (0.0, 0.0)) -> la.Corners:
        generator = torch.Generator().manual_seed(4)
        origin, corner, up = torch.randn(3, 9, generator=generator, dtype=torch.float64)
        return la.Corners(origin, corner, up[None], scale=0.3, anchor=anchor)

    def test_right_leads_from_the_origin_to_the_corner_and_up_is_made_orthogonal(self) -> None:
        chart = self.chart()
        origin, right, up = chart.controls().detach()
        torch.testing.assert_close(right, 0.3 * (chart.corner - chart.origin).detach())
        assert float(right @ up) == pytest.approx(0, abs=1e-12)
        assert float(up.norm()) == pytest.approx(float(right.norm()))
        # up is made of the raw direction and right alone
        basis = torch.stack([right, chart.others[0].detach()])
        residual = up - torch.linalg.lstsq(basis.T, up[:, None]).solution[:, 0] @ basis
        assert float(residual.norm()) == pytest.approx(0, abs=1e-12)
        torch.testing.assert_close(origin, chart.origin.detach())

    def test_a_step_of_the_corner_reaches_the_origin(self) -> None:
        chart = self.chart()
        chart.controls()[1].sum().backward()
        torch.testing.assert_close(chart.corner.grad, -chart.origin.grad)


@pytest.mark.parametrize("kind", [la.Plane, la.Corners])
def test_an_anchor_is_where_the_origin_lies(kind: type[la.Plane] | type[la.Corners], tmp_path: Path) -> None:
    module = la.MLP(hidden=(3,)).build((2,), 2).double()
    chart = kind.random(module, initialiser=la.ModuleDefault(), scale=0.7, seed=3, anchor=(-1.0, 0.25))
    centred = kind.random(module, initialiser=la.ModuleDefault(), scale=0.7, seed=3)
    coords = torch.tensor([[-1.0, 0.25], [0.0, 0.0], [0.4, -0.6]], dtype=torch.float64)
    points = chart.points(coords).detach()
    torch.testing.assert_close(points[0], chart.origin.detach())
    torch.testing.assert_close(points, centred.points(coords - torch.tensor([-1.0, 0.25])).detach())
    torch.testing.assert_close(chart.coords_of(points), coords)
    (tmp_path / "chart.safetensors").write_bytes(encode_chart(chart))
    loaded = la.load_chart(tmp_path / "chart.safetensors")
    assert type(loaded) is kind
    torch.testing.assert_close(loaded.points(coords), chart.points(coords))
    with pytest.raises(la.BadInput, match="has 1 coordinates; expected 2"):
        kind.random(module, initialiser=la.ModuleDefault(), anchor=(1.0,))


def test_a_simplex_has_its_networks_at_the_corners_and_weights_that_sum_to_one(tmp_path: Path) -> None:
    modules = [la.Conv(channels=(2,), hidden=3, batch_norm=True).build((1, 4, 4), 2) for _ in range(3)]
    chart = la.Simplex.between(modules)
    coords = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.3, -0.8]])
    space = la.WeightSpace(modules[0])
    points = chart.points(coords)
    for point, module in zip(points[:3], modules, strict=True):
        torch.testing.assert_close(point, space.vector_of(module))
    torch.testing.assert_close(chart.coefficients(coords).sum(dim=1), torch.ones(4))
    assert {name.rpartition(".")[2] for name in chart.statistics} == {"running_mean", "running_var"}
    (tmp_path / "chart.safetensors").write_bytes(encode_chart(chart))
    loaded = la.load_chart(tmp_path / "chart.safetensors")
    assert isinstance(loaded, la.Simplex)
    torch.testing.assert_close(loaded.statistics, chart.statistics)
    with pytest.raises(la.BadInput, match="at least 2 weight vectors"):
        la.Simplex(torch.zeros(1, 3))


def test_the_tensors_of_another_chart_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "chart.safetensors"
    chart = la.Plane(vectors(1, 5, 0)[0], vectors(2, 5, 1), 0.5)
    state = {name: value.detach().clone() for name, value in chart.state_dict().items()}
    whole = {"chart": "plane", "axes": ["u", "v"], "fitted_under": ""}
    for change, told, reason in (
        ({}, {"chart": "plan"}, "'plan' is not a chart"),
        ({}, {"chart": 3}, r"Expected `str`, got `int` - at `\$.chart`"),
        ({}, {"fitted_under": []}, "Expected `str`, got `array`"),
        ({}, {"chart": "slice"}, "its '(order|_centred)' is of type"),
        ({}, {"chart": "simplex"}, "its '(order|_centred)' is of type"),
        ({}, {"chart": "corners"}, "its 'order' is of type torch.int64"),
        ({"order": torch.tensor([0, 7])}, {}, "is not a permutation"),
        ({"order": torch.tensor([0.0, 1.0])}, {}, "order"),
        ({"origin": torch.ones(5, dtype=torch.int64)}, {}, "its 'origin' is of type torch.int64"),
        ({"origin": torch.ones(5, dtype=torch.complex64)}, {}, "its 'origin' is of type torch.complex64"),
        ({"origin": torch.ones(4)}, {}, r"origin \(n,\) and directions"),
        ({"scale": torch.ones(2)}, {}, "its tensors are not those of a plane"),
        ({"odd": torch.ones(2)}, {}, "'odd' is unknown"),
    ):
        path.write_bytes(save({**state, **change}, {"lossatlas": json.dumps({**whole, **told})}))
        with pytest.raises(la.BadInput, match=f"holds no chart .*{reason}.*give the chart.safetensors") as caught:
            la.load_chart(path)
        assert "\n" not in str(caught.value)
    path.write_bytes(save(state))
    with pytest.raises(la.BadInput, match="it does not say which"):
        la.load_chart(path)


def test_the_papers_networks_have_their_published_numbers_of_parameters() -> None:
    """Skorokhodov & Burtsev 2019: the network of the pictures, and those of the BatchNorm study."""
    study = {"channels": (8, 8, 32, 32, 64, 64), "max_pool": False}
    sizes = [
        la.WeightSpace(la.Conv(**options).build((1, 28, 28), 10)).size
        for options in ({}, study, {**study, "skips": True}, {**study, "batch_norm": True})
    ]
    assert sizes == [153_402, 200_162, 200_162, 200_578]


def test_long_vectors_are_multiplied_and_mixed_slice_by_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossatlas.linalg.vectors.SLICE", 7)
    one, other = vectors(3, 40, 0).float(), vectors(2, 40, 1).float()
    rows = torch.cat([one, other]).double()
    torch.testing.assert_close(form_gram(one, other), rows @ rows.T, rtol=1e-14, atol=0)
    shares = vectors(4, 3, 2)
    mixed = combine(shares, one)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, (shares @ one.double()).float())
