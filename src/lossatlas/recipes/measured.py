"""How a survey was measured, as a paper must state it: sample, statistics, normalisation and seed, from its record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import xarray as xr

from lossatlas.errors import BadInput
from lossatlas.rundir import PROVENANCE

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
}
"""Settings that say where a survey lies, and how captions say it."""
IGNORED = {"biasbn": ", with biases and the scales and shifts of normalisation layers held fixed"}
STATISTICS = {
    "frozen": "running statistics of the network, unchanged",
    "batch": "statistics of normalisation layers computed from each evaluated batch",
    "reestimated": "running statistics re-estimated at each point",
    "interpolated": "running statistics interpolated between the networks",
}


def describe_measurement(subject: xr.Dataset, run: OpenedRun | None = None) -> tuple[str, ...]:
    """Describe how the numbers of a survey or a comparison were measured, for the captions of its pictures.

    Where the record of the run cannot be read, the sentences are those that the data support.

    Args:
        subject: the survey or the comparison.
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
    # Only a slice along random directions, or a comparison, which has such slices, depends on how these were scaled.
    labels = [str(variable.attrs.get("long_name", "")) for variable in subject.coords.values()]
    random = any(label.startswith("random direction") for label in labels) or "other_run" in subject.sizes
    return (
        *_describe_problem(settings, normalisation),
        *_describe_samples(subject, settings),
        *(_describe_directions(settings) if random else ()),
        *_describe_seeds(settings, random=random),
    )


def _describe_problem(settings: Mapping[str, Any], normalisation: str | None) -> Iterator[str]:
    if settings.get("model") and settings.get("data"):
        loss = settings.get("loss", "auto")
        named = f", loss {loss}" * (loss != "auto")
        yield f"Network {settings['model']} on {settings['data']}{named}{_describe_site(settings)}."
    elif settings.get("runs"):
        yield f"Networks {', '.join(map(str, settings['runs']))}."
    if normalisation:
        yield f"Inputs normalised as {normalisation}."


def _describe_site(settings: Mapping[str, Any]) -> str:
    """Describe where in weight space the survey lies, as the settings give it."""
    for name, words in SITES.items():
        if given := settings.get(name):
            return f", {words} {', '.join(map(str, given)) if isinstance(given, list) else given}"
    return ""


def _describe_samples(subject: xr.Dataset, settings: Mapping[str, Any]) -> Iterator[str]:
    """Describe the examples of each split, the statistics of normalisation layers, and the precision."""
    samples = _list_samples(subject)
    asked = str(settings.get("examples"))
    counts = [
        f"{int(sample['examples']):,} {split} examples{', a fixed random subset' * (str(sample['examples']) == asked)}"
        for split, sample in samples.items()
    ]
    if counts:
        sizes = {sample["eval_batch_size"] for sample in samples.values() if "eval_batch_size" in sample}
        together = f", evaluated {' or '.join(map(str, sorted(sizes)))} at a time" * bool(sizes)
        yield f"Sample: {' and '.join(counts)}{together}."
    elif settings.get("examples"):
        number = "all" if asked == "all" else f"at most {asked}"
        size = settings.get("eval_batch_size")
        yield f"Sample: {number} examples of each split{f', evaluated {size} at a time' if size else ''}."
    buffers = dict.fromkeys(str(sample["buffers"]) for sample in samples.values() if sample.get("buffers"))
    if buffers:
        yield f"Statistics: {'; '.join(STATISTICS.get(one, one) for one in buffers)}."
    precisions = dict.fromkeys(str(sample["precision"]) for sample in samples.values() if sample.get("precision"))
    if precisions:
        yield f"Precision: {', '.join(precisions)}."


def _describe_directions(settings: Mapping[str, Any]) -> Iterator[str]:
    scale = settings.get("normalize")
    if scale in SCALES:
        repeats = settings.get("repeats", 1)
        several = f", {repeats} repeats" * (repeats is not None and repeats > 1)
        yield f"Random directions {SCALES[scale]}{IGNORED.get(str(settings.get('ignore')), '')}{several}."


def _describe_seeds(settings: Mapping[str, Any], *, random: bool) -> Iterator[str]:
    if settings.get("seed") is not None:
        yield f"Seed {settings['seed']}."
    if random and settings.get("direction_seed") is not None:
        yield f"Seed of random directions {settings['direction_seed']}."


def _list_samples(subject: xr.Dataset) -> dict[str, Mapping[str, Any]]:
    """Read the evaluation settings of each split: examples, batch size, buffers policy, precision."""
    return {
        str(variable.attrs["split"]): variable.attrs
        for variable in subject.data_vars.values()
        if "split" in variable.attrs and "examples" in variable.attrs
    }
