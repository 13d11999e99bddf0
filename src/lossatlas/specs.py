"""Names of networks: a file, one of several networks in a file, a run, a snapshot of a run; and of several at once."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lossatlas.files.reading import check_path

__all__ = ["MemberSpec", "NetworkSpec"]

KEY, STEP = "#", "@"
KIND = re.compile(r"[a-z_]+(?::.*)?", re.DOTALL)
"""What follows the sign where it is not a step: ``swa``, ``ema:0.9``."""


@dataclass(frozen=True)
class NetworkSpec:
    """The network that ``FILE``, ``FILE#KEY``, ``RUN``, ``RUN@STEP`` or ``RUN@AVERAGE`` names.

    Attributes:
        path: The file, the folder or the run.
        key: The dotted path of one of several networks in the file; None where none is chosen.
        step: The step of a snapshot, in digits; empty for the final weights.
        average: An average of the weights of a training, such as ``swa`` or ``ema:0.9``; empty where none is named.
    """

    path: Path
    key: str | None = None
    step: str = ""
    average: str = ""

    @classmethod
    def parse(cls, spec: str) -> Self:
        """Parse the name of a network; the name of an existing path is that path, even if it contains ``#`` or ``@``.

        Raises:
            BadInput: the system cannot say whether there is such a path.

        >>> NetworkSpec.parse("weights.pt#model_ema")
        NetworkSpec(path=PosixPath('weights.pt'), key='model_ema', step='', average='')
        >>> NetworkSpec.parse("runs/a@100").step, NetworkSpec.parse("runs/a@ema:0.9").average
        ('100', 'ema:0.9')
        """
        places = [place for place, sign in enumerate(spec) if sign == KEY]
        run, at, step = spec.rpartition(STEP)
        found = [cls(Path(spec))]
        if at and step.isdecimal():
            found.append(cls(Path(run), step=step))
        elif at and run and KIND.fullmatch(step):
            found.append(cls(Path(run), average=step))
        # File names may contain the sign, too.
        found += [cls(Path(spec[:place]), key=spec[place + 1 :]) for place in reversed(places)]
        chosen = next((one for one in found if os.path.lexists(one.path)), found[min(1, len(found) - 1)])
        check_path(chosen.path)
        return chosen


@dataclass(frozen=True)
class MemberSpec:
    """The members of an ensemble that ``PLACE``, ``PLACE@KIND`` or ``PLACE@KIND:ARGUMENT`` names.

    Attributes:
        place: A single network, or the run that the members are taken from.
        kind: How they are taken from it; empty for a single network.
        argument: What is said of it, such as their number.
    """

    place: str
    kind: str = ""
    argument: str = ""

    @classmethod
    def parse(cls, spec: str) -> Self:
        """Parse the name of members; the name of an existing path is that path.

        >>> MemberSpec.parse("runs/heart@low:20")
        MemberSpec(place='runs/heart', kind='low', argument='20')
        >>> MemberSpec.parse("runs/a@100").kind, MemberSpec.parse("weights.pt#ema").kind
        ('', '')
        """
        found = re.fullmatch(r"(.+)@([a-z_]+)(?::(.*))?", spec, re.DOTALL)
        if found is None or os.path.lexists(spec):
            return cls(spec)
        return cls(found[1], found[2], found[3] or "")
