"""Data sets by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lossatlas.data.split import Split
from lossatlas.errors import BadInput, first_line, unknown
from lossatlas.registry import Registry, load_callable

__all__ = ["DATA", "Dataset", "load_data"]


@dataclass(frozen=True)
class Dataset:
    """A training and a test split.

    ``classes`` is the number of classes where targets are labels, else None.
    """

    name: str
    train: Split
    test: Split
    classes: int | None

    @property
    def splits(self) -> dict[str, Split]:
        """Both splits by name."""
        return {"train": self.train, "test": self.test}


DATA: Registry[Callable[[], Dataset]] = Registry("data set", "lossatlas.data.sources")


def load_data(spec: str) -> Dataset:
    """The data set that a name or ``module:callable`` stands for.

    A callable takes no arguments and returns a :class:`Dataset`, or ``(train, test)`` where each is a split or the
    pytree of tensors that makes one.

    Raises:
        BadInput: an unknown name, or a callable that fails or returns something else.
    """
    if ":" in spec:
        return _from_callable(spec)
    if spec not in DATA:
        raise unknown("data set", spec, [*DATA, "module:callable"])
    return DATA[spec]()


def _from_callable(spec: str) -> Dataset:
    function = load_callable("data", spec)
    try:
        made = function()
    except Exception as error:  # the user's own code may fail in any way
        raise BadInput(f"data {spec!r} failed: {first_line(error)}") from error
    if isinstance(made, Dataset):
        return made
    if not isinstance(made, tuple) or len(made) != 2:
        raise BadInput(f"data {spec!r} returned {type(made).__name__}; expected (train, test) or a lossatlas Dataset")
    train, test = (part if isinstance(part, Split) else Split(part) for part in made)
    return Dataset(spec, train, test, _classes(train.data))


def _classes(data: Any) -> int | None:
    """The number of classes if the data are pairs with integer labels."""
    if isinstance(data, tuple | list) and len(data) == 2 and isinstance(data[1], Tensor):
        labels = data[1]
        if not labels.is_floating_point() and labels.dtype is not torch.bool:
            return int(labels.max()) + 1
    return None
