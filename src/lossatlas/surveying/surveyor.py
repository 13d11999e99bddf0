"""The surveyor: it evaluates metrics of several splits at points of a chart, and fills a store with them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lossatlas import schema
from lossatlas.charts import Block, Chart
from lossatlas.data import Split
from lossatlas.describing import count_things
from lossatlas.engine import (
    Derivatives,
    Engine,
    Metric,
    StreamingMetric,
    check_derived,
    check_network,
    run_computation,
    warn_of_groups,
)
from lossatlas.engine.memory import release_memory
from lossatlas.errors import CannotFinish, Caution
from lossatlas.machine import name_machine
from lossatlas.metrics import check_computations
from lossatlas.metrics.kinds.loss import MeanLoss
from lossatlas.shortages import MEMORY, find_shortage
from lossatlas.streams import make_generator
from lossatlas.surveying.arrays import Grid, Mask
from lossatlas.surveying.executor import Executor, InProcess, complete
from lossatlas.surveying.groups import STREAMING, Group, check_names, find_leading, group_metrics
from lossatlas.surveying.interpolating import MEASURED_ATTRIBUTES
from lossatlas.surveying.probe import EXAMPLES, PROBE, Probe
from lossatlas.surveying.refining import Refining
from lossatlas.surveying.scale import Scale
from lossatlas.surveying.store import SurveyStore
from lossatlas.surveying.tile_source import Claim

__all__ = ["STREAMING", "GivenUpTile", "Surveyor", "TilesGivenUp"]


@dataclass(frozen=True)
class GivenUpTile:
    """A tile of a survey that could not be evaluated, because those who tried were lost."""

    split: str
    group: str
    """The group of metrics."""
    coords: dict[str, tuple[float, float]]
    """By axis the first and the last coordinate."""
    reason: str
    told: str
    """Where it is, in words."""


class TilesGivenUp(CannotFinish):
    """Tiles of a survey could not be evaluated; all others are done."""

    def __init__(self, tiles: Sequence[GivenUpTile]) -> None:
        self.tiles = tuple(tiles)
        named = "; ".join(f"{tile.told} ({tile.reason})" for tile in tiles)
        super().__init__(
            f"{count_things(len(tiles), 'tile')} of the survey could not be evaluated: {named}; the others are done; "
            "continue with --resume to try again, with less --memory if it ran out"
        )


@dataclass(frozen=True)
class _Filling:
    """A store that is filled, and how."""

    store: SurveyStore
    executor: Executor
    on_points: Callable[[int], None]


class Surveyor:
    """Evaluates metrics of several splits at points of a chart.

    Args:
        engine: evaluates the problem.
        chart: where.
        splits: examples by name.
        metrics: by name.
        eval_batch_size: examples evaluated together.

    Raises:
        BadInput: module, loss, metrics and examples do not fit together.
    """

    def __init__(
        self,
        engine: Engine,
        chart: Chart,
        splits: Mapping[str, Split],
        metrics: Mapping[str, Metric],
        eval_batch_size: int,
    ) -> None:
        self.engine = engine
        self.chart = chart
        self._splits = splits
        self._eval_batch_size = eval_batch_size
        derives = not all(isinstance(metric, StreamingMetric) for metric in metrics.values())
        for split in splits.values():
            check_network(engine.network, split)
            warn_of_groups(engine.network, split, eval_batch_size, derives=derives)
        self.controls = chart.lay_controls()
        """What the chart's blocks are made of, laid out once, (m, n)."""
        self._groups = group_metrics(engine, next(iter(splits.values())), metrics)
        check_names(self._groups, splits, chart.axes)
        check_computations(engine, metrics, next(iter(splits.values())), self.controls)
        self._unresolved: dict[tuple[str, str], tuple[int, int]] = {}
        """By split and group, the number of points that are less exact than was asked for, and of all."""
        self._tried: dict[str, dict[str, list[float]]] = {}
        """By split and coordinates what was found there on a few examples."""

    @property
    def _dtype(self) -> type[np.floating[Any]]:
        """Of values: networks in 64 bits have losses in 64 bits."""
        return np.float64 if self.controls.dtype == torch.float64 else np.float32

    @property
    def parts(self) -> list[tuple[str, str]]:
        """The splits and the groups of metrics that points are evaluated on, one after the other."""
        return [(split, group.name) for split in self._splits for group in self._groups]

    @property
    def evaluations(self) -> int:
        """How many times each point is visited: once per split and group."""
        return len(self.parts)

    def chunks(self) -> dict[str, int]:
        """The groups of metrics, and how many points each is evaluated at in one go."""
        return {group.name: self._count_together(group) for group in self._groups}

    def at(self, points: Tensor, split: str, group: str) -> dict[str, Tensor]:
        """The metrics of a group at coordinates (P, d), (P,) or (P, k) each, float64 on the CPU."""
        (chosen,) = (one for one in self._groups if one.name == group)
        return self._at(points, split, chosen)

    def fill(
        self,
        store: SurveyStore,
        executor: Executor | None = None,
        *,
        refinement: Refining | None = None,
        on_points: Callable[[int], None] | None = None,
    ) -> None:
        """Evaluate what a store lacks, tile by tile, beside others that may do the same.

        Args:
            store: made for this chart; its source hands out the tiles.
            executor: has them evaluated; default one after another, where this is called.
            refinement: says which points of the store's grid are evaluated; None for all of it.
            on_points: called with the number of points done, per split and group of metrics, and with 0 while others
                work on all that is left; may raise, which ends the filling between tiles.

        Raises:
            BadInput: as :meth:`check`, or metrics are to join a store that others write.
            CannotFinish: the disk refuses, or the store was removed.
        """
        self.check(store)
        for split_name, split in self._splits.items():
            for group in self._groups:
                beside = {name: self.engine.companions(split, metric) for name, metric in group.metrics.items()}
                settings = self._settings(store, split_name, group)
                store.add(split_name, group.name, group.quantities, settings, beside, self._dtype)
        self._unresolved = {}
        filling = _Filling(store, executor or InProcess(), on_points or _nothing)
        wanted = None if refinement is None else self._refine(filling, refinement)
        self._complete(filling, [(split, group) for split in self._splits for group in self._groups], wanted)
        if refinement is not None:
            store.interpolate(refinement.coarsest(), self.parts)
        elif schema.MEASURED in store.begun:  # refined once, and now evaluated everywhere
            store.put(schema.MEASURED, np.ones(store.shape, dtype=bool), MEASURED_ATTRIBUTES)
        self.tell_of_unresolved()

    def take_unresolved(self) -> list[tuple[str, str, int, int]]:
        """What was evaluated since the last call: per split and group the points that are less exact, and all.

        A worker hands it to its head, which takes it by :meth:`count_unresolved`.
        """
        found = [(*key, *counts) for key, counts in self._unresolved.items()]
        self._unresolved = {}
        return found

    def count_unresolved(self, split: str, group: str, unresolved: int, points: int) -> None:
        """Count points whose results are less exact than was asked for.

        Args:
            split: its name.
            group: of metrics.
            unresolved: how many more of these there are.
            points: among how many.
        """
        before = self._unresolved.get((split, group), (0, 0))
        self._unresolved[split, group] = before[0] + unresolved, before[1] + points

    def tell_of_unresolved(self) -> None:
        """Warn of what was evaluated since it was last taken and is less exact than was asked for.

        Once for each split and group. :meth:`fill` does so in its end, :meth:`at` does not.

        Warns:
            Caution: there are such points.
        """
        for group in self._groups:
            for split in self._splits:
                unresolved, points = self._unresolved.get((split, group.name), (0, 0))
                if unresolved and group.computation is not None:
                    words = group.computation.describe_unresolved(f"{unresolved:,} of {count_things(points, 'point')}")
                    warnings.warn(f"{split}: {words}", Caution, stacklevel=3)

    def probe(self, grid: Grid) -> Probe:
        """What is found at the first and at the middle point of a grid, on a few examples of a split."""
        coords = [[float(axis[at(len(axis))]) for axis in grid.values()] for at in (lambda _: 0, lambda n: n // 2)]
        split = next(iter(self._splits))
        return Probe.of(split, self._tell_conditions(split), coords, self._try(split, coords))

    def _tell_conditions(self, split: str) -> dict[str, Any]:
        """What losses on a split depend on beside the network."""
        network = self.engine.network
        return {
            "data": self._splits[split].fingerprint(),
            "eval_batch_size": self._eval_batch_size,
            "buffers": network.buffers if network.has_statistics else "",
            "loss": network.loss.record,
            "precision": self.engine.plan.evaluate.precision,
        }

    def _try(self, split: str, coords: Sequence[Sequence[float]]) -> dict[str, list[float]]:
        """What the loss and all metrics that are folded come to on a few examples at points.

        One point after the other, which fits where any does. Of several values at a point their mean counts.
        """
        key = f"{split} {coords}"
        if key not in self._tried:
            whole = self._splits[split]
            few = whole.subset(min(EXAMPLES, len(whole)), make_generator(0, "probe"))
            metrics: dict[str, StreamingMetric] = {schema.LOSS: MeanLoss()}
            for group in self._groups:
                metrics |= group.streaming
            found: dict[str, list[float]] = {name: [] for name in metrics}
            for point in torch.tensor(coords, dtype=torch.float64):
                (block,) = self.chart.blocks(point[None], 1, self.controls)
                values = self.engine.evaluate(block.coefficients, block.controls, few, metrics, self._eval_batch_size)
                for name in metrics:
                    found[name].append(float(values[name].double().mean()))
            self._tried[key] = found
        return self._tried[key]

    def _check_probe(self, store: SurveyStore) -> None:
        """Refuse a network that computes something else than the one that a store was begun with.

        Where what it was tried on is not at hand, or was evaluated in another way, nothing is known.
        """
        if (recorded := store.attributes.get(PROBE)) is None:
            return
        probe = Probe.parse(str(recorded))
        if probe.split in self._splits and probe.under == self._tell_conditions(probe.split):
            probe.check(self._try(probe.split, probe.coords), "the survey")

    def check(self, store: SurveyStore) -> None:
        """Refuse a store whose groups are of other data, settings or metrics, or of another network; changes nothing.

        Raises:
            BadInput: the first difference.
        """
        for split_name in self._splits:
            for group in self._groups:
                store.check(split_name, group.name, group.quantities, self._settings(store, split_name, group))
        self._check_probe(store)

    def _settings(self, store: SurveyStore, name: str, group: Group) -> dict[str, int | str]:
        engine, split, buffers = self.engine, self._splits[name], self.engine.network.buffers
        if not engine.network.has_statistics:  # then all policies are one, whatever it was called
            buffers = store.settings(name, group.name).get("buffers", buffers)
        service = engine.plan.evaluate if group.computation is None else engine.plan.derivatives
        computation = {} if group.computation is None else {"computation": repr(group.computation)}
        return {
            "examples": len(split),
            "eval_batch_size": self._eval_batch_size,
            "data": split.fingerprint(),
            "buffers": buffers,
            "loss": engine.network.loss.record,
            "network": engine.network.fingerprint,
            "precision": service.precision,
            **computation,
        }

    def _complete(self, filling: _Filling, parts: Sequence[tuple[str, Group]], wanted: Mask | None) -> None:
        """Have splits and groups evaluated, one after the other; workers that have no tile of one begin the next.

        Raises:
            CannotFinish: tiles were given up; all others are done.
        """
        store, on_points = filling.store, filling.on_points
        works = [store.work(split, group.name, wanted, partial(on_points, 0)) for split, group in parts]
        complete(works, store.tiles, filling.executor, partial(self.evaluate, store), on_points)
        lost = [
            GivenUpTile(split, group.name, work.find_ends(tile), reason, work.tell(tile))
            for (split, group), work in zip(parts, works, strict=True)
            for tile, reason in work.list_given_up()
        ]
        if lost:
            raise TilesGivenUp(lost)

    def evaluate(self, store: SurveyStore, claim: Claim) -> int:
        """Evaluate the missing points of a tile, and write values and marks.

        Where another kind of device has evaluated the others, it evaluates these again.

        Args:
            store: of this chart, with the arrays of the claim's group.
            claim: the tile.

        Returns:
            The number of points that were missing.
        """
        split, group = next(
            (split, group)
            for split in self._splits
            for group in self._groups
            if schema.name_marks(split, group.name) == claim.work.marks
        )
        kind, missing = name_machine(self.engine.network.device), claim.missing
        known = store.done(split, group.name, claim.tile) if not missing.all() else np.zeros_like(missing)
        if known.any() and store.find_devices(split, group.name, claim.tile) - {kind}:
            missing = missing | known
        axes = [torch.from_numpy(np.array(coords, dtype=np.float64)) for coords in store.grid.values()]
        parts = [axis[part] for axis, part in zip(axes, claim.tile, strict=True)]
        points = torch.cartesian_prod(*parts).reshape(-1, len(parts))[torch.from_numpy(missing.reshape(-1))]
        values = self._at(points, split, group)
        store.name_device(split, group.name, kind)
        store.write(split, group.name, claim.tile, missing, {k: v.numpy() for k, v in values.items()}, kind, known)
        return int(claim.missing.sum())

    def _at(self, points: Tensor, split_name: str, group: Group) -> dict[str, Tensor]:
        """The metrics of a group at points, in smaller chunks from the first time that the memory does not hold one.

        Other processes took it since the plan was measured, or the device is a smaller one.
        """
        before, unresolved = self._count_together(group), dict(self._unresolved)
        while True:
            try:
                found = self._find(points, split_name, group)
                break
            except Exception as error:
                shortage = find_shortage(error)
                if shortage is None or shortage[0] != MEMORY or not self._halve_chunks(group):
                    raise
                self._unresolved = dict(unresolved)  # chunks that fitted are evaluated again
            release_memory(self.engine.network.device)  # here, where the error does not hold tensors any more
        if (now := self._count_together(group)) < before:
            warnings.warn(
                f"the memory of {name_machine(self.engine.network.device)} does not hold {before} points at a time "
                f"({group.name}); from now on {count_things(now, 'point')} there",
                Caution,
                stacklevel=2,
            )
        return found

    def _count_together(self, group: Group) -> int:
        """How many points a group is evaluated at in one go."""
        plan = self.engine.plan
        return plan.evaluate.points if group.computation is None else plan.derivatives.points

    def _halve_chunks(self, group: Group) -> bool:
        """Have half as many points of a group evaluated in one go; False where it is one point already."""
        plan, half = self.engine.plan, self._count_together(group) // 2
        if half == 0:
            return False
        if group.computation is None:
            plan = replace(plan, evaluate=replace(plan.evaluate, points=half))
        else:
            plan = replace(plan, derivatives=replace(plan.derivatives, points=half))
        self.engine = Engine(self.engine.network, plan)
        return True

    def _find(self, points: Tensor, split_name: str, group: Group) -> dict[str, Tensor]:
        blocks = self.chart.blocks(points, self._count_together(group), self.controls)
        parts = [part for block in blocks for part in self._find_in(block, split_name, group)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _find_in(self, block: Block, split_name: str, group: Group) -> list[dict[str, Tensor]]:
        """The metrics of a group at the points of a block, in one or several parts."""
        split, own = self._splits[split_name], group.computation
        at = block.coefficients, block.controls
        if own is None:
            return [self.engine.evaluate(*at, split, group.streaming, self._eval_batch_size)]
        derivatives = self.engine.derivatives(
            *at, split, self._eval_batch_size, own.count_vectors(),
            size=own.choose_space(self.engine.network.space).size, graphs=own.keeps_graphs,
        )  # fmt: skip
        return [self._derived(share, at.stop - at.start, split_name, group) for at, share in derivatives]

    def _derived(self, derivatives: Derivatives, points: int, split_name: str, group: Group) -> dict[str, Tensor]:
        """What a group makes of the derivatives at the points of a chunk, in one computation."""
        assert group.computation is not None
        split = self._splits[split_name]
        made = run_computation(group.name, partial(group.computation, derivatives))
        unresolved = run_computation(group.name, partial(group.computation.count_unresolved, made))
        self.count_unresolved(split_name, group.name, unresolved, points)
        found = {}
        for (name, metric), length in zip(group.metrics.items(), group.quantities.values(), strict=True):
            shape = (points,) if length is None else (points, length)
            found[name] = check_derived(name, shape, partial(metric.value, made))
            for beside in self.engine.companions(split, metric):
                found[beside.of(name)] = check_derived(beside.of(name), shape, partial(metric.companion, beside, made))
        return found

    def _refine(self, filling: _Filling, refinement: Refining) -> Mask:
        """Evaluate the leading metric level by level; returns the points that all others are wanted at."""
        store, (split, group, variable) = filling.store, find_leading(self._groups, self._splits)
        while True:
            known = store.done(split, group.name)
            values = store.values(variable)
            scale = Scale.of(values[refinement.coarsest() & known])
            wanted = refinement.wanted(scale.forward(values), known)
            if known[wanted].all():
                return known  # on a store that grew more than is wanted now
            self._complete(filling, [(split, group)], wanted)


def _nothing(_: int) -> None:
    """Do nothing between tiles."""
