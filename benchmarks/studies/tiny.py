"""A study that takes a second, for trials of how studies are carried out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lossatlas.recipes import Config, TrainConfig
from lossatlas.reproduce import Run, Study

__all__ = ["TINY"]

QUICK: dict[str, Any] = {"model_options": {"hidden": (8,)}, "epochs": 2.0}


class _Tiny(Study):
    title = "Two trainings, one of which goes on where the other ended"

    def runs(self, scale: str) -> Mapping[str, Config]:
        return {"one": TrainConfig(**QUICK), "two": TrainConfig(**QUICK, init_from="one")}

    def results(self, runs: Mapping[str, Run], out: Path) -> str:
        return f"{len(runs)} runs\n"


TINY = _Tiny()
