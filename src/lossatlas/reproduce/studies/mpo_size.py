"""The multi-point paper's claim on sizes: any picture of adequate size can be found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from lossatlas.recipes import FitConfig
from lossatlas.reproduce.drawing import Curve, draw_curves, save, write_table
from lossatlas.reproduce.settings import configure_paper_fit
from lossatlas.reproduce.study import Run, Study

__all__ = ["MPO_SIZE"]

COLOURS = {"heart": "#31688e", "skull": "#de4968"}


@final
class _Sizes(Study):
    title = (
        "How large a picture can be: gap and overlap against size (a claim of Skorokhodov & Burtsev 2019, section 4.1)"
    )

    def runs(self, scale: str) -> dict[str, FitConfig]:
        sizes = (12, 20, 32, 50) if scale == "small" else (12, 20, 32, 50, 80, 128)
        return {
            f"{picture}-{size}": self._small(picture, size)
            if scale == "small"
            else configure_paper_fit(pattern=picture, size=str(size), data="fashion_mnist")
            for picture in COLOURS
            for size in sizes
        }

    @staticmethod
    def _small(picture: str, size: int) -> FitConfig:
        """A budget in steps, equal for all sizes: what is compared is how far a given effort goes."""
        shared: dict[str, Any] = {"steps": 800, "clip": "example", "padding": 2, "examples": "2000"}
        return FitConfig(pattern=picture, size=str(size), boundary_only=picture == "skull", **shared)

    def results(self, runs: Mapping[str, Run], out: Path) -> str:
        shown = []
        for key in ("gap", "iou"):
            drawn = []
            for picture, colour in COLOURS.items():
                own = [run for run in runs.values() if run.summary["pattern"] == picture]
                sizes = [float(max(run.summary["shape"])) for run in own]
                drawn.append(Curve(picture, sizes, [run.summary[key] for run in own], [0.0] * len(own), colour))
            shown.append(save(draw_curves(drawn, "cells along a side", key), out / f"{key}-by-size.png"))
        head = ("pattern", "size", "gap", "iou", "gap of undrawn cells", "steps", "bytes held", "K separate models")
        rows = [[self._cell(run, name) for name in head] for run in runs.values()]
        return "\n\n".join([write_table(head, rows), *shown]) + "\n"

    @staticmethod
    def _cell(run: Run, name: str) -> object:
        summary = run.summary
        if name == "gap of undrawn cells":
            low, high = (summary.get(f"{side}_accuracy_undrawn") for side in ("low", "high"))
            return None if low is None or high is None else low - high
        names = {"bytes held": "held_bytes", "K separate models": "held_bytes_of_separate_models"}
        return max(summary["shape"]) if name == "size" else summary[names.get(name, name)]


MPO_SIZE = _Sizes()
