"""What it cost to train networks and to fit charts, as far as their runs tell."""

from __future__ import annotations

from pathlib import Path

from lossatlas.ensembles.members import Cost, Effort
from lossatlas.errors import BadInput
from lossatlas.files.reading import Unreadable, resolve_path
from lossatlas.recipes.connect_config import ConnectConfig
from lossatlas.recipes.fit_config import FitConfig
from lossatlas.recipes.inputs import list_networks
from lossatlas.recipes.opened_run import OpenedRun
from lossatlas.recipes.options import check_options
from lossatlas.recipes.owners import find_owner
from lossatlas.recipes.survey_config import SurveyConfig
from lossatlas.recipes.train_config import TrainConfig
from lossatlas.rundir import MEMBERS, SNAPSHOTS, RunDirectory
from lossatlas.schedules import SCHEDULES
from lossatlas.specs import NetworkSpec

__all__ = ["find_cost", "measure_run"]

UNTOLD = (BadInput, Unreadable, ValueError, KeyError, TypeError, ArithmeticError)
"""The errors of records that cannot be read, which tell nothing."""


def find_cost(spec: str) -> Cost:
    """Find what it cost to make a network: the training that it comes from, and what that started from.

    Args:
        spec: the network, in a form that ``load_networks`` accepts.

    Returns:
        The cost, of an average that of the whole training; unknown for a file that does not belong to a training.
    """
    try:
        named = NetworkSpec.parse(spec)
        owner, folder = find_owner(named), named.path.parent.name
        if not RunDirectory(owner).is_run:
            return Cost()
        run, step = OpenedRun(owner), int(named.step) if named.step else None
        if folder == MEMBERS:
            step = _find_member_step(run, named.path)
            return _measure_training(run, step) if step is not None else Cost()
        return _measure_training(run, int(named.path.stem) if folder == SNAPSHOTS else step)
    except UNTOLD:
        return Cost()


def measure_run(run: OpenedRun) -> Cost:
    """Measure what it cost to make the chart of a run, with all networks that it names.

    Returns:
        The cost; unknown where the run does not record it, or that of a network that it names is not.
    """
    try:
        maker = run.maker
        config, own = maker.config, Cost({})
        if isinstance(config, FitConfig | ConnectConfig):
            summary = maker.summary
            effort = Effort(int(summary["steps"]), int(summary["training_passes"]))
            own = Cost({str(resolve_path(maker.path)): effort})
        elif not isinstance(config, SurveyConfig):
            return Cost()
        return Cost.join([own, *map(find_cost, list_networks(config.flat()))])
    except UNTOLD:
        return Cost()


def _measure_training(run: OpenedRun, step: int | None) -> Cost:
    """Measure a training until a step, or to its end, with what it started from."""
    config = run.config
    if not isinstance(config, TrainConfig):
        return Cost()
    steps = int(run.summary["steps"]) if step is None else step
    own = Cost({str(resolve_path(run.path)): Effort(steps, steps * int(config.batch_size or 0))})
    return Cost.join([own, find_cost(config.init_from)]) if config.init_from is not None else own


def _find_member_step(run: OpenedRun, file: Path) -> int | None:
    """Find the step of a member by the number in its name; None where the run did not keep such a member."""
    config = run.config
    if not isinstance(config, TrainConfig):
        return None
    schedule = SCHEDULES[config.schedule](**check_options("schedule", config.schedule, config.schedule_options))
    return dict(enumerate(schedule.list_members(int(run.summary["steps"])))).get(int(file.stem))
