"""Merged layers against the same layers one after the other."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

import lossatlas as la
from lossatlas.engine import BUFFERS
from lossatlas.engine.plan import Plan
from lossatlas.engine.sequential import merge_layers
from lossatlas.metrics import choose_metrics

RELU = nn.ReLU()
"""One that comes twice in a row of layers."""


def settled(channels: int) -> nn.BatchNorm2d:
    """A normalisation with statistics of its own, some scales negative."""
    norm = nn.BatchNorm2d(channels)
    with torch.no_grad():
        for tensor in (norm.running_mean, norm.weight, norm.bias):
            assert tensor is not None
            tensor.copy_(torch.randn(channels))
        assert norm.running_var is not None
        norm.running_var.copy_(torch.rand(channels) + 0.1)
    return norm


def bare_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, affine=False)


def of_the_batch(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, track_running_stats=False)


ROWS: dict[str, Callable[[], list[nn.Module]]] = {
    "relu": lambda: [nn.Conv2d(2, 4, 3), nn.ReLU()],
    "relu in place": lambda: [nn.Conv2d(2, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 3, 1)],
    "relu that comes twice": lambda: [nn.Conv2d(2, 4, 3), RELU, nn.Conv2d(4, 3, 3), RELU],
    "relu, maximum": lambda: [nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d(2)],
    "relu, relu": lambda: [nn.Conv2d(2, 4, 3), nn.ReLU(), nn.ReLU(), nn.Conv2d(4, 3, 1)],
    "relu, maximum, relu": lambda: [nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.ReLU(), nn.MaxPool2d(2)],
    "relu, maximum that is apart, relu": lambda: [
        nn.Conv2d(2, 4, 7),
        nn.ReLU(),
        nn.MaxPool2d(2, 1, padding=1, dilation=3),
        nn.ReLU(),
    ],
    "maximum, relu": lambda: [nn.Conv2d(2, 4, 3), nn.MaxPool2d(2), nn.ReLU()],
    "maximum of an odd side": lambda: [nn.Conv2d(2, 4, 4), nn.ReLU(), nn.MaxPool2d(2)],
    "maximum that rounds up": lambda: [nn.Conv2d(2, 4, 4), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)],
    "maximum that overlaps": lambda: [nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)],
    "maximum of what is apart": lambda: [nn.Conv2d(2, 4, 7), nn.ReLU(), nn.MaxPool2d(2, 1, padding=1, dilation=3)],
    "maximum over 2 x 1": lambda: [nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d((2, 1))],
    "normalisation": lambda: [nn.Conv2d(2, 4, 3), settled(4), nn.ReLU(), nn.MaxPool2d(2)],
    "normalisation without weights": lambda: [nn.Conv2d(2, 4, 3, bias=False), bare_norm(4), nn.ReLU()],
    "normalisation by the batch": lambda: [nn.Conv2d(2, 4, 3), of_the_batch(4), nn.ReLU()],
    "normalisation in front": lambda: [settled(2), nn.ReLU(), nn.Conv2d(2, 4, 3), nn.ReLU()],
    "nothing in between": lambda: [nn.Conv2d(2, 4, 3), nn.Identity(), settled(4), nn.Identity(), nn.ReLU()],
    "grouped, strided": lambda: [nn.Conv2d(2, 4, 3, 2, 1, groups=2), settled(4), nn.ReLU()],
    "reflecting": lambda: [nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect"), settled(4), nn.ReLU()],
    "named padding": lambda: [nn.Conv2d(2, 4, 3, padding="same"), nn.ReLU(), nn.MaxPool2d(2)],
    "rows of rows": lambda: [nn.Sequential(nn.Conv2d(2, 4, 3), settled(4)), nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))],
    "mean of parts": lambda: [nn.Conv2d(2, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d((4, 3))],
    "mean of parts, as many as rows": lambda: [nn.Conv2d(2, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d((None, 2))],
    "mean of more parts than places": lambda: [nn.Conv2d(2, 4, 7), nn.ReLU(), nn.AdaptiveAvgPool2d(5)],
    "mean": lambda: [nn.Conv2d(2, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1)],
    "others": lambda: [
        nn.Conv2d(2, 4, 3),
        nn.GELU(),
        nn.ReLU(),
        nn.Conv2d(4, 4, 2),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.ReLU(),
    ],
}


def row(name: str) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(*ROWS[name]()).double().eval()


def images(*shape: int) -> Tensor:
    return torch.randn(shape or (3, 2, 10, 10), dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ROWS)
class TestValues:
    def test_are_those_of_the_layers_one_after_the_other(self, name: str) -> None:
        module, x = row(name), images()
        found = merge_layers(module)
        assert found is not None
        kept = x.clone()
        with torch.no_grad():
            torch.testing.assert_close(found(x), module(x), rtol=1e-12, atol=1e-12)
            one = x[0]
            if not any(isinstance(part, nn.BatchNorm2d) for part in module.modules()):
                torch.testing.assert_close(found(one), module(one), rtol=1e-12, atol=1e-12)
        assert torch.equal(x, kept), "images stay as they are"

    def test_and_so_are_gradients_and_their_gradients(self, name: str) -> None:
        module, results = row(name), []
        twin = merge_layers(module)
        assert twin is not None
        for each in (module, twin):
            x = images().requires_grad_()
            params = [x, *each.parameters()]
            first = torch.autograd.grad(each(x).sin().sum(), params, create_graph=True)
            second = torch.autograd.grad(sum(g.square().sum() for g in first), params, allow_unused=True)
            results.append([g for g in (*first, *second) if g is not None])
        assert len(results[0]) == len(results[1]) > 2
        for found, wanted in zip(*results, strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e308])
    def test_and_what_is_not_a_number_stays_where_it_is(self, name: str, value: float) -> None:
        """A ReLU that turned NaN into 0 would hide that a network overflows."""
        module, x = row(name), images()
        x[0, 0, 4, 4] = value
        found = merge_layers(module)
        assert found is not None
        with torch.no_grad():
            torch.testing.assert_close(found(x), module(x), rtol=1e-9, atol=1e-9, equal_nan=True)


class Reads(nn.Module):
    """One that looks at what comes out of a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.row = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        features = self.row[0](x)
        return self.row[1](features) + features


class OfMyOwn(nn.Sequential):
    """One whose layers are called otherwise."""

    def forward(self, x: Tensor) -> Tensor:
        features = self[0](x)
        return self[1](features) + features


def hooked() -> nn.Module:
    module = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 1), nn.ReLU())
    module[0].register_forward_hook(lambda _, __, output: output + 1)
    module[1].register_forward_pre_hook(lambda _, given: (given[0] - 0.5,))
    return module


def hooked_around() -> nn.Module:
    inner = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU())
    inner.register_forward_hook(lambda _, __, output: output + 1)
    return nn.Sequential(inner, nn.MaxPool2d(2), nn.Conv2d(4, 4, 1), nn.ReLU())


def replaced() -> nn.Module:
    module = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU())
    module[1].forward = torch.tanh  # type: ignore[method-assign]
    return module


def normalised_weights() -> nn.Module:
    convolution = nn.utils.parametrizations.weight_norm(nn.Conv2d(2, 4, 3))
    return nn.Sequential(convolution, settled(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU())


class Residual(nn.Sequential):
    """One whose own forward pass adds something to that of its layers."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(super().forward(x) + 2 * x)


class Registered(nn.Sequential):
    """One that keeps a list of its kind."""

    kinds: ClassVar[list[type]] = []

    def __init_subclass__(cls) -> None:
        cls.kinds.append(cls)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + x


def own() -> nn.Module:
    return OfMyOwn(nn.Conv2d(2, 4, 3), nn.ReLU())


def residual() -> nn.Module:
    return nn.Sequential(Residual(nn.Conv2d(2, 4, 1), settled(4), nn.ReLU(), nn.Conv2d(4, 2, 1), settled(2)))


def registered() -> nn.Module:
    return nn.Sequential(Registered(nn.Conv2d(2, 2, 1), nn.ReLU()), nn.Conv2d(2, 2, 1), nn.ReLU())


@pytest.mark.parametrize(
    "build", [residual, registered, own, Reads, hooked, hooked_around, replaced, normalised_weights]
)
def test_what_somebody_has_changed_or_looks_at_is_called_as_it_is(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    module = build().double().eval()
    found, x = merge_layers(module), images()
    assert found is not None
    with torch.no_grad():
        torch.testing.assert_close(found(x), module(x))


def test_layers_of_a_subclass_are_merged_where_it_calls_them_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    module = residual().double().eval()
    found, called = merge_layers(module), []
    assert found is not None
    assert isinstance(found[0], Residual)
    for kind in (nn.BatchNorm2d, nn.ReLU):
        monkeypatch.setattr(kind, "forward", lambda self, x: called.append(type(self)) or x)
    with torch.no_grad():
        found(images())
        assert not called
        module(images())
        assert called == [nn.BatchNorm2d, nn.ReLU, nn.BatchNorm2d]


def test_who_keeps_a_list_of_subclasses_has_no_other_one() -> None:
    assert merge_layers(registered()) is not None
    assert not Registered.kinds


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Linear(3, 3), nn.ReLU()),
        nn.Sequential(nn.Conv2d(2, 4, 3), nn.GELU()),
        nn.Linear(2, 2),
    ],
)
def test_where_there_is_nothing_to_merge_nothing_is_copied(module: nn.Module) -> None:
    assert merge_layers(module) is None


def test_a_layer_that_is_missing_is_left_to_who_knows_of_it() -> None:
    class Patched(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            for layer in self:
                x = layer(x) if layer is not None else x
            return x

    inner = Patched(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    inner._modules["1"] = None
    module = nn.Sequential(inner, nn.Conv2d(4, 4, 3), nn.ReLU()).double().eval()
    found = merge_layers(module)
    assert found is not None
    with torch.no_grad():
        torch.testing.assert_close(found(images()), module(images()))
        torch.testing.assert_close(found(input=images()), module(input=images()))


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own rules for it use it
def test_forward_mode_goes_through() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2)).double()
    found = merge_layers(module)
    assert found is not None
    ours, theirs = (torch.func.jvp(each, (images(),), (torch.ones_like(images()),)) for each in (found, module))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(("weight", "scale"), [(1e200, 1e150), (1e200, float("inf"))])
def test_kernels_without_bound_are_not_made(weight: float, scale: float) -> None:
    """A zero image has zeros for them, and not NaN."""
    norm = nn.BatchNorm2d(4)
    module = nn.Sequential(nn.Conv2d(2, 4, 3, bias=False), norm, nn.ReLU()).double().eval()
    nn.init.constant_(module[0].weight, weight)
    nn.init.constant_(norm.weight, scale)
    found = merge_layers(module)
    assert found is not None
    with torch.no_grad():
        wanted = module(torch.zeros_like(images()))
        torch.testing.assert_close(found(torch.zeros_like(images())), wanted, rtol=0, atol=0, equal_nan=True)


class AsksForTypes(nn.Module):
    """One that is another function where its layers are of another type."""

    def __init__(self) -> None:
        super().__init__()
        self.row = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))
        self.block = Residual(nn.Conv2d(1, 1, 1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        y = self.row(self.block(x))
        plain = type(self.row) is nn.Sequential and type(self.block) is Residual
        return y if plain else y.detach() + 0.5 * (y - y.detach())


class Remembers(nn.Module):
    """One that keeps what it computed last, with its graph."""

    def __init__(self) -> None:
        super().__init__()
        self.row = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))
        self.last: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.last = self.row(x)
        return self.last


@pytest.mark.parametrize("strategy", ["loop", "threads", "auto"])
@pytest.mark.parametrize("build", [AsksForTypes, Remembers])
def test_networks_that_do_odd_things_have_the_gradients_that_they_have(build: type[nn.Module], strategy: str) -> None:
    torch.manual_seed(0)
    module = build().eval()
    problem, space = la.Problem(module, la.CrossEntropy()), la.WeightSpace(module)
    split = la.Split((torch.randn(20, 1, 8, 8), torch.arange(20) % 3))
    chart = la.Slice(space.vector_of(module), torch.randn(1, space.size))
    engine = la.engine_for(problem, chart, split, plan=strategy, measuring=0.05)
    coefficients = chart.coefficients(torch.tensor([[0.0], [0.1]]))
    _, derivatives = next(engine.derivatives(coefficients, chart.controls(), split, eval_batch_size=20))
    found = derivatives.gradient()[0]
    fresh = build().eval()
    fresh.load_state_dict(module.state_dict())
    loss = nn.functional.cross_entropy(fresh(split.data[0]), split.data[1])
    wanted = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, list(fresh.parameters()))])
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)
    assert (
        engine.evaluate(coefficients, chart.controls(), split, choose_metrics(problem.loss), 20)["loss"]
        .isfinite()
        .all()
    )


def test_names_and_the_module_itself_stay() -> None:
    module = nn.Sequential(OrderedDict(first=nn.Sequential(nn.Conv2d(2, 4, 3), settled(4), nn.ReLU())))
    before = copy.deepcopy(module.state_dict())
    found = merge_layers(module)
    assert found is not None
    assert type(module) is type(module[0]) is nn.Sequential
    assert list(found.state_dict()) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_windows_of_padding_alone_stay_what_torch_makes_of_them() -> None:
    """Minus infinity, which a ReLU behind the maximum would turn into 0."""
    module = nn.Sequential(nn.Conv2d(2, 4, 9), nn.ReLU(), nn.MaxPool2d(2, 1, padding=1, dilation=3)).double()
    found, x = merge_layers(module), images()
    assert found is not None
    with torch.no_grad():
        wanted = module(x)
        assert wanted.isinf().any()
        assert torch.equal(found(x), wanted)


def test_scales_without_bound_are_not_put_into_kernels() -> None:
    """Infinity times a zero of the image is NaN; the values between the layers are finite."""
    norm = settled(4)
    norm.eps = 0.0
    assert norm.running_var is not None
    norm.running_var[1] = 0.0
    module = nn.Sequential(nn.Conv2d(2, 4, 3), norm, nn.ReLU()).double().eval()
    found = merge_layers(module)
    x = images()
    x[:, :, :4] = 0.0
    assert found is not None
    with torch.no_grad():
        wanted = module(x)
        assert not wanted[:, 1].isnan().all()
        torch.testing.assert_close(found(x), wanted, rtol=0.0, atol=0.0, equal_nan=True)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("strategy", ["loop", "threads"])
@pytest.mark.parametrize("buffers", ["frozen", "batch"])
def test_the_engine_gives_what_a_newly_built_module_does(strategy: str, buffers: str, precision: str) -> None:
    """With the weights in place, layer after layer."""
    torch.manual_seed(0)

    def build() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(4, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 3),
        )  # fmt: skip

    module = build().eval()
    module[1] = settled(4)
    problem, space = la.Problem(module, la.CrossEntropy()), la.WeightSpace(module)
    split = la.Split((torch.randn(20, 1, 8, 8), torch.arange(20) % 3))
    chart = la.Slice(space.vector_of(module), 0.1 * torch.randn(2, space.size))
    plan = Plan.of(strategy, 4, precision=precision)
    engine = la.engine_for(problem, chart, split, buffers=BUFFERS[buffers](), plan=plan)
    coefficients = chart.coefficients(torch.tensor([[0.0, 0.0], [1.0, -0.5], [0.3, 2.0]]))
    found = engine.evaluate(coefficients, chart.controls(), split, choose_metrics(problem.loss), eval_batch_size=20)[
        "loss"
    ]
    wanted = []
    for point in coefficients @ chart.controls():
        fresh = build().eval()
        fresh.load_state_dict(module.state_dict())
        fresh.load_state_dict(space.unflatten(point), strict=False)
        fresh[1].train(buffers == "batch")
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            wanted.append(nn.functional.cross_entropy(fresh(split.data[0]).float(), split.data[1]))
    rtol = 1e-5 if precision == "fp32" else 2e-2
    torch.testing.assert_close(found, torch.stack(wanted).double(), rtol=rtol, atol=0.0)
