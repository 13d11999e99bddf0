"""How a network is named: a file, one of several networks in it, a run, or a snapshot of one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lossatlas.files.reading import check_path

__all__ = ["NetworkSpec"]

KEY, STEP = "#", "@"


@dataclass(frozen=True)
class NetworkSpec:
    """What ``FILE``, ``FILE#KEY``, ``RUN`` or ``RUN@STEP`` names.

    Attributes:
        path: of the file, the folder or the run.
        key: which network of those in the file: the dotted path of its tensors; None where nobody chooses.
        step: of a snapshot, in digits; empty: the final weights.
    """

    path: Path
    key: str | None = None
    step: str = ""

    @classmethod
    def parse(cls, spec: str) -> Self:
        """Read a name; a path that exists as it stands is that path, whatever signs are in it.

        Raises:
            BadInput: the system does not say whether there is such a path.

        >>> NetworkSpec.parse("weights.pt#model_ema")
        NetworkSpec(path=PosixPath('weights.pt'), key='model_ema', step='')
        >>> NetworkSpec.parse("runs/a@100").step
        '100'
        """
        places = [place for place, sign in enumerate(spec) if sign == KEY]
        run, at, step = spec.rpartition(STEP)
        found = [cls(Path(spec))]
        if at and step.isdecimal():
            found.append(cls(Path(run), step=step))
        # Names of files may have the sign, too.
        found += [cls(Path(spec[:place]), key=spec[place + 1 :]) for place in reversed(places)]
        chosen = next((one for one in found if os.path.lexists(one.path)), found[min(1, len(found) - 1)])
        check_path(chosen.path)
        return chosen
