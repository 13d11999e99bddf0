"""The surveys of a comparison: around each of its networks, and between every two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from math import prod
from pathlib import Path

from lossatlas.recipes.base import ProblemConfig, require
from lossatlas.recipes.compare import Compared, CompareRecipe, Pair
from lossatlas.recipes.compare_config import CompareConfig
from lossatlas.recipes.shared_config import EvaluationConfig
from lossatlas.recipes.survey_config import SurveyConfig
from lossatlas.schema import PAIR_CORNERS

__all__ = ["ComparedSurvey", "count_points", "find_start_file", "list_surveys"]

STARTS = "starts"
"""The folder of a comparison for initial weights that no snapshot holds."""


@dataclass(frozen=True)
class ComparedSurvey:
    """One survey of a comparison."""

    kind: str
    """The kind: ``surface``, ``line`` or ``slice``."""
    places: tuple[int, ...]
    """The indices of its networks."""
    architecture: int
    name: str
    """The name of its run directory."""
    config: SurveyConfig


def list_surveys(config: CompareConfig, recipe: CompareRecipe, folder: Path) -> list[ComparedSurvey]:
    """List the surveys of a comparison, surfaces first, since their plan also serves the others.

    Args:
        config: the configuration of the comparison.
        recipe: its recipe.
        folder: the run directory, which holds the initial weights that no snapshot holds.
    """
    networks = recipe.networks

    def spanned(pair: Pair) -> SurveyConfig:
        ends = [networks[pair.one], networks[pair.other]]
        starts = [recipe.origins[end.origin].spec or str(find_start_file(folder, end.origin)) for end in ends]
        specs = dict(zip(PAIR_CORNERS, (starts[0], *(end.spec for end in ends), starts[1]), strict=True))
        between = tuple(specs[corner] for corner in pair.corners)
        return replace(_survey(config, ends[0]), between=between, chart=pair.chart, grid=config.grid)

    surfaces, lines = [], []
    for pair in (pair for pair in recipe.pairs if pair.joined):
        one, other = networks[pair.one], networks[pair.other]
        places, name = (pair.one, pair.other), f"{_slug(one)}--{_slug(other)}"
        if pair.chart:
            surfaces.append(ComparedSurvey("surface", places, one.architecture, name, spanned(pair)))
        line = replace(_survey(config, one), between=(one.spec, other.spec), grid=(config.line,))
        lines.append(ComparedSurvey("line", places, one.architecture, f"{name}.line", line))
    slices = []
    for place, network in enumerate(networks):
        settings = replace(
            _survey(config, network),
            checkpoint=network.spec,
            directions=("random",),
            normalize=config.normalize,
            ignore=config.ignore,
            direction_seed=config.direction_seed,
            repeats=config.repeats,
            range=(-config.slice_range, config.slice_range),
            grid=(config.slice_points,),
        )
        slices.append(ComparedSurvey("slice", (place,), network.architecture, f"{_slug(network)}.slice", settings))
    return _tell_apart([*surfaces, *lines, *slices])


def _tell_apart(tasks: Sequence[ComparedSurvey]) -> list[ComparedSurvey]:
    """Number directories whose names coincide, as those of ``a--b`` with ``c`` and of ``a`` with ``b--c`` do."""
    seen: Counter[str] = Counter()
    found = []
    for task in tasks:
        seen[task.name] += 1
        again = seen[task.name]
        found.append(task if again == 1 else replace(task, name=f"{task.name}~{again}"))
    return found


def _survey(config: CompareConfig, network: Compared) -> SurveyConfig:
    """Make the settings that all surveys share, with the problem of a network."""
    problem = {each.name: getattr(network.config, each.name) for each in fields(ProblemConfig)}
    return SurveyConfig(**{**problem, **{each.name: getattr(config, each.name) for each in fields(EvaluationConfig)}})


def count_points(config: SurveyConfig) -> int:
    """Count the points of a survey of a comparison."""
    axes = 2 if len(config.between) > 2 else 1
    grid = require(config.grid)
    return prod(grid * axes if len(grid) == 1 else grid) * require(config.repeats)


def _slug(network: Compared) -> str:
    """Return a network's name in a form that can name a directory."""
    return network.name.replace("/", "+")


def find_start_file(folder: Path, key: str) -> Path:
    """Return the file of initial weights that no snapshot holds.

    Args:
        folder: the run directory of the comparison.
        key: the hash of the weights.
    """
    return folder / STARTS / f"{key}.safetensors"
