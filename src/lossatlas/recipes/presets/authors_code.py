"""The settings of the code of Skorokhodov & Burtsev 2019 at its last commit, where it differs from the paper.

Up is orthogonalised against right, right is relative to the origin, weights start as PyTorch starts them, pixel
indices are centred, and the learning rate is that of its icons.
"""

from typing import Any

from lossatlas.recipes.presets.paper import PAPER

__all__ = ["AUTHORS_CODE"]

AUTHORS_CODE: dict[str, Any] = {
    **PAPER,
    "chart": "corners",
    "origin_at": "centre",
    "init": "module",
    "lr": 2.5e-4,
    "scale_lr": 2.5e-4,
    "max_norm": 100.0,
}
