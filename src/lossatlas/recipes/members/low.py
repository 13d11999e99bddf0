"""``RUN@low:K``: low cells of a fitted picture."""

from __future__ import annotations

from typing import final

import torch

from lossatlas.ensembles.members import Members
from lossatlas.errors import BadInput
from lossatlas.recipes.ensemble_config import EnsembleConfig
from lossatlas.recipes.member_kind import PointsKind, parse_number
from lossatlas.recipes.member_points import find_low_cells, take_points
from lossatlas.recipes.problem import ProblemRecipe
from lossatlas.streams import make_generator

__all__ = ["LOW"]

MOST = 50
"""The number of cells that are taken unless another is stated."""


@final
class _Low(PointsKind):
    form = "[:K]"
    words = (
        "K random low cells of a fitted picture, or members that were fitted with --pattern members:N; by default all, "
        f"or {MOST} of more"
    )

    def find(self, place: str, argument: str, config: EnsembleConfig, base: ProblemRecipe) -> Members:
        spec = f"{place}@low{':' * bool(argument)}{argument}"
        count = parse_number(spec, argument)
        run, chart, coords = find_low_cells(place, base)
        if count is not None and count > len(coords):
            raise BadInput(f"the picture of {place} has {len(coords)} low cells and {spec} names {count}; name fewer")
        order = torch.randperm(len(coords), generator=make_generator(config.sample_seed, "low cells"))
        coords = coords[order[: count if count is not None else MOST]]
        return take_points(run, chart, coords, base)


LOW = _Low()
