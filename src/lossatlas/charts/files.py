"""Charts in files."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
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
    """The metadata of a chart's file."""

    chart: str
    fitted_under: str
    axis_labels: dict[str, str] = field(default_factory=dict)


def encode_chart(chart: Chart) -> bytes:
    """Serialise a chart as a safetensors file that :func:`load_chart` reads.

    Raises:
        BadInput: the kind of chart is not registered, so that the file could not be read back.
    """
    kind = CHARTS.name_of(type(chart))
    if kind is None:
        own = type(chart).__name__
        raise BadInput(f"charts of the kind {own} have no name yet; give them one: CHARTS.add({own.lower()!r}, {own})")
    tensors = {name: value.detach().cpu().contiguous() for name, value in chart.state_dict().items()}
    # One entry: safetensors writes several in an arbitrary order, and equal charts have to give equal files.
    told: dict[str, object] = {"chart": kind, "axes": chart.axes, "fitted_under": chart.fitted_under}
    if chart.axis_labels:
        told["axis_labels"] = dict(chart.axis_labels)
    return save(tensors, {"lossatlas": json.dumps(told)})


def load_chart(path: Path | str) -> Chart:
    """Load the chart in a ``chart.safetensors``, onto the CPU.

    Args:
        path: the file.

    Raises:
        BadInput: the file is missing, is damaged, does not hold a chart, or holds one of a kind that is not registered.

    >>> import tempfile, torch, lossatlas as la
    >>> from lossatlas.charts import encode_chart
    >>> chart = la.slice_around(torch.nn.Linear(4, 2), normalize="none", without_vectors=False)
    >>> with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
    ...     _ = file.write(encode_chart(chart))
    ...     file.flush()
    ...     loaded = la.load_chart(file.name)
    >>> loaded.axes, torch.equal(loaded.controls(), chart.controls())
    (('u', 'v'), True)
    """
    try:
        state, metadata = read_tensors(path)
        told = _read_told(path, metadata)
        if told.chart not in CHARTS:  # code that a file names is never imported
            raise make_unknown_error("chart", told.chart, CHARTS, OWN_KINDS)
        chart = remake_chart(CHARTS[told.chart], told.chart, state)
    except ValueError as error:
        raise _no_chart(path, error) from error
    chart.fitted_under = told.fitted_under
    chart.axis_labels = {axis: label for axis, label in told.axis_labels.items() if axis in chart.axes}
    return chart


def read_kind(path: Path | str) -> str:
    """Read the name of the kind of chart in a ``chart.safetensors``, registered or not.

    Raises:
        BadInput: the file is missing, is damaged, or does not hold a chart.
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
    """Make the chart of a kind from its state.

    Args:
        kind: the kind of chart.
        name: the name of the kind, for messages.
        state: the tensors of the chart, of unknown origin.

    Raises:
        ValueError: the tensors are not the state of such a chart.
    """
    for key, value in state.items():
        if value.dtype not in ((kind.counts[key],) if key in kind.counts else NUMBERS):
            raise ValueError(f"its {key!r} is of type {value.dtype}")
    try:
        chart = call_user_code(kind.from_state, state)
    except Exception as error:  # each kind reads its tensors in its own way, and may fail in any
        raise ValueError(f"its tensors are not those of a {name}: {format_error(error)}") from error
    check_alike(state, chart.state_dict())
    return chart
