"""A study that is a row of pictures on one or two data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from lossatlas.recipes import FitConfig
from lossatlas.reproduce.drawing import draw_maps, save, write_table
from lossatlas.reproduce.settings import configure_paper_fit, configure_small_fit
from lossatlas.reproduce.study import Run, Study
from lossatlas.schema import name_variable

__all__ = ["Gallery", "Piece"]


@dataclass(frozen=True)
class Piece:
    """One picture on one data set.

    ``small`` and ``paper`` are settings at either scale, beside those that all studies share.
    """

    picture: str
    data: str
    small: Mapping[str, Any]
    paper: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name of the data and that of the picture, joined by a dash."""
        return f"{self.data}-{self.picture}"


@final
class Gallery(Study):
    """Fits of pictures, shown side by side.

    Args:
        title: the reproduced figure.
        pieces: the pictures.
        splits: the splits whose maps are shown.
        metrics: the metrics whose maps are shown.
        note: a sentence on what the published figure shows.
    """

    def __init__(
        self,
        title: str,
        pieces: Sequence[Piece],
        note: str,
        splits: Sequence[str] = ("test",),
        metrics: Sequence[str] = ("loss",),
    ) -> None:
        self.title = title
        self._pieces = tuple(pieces)
        self._note = note
        self._splits = tuple(splits)
        self._metrics = tuple(metrics)

    def runs(self, scale: str) -> dict[str, FitConfig]:
        if scale == "small":
            return {p.name: configure_small_fit(pattern=p.picture, data=p.data, **p.small) for p in self._pieces}
        return {p.name: configure_paper_fit(pattern=p.picture, data=p.data, **p.paper) for p in self._pieces}

    def results(self, runs: Mapping[str, Run], out: Path) -> str:
        shown = []
        for data in dict.fromkeys(piece.data for piece in self._pieces):
            surveys = {run.summary["pattern"]: run.survey for run in runs.values() if run.config.data == data}
            for split in self._splits:
                for metric in self._metrics:
                    figure = draw_maps(surveys, name_variable(split, metric), f"{data}, {split} {metric}")
                    shown.append(save(figure, out / f"{data}-{split}-{metric}.png"))
        keys = ("gap", "iou", "low_accuracy", "high_accuracy", "train_test_correlation", "steps", "seconds")
        rows = [
            [run.config.data, run.summary["pattern"], "x".join(map(str, run.summary["shape"]))]
            + [run.summary.get(key) for key in keys]
            for run in runs.values()
        ]
        head = ["data", "picture", "size", *(key.replace("_", " ") for key in keys)]
        return "\n\n".join([self._note, *shown, write_table(head, rows)]) + "\n"
