"""``RUN@members``: what a cyclic schedule left where its rate was lowest, or what was fitted together on one chart."""

from __future__ import annotations

from pathlib import Path
from typing import final

from lossatlas.ensembles.members import Members
from lossatlas.errors import BadInput
from lossatlas.files.inside import check_inside
from lossatlas.recipes.ensemble_config import EnsembleConfig
from lossatlas.recipes.fit_config import FitConfig
from lossatlas.recipes.member_kind import ListedKind, MemberKind, PointsKind, parse_number
from lossatlas.recipes.member_points import find_low_cells, take_points
from lossatlas.recipes.opened_run import OpenedRun
from lossatlas.recipes.problem import ProblemRecipe
from lossatlas.rundir import MEMBERS as FOLDER, RunDirectory

__all__ = ["MEMBERS"]

PATTERN = "members"
"""The picture of a fit whose low cells are members, as in ``members:16``."""


class _Taken:
    """How members are named, whatever made them."""

    form = "[:K]"
    words = (
        "the members of a cyclic schedule (fge, warm_restarts, swa_cyclic, cyclic) or of a fit of --pattern members:N, "
        "or the last K of them"
    )


@final
class _Fitted(_Taken, PointsKind):
    """Members that were fitted together on one chart."""

    def find(self, place: str, argument: str, config: EnsembleConfig, base: ProblemRecipe) -> Members:
        run, chart, coords = find_low_cells(place, base)
        return take_points(run, chart, coords[-_count(place, argument, len(coords)) :], base)


@final
class _Members(_Taken, ListedKind):
    """Members that a training left in files."""

    def settle(self, place: str) -> MemberKind:
        if not RunDirectory(Path(place)).is_run:
            return self
        config = OpenedRun(Path(place)).maker.config
        fitted = isinstance(config, FitConfig) and config.pattern.partition(":")[0] == PATTERN
        return _Fitted() if fitted else self

    def list_networks(self, place: str, argument: str) -> list[str]:
        RunDirectory(Path(place)).check("name a run of lossatlas train with a cyclic schedule")
        folder = Path(place) / FOLDER
        if folder.is_dir():
            check_inside(folder)
        found = sorted(str(path) for path in folder.glob("[0-9]*.safetensors"))
        if not found:
            raise BadInput(
                f"{place} does not hold members; train with a cyclic schedule, such as --schedule fge, fit --pattern "
                "members:N, or name its snapshots"
            )
        return found[-_count(place, argument, len(found)) :]


def _count(place: str, argument: str, held: int) -> int:
    """Parse how many members are taken, by default all that are held.

    Raises:
        BadInput: there are fewer, or the argument is not a number.
    """
    spec = f"{place}@members{':' * bool(argument)}{argument}"
    count = parse_number(spec, argument)
    if count is not None and count > held:
        raise BadInput(f"{place} holds {held} members and {spec} names {count}; name fewer")
    return count if count is not None else held


MEMBERS = _Members()
