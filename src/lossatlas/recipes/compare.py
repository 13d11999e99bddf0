"""The recipe of a comparison: from its configuration to its networks, with all checks before any computation."""

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
from lossatlas.files.reading import convert, resolve_path
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

APART = {
    "seed", "device", "snapshots", "eval_batch_size", "average", "average_from", "average_rank", "average_decay"
}  # fmt: skip
"""The settings in which runs of one group may differ: the seed, and settings that do not change the result."""
ORDER = ("model", "output", "parameters", "lr", "weight_decay", "schedule", "epochs", "batch_size", "augment")
"""The order of settings in the name of a group; others follow."""
SCORES = ("_loss", "_accuracy")
"""The suffixes of the final scores in the summary of a run."""
METRICS = 1
"""The least number of metrics of each survey."""
MODULE = "module"
"""The key of the network's hash in the provenance of a run."""


@dataclass(frozen=True)
class Compared:
    """A trained network of a comparison."""

    name: str
    """The shortest end of its path that distinguishes it from the others."""
    state: Params
    weights: Tensor
    """The weights, (n,), on the CPU."""
    scores: Mapping[str, float | None]
    """The final scores, by ``<split>_loss`` and ``<split>_accuracy``."""
    group: str
    """The name of its group, the runs that differ only in the seed."""
    origin: str = ""
    """The hash of its initial weights, which is its key among the comparison's origins; empty if they are unknown."""
    path: Path | None = None
    """The run directory; None for a network in memory."""
    config: TrainConfig = field(default_factory=TrainConfig)
    architecture: int = 0
    """The index of its problem in the comparison."""

    @property
    def spec(self) -> str:
        """Return the name by which surveys refer to the network."""
        return self.name if self.path is None else str(self.path)


@dataclass(frozen=True)
class Origin:
    """The initial weights of one or more networks."""

    spec: str
    """A snapshot that holds the weights; empty if there is none and a file has to be written."""
    state: Params
    weights: Tensor
    """The weights, (n,), on the CPU."""


@dataclass(frozen=True)
class Pair:
    """Two networks of a comparison, by their indices."""

    one: int
    other: int
    chart: str
    """The figure that they span with their initial weights: ``simplex``, ``quadrilateral`` or empty for none."""
    reason: str = ""
    """The reason why they do not span a figure."""
    joined: bool = True
    """Whether the line between them is surveyed."""

    @property
    def corners(self) -> tuple[str, ...]:
        """Return the names of the figure's corners in order, of :data:`~lossatlas.schema.PAIR_CORNERS`."""
        return {"": (), "simplex": PAIR_CORNERS[:-1], "quadrilateral": PAIR_CORNERS}[self.chart]


@dataclass(frozen=True)
class CompareRecipe:
    """The objects of a comparison."""

    networks: tuple[Compared, ...]
    pairs: tuple[Pair, ...]
    problems: tuple[ProblemRecipe, ...]
    """The problems, one for each architecture."""
    origins: Mapping[str, Origin]
    """The initial weights by their hash."""
    extent: Extent
    """The extent of all surveys together."""
    notes: tuple[str, ...] = ()
    """Notes on the networks, for the user."""

    def fingerprints(self) -> dict[str, str]:
        """Return hashes of the inputs that the configuration names: data, and the final weights of each run."""
        return {
            **hash_data(self.problems[0].data),
            **{network.name: fingerprint(sorted(network.state.items())) for network in self.networks},
        }


@dataclass(frozen=True, eq=False)
class _Run:
    """A finished training, and its name."""

    name: str
    opened: OpenedRun
    config: TrainConfig
    scores: Mapping[str, float | None]

    @property
    def architecture(self) -> tuple[str, ...]:
        """Return the settings that are equal for runs whose weights can be compared."""
        return (self.config.model, repr(sorted(self.config.model_options.items())), repr(self.config.parameters))

    @property
    def known(self) -> Known:
        """Return the record of its problem."""
        return Known(self.name, self.config.flat(), self.opened.provenance.fingerprints)

    @property
    def origin(self) -> str:
        """Return the hash of its initial weights.

        Raises:
            BadInput: its record lacks the hash.
        """
        found = self.opened.provenance.fingerprints
        if MODULE not in found:
            raise BadInput(
                f"{self.opened.path / PROVENANCE} lacks the hash of the run's initial weights; train it again"
            )
        return found[MODULE]


def build_compare(config: CompareConfig) -> CompareRecipe:
    """Build the recipe of a comparison from its configuration.

    Raises:
        BadInput: fewer than two runs are named, or one of them twice; a run is unfinished, damaged or not a training;
            or the runs are on different data or under different losses.
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
    hashes, hint = known[0].fingerprints, "restore the data, or train again"
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
    """Compute the largest extent: surfaces and lines between every two networks, and slices around each.

    Raises:
        BadInput: the points do not fit the memory or take too long.
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
    """Name the group of each run by its optimiser and switches, and by the other settings in which groups differ.

    Runs whose configurations differ only in the seed form a group.
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
    """List ``batch_norm`` or ``no batch_norm`` for flags and ``lr=0.1`` for other options, of stated settings only."""
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
        raise BadInput(f"a comparison needs two or more runs; got {len(specs)}: name finished runs of lossatlas train")
    paths = [resolve_path(spec) for spec in specs]
    for spec, path in zip(specs, paths, strict=True):
        if paths.count(path) > 1:
            raise BadInput(f"{spec} is named twice; expected different runs")
    names = shorten_paths([*map(str, paths)])
    return [_read(name, path, spec) for name, path, spec in zip(names, paths, specs, strict=True)]


def _read(name: str, path: Path, spec: str) -> _Run:
    opened = OpenedRun(path, "name finished runs of lossatlas train")
    if opened.verb != TrainConfig.verb:
        raise BadInput(f"{spec} is not a run of lossatlas train; name finished runs of lossatlas train")
    if not opened.finished:
        raise BadInput(f"{spec} is not finished; continue it with lossatlas train --out {spec} --resume")
    config = opened.read_config(*DATA_SETTINGS)
    assert isinstance(config, TrainConfig)
    return _Run(name, opened, config, _scores(opened))


def _scores(run: OpenedRun) -> dict[str, float | None]:
    """Read the final scores of a run, by ``<split>_loss`` and ``<split>_accuracy``.

    Raises:
        BadInput: a score in its summary is not a number.
    """
    told = {key: value for key, value in run.summary.items() if key.endswith(SCORES)}
    try:
        return convert(told, dict[str, float | None])
    except ValueError as error:
        raise BadInput(f"{run.path / SUMMARY} cannot be read ({error}); train it again") from error


def _problem(config: CompareConfig, run: _Run) -> ProblemRecipe:
    base = build_problem(replace(run.config, device=config.device), config.splits)
    choose_metrics(base.problem.loss, ("auto",))
    return base


def _origin(run: _Run, base: ProblemRecipe) -> Origin:
    """Find the initial weights of a run: its first snapshot, or the initialisation of its configuration."""
    path = run.opened.path
    first = next((snapshot for snapshot in Trajectory.of(path).snapshots if snapshot.step == 0), None)
    if first is not None:
        spec = f"{path}@0"
        (state,) = load_networks([spec], base, called="the start").states
    else:
        recipe = build_train(replace(run.config, device="cpu"))
        if recipe.start != run.origin:
            raise BadInput(
                f"the initial weights of {run.name} cannot be reproduced (the model's initialisation, its seed or the "
                "file it started from has changed); train with snapshots, which store them"
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
    """List all pairs of networks, with the figure that each spans with the initial weights."""
    return tuple(_pair(i, k, one, other) for (i, one), (k, other) in combinations(enumerate(networks), 2))
