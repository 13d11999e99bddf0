"""``RUN@snapshots:K``: snapshots of a trajectory."""

from __future__ import annotations

from pathlib import Path
from typing import final

from lossatlas.errors import BadInput
from lossatlas.recipes.member_kind import ListedKind, parse_number
from lossatlas.training import Trajectory

__all__ = ["SNAPSHOTS"]


@final
class _Snapshots(ListedKind):
    form = "[:K]"
    words = "the last K snapshots of a training or of the folder of a trajectory, or all but the first"

    def list_networks(self, place: str, argument: str) -> list[str]:
        spec = f"{place}@snapshots{':' * bool(argument)}{argument}"
        count = parse_number(spec, argument)
        steps = [snapshot.step for snapshot in Trajectory.of(Path(place)).snapshots]
        if not steps:
            raise BadInput(f"{place} does not hold snapshots; train with --snapshots, or name networks")
        if count is not None and count > len(steps):
            raise BadInput(f"{place} holds {len(steps)} snapshots and {spec} names {count}; name fewer")
        # The first snapshot is the network before its training.
        chosen = steps[-count:] if count is not None else steps[steps[0] == 0 :] or steps
        return [f"{place}@{step}" for step in chosen]


SNAPSHOTS = _Snapshots()
