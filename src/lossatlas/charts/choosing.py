"""Kinds of charts by the names that configurations use."""

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
"""As a name: the default chart between the given number of networks."""

K = TypeVar("K", bound=CoefficientChart)


def find_chart_options(spec: str) -> type | None:
    """Find the dataclass of the options of a kind of chart; None where it has none, or is not known yet (``auto``).

    Raises:
        BadInput: there is no kind of chart of this name.
    """
    return None if spec == AUTO else CoefficientChart.named(spec).options


def choose_chart_between(spec: str, networks: int) -> type[Between]:
    """Choose the kind of chart between a number of networks by its name, or the default one (``auto``).

    Raises:
        BadInput: the kind lies between another number of networks, or there is no default for this number.
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
    """Make a chart; one of a kind from outside of the package is checked before it is used.

    Args:
        spec: the name of the kind, for messages.
        make: the method of the kind that makes the chart.
        args: positional arguments of the method.
        kwargs: keyword arguments of the method.

    Raises:
        BadInput: the method fails, or the chart violates the interface of charts; the message says how.
    """
    kind: type = getattr(make, "__self__", type(None))
    if is_own(kind):
        return make(*args, **kwargs)
    try:
        chart = call_user_code(make, *args, **kwargs)
        call_user_code(try_chart, chart)
    except LossatlasError:
        raise
    except Exception as error:  # user code may fail in any way
        raise BadInput(f"chart {spec!r} failed: {format_error(error, kind=True)}") from error
    return chart
