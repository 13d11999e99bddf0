"""A small run of each verb, on networks that were trained beforehand, with as many kinds of files as there are."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from torch import nn

import lossatlas as la
from lossatlas.jobs.compare import run_compare
from lossatlas.jobs.connect import run_connect
from lossatlas.jobs.curvature import run_curvature
from lossatlas.jobs.ensemble import run_ensemble
from lossatlas.jobs.fit import run_fit
from lossatlas.jobs.survey import run_survey
from lossatlas.jobs.train import run_train
from lossatlas.recipes import (
    CompareConfig,
    Config,
    ConnectConfig,
    EnsembleConfig,
    FitConfig,
    SpectraConfig,
    SurveyConfig,
    TrainConfig,
)
from lossatlas.reproduce import Run, Study
from lossatlas.reproduce.run import run_study

__all__ = ["VERBS", "begun", "prepared"]

NETWORK: dict[str, Any] = {"model_options": {"hidden": (6,)}, "device": "cpu"}
NORMALISED: dict[str, Any] = {
    "model": "conv",
    "model_options": {"channels": (2,), "hidden": 4, "batch_norm": True, "max_pool": False},
    "device": "cpu",
}
TRAINING = TrainConfig(**NETWORK, epochs=1, batch_size=300, optimizer="adam,lr=0.01", snapshots="step:2")
STEPS = 8
"""Of the loop of somebody else."""


def prepared(inputs: Path) -> None:
    """Train the networks that runs are made of."""
    for seed in range(2):
        run_train(TrainConfig(**{**vars(TRAINING), "seed": seed}), inputs / f"net{seed}", resume=True)
    trunk = TrainConfig(**NORMALISED, epochs=1, batch_size=300, snapshots="step:2")
    run_train(trunk, inputs / "trunk", resume=True)


def begun(verb: str, run: Path) -> bool:
    """Whether there is a run that a kill can fall into."""
    return (run / ("way/index.jsonl" if verb == "loop" else "provenance.json")).is_file()


def fit(run: Path, inputs: Path, pictures: bool) -> None:
    config = FitConfig(
        pattern="heart", size="18x5", steps=6, **NETWORK, cells=4, batch_size=32, examples="20", padding=1, plan="loop",
        coarse=(0.7,), shares=(0.5, 0.5),
    )  # fmt: skip
    run_fit(config, run, resume=True, checkpoint_seconds=0, pictures=pictures)


def train(run: Path, inputs: Path, pictures: bool) -> None:
    """From a branch, with augmentation, cycles whose members are kept, and snapshots by distance."""
    config = TrainConfig(
        **NORMALISED, epochs=2, batch_size=300, init_from=f"{inputs / 'trunk'}@2", augment=("crop",),
        schedule="cyclic", schedule_options={"cycles": 2}, snapshots="distance:0.2",
        optimizer="torch.optim.ASGD,lr=0.05",
    )  # fmt: skip
    run_train(config, run, resume=True, checkpoint_seconds=0)


def survey(run: Path, inputs: Path, pictures: bool) -> None:
    """Around a way, on more tiles than one, of two groups of metrics."""
    config = SurveyConfig(
        **NETWORK, trajectory=str(inputs / "net0"), grid=(18, 5), examples="20", plan="loop", splits=("test", "train"),
        metrics=("loss", "gradient_norm"),
    )  # fmt: skip
    run_survey(config, run, resume=True, pictures=pictures)


def connect(run: Path, inputs: Path, pictures: bool) -> None:
    config = ConnectConfig(
        **NETWORK, between=(str(inputs / "net0"), str(inputs / "net1")), steps=4, batch_size=64, grid=(5,), plane=3,
        examples="20", plane_examples="20", plan="loop",
    )  # fmt: skip
    run_connect(config, run, resume=True, checkpoint_seconds=0, pictures=pictures)


def compare(run: Path, inputs: Path, pictures: bool) -> None:
    config = CompareConfig(
        runs=(str(inputs / "net0"), str(inputs / "net1")), grid=(3,), line=5, slice_points=5, repeats=1, examples="20",
        plan="loop",
    )  # fmt: skip
    run_compare(config, run, resume=True, pictures=pictures)


def curvature(run: Path, inputs: Path, pictures: bool) -> None:
    """Along a trajectory, where snapshots start from what the one before left."""
    config = SpectraConfig(**NETWORK, trajectory=str(inputs / "net0"), examples="60", memory="500MB")
    run_curvature(config, run, resume=True, pictures=pictures)


def spectra(run: Path, inputs: Path, pictures: bool) -> None:
    """Of two networks, with slices along their eigenvectors, on a further sample and layer by layer."""
    config = SpectraConfig(
        **NETWORK, networks=tuple(str(inputs / name) for name in ("net0", "net1")), examples="60", memory="500MB",
        top=2, bottom=2, probes=1, density_steps=6, subsets=1, per_layer=True, metrics=("loss", "hessian_ratio"),
    )  # fmt: skip
    run_curvature(config, run, resume=True, pictures=pictures)


def ensemble(run: Path, inputs: Path, pictures: bool) -> None:
    """Of networks and of an average, which have statistics of other kinds."""
    config = EnsembleConfig(
        **NORMALISED, members=(f"{inputs / 'trunk'}@snapshots", f"{inputs / 'trunk'}@swag:3"), examples="60",
        plan="loop", average_from=0.0, halvings=0,
    )  # fmt: skip
    run_ensemble(config, run, resume=True, pictures=pictures)


class Tiny(Study):
    """A training and a survey around what it trained, with a picture of its own."""

    title = "A network and a line through it"

    def runs(self, scale: str) -> Mapping[str, Config]:
        around = SurveyConfig(
            **NETWORK, checkpoint="net", directions=("random",), grid=(5,), examples="20", plan="loop"
        )
        return {"net": TRAINING, "line": around}

    def results(self, runs: Mapping[str, Run], out: Path) -> str:
        figure, axes = plt.subplots()
        axes.plot(runs["line"].survey["test_loss"])
        figure.savefig(out / "line.png")
        plt.close(figure)
        return f"{runs['net'].summary['steps']} steps"


def reproduce(run: Path, inputs: Path, pictures: bool) -> None:
    run_study(Tiny(), "small", run, plan="loop", device="cpu", resume=True)


def loop(run: Path, inputs: Path, pictures: bool) -> None:
    """A loop of somebody else, who keeps his own checkpoint and records a trajectory."""
    torch.manual_seed(0)
    images, labels = torch.randn(30, 4), torch.randint(3, (30,))
    model, own = nn.Linear(4, 3), run / "own.pt"
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run.mkdir(exist_ok=True)
    first = 0
    if own.exists():
        state = torch.load(own)
        model.load_state_dict(state["model"])
        first = state["step"]
    trajectory = la.Trajectory(run / "way", la.Thinning(steps=2))
    trajectory.cut(first - 1)
    for step in range(first, STEPS):
        loss = nn.functional.cross_entropy(model(images), labels)
        trajectory.record(model, step, loss=loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        content = io.BytesIO()
        torch.save({"model": model.state_dict(), "step": step + 1}, content)
        (run / "own.new").write_bytes(content.getvalue())
        os.replace(run / "own.new", own)
    trajectory.cut(STEPS - 1)
    trajectory.keep(model, STEPS)


VERBS: dict[str, Callable[[Path, Path, bool], None]] = {
    "fit": fit, "train": train, "survey": survey, "connect": connect, "compare": compare, "curvature": curvature,
    "spectra": spectra, "ensemble": ensemble, "reproduce": reproduce, "loop": loop,
}  # fmt: skip
"""From where a run goes, where the networks are, and whether pictures are drawn to the run, begun or continued."""
