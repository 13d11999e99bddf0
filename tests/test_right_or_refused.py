"""Networks that reach their parameters in their own ways: right, or refused by name; against newly built modules."""

from __future__ import annotations

import sys
import warnings
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import lossatlas as la
from lossatlas.cli.main import main
from lossatlas.engine.plan import Plan, Service
from lossatlas.engine.purity import is_comparable
from lossatlas.engine.strategy import STRATEGIES

COORDS = np.array([-0.7, 0.0, 0.6])


def seeded(build: Callable[[], Any]) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build()


def rows(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def labels(count: int, classes: int = 3) -> Tensor:
    return torch.randint(classes, (count,), generator=torch.Generator().manual_seed(1))


def by_hand(build: Callable[[], nn.Module], chart: Any, of: Callable[[nn.Module], Tensor]) -> np.ndarray:
    """The values that ``of`` returns for newly built modules with the weights of each point."""
    values = []
    for point in chart.points(torch.from_numpy(COORDS)[:, None].to(chart.controls())):
        module = seeded(build).eval()
        named = la.WeightSpace(module).unflatten(point.detach())
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                parameter.copy_(named[name])
        values.append(float(of(module).detach()))
    return np.array(values)


def surveyed(module: nn.Module, data: Any, loss: Any = None, feed: Any = None, **options: Any) -> tuple[Any, Any]:
    chart = la.slice_around(module, ("random",), seed=3)
    problem = la.Problem(module, loss if loss is not None else la.CrossEntropy(), feed)
    return la.survey(chart, {"u": COORDS}, problem, {"t": data}, **{"plan": "loop", **options}), chart


class Body(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.relu(self.a(x)))


class Closure(Body):
    def __init__(self) -> None:
        super().__init__()
        self.body = lambda x: self.b(torch.relu(self.a(x)))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class HalfAClosure(Body):
    """One of two layers is reached so: the map is wrong and looks right."""

    def __init__(self) -> None:
        super().__init__()
        self.head = lambda x: self.b(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.a(x)))


class PlainList(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w, self.v = nn.Parameter(torch.randn(4, 8)), nn.Parameter(torch.randn(8, 3))
        self.stack = [self.w, self.v]

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x @ self.stack[0]) @ self.stack[1]


class ListOfOne(Body):
    def __init__(self) -> None:
        super().__init__()
        self.kept = {"bias": self.b.bias}

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(torch.relu(self.a(x)), self.b.weight) + self.kept["bias"]


class Weak(Body):
    def __init__(self) -> None:
        super().__init__()
        self.owner = weakref.ref(self)

    def forward(self, x: Tensor) -> Tensor:
        owner = self.owner()
        assert owner is not None
        return owner.b(torch.relu(owner.a(x)))


class MadeOnce(Body):
    """Something that was made of a parameter at the beginning follows it where it is overwritten."""

    def __init__(self) -> None:
        super().__init__()
        self.turned = self.b.weight.T

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.a(x)) @ self.turned + self.b.bias


def replaced_forward() -> nn.Module:
    """As activation checkpointing, adapters and feature taps do it."""
    module = Body()
    inner = module.a.forward
    module.a.forward = lambda x: checkpoint(inner, x, use_reentrant=False)
    return module


def partial_forward() -> nn.Module:
    module = Body()
    module.b.forward = partial(type(module.b).forward, module.b)
    return module


def tapped() -> nn.Module:
    """A hook on the original's layer is a function of its own inputs: nothing is wrong with that."""
    module = Body()
    module.features = SimpleNamespace(last=None)

    def tap(_: nn.Module, __: Any, output: Tensor) -> None:
        module.features.last = output.detach()

    module.a.register_forward_hook(tap)
    return module


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "closure": (Closure, "'a.bias', 'a.weight', 'b.bias'"),
    "half a closure": (HalfAClosure, "'b.bias', 'b.weight'"),
    "list": (PlainList, "'v', 'w'"),
    "dict": (ListOfOne, "'b.bias'"),
    "weak reference": (Weak, "'a.bias'"),
    "made once": (MadeOnce, "'b.weight'"),
    "replaced forward": (replaced_forward, "'a.bias', 'a.weight'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_parameters_that_are_reached_in_other_ways_are_named(name: str) -> None:
    build, named = REFUSED[name]
    module = seeded(build)
    kept = [(id(p), p._version, p.detach().clone()) for p in module.parameters()]
    with pytest.raises(la.BadInput, match=f"other values of {named}") as refused:
        surveyed(module, la.Split((rows(64, 4), labels(64))))
    assert "\n" not in str(refused.value)
    assert "self.NAME" in str(refused.value)
    for (identity, version, value), p in zip(kept, module.parameters(), strict=True):
        assert (identity, version) == (id(p), p._version)
        assert torch.equal(value, p)


class TwoNames(nn.Module):
    """A parameter that is reached by its name, and by something that was made of it once."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 8), nn.Linear(4, 3)
        held = self.a.weight
        self.back = lambda h: h @ held

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.back(torch.tanh(self.a(x))))


class InABuffer(TwoNames):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kept", self.a.weight.data)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.tanh(self.a(x)) @ self.kept)


class SharedMemory(nn.Module):
    """Tied as it was once done: two parameters, one storage."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.back, self.b = nn.Linear(4, 8), nn.Linear(8, 4, bias=False), nn.Linear(4, 3)
        self.back.weight.data = self.a.weight.data.t()

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.back(torch.tanh(self.a(x))))


@pytest.mark.parametrize(
    ("build", "named"),
    [(TwoNames, "'a.weight'"), (InABuffer, "'a.weight'"), (SharedMemory, "'a.weight', 'back.weight'")],
)
def test_parameters_that_are_reached_in_two_ways_are_named(build: Callable[[], nn.Module], named: str) -> None:
    module = seeded(build)
    before = [value.clone() for value in module.state_dict().values()]
    with pytest.raises(la.BadInput, match=f"other values of {named} do not reach the model's output"):
        surveyed(module, (rows(64, 4), labels(64)))
    assert all(map(torch.equal, before, module.state_dict().values()))


def each(outputs: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.cross_entropy(outputs, targets, reduction="none")


class Centred(Body):
    """Statistics of the batch without a layer that says so."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - x.mean(dim=0))


def ranked(outputs: Tensor, targets: Tensor) -> Tensor:
    losses = each(outputs, targets)
    return losses / losses.detach().sum()


class Ungraded(Body):
    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


class TestLosses:
    """Losses that reach parameters, draw numbers, or mix examples."""

    def test_one_that_reaches_parameters_by_itself(self) -> None:
        module = seeded(Body)

        def penalised(outputs: Tensor, targets: Tensor) -> Tensor:
            return each(outputs, targets) + 0.1 * module.a.weight.square().sum()

        for loss in (penalised, la.BatchMean(lambda outputs, targets: penalised(outputs, targets).mean())):
            with pytest.raises(la.BadInput, match=r"other values of 'a\.weight' do not reach the loss.*NetworkLoss"):
                surveyed(module, (rows(64, 4), labels(64)), loss)

        def handed(network: nn.Module, batch: Any) -> Tensor:
            return each(network(batch[0]), batch[1]) + 0.1 * network.a.weight.square().sum()

        batch = rows(64, 4), labels(64)
        found, chart = surveyed(module, batch, la.NetworkLoss(handed))
        wanted = by_hand(Body, chart, lambda module: handed(module, batch).mean())
        np.testing.assert_allclose(found["t_loss"], wanted, rtol=1e-5)

    def test_random_ones(self) -> None:
        def noisy(outputs: Tensor, targets: Tensor) -> Tensor:
            return each(nn.functional.dropout(outputs, 0.3), targets)

        drawn = la.PerExample(each, weights=lambda targets: torch.rand(len(targets)))
        for loss in (noisy, drawn):
            with pytest.raises(la.BadInput, match="the loss is random"):
                surveyed(seeded(Body), (rows(64, 4), labels(64)), loss)

    def test_weights_that_fail(self) -> None:
        loss = la.PerExample(each, weights=lambda targets: targets["missing"])
        with pytest.raises(la.BadInput, match="the weights of .* fail on these targets"):
            surveyed(seeded(Body), (rows(9, 4), labels(9)), loss)

    @pytest.mark.parametrize(("module", "loss"), [(Centred, None), (Body, ranked)])
    def test_examples_that_mix_are_told_of_unless_all_are_together(self, module: Any, loss: Any) -> None:
        data = rows(40, 4), labels(40)
        with pytest.warns(la.Caution, match="depends on which others are evaluated with it"):
            surveyed(seeded(module), data, loss, eval_batch_size=20)
        surveyed(seeded(module), data, loss, eval_batch_size=40)

    def test_no_gradient_at_all_is_not_a_gradient_of_zero(self) -> None:
        found, _ = surveyed(seeded(Ungraded), (rows(40, 4), labels(40)))
        assert found["t_loss"].values.std() > 0
        with pytest.raises(la.BadInput, match="the loss has no gradient in the weights"):
            surveyed(seeded(Ungraded), (rows(40, 4), labels(40)), metrics=["gradient_norm"])


class Adapts(nn.Module):
    """A step down its own gradient, in its own weights, inside of each call."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(self.a(x).square().mean(), self.a.weight, create_graph=True)
        return nn.functional.linear(x, self.a.weight - 0.5 * slope, self.a.bias)


class Energy(nn.Module):
    """Second derivatives of a transform inside of a forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.u = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return torch.func.vmap(torch.func.hessian(lambda z: self.u(z).sum()))(x).flatten(1)[:, :1]


class ByFunction(nn.Module):
    """Group normalisation that is not a layer of torch's."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.rand(channels)), nn.Parameter(torch.rand(channels))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.group_norm(x, 2, self.weight, self.bias)


def skipping() -> nn.Module:
    """A skip connection by hooks, which keep what they carry in a container that all copies share."""
    kept: dict[str, Tensor] = {}
    module = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))
    module[1].register_forward_hook(lambda _, __, output: kept.__setitem__("skip", output))
    module[2].register_forward_hook(lambda _, __, output: output + kept["skip"])
    return module


class Zeroed(nn.Module):
    """A block whose normalisation by the batch shows nothing while its scales are zero."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4, track_running_stats=False)
        self.head = nn.Linear(4, 3)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x + self.norm(self.body(x)))


class Closed:
    def __init__(self, scores: Tensor) -> None:
        self.scores = scores


class ReturnsAnObject(Body):
    def forward(self, x: Tensor) -> Any:
        return Closed(super().forward(x))


class TestMoreThatIsServed:
    """Networks that were refused, or ended the process."""

    def test_a_step_in_its_own_weights_within_a_call(self) -> None:
        x, y = rows(40, 4), labels(40)
        found, chart = surveyed(seeded(Adapts), (x, y))
        wanted = by_hand(Adapts, chart, lambda module: nn.functional.cross_entropy(module(x), y))
        np.testing.assert_allclose(found["t_loss"], wanted, rtol=1e-5)

    @pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own rules for it use it
    @pytest.mark.parametrize("plan", ["loop", "auto"])
    def test_hessians_within_a_call(self, plan: str) -> None:
        points, zeros = rows(40, 2), torch.zeros(40, 1)
        metrics = ["loss", "gradient_norm"]
        found, chart = surveyed(seeded(Energy), (points, zeros), la.SquaredError(), metrics=metrics, plan=plan)
        loss = lambda module: module(points).square().mean()  # noqa: E731
        np.testing.assert_allclose(found["t_loss"], by_hand(Energy, chart, loss), rtol=1e-5)
        np.testing.assert_allclose(found["t_gradient_norm"], by_hand(Energy, chart, norm_of(loss)), rtol=1e-4)

    @pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
    def test_but_not_by_several_threads_which_share_the_levels_of_forward_mode(self) -> None:
        split = la.Split((rows(40, 2), torch.zeros(40, 1)))
        problem = la.Problem(seeded(Energy), la.SquaredError())
        chart = la.slice_around(problem.module, ("random",), seed=3)
        threads = torch.get_num_threads()
        torch.set_num_threads(2)
        try:
            plan = la.engine_for(problem, chart, split, measuring=0.05).plan
            assert "evaluate without threads: strategy 'threads' works on several networks" in plan.reason
            with pytest.raises(la.BadInput, match="differentiated in forward mode as it is called"):
                la.engine_for(problem, chart, split, plan="threads")
        finally:
            torch.set_num_threads(threads)

    @pytest.mark.parametrize("plan", ["loop", "threads", "vmap", "batched", "auto"])
    @pytest.mark.parametrize("varied", [("*",), ("1.*", "5.*")])
    def test_group_normalisation_by_a_function(self, varied: tuple[str, ...], plan: str) -> None:
        """Torch's backward pass ended the process with channels last, where what it was given had no gradient."""
        build = lambda: nn.Sequential(  # noqa: E731
            nn.Conv2d(2, 4, 3) if varied != ("*",) else nn.Identity(), ByFunction(4 if varied != ("*",) else 2),
            nn.LazyConv2d(4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3),
        )  # fmt: skip
        torch.manual_seed(0)
        images, y = torch.randn(12, 2, 8, 8), labels(12)
        module = build()
        module(images)
        space = la.WeightSpace(module, varied)
        chart = la.Slice(space.vector_of(module), torch.randn(1, space.size))
        engine = la.engine_for(la.Problem(module, la.CrossEntropy()), chart, (images, y), space=space, plan=plan,
                               measuring=0.05)  # fmt: skip
        _, derivatives = next(engine.derivatives(chart.coefficients(torch.zeros(1, 1)), chart.controls(),
                                                 la.Split((images, y)), eval_batch_size=12))  # fmt: skip
        loss = nn.functional.cross_entropy(module(images), y)
        params = dict(module.named_parameters())
        wanted = torch.autograd.grad(loss, [params[entry.name] for entry in space.entries])
        torch.testing.assert_close(
            derivatives.gradient()[0], torch.cat([piece.reshape(-1) for piece in wanted]), rtol=1e-4, atol=1e-6
        )

    def test_objects_of_the_users_own_as_outputs(self) -> None:
        x, y = rows(40, 4), labels(40)

        def of_object(outputs: Any, targets: Tensor) -> Tensor:
            return each(outputs.scores, targets)

        found, chart = surveyed(seeded(ReturnsAnObject), (x, y), of_object, la.Pair(output=None))
        wanted = by_hand(Body, chart, lambda module: nn.functional.cross_entropy(module(x), y))
        np.testing.assert_allclose(found["t_loss"], wanted, rtol=1e-5)


class ByKeyword(nn.Module):
    """A normalisation that is given its input by name, or not."""

    def __init__(self, *, named: bool) -> None:
        super().__init__()
        self.named = named
        self.body, self.norm, self.head = nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        return self.head(torch.relu(self.norm(input=y) if self.named else self.norm(y)))


def test_statistics_are_reestimated_whatever_way_a_layer_is_given_its_input() -> None:
    split = la.Split((rows(48, 4), labels(48)))
    found = [
        surveyed(seeded(partial(ByKeyword, named=named)), split,
                 buffers=la.ReestimatedStatistics.for_run(split, 12, 2))[0]["t_loss"].values
        for named in (True, False)
    ]  # fmt: skip
    np.testing.assert_array_equal(*found)


class TestWhatCopiesShare:
    @pytest.fixture(autouse=True)
    def two_threads(self) -> Iterator[None]:
        threads = torch.get_num_threads()
        torch.set_num_threads(2)
        yield
        torch.set_num_threads(threads)

    def test_a_container_that_hooks_write_to_keeps_networks_from_working_side_by_side(self) -> None:
        x, y = rows(64, 4), labels(64)
        chart = la.slice_around(seeded(skipping), ("random",), seed=3)
        problem = la.Problem(seeded(skipping), la.CrossEntropy())
        plan = la.engine_for(problem, chart, (x, y), measuring=0.05).plan
        assert "without threads: strategy 'threads' works on copies of the model at the same time" in plan.reason
        for stated in ("threads", Plan.of("threads", 4)):
            with pytest.raises(la.BadInput, match="calls of this one change what its copies share"):
                la.engine_for(problem, chart, (x, y), plan=stated)
        found, chart = surveyed(seeded(skipping), (x, y))
        wanted = by_hand(skipping, chart, lambda module: nn.functional.cross_entropy(module(x), y))
        np.testing.assert_allclose(found["t_loss"], wanted, rtol=1e-5)

    def test_groups_that_are_normalised_together_are_not_cut_though_it_would_not_show(self) -> None:
        x, y = rows(64, 4), labels(64)
        chart = la.slice_around(seeded(Zeroed), ("random",), seed=3)
        problem = la.Problem(seeded(Zeroed), la.CrossEntropy())
        whole = Service("loop", 4)
        with pytest.raises(la.BadInput, match=r"those of a batch \(64\) have to be evaluated together"):
            la.engine_for(problem, chart, (x, y), plan=Plan(Service("loop", 4, examples=8), whole, whole, threads=1))


@pytest.mark.parametrize("build", [tapped, partial_forward])
def test_hooks_and_what_is_copied_with_the_module_are_nothing_to_refuse(build: Callable[[], nn.Module]) -> None:
    x, y = rows(64, 4), labels(64)
    found, chart = surveyed(seeded(build), la.Split((x, y)))
    wanted = by_hand(build, chart, lambda module: nn.functional.cross_entropy(module(x), y))
    np.testing.assert_allclose(found["t_loss"], wanted, rtol=1e-5)


class TestUnused:
    """Parameters that change nothing."""

    def test_are_told_of_once_and_surveyed(self) -> None:
        module = seeded(Body)
        module.extra = nn.Linear(2, 2)
        x, y = rows(40, 4), labels(40)
        with pytest.warns(la.Caution, match=r"unused by the model.*'extra\.bias', 'extra\.weight'$") as told:
            found, chart = surveyed(module, la.Split((x, y)))
        assert len(told) == 1
        named = la.WeightSpace(module).unflatten(chart.points(torch.tensor([[0.6]]))[0].detach())
        wanted = torch.func.functional_call(module, named, (x,))
        np.testing.assert_allclose(found["t_loss"][2], nn.functional.cross_entropy(wanted, y).detach(), rtol=1e-5)

    def test_all_of_them_make_no_map(self) -> None:
        module = seeded(Body)
        module.extra = nn.Linear(2, 2)
        space = la.WeightSpace(module, ["extra.*"])
        chart = la.Slice(space.vector_of(module), torch.ones(1, space.size))
        problem = la.Problem(module, la.CrossEntropy())
        with pytest.raises(la.BadInput, match="no parameter that varies changes the model's output"):
            la.survey(chart, {"u": COORDS}, problem, {"t": la.Split((rows(9, 4), labels(9)))}, space=space)

    def test_one_without_a_gradient_that_matters_is_not_unused(self) -> None:
        class Rounds(Body):
            def forward(self, x: Tensor) -> Tensor:
                return self.b(torch.relu(self.a(x)).round())

        x, y = 5 * rows(40, 4), labels(40)
        found, chart = surveyed(seeded(Rounds), la.Split((x, y)))
        wanted = by_hand(Rounds, chart, lambda module: nn.functional.cross_entropy(module(x), y))
        np.testing.assert_allclose(found["t_loss"], wanted, rtol=1e-5)


class Encoder(nn.Module):
    """torch's own, with its defaults: in evaluation mode it makes nested tensors of what is padded."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder, self.head = nn.TransformerEncoder(layer, 2), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x, src_key_padding_mask=x[..., 0] == 0)[:, 0])


class Slopes(nn.Module):
    """Per-example derivatives inside a forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.u = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, t: Tensor) -> Tensor:
        return torch.vmap(torch.func.grad(lambda s: self.u(s[None])[0, 0]))(t) + self.u(t)


class Lazy(nn.Module):
    """A buffer that is made in the first call."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3)
        self.register_buffer("places", None)

    def forward(self, x: Tensor) -> Tensor:
        if self.places is None:
            self.places = torch.linspace(0, 1, x.shape[1])
        return self.head(x + self.places)


def padded() -> Tensor:
    x = rows(40, 6, 8)
    x[:, 4:] = 0
    x[::2, 3:] = 0
    return x


class TestChecks:
    """What checks cannot look at they leave out."""

    @pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage")
    @pytest.mark.filterwarnings("ignore:There is a performance drop because we have not yet implemented the batching")
    @pytest.mark.parametrize("plan", ["loop", "threads", "auto"])
    def test_nested_tensors(self, plan: str) -> None:
        x, y = padded(), labels(40)
        found, chart = surveyed(seeded(Encoder), la.Split((x, y)), plan=plan)
        wanted = by_hand(Encoder, chart, lambda module: nn.functional.cross_entropy(module(x), y))
        np.testing.assert_allclose(found["t_loss"], wanted, rtol=1e-5)

    @pytest.mark.parametrize("plan", ["loop", "threads", "vmap", "auto"])
    def test_transforms_inside_a_forward_pass(self, plan: str) -> None:
        t, y = rows(50, 1), torch.zeros(50, 1)
        found, chart = surveyed(seeded(Slopes), la.Split((t, y)), la.SquaredError(), plan=plan)
        wanted = by_hand(Slopes, chart, lambda module: (module(t) - y).square().mean())
        np.testing.assert_allclose(found["t_loss"], wanted, rtol=1e-5)

    def test_buffers_that_are_made_late(self) -> None:
        x, y = rows(30, 4), labels(30)
        found, chart = surveyed(seeded(Lazy), la.Split((x, y)))
        wanted = by_hand(Lazy, chart, lambda module: nn.functional.cross_entropy(module(x), y))
        np.testing.assert_allclose(found["t_loss"], wanted, rtol=1e-5)

    def test_what_can_be_compared(self) -> None:
        x = torch.ones(2, 3)
        assert is_comparable(x)
        assert not any(map(is_comparable, [None, 3, x.to_sparse(), x.to("meta"), nn.UninitializedParameter()]))
        seen: list[bool] = []
        torch.vmap(lambda row: [seen.append(is_comparable(row)), row][1])(x)
        assert seen == [False]

    @pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
    def test_torchscript_is_named(self) -> None:
        data = la.Split((rows(9, 4), labels(9)))
        scripted = torch.jit.script(nn.Linear(4, 3))
        for module, named in ((scripted, "the model is"), (nn.Sequential(scripted, nn.ReLU()), "layer '0' is")):
            with pytest.raises(la.BadInput, match=f"{named} TorchScript.*build it from its Python class"):
                surveyed(module, data)

    def test_a_failure_names_the_layer(self) -> None:
        module = nn.Sequential(nn.Linear(4, 8), nn.Sequential(nn.ReLU(), nn.Linear(9, 3)))
        with pytest.raises(
            la.BadInput, match=r"fails on these data in layer '1\.1' \(Linear\): mat1 and mat2"
        ) as error:
            surveyed(module, la.Split((rows(9, 4), labels(9))))
        assert "\n" not in str(error.value)

    def test_numbers_of_two_kinds_are_named(self) -> None:
        with pytest.raises(la.BadInput, match=r"the data are torch.float64, the weights torch.float32; convert one"):
            surveyed(seeded(Body), la.Split((rows(9, 4).double(), labels(9))))

    def test_a_failure_further_on_in_the_data(self) -> None:
        module = seeded(lambda: nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(6, 3)))
        tokens = torch.zeros(40, 2, dtype=torch.int64)
        tokens[30] = 7
        with pytest.raises(la.ModelFailure, match=r"in layer '0' \(Embedding\): index out of range"):
            surveyed(module, la.Split((tokens, labels(40))), eval_batch_size=10)


def test_the_command_line_ends_with_what_it_means(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """2 and no run where a module fails at once, 3 and a run where it fails further on; a note is one line."""
    (tmp_path / "stranger.py").write_text(STRANGER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    torch.save(nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(6, 3)).state_dict(), "w.pt")
    own = ["--model=stranger:make", "--checkpoint=w.pt"]
    common = [
        "survey", "--directions=random", "--grid=3", "--splits=test",
        "--no_pictures", "--plan=loop", "--eval_batch_size=10", "--device=cpu",
    ]  # fmt: skip
    assert main([*common, *own, "--data=stranger:wide", "--out=a"]) == 2
    assert not Path("a").exists()
    (line,) = capsys.readouterr().err.splitlines()
    assert "layer '2' (Linear)" in line
    assert main([*common, *own, "--data=stranger:late", "--out=b"]) == 3
    assert Path("b", "config.yaml").exists()
    assert "layer '0' (Embedding): index out of range in self; what was computed" in capsys.readouterr().err
    unused = [*common, "--data=stranger:good", "--model=stranger:more", "--checkpoint=more.pt", "--out=c"]
    sys.modules["stranger"].save()
    with warnings.catch_warnings():
        warnings.simplefilter("default", la.Caution)
        assert main(unused) == 0
    assert capsys.readouterr().err.count("note: unused by the model") == 1


STRANGER = """
import torch
from torch import nn
def make(): return nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(6, 3))
def more():
    module = make()
    module[2].spare = nn.Parameter(torch.ones(2))
    return module
def save(): torch.save(more().state_dict(), "more.pt")
def data(width, wrong):
    tokens = torch.zeros(40, width, dtype=torch.int64)
    tokens[30] = wrong
    split = tokens, torch.zeros(40, dtype=torch.int64)
    return split, split
def wide(): return data(3, 0)
def late(): return data(2, 7)
def good(): return data(2, 1)
"""


class Physics(nn.Module):
    """Differentiated by its input as it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.u = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, t: Tensor) -> Tensor:
        t = t.detach().requires_grad_()
        u = self.u(t)
        (slope,) = torch.autograd.grad(u.sum(), t, create_graph=True)
        return slope + u


def plain_u() -> nn.Module:
    return nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))


def residual(network: nn.Module, batch: Any) -> Tensor:
    t = batch["t"].detach().requires_grad_()
    u = network(t)
    (slope,) = torch.autograd.grad(u.sum(), t, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), t, create_graph=True)
    return (bend + u).square().squeeze(1)


class TestDerivativesByInputs:
    """Networks and losses that differentiate by inputs, at every point of a map."""

    @pytest.mark.parametrize("plan", ["loop", "threads", "auto"])
    def test_of_a_network(self, plan: str) -> None:
        t, y = rows(50, 1), torch.zeros(50, 1)
        metrics = ["loss", "gradient_norm"]
        found, chart = surveyed(seeded(Physics), la.Split((t, y)), la.SquaredError(), plan=plan, metrics=metrics)
        loss = lambda module: (module(t) - y).square().mean()  # noqa: E731
        np.testing.assert_allclose(found["t_loss"], by_hand(Physics, chart, loss), rtol=1e-5)
        np.testing.assert_allclose(found["t_gradient_norm"], by_hand(Physics, chart, norm_of(loss)), rtol=1e-4)

    @pytest.mark.parametrize("plan", ["loop", "threads", "auto"])
    def test_of_a_loss_that_sees_the_network(self, plan: str) -> None:
        batch = {"t": rows(50, 1)}
        metrics = ["loss", "gradient_norm"]
        loss = la.NetworkLoss(residual)
        found, chart = surveyed(seeded(plain_u), la.Split(batch), loss, plan=plan, metrics=metrics, eval_batch_size=17)
        mean = lambda module: residual(module, batch).mean()  # noqa: E731
        np.testing.assert_allclose(found["t_loss"], by_hand(plain_u, chart, mean), rtol=1e-5)
        np.testing.assert_allclose(found["t_gradient_norm"], by_hand(plain_u, chart, norm_of(mean)), rtol=1e-4)

    def test_the_plan_records_it(self) -> None:
        module, data = seeded(Physics), la.Split((rows(20, 1), torch.zeros(20, 1)))
        chart = la.slice_around(module, ("random",))
        plan = la.engine_for(la.Problem(module, la.SquaredError()), chart, data, measuring=0.05).plan
        assert plan.differentiates_inputs
        assert la.Plan.from_dict(plan.to_dict()) == plan
        assert {plan.evaluate.strategy, plan.pullback.strategy} <= {"plain", "loop", "threads"}
        plain = la.engine_for(la.Problem(seeded(plain_u), la.SquaredError()), chart, data, plan="loop").plan
        assert not plain.differentiates_inputs

    def test_a_fit_goes_down(self) -> None:
        module = seeded(plain_u)
        picture = la.picture("heart", size=5)
        chart = la.Plane.random(module, 2, initialiser=la.Xavier())
        objective = la.Pattern(picture, cells=4, clip=la.ClipPerCell(2.0))
        done = la.fit(
            chart, objective, la.Problem(module, la.NetworkLoss(residual)), la.Split({"t": rows(50, 1)}), steps=30,
            plan="loop", optimizer=la.Adam(lr=1e-2),
        )  # fmt: skip
        objectives = [step["objective"] for step in done.history]
        assert np.mean(objectives[-5:]) < np.mean(objectives[:5])


def norm_of(loss: Callable[[nn.Module], Tensor]) -> Callable[[nn.Module], Tensor]:
    def norm(module: nn.Module) -> Tensor:
        slopes = torch.autograd.grad(loss(module), list(module.parameters()), allow_unused=True)
        return torch.stack([slope.square().sum() for slope in slopes if slope is not None]).sum().sqrt()

    return norm


class Vocabulary(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.e, self.h = nn.Embedding(500, 8), nn.Linear(8, 500)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.h(self.e(tokens))


class TestMemory:
    """Every strategy keeps to the memory it was given, outputs included."""

    @pytest.mark.parametrize("plan", STRATEGIES)
    def test_a_group_is_cut_and_the_value_stays(self, plan: str) -> None:
        module = seeded(Vocabulary)
        tokens = torch.randint(500, (64, 8), generator=torch.Generator().manual_seed(0))
        problem = la.Problem(module, la.CrossEntropy())
        chart = la.slice_around(module, ("random",), seed=3)
        data = la.Split((tokens, tokens.roll(1, 1)))
        options = {"plan": plan, "metrics": ["loss", "accuracy", "gradient_norm"]}
        whole, tight = (
            la.survey(chart, {"u": COORDS}, problem, {"t": data}, memory=memory, **options)
            for memory in ("1GiB", "1500kB")
        )
        recorded = la.engine_for(problem, chart, data, plan=plan, memory="1500kB", steps=False).plan.evaluate
        assert recorded.examples is not None
        assert 1 <= recorded.examples < 64
        for name in ("t_loss", "t_accuracy", "t_gradient_norm"):
            np.testing.assert_allclose(tight[name], whole[name], rtol=1e-5)

    def test_what_has_to_be_evaluated_together_is_refused(self) -> None:
        module = seeded(lambda: nn.Sequential(nn.Linear(4, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 3)))
        chart = la.slice_around(module, ("random",))
        data = la.Split((rows(400, 4), labels(400)))
        problem = la.Problem(module, la.CrossEntropy())
        with pytest.raises(la.BadInput, match="batch of 400 examples, which have to be evaluated together; allow more"):
            la.engine_for(problem, chart, data, buffers=la.BatchStatistics(), plan="loop", memory="150kB", batch_size=8)
        engine = la.engine_for(
            problem, chart, data, buffers=la.FrozenStatistics(), plan="loop", memory="150kB", batch_size=8
        )
        assert engine.plan.evaluate.examples is not None

    def test_examples_that_mix_are_not_cut(self) -> None:
        module = seeded(Centred)
        data = la.Split((rows(800, 4), labels(800)))
        with pytest.raises(la.BadInput, match="which have to be evaluated together"):
            la.engine_for(
                la.Problem(module, la.CrossEntropy()), la.slice_around(module, ("random",)), data, plan="loop",
                memory="30kB", batch_size=4, eval_batch_size=800,
            )  # fmt: skip


class Masked(HalfAClosure):
    """An output that is far larger than all others hides nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([super().forward(x), torch.full((len(x), 1), -1e9)], dim=1)


class AsksForGradients(Body):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (2 if torch.is_grad_enabled() else 1)


def test_a_large_output_hides_no_leak() -> None:
    with pytest.raises(la.BadInput, match="other values of 'b.bias', 'b.weight' do not reach"):
        surveyed(seeded(Masked), (rows(64, 4), labels(64)))


def test_a_network_that_asks_whether_gradients_are_enabled_is_told_of() -> None:
    with pytest.warns(la.Caution, match="losses differ with gradients enabled and disabled"):
        surveyed(seeded(AsksForGradients), (rows(40, 4), labels(40)))


def test_what_the_users_module_holds_is_put_back() -> None:
    class Counts(Body):
        def __init__(self) -> None:
            super().__init__()
            self.calls, self.seen = torch.zeros(()), {"last": [0]}

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            self.seen["last"].append(len(x))
            return super().forward(x)

    module = seeded(Counts)
    surveyed(module, (rows(40, 4), labels(40)))
    assert float(module.calls) == 0
    assert module.seen == {"last": [0]}


def test_plans_of_others_that_would_give_other_numbers_are_refused() -> None:
    module = seeded(lambda: nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)))
    service = Service("loop", 4, examples=10)
    plan = la.Plan(service, Service("loop", 4), service, threads=1)
    with pytest.raises(la.BadInput, match="the plan evaluates 10 examples at a time, and those of a batch"):
        surveyed(module, (rows(40, 4), labels(40)), plan=plan, buffers=la.BatchStatistics())
    cut, _ = surveyed(module, (rows(40, 4), labels(40)), plan=plan)
    whole, _ = surveyed(module, (rows(40, 4), labels(40)))
    np.testing.assert_allclose(cut["t_loss"], whole["t_loss"], rtol=1e-5)


def test_statistics_are_not_estimated_from_single_examples() -> None:
    with pytest.raises(la.BadInput, match="leave one by itself; expected two in each batch"):
        la.ReestimatedStatistics((rows(3, 4), labels(3)), batches=2, size=2)


def test_outputs_that_are_views_of_the_weights_are_right() -> None:
    """They change when weights that were put in place for a check are taken back."""

    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.tensor([2.0]))

        def forward(self, x: Tensor) -> Tensor:
            return self.w.expand(len(x), 1)

    problem = la.Problem(Constant(), la.SquaredError())
    split = (torch.zeros(3, 4), torch.tensor([[0.0], [1.0], [2.0]]))
    found = la.survey(la.Plane(torch.tensor([2.0]), torch.ones(1, 1)), {"u": np.array([0.0, 1.0])}, problem,
                      {"test": split}, plan="loop", metrics=["loss"])  # fmt: skip
    np.testing.assert_allclose(found["test_loss"], [5 / 3, 14 / 3], rtol=1e-6)
