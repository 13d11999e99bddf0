"""Networks that a configuration names, as points of one weight space: read, checked and transformed in one place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from lossatlas.describing import count_things, join_words, write_repr
from lossatlas.errors import BadInput
from lossatlas.files.reading import resolved
from lossatlas.problem import Problem
from lossatlas.recipes.problem import ProblemRecipe
from lossatlas.training.start import starting_state
from lossatlas.types import Params
from lossatlas.weights import WeightSpace
from lossatlas.weights.files import load_state, module_state
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
        name: what it is called in pictures and messages.
        state: its parameters and buffers by name, all that the module has.
    """

    name: str
    state: Params

    def __repr__(self) -> str:
        return write_repr(self, lambda: f"{self.name!r}, {count_things(len(self.state), 'tensor')}")


class NetworkTransform(ABC):
    """Makes other networks of networks, before anything is laid between or around them: averages, alignment."""

    @abstractmethod
    def transform(self, networks: Sequence[NetworkState], problem: Problem, space: WeightSpace) -> list[NetworkState]:
        """The networks that take the place of these.

        Args:
            networks: one or more, in the order in which they were named.
            problem: its module has their architecture.
            space: the parameters that vary; all others are the same in all networks.

        Raises:
            BadInput: they cannot be transformed.
        """


@dataclass(frozen=True)
class LoadedNetworks:
    """Networks in one weight space, in their order.

    Attributes:
        networks: with short names that tell them apart.
        space: the parameters that vary.
        notes: what somebody should know of the files that they come from.
    """

    networks: tuple[NetworkState, ...]
    space: WeightSpace
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        return write_repr(self, lambda: f"{join_words([repr(name) for name in self.names])}, {self.space!r}")

    @property
    def names(self) -> tuple[str, ...]:
        """What the networks are called."""
        return tuple(network.name for network in self.networks)

    @property
    def states(self) -> list[Params]:
        """Their parameters and buffers."""
        return [network.state for network in self.networks]

    @cached_property
    def vectors(self) -> Tensor:
        """The networks as vectors (k, n), in the module's numbers and where it is."""
        return torch.stack([self.space.flatten(state) for state in self.states])

    def bring(self, module: nn.Module) -> None:
        """Bring a module of their architecture to the first of them, in place."""
        load_state(module, self.networks[0].state, self.networks[0].name)


def load_networks(
    specs: Sequence[str],
    base: ProblemRecipe,
    transforms: Sequence[NetworkTransform] = (),
    *,
    called: str = "checkpoint",
) -> LoadedNetworks:
    """Networks by their names, as points of one weight space.

    Args:
        specs: files of weights, networks in them as ``FILE#KEY``, runs, snapshots as ``RUN@STEP``, or names of networks
            that the problem has in memory.
        base: the problem; its module is as it was when this returns.
        transforms: applied one after the other to all networks together.
        called: what messages call what is named.

    Raises:
        BadInput: one is named twice, cannot be read, does not fit the module or is not finite; or two differ in
            parameters that do not vary, which no point between them could have.
    """
    places = [resolved(spec) for spec in specs]
    if twice := [spec for spec, place in zip(specs, places, strict=True) if places.count(place) > 1]:
        raise BadInput(f"{twice[0]} is named twice; name networks that differ")
    module, found, notes = base.problem.module, [], list[str]()
    with keep_module(module):
        for spec, name in zip(specs, shorten_paths(specs), strict=True):
            state = base.networks[spec] if spec in base.networks else starting_state(spec)
            notes += load_state(module, state, f"{called} {spec}")
            check_finite(module, f"{called} {spec}")
            found.append(NetworkState(name, copy_state(module)))
        notes += _check_what_is_held(found, base)
        for transform in transforms:
            found = [_restore(network, module) for network in transform.transform(found, base.problem, base.space)]
            if not found:
                raise BadInput(f"{type(transform).__name__} left no network; expected one at least")
            notes += _check_what_is_held(found, base)
    return LoadedNetworks(tuple(found), base.space, tuple(dict.fromkeys(notes)))


def bring_module(spec: str, base: ProblemRecipe, *, called: str = "checkpoint") -> tuple[str, ...]:
    """Bring a problem's module to a network; returns what somebody should know of its file.

    Args:
        spec: of the network, as :func:`load_networks` takes it.
        base: the problem.
        called: what messages call what is named.

    Raises:
        BadInput: it cannot be read, does not fit or is not finite.
    """
    loaded = load_networks([spec], base, called=called)
    loaded.bring(base.problem.module)
    return loaded.notes


@contextmanager
def keep_module(module: nn.Module) -> Iterator[None]:
    """While entered, a module may be brought to other networks; afterwards it is as it was."""
    before = copy_state(module)
    try:
        yield
    finally:
        with torch.no_grad():
            for name, value in module_state(module).items():
                value.copy_(before[name])


def copy_state(module: nn.Module) -> Params:
    """Parameters and buffers of a module by name, which stay what they are when it is brought elsewhere."""
    return {name: value.clone() for name, value in module_state(module).items()}


def _restore(network: NetworkState, module: nn.Module) -> NetworkState:
    """A network that a transform made, as the module has it; refused where it does not fit the module."""
    load_state(module, network.state, network.name)
    check_finite(module, network.name)
    return NetworkState(network.name, copy_state(module))


def _check_what_is_held(networks: Sequence[NetworkState], base: ProblemRecipe) -> list[str]:
    """Refuse networks that differ in parameters that do not vary; a line for each buffer in which they differ.

    Raises:
        BadInput: two differ.
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
                f"{first.name} and {unequal[0].name} differ in {name!r}, which does not vary; name it among "
                "the parameters that do"
            )
        notes.append(
            f"{first.name} and {unequal[0].name} differ in the buffer {name!r}; between them it is the first's"
        )
    return notes


def _equal(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same, NaN included."""
    return one.shape == other.shape and bool(((one == other) | ((one != one) & (other != other))).all())


def list_statistics(module: nn.Module) -> set[str]:
    """The names of the running statistics of normalisations, of which buffers policies take care."""
    layers = [(prefix, layer) for prefix, layer in module.named_modules() if isinstance(layer, _NormBase)]
    return {f"{prefix}.{name}" if prefix else name for prefix, layer in layers for name, _ in layer.named_buffers()}


def check_finite(module: nn.Module, source: str) -> None:
    """Refuse a network whose loss is nowhere a number.

    Args:
        module: the network.
        source: what the message calls it.

    Raises:
        BadInput: a parameter is not finite; the first one is named.
    """
    for name, parameter in module.named_parameters():
        check_finite_values(name, parameter, source)


def shorten_paths(paths: Sequence[str]) -> list[str]:
    """Short names of paths that differ: their ends, as long as it takes to tell them apart.

    >>> shorten_paths(["runs/a/last", "runs/b/last"])
    ['a/last', 'b/last']
    """
    parts = [Path(path).parts for path in paths]
    length = next(
        (k for k in range(1, max(map(len, parts)) + 1) if len({part[-k:] for part in parts}) == len(parts)), 1
    )
    return [str(Path(*part[-length:])) for part in parts]
