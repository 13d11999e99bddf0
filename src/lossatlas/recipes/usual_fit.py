"""What settings of a fit are where they are left open: they follow from the network and from the picture.

The numbers are those of the study in ``docs/reports/performance.md``, "What makes a fit faster".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from torch import nn

from lossatlas.errors import BadInput
from lossatlas.recipes.base import spell_list
from lossatlas.recipes.fit_config import FitConfig

__all__ = ["settle_fit"]

CONVOLUTIONS: Final = (nn.Conv1d, nn.Conv2d, nn.Conv3d)

USUAL: Final[Mapping[str, Mapping[str, Any]]] = {
    "convolutional": {"cells": 16, "batch_size": 16, "lr": 2e-3, "coarse": (0.25, 0.5)},
    "other": {"cells": 32, "batch_size": 32, "lr": 5e-3, "coarse": (0.3, 0.6)},
}
"""Settings by kind of network. A step of a convolutional network costs what its images cost, so that it has fewer."""

SCALE_RATES: Final[Mapping[str, float]] = {"convolutional": 4.0, "other": 1.0}
"""The learning rate of the scale as a multiple of that of other parameters."""

SHARES: Final = {1: (1.0,), 2: (0.3, 0.7), 3: (0.2, 0.3, 0.5)}
"""The shares of the budget by number of sizes, the full size last."""


def settle_fit(config: FitConfig, module: nn.Module, of_picture: Mapping[str, Any], *, has_scale: bool) -> FitConfig:
    """Give the settings that are left open their values, as the run records them.

    Args:
        config: the configuration.
        module: the network.
        of_picture: what follows from the picture.
        has_scale: whether the chart trains a scale.

    Raises:
        BadInput: there is another number of shares than of sizes.
    """
    kind = "convolutional" if any(isinstance(part, CONVOLUTIONS) for part in module.modules()) else "other"
    usual = dict(USUAL[kind])
    sizes = len(usual["coarse"] if config.coarse is None else config.coarse) + 1
    usual["shares"] = SHARES.get(sizes, (1 / sizes,) * sizes)
    if has_scale:
        usual["scale_lr"] = SCALE_RATES[kind] * (usual["lr"] if config.lr is None else config.lr)
    usual |= of_picture
    settled = replace(config, **{name: value for name, value in usual.items() if getattr(config, name) is None})
    if len(settled.shares or ()) != sizes:
        raise BadInput(
            f"shares is {spell_list(settled.shares or ())}; expected {sizes} positive shares of the budget, one for "
            "each coarser size and one for the full size"
        )
    return settled
