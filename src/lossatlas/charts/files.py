"""Charts in files."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from lossatlas.charts.affine import AffineChart
from lossatlas.charts.chart import CHARTS, Chart
from lossatlas.errors import BadInput, first_line

__all__ = ["chart_bytes", "load_chart"]


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
        with safe_open(str(path), framework="pt") as file:
            told = json.loads((file.metadata() or {})["lossatlas"])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        chart = CHARTS[told["chart"]].from_state(state)
    except (OSError, SafetensorError, RuntimeError, KeyError, ValueError) as error:
        raise BadInput(f"{path} holds no chart ({first_line(error)}); give the chart.safetensors of a run") from error
    # Older files do not say it: their planes were fitted under what is usual in a fit.
    chart.fitted_under = told.get("fitted_under", "batch" if isinstance(chart, AffineChart) else "")
    return chart
