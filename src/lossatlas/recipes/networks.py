"""Networks as points of one weight space: read from files and runs, checked and transformed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from lossatlas.describing import count_things, join_words, write_repr
from lossatlas.engine.buffers_policy import list_statistics
from lossatlas.errors import BadInput
from lossatlas.files.reading import resolve_path
from lossatlas.problem import Problem
from lossatlas.recipes.averaged import place_average
from lossatlas.recipes.held_out import check_held_out
from lossatlas.recipes.problem import ProblemRecipe
from lossatlas.specs import NetworkSpec
from lossatlas.training.start import load_start
from lossatlas.types import Params
from lossatlas.weights import WeightSpace
from lossatlas.weights.files import collect_state, load_state
from lossatlas.weights.loading import check_finite_values

__all__ = [
    "LoadedNetworks",
    "NetworkState",
    "NetworkTransform",
    "bring_module",
    "check_finite",
    "copy_state",
    "keep_module",
    "list_statistics",
    "load_networks",
    "shorten_paths",
]


@dataclass(frozen=True)
class NetworkState:
    """One network of a problem's architecture.

    Attributes:
        name: The name of the network in pictures and messages.
        state: All parameters and buffers by name.
    """

    name: str
    state: Params

    def __repr__(self) -> str:
        return write_repr(self, lambda: f"{self.name!r}, {count_things(len(self.state), 'tensor')}")


class NetworkTransform(ABC):
    """A transformation of loaded networks, such as averaging or alignment, before charts are made from them."""

    @abstractmethod
    def transform(self, networks: Sequence[NetworkState], problem: Problem, space: WeightSpace) -> list[NetworkState]:
        """Return the networks that replace the given ones.

        Args:
            networks: one or more networks, in the order in which they were named.
            problem: the problem, whose module has their architecture.
            space: the parameters that vary; all others are equal in all networks.

        Raises:
            BadInput: the networks cannot be transformed.
        """


@dataclass(frozen=True)
class LoadedNetworks:
    """Networks as points of one weight space, in their order.

    Attributes:
        networks: The networks, with short names that distinguish them.
        space: The parameters that vary.
        notes: Notes on the files that they come from, for the user.
    """

    networks: tuple[NetworkState, ...]
    space: WeightSpace
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        return write_repr(self, lambda: f"{join_words([repr(name) for name in self.names])}, {self.space!r}")

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the networks."""
        return tuple(network.name for network in self.networks)

    @property
    def states(self) -> list[Params]:
        """Return the parameters and buffers of each network."""
        return [network.state for network in self.networks]

    @cached_property
    def vectors(self) -> Tensor:
        """Return the networks as vectors (k, n), in the dtype and on the device of the module."""
        return torch.stack([self.space.flatten(state) for state in self.states])

    def bring(self, module: nn.Module) -> None:
        """Load the first network into a module of the same architecture, in place."""
        load_state(module, self.networks[0].state, self.networks[0].name)


def load_networks(
    specs: Sequence[str],
    base: ProblemRecipe,
    transforms: Sequence[NetworkTransform] = (),
    *,
    called: str = "checkpoint",
) -> LoadedNetworks:
    """Load networks as points of one weight space.

    Args:
        specs: files of weights, networks in them as ``FILE#KEY``, runs, snapshots as ``RUN@STEP``, averages of the
            weights of a training as ``RUN@swa`` or ``RUN@ema:DECAY``, or names of networks that the problem has in
            memory. An average has what is not averaged from the end of its training, and running statistics that are
            re-estimated on examples of the train split.
        base: the recipe of the problem, such as :attr:`OpenedRun.base`; its module keeps its weights.
        transforms: transformations that are applied to all networks together, in order.
        called: the word for a network in messages.

    Returns:
        The networks, in their order, and their weights as vectors (k, n).

    Raises:
        BadInput: a network is named twice, cannot be read, does not fit the module or is not finite; or two networks
            differ in parameters that do not vary.

    >>> import tempfile, lossatlas as la
    >>> from lossatlas.jobs.train import run_train
    >>> from lossatlas.recipes import TrainConfig
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = run_train(TrainConfig(model_options={"hidden": (8,)}, epochs=1.0), f"{folder}/net")
    ...     networks = la.load_networks([f"{folder}/net@0", f"{folder}/net"], la.open_run(f"{folder}/net").base)
    ...     networks.names, tuple(networks.vectors.shape)
    (('net@0', 'net'), (2, 610))
    """
    places = [resolve_path(spec) for spec in specs]
    if twice := [spec for spec, place in zip(specs, places, strict=True) if places.count(place) > 1]:
        raise BadInput(f"{twice[0]} is named twice; expected different networks")
    module, found, notes = base.problem.module, [], list[str]()
    with keep_module(module):
        for spec, name in zip(specs, shorten_paths(specs), strict=True):
            if spec not in base.networks:
                check_held_out(spec, base)
            if spec not in base.networks and (named := NetworkSpec.parse(spec)).average:
                notes += place_average(named, base)
            else:
                state = base.networks[spec] if spec in base.networks else load_start(spec)
                notes += load_state(module, state, f"{called} {spec}")
            check_finite(module, f"{called} {spec}")
            found.append(NetworkState(name, copy_state(module)))
        notes += _check_what_is_held(found, base)
        for transform in transforms:
            found = [_restore(network, module) for network in transform.transform(found, base.problem, base.space)]
            if not found:
                raise BadInput(f"{type(transform).__name__} returned an empty list; expected at least one network")
            notes += _check_what_is_held(found, base)
    return LoadedNetworks(tuple(found), base.space, tuple(dict.fromkeys(notes)))


def bring_module(spec: str, base: ProblemRecipe, *, called: str = "checkpoint") -> tuple[str, ...]:
    """Load a network into the module of a problem, in place; returns notes on its file.

    Args:
        spec: the network, in a form that :func:`load_networks` accepts.
        base: the recipe of the problem.
        called: the word for the network in messages.

    Raises:
        BadInput: the network cannot be read, does not fit or is not finite.
    """
    loaded = load_networks([spec], base, called=called)
    loaded.bring(base.problem.module)
    return loaded.notes


@contextmanager
def keep_module(module: nn.Module) -> Iterator[None]:
    """Restore the state of a module at the end of the context, in which other networks may be loaded into it."""
    before = copy_state(module)
    try:
        yield
    finally:
        with torch.no_grad():
            for name, value in collect_state(module).items():
                value.copy_(before[name])


def copy_state(module: nn.Module) -> Params:
    """Copy the parameters and buffers of a module, by name."""
    return {name: value.clone() for name, value in collect_state(module).items()}


def _restore(network: NetworkState, module: nn.Module) -> NetworkState:
    """Bring a transformed network into the form of the module's state; refuse one that does not fit."""
    load_state(module, network.state, network.name)
    check_finite(module, network.name)
    return NetworkState(network.name, copy_state(module))


def _check_what_is_held(networks: Sequence[NetworkState], base: ProblemRecipe) -> list[str]:
    """Refuse networks that differ in parameters that do not vary; returns a note for each buffer in which they differ.

    Raises:
        BadInput: two networks differ in such a parameter.
    """
    varied = {name for entry in base.space.entries for name in entry.names}
    parameters = {name for name, _ in base.problem.module.named_parameters()}
    statistics = list_statistics(base.problem.module)
    first, *others = networks
    notes = []
    for name, value in first.state.items():
        unequal = [other for other in others if not _equal(value, other.state[name])]
        if name in varied or name in statistics or not unequal:
            continue
        if name in parameters:
            raise BadInput(
                f"{first.name} and {unequal[0].name} differ in parameter {name!r}, which is held fixed; let it vary "
                "(parameters)"
            )
        notes.append(
            f"{first.name} and {unequal[0].name} differ in the buffer {name!r}; points between them have the first's"
        )
    return notes


def _equal(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors are equal; NaN equals NaN."""
    return one.shape == other.shape and bool(((one == other) | ((one != one) & (other != other))).all())


def check_finite(module: nn.Module, source: str) -> None:
    """Refuse a network with parameters that are not finite.

    Args:
        module: the network.
        source: the name of the network in the message.

    Raises:
        BadInput: a parameter is not finite; the message names the first one.
    """
    for name, parameter in module.named_parameters():
        check_finite_values(name, parameter, source)


def shorten_paths(paths: Sequence[str]) -> list[str]:
    """Shorten different paths to the shortest ends that distinguish them.

    >>> shorten_paths(["runs/a/last", "runs/b/last"])
    ['a/last', 'b/last']
    """
    parts = [Path(path).parts for path in paths]
    length = next(
        (k for k in range(1, max(map(len, parts)) + 1) if len({part[-k:] for part in parts}) == len(parts)), 1
    )
    return [str(Path(*part[-length:])) for part in parts]
