"""Products with second-order operators are right, or what makes them wrong is named: losses, layers, casts."""

from __future__ import annotations

import copy
import re
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jacrev

import lossatlas as la
from lossatlas.engine.second_order.comparison import HessianProducts, sample_direction
from lossatlas.errors import BadInput, Caution

ROWS = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(20) % 5


def make_network(*inside: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), *(inside or (nn.Tanh(),)), nn.Linear(8, 5))


def surveyed(
    module: nn.Module,
    metric: str = "hessian_max",
    loss: la.Loss | None = None,
    tolerance: float = 1e-3,
    buffers: la.BuffersPolicy | None = None,
) -> la.Survey:
    """A survey of a metric of curvature at the network itself, in its own precision."""
    start = torch.nn.utils.parameters_to_vector(module.parameters()).detach()
    chart = la.Plane(start, torch.eye(1, len(start)).to(start))
    problem = la.Problem(module, loss or la.CrossEntropy())
    return la.survey(
        chart, {"u": np.zeros(1)}, problem, {"test": (ROWS.to(start), LABELS)}, metrics=[metric], plan="loop",
        curvature=la.CurvatureSettings(tolerance=tolerance), buffers=buffers,
    )  # fmt: skip


def focal(outputs: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy with a factor, without the gradient of that factor."""
    losses = nn.functional.cross_entropy(outputs, labels, reduction="none")
    return (1 - (-losses).exp().detach()) ** 2 * losses


class Gated(nn.Module):
    """A layer whose gate has no gradient."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x.detach().sigmoid()


class TestWhatIsNamed:
    @pytest.mark.parametrize("metric", ["hessian_max", "ggn_max"])
    def test_a_loss_with_a_cut_in_its_graph_is_named_and_no_layer(self, metric: str) -> None:
        with pytest.raises(BadInput, match=r"^the loss PerExample\(.*focal\) has no correct second .*detach") as caught:
            surveyed(make_network(), metric, la.PerExample(focal))
        assert "\n" not in str(caught.value)

    def test_so_is_one_that_calls_the_network(self) -> None:
        loss = la.NetworkLoss(lambda network, batch: focal(network(batch[0]), batch[1]))
        with pytest.raises(BadInput, match=r"^the loss NetworkLoss\(.*\) has no correct second derivatives"):
            surveyed(make_network(), loss=loss)

    @pytest.mark.parametrize(("metric", "called"), [("hessian_max", False), ("ggn_max", False), ("hessian_max", True)])
    def test_a_layer_with_a_cut_is_named_and_not_the_loss(self, metric: str, called: bool) -> None:
        def judge(outputs: Tensor, labels: Tensor) -> Tensor:
            return nn.functional.cross_entropy(outputs, labels, reduction="none")

        own = la.PerExample(judge, classifies=True)
        loss = la.NetworkLoss(lambda network, batch: judge(network(batch[0]), batch[1])) if called else own
        with pytest.raises(BadInput, match=r"^layer '1' \(Gated\) has no correct second derivatives"):
            surveyed(make_network(Gated()), metric, loss)

    def test_where_both_have_one_the_loss_is_named_first(self) -> None:
        with pytest.raises(BadInput, match=r"^the loss PerExample"):
            surveyed(make_network(Gated()), loss=la.PerExample(focal))

    def test_a_loss_that_is_whole_is_not_refused(self) -> None:
        def whole(outputs: Tensor, labels: Tensor) -> Tensor:
            losses = nn.functional.cross_entropy(outputs, labels, reduction="none")
            return (1 - (-losses).exp()) ** 2 * losses

        assert np.isfinite(surveyed(make_network(), loss=la.PerExample(whole))["test_hessian_max"]).all()


class Autocast(nn.Module):
    """A network that enters autocast by itself."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            outputs: Tensor = self.inside(x)
        return outputs.to(x.dtype)


class Cast(nn.Module):
    """A layer in numbers of its own: by a cast, by a function that is told so, or by writing into a buffer."""

    def __init__(self, dtype: torch.dtype, way: str = "to") -> None:
        super().__init__()
        self.dtype, self.way = dtype, way

    def forward(self, x: Tensor) -> Tensor:
        if self.way == "method":
            return {torch.float16: x.half, torch.bfloat16: x.bfloat16}[self.dtype]().tanh().to(x.dtype)
        if self.way == "softmax":
            return torch.softmax(x, dim=-1, dtype=self.dtype).to(x.dtype)
        if self.way == "buffer":
            return torch.empty(x.shape, dtype=self.dtype).copy_(x).tanh().to(x.dtype)
        return x.to(self.dtype).tanh().to(x.dtype)


def find_spectrum(module: nn.Module) -> Tensor:
    """All eigenvalues of the Hessian, ascending, from a dense one in float64, which autocast leaves alone."""
    module = copy.deepcopy(module).double()
    own = {name: value.detach() for name, value in module.named_parameters()}

    def mean_loss(flat: Tensor) -> Tensor:
        parts = flat.split([value.numel() for value in own.values()])
        point = {name: part.view_as(own[name]) for name, part in zip(own, parts, strict=True)}
        return nn.functional.cross_entropy(functional_call(module, point, ROWS.double()), LABELS)

    return torch.linalg.eigvalsh(jacrev(grad(mean_loss))(torch.cat([value.flatten() for value in own.values()])))


def read_caution(said: pytest.WarningsRecorder, formats: str) -> tuple[float, float]:
    """What a single warning says that products and eigenvalues are off by."""
    (line,) = (str(each.message) for each in said)
    found = re.search(
        rf"computes in {formats} .* is off by ([\d.e-]+) of its size, .* by ([\d.e-]+) of the largest", line
    )
    assert found is not None, line
    return float(found[1]), float(found[2])


class TestNumbersOfFewBits:
    def test_under_autocast_the_error_is_told_and_residuals_are_not_below_it(self) -> None:
        module = Autocast(make_network())
        with pytest.warns(Caution) as said:
            found = surveyed(module, tolerance=1e-5)
        share, limit = read_caution(said, "bfloat16")
        largest = float(find_spectrum(module)[-1])
        error = abs(float(found["test_hessian_max"][0]) - largest)
        assert 1e-4 * largest < error < float(found["test_hessian_max_residual"][0])
        assert float(found["test_hessian_max_residual"][0]) == pytest.approx(limit * largest, rel=0.02)
        assert 1e-3 < share < 0.05

    @pytest.mark.parametrize("way", ["to", "method", "softmax", "buffer"])
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_so_is_that_of_casts(self, dtype: torch.dtype, way: str) -> None:
        with pytest.warns(Caution) as said:
            surveyed(make_network(Cast(dtype, way)))
        share, limit = read_caution(said, str(dtype).removeprefix("torch."))
        eps = torch.finfo(dtype).eps
        assert eps / 50 < share < 10 * eps
        assert limit == pytest.approx(max(eps, share), rel=0.05)

    def test_the_error_told_is_that_of_a_product(self) -> None:
        """Of layers that differ in a cast alone, which the one in 64 bits is without."""
        narrow, wide = (make_network(Cast(dtype)) for dtype in (torch.bfloat16, torch.float64))
        batch = ROWS[[0, 19]], LABELS[[0, 19]]
        products = []
        for module, kind in ((narrow, torch.float32), (wide.double(), torch.float64)):
            point = {name: value.detach() for name, value in sorted(module.named_parameters())}

            def judge(outputs: Tensor) -> Tensor:
                return nn.functional.cross_entropy(outputs, batch[1], reduction="sum")

            operator = HessianProducts(
                lambda leaves, m=module, k=kind: functional_call(m, leaves, batch[0].to(k)), judge
            )
            product = operator.multiply(point, sample_direction(point, 0))
            products.append(torch.cat([product[name].flatten().double() for name in point]))
        error = float((products[0] - products[1]).norm() / products[1].norm())
        with pytest.warns(Caution) as said:
            surveyed(narrow)
        assert read_caution(said, "bfloat16")[0] == pytest.approx(error, rel=0.05)

    def test_nothing_is_told_where_products_have_all_their_bits(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            surveyed(make_network(Cast(torch.float32)))
            surveyed(Autocast(make_network()).double())

    def test_of_networks_in_64_bits_casts_to_32_are_told(self) -> None:
        with pytest.warns(Caution) as said:
            surveyed(make_network(Cast(torch.float32)).double(), "ggn_max")
        share, _ = read_caution(said, "float32")
        assert 1e-9 < share < 1e-6

    def test_a_cut_in_a_layer_that_casts_is_found(self) -> None:
        class Cut(Cast):
            def forward(self, x: Tensor) -> Tensor:
                return x * super().forward(x).detach()

        with pytest.raises(BadInput, match=r"^layer '1' \(Cut\) has no correct second derivatives"):
            surveyed(make_network(Cut(torch.bfloat16)))


class TestStatistics:
    @pytest.mark.parametrize("metric", ["hessian_max", "gradient_norm"])
    @pytest.mark.parametrize("policy", ["reestimated", "interpolated"])
    def test_that_they_are_held_fixed_is_told_once(self, policy: str, metric: str) -> None:
        networks = [make_network(nn.BatchNorm1d(8)).eval() for _ in range(2)]
        networks[1][0].weight.data += 0.1
        buffers = la.InterpolatedStatistics() if policy == "interpolated" else la.ReestimatedStatistics((ROWS, LABELS))
        with pytest.warns(Caution) as said:
            la.survey(
                la.Simplex.between(networks), {"u": np.array([0.0, 0.5])}, la.Problem(networks[0], la.CrossEntropy()),
                {"test": (ROWS, LABELS)}, metrics=[metric], plan="loop", buffers=buffers,
            )  # fmt: skip
        (line,) = (str(each.message) for each in said)
        assert line.startswith("derivatives hold the statistics of normalisation of each point fixed")
        assert policy in line

    def test_nothing_is_told_of_those_of_the_network_or_where_there_are_none(self) -> None:
        module = make_network()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            surveyed(make_network(nn.BatchNorm1d(8)).eval())
            surveyed(module, buffers=la.ReestimatedStatistics((ROWS, LABELS)))

    @pytest.mark.parametrize(
        ("tracks", "way"), [(True, r"\(--buffers frozen\)"), (False, r"\(track_running_stats=True\)")]
    )
    def test_those_of_the_batch_are_refused_with_a_way_that_is_right(self, tracks: bool, way: str) -> None:
        module = make_network(nn.BatchNorm1d(8, track_running_stats=tracks)).eval()
        with pytest.raises(BadInput, match=rf"^the hessian is not that of the split: [^(]*{way}$"):
            surveyed(module, buffers=la.BatchStatistics())


class Centred(nn.Module):
    """Subtracts the mean of the batch, by hand."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(dim=0, keepdim=True)


class Attending(nn.Module):
    """Attention of the examples of a batch to each other."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(x @ x.T, dim=-1) @ x


class TestExamplesThatMix:
    WHOLE = (ROWS, LABELS)

    @staticmethod
    def _survey(module: nn.Module, splits: dict[str, la.Split], together: int) -> la.Survey:
        start = torch.nn.utils.parameters_to_vector(module.parameters()).detach()
        chart, problem = la.Plane(start, torch.eye(1, len(start))), la.Problem(module, la.CrossEntropy())
        return la.survey(
            chart, {"u": np.zeros(1)}, problem, splits,
            metrics=["hessian_max"], plan="loop", eval_batch_size=together,
            curvature=la.CurvatureSettings(tolerance=1e-5),
        )  # fmt: skip

    @pytest.mark.parametrize("layer", [Centred, Attending])
    def test_all_together_have_the_hessian_of_their_loss(self, layer: type[nn.Module]) -> None:
        module = make_network(nn.Tanh(), layer())
        found = self._survey(module, {"all": la.Split(self.WHOLE)}, together=20)
        np.testing.assert_allclose(found["all_hessian_max"][0], float(find_spectrum(module)[-1]), rtol=1e-4)

    @pytest.mark.parametrize("layer", [Centred, Attending])
    def test_in_groups_they_are_told_of_once(self, layer: type[nn.Module]) -> None:
        """Also where the first of several splits is a single group."""
        module = make_network(nn.Tanh(), layer())
        few = la.Split((ROWS[:7], LABELS[:7]))
        for splits in ({"all": la.Split(self.WHOLE)}, {"few": few, "all": la.Split(self.WHOLE)}):
            with pytest.warns(Caution) as said:
                self._survey(module, splits, together=7)
            (line,) = (str(each.message) for each in said)
            assert line.startswith(
                "the loss of an example depends on which others are evaluated with it (eval_batch_size)"
            )

    @pytest.mark.parametrize("layer", [Centred, Attending])
    def test_curvature_of_a_random_subset_does_not_stand_for_that_of_all(self, layer: type[nn.Module]) -> None:
        problem = la.Problem(make_network(nn.Tanh(), layer()), la.CrossEntropy())
        with pytest.warns(Caution) as said:
            la.curvature(problem, self.WHOLE, examples=10, probes=0, top=1, bottom=1)
        (line,) = (str(each.message) for each in said)
        assert "curvature on a random subset does not stand for that on all examples" in line
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            la.curvature(problem, self.WHOLE, examples="all", probes=0, top=1, bottom=1)
            apart = la.Problem(make_network(), la.CrossEntropy())
            la.curvature(apart, self.WHOLE, examples=10, probes=0, top=1, bottom=1)
