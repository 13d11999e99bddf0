"""Charts in files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from lossatlas.charts.chart import CHARTS, Chart
from lossatlas.errors import BadInput, format_error, make_unknown_error
from lossatlas.files.reading import Unreadable, parse_json, tell_reason
from lossatlas.files.tensors import check_alike, open_tensors, read_tensors
from lossatlas.users_code import call_user_code

__all__ = ["encode_chart", "load_chart", "read_kind", "remake_chart"]

OWN_KINDS = "; a kind of your own is added first, by lossatlas.charts.CHARTS.add or --chart module:Class"
NUMBERS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class _Told:
    """What a file says of its chart beside the tensors."""

    chart: str
    fitted_under: str


def encode_chart(chart: Chart) -> bytes:
    """A chart as a safetensors file that :func:`load_chart` reads.

    Raises:
        BadInput: its kind has no name, by which a file could be read back.
    """
    kind = CHARTS.name_of(type(chart))
    if kind is None:
        own = type(chart).__name__
        raise BadInput(f"charts of the kind {own} have no name yet; give them one: CHARTS.add({own.lower()!r}, {own})")
    tensors = {name: value.detach().cpu().contiguous() for name, value in chart.state_dict().items()}
    # One entry: safetensors writes several in an order of its own, and equal charts shall be equal files.
    told = {"chart": kind, "axes": chart.axes, "fitted_under": chart.fitted_under}
    return save(tensors, {"lossatlas": json.dumps(told)})


def load_chart(path: Path | str) -> Chart:
    """The chart in a ``chart.safetensors``, on the CPU.

    Raises:
        BadInput: the file is missing, damaged, or holds no chart, or one of a kind that nobody has added.
    """
    try:
        state, metadata = read_tensors(path)
        told = _read_told(path, metadata)
        if told.chart not in CHARTS:  # and nothing that a file names is ever imported
            raise make_unknown_error("chart", told.chart, CHARTS, OWN_KINDS)
        chart = remake_chart(CHARTS[told.chart], told.chart, state)
    except ValueError as error:
        raise _no_chart(path, error) from error
    chart.fitted_under = told.fitted_under
    return chart


def read_kind(path: Path | str) -> str:
    """The name of the kind of chart in a ``chart.safetensors``, which nobody need have added.

    Raises:
        BadInput: the file is missing, damaged, or holds no chart.
    """
    try:
        with open_tensors(path) as file:
            return _read_told(path, file.metadata).chart
    except ValueError as error:
        raise _no_chart(path, error) from error


def _read_told(path: Path | str, metadata: dict[str, str]) -> _Told:
    if "lossatlas" not in metadata:
        raise Unreadable(path, "it does not say which")
    return parse_json(metadata["lossatlas"], _Told)


def _no_chart(path: Path | str, error: ValueError) -> BadInput:
    return BadInput(f"{path} holds no chart ({tell_reason(error)}); give the chart.safetensors of a run")


def remake_chart(kind: type[Chart], name: str, state: dict[str, Tensor]) -> Chart:
    """The chart of a kind whose state this is.

    Args:
        kind: of chart.
        name: of the kind, for messages.
        state: of unknown origin.

    Raises:
        ValueError: this is not the state of such a chart.
    """
    for key, value in state.items():
        if value.dtype not in ((kind.counts[key],) if key in kind.counts else NUMBERS):
            raise ValueError(f"its {key!r} is of type {value.dtype}")
    try:
        chart = call_user_code(kind.from_state, state)
    except Exception as error:  # each kind takes its tensors apart in its own way
        raise ValueError(f"its tensors are not those of a {name}: {format_error(error)}") from error
    check_alike(state, chart.state_dict())
    return chart
