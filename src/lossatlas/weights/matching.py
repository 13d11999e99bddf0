"""Finding the tensors of a network in a checkpoint, whatever the prefixes of their names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from lossatlas.errors import BadInput
from lossatlas.weights.checkpoint import WRAPPERS, Checkpoint, join_names, list_names, strip_name
from lossatlas.weights.space import WeightSpace
from lossatlas.weights.unpickling import NESTED

__all__ = [
    "EXTRA_STATE",
    "Copy",
    "Wanted",
    "choose_copy",
    "find_closest_copy",
    "find_shape",
    "is_same",
    "is_sparse",
    "list_left_out",
]

COUNTER = "num_batches_tracked"
"""The name of a buffer that old files lack, and that is not read in evaluation mode."""
AVERAGE = re.compile(r"ema|emamodel|swa|polyak|shadow|avg|averages?d?|averaging", re.IGNORECASE)
"""Words in names of averaged weights."""
WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")
PLAIN = {*NESTED, *(prefix.rstrip(".") for prefix in WRAPPERS)}
"""Keys and prefixes of networks whose weights are not averaged."""
EXTRA_STATE = "_extra_state"
"""The name under which modules save extra state."""


@dataclass(frozen=True)
class Wanted:
    """The tensors that a network needs, by their names without components of wrappers (:func:`strip_name`)."""

    shapes: Mapping[str, tuple[int, ...]]
    groups: tuple[tuple[str, ...], ...]
    """Groups of names of which one is enough, as for tied parameters; names in no group may be missing."""
    before: str = ""
    """A prefix of the network's names that is left out here."""

    @classmethod
    def of_module(cls, module: nn.Module) -> Wanted:
        """List the parameters and buffers of a module; counters of batches and unsaved buffers may be missing."""
        state = module.state_dict().items()
        saved = {k: v for k, v in state if isinstance(v, Tensor) and k.rpartition(".")[2] != EXTRA_STATE}
        tied: list[tuple[str, ...]] = [(name,) for name in saved]
        tensors = dict(saved)
        for named in (module.named_parameters, module.named_buffers):
            names: dict[int, list[str]] = {}
            for name, value in named(remove_duplicate=False):
                names.setdefault(id(value), []).append(name)
                tensors.setdefault(name, value)
            tied += [tuple(group) for group in names.values()]
        of = {name: group for group in tied for name in group}  # the larger one counts
        needed = dict.fromkeys(of[name] for name in saved if name.rpartition(".")[2] != COUNTER)
        return cls._plain({name: tuple(value.shape) for name, value in tensors.items()}, list(needed))

    @classmethod
    def of_space(cls, space: WeightSpace) -> Wanted:
        """List the parameters of a weight space."""
        shapes = {name: entry.shape for entry in space.entries for name in entry.names}
        return cls._plain(shapes, [entry.names for entry in space.entries])

    @classmethod
    def _plain(cls, shapes: Mapping[str, tuple[int, ...]], groups: list[tuple[str, ...]]) -> Wanted:
        return cls(
            {strip_name(name): shape for name, shape in shapes.items()},
            tuple(tuple(map(strip_name, group)) for group in groups),
        )

    def unwrapped(self) -> Wanted | None:
        """The same without the first component of all names, as for a wrapped network; None where it differs."""
        words = {name.partition(".")[0] if "." in name else "" for name in self.shapes}
        if len(words) != 1 or words == {""}:
            return None
        word = f"{words.pop()}."
        return replace(
            self,
            shapes={name.removeprefix(word): shape for name, shape in self.shapes.items()},
            groups=tuple(tuple(name.removeprefix(word) for name in group) for group in self.groups),
            before=self.before + word,
        )

    def layers(self) -> Iterator[Wanted]:
        """The network itself, the one that it wraps, and so on."""
        found: Wanted | None = self
        while found is not None:
            yield found
            found = found.unwrapped()

    def fits(self, copy: Copy) -> bool:
        """Whether all required tensors are present, and all present ones have the right shapes."""
        present = all(any(name in copy.tensors for name in group) for group in self.groups)
        return present and all(find_shape(value) == self.shapes[name] for name, value in copy.tensors.items())

    @property
    def is_wrapped(self) -> bool:
        """Whether the prefix is more than what ``DataParallel`` and ``torch.compile`` add."""
        return any(f"{word}." not in WRAPPERS for word in self.before.split(".") if word)


@dataclass(frozen=True)
class Copy:
    """The tensors of a network under one key and prefix of a checkpoint."""

    part: str
    prefix: str
    """The prefix of the names there; ends with a dot, or is empty."""
    tensors: Mapping[str, Any]
    """The tensors by the names of a :class:`Wanted`."""
    before: str = ""
    """A prefix of the network's names that is left out here."""

    @property
    def path(self) -> str:
        """The key that chooses this copy."""
        return join_names(self.part, self.prefix.rstrip("."))

    def named(self) -> dict[str, Tensor]:
        """The tensors by the names of the network, without components of wrappers."""
        numbers = {name: value for name, value in self.tensors.items() if find_shape(value) is not None}
        return {self.before + name: torch.as_tensor(value).detach() for name, value in numbers.items()}

    def entry(self, checkpoint: Checkpoint, name: str) -> Any:
        """Return the entry of another name under the same key and prefix; None where there is none."""
        wanted = self.prefix + name.removeprefix(self.before)
        entries = checkpoint.parts[self.part].items()
        return next((value for known, value in entries if strip_name(known) == wanted), None)

    def equals(self, other: Copy) -> bool:
        """Whether both copies have equal values."""
        return self.tensors.keys() == other.tensors.keys() and all(
            is_same(value, other.tensors[name]) for name, value in self.tensors.items()
        )


def choose_copy(checkpoint: Checkpoint, wanted: Wanted, source: str) -> tuple[Copy, list[Copy]] | None:
    """Choose the copy of a network's tensors in a checkpoint; None where no copy is complete.

    Of several different copies the plain one is taken: the one under usual keys (:data:`PLAIN`), of these the one under
    the fewest; or else the only one whose name does not say that it is an average.

    Returns:
        The chosen copy, and all copies that fit.

    Raises:
        BadInput: several copies fit, and none of them is the plain one.
    """
    for layer in wanted.layers():
        found = [copy for copy in _copies(checkpoint, layer) if layer.fits(copy)]
        if layer.is_wrapped:  # a small network may fit anywhere: then all of the file has to be its own
            found = [copy for copy in found if not list_left_out(checkpoint, [copy])]
        if found:
            return _plainest(checkpoint, found, source), found
    return None


def find_closest_copy(checkpoint: Checkpoint, wanted: Wanted) -> Copy:
    """Find the copy with most of the network's names, whatever their shapes, or else the likely part."""
    part, prefix = checkpoint.likely()
    found = [copy for layer in wanted.layers() for copy in _copies(checkpoint, layer)]
    return max(
        found,
        key=lambda copy: (len(copy.tensors), (copy.part, copy.prefix) == (part, prefix)),
        default=Copy(part, prefix, {}),
    )


def list_left_out(checkpoint: Checkpoint, copies: list[Copy]) -> list[str]:
    """List the tensors beside the first of some copies, under the checkpoint's key, that are in none of the copies."""
    part = copies[0].part
    used = {copy.prefix + name for copy in copies if copy.part == part for name in copy.tensors}
    return [
        name
        for name, value in checkpoint.parts[part].items()
        if isinstance(value, Tensor)
        and checkpoint.covers(join_names(part, name))
        and strip_name(name) not in used
        and name.rpartition(".")[2] != EXTRA_STATE
    ]


def find_shape(value: Any) -> tuple[int, ...] | None:
    """Find the shape of a tensor or a number; None for anything else, such as nested tensors."""
    if isinstance(value, Tensor):
        return None if value.is_nested else tuple(value.shape)
    return () if isinstance(value, int | float | complex) else None


def is_same(one: Any, other: Any) -> bool:
    """Whether two tensors, or numbers, have equal values, with NaN equal to NaN.

    Sparse, quantised and meta tensors are equal to themselves only, since those of a file may be malformed.
    """
    if not (isinstance(one, Tensor) and isinstance(other, Tensor)):
        return bool(one == other)
    if any(is_sparse(value) or value.is_quantized or value.is_meta for value in (one, other)):
        return one is other
    return one.shape == other.shape and bool(((one == other) | ((one != one) & (other != other))).all())


def is_sparse(value: Any) -> bool:
    """Whether a value is a tensor of which only some numbers are stored."""
    return isinstance(value, Tensor) and not value.is_nested and value.layout is not torch.strided


def _copies(checkpoint: Checkpoint, wanted: Wanted) -> Iterator[Copy]:
    """The copies with some of the names."""
    for part, entries in checkpoint.parts.items():
        plain = {strip_name(name): value for name, value in entries.items()}
        for prefix in _prefixes(plain, wanted):
            tensors = {name: plain[prefix + name] for name in wanted.shapes if prefix + name in plain}
            copy = Copy(part, prefix, tensors, wanted.before)
            if checkpoint.covers(copy.path):
                yield copy


def _prefixes(names: Mapping[str, Any], wanted: Wanted) -> list[str]:
    """All prefixes of names of the network."""
    found: dict[str, None] = {}
    for name in names:
        starts = [0, *(place + 1 for place, sign in enumerate(name) if sign == ".")]
        found |= dict.fromkeys(name[:start] for start in starts if name[start:] in wanted.shapes)
    return list(found)


def _plainest(checkpoint: Checkpoint, copies: list[Copy], source: str) -> Copy:
    keys = {copy.path: copy.path.removeprefix(checkpoint.key).split(".") for copy in copies}
    words = {path: [key for key in found if key] for path, found in keys.items()}
    plain = [copy for copy in copies if PLAIN.issuperset(words[copy.path])]
    fewest = min((len(words[copy.path]) for copy in plain), default=0)
    plain = [copy for copy in plain if len(words[copy.path]) == fewest]
    trained = [copy for copy in copies if not any(map(_is_average, words[copy.path]))]
    differing = _differing(plain or trained or copies)
    if len(differing) > 1:
        raise BadInput(
            f"{source} holds several networks that fit; choose one of "
            f"{list_names(f'{checkpoint.file}#{copy.path}' for copy in differing)}"
        )
    return differing[0]


def _is_average(key: str) -> bool:
    return any(AVERAGE.fullmatch(word) for word in WORDS.findall(key))


def _differing(copies: list[Copy]) -> list[Copy]:
    """The first of each set of equal copies."""
    found: list[Copy] = []
    for copy in copies:
        if not any(copy.equals(other) for other in found):
            found.append(copy)
    return found
