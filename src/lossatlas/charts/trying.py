"""Checks of charts from outside of the package, before they are used."""

from __future__ import annotations

import torch
from torch import Tensor

from lossatlas.charts.chart import CoefficientChart
from lossatlas.charts.files import remake_chart
from lossatlas.errors import BadInput, LossatlasError, format_error
from lossatlas.schema import is_name
from lossatlas.users_code import call_user_code

__all__ = ["check_coefficients", "is_own", "try_chart"]

COUNTS = (5, 2, 1)
"""The numbers of points at which a chart is evaluated; the largest comes first."""
CLOSE = 1e-3
"""The relative tolerance of comparisons, far above rounding error."""


def is_own(kind: type) -> bool:
    """Whether a kind of chart belongs to the package, whose tests check it."""
    return kind.__module__.startswith(f"{__package__}.")


@torch.no_grad()
def try_chart(chart: CoefficientChart) -> None:
    """Refuse a chart whose methods contradict one another, or that its state does not restore.

    Raises:
        ValueError: the message says what is wrong.
    """
    axes = chart.axes
    if not axes or not all(map(is_name, axes)) or len(set(axes)) < len(axes):
        raise ValueError(f"its axes are {axes}; expected distinct names of letters, digits and _")
    controls = chart.controls()
    if controls.ndim != 2 or controls.shape[1] != chart.dimension:
        raise ValueError(f"its controls are {tuple(controls.shape)}; expected (m, {chart.dimension})")
    coords = _coords(COUNTS[0], len(axes)).to(controls.device, torch.promote_types(controls.dtype, torch.float32))
    shapes: dict[str, tuple[int, ...]] = {
        "coefficients": (len(controls),), "derivatives": (len(controls), len(axes)), "points": (chart.dimension,),
    }  # fmt: skip
    together = {name: _found(chart, name, coords, shape) for name, shape in shapes.items()}
    for count in COUNTS[1:]:
        for name in ("coefficients", "derivatives"):
            parts = [_found(chart, name, part, shapes[name]) for part in torch.split(coords, count)]
            if not _agree(torch.cat(parts), together[name]):
                raise ValueError(
                    f"its {name} at {count} of {COUNTS[0]} points are others than at all together; expected a row for "
                    "each that depends on its own coordinates alone"
                )
    again = remake_chart(type(chart), chart.kind(), {name: value.cpu() for name, value in chart.state_dict().items()})
    if again.fingerprint() != chart.fingerprint():
        raise ValueError("what from_state makes of its state_dict is another chart")
    for name, found in together.items():
        if not _agree(getattr(again, name)(coords.cpu()), found):
            raise ValueError(
                f"what from_state makes of its state_dict has other {name}; keep all that they depend on in the state"
            )


def check_coefficients(chart: CoefficientChart, points: int) -> None:
    """Refuse a chart whose coefficients fail at the points of a step, or depend on parameters without a gradient.

    Kinds of the package are not checked.

    Args:
        chart: the chart before the first step, which is left as it is.
        points: the number of points of a step.

    Raises:
        BadInput: its coefficients at this number of points fail or have another shape; or they depend on a parameter
            that gets no gradient.
    """
    if is_own(type(chart)):
        return
    try:
        call_user_code(_check_coefficients, chart, _coords(points, len(chart.axes)))
    except LossatlasError:
        raise
    except Exception as error:  # user code may fail in any way
        said = format_error(error, kind=True)
        raise BadInput(f"the coefficients of {type(chart).__name__} at {points} points failed: {said}") from error


def _check_coefficients(chart: CoefficientChart, coords: Tensor) -> None:
    with torch.enable_grad():
        found = chart.mixture(coords, chart.controls())
    if found.requires_grad:
        return
    for name, parameter in chart.named_parameters():
        if parameter.requires_grad and _changes(chart, parameter, coords, found):
            raise BadInput(
                f"the coefficients of {type(chart).__name__} change with its parameter {name!r} and have no gradient, "
                "so that a fit would not train them; make them of it by torch, without detach()"
            )


@torch.no_grad()
def _changes(chart: CoefficientChart, parameter: Tensor, coords: Tensor, found: Tensor) -> bool:
    """Whether the coefficients of a chart change with one of its parameters, which is left as it is."""
    before = parameter.clone()
    steps = torch.linspace(0.01, 0.05, parameter.numel()).to(parameter).view_as(parameter)
    try:
        parameter += steps * (1 + before.abs())
        moved = chart.mixture(coords, chart.controls())
        return not torch.allclose(moved, found, rtol=0, atol=0, equal_nan=True)
    finally:
        parameter.copy_(before)


def _coords(points: int, axes: int) -> Tensor:
    """Generic coordinates (P, d) in [0, 1], float64."""
    return torch.rand(points, axes, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def _found(chart: CoefficientChart, name: str, coords: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The result of a method of a chart at coordinates (P, d), whose shape is checked."""
    found: Tensor = getattr(chart, name)(coords)
    expected = (len(coords), *shape)
    if found.shape != expected:
        where = f"{len(coords)} point{'s' * (len(coords) > 1)}"
        raise ValueError(f"its {name} are {tuple(found.shape)} at {where}; expected {expected}")
    return found


def _agree(one: Tensor, other: Tensor) -> bool:
    """Whether tensors are equal but for rounding, NaN being equal to NaN."""
    one, other = one.double().cpu(), other.double().cpu()
    largest = float(other.abs().nan_to_num(0.0, 0.0, 0.0).max())
    return one.shape == other.shape and torch.allclose(one, other, rtol=CLOSE, atol=CLOSE * largest, equal_nan=True)
