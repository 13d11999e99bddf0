"""Moments and averages of weight vectors against the formulas that they are defined by."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import Tensor, nn

import lossatlas as la
from lossatlas.averages import KEPT, RUNNING, Averages, encode_averages, read_averages
from lossatlas.recipes.averages import load_moments
from lossatlas.rundir import AVERAGES


def make_vectors(count: int, size: int, seed: int = 0) -> Tensor:
    return 3.0 + torch.randn(count, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("rank", [0, 3, 50])
def test_moments_are_those_of_all_vectors_at_once(rank: int) -> None:
    vectors = make_vectors(9, 5)
    moments = la.Moments.of(vectors, rank)
    assert torch.allclose(moments.mean, vectors.mean(dim=0), rtol=1e-12)
    assert torch.allclose(moments.variance, vectors.var(dim=0, unbiased=False), rtol=1e-12)
    running = torch.stack([vectors[: k + 1].mean(dim=0) for k in range(9)])
    assert torch.allclose(moments.deviations.double(), (vectors - running)[9 - min(rank, 9) :], atol=1e-14)
    assert (moments.count, moments.source) == (9, KEPT)


def test_a_mean_of_many_vectors_in_32_bits_is_exact_to_1e_12() -> None:
    vectors = make_vectors(5000, 4).float()
    moments = la.Moments(rank=2)
    for vector in vectors:
        moments.take(vector)
    assert torch.allclose(moments.mean, vectors.double().mean(dim=0), rtol=1e-12, atol=0)
    assert moments.source == RUNNING
    assert moments.deviations.dtype == torch.float32


def test_variances_are_never_negative() -> None:
    vectors = torch.full((50, 3), 1e8) + torch.tensor([0.0, 8.0, 0.1])
    vectors[::2, 1] += 8.0
    moments = la.Moments.of(vectors)
    assert (moments.variance >= 0).all()
    assert moments.variance[0] == 0
    assert moments.variance[1] == pytest.approx(16.0, rel=1e-9)


def test_vectors_are_not_changed() -> None:
    vectors = make_vectors(4, 3)
    before = vectors.clone()
    la.Moments.of(vectors)
    average = la.ExponentialAverage(0.9)
    for vector in vectors:
        average.update(vector)
    assert torch.equal(vectors, before)


def test_moments_continue_bit_for_bit() -> None:
    vectors = make_vectors(30, 4).float()
    whole = la.Moments.of(vectors, rank=5)
    first, second = la.Moments(rank=5), la.Moments(rank=5)
    for vector in vectors[:13]:
        first.take(vector)
    second.restore(*first.state())
    for vector in vectors[13:]:
        second.take(vector)
    for name in ("mean", "variance", "deviations"):
        assert torch.equal(getattr(whole, name), getattr(second, name))


def test_an_exponential_average_is_the_weighted_sum_of_all_vectors() -> None:
    vectors, decay = make_vectors(6, 3), 0.8
    average = la.ExponentialAverage(decay)
    for vector in vectors:
        average.update(vector)
    weights = torch.tensor([decay**5, *((1 - decay) * decay**k for k in range(4, -1, -1))], dtype=torch.float64)
    assert torch.allclose(average.value, weights @ vectors, rtol=1e-13)


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        ([], "an average needs two snapshots or more; got none"),
        ([torch.ones(3)], "an average needs two snapshots or more; got 1"),
        ([torch.ones(3), torch.ones(2)], r"has shape \(2,\); expected \(3,\), as those before"),
        ([torch.ones(3), torch.tensor([1.0, torch.nan, 0.0])], "not finite cannot be averaged"),
        ([torch.ones(3, dtype=torch.int64)], "expected floating-point numbers"),
        ([torch.ones(3, 1)], r"expected \(n,\)"),
    ],
)
def test_what_cannot_be_averaged_is_refused_in_one_line(vectors: list[Tensor], said: str) -> None:
    with pytest.raises(la.BadInput, match=said):
        la.Moments.of(vectors)


@pytest.mark.parametrize("decay", [0.0, 1.0, -1.0, float("nan")])
def test_decays_outside_of_0_and_1_are_refused(decay: float) -> None:
    with pytest.raises(la.BadInput, match="is not a decay"):
        la.ExponentialAverage(decay)


def test_files_hold_averages_and_refuse_another_model(tmp_path: Path) -> None:
    space = la.WeightSpace(nn.Linear(3, 2))
    moments, average = la.Moments(rank=3), la.ExponentialAverage(0.9)
    for vector in make_vectors(7, space.size).float():
        moments.take(vector)
        average.update(vector)
    path = tmp_path / "averages.safetensors"
    path.write_bytes(content := encode_averages(Averages(moments, average, 12), space))
    found = read_averages(path, space)
    assert (found.moments.count, found.moments.rank, found.moments.source, found.step) == (7, 3, RUNNING, 12)
    assert torch.allclose(found.moments.mean, moments.mean, rtol=1e-15)
    assert torch.allclose(found.moments.variance, moments.variance, rtol=1e-15)
    assert torch.equal(found.moments.deviations, moments.deviations)
    assert found.exponential is not None
    assert torch.equal(found.exponential.value, average.value)
    with pytest.raises(la.BadInput, match=r"another model: 'weight' has shape \(2, 3\) there and has shape"):
        read_averages(path, la.WeightSpace(nn.Linear(4, 2)))
    with pytest.raises(la.BadInput, match="averages of another model: 'bias' has shape .* there and is missing"):
        read_averages(path, la.WeightSpace(nn.Linear(3, 2, bias=False)))
    path.write_bytes(content[:-9])
    with pytest.raises(la.BadInput, match="holds no averages"):
        read_averages(path, space)


def test_files_of_no_deviations_and_no_exponential_average_are_read(tmp_path: Path) -> None:
    space = la.WeightSpace(nn.Linear(3, 2))
    path = tmp_path / "averages.safetensors"
    path.write_bytes(encode_averages(Averages(la.Moments.of(make_vectors(3, space.size), rank=0)), space))
    found = read_averages(path, space)
    assert found.moments.deviations.shape == (0, space.size)
    assert found.exponential is None


@pytest.mark.parametrize(
    ("dtype", "held"),
    [(torch.float64, torch.float64), (torch.float32, torch.float32), (torch.bfloat16, torch.float32)],
)
@pytest.mark.parametrize("rank", [0, 2])
def test_deviations_and_samples_have_the_dtype_of_the_network(
    dtype: torch.dtype, held: torch.dtype, rank: int, tmp_path: Path
) -> None:
    space = la.WeightSpace(nn.Linear(3, 2).to(dtype))
    moments = la.Moments.of(make_vectors(5, space.size).to(dtype), rank)
    again, path = la.Moments(rank), tmp_path / "averages.safetensors"
    again.restore(*moments.state())
    path.write_bytes(encode_averages(Averages(moments), space))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", la.Caution)  # which says that a rank of 0 is diagonal
        for each in (moments, again, read_averages(path, space).moments):
            assert each.deviations.dtype == held
            assert each.deviations.shape == (rank, space.size)
            assert la.Swag.of(each).points(torch.zeros(1, 1)).dtype == held


TOLD = {"count": 3, "rank": 2, "source": RUNNING, "step": 3, "parameters": [["weight", [2, 3]], ["bias", [2]]]}


@pytest.mark.parametrize(
    ("tensors", "told", "said"),
    [
        ({"more": torch.tensor(1.0)}, {}, "'more' is unknown"),
        ({"mean": torch.tensor(1.0, dtype=torch.float64)}, {}, "'mean' is torch.float64 of shape"),
        ({"mean": torch.zeros(8)}, {}, "'mean' is torch.float32"),
        ({"deviations": torch.zeros(1, 8)}, {}, r"'deviations' is .* expected torch.float32 of shape \(2, 8\)"),
        ({"deviations": torch.zeros(2, 8, dtype=torch.float16)}, {}, "'deviations' is torch.float16"),
        ({"exponential": torch.zeros(8, dtype=torch.float64)}, {}, "'exponential' is unknown"),
        ({}, {"decay": 0.5, "updates": 2}, "'exponential' is missing"),
        ({"variance": torch.full((8,), -1.0, dtype=torch.float64)}, {}, "a variance is negative"),
        ({"mean": torch.full((8,), torch.inf, dtype=torch.float64)}, {}, "not all finite"),
        ({}, {"source": "\x1b[31mred"}, "source"),
        ({}, {"parameters": [*TOLD["parameters"], ["bias", [2]]]}, "a parameter is named twice"),
        ({}, {"rank": 2**70}, "rank"),
        ({"exponential": torch.zeros(8, dtype=torch.float64)}, {"decay": 7.0}, "7.0 is not a decay"),
    ],
)  # fmt: skip
def test_files_that_averages_do_not_have_are_refused_in_one_line(
    tensors: dict[str, Tensor], told: dict[str, Any], said: str, tmp_path: Path
) -> None:
    whole = {name: torch.zeros(8, dtype=torch.float64) for name in ("mean", "variance")}
    path, space = tmp_path / "averages.safetensors", la.WeightSpace(nn.Linear(3, 2))
    path.write_bytes(save({**whole, "deviations": torch.zeros(2, 8)}, {"lossatlas": json.dumps(TOLD)}))
    assert read_averages(path, space).moments.count == 3
    content = {**whole, "deviations": torch.zeros(2, 8), **tensors}
    path.write_bytes(save(content, {"lossatlas": json.dumps({**TOLD, **told})}))
    with pytest.raises(la.BadInput, match=said) as refused:
        read_averages(path, space)
    assert str(refused.value).isprintable()


def test_a_link_out_of_a_folder_is_not_followed(tmp_path: Path) -> None:
    space = la.WeightSpace(nn.Linear(3, 2))
    for folder in ("there", "here"):
        (tmp_path / folder).mkdir()
    (tmp_path / "there" / AVERAGES).write_bytes(
        encode_averages(Averages(la.Moments.of(make_vectors(3, space.size))), space)
    )
    (tmp_path / "here" / AVERAGES).symlink_to(tmp_path / "there" / AVERAGES)
    load_moments(tmp_path / "there", space)
    with pytest.raises(la.BadInput, match="is a link that leads out of"):
        load_moments(tmp_path / "here", space)
