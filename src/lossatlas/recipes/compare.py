"""From the configuration of a comparison to its networks. Everything that can be refused is refused here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from math import comb, prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lossatlas.errors import BadInput
from lossatlas.files.reading import converted, resolved
from lossatlas.hashing import fingerprint
from lossatlas.metrics import choose_metrics
from lossatlas.recipes.alike import Known, check_same_data, check_same_losses
from lossatlas.recipes.base import require
from lossatlas.recipes.compare_config import CompareConfig
from lossatlas.recipes.networks import load_networks, shorten_paths
from lossatlas.recipes.opened_run import DATA_SETTINGS, OpenedRun
from lossatlas.recipes.problem import ProblemRecipe, build_problem, check_data_now, hash_data
from lossatlas.recipes.room import Extent
from lossatlas.recipes.train import build_train
from lossatlas.recipes.train_config import TrainConfig
from lossatlas.rundir import PROVENANCE, SUMMARY
from lossatlas.schema import PAIR_CORNERS
from lossatlas.training import Trajectory
from lossatlas.types import Params
from lossatlas.weights.files import collect_state

__all__ = [
    "CompareRecipe",
    "Compared",
    "Origin",
    "Pair",
    "build_compare",
    "compute_extent",
    "name_groups",
    "pair_networks",
]

APART = {"seed", "device", "snapshots", "eval_batch_size"}
"""In what runs of one group may differ: the seed, and what changes no result."""
ORDER = ("model", "output", "parameters", "lr", "weight_decay", "schedule", "epochs", "batch_size", "augment")
"""In which settings stand in the name of a group; others follow."""
SCORES = ("_loss", "_accuracy")
"""How what a run came to ends in its summary."""
METRICS = 1
"""That each survey has at least."""
MODULE = "module"
"""Of a fingerprint in a run's provenance."""


@dataclass(frozen=True)
class Compared:
    """A trained network of a comparison."""

    name: str
    """The end of its path, as long as it takes to tell it from the others."""
    state: Params
    weights: Tensor
    """(n,), on the processor."""
    scores: Mapping[str, float | None]
    """What it came to, by ``<split>_loss`` and ``<split>_accuracy``."""
    group: str
    """What it is called together with the runs that differ from it in nothing but the seed."""
    origin: str = ""
    """A hash of its initial weights: which of the comparison's origins it started from; empty where nobody knows."""
    path: Path | None = None
    """Of its run; None of one that is known by its name."""
    config: TrainConfig = field(default_factory=TrainConfig)
    architecture: int = 0
    """Which of the comparison's problems it belongs to."""

    @property
    def spec(self) -> str:
        """What surveys name it by."""
        return self.name if self.path is None else str(self.path)


@dataclass(frozen=True)
class Origin:
    """Initial weights."""

    spec: str
    """A snapshot that holds them; empty where there is none, so that they are to be written."""
    state: Params
    weights: Tensor
    """(n,), on the processor."""


@dataclass(frozen=True)
class Pair:
    """Two networks of a comparison, by their places."""

    one: int
    other: int
    chart: str
    """Which figure they span with where they started: ``simplex`` or ``quadrilateral``; empty: none."""
    reason: str = ""
    """Why they span none."""
    joined: bool = True
    """Whether there is a line between them."""

    @property
    def corners(self) -> tuple[str, ...]:
        """What lies at the corners of the figure, in their order: of :data:`~lossatlas.schema.PAIR_CORNERS`."""
        return {"": (), "simplex": PAIR_CORNERS[:-1], "quadrilateral": PAIR_CORNERS}[self.chart]


@dataclass(frozen=True)
class CompareRecipe:
    """The objects of a comparison."""

    networks: tuple[Compared, ...]
    pairs: tuple[Pair, ...]
    problems: tuple[ProblemRecipe, ...]
    """One per architecture."""
    origins: Mapping[str, Origin]
    """By hash."""
    extent: Extent
    """Of all surveys together."""
    notes: tuple[str, ...] = ()
    """What somebody should know of the networks."""

    def fingerprints(self) -> dict[str, str]:
        """Hashes of what the configuration names and does not hold: data, and weights at the end of each run."""
        return {
            **hash_data(self.problems[0].data),
            **{network.name: fingerprint(sorted(network.state.items())) for network in self.networks},
        }


@dataclass(frozen=True, eq=False)
class _Run:
    """A finished training, and what it is called."""

    name: str
    opened: OpenedRun
    config: TrainConfig
    scores: Mapping[str, float | None]

    @property
    def architecture(self) -> tuple[str, ...]:
        """What runs have in common whose weights can be compared."""
        return (self.config.model, repr(sorted(self.config.model_options.items())), repr(self.config.parameters))

    @property
    def known(self) -> Known:
        """What it says of its problem."""
        return Known(self.name, self.config.flat(), self.opened.provenance.fingerprints)

    @property
    def origin(self) -> str:
        """A hash of its initial weights.

        Raises:
            BadInput: its record does not say it.
        """
        found = self.opened.provenance.fingerprints
        if MODULE not in found:
            raise BadInput(f"{self.opened.path / PROVENANCE} says nothing of the run's initial weights; train it again")
        return found[MODULE]


def build_compare(config: CompareConfig) -> CompareRecipe:
    """The networks that a configuration names, and what parts them.

    Raises:
        BadInput: fewer than two runs, one of them twice, unfinished, damaged or no training, or runs on different data
            or under different losses.
    """
    extent = compute_extent(config)
    runs = _runs(config.runs)
    known = [run.known for run in runs]
    for other in known[1:]:
        check_same_data(known[0], other, "compare runs on the same data")
    alike: dict[tuple[str, ...], list[_Run]] = {}
    for run in runs:
        alike.setdefault(run.architecture, []).append(run)
    problems = [_problem(config, own[0]) for own in alike.values()]
    data = problems[0].data
    hashes, hint = known[0].fingerprints, "bring them back, or train again"
    check_data_now(hashes, data, runs[0].config.data, runs[0].name, hint)
    check_same_losses(known, data.train, "compare runs under the same loss")
    groups = dict(zip(runs, name_groups([run.config for run in runs]), strict=True))
    networks: dict[_Run, Compared] = {}
    notes: list[str] = []
    origins: dict[str, Origin] = {}
    for place, (own, base) in enumerate(zip(alike.values(), problems, strict=True)):
        loaded = load_networks([str(run.opened.path) for run in own], base, called="run")
        notes += loaded.notes
        for run, state in zip(own, loaded.states, strict=True):
            weights = base.space.flatten(state)
            networks[run] = Compared(
                run.name, state, weights, run.scores, groups[run], run.origin, run.opened.path, run.config, place
            )
            if run.origin not in origins:
                origins[run.origin] = _origin(run, base)
    ordered = tuple(networks[run] for run in runs)
    return CompareRecipe(ordered, pair_networks(ordered), tuple(problems), origins, extent, tuple(notes))


def compute_extent(config: CompareConfig) -> Extent:
    """How much there is to survey at most: surfaces and lines between every two networks, and slices around each.

    Raises:
        BadInput: more than can be.
    """
    networks = len(config.runs)
    grid = require(config.grid)
    surface = prod(grid * 2 if len(grid) == 1 else grid)
    extents = {
        "grid": comb(networks, 2) * surface,
        "line": comb(networks, 2) * config.line,
        "slice_points and repeats": networks * config.slice_points * require(config.repeats),
    }
    numbers = METRICS * (1 + (config.examples != "all"))
    for option, points in extents.items():
        Extent(points, len(config.splits), numbers).check(option)
    whole = Extent(sum(extents.values()), len(config.splits), numbers)
    whole.check("grid, line and slice_points")
    return whole


def name_groups(configs: Sequence[TrainConfig]) -> list[str]:
    """What each run's group is called: its optimiser and switches, and in what else groups differ.

    Runs whose configurations differ by the seed alone are one group.
    """
    flat = [{k: v for k, v in config.flat().items() if k not in APART} for config in configs]
    named = {"optimizer", "switch"}
    keys = sorted(
        dict.fromkeys(key for one in flat for key in one),
        key=lambda key: ORDER.index(key) if key in ORDER else len(ORDER),
    )
    apart = [key for key in keys if key not in named and len({repr(one.get(key)) for one in flat}) > 1]
    return [" ".join([str(one["optimizer"]), *one["switch"], *_phrases(one, apart)]) for one in flat]


def _phrases(flat: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    """``batch_norm`` or ``no batch_norm`` of switches, ``lr=0.1`` of other options; nothing of what is not stated."""
    found = []
    for key in keys:
        value, last = flat.get(key), key.rpartition(".")[2]
        if isinstance(value, bool):
            found.append(last if value else f"no {last}")
        elif value is not None:
            found.append(f"{last}={value}")
    return found


def _runs(specs: Sequence[str]) -> list[_Run]:
    if len(specs) < 2:
        raise BadInput(
            f"{len(specs) or 'no'} run{'s' * (not specs)} to compare; name two or more finished runs of lossatlas train"
        )
    paths = [resolved(spec) for spec in specs]
    for spec, path in zip(specs, paths, strict=True):
        if paths.count(path) > 1:
            raise BadInput(f"{spec} is named twice; name runs that differ")
    names = shorten_paths([*map(str, paths)])
    return [_read(name, path, spec) for name, path, spec in zip(names, paths, specs, strict=True)]


def _read(name: str, path: Path, spec: str) -> _Run:
    opened = OpenedRun(path, "name finished runs of lossatlas train")
    if opened.verb != TrainConfig.verb:
        raise BadInput(f"{spec} is a run of another verb than train; name finished runs of lossatlas train")
    if not opened.finished:
        raise BadInput(f"{spec} is not finished; continue it with lossatlas train --out {spec} --resume")
    config = opened.read_config(*DATA_SETTINGS)
    assert isinstance(config, TrainConfig)
    return _Run(name, opened, config, _scores(opened))


def _scores(run: OpenedRun) -> dict[str, float | None]:
    """What a run came to, by ``<split>_loss`` and ``<split>_accuracy``.

    Raises:
        BadInput: its summary says something else than numbers there.
    """
    told = {key: value for key, value in run.summary.items() if key.endswith(SCORES)}
    try:
        return converted(told, dict[str, float | None])
    except ValueError as error:
        raise BadInput(f"{run.path / SUMMARY} cannot be read ({error}); train it again") from error


def _problem(config: CompareConfig, run: _Run) -> ProblemRecipe:
    base = build_problem(replace(run.config, device=config.device), config.splits)
    choose_metrics(base.problem.loss, ("auto",))
    return base


def _origin(run: _Run, base: ProblemRecipe) -> Origin:
    """Where a run started: its first snapshot, or the initialisation that its configuration stands for."""
    path = run.opened.path
    first = next((snapshot for snapshot in Trajectory.of(path).snapshots if snapshot.step == 0), None)
    if first is not None:
        spec = f"{path}@0"
        (state,) = load_networks([spec], base, called="the start").states
    else:
        recipe = build_train(replace(run.config, device="cpu"))
        if recipe.start != run.origin:
            raise BadInput(
                f"the initial weights of {run.name} cannot be made again (the model's initialisation, its seed or "
                "what it started from has changed); train with snapshots, which keep them"
            )
        spec, state = "", {name: value.clone() for name, value in collect_state(recipe.problem.module).items()}
    return Origin(spec, state, base.space.flatten(state))


def _pair(i: int, k: int, one: Compared, other: Compared) -> Pair:
    if one.architecture != other.architecture:
        return Pair(i, k, "", "other architecture", joined=False)
    if torch.equal(one.weights, other.weights):
        return Pair(i, k, "", "equal weights", joined=False)
    if not (one.origin and other.origin):
        return Pair(i, k, "", "starts are not known")
    return Pair(i, k, "simplex" if one.origin == other.origin else "quadrilateral")


def pair_networks(networks: Sequence[Compared]) -> tuple[Pair, ...]:
    """Every two networks, and the figure that they span with their starts."""
    return tuple(_pair(i, k, one, other) for (i, one), (k, other) in combinations(enumerate(networks), 2))
