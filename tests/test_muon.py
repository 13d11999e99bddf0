"""Muon on the matrices that a chart's vectors hold, and Adam on the rest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

import lossatlas as la
from lossatlas.errors import BadInput
from lossatlas.fitting import Fit, Steps
from lossatlas.fitting.muon import orthogonalise


@pytest.fixture
def module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 2), nn.Flatten(), nn.Linear(12, 5))


def spline(module: nn.Module) -> la.Spline:
    return la.Spline.random(module, initialiser=la.Xavier(), options={"controls": "3"})


def walk(chart: Any, optimizer: torch.optim.Optimizer, steps: int = 4) -> None:
    for step in range(steps):
        generator = torch.Generator().manual_seed(step)
        for parameter in chart.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator).to(parameter)
        optimizer.step()


@pytest.mark.parametrize("shape", [(3, 4), (7, 2), (2, 5, 5)])
def test_singular_values_come_near_to_one(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    matrices = 100 * torch.randn(*shape, generator=generator, dtype=torch.float64)
    found = torch.linalg.svdvals(orthogonalise(matrices))
    assert found.min() > 0.5
    assert found.max() < 1.3
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    assert ((orthogonalise(matrices) * (left @ right)).sum(dim=(-2, -1)) > 0.8 * min(shape[-2:])).all()


def test_nothing_comes_of_nothing() -> None:
    assert not orthogonalise(torch.zeros(2, 3)).any()


def test_each_matrix_of_each_vector_moves_as_under_torchs_muon(module: nn.Module) -> None:
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("torch.optim.Muon came with torch 2.9")
    chart, space = spline(module), la.WeightSpace(module)
    entry = next(entry for entry in space.entries if entry.shape == (5, 12))
    alone = [nn.Parameter(row[entry.slice].view(5, 12).detach().clone()) for row in chart.vectors]
    reference = torch.optim.Muon(alone, lr=5e-3, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    before = chart.vectors.detach().clone()
    optimizer = la.Muon(lr=5e-3).build(chart, space)
    for step in range(3):
        generator = torch.Generator().manual_seed(step)
        chart.vectors.grad = torch.randn(chart.vectors.shape, generator=generator)
        for one, row in zip(alone, chart.vectors.grad, strict=True):
            one.grad = row[entry.slice].view(5, 12).clone()
        optimizer.step()
        reference.step()
    moved = (chart.vectors.detach() - before)[:, entry.slice]
    expected = torch.stack([one.detach().flatten() for one in alone]) - before[:, entry.slice]
    # Theirs is computed in bfloat16, which has eight bits.
    assert (moved - expected).norm() < 0.02 * expected.norm()


def test_biases_and_the_scale_move_as_under_adam(module: nn.Module) -> None:
    space = la.WeightSpace(module)
    one, other = (la.Plane.random(module, initialiser=la.Xavier(), scale=2.0) for _ in range(2))
    walk(one, la.Muon(lr=1e-2, rest=0.5, betas=(0.8, 0.95), factors={"scale": 3.0}).build(one, space))
    walk(other, la.Adam(lr=5e-3, betas=(0.8, 0.95), factors={"scale": 6.0}).build(other))
    torch.testing.assert_close(one.scale, other.scale)
    for entry in space.entries:
        same = torch.allclose(one.directions[:, entry.slice], other.directions[:, entry.slice], rtol=1e-5, atol=1e-7)
        assert same == (len(entry.shape) < 2)
        assert torch.allclose(one.origin[entry.slice], other.origin[entry.slice], rtol=1e-5, atol=1e-7) == same


def test_vectors_of_a_chart_do_not_share_a_matrix(module: nn.Module) -> None:
    """Rows of the parameter are vectors of their own: each moves as it would alone."""
    space = la.WeightSpace(module)
    together, alone = spline(module), spline(module)
    walk(together, la.Muon().build(together, space), steps=1)
    optimizer = la.Muon().build(alone, space)
    generator = torch.Generator().manual_seed(0)
    gradient = torch.randn(alone.vectors.shape, generator=generator)
    gradient[1:] = 0
    alone.vectors.grad = gradient
    optimizer.step()
    torch.testing.assert_close(alone.vectors[0], together.vectors[0])


def test_a_fit_resumes_bit_for_bit(module: nn.Module) -> None:
    split = la.Split.of((torch.randn(20, 1, 3, 3), torch.arange(20) % 5))
    problem = la.Problem(module, la.CrossEntropy())

    def begin() -> Fit:
        chart = la.Plane.random(module, initialiser=la.Xavier(), scale=2.0)
        engine = la.engine_for(problem, chart, split, buffers=la.BatchStatistics(), plan="loop")
        objective = la.Pattern(la.picture("heart", 8), cells=4)
        return Fit(chart, objective, engine, split, Steps(6), optimizer=la.Muon(), batch_size=8, seed=1)

    whole, first, rest = begin(), begin(), begin()
    while not whole.done:
        whole.step()
    for _ in range(3):
        first.step()
    rest.restore(*first.state())
    while not rest.done:
        rest.step()
    for name, value in whole.chart.state_dict().items():
        assert torch.equal(value, rest.chart.state_dict()[name])
    tensors, numbers = first.state()
    spoilt = {name: value[:-1] if name.endswith("exp_avg") and value.ndim else value for name, value in tensors.items()}
    with pytest.raises(ValueError, match="exp_avg"):
        begin().restore(spoilt, numbers)


def test_numbers_out_of_range_are_refused() -> None:
    for wrong in ({"lr": 0.0}, {"momentum": 1.0}, {"rest": -1.0}, {"betas": (0.9, 1.0)}):
        with pytest.raises(BadInput, match=next(iter(wrong))):
            replace(la.Muon(), **wrong)
