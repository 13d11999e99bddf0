"""The numbers of a measurement of curvature, as its summary states them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

from lossatlas.linalg import find_half_width
from lossatlas.schema import (
    COMPANION,
    ENDS,
    OPERATORS,
    PROBE_ERROR,
    RESIDUAL,
    SNAPSHOT,
    STANDARD_ERROR,
    OnTrajectory,
    parse_texts,
)

__all__ = ["summarise_curvature"]

OWN = ("products", "converged", PROBE_ERROR.of("trace"))
"""How names of variables of an operator end that are summarised in their own form."""
MEASURED_ENDS = {**dict.fromkeys((*OPERATORS, "layer"), tuple(ENDS)), "path_hessian": ("max", "min")}
"""The variables of eigenvalues that belong to one spectrum, by how their names begin and end."""


def summarise_curvature(data: xr.Dataset) -> dict[str, Any]:
    """Summarise curvature as numbers, JSON types.

    Of networks, ``networks`` holds for each the verdict, loss, gradient norm, the largest and the smallest eigenvalue
    with their residuals, the trace with its 95 % interval, and further metrics; ``spread`` holds the standard
    deviations over subsets of examples, where there are some. Of a trajectory, ``largest`` says where the largest
    eigenvalue was the largest, and ``last`` holds the numbers of the last snapshot. ``unconverged`` counts the
    eigenvalues with a residual above the tolerance, on all samples, of all layers and snapshots, and those that were
    not found.

    Args:
        data: the data of the measurement.
    """
    common = {
        "dimension": int(data.attrs["dimension"]),
        "examples": int(data.attrs["examples"]),
        "unconverged": _count_unconverged(data),
    }
    if SNAPSHOT in data.sizes:
        return {"snapshots": data.sizes[SNAPSHOT], **_summarise_trajectory(data), **common}
    verdicts = parse_texts(data.attrs["verdict"])
    names = [str(name) for name in data["network"].values]
    return {
        "networks": {
            name: {"verdict": verdict, **dict(_summarise_network(data.isel(network=place)))}
            for place, (name, verdict) in enumerate(zip(names, verdicts, strict=True))
        },
        **common,
    }


def _count_unconverged(data: xr.Dataset) -> int:
    """Count the eigenvalues whose residuals are above the tolerance, and those that were not found."""
    count = 0
    for group, ends in MEASURED_ENDS.items():
        names = [f"{group}_{end}" for end in ends if RESIDUAL.of(f"{group}_{end}") in data]
        if not names or COMPANION in data[RESIDUAL.of(names[0])].attrs:  # that of a metric is beside what is measured
            continue
        values = [np.atleast_1d(data[name].values) for name in names]
        if group != "layer" and SNAPSHOT not in data.sizes:
            scales = np.fmax.reduce([np.fmax.reduce(np.abs(each), axis=-1, keepdims=True) for each in values])
        else:
            scales = np.fmax.reduce([np.abs(each) for each in values])
        for name in names:
            residuals = data[RESIDUAL.of(name)].values
            count += int((~(residuals <= data.attrs["curvature_tolerance"] * scales)).sum())
    return count


def _summarise_trajectory(data: xr.Dataset) -> dict[str, Any]:
    values = data["path_hessian_max"].values
    largest = int(np.nanargmax(values)) if np.isfinite(values).any() else None
    scalars = {name: variable.values for name, variable in data.data_vars.items()}
    return {
        "last": {str(name).removeprefix("path_"): float(each[-1]) for name, each in scalars.items()},
        "largest": None
        if largest is None
        else {"hessian_max": float(values[largest]), "step": int(data[OnTrajectory.STEP].values[largest])},
        "products": int(np.nansum(data["path_products"].values)),
    }


def _summarise_network(data: xr.Dataset) -> Iterator[tuple[str, Any]]:
    """Yield the numbers of one network on the stated sample, and their spread over subsets."""
    stated = data.isel(sample=0)
    operators = parse_texts(data.attrs["operator"])
    own = {f"{operator}_{end}" for operator in operators for end in OWN}
    for name in map(str, data.data_vars):
        if data[name].dims == ("sample",) and name not in own:
            yield name, float(stated[name])
    for operator in operators:
        for end, named in ENDS.items():
            if (name := f"{operator}_{end}") in data:
                yield f"{operator}_{named.extreme}", float(stated[name][0])
                yield RESIDUAL.of(f"{operator}_{named.extreme}"), float(stated[RESIDUAL.of(name)][0])
                yield name, stated[name].values.tolist()
        if (name := f"{operator}_trace") in data:
            error = stated[PROBE_ERROR.of(name)]
            half = find_half_width(float(error), int(error.attrs["probes"]))
            yield f"{name}_interval", [float(stated[name]) - half, float(stated[name]) + half]
            yield f"{operator}_products", int(np.nansum(data[f"{operator}_products"].values))
    if "negative_found" in data:
        yield "negative_found", int(np.nan_to_num(float(data["negative_found"])))
    if data.sizes["sample"] > 1:
        yield "spread", dict(_measure_spread(data))


def _measure_spread(data: xr.Dataset) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield mean, standard deviation and range over the subsets of examples."""
    found = {name: data[name] for name in map(str, data.data_vars) if data[name].dims == ("sample",)}
    for operator in OPERATORS:
        for end, named in ENDS.items():
            if (name := f"{operator}_{end}") in data:
                found[f"{operator}_{named.extreme}"] = data[name].isel({end: 0})
    for name, variable in found.items():
        if name.endswith(
            ("_products", "_converged", *(each.of("") for each in (RESIDUAL, PROBE_ERROR, STANDARD_ERROR)))
        ):
            continue
        values = variable.values
        yield (
            name,
            {
                "mean": float(values.mean()),
                "standard_deviation": float(values.std(ddof=1)),
                "lowest": float(values.min()),
                "highest": float(values.max()),
                "subsets": len(values),
            },
        )
