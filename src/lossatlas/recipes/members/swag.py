"""``RUN@swag:K``: samples of SWAG's posterior."""

from __future__ import annotations

from pathlib import Path
from typing import final

import torch

from lossatlas.charts import Swag
from lossatlas.ensembles.members import Members
from lossatlas.recipes.averages import load_moments
from lossatlas.recipes.effort import find_cost
from lossatlas.recipes.ensemble_config import EnsembleConfig
from lossatlas.recipes.member_averages import describe_statistics, load_last
from lossatlas.recipes.member_kind import PointsKind, parse_number
from lossatlas.recipes.problem import ProblemRecipe

__all__ = ["SWAG"]

USUAL = 30


@final
class _Swag(PointsKind):
    form = "[:K]"
    words = (
        f"K samples ({USUAL} by default) of SWAG's Gaussian posterior, made of a training's --average or else of its "
        "snapshots, with statistics re-estimated"
    )

    def find(self, place: str, argument: str, config: EnsembleConfig, base: ProblemRecipe) -> Members:
        count = parse_number(f"{place}@swag:{argument}", argument) or USUAL
        moments, note = load_moments(Path(place), base.space, config.average_rank, base.average_from)
        return Members(
            chart=Swag.of(moments, config.sample_seed),
            coords=torch.arange(count, dtype=torch.float64)[:, None],
            names=tuple(f"{Path(place).resolve().name} sample {k}" for k in range(count)),
            state=load_last(place, base),
            costs=(find_cost(place),) * count,
            notes=(note, *describe_statistics(base, config.buffers)),
        )


SWAG = _Swag()
