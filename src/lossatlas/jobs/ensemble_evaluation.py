"""Evaluation of an ensemble: engines for its members, what they predict, and how good their average is."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from lossatlas.engine import Plan
from lossatlas.engine.memory import find_memory_limit
from lossatlas.ensembles.gathering import find_rows, gather_predictions
from lossatlas.ensembles.members import Cost
from lossatlas.ensembles.predictions import Predictions
from lossatlas.ensembles.scoring import check_rows, score_ensemble
from lossatlas.ensembles.settings import ScoringSettings
from lossatlas.errors import Caution
from lossatlas.jobs.sampling import FEW, Rate, Work, sample_points
from lossatlas.recipes.ensemble import EnsembleRecipe
from lossatlas.schema import InEnsemble
from lossatlas.streams import make_generator

__all__ = ["EnsembleEvaluation"]

COSTS = {
    InEnsemble.STEPS: ("optimiser steps of the training", "1"),
    InEnsemble.PASSES: ("examples passed forward and backward in training", "1"),
    InEnsemble.BYTES: ("bytes held", "byte"),
    InEnsemble.EVALUATIONS: ("evaluations of a network for a prediction", "1"),
}
"""The labels and units of what members cost."""


class EnsembleEvaluation:
    """The members of a recipe with their engines, and what is made of them.

    Args:
        recipe: the recipe.
        plans: a plan for each group of members, as a resumed run recorded them, or one for all.

    Raises:
        BadInput: module, loss, statistics and examples do not fit together, a plan cannot be used, or the examples
            cannot be divided into halves.
    """

    def __init__(self, recipe: EnsembleRecipe, plans: Sequence[str | Plan]) -> None:
        self.recipe = recipe
        several = plans if len(plans) == len(recipe.groups) else [plans[0]] * len(recipe.groups)
        self.engines = [recipe.build_engine(group, plan) for group, plan in zip(recipe.groups, several, strict=True)]
        torch.set_num_threads(self.plans[0].threads)
        config = recipe.config
        self.rows = find_rows(self.engines[0], recipe.groups[0], recipe.split, config.eval_batch_size, recipe.kind)
        self.settings = ScoringSettings(
            orders=(InEnsemble.GIVEN, InEnsemble.GREEDY)[: 1 + config.greedy], pairs=config.pairs, sizes=config.sizes,
            halvings=config.halvings,
            seed=config.halving_seed, bins=config.bins, bootstrap=config.bootstrap,
            memory=find_memory_limit(config.memory, torch.device("cpu")),
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Caution)  # said when it is scored
            check_rows(self.rows, self.settings)

    @property
    def plans(self) -> list[Plan]:
        """The plan of each group of members."""
        return [engine.plan for engine in self.engines]

    @property
    def prediction_bytes(self) -> int:
        """The bytes that the predictions of all members take."""
        return self.rows.count_bytes(len(self.recipe.names))

    def hold_predictions(self, path: Path | None, *, keep: bool = False) -> Predictions:
        """Make room for the predictions, in memory or in a mapped file, which may be there already."""
        return Predictions(self.recipe.names, self.rows, path=path, keep=keep)

    def time_members(self, count: int) -> Rate:
        """Time members of the first group on a few examples; returns the seconds for each of ``count``.

        Running statistics that are re-estimated take their passes once for each chunk of members, and count, too.
        """
        group, engine, split = self.recipe.groups[0], self.engines[0], self.recipe.split
        size = min(self.recipe.config.eval_batch_size, len(split))
        some = {few: split.subset(few, make_generator(0, "foretold")) for few in {min(FEW, size), size}}

        def run(points: int, examples: int) -> None:
            coords = group.coords[torch.arange(points) % len(group)].to(engine.network.device)
            with torch.no_grad():
                for block in group.chart.blocks(coords, engine.plan.evaluate.points):
                    for _ in engine.evaluations(block.coefficients, block.controls, some[examples], size):
                        pass

        passed = self.recipe.make_buffers(group).passes if engine.network.has_statistics else 0
        work = Work(count * (passed + len(split)), engine.plan.evaluate.points, size, passed=passed)
        rate = sample_points(run, work)
        return Rate(rate.seconds * (passed + len(split)), rate.factor)

    def gather(self, predictions: Predictions, done: int = 0) -> Iterator[int]:
        """Evaluate the members and put what they predict in its place.

        Args:
            predictions: where it is put.
            done: how many members are there already.

        Yields:
            The number of members that are there.
        """
        config, split = self.recipe.config, self.recipe.split
        first = 0
        for group, engine in zip(self.recipe.groups, self.engines, strict=True):
            there = min(max(0, done - first), len(group))
            if there < len(group):
                found = gather_predictions(
                    engine, group, split, config.eval_batch_size, predictions, first=first, done=there
                )
                yield from (first + count for count in found)
            first += len(group)

    def score(self, predictions: Predictions, on_share: Callable[[float], None] = lambda _: None) -> xr.Dataset:
        """Score the average of what the members predict.

        Args:
            predictions: of all members.
            on_share: told the share that is done; may raise.
        """
        config = self.recipe.config
        data = score_ensemble(predictions, self.settings, on_share)
        for name, values in self._add_up_costs(data[InEnsemble.COUNT].values.tolist()).items():
            long_name, units = COSTS[name]
            data[name] = (InEnsemble.COUNT, values, {"long_name": long_name, "units": units})
        data.attrs |= {
            InEnsemble.SPLIT: config.splits[0],
            InEnsemble.DATA_HASH: self.recipe.split.fingerprint(),
            "model": self.recipe.model,
            "data": self.recipe.base.data.name,
            "buffers": "; ".join(dict.fromkeys(engine.network.buffers for engine in self.engines)),
        }
        return data

    def _add_up_costs(self, counts: Sequence[int]) -> Mapping[str, Any]:
        """What the first members of each number cost, (count,) each; NaN where it is not known."""
        costs: list[Cost] = [cost for group in self.recipe.groups for cost in group.costs]
        efforts = [Cost.join(costs[:count]).add_up() for count in counts]
        starts = accumulate((len(group) for group in self.recipe.groups), initial=0)
        held, charts = np.zeros(len(counts)), set[str]()
        for group, start in zip(self.recipe.groups, starts, strict=False):  # the last of the starts is the end
            there = np.clip(np.array(counts) - start, 0, len(group))
            held += there * group.own_bytes
            if group.shared_bytes and (chart := group.chart.fingerprint()) not in charts:  # a chart is held once
                charts.add(chart)
                held += (there > 0) * group.shared_bytes
        return {
            InEnsemble.STEPS: np.array([np.nan if each is None else each.steps for each in efforts]),
            InEnsemble.PASSES: np.array([np.nan if each is None else each.passes for each in efforts]),
            InEnsemble.BYTES: held,
            InEnsemble.EVALUATIONS: np.array(counts, dtype=np.float64),
        }
