"""The surveys that a comparison is made of: around each of its networks, and between every two."""

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
"""The folder of a comparison in which initial weights lie that are in no snapshot."""


@dataclass(frozen=True)
class ComparedSurvey:
    """One survey of a comparison."""

    kind: str
    """``surface``, ``line`` or ``slice``."""
    places: tuple[int, ...]
    """Of the networks that it is about."""
    architecture: int
    name: str
    """Of its run directory."""
    config: SurveyConfig


def list_surveys(config: CompareConfig, recipe: CompareRecipe, folder: Path) -> list[ComparedSurvey]:
    """The surveys of a comparison: surfaces first, whose plan serves the others, too.

    Args:
        config: of the comparison.
        recipe: its objects.
        folder: that of the run, where initial weights lie that no snapshot holds.
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
    """Number directories that would have one name: ``a--b`` with ``c`` has that of ``a`` with ``b--c``."""
    seen: Counter[str] = Counter()
    found = []
    for task in tasks:
        seen[task.name] += 1
        again = seen[task.name]
        found.append(task if again == 1 else replace(task, name=f"{task.name}~{again}"))
    return found


def _survey(config: CompareConfig, network: Compared) -> SurveyConfig:
    """The settings that all surveys have, with the problem of a network."""
    problem = {each.name: getattr(network.config, each.name) for each in fields(ProblemConfig)}
    return SurveyConfig(**{**problem, **{each.name: getattr(config, each.name) for each in fields(EvaluationConfig)}})


def count_points(config: SurveyConfig) -> int:
    """How many points a survey of a comparison has."""
    axes = 2 if len(config.between) > 2 else 1
    grid = require(config.grid)
    return prod(grid * axes if len(grid) == 1 else grid) * require(config.repeats)


def _slug(network: Compared) -> str:
    """A network's name as that of a directory."""
    return network.name.replace("/", "+")


def find_start_file(folder: Path, key: str) -> Path:
    """Where the initial weights with this hash lie that are in no snapshot.

    Args:
        folder: that of the comparison.
        key: the hash.
    """
    return folder / STARTS / f"{key}.safetensors"
