"""The weights that a training starts from: of a file, a folder, a finished run, or a snapshot of a trajectory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from lossatlas.errors import BadInput
from lossatlas.rundir import MODEL, SNAPSHOTS, RunDirectory
from lossatlas.specs import NetworkSpec
from lossatlas.training.trajectory import Trajectory
from lossatlas.weights.files import find_weights, read_checkpoint

__all__ = ["load_start"]


def load_start(spec: str) -> Mapping[str, Tensor]:
    """Read the named tensors of the network that ``FILE``, ``FILE#KEY``, ``RUN`` or ``RUN@STEP`` names.

    Args:
        spec: a file of weights, an index of shards or a Hugging Face model folder, each optionally with the key of one
            of several networks in it; a run directory, for its final weights; or a run directory or the folder of a
            trajectory, with the step of a snapshot.

    Raises:
        BadInput: the file, the key or the snapshot is missing.
    """
    named = NetworkSpec.parse(spec)
    path = named.path
    if named.average:
        raise BadInput(
            f"{spec} is an average, whose statistics would have to be estimated; expected weights in a file: name a "
            "run, a snapshot such as RUN@100, or a file"
        )
    if named.step:
        return _snapshot(path, named.step)
    RunDirectory(path).check_format()
    if path.is_dir() and find_weights(path) is None:
        if (path / SNAPSHOTS).is_dir() or path.name == SNAPSHOTS:
            raise BadInput(f"{path} does not hold {MODEL}; name a snapshot, as in {path}@100, or a file of weights")
        raise BadInput(f"{path} does not hold {MODEL}; name a run of lossatlas train, or a file of weights")
    return read_checkpoint(path, named.key)


def _snapshot(path: Path, step: str) -> dict[str, Tensor]:
    trajectory = Trajectory.of(path)
    found = {str(snapshot.step): snapshot for snapshot in trajectory.snapshots}
    if not found:
        raise BadInput(f"{path} does not hold snapshots; train with --snapshots, or start from a file of weights")
    if step not in found:
        steps = list(found)
        listed = ", ".join(steps if len(steps) <= 12 else [*steps[:6], "...", *steps[-5:]])
        raise BadInput(f"{path} does not hold a snapshot of step {step!r}; expected one of {listed}")
    return found[step].state()
