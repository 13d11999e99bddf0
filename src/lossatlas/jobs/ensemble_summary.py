"""The summary of an ensemble: its main numbers as JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from lossatlas.paired import compare_ensembles
from lossatlas.schema import STANDARD_ERROR, InEnsemble, parse_texts

__all__ = ["summarise_ensemble"]


def summarise_ensemble(data: xr.Dataset, others: Mapping[str, xr.Dataset] | None = None) -> dict[str, Any]:
    """Summarise an ensemble.

    Args:
        data: its data, see :class:`~lossatlas.schema.InEnsemble`.
        others: ensembles on the same examples, by name, from which the differences are stated.

    Returns:
        The number of members, scores of a single member and of all, raw and with a temperature, their differences, and
        costs; None for what is not known. ``scores`` lists their names, and ``temperature_at_bound`` says by order how
        many of all ``temperatures`` ended at a bound. ``against`` has by ensemble the differences of this one from it,
        with paired standard errors, raw and with temperatures.

    Raises:
        BadInput: another ensemble was scored on other examples.
    """
    names, last = parse_texts(data.attrs[InEnsemble.SCORES]), {InEnsemble.COUNT: -1}
    found: dict[str, Any] = {
        "members": int(data[InEnsemble.COUNT].values[-1]),
        InEnsemble.SPLIT: data.attrs[InEnsemble.SPLIT],
        InEnsemble.EXAMPLES: int(data.attrs[InEnsemble.EXAMPLES]),
        InEnsemble.SCORES: names,
    }
    for name in names:
        found[f"{InEnsemble.of_member(name)}_mean"] = _write(data[InEnsemble.of_member(name)].mean())
        for variable in (name, InEnsemble.difference(name)):
            for each in (variable, STANDARD_ERROR.of(variable)):
                if each in data:
                    found[each] = _write(data[each].isel(last))
        halves = InEnsemble.halves(name)
        if halves not in data:
            continue
        # Of all members the greedy order gives the same average.
        for scale in map(str, data[InEnsemble.SCALE].values):
            at = {InEnsemble.ORDER: InEnsemble.GIVEN, InEnsemble.SCALE: scale}
            for each in (halves, STANDARD_ERROR.of(halves)):
                found[f"{each}_{scale}"] = _write(data[each].sel(at).isel(last))
    if InEnsemble.TEMPERATURE in data:
        given = {InEnsemble.ORDER: InEnsemble.GIVEN}
        found[InEnsemble.TEMPERATURE] = _write(data[InEnsemble.TEMPERATURE].sel(given).isel(last).mean())
        found["temperatures"] = data[InEnsemble.TEMPERATURE].size
        found[InEnsemble.AT_BOUND] = {
            str(order): int(data[InEnsemble.AT_BOUND].sel({InEnsemble.ORDER: order}).sum())
            for order in data[InEnsemble.ORDER].values
        }
        for bound in (InEnsemble.TEMPERATURE_LOW, InEnsemble.TEMPERATURE_HIGH):
            found[bound] = float(data.attrs[bound])
    for name in parse_texts(data.attrs.get(InEnsemble.PAIRWISE)):
        if (mean := InEnsemble.mean(name)) in data:
            found[mean] = _write(data[mean].isel(last))
    for name in (InEnsemble.STEPS, InEnsemble.PASSES, InEnsemble.BYTES, InEnsemble.EVALUATIONS):
        if name in data:
            found[name] = _write(data[name].isel(last))
    if others:
        found["against"] = {name: _compare(data, other) for name, other in others.items()}
    return found


def _compare(data: xr.Dataset, other: xr.Dataset) -> dict[str, float | None]:
    """State the differences of an ensemble from another one."""
    found: dict[str, float | None] = {}
    scales = [scale for scale in map(str, data[InEnsemble.SCALE].values) if scale in other[InEnsemble.SCALE].values]
    for scale in scales:
        for name, paired in compare_ensembles(data, other, scale).items():
            key = name if scale == InEnsemble.RAW else f"{name}_{scale}"
            for each, value in ((key, paired.difference), (STANDARD_ERROR.of(key), paired.standard_error)):
                found[each] = value if np.isfinite(value) else None
    return found


def _write(value: xr.DataArray) -> float | None:
    number = float(np.asarray(value.values))
    return number if np.isfinite(number) else None
