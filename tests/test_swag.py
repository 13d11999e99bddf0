"""The posterior of SWAG against its closed form, and samples that depend on their number alone."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lossatlas as la
from lossatlas.charts import encode_chart

SAMPLES = 100_000
SIGMAS = 4.5
"""How many standard errors an entry may be off: of some hundred entries one would be by chance once in a thousand."""


def make_iterates(space: la.WeightSpace, count: int) -> Tensor:
    """Correlated iterates (count, n) in float64, of other scales in every parameter."""
    made = torch.Generator().manual_seed(5)
    mixing = torch.randn(space.size, space.size, generator=made, dtype=torch.float64)
    return 2.0 + torch.randn(count, space.size, generator=made, dtype=torch.float64) @ mixing / 3


def expect(swag: la.Swag) -> tuple[Tensor, Tensor]:
    """The closed form: mean (n,) and covariance (n, n), float64."""
    deviations = swag.deviations.double()
    covariance = (torch.diag(swag.variance) + deviations.T @ deviations / (len(deviations) - 1)) / 2
    return swag.mean, covariance


@pytest.mark.parametrize("rank", [4, 30])
def test_samples_have_the_closed_moments_across_tensors_too(rank: int) -> None:
    space = la.WeightSpace(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1)))
    assert space.size == 16
    swag = la.Swag.of(la.Moments.of(make_iterates(space, 12), rank), seed=3)
    assert swag.rank == min(rank, 12)
    mean, covariance = expect(swag)
    found = swag.points(torch.arange(SAMPLES)[:, None]).double()
    variance = covariance.diagonal()
    off = (found.mean(dim=0) - mean).abs() / (variance / SAMPLES).sqrt()
    assert off.max() < SIGMAS
    centred = found - mean
    products = centred.T @ centred / SAMPLES
    # The variance of the product of two jointly normal numbers: s_ii s_jj + s_ij².
    errors = ((variance[:, None] * variance + covariance**2) / SAMPLES).sqrt()
    assert ((products - covariance).abs() / errors).max() < SIGMAS
    # The closed form would not do without the part that lies across tensors.
    assert (covariance[:9, 9:].abs() / errors[:9, 9:]).max() > 20 * SIGMAS


def test_a_sample_depends_on_the_seed_and_its_number_alone() -> None:
    moments = la.Moments.of(torch.randn(9, 2000, generator=torch.Generator().manual_seed(0)), rank=5)
    one, other = la.Swag.of(moments, seed=1), la.Swag.of(moments, seed=2)
    together = one.points(torch.arange(6)[:, None])
    for k in (4, 0, 5):
        assert torch.equal(one.points(torch.tensor([[float(k)]])), together[k : k + 1])
    assert not torch.allclose(other.points(torch.tensor([[4]])), together[4:5])
    assert together.dtype == torch.float32


@pytest.mark.parametrize("rank", [0, 1])
def test_too_few_deviations_give_the_diagonal_and_say_so(rank: int) -> None:
    moments = la.Moments.of(torch.tensor([[0.0, 1.0], [2.0, 5.0], [4.0, 0.0]], dtype=torch.float64), rank=rank)
    with pytest.warns(la.Caution, match="SWAG-Diagonal"):
        swag = la.Swag.of(moments)
    found = swag.points(torch.arange(20_000)[:, None]).double()
    covariance = torch.cov(found.T)
    assert torch.allclose(covariance.diagonal(), moments.variance, rtol=0.05)
    assert covariance[0, 1].abs() < SIGMAS * float(moments.variance.prod().sqrt()) / 20_000**0.5


def test_a_posterior_is_written_and_read(tmp_path: Path) -> None:
    swag = la.Swag.of(la.Moments.of(torch.eye(4), rank=3), seed=11)
    (tmp_path / "chart.safetensors").write_bytes(encode_chart(swag))
    again = la.load_chart(tmp_path / "chart.safetensors")
    assert torch.equal(again.points(torch.tensor([[2]])), swag.points(torch.tensor([[2]])))
    assert again.fingerprint() == swag.fingerprint()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", la.Caution)
        diagonal = la.Swag.of(la.Moments.of(torch.eye(4), rank=0))
    (tmp_path / "chart.safetensors").write_bytes(encode_chart(diagonal))
    assert la.load_chart(tmp_path / "chart.safetensors").fingerprint() == diagonal.fingerprint()


@pytest.mark.parametrize("number", [0.5, -1.0, float("nan"), float("inf")])
def test_coordinates_that_number_no_sample_are_refused(number: float) -> None:
    swag = la.Swag.of(la.Moments.of(torch.eye(3)))
    with pytest.raises(la.BadInput, match="is not the number of a sample"):
        swag.points(torch.tensor([[1.0], [number]]))


def test_impossible_posteriors_are_refused() -> None:
    with pytest.raises(la.BadInput, match="an average needs two snapshots or more"):
        la.Swag.of(la.Moments())
    with pytest.raises(la.BadInput, match=r"have shapes \(3,\), \(2,\), \(2, 3\)"):
        la.Swag(torch.ones(3), torch.ones(2), torch.ones(2, 3))
    with pytest.raises(la.BadInput, match="variances of 0 or more"):
        la.Swag(torch.ones(3), -torch.ones(3), torch.ones(2, 3))


def test_samples_are_surveyed_with_statistics_of_their_own() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
    problem = la.Problem(module, la.CrossEntropy())
    examples = la.Split.of((torch.randn(40, 4), torch.randint(3, (40,))))
    start = la.WeightSpace(module).vector_of(module)
    swag = la.Swag.of(la.Moments.of(start + 0.1 * torch.randn(8, len(start))))
    found = la.survey(swag, la.make_grid(swag, (5,)), problem, {"test": examples})
    assert found["test_loss"].dims == ("sample",)
    assert np.isfinite(found["test_loss"]).all()
    assert found["test_loss"].std() > 0
    assert found["test_loss"].attrs["buffers"].startswith("reestimated")
    with pytest.raises(la.BadInput, match="frozen buffers need a trained network"):
        la.survey(swag, la.make_grid(swag, (5,)), problem, {"test": examples}, buffers=la.FrozenStatistics())
    with pytest.raises(la.BadInput, match="several samples are surveyed on whole grids"):
        la.survey(swag, la.make_grid(swag, (5,)), problem, {"test": examples}, budget=3)
