"""Networks whose Hessian and Gauss-Newton matrix are known as dense matrices, for tests of curvature.

The matrices are those of a plain loss, differentiated in reverse twice in float64; the engine has no part in them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jacrev
from torch.nn.utils import vector_to_parameters

import lossatlas as la

__all__ = ["CASES", "Case", "make_case"]

ROWS = 128
"""How many rows of a matrix are computed at once."""


@dataclass(frozen=True)
class Case:
    """A problem, its examples and its matrices.

    Weights are vectors (n,) in the order of ``lossatlas.WeightSpace(problem.module)``. Results are in float64, whatever
    the precision of the problem, whose numbers are taken as they stand.
    """

    problem: la.Problem
    inputs: tuple[Tensor, ...]
    """What the module is called with, each (B, ...)."""
    targets: tuple[Tensor, ...]
    """What the criterion is given beside the output, each (B, ...)."""
    criterion: nn.Module
    """The mean loss () of outputs and targets over all that counts. It says so in ``reduction``, as torch's do."""

    @property
    def split(self) -> la.Split:
        return la.Split((*self.inputs, *self.targets))

    @property
    def theta(self) -> Tensor:
        """The module's own weights (n,), in its own precision."""
        return la.WeightSpace(self.problem.module).vector_of(self.problem.module)

    def in_precision(self, dtype: torch.dtype) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """The inputs and targets with their floating-point numbers in another precision."""
        return _cast(self.inputs, dtype), _cast(self.targets, dtype)

    def module_at(self, theta: Tensor) -> nn.Module:
        """A copy of the module in evaluation mode, with weights theta (n,), in their precision."""
        module = copy.deepcopy(self.problem.module).to(theta.dtype).eval()
        vector_to_parameters(theta.detach().clone(), module.parameters())
        return module

    def loss(self, theta: Tensor) -> Tensor:
        """The mean loss () at weights theta (n,)."""
        return self._loss_of(self.module_at(theta.double()))(theta.double())

    def gradient(self, theta: Tensor) -> Tensor:
        """The gradient (n,) of the mean loss."""
        return grad(self._loss_of(self.module_at(theta.double())))(theta.double())

    def dense(self, theta: Tensor) -> Tensor:
        """The Hessian (n, n) of the mean loss."""
        theta = theta.double()
        return jacrev(grad(self._loss_of(self.module_at(theta))), chunk_size=ROWS)(theta)

    def dense_ggn(self, theta: Tensor) -> Tensor:
        """The Gauss-Newton matrix (n, n): ``J^T H J`` with J of all outputs, H of the mean loss in the outputs."""
        theta = theta.double()
        outputs_at = self._outputs_of(self.module_at(theta))
        outputs = outputs_at(theta)

        def loss_of(flat: Tensor) -> Tensor:
            return self._judge(flat.reshape(outputs.shape))

        jacobian = jacrev(lambda theta: outputs_at(theta).flatten(), chunk_size=ROWS)(theta)  # (outputs, n)
        of_outputs = jacrev(grad(loss_of), chunk_size=ROWS)(outputs.flatten())
        return jacobian.T @ of_outputs @ jacobian

    def _loss_of(self, module: nn.Module) -> Callable[[Tensor], Tensor]:
        outputs_at = self._outputs_of(module)
        return lambda theta: self._judge(outputs_at(theta))

    def _outputs_of(self, module: nn.Module) -> Callable[[Tensor], Tensor]:
        shapes = {name: parameter.shape for name, parameter in module.named_parameters()}
        sizes = [shape.numel() for shape in shapes.values()]
        inputs, _ = self.in_precision(torch.float64)

        def outputs_at(theta: Tensor) -> Tensor:
            parts = zip(shapes.items(), theta.split(sizes), strict=True)
            return functional_call(module, {name: part.view(shape) for (name, shape), part in parts}, inputs)

        return outputs_at

    def _judge(self, outputs: Tensor) -> Tensor:
        return self.criterion(outputs, *self.in_precision(torch.float64)[1])


class TokenCrossEntropy(nn.CrossEntropyLoss):
    """The mean over all tokens whose label is not -100, from logits (B, L, C)."""

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return super().forward(logits.movedim(-1, 1), labels)


class HalfSquare(nn.Module):
    """Half the squared error of outputs (B,), averaged."""

    reduction = "mean"

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).square().mean() / 2


class ClassWeights(nn.Module):
    """Cross entropy with weights (1, 2, 3, ...) of the classes, averaged with these."""

    reduction = "mean"

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        weights = torch.arange(1, logits.shape[-1] + 1).to(logits)
        return nn.functional.cross_entropy(logits, labels, weight=weights)


class ExampleWeights(nn.Module):
    """The squared error of outputs (B, k), averaged with the weights of the examples."""

    reduction = "mean"

    @staticmethod
    def weigh(targets: Tensor) -> Tensor:
        """The weights (B,), some of which are 0."""
        return targets[:, 0].clamp(min=0)

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        weights = self.weigh(targets)
        return weights @ (outputs - targets).square().mean(dim=1) / weights.sum()


class Terms(nn.Module):
    """The squared error of outputs (B, k), and 0.3 times a curved function of their size."""

    reduction = "mean"
    FACTORS: ClassVar = {"data": 1.0, "size": 0.3}

    @staticmethod
    def of_examples(outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The terms (B,) by name."""
        size = (1 + outputs.square().sum(dim=1)).sqrt()
        return {"data": (outputs - targets).square().mean(dim=1), "size": size}

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        size = (1 + outputs.square().sum(dim=1)).sqrt()
        return (outputs - targets).square().mean() + 0.3 * size.mean()


class Product(nn.Module):
    """Two numbers, whose product is the output at every example."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.tensor(1.5)), nn.Parameter(torch.tensor(-0.7))

    def reset_parameters(self) -> None:
        """Draw both, as ``lossatlas.ModuleDefault`` does for the directions of a plane."""
        nn.init.normal_(self.a)
        nn.init.normal_(self.b)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.a * self.b * inputs


class Block(nn.Module):
    """A block of causal attention over token ids; the output layer is the embedding.

    Attention is written out: torch's own has second derivatives in some of its forms only.
    """

    def __init__(self, tokens: int = 11, width: int = 8, heads: int = 2, length: int = 6) -> None:
        super().__init__()
        self.heads = heads
        self.embedding, self.position = nn.Embedding(tokens, width), nn.Embedding(length, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.head = nn.Linear(width, tokens, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids) + self.position.weight
        x = x + self._attend(self.norms[0](x))
        x = x + self.feed(self.norms[1](x))
        return self.head(self.norms[2](x))

    def _attend(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        queries, keys, values = self.mix(x).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        later = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        scores = (queries @ keys.transpose(-1, -2) * queries.shape[-1] ** -0.5).masked_fill(later, -torch.inf)
        return self.out((scores.softmax(dim=-1) @ values).transpose(1, 2).reshape(batch, length, width))


def linear_regression() -> Case:
    """A linear model with squared error: the Hessian is the same everywhere, and equals its Gauss-Newton matrix."""
    return Case(
        la.Problem(nn.Linear(6, 3), la.SquaredError()), (torch.randn(20, 6),), (torch.randn(20, 3),), nn.MSELoss()
    )


def softmax_regression() -> Case:
    """A linear classifier at 0, where each eigenvalue of ``X^T X / (B C)`` comes C - 1 times, and 0 once for each."""
    module = nn.Linear(5, 4)
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return _classifier(module, torch.randn(30, 5), classes=4)


def product() -> Case:
    """``(a b - y)^2 / 2``, whose Hessian is [[b^2, 2 a b - y], [2 a b - y, a^2]]; one eigenvalue is negative here."""
    problem = la.Problem(Product(), la.PerExample(lambda outputs, targets: (outputs - targets).square() / 2))
    return Case(problem, (torch.ones(1),), (torch.tensor([0.4]),), HalfSquare())


def mlp() -> Case:
    """2,021 weights: 20 inputs, 36 and 30 hidden units, 5 classes."""
    module = nn.Sequential(nn.Linear(20, 36), nn.Tanh(), nn.Linear(36, 30), nn.Tanh(), nn.Linear(30, 5))
    return _classifier(module, torch.randn(60, 20), classes=5)


def conv() -> Case:
    """Convolutions with ReLU and pooling, on images that are not square."""
    module = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 4 * 3, 4),
    )  # fmt: skip
    return _classifier(module, torch.randn(24, 2, 8, 6), classes=4)


def batch_norm() -> Case:
    """The same with normalisation by statistics, factors and shifts that are not those of a fresh module."""
    module = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3, padding=1, bias=False), nn.BatchNorm2d(5), nn.ReLU(),
        nn.Flatten(), nn.Linear(5 * 4 * 3, 4),
    )  # fmt: skip
    for layer in module:
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.3)
            nn.init.normal_(layer.bias, 0.0, 0.3)
    module.train()
    module(1.5 * torch.randn(32, 2, 8, 6) + 0.5)
    return _classifier(module, torch.randn(24, 2, 8, 6), classes=4)


def transformer() -> Case:
    """A block with tied weights; some tokens of every sequence but the first have no label, those of the last none."""
    ids = torch.randint(11, (10, 6))
    labels = ids.roll(-1, dims=1)
    labels[torch.arange(6) >= torch.tensor([6, 5, 4, 3, 5, 2, 1, 4, 3, 0])[:, None]] = -100
    return Case(la.Problem(Block(), la.CrossEntropy()), (ids,), (labels,), TokenCrossEntropy())


def class_weights() -> Case:
    """Classes that count 1, 2, 3 and 4 times, so that batches do not count as their examples do."""
    labels = torch.arange(29).sqrt().long() % 4  # unlike from batch to batch
    module = nn.Sequential(nn.Linear(6, 7), nn.Tanh(), nn.Linear(7, 4))
    problem = la.Problem(module, la.CrossEntropy(weight=(1.0, 2.0, 3.0, 4.0)))
    return Case(problem, (torch.randn(29, 6),), (labels,), ClassWeights())


def example_weights() -> Case:
    """The mean squared error of a network that is not linear, with examples of different weights."""
    loss = la.PerExample(lambda o, t: (o - t).square().mean(dim=1), weights=ExampleWeights.weigh)
    return _regression(loss, ExampleWeights())


def mean_squares() -> Case:
    """The mean squared error of a network that is not linear."""
    return _regression(la.SquaredError(), nn.MSELoss())


def terms() -> Case:
    """A loss of two terms, one of which is curved in the outputs in a way of its own."""
    return _regression(la.PerExample(Terms.of_examples, terms=Terms.FACTORS), Terms())


CASES: dict[str, Callable[[], Case]] = {
    maker.__name__: maker
    for maker in (
        linear_regression,
        softmax_regression,
        product,
        mlp,
        conv,
        batch_norm,
        transformer,
        class_weights,
        example_weights,
        mean_squares,
        terms,
    )
}


def make_case(name: str, dtype: torch.dtype = torch.float64) -> Case:
    """One of the cases by name, seeded; module, inputs and targets in a floating-point type."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        case = CASES[name]()
    case.problem.module.to(dtype)
    return Case(case.problem, *case.in_precision(dtype), case.criterion)


def _regression(loss: la.Loss, criterion: nn.Module) -> Case:
    module = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))
    return Case(la.Problem(module, loss), (torch.randn(26, 5),), (torch.randn(26, 3),), criterion)


def _classifier(module: nn.Module, inputs: Tensor, classes: int) -> Case:
    labels = torch.randint(classes, (len(inputs),))
    return Case(la.Problem(module, la.CrossEntropy()), (inputs,), (labels,), nn.CrossEntropyLoss())


def _cast(tensors: tuple[Tensor, ...], dtype: torch.dtype) -> tuple[Tensor, ...]:
    """The tensors with their floating-point numbers in another precision, integers as they are."""
    return tuple(tensor.to(dtype) if tensor.is_floating_point() else tensor for tensor in tensors)
