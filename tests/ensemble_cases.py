"""Data of ensembles as their runs keep them, made with NumPy from random predictions: for tests of what shows them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from lossatlas.schema import record_texts

__all__ = ["BINS", "classify", "regress"]

Floats = NDArray[np.float64]

BINS, HALVINGS, BOUNDS = 15, 5, (0.05, 20.0)
PAIRWISE = {"classes": ["disagreement", "js_divergence"], "values": ["squared_difference"]}
LONG = {
    "error": ("error of the averaged prediction", "1"),
    "nll": ("negative log likelihood", "nat"),
    "brier": ("Brier score", "1"),
    "ece": ("expected calibration error", "1"),
    "squared_error": ("squared error", "1"),
    "gaussian_nll": ("negative log likelihood of a Gaussian", "nat"),
}


def classify(
    count: int = 6,
    seed: int = 0,
    examples: int = 300,
    orders: Sequence[str] = ("given", "greedy"),
    *,
    pairs: bool = True,
) -> xr.Dataset:
    """An ensemble of classifiers of four classes, whose members see the same logits under noise of their own."""
    random = np.random.default_rng(seed)
    labels = random.integers(4, size=examples)
    clean = 2.0 * np.eye(4)[labels] + random.normal(size=(examples, 4))
    chances = _softmax(2 * (clean + random.normal(size=(count, examples, 4))))
    data = _lay_out("classes", count, examples, orders, list(CLASSIFIES))
    first, several = chances[:1], [chances[:k].mean(0) for k in data["count"].values]
    _put_scores(data, {name: [score(p, labels) for p in several] for name, score in CLASSIFIES.items()})
    _put_members(data, {name: [score(p, labels) for p in chances] for name, score in CLASSIFIES.items()})
    softer = [p**0.7 / (p**0.7).sum(-1, keepdims=True) for p in several]
    _put_halves(
        data,
        {name: [[score(p, labels) for p in each] for each in (several, softer)] for name, score in CLASSIFIES.items()},
        random,
    )
    stages = [first[0], several[-1], softer[-1]]
    data = data.assign_coords(bin=(np.arange(BINS) + 0.5) / BINS)
    data["stage"] = ["first member", "all members", "all members, tempered"]
    binned = np.stack([_bin(p, labels) for p in stages])
    for place, (name, words) in enumerate(
        {"bin_confidence": "confidence", "bin_accuracy": "accuracy", "bin_share": "share of examples"}.items()
    ):
        data[name] = ("stage", "bin"), binned[:, place], {"long_name": words, "units": "1"}
    data["bin_accuracy_standard_error"] = (
        ("stage", "bin"), np.sqrt(binned[:, 1] * (1 - binned[:, 1]) / (binned[:, 2] * examples)), {"units": "1"}
    )  # fmt: skip
    if pairs:
        _put_pairs(data, chances)
    return data


def regress(count: int = 5, seed: int = 0, examples: int = 300) -> xr.Dataset:
    """An ensemble of regressions, of one output."""
    random = np.random.default_rng(seed)
    targets = random.normal(size=examples)
    outputs = targets + 0.3 * random.normal(size=examples) + 0.4 * random.normal(size=(count, examples))
    data = _lay_out("values", count, examples, ("given", "greedy"), ("squared_error", "gaussian_nll"))
    counts = data["count"].values
    squared = [(outputs[:k].mean(0) - targets) ** 2 for k in counts]

    def likelihood(k: int, factor: float) -> Floats:
        spread = factor * outputs[:k].std(0) if k > 1 else np.full(examples, np.nan)
        return np.asarray(np.log(spread) + 0.5 * np.log(2 * np.pi) + 0.5 * squared[k - 1] / spread**2)

    scores = {"squared_error": squared, "gaussian_nll": [likelihood(k, 1.0) for k in counts]}
    wide = {"squared_error": squared, "gaussian_nll": [likelihood(k, 1.5) for k in counts]}
    _put_scores(data, scores)
    nothing = np.full(examples, np.nan)
    members = {"squared_error": [(one - targets) ** 2 for one in outputs], "gaussian_nll": [nothing] * count}
    _put_members(data, members)
    _put_halves(data, {name: [scores[name], wide[name]] for name in scores}, random)
    apart = np.stack([[((one - other) ** 2).mean() for other in outputs] for one in outputs])
    data["mean_squared_difference"] = (
        "count", [_mean_pair(apart[:k, :k]) for k in counts], {"long_name": "mean squared difference", "units": "1"}
    )  # fmt: skip
    data["temperature"][:, 0] = np.nan
    data["temperature"].attrs["long_name"] = "factor on the standard deviation"
    return data


def _lay_out(kind: str, count: int, examples: int, orders: Sequence[str], scores: Sequence[str]) -> xr.Dataset:
    sizes = np.arange(1, count + 1)
    data = xr.Dataset(
        coords={
            "member": [f"runs/member_{k}" for k in range(count)],
            "count": ("count", sizes, {"long_name": "number of members"}),
            "order": list(orders),
            "scale": ["raw", "tempered"],
        },
        attrs={
            "ensemble": kind, "split": "test", "examples": examples, "bins": BINS, "halvings": HALVINGS,
            "halving_seed": 0, "temperature_low": BOUNDS[0], "temperature_high": BOUNDS[1], "name": "deep",
            "data_hash": "1234", "model": "mlp", "data": "digits", "bootstrap": 1000,
            "scores": record_texts(list(scores)), "pairwise": record_texts(PAIRWISE[kind]),
            "binned_scores": record_texts([name for name in scores if name == "ece"]),
        },
    )  # fmt: skip
    costs = {
        "training_steps": ("training steps", "1", 500 * sizes),
        "training_passes": ("passes over the training examples", "1", 10.0 * sizes),
        "bytes": ("bytes held", "byte", 40_000 * sizes),
        "evaluations": ("evaluations of a network per example", "1", sizes),
    }
    for name, (words, units, values) in costs.items():
        data[name] = "count", values.astype(float), {"long_name": words, "units": units}
    random = np.random.default_rng(1)
    fitted = 1.4 + 0.05 * random.normal(size=(len(orders), count, HALVINGS, 2)) - 0.03 * sizes[:, None, None]
    data["temperature"] = ("order", "count", "halving", "half"), fitted, {"long_name": "temperature", "units": "1"}
    data["temperature_at_bound"] = ("order", "count"), np.zeros((len(orders), count)), {"long_name": "at a bound"}
    if "greedy" in orders:
        places = np.stack([[random.permutation(count) for _ in range(2)] for _ in range(HALVINGS)])
        data["greedy_position"] = ("halving", "half", "member"), places, {"long_name": "place in the greedy order"}
    return data


def _put_scores(data: xr.Dataset, scores: dict[str, list[Floats]]) -> None:
    """Scores of each example (N,), or of all of them (), for each number of members."""
    for name, each in scores.items():
        words, units = LONG[name]
        for suffix, of in (("", each), ("_difference", [one - each[0] for one in each])):
            attrs = {"long_name": words + " less that of the first member" * bool(suffix), "units": units}
            data[name + suffix] = "count", [float(np.mean(one)) for one in of], attrs
            data[f"{name}{suffix}_standard_error"] = "count", [_error_of(one) for one in of], attrs


def _put_members(data: xr.Dataset, scores: dict[str, list[Floats]]) -> None:
    for name, each in scores.items():
        words, units = LONG[name]
        data[f"member_{name}"] = "member", [float(np.mean(one)) for one in each], {"long_name": words, "units": units}
        data[f"member_{name}_standard_error"] = "member", [_error_of(one) for one in each], {"units": units}


def _put_halves(data: xr.Dataset, scores: dict[str, list[list[Floats]]], random: np.random.Generator) -> None:
    """Scores raw and tempered; a greedy order is better by a little before all members are taken."""
    for name, scales in scores.items():
        words, units = LONG[name]
        given = np.array([[float(np.mean(one)) for one in each] for each in scales])
        gain = 0.02 * (1 - np.linspace(0, 1, given.shape[1]) ** 2)
        examples = np.stack([np.broadcast_to(each[-1], data.attrs["examples"]) for each in scales])
        data[f"example_{name}"] = ("scale", "example"), examples, {"long_name": words, "units": units}
        values = np.stack([given * (1 - gain * (order == "greedy")) for order in data["order"].values])
        data[f"{name}_halves"] = ("order", "scale", "count"), values, {"long_name": words, "units": units}
        errors = np.broadcast_to([[_error_of(one) for one in each] for each in scales], values.shape)
        data[f"{name}_halves_standard_error"] = ("order", "scale", "count"), errors, {"units": units}


def _put_pairs(data: xr.Dataset, chances: Floats) -> None:
    labels = chances.argmax(-1)
    disagreement = np.stack([[(one != other).mean() for other in labels] for one in labels])
    entropy = -(chances * np.log(chances)).sum(-1)
    middle = (chances[:, None] + chances) / 2
    js = (-(middle * np.log(middle)).sum(-1) - (entropy[:, None] + entropy) / 2).mean(-1)
    for name, (words, units, values) in {
        "disagreement": ("labels that disagree", "1", disagreement),
        "js_divergence": ("Jensen-Shannon divergence", "nat", js),
    }.items():
        attrs = {"long_name": words, "units": units}
        data[name] = ("member", "other_member"), values, attrs
        data[f"mean_{name}"] = "count", [_mean_pair(values[:k, :k]) for k in data["count"].values], attrs


def _mean_pair(values: Floats) -> float:
    return float(values[np.triu_indices(len(values), 1)].mean()) if len(values) > 1 else float("nan")


def _error_of(each: Floats) -> float:
    """Of a mean over examples; of a score that is not one, some number."""
    each = np.asarray(each)
    return float(each.std(ddof=1) / np.sqrt(len(each))) if each.ndim else 0.01


def _softmax(logits: Floats) -> Floats:
    chances = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(chances / chances.sum(-1, keepdims=True))


def _bin(chances: Floats, labels: NDArray[np.int64]) -> Floats:
    """Confidence, accuracy and share of examples (3, bins) of each bin; NaN where it is empty."""
    confidence, right = chances.max(-1), chances.argmax(-1) == labels
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    number = np.bincount(place, minlength=BINS)
    there = np.where(number > 0, number, np.nan)
    sums = [np.bincount(place, weights=each.astype(float), minlength=BINS) for each in (confidence, right)]
    return np.stack([*(each / there for each in sums), number / len(labels)])


def _calibration_error(chances: Floats, labels: NDArray[np.int64]) -> Floats:
    confidence, accuracy, share = _bin(chances, labels)
    return np.asarray(np.nansum(share * np.abs(confidence - accuracy)))


CLASSIFIES = {
    "error": lambda p, y: (p.argmax(-1) != y).astype(float),
    "nll": lambda p, y: -np.log(p[np.arange(len(y)), y]),
    "brier": lambda p, y: ((p - np.eye(p.shape[1])[y]) ** 2).sum(-1),
    "ece": _calibration_error,
}
