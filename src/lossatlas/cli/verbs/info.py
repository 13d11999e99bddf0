"""``lossatlas info``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossatlas.cli.app import PlainVerb
from lossatlas.cli.panels import Example

if TYPE_CHECKING:
    from lossatlas.charts import CoefficientChart

__all__ = ["INFO"]


def info() -> int | None:
    """List what options can name: models with their options, data sets, pictures, metrics, devices and so on."""
    from dataclasses import fields

    import torch
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from lossatlas.charts import CoefficientChart
    from lossatlas.data import AUGMENTATIONS, DATA
    from lossatlas.data.load import FORMS
    from lossatlas.directions import DIRECTIONS, NORMALISATIONS
    from lossatlas.engine import BUFFERS, PRECISIONS, STRATEGIES
    from lossatlas.engine.operators import OPERATORS
    from lossatlas.errors import escape_unprintable
    from lossatlas.losses import LOSSES
    from lossatlas.metrics import METRICS
    from lossatlas.models import MODELS
    from lossatlas.objectives import CLIPS, CURVE_OBJECTIVES
    from lossatlas.pictures import SHAPES, SOURCES
    from lossatlas.pools import POOLS
    from lossatlas.provenance import list_versions
    from lossatlas.recipes import PRESETS
    from lossatlas.recipes.member_kind import MEMBER_KINDS
    from lossatlas.reproduce import STUDIES
    from lossatlas.schedules import SCHEDULES
    from lossatlas.training import OPTIMIZERS
    from lossatlas.views import (
        COMPARISON_VIEWS,
        CURVATURE_VIEWS,
        ENSEMBLE_VIEWS,
        INTERACTIVE_VIEWS,
        OVERLAY_VIEWS,
        VIEWS,
    )
    from lossatlas.weights import INITIALISERS

    devices = ["cpu", *(f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count()))]
    rows = {
        "models": [
            f"{name}: {' '.join(f'--model.{f.name}' for f in fields(MODELS[name]))}"  # type: ignore[arg-type]
            for name in MODELS
        ]
        + ["module:callable"],
        "data": [*DATA, *FORMS],
        "augmentations": [*AUGMENTATIONS],
        "pictures": [*SHAPES, *(SOURCES[name].form for name in SOURCES)],
        "metrics": [*METRICS],
        "operators": [*OPERATORS],
        "executors": ["none", *POOLS],
        "views": [*VIEWS],
        "views of comparisons": [*COMPARISON_VIEWS],
        "views of curvature runs": [*CURVATURE_VIEWS],
        "views of ensembles": [*ENSEMBLE_VIEWS],
        "views of several surveys": [*OVERLAY_VIEWS],
        "interactive views": [*INTERACTIVE_VIEWS],
        "losses": ["auto", *LOSSES],
        "clips": [*CLIPS],
        "objectives of curves": [*CURVE_OBJECTIVES],
        "members": [f"RUN@{name}{MEMBER_KINDS[name].form}: {MEMBER_KINDS[name].words}" for name in MEMBER_KINDS],
        "initialisers": [*INITIALISERS],
        "optimizers": [*OPTIMIZERS, "torch.optim.CLASS"],
        "schedules": [*SCHEDULES],
        "directions": [*DIRECTIONS],
        "normalisations": [*NORMALISATIONS],
        "presets": [*PRESETS],
        "charts": [_told(name, CoefficientChart.named(name)) for name in CoefficientChart.names()] + ["module:Class"],
        "studies": [*STUDIES],
        "buffers": [*BUFFERS],
        "plans": ["auto", *STRATEGIES, "FILE.json"],
        "precisions": [*PRECISIONS],
        "devices": devices,
        "versions": [f"{name} {number}" for name, number in list_versions().items()],
    }
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, entries in rows.items():
        told = ("\n" if name in ("models", "charts", "members") else ", ").join(entries)
        table.add_row(Text(name, "bold"), Text(escape_unprintable(told, keep="\n")))
    Console().print(table)
    return None


def _told(name: str, kind: type[CoefficientChart]) -> str:
    """A kind of chart, the verbs that it serves, and its options."""
    from dataclasses import fields

    own = [f"--chart.{field.name}" for field in fields(kind.options)] if kind.options is not None else []
    told = "; ".join(part for part in (", ".join(kind.services()), " ".join(own)) if part)
    return f"{name}: {told or 'from Python'}"


INFO = PlainVerb(
    info, examples=(Example("Everything that options can name, and the devices of this machine", "lossatlas info"),)
)
