"""The report of curvature: a self-contained HTML page with verdicts, tables, pictures and the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from lossatlas.describing import join_words
from lossatlas.schema import (
    ENDS,
    OPERATORS,
    SNAPSHOT,
    OnTrajectory,
    name_curvature,
    name_curvatures,
    parse_texts,
    read_operators,
)
from lossatlas.views import scales
from lossatlas.views.picture import DrawnPicture
from lossatlas.views.report import Grid, place_pictures, write_page

__all__ = ["write_curvature"]

RESIDUALS = (
    "A residual r says that an eigenvalue lies within r of the value, not that there is none beyond it. The interval "
    "of a trace contains it with a probability of 95 % (Student's t over random probes)."
)


def write_curvature(
    path: Path | str,
    data: xr.Dataset,
    summary: Mapping[str, Any],
    config_yaml: str,
    pictures: Mapping[str, DrawnPicture],
    rendered: Mapping[str, bytes] | None = None,
) -> None:
    """Write the page of a measurement of curvature, whole or not at all.

    Args:
        path: the file; its directory is made if need be.
        data: the labelled data.
        summary: the numbers of the measurement.
        config_yaml: the configuration that reproduces it.
        pictures: the pictures in the order of the page.
        rendered: PNG files of the pictures by name, where they exist already.

    Raises:
        CannotFinish: the file cannot be written.
    """
    along = SNAPSHOT in data.sizes
    what = f"{data.attrs['examples']:,} examples of the {data.attrs['split']} split"
    where = f"{data.sizes[SNAPSHOT]} snapshots" if along else _count_networks(data)
    operators = join_words([OPERATORS[name].words for name in read_operators(data.attrs)])
    verdicts = [] if along else parse_texts(data.attrs["verdict"])
    write_page(
        path,
        title="Curvature along a trajectory" if along else f"Curvature of {where}",
        lead=f"The {operators} of the mean loss over {what}, in {data.attrs['dimension']:,} parameters, at {where}. "
        + " ".join(verdicts),
        tiles=_tile_trajectory(summary) if along else _tile_networks(summary),
        images=place_pictures(pictures, rendered),
        summary_grids=[_tabulate_snapshots(data)] if along else _tabulate(data, summary),
        config_yaml=config_yaml,
    )


def _count_networks(data: xr.Dataset) -> str:
    names = [str(name) for name in data["network"].values]
    return names[0] if len(names) == 1 else f"{len(names)} networks"


def _tile_networks(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List the main numbers where there is a single network."""
    if len(summary["networks"]) != 1:
        return [("networks", str(len(summary["networks"])))]
    (found,) = summary["networks"].values()
    return [(name_curvature(name), _write(found[name])) for name in name_curvatures() if name in found]


def _tile_trajectory(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    largest, last = summary["largest"], summary["last"]
    tiles = [("snapshots", str(summary["snapshots"])), ("largest eigenvalue at the end", _write(last["hessian_max"]))]
    return [
        *tiles,
        *([("its largest value", f"{_write(largest['hessian_max'])} at step {largest['step']:,}")] * bool(largest)),
    ]


def _tabulate(data: xr.Dataset, summary: Mapping[str, Any]) -> list[Grid]:
    """Make the tables of networks: main numbers, eigenvalues, spread over subsets, layers."""
    grids = [_tabulate_networks(data, summary), *_tabulate_ends(data)]
    if data.sizes["sample"] > 1:
        grids.append(_tabulate_spread(data, summary))
    if "layer" in data.sizes:
        grids.append(_tabulate_layers(data))
    return grids


def _tabulate_networks(data: xr.Dataset, summary: Mapping[str, Any]) -> Grid:
    networks = summary["networks"]
    first = next(iter(networks.values()))
    rows = []
    for key in first:
        if key in ("verdict", "spread") or key.endswith(
            ("_residual", "_interval", "_products", "_top", "_bottom", "_error")
        ):
            continue
        rows.append([_label(data, key), *(_with_error(found, key) for found in networks.values())])
    return Grid("Numbers", ["quantity", *networks], rows, RESIDUALS)


def _label(data: xr.Dataset, key: str) -> str:
    return name_curvature(key) or str(data[key].attrs["long_name"])


def _with_error(found: Mapping[str, Any], key: str) -> str:
    text = _write(found[key])
    if (residual := found.get(f"{key}_residual")) is not None:
        return f"{text} (residual {_write(residual)})"
    for suffix in ("probe_error", "standard_error"):
        if (error := found.get(f"{key}_{suffix}")) is not None:
            return f"{text} (standard error {_write(error)})"
    if (interval := found.get(f"{key}_interval")) is not None:
        return f"{text} ({_write(interval[0])} to {_write(interval[1])})"
    return text


def _tabulate_ends(data: xr.Dataset) -> list[Grid]:
    """Make a table of the eigenvalues of each operator, with one row for each."""
    grids = []
    names = [str(name) for name in data["network"].values]
    for operator, named in OPERATORS.items():
        rows = []
        for end, which in ENDS.items():
            if (name := f"{operator}_{end}") not in data:
                continue
            values, residuals = data[name].values[:, 0], data[f"{name}_residual"].values[:, 0]
            for k in range(values.shape[1]):
                cells = [f"{_write(values[i, k])} (residual {_write(residuals[i, k])})" for i in range(len(names))]
                rows.append([f"{which.words}, {k + 1}", *cells])
        if rows:
            grids.append(Grid(f"Eigenvalues of the {named.words}", ["eigenvalue", *names], rows))
    return grids


def _tabulate_spread(data: xr.Dataset, summary: Mapping[str, Any]) -> Grid:
    rows = [
        [
            f"{name}: {_label(data, key)}",
            *(_write(numbers[each]) for each in ("mean", "standard_deviation", "lowest", "highest")),
        ]
        for name, found in summary["networks"].items()
        for key, numbers in found["spread"].items()
    ]
    note = f"Over the stated sample and further {data.attrs['subsets']} subsets of as many examples."
    return Grid("Spread over samples", ["quantity", "mean", "standard deviation", "lowest", "highest"], rows, note)


def _tabulate_layers(data: xr.Dataset) -> Grid:
    rows = []
    for i, network in enumerate(map(str, data["network"].values)):
        for k, layer in enumerate(map(str, data["layer"].values)):
            cells = [
                f"{_write(data[name].values[i, k])} ({_write(data[f'{name}_{suffix}'].values[i, k])})"
                for name, suffix in (
                    ("layer_top", "residual"), ("layer_bottom", "residual"), ("layer_trace", "probe_error")
                )
            ]  # fmt: skip
            rows.append([f"{network}: {layer}", f"{int(data['layer_size'].values[k]):,}", *cells])
    note = "All other parameters are held fixed. In brackets: residuals, and the standard error of the trace."
    operator = OPERATORS[read_operators(data.attrs)[0]].words
    return Grid(
        f"{operator} of each layer",
        ["layer", "parameters", "largest eigenvalue", "smallest eigenvalue", "trace"],
        rows,
        note,
    )


def _tabulate_snapshots(data: xr.Dataset) -> Grid:
    columns = {
        OnTrajectory.STEP: "step",
        OnTrajectory.RATE: "learning rate",
        "path_loss": "loss",
        "path_gradient_norm": "gradient norm",
        "path_hessian_max": "largest eigenvalue",
        "path_hessian_max_residual": "its residual",
        "path_hessian_min": "smallest eigenvalue",
        "path_hessian_min_residual": "its residual",
    }
    rows: list[Sequence[str]] = [
        [
            f"{int(data[name].values[k]):,}" if name == OnTrajectory.STEP else _write(data[name].values[k])
            for name in columns
        ]
        for k in range(data.sizes[SNAPSHOT])
    ]
    return Grid("Snapshots", [*columns.values()], rows, RESIDUALS.partition(" The interval")[0])


def _write(value: Any) -> str:
    return scales.number(float(value)) if value == value and value is not None else "\u2013"
