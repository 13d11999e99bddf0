"""Charts in files."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from lossatlas.charts.chart import CHARTS, Chart
from lossatlas.errors import BadInput, first_line

__all__ = ["chart_bytes", "load_chart"]


def chart_bytes(chart: Chart) -> bytes:
    """A chart as a safetensors file that :func:`load_chart` reads."""
    kind = next(name for name in CHARTS if CHARTS[name] is type(chart))
    tensors = {name: value.detach().cpu().contiguous() for name, value in chart.state_dict().items()}
    return save(tensors, {"chart": kind, "axes": " ".join(chart.axes)})


def load_chart(path: Path | str) -> Chart:
    """The chart in a ``chart.safetensors``, on the CPU.

    Raises:
        BadInput: the file is missing, damaged, or holds no chart.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            kind = (file.metadata() or {})["chart"]
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        return CHARTS[kind].from_state(state)
    except (OSError, SafetensorError, RuntimeError, KeyError) as error:
        raise BadInput(f"{path} holds no chart ({first_line(error)}); give the chart.safetensors of a run") from error
