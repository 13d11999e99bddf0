"""What the page does on request beside evaluating a point: measure curvature, look for breaking points, refine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from dash.development.base_component import Component

from lossatlas.explorer.evaluation.evaluator import Evaluator
from lossatlas.explorer.look import Look, Place
from lossatlas.explorer.queue import Handle
from lossatlas.explorer.subject import Subject
from lossatlas.explorer.thinning import Window
from lossatlas.registry import Registry

__all__ = ["ACTIONS", "Action", "Download", "Request", "list_actions"]


@dataclass(frozen=True)
class Request:
    """What an action is carried out on.

    Attributes:
        subject: The run.
        evaluator: What evaluates its networks.
        place: Where.
        look: What is shown: its split and its sample.
        region: The selected region by axis; None where none is selected.
        snapshot: The number of the snapshot that is marked; None where a point of the chart is.
    """

    subject: Subject
    evaluator: Evaluator
    place: Place
    look: Look
    region: Window | None
    snapshot: int | None = None

    def list_coords(self) -> list[float]:
        """List the coordinates of the place in the order of the chart's axes."""
        return self.subject.list_coords(self.place.at, self.look.sample)

    def choose_split(self) -> str:
        """Choose the split that is shown, or the last one where the run lacks it."""
        splits = list(self.evaluator.run.splits)
        return self.look.split if self.look.split in splits else splits[-1]


@dataclass(frozen=True)
class Download:
    """A file that an action has made; the page hands it out at ``/results/TICKET``.

    Attributes:
        name: Its name, of letters that a header can hold.
        content: The file.
        where: The place that it is of, in words.
    """

    name: str
    content: bytes
    where: str


class Action(ABC):
    """Something that takes long, with progress and a stop button.

    :meth:`carry_out` runs in the thread that evaluates networks, one action at a time, and calls
    :meth:`~lossatlas.explorer.queue.Handle.report` often, which raises where the action is to stop. :meth:`show` makes
    of its result what the page says.
    """

    rank: int = 0
    button: str = ""
    """What its button says."""
    hint: str = ""
    """What it does, in a sentence."""

    def check(self, request: Request) -> None:  # noqa: B027  # most actions can always be tried
        """Refuse a request that cannot be carried out, before it waits for its turn.

        Raises:
            BadInput: what is missing.
        """

    @abstractmethod
    def carry_out(self, request: Request, handle: Handle) -> Any:
        """Do it.

        Raises:
            LossatlasError: it is not possible.
        """

    @abstractmethod
    def show(self, result: Any, ticket: str) -> Component:
        """Make what the page says of the result.

        Args:
            result: what was found.
            ticket: the name under which the result is kept.
        """


ACTIONS: Registry[type[Action]] = Registry("action", "lossatlas.explorer.actions")


def list_actions() -> dict[str, Action]:
    """List all actions by name, in the order of their ranks."""
    made = {name: ACTIONS[name]() for name in ACTIONS}
    return dict(sorted(made.items(), key=lambda item: item[1].rank))
