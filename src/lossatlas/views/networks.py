"""The networks around or between which a survey was made: their names and coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from lossatlas.schema import Corner, parse_texts
from lossatlas.views.data import axes, edges, read_numbers
from lossatlas.views.scales import Floats, number

__all__ = ["Histogram", "Networks", "histograms", "networks", "short"]

LONGEST = 22  # letters; pictures have room for names of this length


@dataclass(frozen=True, eq=False)
class Networks:
    """The networks on a chart.

    Attributes:
        names: The names, short enough for a picture.
        at: The coordinates (networks, axes).
        outside: A note on networks outside the survey, which ``names`` leaves out; may be empty.
    """

    names: tuple[str, ...]
    at: Floats
    outside: str = ""

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, eq=False)
class Histogram:
    """The histogram of the weights of one network.

    Attributes:
        name: The name of the network.
        counts: The number of weights per bin (bins,).
        edges: The edges of the bins (bins + 1,).
    """

    name: str
    counts: Floats
    edges: Floats

    @property
    def deviation(self) -> float:
        """The standard deviation of the weights, computed from the centres of the bins; NaN without weights."""
        total = self.counts.sum()
        if not total > 0:
            return float("nan")
        middles = (self.edges[:-1] + self.edges[1:]) / 2
        mean = (self.counts * middles).sum() / total
        return float(np.sqrt((self.counts * (middles - mean) ** 2).sum() / total))

    @property
    def label(self) -> str:
        """The legend entry: the name and the standard deviation."""
        return f"{self.name} (std {number(self.deviation)})"


def networks(survey: xr.Dataset) -> Networks:
    """Read the networks on the axes of a survey; empty where it does not record any."""
    order = axes(survey)
    variables = [Corner.coordinate(axis) for axis in order]
    if not all(name in survey and survey[name].dims == (Corner.DIMENSION,) for name in variables):
        return Networks((), np.empty((0, len(order))))
    at = np.stack([read_numbers(survey, name) for name in variables], axis=1)
    names = _names(survey, variables[0])
    inside = np.ones(len(at), dtype=bool)
    for k, ends in enumerate(edges(survey)):
        # Stored coordinates are rounded, and a network at an end of the grid must stay in the picture.
        slack = 1e-6 * (ends[-1] - ends[0])
        inside &= (at[:, k] >= ends[0] - slack) & (at[:, k] <= ends[-1] + slack)
    lost = [name for name, there in zip(names, inside, strict=True) if not there]
    sentence = f"outside the picture: {', '.join(lost)}" if lost else ""
    return Networks(tuple(name for name, there in zip(names, inside, strict=True) if there), at[inside], sentence)


def histograms(survey: xr.Dataset) -> list[Histogram]:
    """Read the histograms of the weights of the networks; empty where the survey does not hold any."""
    if Corner.WEIGHTS not in survey or Corner.WEIGHT not in survey:
        return []
    middles = read_numbers(survey, Corner.WEIGHT)
    step = float(middles[1] - middles[0]) if middles.size > 1 else 1.0
    bins = np.append(middles - step / 2, middles[-1:] + step / 2)
    counts = np.asarray(survey[Corner.WEIGHTS].transpose(Corner.DIMENSION, Corner.BIN).values, dtype=np.float64)
    return [Histogram(name, row, bins) for name, row in zip(_names(survey, Corner.WEIGHTS), counts, strict=True)]


def short(name: str) -> str:
    r"""Shorten a name that is too long for a picture, by leaving out its middle.

    >>> short("runs/small-batch/checkpoints/last.safetensors")
    'runs/small…afetensors'
    """
    half = (LONGEST - 1) // 2
    return name if len(name) <= LONGEST else f"{name[:half]}\u2026{name[-half:]}"


def _names(survey: xr.Dataset, variable: str) -> list[str]:
    """Name the networks by the attribute of a variable, or by numbers where it is missing or has another length."""
    count = survey.sizes[Corner.DIMENSION]
    recorded = parse_texts(survey[variable].attrs.get("names"))
    return [short(name) for name in recorded] if len(recorded) == count else [str(k) for k in range(count)]
