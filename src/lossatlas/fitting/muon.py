"""Muon on the matrices that the vectors of a chart hold, and Adam on everything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lossatlas.bounds import Decay, Positive, ToInfinity
from lossatlas.charts import Chart
from lossatlas.fitting.optimizer import ChartOptimizer, group_parameters
from lossatlas.weights import WeightSpace

__all__ = ["Muon", "orthogonalise"]

QUINTIC = (3.4445, -4.7750, 2.0315)
"""The coefficients of Jordan et al. 2024, whose iteration grows small singular values quickly."""
ITERATIONS = 5
SMALLEST = 1e-7
"""The least norm that a matrix is divided by."""
LIKE_ADAM = 0.2
"""The root mean square of an update relative to the learning rate, as Adam's is (Liu et al. 2025, section 2.2)."""


@dataclass(frozen=True)
class Muon(ChartOptimizer):
    """Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) on matrices of weights, Adam on the rest.

    The vectors of a chart, such as its origin and directions or its controls, hold weight matrices of the network, each
    a slice that is shaped (outputs, everything else); a convolution is one, too. The momentum of such a slice is made
    orthogonal before it is added, so that all directions in the matrix are followed equally. Biases, normalisations and
    the chart's own numbers, such as a scale, are left to Adam. It is computed in the precision of the chart, since
    bfloat16, in which ``torch.optim.Muon`` computes, is emulated on many processors.

    Args:
        lr: the learning rate of matrices, which a schedule multiplies by a factor; an update has 0.2 times that as its
            root mean square (Liu et al. 2025, arXiv 2502.16982).
        momentum: the decay rate of the running mean of the gradient (with Nesterov's correction).
        rest: the learning rate of Adam, as a multiple of ``lr``.
        betas: decay rates of the running means of Adam.
        max_norm: the largest Euclidean norm of the whole gradient, which is scaled down to it; infinity does not clip.
        factors: factors of ``lr`` by the name of the chart's parameter (``{"scale": 1.6}``); one without matrices has
            Adam at ``lr`` times this, not at ``rest`` times that.

    Raises:
        BadInput: a number is outside its range.

    >>> import torch, lossatlas as la
    >>> plane = la.Plane.random(module := torch.nn.Linear(4, 2), initialiser=la.Xavier(), scale=2.0)
    >>> optimizer = la.Muon(lr=5e-3, factors={"scale": 1.6}).build(plane, la.WeightSpace(module))
    >>> sorted({group["lr"] for group in optimizer.param_groups})
    [0.005, 0.008]
    """

    lr: Positive = 5e-3
    momentum: Decay = 0.95
    rest: Positive = 0.4
    betas: tuple[Decay, Decay] = (0.8, 0.95)
    max_norm: ToInfinity = 100.0
    factors: Mapping[str, float] = field(default_factory=dict)

    def build(self, chart: Chart, space: WeightSpace) -> torch.optim.Optimizer:
        groups = group_parameters(chart, self.lr, self.factors)
        pieces = [(entry.slice, entry.shape) for entry in space.entries]
        for group in groups:
            group |= {"momentum": self.momentum, "rest": self.rest, "betas": self.betas}
            group |= {"size": space.size, "pieces": pieces}
        return _Muon(groups)


def orthogonalise(matrices: Tensor) -> Tensor:
    """Bring the singular values of matrices (..., o, i) near to one, by five Newton-Schulz iterations.

    They end between about 0.7 and 1.2, unless they were a thousandth of the largest or less (Jordan et al. 2024).
    """
    a, b, c = QUINTIC
    tall = matrices.shape[-2] > matrices.shape[-1]
    found: Tensor = matrices.mT if tall else matrices
    found = found / found.flatten(-2).norm(dim=-1)[..., None, None].clamp(min=SMALLEST)
    for _ in range(ITERATIONS):
        gram = found @ found.mT
        found = a * found + (b * gram + c * gram @ gram) @ found
    return found.mT if tall else found


class _Muon(torch.optim.Optimizer):
    """The torch optimiser; each parameter has a step, and first and second moments like Adam's.

    The first moment of a matrix is Muon's momentum, and its second moment stays zero.
    """

    def __init__(self, groups: Sequence[dict[str, Any]]) -> None:
        super().__init__(list(groups), {})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, parameter.grad, group)

    def _step(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        tensors = parameter, gradient, state["exp_avg"], state["exp_avg_sq"]
        step, lr = int(state["step"]), group["lr"]
        if parameter.ndim == 0 or parameter.shape[-1] != group["size"]:
            _follow_adam(*tensors, lr, group["betas"], step)
            return
        for place, shape in group["pieces"]:
            piece, slope, mean, square = (tensor[..., place] for tensor in tensors)
            if len(shape) > 1:
                _follow_muon(piece, slope, mean, lr, group["momentum"], shape[0])
            else:
                _follow_adam(piece, slope, mean, square, group["rest"] * lr, group["betas"], step)


def _follow_muon(piece: Tensor, gradient: Tensor, mean: Tensor, lr: float, momentum: float, rows: int) -> None:
    """Update slices (..., o * i) that are matrices (..., o, i) of ``rows`` outputs o."""
    mean.lerp_(gradient, 1 - momentum)
    sought = gradient.lerp(mean, momentum)
    matrices = sought.view(*sought.shape[:-1], rows, -1)
    longest = max(matrices.shape[-2:])
    piece.sub_(orthogonalise(matrices).flatten(-2), alpha=lr * LIKE_ADAM * longest**0.5)


def _follow_adam(
    piece: Tensor, gradient: Tensor, mean: Tensor, square: Tensor, lr: float, betas: tuple[float, float], step: int
) -> None:
    """Update a slice as ``torch.optim.Adam`` does."""
    first, second = betas
    mean.lerp_(gradient, 1 - first)
    square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
    spread = (square.sqrt() / (1 - second**step) ** 0.5).add_(1e-8)
    piece.addcdiv_(mean, spread, value=-lr / (1 - first**step))
