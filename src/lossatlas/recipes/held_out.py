"""Whether networks were trained on the examples that a problem holds out, as far as their runs tell."""

from __future__ import annotations

import warnings
from pathlib import Path

from lossatlas.errors import BadInput, Caution
from lossatlas.files.reading import Unreadable, resolve_path
from lossatlas.recipes.base import ProblemConfig
from lossatlas.recipes.connect_config import ConnectConfig
from lossatlas.recipes.fit_config import FitConfig
from lossatlas.recipes.inputs import list_networks
from lossatlas.recipes.opened_run import OpenedRun
from lossatlas.recipes.owners import find_owner
from lossatlas.recipes.problem import HeldOut, ProblemRecipe
from lossatlas.recipes.train_config import TrainConfig
from lossatlas.rundir import RunDirectory
from lossatlas.specs import NetworkSpec

__all__ = ["check_held_out"]

SPLIT = "holdout"
TRAINING = (TrainConfig, FitConfig, ConnectConfig)
"""The configurations of the verbs that train on the training examples."""


def check_held_out(place: str | OpenedRun, base: ProblemRecipe) -> None:
    """Refuse a network that was trained on examples that are held out of the problem, where these are evaluated.

    Held-out examples are the first ones of one fixed order, so that a run that held out as many or more of the same
    data has not seen them. What a run started from counts as well.

    Args:
        place: the network, or the run that made a chart.
        base: the problem; nothing is checked where it does not evaluate its held-out examples.

    Raises:
        BadInput: it was trained on them.

    Warns:
        Caution: nothing tells whether it was.
    """
    if base.held_out is not None:
        _check(place, base.held_out, set())


def _check(place: str | OpenedRun, held_out: HeldOut, seen: set[Path]) -> None:
    run, step = (place, "") if isinstance(place, OpenedRun) else _find_run(place)
    if run is None:
        _warn(str(place), "does not belong to a run that tells what it was trained on")
        return
    if (path := resolve_path(run.path)) in seen:
        return
    seen.add(path)
    try:
        config = run.config
    except (BadInput, Unreadable):
        _warn(str(run.path), "cannot be read")
        return
    # The first snapshot is the network before its training.
    if isinstance(config, TRAINING) and not (isinstance(config, TrainConfig) and step.strip("0") == "" != step):
        _check_config(run, config, held_out)
    for spec in list_networks(config.flat()):
        _check(spec, held_out, seen)


def _check_config(run: OpenedRun, config: ProblemConfig, held_out: HeldOut) -> None:
    if (config.data, dict(config.data_options)) != (held_out.data, dict(held_out.options)):
        _warn(str(run.path), f"was trained on other data ({config.data})")
    elif config.holdout < held_out.count:
        held = f"{config.holdout:,} of them" if config.holdout else "none"
        raise BadInput(
            f"{run.path} was trained on examples of the split {SPLIT}: it held out {held} where {held_out.count:,} are "
            f"evaluated; give --holdout {held_out.count} when it is trained, or evaluate it on another split"
        )


def _find_run(spec: str) -> tuple[OpenedRun | None, str]:
    """Find the run that a network belongs to, and the step of a snapshot."""
    named = NetworkSpec.parse(spec)
    owner = find_owner(named)
    return (OpenedRun(owner), named.step) if RunDirectory(owner).is_run else (None, "")


def _warn(name: str, reason: str) -> None:
    warnings.warn(
        f"{name} {reason}: whether it has seen the held-out examples is not known, and if it has, their scores are too "
        "good",
        Caution,
        stacklevel=2,
    )
