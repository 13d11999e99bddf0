"""Which examples of its data set a loader uses."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from lossatlas.data.randomness import keep_generators
from lossatlas.errors import BadInput, format_error

__all__ = ["list_rows"]

TAKE_ALL = "give the data set itself, or torch.utils.data.Subset of it"


def list_rows(loader: DataLoader[Any], count: int) -> tuple[Tensor | None, tuple[str, ...]]:
    """List the indices (n,) that a loader's sampler yields, ascending, and remarks about them; None for all indices.

    Args:
        loader: a loader of a data set with a length.
        count: the number of items of that data set.

    Raises:
        BadInput: the sampler yields examples more than once or by weights, or fails.
    """
    sampler: Any = loader.batch_sampler if loader.batch_sampler is not None else loader.sampler
    if type(sampler) is BatchSampler:
        sampler = sampler.sampler
    name = type(sampler).__name__
    if isinstance(sampler, WeightedRandomSampler):
        raise BadInput(
            f"the loader's {name} samples examples by weights; expected each once: {TAKE_ALL}, and weigh examples "
            "in the loss"
        )
    if type(sampler) is RandomSampler:
        if sampler.replacement or sampler.num_samples != count:
            how = " with replacement" if sampler.replacement else ", other ones in every epoch"
            raise BadInput(
                f"the loader's {name} samples {sampler.num_samples} of {count} examples{how}; expected each once: "
                f"{TAKE_ALL}"
            )
        return None, ("examples are in the order of the data set: the loader's shuffling is left to steps",)
    if type(sampler) is SequentialSampler and len(sampler) == count:
        return None, ()
    taken = sampler.indices if isinstance(sampler, SubsetRandomSampler) else _asked(sampler, count)
    rows = torch.as_tensor([*taken]).sort().values
    if not len(rows):
        raise BadInput(f"the loader's {name} takes no examples; expected at least one")
    if rows.is_floating_point() or rows.ndim != 1 or rows[0] < 0 or rows[-1] >= count:
        raise BadInput(f"the loader's {name} gives other things than indices of its {count} examples; {TAKE_ALL}")
    if (rows[1:] == rows[:-1]).any():
        raise BadInput(f"the loader's {name} takes examples more than once; expected each once: {TAKE_ALL}")
    if len(rows) == count:
        return None, (f"examples are in the order of the data set: that of the loader's {name} is left to steps",)
    return rows, (f"{len(rows):,} of {count:,} examples, those of the loader's {name}, in the order of the data set",)


def _asked(sampler: Iterable[Any], count: int) -> list[int]:
    """All indices of one epoch, at most one more than there are examples."""
    found: list[int] = []
    try:
        with keep_generators():
            for one in islice(sampler, count + 1):
                found += [int(row) for row in one] if isinstance(one, Iterable) else [int(one)]
                if len(found) > count:
                    break
    except Exception as error:  # the user's own sampler may fail in any way
        raise BadInput(f"the loader's {type(sampler).__name__} fails: {format_error(error)}; {TAKE_ALL}") from error
    return found
