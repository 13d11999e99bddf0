"""The problems that every part of the engine is tested on, all in float64."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

import lossatlas as la

EXAMPLES = 12


class Tied(nn.Module):
    """An embedding whose weights are the output layer's, too."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 5)
        self.mix = nn.Linear(5, 5)
        self.head = nn.Linear(5, 7, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(torch.tanh(self.mix(self.embedding(tokens))))


class DictNet(nn.Module):
    """Takes two keyword arguments and returns a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Linear(4, 6)
        self.right = nn.Linear(3, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, left: Tensor, right: Tensor) -> dict[str, Tensor]:
        return {"logits": self.head(torch.tanh(self.left(left) + self.right(right))), "unused": left.sum(dim=1)}


class Transformer(nn.Module):
    """Two blocks of causal attention over token ids under a mask; the output layer is the embedding."""

    def __init__(self, tokens: int = 7, width: int = 8, heads: int = 2, length: int = 5) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, width)
        self.position = nn.Embedding(length, width)
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(2))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, tokens, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, input_ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        x = self.embedding(input_ids) + self.position.weight
        for block in self.blocks:
            x = block(x, mask)
        return {"logits": self.head(self.norm(x))}


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.mix = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        batch, length, width = x.shape
        parts = self.mix(self.norms[0](x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = mask[:, None, None, :] & torch.ones(length, length, dtype=torch.bool).tril().to(mask.device)
        mixed = nn.functional.scaled_dot_product_attention(*parts.unbind(0), attn_mask=seen)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.feed(self.norms[1](x))


def _random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def _labels(*shape: int, classes: int) -> Tensor:
    return torch.randint(classes, shape, generator=torch.Generator().manual_seed(5))


def mlp() -> tuple[la.Problem, la.Split]:
    module = la.MLP(hidden=(7, 5)).build((1, 3, 3), 4)
    return la.Problem(module, la.CrossEntropy()), la.Split((_random(EXAMPLES, 1, 3, 3), _labels(EXAMPLES, classes=4)))


def conv() -> tuple[la.Problem, la.Split]:
    module = la.Conv(channels=(3, 4), hidden=6).build((2, 8, 7), 3)
    return la.Problem(module, la.CrossEntropy()), la.Split((_random(EXAMPLES, 2, 8, 7), _labels(EXAMPLES, classes=3)))


def batch_norm() -> tuple[la.Problem, la.Split]:
    module = la.Conv(channels=(3, 3), hidden=6, batch_norm=True, skips=True, max_pool=False).build((2, 5, 6), 3)
    module.train()
    module(torch.randn(8, 2, 5, 6))  # running statistics that are not those of a fresh module
    return la.Problem(module, la.CrossEntropy()), la.Split((_random(EXAMPLES, 2, 5, 6), _labels(EXAMPLES, classes=3)))


def tied() -> tuple[la.Problem, la.Split]:
    tokens = torch.randint(7, (EXAMPLES, 4), generator=torch.Generator().manual_seed(3))
    return la.Problem(Tied(), la.CrossEntropy()), la.Split((tokens, tokens.roll(-1, dims=1)))


def dict_batches() -> tuple[la.Problem, la.Split]:
    data = {"left": _random(EXAMPLES, 4), "right": _random(EXAMPLES, 3), "labels": _labels(EXAMPLES, classes=3)}
    return la.Problem(DictNet(), la.CrossEntropy(), la.Dict(output="logits")), la.Split(data)


def resnet() -> tuple[la.Problem, la.Split]:
    module = la.ResNet(depth=8, width=3).build((2, 8, 8), 3)
    module.train()
    module(torch.randn(8, 2, 8, 8))
    return la.Problem(module, la.CrossEntropy()), la.Split((_random(EXAMPLES, 2, 8, 8), _labels(EXAMPLES, classes=3)))


def transformer() -> tuple[la.Problem, la.Split]:
    tokens = torch.randint(7, (EXAMPLES, 5), generator=torch.Generator().manual_seed(3))
    lengths = torch.arange(EXAMPLES) % 5 + 1
    mask = torch.arange(5) < lengths[:, None]
    data = {"input_ids": tokens, "mask": mask, "labels": tokens.roll(-1, dims=1)}
    return la.Problem(Transformer(), la.CrossEntropy(), la.Dict(output="logits")), la.Split(data)


def regression() -> tuple[la.Problem, la.Split]:
    module = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))
    return la.Problem(module, la.SquaredError()), la.Split((_random(EXAMPLES, 3), _random(EXAMPLES, 2)))


NETWORKS: dict[str, Callable[[], tuple[la.Problem, la.Split]]] = {
    maker.__name__: maker for maker in (mlp, conv, batch_norm, resnet, tied, dict_batches, transformer, regression)
}


def make(name: str) -> tuple[la.Problem, la.Split]:
    """A problem in float64 whose module has seeded parameters."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        problem, split = NETWORKS[name]()
        problem.module.double()
    return problem, split


def plane(problem: la.Problem, axes: int = 2, scale: float = 0.7) -> la.Plane:
    """A random plane around the module's own weights."""
    space = la.WeightSpace(problem.module)
    return la.Plane.random(
        problem.module,
        axes,
        initialiser=la.ModuleDefault(),
        scale=scale,
        seed=1,
        origin=space.vector_of(problem.module),
    )
