"""What a window asks to see: quantity, scale, sample and window, checked against what there is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import msgspec
import numpy as np

from lossatlas.errors import BadInput
from lossatlas.explorer.subject import SurveyNow
from lossatlas.explorer.thinning import Window
from lossatlas.views import data, scales

__all__ = [
    "Look",
    "Place",
    "Question",
    "choose_field",
    "choose_limits",
    "parse_look",
    "parse_place",
    "parse_question",
    "parse_window",
]

P = TypeVar("P", bound="Place")
T = TypeVar("T")


class Look(msgspec.Struct, frozen=True):
    """What the pictures show.

    Attributes:
        metric: The name of a metric; where a run lacks it, its loss is shown.
        split: The name of a split; where a run lacks it, the preferred one is shown.
        scale: ``auto`` follows from the quantity.
        sample: The place of the repeat, member or sample; a run without any is shown as it is.
        alike: Whether all runs have one scale of colours.
    """

    metric: str = "loss"
    split: str = "test"
    scale: Literal["auto", "log", "linear"] = "auto"
    sample: int = 0
    alike: bool = True


class Place(msgspec.Struct, frozen=True):
    """Where networks are evaluated.

    Attributes:
        at: Coordinates by axis; axes that are left out are at the place where the page begins.
        snapshot: The number of a training's snapshot that is evaluated instead of a point of the chart.
        walked: The number of the run that lies along that training.
    """

    at: dict[str, float] = {}
    snapshot: int | None = None
    walked: int = 0

    def find_snapshot(self, run: int) -> int | None:
        """Find the snapshot that is evaluated of a run; None of a run that shows the point of its chart there."""
        return self.snapshot if run == self.walked else None


class Question(Place, frozen=True):
    """What is to be evaluated, and shown of it.

    Attributes:
        split: The split whose examples are listed.
        sample: The place of the repeat, member or sample.
        turn: Which question of its window this is: of two the one with the larger number is the newer.
        acted: Whether a person has asked, and not the page by itself when it was opened.
    """

    split: str = ""
    sample: int = 0
    turn: int = 0
    acted: bool = False


def parse_look(raw: Any) -> Look:
    """Read what a window asks to see.

    Raises:
        BadInput: it is not of the expected form.
    """
    return _parse(raw, Look, "what is to be shown")


def parse_place(raw: Any) -> Place:
    """Read where a window asks to evaluate networks.

    Raises:
        BadInput: it is not of the expected form, or a coordinate is not finite.
    """
    return _check_finite(_parse(raw, Place, "the place"))


def parse_question(raw: Any) -> Question:
    """Read what a window asks to have evaluated.

    Raises:
        BadInput: it is not of the expected form, or a coordinate is not finite.
    """
    return _check_finite(_parse(raw, Question, "the place"))


def _check_finite(place: P) -> P:
    if not all(math.isfinite(value) for value in place.at.values()):
        raise BadInput("a coordinate is not a finite number; give one for each axis")
    return place


def parse_window(raw: Any) -> Window | None:
    """Read the part of a picture that is shown; None for all of it.

    Raises:
        BadInput: it is not of the expected form.
    """
    return _parse(raw, Window, "the window") if raw else None


def _parse(raw: Any, kind: type[T], what: str) -> T:
    try:
        return msgspec.convert(raw or {}, kind)
    except msgspec.ValidationError as error:
        raise BadInput(f"{what} cannot be read ({error}); reload the page") from error


def choose_field(now: SurveyNow, look: Look) -> data.Field:
    """Choose the quantity of one sample that is shown: the one that is asked for, or else the nearest to it.

    Raises:
        BadInput: there is no such sample, or the survey holds no quantity over its axes.
    """
    every = now.list_fields(look.sample)
    if not every:
        raise BadInput("the survey holds no quantity over its axes yet; wait until some points are evaluated")
    alike = [field for field in every if field.metric == look.metric]
    alike = alike or [field for field in every if field.metric == every[0].metric]
    return next((field for field in alike if field.split == look.split), data.preferred(alike))


def choose_limits(fields: Sequence[data.Field], look: Look) -> scales.Limits:
    """Find the scale of colours that fields share.

    Args:
        fields: of one metric.
        look: which scale is asked for.
    """
    if look.scale == "auto":
        return data.limits_of(fields)
    values = np.concatenate([field.resolved.ravel() for field in fields])
    log = look.scale == "log" and bool((values[np.isfinite(values)] > 0).any())
    return scales.limits(np.where(values > 0, values, np.nan) if log else values, log=log)
