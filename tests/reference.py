"""The slow, obvious way: a loop over points, plain modules with copied weights, autograd through everything."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils import vector_to_parameters

import lossatlas as la


def module_at(problem: la.Problem, weights: Tensor, policy: str) -> nn.Module:
    """A copy of the module with weights (n,) in it, in the mode that a buffers policy means."""
    module = copy.deepcopy(problem.module)
    vector_to_parameters(weights.detach(), module.parameters())
    module.eval()
    if policy == "batch":
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.train()  # normalises by the batch; what it writes into its buffers is thrown away with the copy
    return module


def outputs_and_losses(problem: la.Problem, module: nn.Module, batch: object) -> tuple[Tensor, Tensor]:
    args, kwargs = problem.feed.inputs(batch)
    outputs = problem.feed.output(module(*args, **kwargs))
    return outputs, problem.loss(outputs, problem.feed.targets(batch))


def gradients(
    problem: la.Problem, points: Tensor, batch: object, functional: la.Functional, policy: str
) -> tuple[Tensor, Tensor]:
    """The functional's value () and its gradients (P, n) at points (P, n), all points in one graph."""
    modules = [module_at(problem, weights, policy) for weights in points]
    results = [outputs_and_losses(problem, module, batch) for module in modules]
    outputs = torch.stack([outputs for outputs, _ in results])
    losses = torch.stack([losses for _, losses in results])
    weights = problem.loss.weights(problem.feed.targets(batch))
    weights = torch.ones_like(losses[0]) if weights is None else weights.to(losses)
    value = functional.value(outputs, losses, weights / weights.sum(), slice(0, len(points)))
    value.backward()
    rows = [torch.cat([p.grad.reshape(-1) for p in module.parameters()]) for module in modules]
    return value.detach(), torch.stack(rows)
