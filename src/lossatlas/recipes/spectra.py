"""The recipe of a measurement of curvature: from its configuration to its objects, with all checks beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from glob import escape
from pathlib import Path

import torch

from lossatlas.charts import Plane
from lossatlas.curvatures import (
    CurvatureSettings,
    check_count,
    count_density_vectors,
    count_trace_vectors,
    count_vectors,
)
from lossatlas.data import Split
from lossatlas.engine import BuffersPolicy, Engine, Metric, Plan
from lossatlas.errors import BadInput
from lossatlas.hashing import fingerprint
from lossatlas.metrics.curvature import SpectralMetric
from lossatlas.recipes.chart_recipe import ChartRecipe
from lossatlas.recipes.held_out import check_held_out
from lossatlas.recipes.metrics import make_curvature_settings, make_metrics
from lossatlas.recipes.networks import NetworkState, check_finite, load_networks
from lossatlas.recipes.problem import ProblemRecipe, build_problem, hash_data, hash_network
from lossatlas.recipes.spectra_config import SpectraConfig
from lossatlas.schema import LOSS, OPERATORS, name_curvatures
from lossatlas.streams import make_generator
from lossatlas.training import Snapshot, Trajectory
from lossatlas.training.weight_trajectory import WeightTrajectory
from lossatlas.weights import WeightSpace
from lossatlas.weights.files import load_state

__all__ = ["SpectraRecipe", "build_spectra"]

KEPT = (*(f"{operator}_" for operator in OPERATORS), "layer_")
"""How names begin that metrics which are not of the package cannot have."""


@dataclass(frozen=True, kw_only=True)
class SpectraRecipe:
    """The objects of a measurement of curvature, with the first network, or the last snapshot, in the module.

    Attributes:
        config: The configuration.
        base: Module, loss, feed and data.
        settings: Parameters, tolerance and most products.
        metrics: Further metrics by name, of one value each.
        buffers: The policy of running statistics at a network.
        samples: The examples that curvature is measured on: the stated sample, and further subsets.
        disjoint: Whether the subsets are disjoint.
        networks: The networks that are measured; empty along a trajectory.
        snapshots: The snapshots that are measured, in the order of their steps; empty for networks.
        notes: Notes on the files, for the user.
        inputs: Hashes of the networks or the trajectory.
    """

    config: SpectraConfig
    base: ProblemRecipe
    settings: CurvatureSettings
    metrics: dict[str, Metric]
    buffers: BuffersPolicy
    samples: tuple[Split, ...]
    disjoint: bool
    networks: tuple[NetworkState, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    notes: tuple[str, ...] = ()
    inputs: dict[str, str]

    @property
    def operators(self) -> tuple[str, ...]:
        """The operators that are measured, the one that eigenvectors are kept of first."""
        return self.config.operators

    @property
    def split(self) -> str:
        """The name of the split."""
        return self.config.splits[0]

    @property
    def space(self) -> WeightSpace:
        """The parameters that curvature is taken in."""
        return self.base.space.choose(self.settings.parameters)

    @property
    def layers(self) -> dict[str, tuple[tuple[str, ...], int]]:
        """Patterns and sizes of layers by name: parameters whose names differ only after the last dot.

        Empty where layers are not asked for.
        """
        found: dict[str, tuple[tuple[str, ...], int]] = {}
        for entry in self.space.entries if self.config.per_layer else ():
            layer = entry.name.rpartition(".")[0] or entry.name
            patterns, size = found.get(layer, ((), 0))
            found[layer] = (*patterns, escape(entry.name)), size + entry.size
        return found

    @property
    def steps(self) -> int:
        """The number of products for each probe of a density."""
        return min(self.config.density_steps, self.space.size)

    @property
    def disk(self) -> int:
        """The bytes that a run takes on disk at least."""
        vector = self.base.space.size * self.base.space.vector_of(self.base.problem.module).element_size()
        if self.snapshots:
            return 4 * vector  # the starts of two snapshots, while a new checkpoint is beside the old one
        spectra = len(self.operators) + len(self.layers)
        densities = self.config.probes * self.steps * 2 * 8 * spectra
        return len(self.networks) * ((1 + min(2, self.config.top)) * vector + densities)

    def count_vectors(self) -> tuple[int, int]:
        """Count the vectors of length n that are kept, at least and usually."""
        config = self.config
        if self.snapshots:
            return count_vectors(2, keeps=True)
        needs = [count_vectors(config.top + config.bottom, keeps=True), count_trace_vectors()]
        if config.probes:
            needs.append((count_density_vectors(self.steps),) * 2)
        leasts, usual = zip(*needs, strict=True)
        return max(leasts), max(usual)

    def build_engine(self, plan: str | Plan) -> Engine:
        """Build the engine of the network that is in the module.

        Raises:
            BadInput: module, loss, metrics and examples do not fit together, or the plan cannot be used.
        """
        weights = self.base.space.vector_of(self.base.problem.module).to(self.base.device)
        # A chart has an axis; only its origin is evaluated.
        chart = Plane(weights, torch.eye(1, len(weights)).to(weights), train_origin=False)
        return ChartRecipe(
            config=self.config, base=self.base, chart=chart, surveyed={self.split: self.samples[0]},
            metrics=self.metrics, survey_buffers=self.buffers,
        ).build_engine(plan)  # fmt: skip

    def fingerprints(self) -> dict[str, str]:
        """Return hashes of the inputs that the configuration names."""
        return {**hash_data(self.base.data), **self.inputs}


def build_spectra(config: SpectraConfig, base: ProblemRecipe | None = None) -> SpectraRecipe:
    """Build the recipe of a measurement of curvature from its configuration.

    Args:
        config: the configuration.
        base: the recipe of its problem, if that was built before.

    Raises:
        BadInput: the configuration is refused; the message names the first error.
    """
    if not (config.networks or config.trajectory):
        raise BadInput(
            "curvature lacks a network; name weights or runs, as in lossatlas curvature runs/a, or a trajectory with "
            "--trajectory"
        )
    base = base if base is not None else build_problem(config, config.splits)
    settings = make_curvature_settings(config)
    space = base.space.choose(settings.parameters)  # refuses patterns that match nothing
    if not config.trajectory:  # before their memory, which would be refused in the place of their number
        check_count(max(config.top, config.bottom), space.size)
    samples, disjoint = _take_samples(config, base)
    networks, snapshots, notes, inputs = _place(config, base)
    return SpectraRecipe(
        config=config,
        base=base,
        settings=settings,
        metrics={} if snapshots else _choose_metrics(config, base),
        buffers=base.make_buffers(config.buffers, config),
        samples=samples,
        disjoint=disjoint,
        networks=networks,
        snapshots=snapshots,
        notes=notes,
        inputs={**inputs, "centre": hash_network(base.problem.module)},
    )


def _place(
    config: SpectraConfig, base: ProblemRecipe
) -> tuple[tuple[NetworkState, ...], tuple[Snapshot, ...], tuple[str, ...], dict[str, str]]:
    """Load the networks or open the trajectory, with notes and hashes."""
    module = base.problem.module
    if config.trajectory is None:
        loaded = load_networks(config.networks, base, called="network")
        loaded.bring(module)
        hashes = {f"network {each.name}": fingerprint(sorted(each.state.items())) for each in loaded.networks}
        return loaded.networks, (), loaded.notes, hashes
    check_held_out(config.trajectory, base)
    along = WeightTrajectory(Trajectory.of(Path(config.trajectory)), base.space)
    end = f"the end of {config.trajectory}"
    load_state(module, along.snapshots[-1].state(), end)
    check_finite(module, end)
    states = (
        (f"{each.step} {name}", value) for each in along.snapshots for name, value in sorted(each.state().items())
    )
    return (), tuple(along.snapshots), (), {"trajectory": fingerprint(states)}


def _take_samples(config: SpectraConfig, base: ProblemRecipe) -> tuple[tuple[Split, ...], bool]:
    """Take the stated sample and the further subsets, and say whether these are disjoint.

    Raises:
        BadInput: the split has no more examples than the sample.
    """
    (name,) = config.splits
    stated = base.take_examples(config.examples, config.splits)[name]
    if not config.subsets:
        return (stated,), True
    whole, count = base.data.splits[name], int(config.examples)
    if count >= len(whole):
        raise BadInput(
            f"the {name} split has {len(whole):,} examples, so there are no further subsets of {count:,}; state fewer "
            "examples"
        )
    disjoint = (config.subsets + 1) * count <= len(whole)
    order = whole.sample_indices(len(whole), make_generator(0, f"survey/{name}"))  # as of the stated sample
    further = [
        whole.select(order[number * count : (number + 1) * count])
        if disjoint
        else whole.subset(count, make_generator(0, f"survey/{name}", number))
        for number in range(1, config.subsets + 1)
    ]
    return (stated, *(split.to(base.device) for split in further)), disjoint


def _choose_metrics(config: SpectraConfig, base: ProblemRecipe) -> dict[str, Metric]:
    """Make the metrics beside those that are measured in any case.

    Raises:
        BadInput: one of them is, it has several values at a point, or its name is that of something else.
    """
    found = make_metrics(base.problem.loss, config)
    found.pop(LOSS, None)
    measured = {"gradient_norm", *name_curvatures(config.operators)}
    for name, metric in found.items():
        if name in measured:
            raise BadInput(f"{name} is measured in any case; leave it out of the metrics")
        if (dimension := metric.quantity(base.problem.loss).dimension) is not None:
            more = (
                f", or ask for more with --{dimension.partition('_')[0]}" if isinstance(metric, SpectralMetric) else ""
            )
            raise BadInput(
                f"metric {name} has several values at a network; survey it, or choose one of a single value{more}"
            )
        if name.startswith(KEPT) and not isinstance(metric, SpectralMetric):
            raise BadInput(f"metric {name!r} is called like what is measured of an operator; give it another name")
    return found
