"""Colours made of the losses of three groups of classes, as surveys of colour pictures hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lossatlas.schema import CHANNELS, GROUP_LOSS, TargetColour
from lossatlas.views import data
from lossatlas.views.scales import Floats

__all__ = ["Colours", "read_colours"]


@dataclass(frozen=True, eq=False)
class Colours:
    """A requested colour picture and what was found of it.

    Attributes:
        asked: The requested losses of red, green and blue.
        achieved: By split the mean losses of their groups of classes.
        low, high: The losses that are drawn as black and as full colour.
        groups: The classes of red, green and blue, in words; empty where they are not recorded.
    """

    asked: Sequence[data.Field]
    achieved: Mapping[str, Sequence[data.Field]]
    low: float
    high: float
    groups: Sequence[str]

    def light(self, values: Floats) -> Floats:
        """The brightness of losses in [0, 1], on a log scale between black and full colour; NaN is kept."""
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.log(values / self.low) / np.log(self.high / self.low)
        return np.asarray(np.clip(share, 0, 1))

    def image(self, channels: Sequence[data.Field]) -> NDArray[np.float64]:
        """The colours of a plane, (V, U, 4); transparent where a loss is not a number."""
        light = np.stack([self.light(channel.plane()) for channel in channels], axis=-1)
        there = np.isfinite(light).all(axis=-1, keepdims=True)
        return np.concatenate([np.where(there, light, 0.0), there.astype(np.float64)], axis=-1)


def read_colours(survey: xr.Dataset) -> Colours | None:
    """Read the colour picture that a survey holds; None where it holds none, or lacks the losses of its groups."""
    order = data.axes(survey)
    names = [TargetColour.variable(channel) for channel in CHANNELS]
    if any(name not in survey or set(survey[name].dims) != set(order) for name in names):
        return None
    attributes = survey[names[0]].attrs
    low, high = (float(attributes.get(end, np.nan)) for end in (TargetColour.LOW, TargetColour.HIGH))
    if not 0 < low < high < np.inf:
        return None
    groups = [str(survey[name].attrs.get(TargetColour.GROUP, "")) for name in names]
    asked = [
        data.Field(
            name, f"requested {channel}", str(survey[name].attrs.get("units", "")), "",
            np.asarray(survey[name].transpose(*order).values, dtype=np.float64),
        )
        for name, channel in zip(names, CHANNELS, strict=True)
    ]  # fmt: skip
    achieved = {}
    for split, several in data.by_value(survey).get(GROUP_LOSS, {}).items():
        record = str(survey[several[0].name].attrs.get("record", ""))
        if len(several) == len(CHANNELS) and (not all(groups) or record in ("", ";".join(groups))):
            achieved[split] = [
                replace(one, label=f"{split} {channel}") for one, channel in zip(several, CHANNELS, strict=True)
            ]
    return Colours(asked, achieved, low, high, groups if all(groups) else ()) if achieved else None
