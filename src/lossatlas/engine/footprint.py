"""The memory that points and examples take, measured on a few of them."""

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
    """Limits on the bytes of an evaluation."""

    usual: int
    """The limit for a chunk of points."""
    most: int
    """The limit for one point that cannot be divided further."""


@dataclass(frozen=True)
class Footprint:
    """The bytes that a strategy takes."""

    weights: int
    """The bytes of a point without examples: its parameters, and what is computed from them."""
    fixed: float
    """The bytes of a network's activations that do not depend on the number of examples."""
    per_example: float
    """The bytes of a network's activations per example."""
    output: float
    """The bytes of a point's outputs and losses per example, as returned and as stacked."""
    networks: int | None
    """The number of networks evaluated at the same time; None for all points of a chunk."""

    def size(self, points: int, examples: int) -> float:
        """Compute the bytes for a number of points and of examples."""
        activations = self.fixed + self.per_example * examples
        if self.networks is None:
            return points * (self.weights + activations)
        return points * (self.weights + self.output * examples) + min(points, self.networks) * activations

    def most_points(self, examples: int, limit: int, most: int) -> int:
        """Find how many points, at most ``most``, fit with a number of examples; 0 if not even one does."""
        return _largest(lambda points: self.size(points, examples) <= limit, most)

    def most_examples(self, limit: int, most: int) -> int:
        """Find how many examples, at most ``most``, fit with one point; 0 if not even one does."""
        return _largest(lambda examples: self.size(1, examples) <= limit, most)


def _largest(fits: Callable[[int], bool], most: int) -> int:
    """The largest number up to ``most`` that fits, by bisection; 0 if none does."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def measure_peak_bytes(work: Callable[[], object]) -> int:
    """Measure the peak of the bytes of tensors that are allocated during a computation.

    Temporary memory within an operation is not seen, nor are other threads.
    """
    with _Watch() as watch:
        work()
    peak: int = watch.peak
    return peak


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Tracks the storages of the results of all operations while entered."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._bound = 0
        """An upper bound of the allocated bytes: storages that were freed since the last update still count."""
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self._meet((args, kwargs), made=False)
        result = func(*args, **(kwargs or {}))
        self._meet(result, made=True)
        if self._bound > self.peak:  # an update after each operation would take longer than the operations
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
