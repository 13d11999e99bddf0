"""Losses of any unit: what is stored and drawn of them has their own."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.text import Text
from torch import Tensor

import lossatlas as la
from lossatlas.jobs.survey import run_survey
from lossatlas.jobs.train import run_train
from lossatlas.recipes import SurveyConfig, TrainConfig
from lossatlas.schema import TARGET_LOSS, OnTrajectory


class Bits(la.CrossEntropy):
    """The cross-entropy in another unit."""

    units = "bit"

    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        return super().__call__(outputs, targets) / math.log(2)


TRAINED = TrainConfig(
    model="mlp", model_options={"hidden": (6,)}, epochs=1, batch_size=300, snapshots="step:1", device="cpu"
)
SURVEYED = SurveyConfig(
    model="mlp", model_options={"hidden": (6,)}, grid=(4, 3), examples="100", plan="loop", device="cpu"
)


def surveyed(loss: str, folder: Path) -> xr.Dataset:
    """A survey along the trajectory of a training under a loss."""
    run_train(replace(TRAINED, loss=loss), folder / "run", pictures=False)
    run_survey(replace(SURVEYED, loss=loss, trajectory=str(folder / "run")), folder / "survey", pictures=False)
    return xr.open_zarr(str(folder / "survey" / "survey.zarr"), consolidated=False, chunks=None).load()


@pytest.fixture(scope="module")
def in_bits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[xr.Dataset]:
    """The survey under a user's loss that states its unit."""
    users = ModuleType("users_losses")
    users.Bits = Bits  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "users_losses", users)
        yield surveyed("users_losses:Bits", tmp_path_factory.mktemp("bits"))


def test_what_is_stored_of_a_trajectory_has_the_unit_of_the_loss(in_bits: xr.Dataset) -> None:
    units = {name: variable.attrs["units"] for name, variable in in_bits.items() if str(name).endswith("_loss")}
    for split in ("train", "test"):
        assert units[f"{split}_loss"] == "bit"
        for of in (OnTrajectory.loss, OnTrajectory.loss_under):
            assert in_bits[of(split)].attrs["units"] == "bit"
    assert "nat" not in {variable.attrs.get("units") for variable in in_bits.variables.values()}


def test_its_picture_says_so(in_bits: xr.Dataset) -> None:
    (figure,) = (one.figure for one in la.view(in_bits, kinds=["trajectory"]).values())
    words = [text.get_text() for text in figure.findobj(Text)]
    assert {"train mean loss (bit, log scale)", "train loss (bit)"} <= {*words}
    assert not re.findall(r"\bnats?\b", " ".join(words))


def test_a_target_has_the_unit_of_the_loss_that_is_fitted_to_it() -> None:
    module = la.MLP(hidden=(5,)).build((1, 3, 3), 4)
    chart = la.Plane.random(module, initialiser=la.Xavier())
    split = la.Split((torch.zeros(6, 1, 3, 3), torch.arange(6) % 4))
    wanted = la.GreyPicture(np.geomspace(0.1, 2.0, 20).reshape(4, 5), "ramp")
    for loss, unit in ((Bits(), "bit"), (la.CrossEntropy(), "nat")):
        data = la.survey(chart, wanted, la.Problem(module, loss), {"train": split}, plan="loop", padding=1)
        assert data[TARGET_LOSS].attrs["units"] == data["train_loss"].attrs["units"] == unit
