"""Kinds of charts as configurations name them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from lossatlas.charts.between import Between
from lossatlas.charts.chart import CoefficientChart
from lossatlas.charts.trying import is_own, try_chart
from lossatlas.errors import BadInput, LossatlasError, format_error
from lossatlas.users_code import call_user_code

__all__ = ["choose_chart_between", "find_chart_options", "make_chart"]

AUTO: Final = "auto"
"""As a name: the usual chart between so many networks."""

K = TypeVar("K", bound=CoefficientChart)


def find_chart_options(spec: str) -> type | None:
    """The dataclass of the options of a kind of chart; None where it has none, or is not known yet (``auto``).

    Raises:
        BadInput: nothing has the name.
    """
    return None if spec == AUTO else CoefficientChart.named(spec).options


def choose_chart_between(spec: str, networks: int) -> type[Between]:
    """The kind of chart between so many networks that a name stands for, or the usual one (``auto``).

    Raises:
        BadInput: it lies between another number of networks, or none is usual for this one.
    """
    names = Between.names()
    usual = next((name for name in names if networks in Between.named(name).usual_for), None)
    if spec == AUTO and usual is None:
        raise BadInput(f"no chart is usual between {networks} networks; choose up to four, or name one with --chart")
    kind = Between.named(usual if spec == AUTO and usual is not None else spec)
    if not kind.takes(networks):
        fitting = [name for name in names if Between.named(name).takes(networks)]
        raise BadInput(
            f"chart {spec!r} lies between {kind.most or kind.least} networks, {networks} are given; choose "
            f"{' or '.join(fitting)}"
        )
    return kind


def make_chart(spec: str, make: Callable[..., K], *args: Any, **kwargs: Any) -> K:
    """The chart that a method of its kind makes; one from outside of the package is tried before anything relies on it.

    Args:
        spec: what the kind was called.
        make: the method.
        args: its arguments.
        kwargs: likewise.

    Raises:
        BadInput: the kind fails, or does not keep what charts promise; says in what.
    """
    kind: type = getattr(make, "__self__", type(None))
    if is_own(kind):
        return make(*args, **kwargs)
    try:
        chart = call_user_code(make, *args, **kwargs)
        call_user_code(try_chart, chart)
    except LossatlasError:
        raise
    except Exception as error:  # somebody else's code may fail in any way
        raise BadInput(f"chart {spec!r} failed: {format_error(error, kind=True)}") from error
    return chart
