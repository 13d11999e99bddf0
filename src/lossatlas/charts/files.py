"""Charts in files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from lossatlas.charts.affine import AffineChart
from lossatlas.charts.chart import CHARTS, Chart
from lossatlas.errors import BadInput, in_one_line
from lossatlas.files.reading import Unreadable, parse_json, reason_of
from lossatlas.files.tensors import check_alike, read_tensors

__all__ = ["chart_bytes", "load_chart"]

COUNTS = {"order": torch.int64, "orders": torch.int64, "held": torch.bool, "_centred": torch.bool}
"""Tensors of charts that are whole numbers or marks."""
NUMBERS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class _Told:
    """What a file says of its chart beside the tensors."""

    chart: str
    fitted_under: str | None = None


def chart_bytes(chart: Chart) -> bytes:
    """A chart as a safetensors file that :func:`load_chart` reads."""
    kind = next(name for name in CHARTS if CHARTS[name] is type(chart))
    tensors = {name: value.detach().cpu().contiguous() for name, value in chart.state_dict().items()}
    # One entry: safetensors writes several in an order of its own, and equal charts shall be equal files.
    told = {"chart": kind, "axes": chart.axes, "fitted_under": chart.fitted_under}
    return save(tensors, {"lossatlas": json.dumps(told)})


def load_chart(path: Path | str) -> Chart:
    """The chart in a ``chart.safetensors``, on the CPU.

    Raises:
        BadInput: the file is missing, damaged, or holds no chart.
    """
    try:
        state, metadata = read_tensors(path)
        if "lossatlas" not in metadata:
            raise Unreadable(path, "it does not say which")
        told = parse_json(metadata["lossatlas"], _Told)
        chart = _made(told.chart, state)
    except ValueError as error:
        reason = reason_of(error)
        raise BadInput(f"{path} holds no chart ({reason}); give the chart.safetensors of a run") from error
    # Older files do not say it: their planes were fitted under what is usual in a fit.
    usual = "batch" if isinstance(chart, AffineChart) else ""
    chart.fitted_under = told.fitted_under if told.fitted_under is not None else usual
    return chart


def _made(kind: str, state: dict[str, Tensor]) -> Chart:
    """The chart of a kind whose state this is.

    Raises:
        ValueError: nobody knows the kind, or this is not the state of one.
    """
    for name, value in state.items():
        if value.dtype not in ((COUNTS[name],) if name in COUNTS else NUMBERS):
            raise ValueError(f"its {name!r} is of type {value.dtype}")
    family = CHARTS[kind]
    try:
        chart = family.from_state(state)
    except Exception as error:  # each kind takes its tensors apart in its own way
        raise ValueError(f"its tensors are not those of a {kind}: {in_one_line(error)}") from error
    check_alike(state, chart.state_dict())
    return chart
