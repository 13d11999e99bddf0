"""A hundred networks, layer x wrapper x feed x loss: right against newly built modules, or refused by name."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

import lossatlas as la

pytestmark = [
    pytest.mark.filterwarnings("ignore:There is a performance drop because we have not yet implemented the batching"),
    pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage"),
]

LENGTH, WIDTH, CLASSES, EXAMPLES = 6, 8, 5, 11
COORDS = np.array([-0.8, 0.0, 0.5])
PADDING = -100


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.cells = kind(WIDTH, WIDTH, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.cells(x)[0]


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.MultiheadAttention(WIDTH, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x, x, x)[0]


class AlongTime(nn.Module):
    """A layer over channels, (B, C, T) inside."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.transpose(1, 2)).transpose(1, 2)


class Mixture(nn.Module):
    """Parameters in lists and dicts of torch's own."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ParameterList([torch.randn(WIDTH, WIDTH) / 3 for _ in range(2)])
        self.gates = nn.ParameterDict({"in": torch.ones(WIDTH), "out": torch.ones(1)})

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("btc,cd,de->bte", x * self.gates["in"], *self.parts) * self.gates["out"]


def weight_norm() -> nn.Module:
    return nn.utils.parametrizations.weight_norm(nn.Linear(WIDTH, WIDTH))


def spectral() -> nn.Module:
    return nn.utils.parametrizations.spectral_norm(nn.Linear(WIDTH, WIDTH)).eval()


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(WIDTH, WIDTH),
    "convolution": lambda: AlongTime(nn.Conv1d(WIDTH, WIDTH, 3, padding=1)),
    "batch norm": lambda: nn.Sequential(nn.Linear(WIDTH, WIDTH), AlongTime(nn.BatchNorm1d(WIDTH))),
    "layer norm": lambda: nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH), nn.Dropout(0.3)),
    "group norm": lambda: AlongTime(nn.Sequential(nn.Conv1d(WIDTH, WIDTH, 1), nn.GroupNorm(2, WIDTH))),
    "lstm": lambda: Recurrent(nn.LSTM),
    "gru": lambda: Recurrent(nn.GRU),
    "attention": Attention,
    "encoder": lambda: nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True),
    "lists": Mixture,
    "weight norm": weight_norm,
    "spectral norm": spectral,
}


class Plain(nn.Module):
    """Something between a layer that every example has and a head with one output per class and position."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.first, self.layer, self.head = nn.Linear(WIDTH, WIDTH), layer, nn.Linear(WIDTH, CLASSES)

    def between(self, x: Tensor) -> Tensor:
        return self.layer(x)

    def forward(self, x: Tensor) -> Any:
        return self.head(torch.tanh(self.between(self.first(x))))


class Checkpointed(Plain):
    def between(self, x: Tensor) -> Tensor:
        return checkpoint(self.layer, x, use_reentrant=False)


class ByClosure(Plain):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__(layer)
        self.call = lambda x: self.layer(x)

    def between(self, x: Tensor) -> Tensor:
        return self.call(x)


class KeptTwice(Plain):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__(layer)
        self.own = list(self.first.parameters())

    def forward(self, x: Tensor) -> Any:
        return self.head(torch.tanh(self.between(functional.linear(x, *self.own))))


class Slope(Plain):
    """Differentiated by its input as it is called."""

    def between(self, x: Tensor) -> Tensor:
        x = x.detach().requires_grad_() if not x.requires_grad else x
        with torch.enable_grad():
            y = self.layer(x)
            (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        return y + slope


class Named(Plain):
    def forward(self, x: Tensor) -> Any:
        return {"hidden": self.first(x), "scores": super().forward(x)}


def replaced(layer: nn.Module) -> nn.Module:
    module = Plain(layer)
    inner = module.first.forward
    module.first.forward = lambda x: 2 * inner(x)
    return module


WRAPPERS: dict[str, tuple[Callable[[nn.Module], nn.Module], str]] = {
    "plain": (Plain, ""),
    "checkpointed": (Checkpointed, ""),
    "parallel": (lambda layer: nn.DataParallel(Plain(layer)), ""),
    "slope": (Slope, ""),
    "named": (Named, ""),
    "closure": (ByClosure, "'layer."),
    "kept twice": (KeptTwice, "'first.bias', 'first.weight'"),
    "replaced": (replaced, "'first.bias', 'first.weight'"),
}


def examples() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(EXAMPLES, LENGTH, WIDTH, generator=generator)
    labels = torch.randint(CLASSES, (EXAMPLES, LENGTH), generator=generator)
    lengths = torch.arange(EXAMPLES) % LENGTH + 1
    return x, labels.masked_fill(torch.arange(LENGTH) >= lengths[:, None], PADDING)


class InBatches:
    """A data set whose loader makes batches of its own size."""

    def __len__(self) -> int:
        return EXAMPLES

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        x, y = examples()
        return x[index], y[index]


@dataclass(frozen=True)
class Feeding:
    source: Callable[[], Any]
    feed: Callable[[str | int], la.Feed]


FEEDS: dict[str, Feeding] = {
    "pair": Feeding(examples, lambda output: la.Pair(output)),
    "loader": Feeding(lambda: torch.utils.data.DataLoader(InBatches(), batch_size=4), lambda output: la.Pair(output)),
    "dict": Feeding(lambda: dict(zip(("x", "labels"), examples(), strict=True)), lambda output: la.Dict(output=output)),
}

CLASS_WEIGHTS = (1.0, 2.0, 0.5, 0.0, 3.0)


def absolute(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs.mean(dim=2) - targets.clamp(min=0)).abs().mean(dim=1)


def counted(targets: Tensor) -> Tensor:
    return (targets != PADDING).sum(dim=1)


@dataclass(frozen=True)
class Losing:
    loss: Callable[[], Any]
    whole: Callable[[Tensor, Tensor], Tensor]
    """Of the whole split at once, as torch has it."""


LOSSES: dict[str, Losing] = {
    "tokens": Losing(la.CrossEntropy, lambda o, y: functional.cross_entropy(o.flatten(0, 1), y.flatten())),
    "weighted": Losing(
        lambda: la.CrossEntropy(weight=CLASS_WEIGHTS, label_smoothing=0.1),
        lambda o, y: functional.cross_entropy(
            o.flatten(0, 1), y.flatten(), torch.tensor(CLASS_WEIGHTS), label_smoothing=0.1
        ),
    ),
    "own": Losing(
        lambda: la.PerExample(absolute, weights=counted),
        lambda o, y: (absolute(o, y) * counted(y)).sum() / counted(y).sum(),
    ),
}


def cases() -> list[tuple[str, str, str, str]]:
    """Every layer under every wrapper, with feeds and losses in turn: each of these meets each wrapper."""
    turns = itertools.cycle(itertools.product(FEEDS, LOSSES))
    found = [(layer, wrapper, *next(turns)) for layer, wrapper in itertools.product(LAYERS, WRAPPERS)]
    extra = [("linear", "plain", feed, loss) for feed, loss in itertools.product(FEEDS, LOSSES)]
    return sorted({*found, *extra})


def built(layer: str, wrapper: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return WRAPPERS[wrapper][0](LAYERS[layer]()).eval()


def scores(returned: Any) -> Tensor:
    return returned["scores"] if isinstance(returned, dict) else returned


def test_there_are_a_hundred() -> None:
    assert len(cases()) >= 100
    assert {case[0] for case in cases()} == set(LAYERS)


@pytest.mark.parametrize(("layer", "wrapper", "feed", "loss"), cases())
def test_it_is_right_or_refused(layer: str, wrapper: str, feed: str, loss: str) -> None:
    module = built(layer, wrapper)
    output = "scores" if wrapper == "named" else None
    problem = la.Problem(module, LOSSES[loss].loss(), FEEDS[feed].feed(output))  # type: ignore[arg-type]
    chart = la.slice_around(module, ("random",), seed=5)

    def line() -> Any:
        source = FEEDS[feed].source()
        return la.survey(chart, {"u": COORDS}, problem, {"t": source}, metrics=["loss"], plan="loop", eval_batch_size=4)

    refusal = WRAPPERS[wrapper][1]
    if refusal:
        with pytest.raises(la.BadInput, match=f"other values of {refusal}") as refused:
            line()
        assert "\n" not in str(refused.value)
        return
    found = line()["t_loss"].values
    x, y = examples()
    space = la.WeightSpace(module)
    for index, point in enumerate(chart.points(torch.from_numpy(COORDS)[:, None])):
        fresh = built(layer, wrapper)
        named = space.unflatten(point.detach())
        with torch.no_grad():
            for name, parameter in fresh.named_parameters():
                parameter.copy_(named[name])
        wanted = float(LOSSES[loss].whole(scores(fresh(x)), y).detach())
        np.testing.assert_allclose(found[index], wanted, rtol=1e-5)
