"""The interface of kinds of members: how several members of an ensemble are taken from a run."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from lossatlas.ensembles.members import Members
from lossatlas.errors import BadInput
from lossatlas.recipes.ensemble_config import EnsembleConfig
from lossatlas.recipes.problem import ProblemRecipe
from lossatlas.registry import Registry

__all__ = ["MEMBER_KINDS", "AverageKind", "ListedKind", "MemberKind", "PointsKind", "parse_number"]


class MemberKind(ABC):
    """A way to take members from a run, ``RUN@KIND:ARGUMENT``; the kind is the name of its module."""

    form: ClassVar[str]
    """How the argument is written, such as ``[:K]``; empty where there is none."""
    words: ClassVar[str]
    """What the members are, in words."""

    def settle(self, place: str) -> MemberKind:
        """Return the kind for a run, where that depends on what the run made.

        Args:
            place: the path of the run, which need not exist.
        """
        return self


class ListedKind(MemberKind):
    """Members that are networks in files, with running statistics of their own."""

    @abstractmethod
    def list_networks(self, place: str, argument: str) -> list[str]:
        """List the networks, in forms that ``load_networks`` accepts.

        Args:
            place: the path of the run.
            argument: what follows the colon; may be empty.

        Raises:
            BadInput: the run has none, or the argument is not valid.
        """


class AverageKind(ListedKind):
    """An average of the weights of a training: a network that ``RUN@KIND`` names wherever networks are named."""

    def list_networks(self, place: str, argument: str) -> list[str]:
        return [f"{place}@{MEMBER_KINDS.name_of(self)}{':' * bool(argument)}{argument}"]

    @abstractmethod
    def average(self, place: str, argument: str, base: ProblemRecipe) -> tuple[Tensor, str]:
        """Average the weights.

        Args:
            place: the path of the run, or of the folder of a trajectory or of averages.
            argument: what follows the colon; may be empty.
            base: the problem.

        Returns:
            The average (n,), float64, and a note that names what it is made of: running moments or kept snapshots.

        Raises:
            BadInput: the training has none, or the argument is not valid.
        """


class PointsKind(MemberKind):
    """Members that are points of a chart."""

    @abstractmethod
    def find(self, place: str, argument: str, config: EnsembleConfig, base: ProblemRecipe) -> Members:
        """Find the members.

        Args:
            place: the path of the run.
            argument: what follows the colon; may be empty.
            config: the configuration of the ensemble.
            base: the problem; its module keeps its weights.

        Raises:
            BadInput: the run has none, or the argument is not valid.
        """


MEMBER_KINDS: Registry[MemberKind] = Registry("kind of members", "lossatlas.recipes.members")
"""The kinds of members by name."""


def parse_number(spec: str, argument: str, least: int = 1) -> int | None:
    """Parse the number of members in an argument; None where it is empty.

    Args:
        spec: the whole name of the members, for the message.
        argument: what follows the colon.
        least: the smallest number.

    Raises:
        BadInput: it is not a number, or too small.
    """
    if not argument:
        return None
    if not re.fullmatch("[0-9]{1,9}", argument) or int(argument) < least:
        raise BadInput(f"{argument!r} in {spec} is not a number of members; expected a whole number from {least} on")
    return int(argument)
