"""``RUN@low:K``: low cells of a fitted picture."""

from __future__ import annotations

from typing import final

import torch

from lossatlas.ensembles.members import Members
from lossatlas.errors import BadInput
from lossatlas.pictures import MemberGrid, Picture, find_source, parse_size
from lossatlas.recipes.ensemble_config import EnsembleConfig
from lossatlas.recipes.fit_config import FitConfig
from lossatlas.recipes.member_kind import PointsKind, parse_number
from lossatlas.recipes.member_points import open_chart, take_points
from lossatlas.recipes.options import check_options
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
        run, chart = open_chart(place, base)
        fit = run.maker.read_config("pattern")
        if not isinstance(fit, FitConfig):
            raise BadInput(f"{place} did not fit a picture, so that it has no low cells; name points of it: {place}@at")
        source = find_source(fit.pattern, fit.invert, check_options("pattern", fit.pattern, fit.pattern_options))
        picture = source.render(parse_size(fit.size) if fit.size is not None else None)
        if not isinstance(picture, Picture | MemberGrid):
            raise BadInput(f"the picture of {place} has shades of grey and no low cells; name points of it: {place}@at")
        coords = torch.from_numpy(picture.coords()[picture.low])
        if count is not None and count > len(coords):
            raise BadInput(f"the picture of {place} has {len(coords)} low cells and {spec} names {count}; name fewer")
        order = torch.randperm(len(coords), generator=make_generator(config.sample_seed, "low cells"))
        coords = coords[order[: count if count is not None else MOST]]
        return take_points(run, chart, coords, base)


LOW = _Low()
