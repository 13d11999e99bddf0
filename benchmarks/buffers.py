"""What running statistics mean at a point: one network with batch normalisation, mapped under each buffers policy.

Writes docs/images/buffers-picture.png and docs/images/buffers-triangle.png and prints the numbers beside them. Takes a
few minutes on two cores.
"""

from __future__ import annotations

import copy
import os
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
import xarray as xr
from torch import nn

import lossatlas as la
from lossatlas.reproduce.drawing import draw_maps

IMAGES = Path(__file__).parent.parent / "docs" / "images"
PICTURE = la.picture("heart", 20)
STEPS = 300


def trained(module: nn.Module, split: la.Split, seed: int, steps: int = 150) -> nn.Module:
    """A network trained by itself, from its own start."""
    torch.manual_seed(seed)
    for part in module.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
    optimizer = torch.optim.Adam(module.parameters(), lr=3e-3)
    module.train()
    for _ in range(steps):
        images, labels = split.take(split.draw(128, torch.Generator().manual_seed(int(torch.randint(2**31, ())))))
        loss = nn.functional.cross_entropy(module(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return module.eval()


def around_a_checkpoint(module: nn.Module, data: la.Dataset, policies: dict[str, la.BuffersPolicy]) -> None:
    """A picture fitted around a trained network under batch statistics, then surveyed under each policy."""
    problem = la.Problem(module, la.CrossEntropy())
    space = la.WeightSpace(module)
    chart = la.Plane.random(
        module, initialiser=la.Xavier(), scale=2.0, origin=space.vector_of(module), train_origin=False
    )
    optimizer = la.Adam(lr=5e-3, betas=(0.9, 0.99))
    la.fit(chart, la.Pattern(PICTURE, cells=24), problem, data.train, steps=STEPS, optimizer=optimizer)
    surveys = {}
    for name, policy in policies.items():
        surveys[name] = la.survey(chart, PICTURE, problem, {"test": data.test}, buffers=policy, padding=2)
        scores = la.score_accuracy(
            PICTURE, PICTURE.from_grid(surveys[name]["test_accuracy"].values, 2), PICTURE.cells != 0
        )
        print(f"picture, {name:12} " + ", ".join(f"{k} {scores[k]:.3f}" for k in ("gap", "iou", "low_accuracy")))
    draw(surveys, "test_accuracy", "a picture around a trained network", "buffers-picture.png")


def between_networks(modules: list[nn.Module], data: la.Dataset, policies: dict[str, la.BuffersPolicy]) -> None:
    """The triangle of three networks under each policy."""
    problem = la.Problem(modules[0], la.CrossEntropy())
    chart = la.Simplex.between(modules)
    grid = {axis: np.linspace(-0.25, 1.25, 19) for axis in chart.axes}
    surveys = {}
    for name, policy in policies.items():
        surveys[name] = la.survey(chart, grid, problem, {"test": data.test}, buffers=policy)
        corners = [
            float(surveys[name]["test_loss"].sel(u=u, v=v, method="nearest")) for u, v in ((0, 0), (1, 0), (0, 1))
        ]
        print(f"triangle, {name:12} losses near the corners " + ", ".join(f"{loss:.3f}" for loss in corners))
    draw(surveys, "test_loss", "the plane of three trained networks", "buffers-triangle.png")


def draw(surveys: dict[str, xr.Dataset], variable: str, title: str, name: str) -> None:
    """One map per policy."""
    IMAGES.mkdir(exist_ok=True)
    (IMAGES / name).write_bytes(draw_maps(surveys, variable, title).render("png"))


def main() -> None:
    data = la.load_data("digits")
    fresh = la.Conv(channels=(8, 16), hidden=32, batch_norm=True).build((1, 8, 8), 10)
    modules = [trained(copy.deepcopy(fresh), data.train, seed) for seed in range(3)]
    reestimated = la.ReestimatedStatistics(data.train, batches=4, size=250)
    around_a_checkpoint(
        modules[0],
        data,
        {"batch": la.BatchStatistics(), "reestimated": reestimated, "frozen": la.FrozenStatistics()},
    )
    between_networks(
        modules,
        data,
        {"batch": la.BatchStatistics(), "reestimated": reestimated, "interpolated": la.InterpolatedStatistics()},
    )


if __name__ == "__main__":
    main()
