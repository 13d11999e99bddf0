"""What settings of a fit are where they are left open: they follow from the network and from the picture.

The numbers are those of the study in ``docs/reports/performance.md``, "What makes a fit faster".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from torch import nn

from lossatlas.errors import BadInput
from lossatlas.pictures import Picture, Raster
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


def settle_fit(config: FitConfig, module: nn.Module, picture: Raster, *, has_scale: bool) -> FitConfig:
    """Give the settings that are left open their values, as the run records them.

    Args:
        config: the configuration.
        module: the network.
        picture: at its full size.
        has_scale: whether the chart trains a scale.

    Raises:
        BadInput: there is another number of shares than of sizes, or the picture does not have boundaries.
    """
    kind = "convolutional" if any(isinstance(part, CONVOLUTIONS) for part in module.modules()) else "other"
    usual = dict(USUAL[kind])
    sizes = len(usual["coarse"] if config.coarse is None else config.coarse) + 1
    usual["shares"] = SHARES.get(sizes, (1 / sizes,) * sizes)
    if has_scale:
        usual["scale_lr"] = SCALE_RATES[kind] * (usual["lr"] if config.lr is None else config.lr)
    if isinstance(picture, Picture):
        usual["boundary_share"] = 1.0 if config.boundary_only else find_boundary_share(picture)
    elif config.boundary_only or config.boundary_share is not None:
        raise BadInput(
            f"picture {picture.name!r} does not have low and high cells, between which there are boundaries; leave "
            "boundary_only and boundary_share out"
        )
    settled = replace(config, **{name: value for name, value in usual.items() if getattr(config, name) is None})
    if len(settled.shares or ()) != sizes:
        raise BadInput(
            f"shares is {spell_list(settled.shares or ())}; expected {sizes} positive shares of the budget, one for "
            "each coarser size and one for the full size"
        )
    return settled


def find_boundary_share(picture: Picture) -> float:
    """The share of the ink, or of the paper where it is larger, that lies at a boundary between the two.

    Thin lines are all boundary, and steps on empty paper would teach little; the inside of a filled shape has to be
    sampled as well.

    >>> import lossatlas as la
    >>> find_boundary_share(la.picture("heart", 40)), find_boundary_share(la.picture("skull", 40))
    (0.19, 0.83)
    """
    boundary = picture.find_boundary()
    shares = [float((boundary & ink).sum() / ink.sum()) for ink in (picture.low, picture.high)]
    return round(max(shares), 2)
