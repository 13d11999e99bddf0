"""What pictures of a curvature run share: its variables with all dimensions, names, axes, and words for captions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from lossatlas.errors import BadInput
from lossatlas.schema import OPERATORS, RESIDUAL, SAMPLE, InCurvature, read_operators
from lossatlas.views import figures, looks, scales
from lossatlas.views.base import StillView
from lossatlas.views.networks import short
from lossatlas.views.residuals import count_infinite, describe_share, find_largest_share
from lossatlas.views.scales import Floats

__all__ = [
    "LAYER",
    "NETWORK",
    "SAMPLE",
    "CurvatureView",
    "choose_linear",
    "describe_lost",
    "describe_residuals",
    "has_values",
    "list_keys",
    "name_layer_operator",
    "name_layers",
    "name_networks",
    "read_values",
    "scale_signed",
    "unit_of",
]

NETWORK, LAYER = InCurvature.NETWORK, InCurvature.LAYER
FINEST = 1e-4
"""The linear part of a signed axis, at least, as a share of the largest magnitude: less is rounding in 32 bits."""


class CurvatureView(StillView[xr.Dataset]):
    """A kind of picture of a curvature run: the curvature at one network or several, or along trajectories."""

    subject = "curvature run"

    def list_contents(self, subject: xr.Dataset) -> str:
        return f"variables {', '.join(sorted(map(str, subject.data_vars))) or 'none'}"


def read_values(subject: xr.Dataset, name: str, *dims: str) -> Floats:
    """Read a variable with these dimensions in this order; one that it lacks has a length of 1.

    Returns:
        The numbers, float64; NaN in an array of length 0 along each dimension where the variable is missing.

    Raises:
        BadInput: the variable has other dimensions, or does not hold numbers.
    """
    found = subject.get(name)
    if found is None:
        return np.empty((0,) * len(dims))
    if further := set(map(str, found.dims)) - set(dims):
        raise BadInput(
            f"variable {name!r} of the curvature run has the dimensions {', '.join(map(str, found.dims))}; expected "
            f"{', '.join(dims)}, without {', '.join(sorted(further))}"
        )
    whole = found.expand_dims([dim for dim in dims if dim not in found.dims]).transpose(*dims)
    try:
        return np.asarray(whole.values, dtype=np.float64)
    except ValueError as error:
        raise BadInput(f"variable {name!r} of the curvature run does not hold numbers") from error


def has_values(subject: xr.Dataset, name: str) -> bool:
    """Whether the subject has a variable with at least one finite number."""
    found = subject.get(name)
    return found is not None and found.dtype.kind in "iuf" and bool(np.isfinite(found.values).any())


def name_networks(subject: xr.Dataset, count: int) -> list[str]:
    """Name the networks as the subject does, short enough for a legend; by numbers where it does not."""
    if NETWORK in subject.coords and subject.sizes.get(NETWORK) == count:
        return [short(str(name)) for name in subject[NETWORK].values]
    return [f"network {k}" for k in range(count)] if count > 1 else [short(str(subject.attrs.get("name", "network")))]


def name_layers(subject: xr.Dataset, count: int) -> list[str]:
    """Name the layers as the subject does; by numbers where it does not."""
    return [str(name) for name in subject[LAYER].values] if LAYER in subject.coords else [str(k) for k in range(count)]


def name_layer_operator(subject: xr.Dataset) -> str:
    """Name the operator whose spectra in single layers the subject holds."""
    return OPERATORS[read_operators(subject.attrs)[0]].words


def list_keys(names: Sequence[str]) -> list[Line2D]:
    """Make the legend entries of several networks; a single one needs none."""
    if len(names) < 2:
        return []
    return [
        Line2D([], [], color=looks.colour(k), linewidth=2, label=figures.listed(name)) for k, name in enumerate(names)
    ]


def unit_of(subject: xr.Dataset, name: str) -> str:
    """Return the units of a variable in brackets, for a label; empty where it has none."""
    units = str(subject[name].attrs.get("units", "")) if name in subject else ""
    return f" ({units})" if units not in ("", "1") else ""


def choose_linear(values: Floats, weights: Floats | None = None, finest: float = FINEST) -> float:
    """Choose the magnitude below which a signed axis is about linear: a power of ten.

    It is small enough to separate most magnitudes, and not much below a share ``finest`` of the largest.

    Args:
        values: numbers of any shape; those that are not finite are left out.
        weights: how much each counts, of the same shape.
        finest: the least share of the largest magnitude.
    """
    there = np.isfinite(values) & (values != 0)
    magnitudes = np.abs(values[there])
    if not magnitudes.size:
        return 1.0
    counts = np.ones_like(magnitudes) if weights is None else weights[there]
    order = np.argsort(magnitudes)
    share = np.cumsum(counts[order])
    middle = magnitudes[order][np.searchsorted(share, 0.25 * share[-1])]
    reach = float(magnitudes.max())
    return float(10 ** np.round(np.log10(np.clip(middle, finest * reach, 0.1 * reach))))


def scale_signed(ax: Axes, low: float, high: float, linear: float, most: int = 7, *, across: bool = False) -> None:
    """Make an axis logarithmic in both directions from zero, with round ticks and a line at zero if it lies within.

    Args:
        ax: the axes.
        low: the lower end of the axis.
        high: the upper end.
        linear: the magnitude below which it is about linear.
        most: the most ticks.
        across: whether the horizontal axis is meant, or the vertical one.
    """
    (ax.set_xscale if across else ax.set_yscale)("asinh", linear_width=linear)
    (ax.set_xlim if across else ax.set_ylim)(low, high)
    limits = scales.Limits(low, high, False, None, "neither", "", signed=True, linear=linear)
    figures.scale_axis(ax.xaxis if across else ax.yaxis, limits, low, high, most)
    if low < 0 < high:
        (ax.axvline if across else ax.axhline)(0, color=looks.GREY, linewidth=0.8, zorder=1)


def describe_residuals(subject: xr.Dataset, names: Sequence[str], *, within: str = "") -> str:
    """State the largest residual of some variables as a share of the largest magnitude among them.

    Args:
        subject: the curvature run.
        names: the variables, whose residuals stand beside them.
        within: a dimension along which the share is that of the largest magnitude at each place, beside the network.

    Returns:
        A note for a caption; empty where none of the variables is there.
    """
    there = [subject[name] for name in names if name in subject]
    if not there:
        return ""
    kept = (NETWORK, SAMPLE, within)
    sizes = [abs(values).max([dim for dim in values.dims if dim not in kept]) for values in there]
    largest = sizes[0] if len(sizes) == 1 else xr.concat(sizes, "end").max("end")
    shares, infinite = [], 0
    for values in there:
        if (residual := subject.get(RESIDUAL.of(str(values.name)))) is not None:
            wide, of = xr.broadcast(residual, largest)
            shares.append(find_largest_share(wide.values, of.values))
            infinite += count_infinite([residual.values])
    known = max((share for share in shares if share is not None), default=None)
    said = "largest residual, as a share of the largest magnitude among the eigenvalues found: "
    return said + describe_share(known, infinite)


def describe_lost(names: Sequence[str]) -> str:
    """Name the networks that a picture leaves out because nothing finite is known of them; empty where none is."""
    return f"not finite and left out: {', '.join(names)}" if names else ""
