"""What settings of a fit are where they are left open: they follow from the network and from the picture.

The numbers are those of the study in ``docs/reports/performance.md``, "What makes a fit faster".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from torch import nn

from lossatlas.charts import CoefficientChart
from lossatlas.errors import BadInput
from lossatlas.recipes.base import AUTO, spell_list
from lossatlas.recipes.fit_config import FitConfig

__all__ = ["settle_fit"]

CONVOLUTIONS: Final = (nn.Conv1d, nn.Conv2d, nn.Conv3d)

USUAL: Final[Mapping[str, Mapping[str, Any]]] = {
    "convolutional": {"optimizer": "muon", "cells": 16, "batch_size": 16, "coarse": (0.25, 0.5)},
    "other": {"optimizer": "adam", "cells": 32, "batch_size": 32, "coarse": (0.3, 0.6)},
}
"""Settings by kind of network. A step of a convolutional network costs what its images cost, so that it has fewer."""

RATES: Final[Mapping[tuple[str, str], tuple[float, float]]] = {
    ("convolutional", "muon"): (5e-3, 1.6),
    ("convolutional", "adam"): (2e-3, 4.0),
    ("other", "muon"): (5e-3, 1.0),
    ("other", "adam"): (5e-3, 1.0),
}
"""By kind of network and optimiser the learning rate, and that of the scale as a multiple of it."""

ISOMETRY: Final = 0.1
"""The weight that keeps curved charts near isometric; it costs nothing that a seed would not."""

SHARES: Final = {1: (1.0,), 2: (0.3, 0.7), 3: (0.2, 0.3, 0.5)}
"""The shares of the budget by number of sizes, the full size last."""


def settle_fit(
    config: FitConfig, module: nn.Module, of_picture: Mapping[str, Any], chart: CoefficientChart
) -> FitConfig:
    """Give the settings that are left open their values, as the run records them.

    Args:
        config: the configuration.
        module: the network.
        of_picture: what follows from the picture.
        chart: the chart before the first step.

    Raises:
        BadInput: there is another number of shares than of sizes.
    """
    kind = "convolutional" if any(isinstance(part, CONVOLUTIONS) for part in module.modules()) else "other"
    usual = dict(USUAL[kind])
    sizes = len(usual["coarse"] if config.coarse is None else config.coarse) + 1
    usual["shares"] = SHARES.get(sizes, (1 / sizes,) * sizes)
    usual["lr"], of_scale = RATES[kind, usual["optimizer"] if config.optimizer == AUTO else config.optimizer]
    if "scale" in dict(chart.named_parameters()):
        usual["scale_lr"] = of_scale * (usual["lr"] if config.lr is None else config.lr)
    usual["isometry"] = ISOMETRY if chart.curved else 0.0
    usual |= of_picture
    settled = replace(config, **{name: value for name, value in usual.items() if getattr(config, name) in (None, AUTO)})
    if len(settled.shares or ()) != sizes:
        raise BadInput(
            f"shares is {spell_list(settled.shares or ())}; expected {sizes} positive shares of the budget, one for "
            "each coarser size and one for the full size"
        )
    return settled
