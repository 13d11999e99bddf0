"""Averages of the weights of a training, from what it averaged itself or from the snapshots that it kept."""

from __future__ import annotations

import os
from pathlib import Path

from lossatlas.averages import Averages, ExponentialAverage, Moments, read_averages
from lossatlas.describing import count_things
from lossatlas.engine.buffers_policy import list_statistics
from lossatlas.errors import BadInput
from lossatlas.files.inside import check_leads_inside
from lossatlas.recipes.held_out import check_held_out
from lossatlas.recipes.problem import ProblemRecipe
from lossatlas.rundir import AVERAGES, MODEL
from lossatlas.schema import AVERAGE_RANK, AVERAGED_FROM
from lossatlas.training import Trajectory
from lossatlas.training.start import load_start
from lossatlas.training.weight_trajectory import WeightTrajectory
from lossatlas.weights import WeightSpace
from lossatlas.weights.files import collect_state, load_state
from lossatlas.weights.loading import check_finite_values

__all__ = ["load_exponential", "load_moments", "place_end"]

DECAY = 0.9
"""The decay per snapshot of an exponential average of snapshots, by default."""


def load_moments(
    run: Path, space: WeightSpace, rank: int = AVERAGE_RANK, begin: float = AVERAGED_FROM
) -> tuple[Moments, str]:
    """Load the moments of a training's weights: those that it collected, or else those of its late snapshots.

    Args:
        run: the run of a training, or a folder of a trajectory or of averages.
        space: the weight space of the network.
        rank: how many deviations are wanted at most, the last ones.
        begin: the share of the steps after which snapshots count; what the training collected has its own.

    Returns:
        The moments, and a note that says of what they are and which rank is held.

    Raises:
        BadInput: there are fewer than two snapshots and no averages, or they are damaged or of another model.
    """
    if (averages := _find_averages(run, space)) is not None:
        moments = _limit(averages.moments, rank)
        _check(moments, run)
        return moments, f"{run}: {moments.source} of {_tell(moments, rank)}"
    late = _find_snapshots(run, space, begin)
    moments = Moments.of((late.vector(index) for index in range(len(late))), rank)
    first, last = late.snapshots[0].step, late.snapshots[-1].step
    return moments, f"{run}: moments of {_tell(moments, rank, 'kept snapshot')}, from step {first:,} to {last:,}"


def load_exponential(
    run: Path, space: WeightSpace, decay: float | None = None, begin: float = AVERAGED_FROM
) -> tuple[ExponentialAverage, str]:
    """Load the exponential average of a training's weights: its own, or else that of its late snapshots.

    Args:
        run: the run of a training, or a folder of a trajectory or of averages.
        space: the weight space of the network.
        decay: the decay, per step where the training averaged and per snapshot otherwise; None takes the training's own
            or 0.9.
        begin: the share of the steps after which snapshots count; what the training averaged has its own.

    Returns:
        The average, and a note that says of what it is.

    Raises:
        BadInput: there are fewer than two snapshots and no average of this decay, or they are damaged or of another
            model.
    """
    averages = _find_averages(run, space)
    own = averages.exponential if averages is not None else None
    if own is not None and decay in (None, own.decay):
        return own, f"{run}: exponential average of {count_things(own.count, 'step')}, decay {own.decay:g} per step"
    try:
        late = _find_snapshots(run, space, begin)
    except BadInput as error:
        if averages is None:
            raise
        if own is None:
            raise BadInput(
                f"{run} holds no exponential average beside its moments, and no snapshots to make one from; train with "
                "--average_decay, or take the mean: @swa"
            ) from error
        raise BadInput(
            f"{run} holds an exponential average of decay {own.decay:g}, and no snapshots to make one of decay "
            f"{decay:g} from; take its own, or train again with another --average_decay"
        ) from error
    average = ExponentialAverage(decay if decay is not None else DECAY)
    for index in range(len(late)):
        average.update(late.vector(index))
    count = count_things(average.count, "kept snapshot")
    return average, f"{run}: exponential average of {count}, decay {average.decay:g} per snapshot"


def place_end(run: Path, base: ProblemRecipe) -> tuple[str, ...]:
    """Load the last network of a training into the module of a problem; returns notes on its file.

    Averages are of the parameters that vary; what else a network needs (parameters that are held, masks) is taken from
    the end of the training. A folder of averages alone has none, and serves where nothing else is needed.

    Raises:
        BadInput: the network does not fit, or there is none and the averages do not say all.
    """
    check_held_out(str(run), base)
    module = base.problem.module
    if (run / MODEL).is_file():
        notes = load_state(module, load_start(str(run)), f"checkpoint {run}")
        for name, parameter in module.named_parameters():
            check_finite_values(name, parameter, f"checkpoint {run}")
        return notes
    if snapshots := Trajectory.of(run).snapshots:
        load_state(module, snapshots[-1].state(), f"the end of {run}")
        return ()
    averaged = {name for entry in base.space.entries for name in entry.names}
    if rest := sorted(collect_state(module).keys() - averaged - list_statistics(module)):
        raise BadInput(
            f"{run} holds averages alone, and not {rest[0]!r}, which is not averaged"
            f"{f' (nor {len(rest) - 1} more)' if len(rest) > 1 else ''}; keep a snapshot beside them, such as the last "
            "network, or name the run of the training"
        )
    return ()


def _find_averages(run: Path, space: WeightSpace) -> Averages | None:
    """Read the averages that a training collected; None where it collected none.

    Raises:
        BadInput: the file is damaged, of another model, or not in the folder.
    """
    if not os.path.lexists(run):
        raise BadInput(
            f"{run} does not exist; name a run of lossatlas train, or a folder of a trajectory or of averages"
        )
    path = run / AVERAGES
    if not os.path.lexists(path):
        return None
    check_leads_inside(path)
    return read_averages(path, space)


def _find_snapshots(run: Path, space: WeightSpace, begin: float) -> WeightTrajectory:
    """Find the snapshots of the last part of a training.

    Raises:
        BadInput: there are fewer than two, or they are of another model.
    """
    if not 0 <= begin < 1:
        raise BadInput(f"{begin} is not a share of the training after which snapshots count; expected one in [0, 1)")
    trajectory = Trajectory.of(run)
    kept = trajectory.snapshots
    trajectory.snapshots = [each for each in kept if each.step >= begin * kept[-1].step]
    if len(trajectory.snapshots) < 2:
        raise BadInput(
            f"an average needs two snapshots or more, and {run} keeps {len(trajectory.snapshots) or 'none'} of the "
            f"last {1 - begin:.0%} of its steps; train it with --average or more --snapshots, or begin earlier"
        )
    return WeightTrajectory(trajectory, space)


def _limit(moments: Moments, rank: int) -> Moments:
    """Limit moments to their last deviations."""
    if rank >= moments.rank:
        return moments
    tensors, count = moments.state()
    limited = Moments(rank)
    limited.source = moments.source
    held = tensors["deviations"]
    limited.restore({**tensors, "deviations": held[len(held) - min(rank, len(held)) :]}, count)
    return limited


def _check(moments: Moments, run: Path) -> None:
    try:
        moments.check()
    except BadInput as error:
        raise BadInput(f"{run}: {error}") from error


def _tell(moments: Moments, rank: int, what: str = "iterate") -> str:
    if not rank:
        return count_things(moments.count, what)
    held = len(moments.deviations)
    asked = f" (of the {rank} asked for)" if held < rank else ""
    return f"{count_things(moments.count, what)}, rank {held}{asked}"
