"""The data of a finished comparison: labelled arrays, and the numbers that summarise them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from lossatlas.data import Split
from lossatlas.measures import Surface, take_surfaces
from lossatlas.measures.kinds.barrier import Barrier
from lossatlas.measures.kinds.sharpness import Sharpness
from lossatlas.measures.kinds.width import Width
from lossatlas.measures.surface import drop_infinite
from lossatlas.recipes import CompareConfig
from lossatlas.recipes.base import require
from lossatlas.recipes.compare import CompareRecipe
from lossatlas.recipes.problem import ProblemRecipe
from lossatlas.schema import GEOMETRY, Geometry
from lossatlas.studies import Difference, histogram_weights, measure_differences, pearson, spearman, spread
from lossatlas.surveying.standing import Standing
from lossatlas.weights.files import load_state

__all__ = ["choose_compared", "compare_predictions", "make_comparison", "summarise_comparison"]

Floats = npt.NDArray[np.float64]
Found = Mapping[tuple[str, tuple[int, ...]], xr.Dataset]
RUN, OTHER, REPEAT = "run", "other_run", "repeat"
SCORES = ("loss", "accuracy")
BARRIERS = {
    "barrier": ("barrier_height", "barrier on the line"),
    "barrier_slope": ("barrier_steepest_slope", "steepest slope on the line"),
}
"""The quantities of the line between two networks: the key of the measure, and the long name."""
COMPARED_SPLIT = "test"
"""The split on which outputs are compared, if the data have it."""


def make_comparison(
    config: CompareConfig, recipe: CompareRecipe, found: Found, differences: Sequence[Difference]
) -> xr.Dataset:
    """Make the labelled data of a comparison.

    Args:
        config: the configuration of the comparison.
        recipe: its networks.
        found: surveys by their kind (``surface``, ``line``, ``slice``) and the indices of their networks.
        differences: the differences between the networks' predictions.

    Returns:
        Dimensions ``run`` and ``other_run`` (both with the networks' names), ``repeat``, and the coordinates of
        surfaces (``u``, ``v``), lines (``alpha``) and slices (``x``). Surfaces and lines are stored where ``run`` comes
        before ``other_run``, and are NaN elsewhere; quantities of a pair are symmetric, with zeros or NaN on the
        diagonal. ``geometry`` holds the corners of a surface as JSON (:class:`~lossatlas.schema.Geometry`), or is
        empty. Losses are in the unit of the attribute ``units``, lengths in units of weight space.
    """
    names = [network.name for network in recipe.networks]
    count, split = len(names), config.splits[0]
    data = xr.Dataset(
        coords={RUN: names, OTHER: names, REPEAT: np.arange(require(config.repeats))},
        attrs={
            "split": split,
            "level": config.level,
            "radius": config.radius,
            "normalize": config.normalize,
            "units": recipe.problems[0].problem.loss.units,
        },
    )
    _put(data, "group", (RUN,), np.array([network.group for network in recipe.networks]), "group", "1")
    _put(data, "start", (RUN,), np.array([n.origin for n in recipe.networks]), "hash of the initial weights", "1")
    architectures = np.array([network.architecture for network in recipe.networks], dtype=np.int32)
    _put(data, "architecture", (RUN,), architectures, "architecture", "1")
    _scores(data, recipe)
    _weights(data, recipe)
    for difference in differences:
        _put(data, difference.name, (RUN, OTHER), difference.values, difference.long_name, difference.units)
    kinds, reasons = np.full((2, count, count), "", dtype="U32")
    for pair in recipe.pairs:
        for i, k in ((pair.one, pair.other), (pair.other, pair.one)):
            kinds[i, k], reasons[i, k] = pair.chart, pair.reason
    _put(data, "chart", (RUN, OTHER), kinds, "figure that two networks span with their starts", "1")
    _put(data, "reason", (RUN, OTHER), reasons, "why there is none", "1")
    _put(data, GEOMETRY, (RUN, OTHER), _geometries(recipe, found), "geometry of that figure", "1")
    for name in config.splits:
        _landscapes(data, name, found, count)
    _barriers(data, split, found, count)
    _basins(data, config, split, found)
    return data


def summarise_comparison(data: xr.Dataset) -> dict[str, Any]:
    """Compute the numbers of a comparison, as JSON values: per run, per pair, per group, and over all of them."""
    names = [str(name) for name in data[RUN].values]
    groups, starts = ([str(value) for value in data[key].values] for key in ("group", "start"))
    single = [str(name) for name, v in data.data_vars.items() if v.dims == (RUN,) and v.dtype.kind == "f"]
    repeated = [str(name) for name, v in data.data_vars.items() if v.dims == (RUN, REPEAT)]
    double = _pairwise(data)
    runs: dict[str, Any] = {}
    for place, name in enumerate(names):
        runs[name] = {"group": groups[place]}
        runs[name] |= {key: drop_infinite(data[key].values[place]) for key in single}
        for key in repeated:
            values = data[key].values[place]
            whole = bool(np.isfinite(values).all())
            runs[name][key] = drop_infinite(values.mean()) if whole else None
            several = whole and len(values) > 1
            runs[name][f"{key}_standard_deviation"] = drop_infinite(values.std(ddof=1)) if several else None
    pairs = {
        f"{names[i]}--{names[k]}": {
            **{key: drop_infinite(data[key].values[i, k]) for key in double},
            "chart": str(data["chart"].values[i, k]) or None,
        }
        for i in range(len(names))
        for k in range(i + 1, len(names))
    }
    error = data["test_error"].values
    sharpness = data["sharpness"].values.mean(axis=1)
    known = int((np.isfinite(error) & np.isfinite(sharpness)).sum())
    return {
        "split": data.attrs["split"],
        "runs": runs,
        "pairs": pairs,
        "groups": {
            group: [n for n, g in zip(names, groups, strict=True) if g == group] for group in dict.fromkeys(groups)
        },
        "spread": {
            key: {kind: asdict(moments) for kind, moments in spread(data[key].values, groups, starts).items()}
            for key in double
        },
        "sharpness_and_test_error": {
            "pearson": pearson(sharpness, error),
            "spearman": spearman(sharpness, error),
            "runs": known,
        },
    }


def choose_compared(base: ProblemRecipe) -> Split:
    """Return the examples on which predictions are compared."""
    splits = base.data.splits
    return splits.get(COMPARED_SPLIT, next(iter(splits.values())))


def compare_predictions(recipe: CompareRecipe, eval_batch_size: int) -> list[Difference]:
    """Compare the networks' predictions on all examples of the test split; empty if outputs cannot be compared.

    Args:
        recipe: the networks.
        eval_batch_size: number of examples that are evaluated together.
    """
    predicted = {}
    for network in recipe.networks:
        base = recipe.problems[network.architecture]
        split = choose_compared(base).to(base.device)
        load_state(base.problem.module, network.state, f"run {network.spec}")
        predicted[network.name] = Standing(
            base.problem, base.space, split, eval_batch_size=eval_batch_size
        ).predictions(split)
    found = {name: each for name, each in predicted.items() if each is not None}
    if len(found) < len(predicted):
        return []
    outputs, weights = ({name: each[k] for name, each in found.items()} for k in range(2))
    loss = recipe.problems[0].problem.loss
    return measure_differences(outputs, classifies=loss.classifies, weights=next(iter(weights.values())))


def _pairwise(data: xr.Dataset) -> list[str]:
    """Return the names of the quantities of pairs of networks."""
    return [str(name) for name, v in data.data_vars.items() if v.dims == (RUN, OTHER) and v.dtype.kind == "f"]


def _put(data: xr.Dataset, name: str, dims: tuple[str, ...], values: Any, long_name: str, units: str) -> None:
    data[name] = (dims, values, {"long_name": long_name, "units": units})


def _geometries(recipe: CompareRecipe, found: Found) -> npt.NDArray[np.str_]:
    """Return the record of each surface's geometry, (runs, runs), with named corners; empty without a surface."""
    count = len(recipe.networks)
    records = np.full((count, count), "", dtype=object)
    for pair in recipe.pairs:
        places = (pair.one, pair.other)
        if (surface := found.get(("surface", places))) is not None:
            geometry = Geometry.parse(str(surface.attrs[GEOMETRY]))
            records[places] = replace(geometry, names=pair.corners).record()
    return records.astype(str)


def _scores(data: xr.Dataset, recipe: CompareRecipe) -> None:
    """Put the final loss and accuracy of each training, on all examples."""
    units = data.attrs["units"]
    known = [network.scores for network in recipe.networks]
    for split in recipe.problems[0].data.splits:
        for score in SCORES:
            name = f"{split}_{score}"
            if any(name in scores for scores in known):
                values = [scores.get(name) for scores in known]
                unit = units if score == "loss" else "1"
                _put(data, name, (RUN,), np.array(values, dtype=np.float64), f"{split} {score}", unit)
    splits = recipe.problems[0].data.splits
    last = COMPARED_SPLIT if COMPARED_SPLIT in splits else next(iter(splits))
    data.attrs["compared_split"] = last
    if f"{last}_accuracy" in data:
        _put(data, "test_error", (RUN,), 1 - data[f"{last}_accuracy"].values, f"{last} error", "1")
    else:
        losses = np.array([scores.get(f"{last}_loss") for scores in known], dtype=np.float64)
        _put(data, "test_error", (RUN,), losses, f"{last} loss", units)


def _weights(data: xr.Dataset, recipe: CompareRecipe) -> None:
    """Put norms, distances and histograms of the weights, computed in float64, one network at a time."""
    networks, count = recipe.networks, len(recipe.networks)
    origins = [recipe.origins[n.origin].weights if n.origin else torch.tensor(math.nan) for n in networks]
    norms = [float(network.weights.double().norm()) for network in networks]
    _put(data, "weight_norm", (RUN,), np.array(norms), "norm of the weights", "1")
    starts = [float(origin.double().norm()) for origin in origins]
    _put(data, "start_norm", (RUN,), np.array(starts), "norm of the initial weights", "1")
    moved = [float((n.weights.double() - o.double()).norm()) for n, o in zip(networks, origins, strict=True)]
    _put(data, "distance_from_start", (RUN,), np.array(moved), "distance from the initial weights", "1")
    apart = np.full((count, count), np.nan)
    np.fill_diagonal(apart, 0.0)
    for pair in recipe.pairs:
        one, other = networks[pair.one], networks[pair.other]
        if one.architecture == other.architecture:
            distance = float((one.weights.double() - other.weights.double()).norm())
            apart[pair.one, pair.other] = apart[pair.other, pair.one] = distance
    _put(data, "distance", (RUN, OTHER), apart, "distance between weights", "1")
    bins, counts = histogram_weights([network.weights for network in networks])
    data.coords["bin"] = ("bin", bins, {"long_name": "weight", "units": "1"})
    _put(data, "weights", (RUN, "bin"), counts.astype(np.float64), "weights in a bin", "1")


def _landscapes(data: xr.Dataset, split: str, found: Found, count: int) -> None:
    """Put the losses of one split on surfaces, lines and slices."""
    axes = {"surface": ("u", "v"), "line": ("alpha",), "slice": ("x",)}
    for kind, order in axes.items():
        loss = {
            places: surface
            for (what, places), survey in found.items()
            if what == kind and (surface := take_surfaces(survey).get(split)) is not None
        }
        if not loss:
            continue
        first = next(iter(loss.values()))
        for axis, coords in zip(order, first.coords, strict=True):
            data.coords[axis] = (axis, coords)
        if kind == "slice":
            values = np.stack([_take_repeats(surface) for _, surface in sorted(loss.items())])
            dims: tuple[str, ...] = (RUN, REPEAT, *order)
        else:
            values = np.full((count, count, *first.values.shape), np.nan)
            for places, surface in loss.items():
                values[places] = surface.values
            dims = (RUN, OTHER, *order)
        _put(data, f"{kind}_{split}_loss", dims, values, f"{split} loss", data.attrs["units"])


def _barriers(data: xr.Dataset, split: str, found: Found, count: int) -> None:
    lines = {
        places: Barrier().of(take_surfaces(survey)[split]) for (kind, places), survey in found.items() if kind == "line"
    }
    for name, (key, long_name) in BARRIERS.items():
        values = np.full((count, count), np.nan)
        for places, measured in lines.items():
            values[places] = values[places[::-1]] = measured[key]  # None becomes NaN
        _put(data, name, (RUN, OTHER), values, f"{long_name}, {split}", data.attrs["units"])


def _basins(data: xr.Dataset, config: CompareConfig, split: str, found: Found) -> None:
    """Put the width and the sharpness of each repeat of each network's slice."""
    width, sharpness = Width(above_centre=(), ceilings=(config.level,)), Sharpness(radii=(config.radius,))
    slices = [take_surfaces(survey)[split] for (kind, _), survey in found.items() if kind == "slice"]
    for name, kind, long_name, unit in (
        ("width", width, f"width of the basin at {config.level:.5g}", "1"),
        ("sharpness", sharpness, f"sharpness within {config.radius:g}", "percent"),
    ):
        rows = []
        for surface in slices:
            each = [Surface(one, surface.coords, surface.corners, surface.axes) for one in _take_repeats(surface)]
            rows.append([next(iter(kind.of(one).values())) for one in each])
        values = np.array(rows, dtype=np.float64)  # None, an open basin, becomes NaN
        _put(data, name, (RUN, REPEAT), values, f"{long_name}, {split}", unit)


def _take_repeats(surface: Surface) -> Floats:
    return surface.repeats if surface.repeats is not None else surface.values[None]
