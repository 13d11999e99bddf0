"""``RUN@members``: the networks that a cyclic schedule left where its rate was lowest."""

from __future__ import annotations

from pathlib import Path
from typing import final

from lossatlas.errors import BadInput
from lossatlas.files.inside import check_inside
from lossatlas.recipes.member_kind import ListedKind, parse_number
from lossatlas.rundir import MEMBERS as FOLDER, RunDirectory

__all__ = ["MEMBERS"]


@final
class _Members(ListedKind):
    form = "[:K]"
    words = "the members of a cyclic schedule (fge, warm_restarts, swa_cyclic, cyclic), or the last K of them"

    def list_networks(self, place: str, argument: str) -> list[str]:
        spec = f"{place}@members{':' * bool(argument)}{argument}"
        count = parse_number(spec, argument)
        RunDirectory(Path(place)).check("name a run of lossatlas train with a cyclic schedule")
        folder = Path(place) / FOLDER
        if folder.is_dir():
            check_inside(folder)
        found = sorted(str(path) for path in folder.glob("[0-9]*.safetensors"))
        if not found:
            raise BadInput(
                f"{place} does not hold members; train it with a cyclic schedule, such as --schedule fge, or name its "
                "snapshots"
            )
        if count is not None and count > len(found):
            raise BadInput(f"{place} holds {len(found)} members and {spec} names {count}; name fewer")
        return found[-count:] if count is not None else found


MEMBERS = _Members()
