"""What points and examples take in memory, seen on a few of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["Footprint", "Limit", "measure_peak_bytes"]


@dataclass(frozen=True)
class Limit:
    """Bytes that evaluating may take."""

    usual: int
    """Of a chunk of points."""
    most: int
    """Of one point, where it cannot be divided any further."""


@dataclass(frozen=True)
class Footprint:
    """Bytes that a strategy takes."""

    weights: int
    """Of a point: its parameters, and what is made of them before examples come in."""
    fixed: float
    """Of a network's activations, whatever the number of examples."""
    per_example: float
    """Of a network's activations, for each example."""
    output: float
    """Of a point's outputs and losses, for each example: as they are returned, and as they are stacked."""
    networks: int | None
    """How many are at work at the same time; None: all points of a chunk are."""

    def size(self, points: int, examples: int) -> float:
        """Bytes of so many points on so many examples."""
        activations = self.fixed + self.per_example * examples
        if self.networks is None:
            return points * (self.weights + activations)
        return points * (self.weights + self.output * examples) + min(points, self.networks) * activations

    def most_points(self, examples: int, limit: int, most: int) -> int:
        """How many points, ``most`` or fewer, fit on so many examples; 0 where not even one does."""
        return _largest(lambda points: self.size(points, examples) <= limit, most)

    def most_examples(self, limit: int, most: int) -> int:
        """How many examples, ``most`` or fewer, one point fits on; 0 where it does not fit on one."""
        return _largest(lambda examples: self.size(1, examples) <= limit, most)


def _largest(fits: Callable[[int], bool], most: int) -> int:
    """The largest number up to ``most`` that fits, where those above it do not; 0 where none does."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def measure_peak_bytes(work: Callable[[], object]) -> int:
    """The most bytes of tensors that are alive at a time while something is done, those that were there before aside.

    What an operation takes for itself while it runs is not seen. Of one thread.
    """
    with _Watch() as watch:
        work()
    peak: int = watch.peak
    return peak


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Looks at the storages of all operations that are carried out while it is entered."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._bound = 0
        """At least what is alive: what has gone since it was last looked at still counts."""
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self._meet((args, kwargs), made=False)
        result = func(*args, **(kwargs or {}))
        self._meet(result, made=True)
        if self._bound > self.peak:  # to look at everything after each operation takes longer than the operations
            self._alive = {key: entry for key, entry in self._alive.items() if not _gone(entry[0])}
            self._bound = sum(size for _, size in self._alive.values())
            self.peak = max(self.peak, self._bound)
        return result

    def _meet(self, tree: Any, *, made: bool) -> None:
        for leaf in tree_leaves(tree):
            if not isinstance(leaf, Tensor) or leaf.is_nested:
                continue
            storage = leaf.untyped_storage()
            known = self._alive.get(storage._cdata)
            if known is None or _gone(known[0]):
                watched = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
                size = storage.nbytes() if made else 0
                self._bound += size - (known[1] if known is not None else 0)
                self._alive[storage._cdata] = watched, size


def _gone(storage: StorageWeakRef) -> bool:
    """Whether a storage has been freed."""
    return bool(storage.expired())  # type: ignore[no-untyped-call]
