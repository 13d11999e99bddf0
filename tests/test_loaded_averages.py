"""Averages of a training, from its own file or from its snapshots: which it was, and how many."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import lossatlas as la
from lossatlas.averages import Averages, encode_averages
from lossatlas.recipes.averages import load_exponential, load_moments
from lossatlas.rundir import AVERAGES


def record_walk(folder: Path, steps: int = 12) -> tuple[la.WeightSpace, torch.Tensor]:
    """Snapshots of a network that walks at random; returns its space and all vectors."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    space, trajectory = la.WeightSpace(model), la.Trajectory(folder)
    vectors = []
    for step in range(steps + 1):
        trajectory.record(model, step)
        vectors.append(space.vector_of(model))
        for parameter in model.parameters():
            parameter.data += torch.randn_like(parameter)
    return space, torch.stack(vectors)


def test_late_snapshots_are_averaged_and_the_note_says_so(tmp_path: Path) -> None:
    space, vectors = record_walk(tmp_path)
    moments, note = load_moments(tmp_path, space, rank=3, begin=0.75)
    assert torch.allclose(moments.mean, vectors[9:].double().mean(dim=0), rtol=1e-12)
    assert len(moments.deviations) == 3
    assert note == f"{tmp_path}: moments of 4 kept snapshots, rank 3, from step 9 to 12"
    assert load_moments(tmp_path, space, rank=20, begin=0.75)[1].count("rank 4 (of the 20 asked for)") == 1
    average, note = load_exponential(tmp_path, space, begin=0.75)
    expected = vectors[9].double()
    for vector in vectors[10:]:
        expected = 0.9 * expected + 0.1 * vector.double()
    assert torch.allclose(average.value, expected, rtol=1e-12)
    assert note == f"{tmp_path}: exponential average of 4 kept snapshots, decay 0.9 per snapshot"


def test_what_a_training_averaged_comes_first(tmp_path: Path) -> None:
    space, vectors = record_walk(tmp_path)
    moments, average = la.Moments(rank=5), la.ExponentialAverage(0.5)
    for vector in vectors:
        moments.take(vector)
        average.update(vector)
    (tmp_path / AVERAGES).write_bytes(encode_averages(Averages(moments, average, 12), space))
    found, note = load_moments(tmp_path, space, rank=2)
    assert torch.allclose(found.mean, vectors.double().mean(dim=0))
    assert torch.equal(found.deviations, moments.deviations[-2:])
    assert note == f"{tmp_path}: running moments of 13 iterates, rank 2"
    assert load_moments(tmp_path, space, rank=0)[0].deviations.shape == (0, space.size)
    assert load_moments(tmp_path, space)[1].endswith("rank 5 (of the 20 asked for)")
    own, note = load_exponential(tmp_path, space)
    assert torch.equal(own.value, average.value)
    assert note == f"{tmp_path}: exponential average of 13 steps, decay 0.5 per step"
    assert "kept snapshots" in load_exponential(tmp_path, space, decay=0.8)[1]


def test_what_was_not_averaged_and_not_kept_is_refused_in_one_line(tmp_path: Path) -> None:
    space, _ = record_walk(tmp_path / "walk", steps=2)
    with pytest.raises(la.BadInput, match="two snapshots or more, and .* keeps 1 of the last 25% of its steps"):
        load_moments(tmp_path / "walk", space)
    (tmp_path / "empty").mkdir()
    with pytest.raises(la.BadInput, match="two snapshots or more, and .* keeps none"):
        load_moments(tmp_path / "empty", space)
    with pytest.raises(la.BadInput, match="nothing does not exist"):
        load_moments(tmp_path / "nothing", space)
    with pytest.raises(la.BadInput, match="is not a share of the training"):
        load_moments(tmp_path / "walk", space, begin=1.0)
    one, average = la.Moments(), la.ExponentialAverage(0.5)
    one.take(torch.ones(space.size))
    average.update(torch.ones(space.size))
    (tmp_path / AVERAGES).write_bytes(encode_averages(Averages(one, average), space))
    with pytest.raises(la.BadInput, match=f"{tmp_path}: an average needs two snapshots or more; got 1"):
        load_moments(tmp_path, space)
    moments = la.Moments.of(torch.ones(3, space.size))
    (tmp_path / "mean").mkdir()
    (tmp_path / "mean" / AVERAGES).write_bytes(encode_averages(Averages(moments), space))
    with pytest.raises(la.BadInput, match="mean holds no exponential average beside its moments, and no snapshots"):
        load_exponential(tmp_path / "mean", space)
    with pytest.raises(la.BadInput, match=r"average of decay 0.5, and no snapshots to make one of decay 0.9 from"):
        load_exponential(tmp_path, space, decay=0.9)
