"""Several sources of examples, by name."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from lossatlas.data.split import Split
from lossatlas.errors import BadInput
from lossatlas.schema import check_split_name
from lossatlas.types import Source

__all__ = ["name_splits"]


def name_splits(sources: Mapping[str, Source], device: torch.device | None = None) -> dict[str, Split]:
    """Make a split of each source, on the device if one is given.

    Raises:
        BadInput: the sources have no names or names that a split cannot have, or a source cannot be read.
    """
    if not isinstance(sources, Mapping):
        raise BadInput(
            f"a {type(sources).__name__} is not a mapping of splits; expected a dict, such as {{'test': examples}}"
        )
    made = {}
    for name, source in sources.items():
        check_split_name(name)
        try:
            split = Split.of(source)
        except BadInput as error:
            raise BadInput(f"the {name} examples: {error}") from error
        made[name] = split if device is None else split.to(device)
    return made
