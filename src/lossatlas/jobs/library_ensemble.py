"""Ensembles from Python: members in, scores out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import xarray as xr

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
from lossatlas.types import Source

__all__ = ["ensemble"]


def ensemble(
    problem: Problem,
    splits: Mapping[str, Split | Source],
    members: Mapping[str, Network] | Sequence[Network | Members] | Members,
    *,
    path: Path | str | None = None,
    progress: bool | None = None,
    **settings: Any,
) -> Ensemble:
    """Score the average of what many networks predict, against their number.

    Args:
        problem: module, loss and feed. Its module has the members' architecture, and its weights are restored.
        splits: the examples by name, in any form that :meth:`Split.of` takes: ``train``, from which running statistics
            are re-estimated where members have none of their own, and optionally ``test``, on which they are scored.
        members: networks (modules, or parameters and buffers by name), by name or in a sequence; or
            :class:`Members`, points of charts; or both in a sequence, of which networks come first.
        path: a folder for ``ensemble.nc``; None keeps the data in memory.
        progress: whether to show the progress; None shows it after two seconds, in a notebook or on a terminal.
        settings: options of ``lossatlas ensemble``, such as ``pairs=False``, ``greedy=False`` or ``splits="train"``.

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
    given = [members] if isinstance(members, Members) else members
    if not isinstance(given, Mapping | Sequence) or isinstance(given, str):
        raise BadInput(f"members are of type {type(members).__name__}; expected networks, or points of charts")
    points = [] if isinstance(given, Mapping) else [each for each in given if isinstance(each, Members)]
    networks = given if isinstance(given, Mapping) else [each for each in given if not isinstance(each, Members)]
    states = name_states(networks, "member")
    if "test" not in splits:
        settings = {"splits": "train", **settings}
    config = configure(EnsembleConfig, settings, splits, members=tuple(states))
    folder = find_folder(path)
    with show_progress(progress) as reporter, keep_module(problem.module), TemporaryDirectory() as scratch:
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


def _report(reporter: Any, share: float) -> None:
    reporter.progress("scores", share, {})


def _let_show(data: xr.Dataset) -> Ensemble:
    """Give the data the form that notebooks show with a card."""
    return Ensemble(coords=data.coords).assign(data.data_vars).assign_attrs(data.attrs)
