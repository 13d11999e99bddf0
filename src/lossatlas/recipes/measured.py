"""How numbers were measured, as a paper must state it: sample, statistics, curvature, normalisation and seed.

All of it comes from the record of a run, and from the attributes of its data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from lossatlas.describing import join_words
from lossatlas.errors import BadInput
from lossatlas.files.reading import parse_json
from lossatlas.recipes.measured_curvature import describe_curvature
from lossatlas.recipes.measured_ensemble import describe_ensemble
from lossatlas.rundir import PROVENANCE, RunDirectory
from lossatlas.schema import CURVATURE, RANDOM_DIRECTIONS, InEnsemble

if TYPE_CHECKING:
    from lossatlas.recipes.opened_run import OpenedRun

__all__ = ["describe_measurement"]

SCALES = {
    "filter": "scaled filter by filter to the network's norms (filter normalisation)",
    "layer": "scaled layer by layer to the network's norms",
    "weight": "scaled weight by weight to the magnitudes of the network's weights",
    "none": "of length 1",
}
"""The scale of random directions in words, by setting."""
SITES = {
    "checkpoint": "around",
    "between": "between",
    "trajectory": "along the trajectory of",
    "run": "on the chart of",
    "posterior": "at samples of the posterior of",
    "networks": "at",
}
"""Settings that say where a survey lies, and how captions say it."""
DERIVED = ("eigenvector", "gradient")
"""Directions that are computed from derivatives at the centre."""
IGNORED = {"biasbn": ", with biases and the scales and shifts of normalisation layers held fixed"}
STATISTICS = {
    "frozen": "running statistics of the network, unchanged",
    "batch": "statistics computed from each evaluated batch",
    "reestimated": "running statistics re-estimated at each point",
    "interpolated": "running statistics interpolated between the networks",
}


def describe_measurement(subject: xr.Dataset, run: OpenedRun | None = None) -> tuple[str, ...]:
    """Describe how the numbers of a survey, a comparison, a curvature run or an ensemble were measured, for captions.

    Where the record of the run cannot be read, the sentences are those that the data support.

    Args:
        subject: the survey, the comparison, the data of the curvature run, or the ensemble.
        run: the run that made it; None if unknown.

    Returns:
        Sentences, each ending with a full stop.
    """
    settings: Mapping[str, Any] = {}
    normalisation = ""
    if run is not None:
        with suppress(BadInput):  # the data alone still say something
            settings = run.directory.config()
            normalisation = str(run.directory.read_json(PROVENANCE).get("normalisation") or "")
    # A chart says how its random directions were made; a run's own settings need not be about them.
    labels = [str(variable.attrs.get("long_name", "")) for variable in subject.coords.values()]
    older = any(label.startswith("random direction") for label in labels) and not settings.get("run")
    random: Mapping[str, Any] = settings if older or "other_run" in subject.sizes else {}
    if RANDOM_DIRECTIONS in subject.attrs:
        with suppress(ValueError):
            random = parse_json(str(subject.attrs[RANDOM_DIRECTIONS]), dict[str, Any])
    if InEnsemble.KIND in subject.attrs:
        settings = {**{name: subject.attrs[name] for name in ("model", "data") if name in subject.attrs}, **settings}
    return (
        *_describe_problem(settings, normalisation, _list_axes(subject)),
        *_describe_samples(subject, settings),
        *describe_curvature(subject, settings),
        *describe_ensemble(subject),
        *_describe_directions(
            random, "Random directions of the slices" if "other_run" in subject.sizes else "Random directions"
        ),
        *_describe_derived(settings),
        *_describe_seeds(settings, random),
    )


def _describe_problem(settings: Mapping[str, Any], normalisation: str | None, axes: Sequence[str]) -> Iterator[str]:
    if settings.get("model") and settings.get("data"):
        loss = settings.get("loss", "auto")
        named = f", loss {loss}" * (loss != "auto")
        yield f"Network {settings['model']} on {settings['data']}{named}{_describe_site(settings, axes)}."
    elif settings.get("runs"):
        yield f"Networks {', '.join(_describe_network(str(run)) for run in settings['runs'])}."
    if normalisation:
        yield f"Inputs normalised as {normalisation}."


def _describe_network(name: str) -> str:
    """Describe a trained network by its run, as far as that is where it was."""
    with suppress(BadInput, OSError):
        made = RunDirectory(name).config()
        return f"{name} ({made.get('model')} on {made.get('data')}, seed {made.get('seed')})"
    return name


def _list_axes(subject: xr.Dataset) -> list[str]:
    """List what the axes of a survey are, where more than their names is known."""
    labels = {str(name): str(axis.attrs.get("long_name", "")) for name, axis in subject.coords.items()}
    return [label for name, label in labels.items() if label not in ("", name)]


def _describe_site(settings: Mapping[str, Any], axes: Sequence[str]) -> str:
    """Describe where in weight space the survey lies, as the settings give it; on the chart of a run by its axes."""
    for name, words in SITES.items():
        if given := settings.get(name):
            along = f", along {join_words(axes)}" * (name == "run" and bool(axes))
            return f", {words} {', '.join(map(str, given)) if isinstance(given, list) else given}{along}"
    return ""


def _describe_samples(subject: xr.Dataset, settings: Mapping[str, Any]) -> Iterator[str]:
    """Describe the examples of each split, the statistics of normalisation layers, and the precision."""
    samples = _list_samples(subject)
    asked = str(settings.get("examples"))
    counts = [f"{sample['examples']:,} {split} examples".replace("  ", " ") for split, sample in samples.items()]
    subset = f"; of splits with more than {asked} examples a fixed random subset" * asked.isdecimal()
    if counts:
        sizes = {sample["eval_batch_size"] for sample in samples.values() if "eval_batch_size" in sample}
        together = f", in batches of at most {' or '.join(map(str, sorted(sizes)))}" * bool(sizes)
        yield f"Sample: {' and '.join(counts)}{together}{subset}."
    elif settings.get("examples"):
        number = "all" if asked == "all" else f"at most {asked}"
        size = settings.get("eval_batch_size")
        yield f"Sample: {number} examples of each split{f', in batches of at most {size}' if size else ''}."
    buffers = dict.fromkeys(str(sample["buffers"]) for sample in samples.values() if sample.get("buffers"))
    if buffers:
        yield f"Normalisation layers, if there are any: {'; '.join(STATISTICS.get(one, one) for one in buffers)}."
    given = [sample["precision"] for sample in samples.values() if sample.get("precision")] or [
        settings.get("precision")
    ]
    precisions = dict.fromkeys(str(one) for one in given if one)
    if precisions:
        yield f"Precision: {', '.join(precisions)}."


def _describe_directions(settings: Mapping[str, Any], what: str) -> Iterator[str]:
    scale = settings.get("normalize")
    if scale in SCALES:
        repeats = settings.get("repeats", 1)
        several = f", {repeats} repeats" * (repeats is not None and repeats > 1)
        yield f"{what} {SCALES[scale]}{IGNORED.get(str(settings.get('ignore')), '')}{several}."


def _describe_derived(settings: Mapping[str, Any]) -> Iterator[str]:
    """Describe what the loss is averaged over whose gradient or eigenvectors directions are."""
    named = [str(name) for name in settings.get("directions") or () if str(name).partition(":")[0] in DERIVED]
    if named and settings.get("splits"):
        parameters = [str(name) for name in settings.get("curvature_parameters") or ()]
        within = f", in the parameters {', '.join(parameters)}" * (parameters not in ([], ["*"]))
        yield (
            f"Directions {', '.join(dict.fromkeys(named))}: of the mean loss over the {settings['splits'][0]} examples "
            f"at the centre{within}, with the network's own running statistics."
        )


def _describe_seeds(settings: Mapping[str, Any], random: Mapping[str, Any]) -> Iterator[str]:
    if settings.get("seed") is not None:
        yield f"Seed {settings['seed']}."
    if random.get("direction_seed") is not None:
        yield f"Seed of random directions {random['direction_seed']}."


def _list_samples(subject: xr.Dataset) -> dict[str, Mapping[str, Any]]:
    """Read the evaluation settings of each split: examples, batch size, buffers policy, precision."""
    whole = CURVATURE in subject.attrs or InEnsemble.KIND in subject.attrs
    if whole and isinstance(subject.attrs.get("examples"), int | np.integer):
        return {str(subject.attrs.get("split", "")): subject.attrs}
    return {
        str(variable.attrs["split"]): variable.attrs
        for variable in subject.data_vars.values()
        if "split" in variable.attrs and isinstance(variable.attrs.get("examples"), int | np.integer)
    }
