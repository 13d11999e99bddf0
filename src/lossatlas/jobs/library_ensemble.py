"""Ensembles from Python: members in, scores out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import torch
import xarray as xr
from torch import nn

from lossatlas.data import Split
from lossatlas.engine.memory import find_memory_limit
from lossatlas.ensembles.members import Members
from lossatlas.errors import BadInput
from lossatlas.exchange.ensemble import ENSEMBLE
from lossatlas.exchange.netcdf import encode_netcdf
from lossatlas.files.writing import write_atomically
from lossatlas.jobs.ensemble_evaluation import EnsembleEvaluation
from lossatlas.jobs.given import Network, assemble, check_splits, configure, find_folder, name_states, warn_of
from lossatlas.jobs.results import Ensemble
from lossatlas.problem import Problem
from lossatlas.progress import show_progress
from lossatlas.recipes.ensemble import build_ensemble
from lossatlas.recipes.ensemble_config import EnsembleConfig
from lossatlas.recipes.networks import keep_module
from lossatlas.training import HeldTrajectory, Trajectory
from lossatlas.training.trajectory import Recording
from lossatlas.types import Params, Source

__all__ = ["ensemble"]

Member: TypeAlias = Network | Members | Recording[Any] | str
"""What may be a member, or several."""


def ensemble(
    problem: Problem,
    splits: Mapping[str, Split | Source],
    members: Mapping[str, Member] | Sequence[Member] | Member,
    *,
    split: str | None = None,
    path: Path | str | None = None,
    progress: bool | None = None,
    **settings: Any,
) -> Ensemble:
    """Score the average of what many networks predict, against their number.

    Args:
        problem: module, loss and feed. Its module has the members' architecture, and its weights are restored.
        splits: the examples by name, in any form that :meth:`Split.of` takes: ``train``, from which running statistics
            are re-estimated where members have none of their own, and optionally ``test`` and ``holdout``.
        members: in their order, by name or in a sequence: networks (modules, or parameters and buffers by name), points
            of charts (:class:`Members`), trajectories, of which all snapshots but the first count, and names as on the
            command line, such as ``"runs/a"`` and ``"runs/heart@low:20"``.
        split: the name of the split on which they are scored; by default ``test``, else ``holdout``, else ``train``.
        path: a folder for ``ensemble.nc``; None keeps the data in memory.
        progress: whether to show the progress; None shows it after two seconds, in a notebook or on a terminal.
        settings: options of ``lossatlas ensemble``, such as ``pairs=False``, ``greedy=False`` or ``sizes=(1, 10)``.

    Returns:
        The data: scores against the number of members with standard errors, raw and with a temperature, in the given
        and in greedy order; diversity, reliability and cost. :class:`lossatlas.schema.InEnsemble` names them.

    Raises:
        BadInput: a setting is unknown, members, problem and examples do not fit together, or there are too few members
            or examples.

    >>> import torch, lossatlas as la
    >>> networks = [torch.nn.Linear(4, 2) for _ in range(3)]
    >>> problem = la.Problem(networks[0], la.CrossEntropy())
    >>> examples = torch.randn(64, 4), torch.randint(2, (64,))
    >>> found = la.ensemble(problem, {"train": examples, "test": examples}, networks)
    >>> found["nll"].dims, found["count"].values.tolist()
    (('count',), [1, 2, 3])
    """
    if not isinstance(problem, Problem):
        raise BadInput(f"problem is of type {type(problem).__name__}; expected la.Problem(module, loss)")
    if not isinstance(splits, Mapping):
        raise BadInput(f"splits are of type {type(splits).__name__}; expected examples by name, {{'train': examples}}")
    check_splits(splits)
    if "against" in settings:
        raise BadInput("against is not a setting in Python; give both ensembles to la.compare_ensembles")
    names, states, points = _name_members(members)
    if split is None:
        split = next(name for name in ("test", "holdout", "train") if name in splits)
    elif split not in splits:
        raise BadInput(f"{split!r} is not one of the splits; expected {' or '.join(splits)}")
    config = configure(EnsembleConfig, {**settings, "splits": split}, splits, members=tuple(names))
    folder = find_folder(path)
    # Beside the result where it is kept, since temporary folders may be memory.
    scratch_in = folder if folder is not None and folder.is_dir() else None
    with (
        show_progress(progress) as reporter,
        keep_module(problem.module),
        TemporaryDirectory(prefix=".predictions-", dir=scratch_in) as scratch,
    ):
        base = assemble(problem, splits, config.parameters, config.device, states)
        recipe = build_ensemble(config, base, points)
        warn_of(recipe.notes)
        evaluation = EnsembleEvaluation(recipe, [config.plan])
        mapped = evaluation.prediction_bytes > find_memory_limit(config.memory, torch.device("cpu"))
        predictions = evaluation.hold_predictions(Path(scratch) / "predictions" if mapped else None)
        for done in evaluation.gather(predictions):
            reporter.progress("members", done / len(predictions), {})
        data = evaluation.score(predictions, partial(_report, reporter))
    if folder is not None:
        write_atomically(folder / ENSEMBLE, encode_netcdf(data), folders=True)
    return _let_show(data)


def _name_members(members: Any) -> tuple[list[str], dict[str, Params], dict[str, Members]]:
    """Name members in their order, as a configuration does.

    Returns:
        The names, the networks in memory by name, and the points of charts by name.

    Raises:
        BadInput: a member is of another type.
    """
    alone = isinstance(members, Members | str | Recording | nn.Module)
    named: Mapping[str, Any]
    if not alone and isinstance(members, Mapping):
        named = members
    elif alone or (isinstance(members, Sequence) and not isinstance(members, bytes)):
        each = [members] if alone else [*members]
        named = {f"member {k + 1}": one for k, one in enumerate(each)}
    else:
        raise BadInput(
            f"members are of type {type(members).__name__}; expected networks, points of charts, trajectories or names"
        )
    names: list[str] = []
    states: dict[str, Params] = {}
    points: dict[str, Members] = {}
    for name, one in named.items():
        if isinstance(one, str | Path):
            names.append(str(one))
        elif isinstance(one, Trajectory):
            names.append(f"{one.path}@snapshots")
        elif isinstance(one, HeldTrajectory):
            later = {f"{name}, step {each.step}": each.state() for each in one.snapshots if each.step > 0}
            states |= name_states(later)
            names += later
        elif isinstance(one, Members):
            points[name] = one
            names.append(name)
        else:
            states |= name_states({name: one})
            names.append(name)
    return names, states, points


def _report(reporter: Any, share: float) -> None:
    reporter.progress("scores", share, {})


def _let_show(data: xr.Dataset) -> Ensemble:
    """Give the data the form that notebooks show with a card."""
    return Ensemble(coords=data.coords).assign(data.data_vars).assign_attrs(data.attrs)
