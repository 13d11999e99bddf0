"""Figures 3 and 4 of the multi-point paper: random masks, with and without batch normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import mean, stdev
from typing import Any, final

from lossatlas.recipes import FitConfig
from lossatlas.reproduce.drawing import Curve, draw_curves, draw_maps, save, write_table
from lossatlas.reproduce.settings import configure_paper_fit, configure_small_fit
from lossatlas.reproduce.study import Run, Study

__all__ = ["MPO_FIG4"]

CHANNELS = (8, 8, 32, 32, 64, 64)
NETWORKS: dict[str, dict[str, Any]] = {"plain": {}, "batch-norm": {"batch_norm": True}, "skips": {"skips": True}}
COLOURS = {"plain": "#31688e", "batch-norm": "#de4968", "skips": "#6d8b00"}
PUBLISHED_ACCURACIES = {
    ("plain", 0.1): (0.834, 0.286), ("plain", 0.5): (0.777, 0.337),
    ("batch-norm", 0.1): (0.853, 0.409), ("batch-norm", 0.5): (0.811, 0.42),
}  # fmt: skip
"""Mean accuracies of low and high cells, from the same notebook."""
PUBLISHED: dict[str, list[float]] = {
    "plain": [0.549, 0.520, 0.461, 0.477, 0.438, 0.460, 0.441, 0.445, 0.441],
    "batch-norm": [0.446, 0.399, 0.402, 0.392, 0.389, 0.376, 0.368, 0.376, 0.417],
    "skips": [0.564, 0.511, 0.502, 0.474, 0.473, 0.463, 0.446, 0.454, 0.456],
}
"""Gaps for p = 0.1 ... 0.9, read off the authors' notebook (first 100 test images), not the paper's plot."""
LEFT_PLATEAU = 0.3
"""The least gap of the plain network at p = 0.5 for which the study is conclusive."""


@final
class _RandomMasks(Study):
    title = "Figures 3 and 4 of Skorokhodov & Burtsev 2019: random masks with and without batch normalisation"

    def runs(self, scale: str) -> dict[str, FitConfig]:
        small = scale == "small"
        probabilities = (0.1, 0.5, 0.9) if small else tuple(k / 10 for k in range(1, 10))
        seeds = range(2 if small else 5)
        networks = ("plain", "batch-norm") if small else tuple(NETWORKS)
        return {
            _name(network, p, seed): self._fit(small, network, p, seed)
            for p in sorted(probabilities, key=lambda p: abs(p - 0.5))
            for seed in seeds
            for network in networks
        }

    @staticmethod
    def _fit(small: bool, network: str, p: float, seed: int) -> FitConfig:
        options = {"channels": CHANNELS, "max_pool": small, **NETWORKS[network]}
        shared: dict[str, Any] = {
            "pattern": f"random:{p:g}", "pattern_options": {"seed": seed}, "data": "fashion_mnist",
            "model_options": options, "splits": ("test",), "seed": seed,
        }  # fmt: skip
        if small:
            return configure_small_fit(size="12", seconds=180.0, **shared)
        return configure_paper_fit(**shared | {"size": "30", "threshold": 5.0})

    def results(self, runs: Mapping[str, Run], out: Path) -> str:
        groups = _grouped(runs)
        networks = list(dict.fromkeys(network for network, _ in groups))
        probabilities = sorted({p for _, p in groups})
        rows = []
        for (network, p), members in sorted(groups.items()):
            found = [_statistics(members, key) for key in ("gap", "low_accuracy", "high_accuracy")]
            published = [PUBLISHED[network][round(p * 10) - 1], *PUBLISHED_ACCURACIES.get((network, p), (None, None))]
            rows.append([network, p, len(members), *(value for pair in found for value in pair), *published])
        head = ["network", "p", "runs", "gap", "± sd", "low accuracy", "± sd", "high accuracy", "± sd"]
        shown = [
            self._curves(groups, networks, probabilities, ["gap"], out / "figure-4a.png", "difference of accuracies"),
            self._curves(
                groups, networks, probabilities, ["low_accuracy", "high_accuracy"], out / "figure-4b.png",
                "mean accuracy",
            ),
        ]  # fmt: skip
        middle = min(probabilities, key=lambda p: abs(p - 0.5))
        surveys = {network: groups[network, middle][0].survey for network in networks}
        title = f"random mask, p = {middle:g}, first repetition: mask and test accuracy (published as Figure 3)"
        shown.append(save(draw_maps(surveys, "test_accuracy", title, mask=True), out / "figure-3.png"))
        return (
            "\n\n".join([_verdict(groups, middle), write_table([*head, "notebook's gap", "low", "high"], rows), *shown])
            + "\n"
        )

    @staticmethod
    def _curves(
        groups: Mapping[tuple[str, float], list[Run]],
        networks: list[str],
        probabilities: list[float],
        keys: list[str],
        path: Path,
        y_label: str,
    ) -> str:
        drawn = []
        for network in networks:
            for key, style in zip(keys, ("-", ":"), strict=False):
                points = [_statistics(groups[network, p], key) for p in probabilities]
                label = network if len(keys) == 1 else f"{network}, {key.removesuffix('_accuracy')} cells"
                means, deviations = ([pair[k] for pair in points] for k in (0, 1))
                drawn.append(Curve(label, probabilities, means, deviations, COLOURS[network], style))
        return save(draw_curves(drawn, "filling probability", y_label), path)


def _name(network: str, p: float, seed: int) -> str:
    return f"{network}-p{p:g}-{seed}"


def _grouped(runs: Mapping[str, Run]) -> dict[tuple[str, float], list[Run]]:
    groups: dict[tuple[str, float], list[Run]] = {}
    for name, run in runs.items():
        network, p, _ = name.rsplit("-", 2)
        groups.setdefault((network, float(p.removeprefix("p"))), []).append(run)
    return groups


def _statistics(runs: list[Run], key: str) -> tuple[float, float]:
    """Mean and standard deviation over the repetitions."""
    values = [float(run.summary[key]) for run in runs]
    return mean(values), stdev(values) if len(values) > 1 else 0.0


def _verdict(groups: Mapping[tuple[str, float], list[Run]], middle: float) -> str:
    plain, _ = _statistics(groups["plain", middle], "gap")
    normalised, _ = _statistics(groups["batch-norm", middle], "gap")
    if plain < LEFT_PLATEAU:
        return (
            f"At p = {middle:g} the plain network's gap is {plain:.3f}; it did not reach {LEFT_PLATEAU}, so the study "
            "does not count: give it more time."
        )
    return (
        f"At p = {middle:g} the plain network's gap is {plain:.3f}, that with batch normalisation {normalised:.3f}: "
        f"the published order (plain above) {'is found' if plain > normalised else 'is not found'}."
    )


MPO_FIG4 = _RandomMasks()
