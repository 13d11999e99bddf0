"""Several sources of examples, by name."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from lossatlas.data.split import Split
from lossatlas.errors import BadInput
from lossatlas.types import Source

__all__ = ["named_splits"]


def named_splits(sources: Mapping[str, Source], device: torch.device | None = None) -> dict[str, Split]:
    """Make a split of each source, on a device if one is given.

    Raises:
        BadInput: the sources are not named, or a split cannot be made of one.
    """
    if not isinstance(sources, Mapping):
        raise BadInput(f"splits have names; got {type(sources).__name__}: give a dict, such as {{'test': examples}}")
    made = {}
    for name, source in sources.items():
        try:
            split = Split.of(source)
        except BadInput as error:
            raise BadInput(f"the {name} examples: {error}") from error
        made[name] = split if device is None else split.to(device)
    return made
