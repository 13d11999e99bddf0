"""The recipe of an ensemble: from its configuration to its members, with all checks beforehand."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from types import MappingProxyType

import torch

from lossatlas.charts import Chart
from lossatlas.data import Split
from lossatlas.engine import BuffersPolicy, Engine, Plan
from lossatlas.engine.usual import choose_buffers
from lossatlas.ensembles.gathering import choose_kind
from lossatlas.ensembles.members import Listed, Members
from lossatlas.ensembles.predictions import Kind
from lossatlas.errors import BadInput
from lossatlas.hashing import fingerprint
from lossatlas.recipes.base import AUTO
from lossatlas.recipes.chart_recipe import ChartRecipe
from lossatlas.recipes.effort import find_cost
from lossatlas.recipes.ensemble_config import EnsembleConfig
from lossatlas.recipes.member_kind import MEMBER_KINDS, ListedKind, MemberKind, PointsKind
from lossatlas.recipes.networks import NetworkState, keep_module, list_statistics, load_networks
from lossatlas.recipes.problem import ProblemRecipe, build_problem, hash_data
from lossatlas.specs import MemberSpec
from lossatlas.weights.files import load_state

__all__ = ["EnsembleRecipe", "build_ensemble"]

NOTHING: Mapping[str, Members] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class EnsembleRecipe:
    """The objects of an ensemble.

    Attributes:
        config: The configuration.
        base: Module, loss, feed and data.
        groups: The members in their order, those of one chart and one kind of statistics together.
        split: The examples.
        kind: What members predict.
        model: What the network is called.
    """

    config: EnsembleConfig
    base: ProblemRecipe
    groups: tuple[Members, ...]
    split: Split
    kind: Kind
    model: str

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all members."""
        return tuple(name for group in self.groups for name in group.names)

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks for the user, each once."""
        return tuple(dict.fromkeys(note for group in self.groups for note in group.notes))

    def build_engine(self, group: Members, plan: str | Plan) -> Engine:
        """Build the engine of a group of members.

        Raises:
            BadInput: module, loss, statistics and examples do not fit together, or the plan cannot be used.
        """
        batches = -(-len(self.split) // self.config.eval_batch_size)
        with keep_module(self.base.problem.module):  # engines have copies of it
            if group.state is not None:
                load_state(self.base.problem.module, group.state, group.names[0])
            return ChartRecipe(
                config=self.config, base=self.base, chart=_place(group.chart, self.base.device),
                surveyed={self.config.splits[0]: self.split}, metrics={}, survey_buffers=self.make_buffers(group),
            ).build_engine(plan, evaluations=len(group) * batches)  # fmt: skip

    def make_buffers(self, group: Members) -> BuffersPolicy:
        """Make the policy of running statistics of a group: the stated one, else its own, else that of its chart.

        Raises:
            BadInput: there is no such policy.
        """
        base, stated = self.base, self.config.buffers if self.config.buffers != AUTO else group.buffers
        if stated is None:
            stated = choose_buffers(group.chart, base.problem.module)
        return base.make_buffers(base.settle_buffers(stated), self.config)

    def fingerprints(self) -> dict[str, str]:
        """Return hashes of the inputs that the configuration names."""
        hashes = {f"members {k}": _hash(group) for k, group in enumerate(self.groups)}
        return {**hash_data(self.base.data), **hashes}


def build_ensemble(
    config: EnsembleConfig, base: ProblemRecipe | None = None, given: Mapping[str, Members] = NOTHING
) -> EnsembleRecipe:
    """Build the recipe of an ensemble from its configuration.

    Args:
        config: the configuration.
        base: the recipe of its problem, if that was built before.
        given: members in memory, by the names that the configuration has for them.

    Raises:
        BadInput: the configuration is refused; the message names the first error.
    """
    if not config.members:
        raise BadInput(
            "ensemble lacks members; name networks or points, as in lossatlas ensemble runs/a runs/b, or RUN@low:20"
        )
    model = config.model if base is None else type(base.problem.module).__name__
    base = base if base is not None else build_problem(config, config.splits)
    kind = choose_kind(base.problem.loss, config.predictions)
    if twice := [spec for spec in config.members if config.members.count(spec) > 1]:
        raise BadInput(f"{twice[0]} is named twice; expected different members")
    groups = [group for found in _find(config, base, given) for group in found]
    count = sum(map(len, groups))
    if count < 2:
        raise BadInput(
            f"{groups[0].names[0]} is a single member, and an ensemble has two or more; name further ones, such as "
            "RUN@snapshots or RUN@low:20"
        )
    if config.sizes and config.sizes[-1] > count:
        raise BadInput(f"sizes names {config.sizes[-1]} members and there are {count}; name fewer, or leave it out")
    for group in groups:
        if group.chart.dimension != base.space.size:
            raise BadInput(
                f"members {group.names[0]} and so on have {group.chart.dimension:,} parameters and the model "
                f"{base.space.size:,}; expected one architecture"
            )
    (split,) = base.take_examples(config.examples if config.examples != AUTO else "all", config.splits).values()
    return EnsembleRecipe(config=config, base=base, groups=_rename(groups), split=split, kind=kind, model=model)


def _find(config: EnsembleConfig, base: ProblemRecipe, given: Mapping[str, Members]) -> Iterator[Sequence[Members]]:
    """Find the members that the configuration names, in their order; networks that follow one another together."""
    parsed = [(spec, MemberSpec.parse(spec)) for spec in config.members]
    kinds = {spec: _choose_kind(spec, named) for spec, named in parsed if spec not in given}

    def lies_on_chart(each: tuple[str, MemberSpec]) -> bool:
        return each[0] in given or isinstance(kinds[each[0]], PointsKind)

    for on_chart, part in groupby(parsed, lies_on_chart):
        if on_chart:
            for spec, named in part:
                kind = kinds.get(spec)
                found = kind.find(named.place, named.argument, config, base) if isinstance(kind, PointsKind) else None
                yield [given[spec] if found is None else found]
            continue
        specs: list[str] = []
        for spec, named in part:
            kind = kinds[spec]
            specs += kind.list_networks(named.place, named.argument) if isinstance(kind, ListedKind) else [spec]
        yield gather_networks(specs, base)


def _choose_kind(spec: str, named: MemberSpec) -> MemberKind | None:
    """Choose the kind of members of a name; None for a single network.

    Raises:
        BadInput: the kind is unknown.
    """
    if not named.kind:
        return None
    try:
        return MEMBER_KINDS[named.kind].settle(named.place)
    except BadInput as error:
        raise BadInput(f"{spec}: {error}") from error


def gather_networks(specs: Sequence[str], base: ProblemRecipe) -> list[Members]:
    """Gather networks as members, with statistics of their own.

    Those that differ in further buffers, such as a mask, are of different groups, each with its own.

    Args:
        specs: the networks, in forms that ``load_networks`` accepts.
        base: the problem; its module keeps its weights.

    Raises:
        BadInput: as ``load_networks``.
    """
    loaded = load_networks(specs, base, called="network")
    costs = dict(zip(loaded.names, map(find_cost, specs), strict=True))
    varied = {name for entry in base.space.entries for name in entry.names}
    statistics = list_statistics(base.problem.module)

    def hash_rest(network: NetworkState) -> str:
        rest = ((name, value) for name, value in sorted(network.state.items()) if name not in varied | statistics)
        return fingerprint(rest)

    groups = []
    for _, same in groupby(loaded.networks, hash_rest):
        networks = list(same)
        kept = {
            name: torch.stack([network.state[name] for network in networks])
            for name in sorted(statistics)
            if networks[0].state[name].is_floating_point()
        }
        chart = Listed(torch.stack([base.space.flatten(network.state) for network in networks]), kept)
        one = sum(value.numel() * value.element_size() for value in networks[0].state.values())
        groups.append(
            Members(
                chart=chart,
                coords=torch.arange(len(networks), dtype=torch.float64)[:, None],
                names=tuple(network.name for network in networks),
                buffers="interpolated",  # at a network these are its own
                state=networks[0].state,
                costs=tuple(costs[network.name] for network in networks),
                own_bytes=one,
                shared_bytes=0,
                # Each group has its own buffers, so that nothing is to be said of differences in them.
                notes=tuple(note for note in loaded.notes if "differ in the buffer" not in note),
            )
        )
    return groups


def _place(chart: Chart, device: torch.device) -> Chart:
    """Return a chart on a device: itself where it is there, otherwise a copy, since it may be the caller's."""
    held = chart.state_dict().values()
    return chart if all(value.device == device for value in held) else copy.deepcopy(chart).to(device)


def _rename(groups: Sequence[Members]) -> tuple[Members, ...]:
    """Give names that occur several times their numbers."""
    seen: dict[str, int] = {}
    renamed = []
    for group in groups:
        names = []
        for name in group.names:
            seen[name] = seen.get(name, 0) + 1
            names.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
        renamed.append(replace(group, names=tuple(names)))
    return tuple(renamed)


def _hash(group: Members) -> str:
    """Hash the chart, the coordinates and what the points do not determine."""
    statistics = group.chart.statistics if isinstance(group.chart, Listed) else {}
    tensors = {"chart": group.chart.state_dict(), "statistics": statistics, "rest": group.state or {}}
    named = [(f"{part} {name}", value) for part, each in tensors.items() for name, value in sorted(each.items())]
    return fingerprint([*named, ("coords", group.coords)], kind=group.chart.kind())
