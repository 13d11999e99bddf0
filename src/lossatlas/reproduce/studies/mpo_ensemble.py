"""Ensembles from one plane: low cells of a fitted picture, and planes whose members are made to disagree."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any, final

from lossatlas.exchange.ensemble import read_ensemble
from lossatlas.recipes import Config, FitConfig, TrainConfig
from lossatlas.reproduce.drawing import write_table
from lossatlas.reproduce.studies._ensembles import configure_scores, draw_ways, score_at, tabulate, write_spread
from lossatlas.reproduce.study import Run, Study
from lossatlas.schema import InEnsemble

__all__ = ["MPO_ENSEMBLE"]

RATE = 5e-3
"""The learning rate of the planes, and of the network that they are compared with."""
NETWORKS: dict[str, dict[str, Any]] = {"plain": {}, "batch-norm": {"batch_norm": True}}
PUBLISHED = {"plain": (0.859, 0.893), "batch-norm": (0.855, 0.904)}
"""Test accuracies of one member and of 31 (with batch normalisation 51), read off the authors' notebook, on its first
1,000 test images; see its repository beside arXiv 1910.03867."""
LOW = 31
MEMBERS = 16
CORRELATIONS = (0.0, 0.1, 0.3, 1.0)
"""The weights of the mean product of members' errors; which is best is decided on held-out training images."""
CELLS, BATCH = 8, 32
"""Members and examples of each step."""
APART = "apart"
"""The plane without the term whose scale is held, since nothing keeps a trained one from falling to zero."""
HOLDOUT = 5000
SEEDS = 3
CHANNELS, WIDER = (8, 32, 64), (14, 56, 111)
"""Of the network, and of one with about three times its parameters."""


@final
class _Planes(Study):
    title = "Skorokhodov & Burtsev 2019: ensembles of low cells of a plane, and decorrelated planes (Rosen 1996)"

    def runs(self, scale: str) -> Mapping[str, Config]:
        small, found = scale == "small", dict[str, Config]()
        for name, options in NETWORKS.items():
            fit = FitConfig(
                pattern="heart", size="20" if small else "50", padding=1, data="fashion_mnist", model="conv",
                model_options=options, steps=800 if small else 11_800, cells=12 if small else 50,
                batch_size=32 if small else 512, splits=("test",), examples="500", optimizer="adam",
                clip="example", boundary_only=False,
                lr=RATE, scale_lr=RATE, coarse=(0.3, 0.6),
            )  # fmt: skip
            found[f"heart-{name}"] = fit
            found[f"heart-{name}-scores"] = configure_scores(fit, [f"heart-{name}@low:{LOW}"])
        steps = 600 if small else 20_000
        for seed in range(SEEDS):
            for weight in (*CORRELATIONS, APART):
                name = f"plane-{weight}-{seed}"
                fit = _configure_plane(weight, seed, steps)
                found[name] = fit
                for split in ("holdout", "test"):
                    found[f"{name}-{split}"] = configure_scores(fit, [f"{name}@low"], splits=(split,), greedy=False)
            wide = _configure_wide(seed, steps)
            found[f"wide-{seed}"] = wide
            found[f"wide-{seed}-test"] = configure_scores(
                wide, [f"wide-{seed}", f"wide-{seed}@0"], greedy=False, pairs=False
            )
        return found

    def results(self, runs: Mapping[str, Run], out: Path) -> str:
        rows = []
        for name, (one, all_) in PUBLISHED.items():
            data = read_ensemble(runs[f"heart-{name}-scores"].path)
            alone, joined = 1 - float(data[InEnsemble.of_member("error")].mean()), 1 - float(data["error"].values[-1])
            rows.append([name, alone, joined, joined - alone, one, all_])
        head = ["network", "mean member", f"{LOW} low cells", "gain", "notebook, one", "notebook, ensemble"]
        chosen = [_choose(runs, seed) for seed in range(SEEDS)]
        ways: dict[str, list[tuple[Run, int | None]]] = {
            f"plane, λ = {weight:g}": [(runs[f"plane-{weight}-{seed}-test"], None) for seed in range(SEEDS)]
            for weight in CORRELATIONS
        }
        ways |= {
            "plane, λ = 0, scale held": [(runs[f"plane-{APART}-{seed}-test"], None) for seed in range(SEEDS)],
            "plane, λ chosen on held-out images": [
                (runs[f"plane-{weight}-{seed}-test"], None) for seed, weight in enumerate(chosen)
            ],
            "one network of 3 n": [(runs[f"wide-{seed}-test"], 1) for seed in range(SEEDS)],
        }
        shown = draw_ways({way: same[0] for way, same in ways.items()}, out)
        apart = [
            [name, *(write_spread([float(run.summary[key]) for run in same], 3) for key, same in found.items())]
            for name, found in _list_distances(runs).items()
        ]
        spread = write_table(["plane", "scale at the end", "members disagree"], apart)
        steps = {
            "plane, λ = 0": _cost(runs, f"plane-{CORRELATIONS[0]}"),
            "plane, λ > 0": _cost(runs, *(f"plane-{weight}" for weight in CORRELATIONS if weight)),
            "one network of 3 n": _cost(runs, "wide"),
        }
        costs = write_table(["way", "ms per step"], [[name, f"{1e3 * seconds:.1f}"] for name, seconds in steps.items()])
        return (
            "\n\n".join([write_table(head, rows), _judge(ways, chosen), tabulate(ways), spread, costs, *shown]) + "\n"
        )


def _list_distances(runs: Mapping[str, Run]) -> dict[str, dict[str, list[Run]]]:
    """List by plane the runs whose summaries say how far apart its members are."""
    return {
        f"λ = {weight:g}" if isinstance(weight, float) else "λ = 0, scale held": {
            "scale": [runs[f"plane-{weight}-{seed}"] for seed in range(SEEDS)],
            "mean_disagreement": [runs[f"plane-{weight}-{seed}-test"] for seed in range(SEEDS)],
        }
        for weight in (*CORRELATIONS, APART)
    }


def _configure_plane(weight: float | str, seed: int, steps: int) -> FitConfig:
    """Configure a plane whose members are decorrelated with a weight, or held apart without it."""
    return FitConfig(
        pattern=f"members:{MEMBERS}", decorrelation=0.0 if isinstance(weight, str) else weight,
        optimizer="adam", lr=RATE, scale_lr=1e-9 if weight == APART else RATE, data="fashion_mnist", model="conv",
        model_options={"channels": CHANNELS}, steps=steps, cells=CELLS, batch_size=BATCH, splits=("test",),
        examples="500", seed=seed, holdout=HOLDOUT, padding=1,
    )  # fmt: skip


def _configure_wide(seed: int, steps: int) -> TrainConfig:
    """Configure one network of about three times the parameters, with as many passes and the optimiser of a fit."""
    batch = BATCH * CELLS
    plane = _configure_plane(0.0, seed, steps)
    betas = ",".join(map(str, plane.betas))
    return TrainConfig(
        data="fashion_mnist", model="conv", model_options={"channels": WIDER, "hidden": 220},
        optimizer=f"adam,betas=({betas})", lr=RATE, schedule=plane.schedule, batch_size=batch,
        epochs=steps * batch / (60_000 - HOLDOUT), seed=seed, holdout=HOLDOUT,
    )  # fmt: skip


def _choose(runs: Mapping[str, Run], seed: int) -> float:
    """Choose the weight with the lowest negative log-likelihood on held-out training images."""
    return min(CORRELATIONS, key=lambda weight: score_at(runs[f"plane-{weight}-{seed}-holdout"], "nll"))


def _cost(runs: Mapping[str, Run], *names: str) -> float:
    """The mean seconds of a step."""
    return mean(float(runs[f"{name}-{seed}"].summary["seconds_per_step"]) for name in names for seed in range(SEEDS))


def _judge(ways: Mapping[str, list[tuple[Run, int | None]]], chosen: list[float]) -> str:
    """State in words what the numbers say of decorrelated planes."""
    found = {way: [score_at(run, "nll", count) for run, count in same] for way, same in ways.items()}
    mine = found["plane, λ chosen on held-out images"]

    def compare(way: str) -> str:
        gains = [other - own for own, other in zip(mine, found[way], strict=True)]
        words = "lower" if min(gains) > 0 else "higher" if max(gains) < 0 else "not consistently different"
        return (
            f"against '{way}' ({write_spread(found[way])}) it is {words} in the three seeds, by {write_spread(gains)}"
        )

    others = ("plane, λ = 0", "plane, λ = 0, scale held", "one network of 3 n")
    return (
        f"Negative log-likelihoods with a temperature on the test images. A decorrelated plane, with λ = "
        f"{', '.join(f'{weight:g}' for weight in chosen)} chosen on {HOLDOUT:,} held-out training images, has "
        f"{write_spread(mine)}; {'; '.join(map(compare, others))}."
    )


MPO_ENSEMBLE = _Planes()
