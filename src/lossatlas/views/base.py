"""What a view is: something that makes a picture of a subject, such as a survey or a comparison."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import xarray as xr

from lossatlas.errors import BadInput, Caution
from lossatlas.registry import Registry
from lossatlas.views import data
from lossatlas.views.picture import Captioned, InteractivePicture, Picture, Pictures
from lossatlas.views.plot import Plot
from lossatlas.views.scales import LOSS
from lossatlas.views.style import PLAIN, Style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["InteractiveView", "StillView", "SurveyView", "View", "draw_views", "pick_view"]

S = TypeVar("S")
V = TypeVar("V", bound="View[Any]")


class View(ABC, Generic[S]):
    """A kind of picture of a subject, still or interactive: an interface.

    Attributes:
        needs: What a subject must have, in words that end the sentence "it needs ...".
        caption: What the picture shows of any subject, in one sentence.
        rank: Its place among the pictures of one subject, small first.
        subject: What it is a picture of, in a word.
    """

    needs: ClassVar[str]
    caption: ClassVar[str]
    rank: ClassVar[int]
    subject: ClassVar[str] = "survey"

    @abstractmethod
    def applies(self, subject: S) -> bool:
        """Whether the subject has what this picture needs."""

    @abstractmethod
    def picture(self, subject: S, name: str, style: Style = PLAIN, record: Sequence[str] = ()) -> Captioned:
        """The picture of a subject to which it applies.

        Args:
            subject: as it was given by the user; the part that the view is about is taken here.
            name: the picture's.
            style: what is asked of it.
            record: what a paper must state of how the numbers were measured: sentences.
        """

    def prepare(self, subject: S) -> S:
        """The part of a subject that the other methods are given."""
        return subject

    def describe(self, subject: S) -> str:
        """What the picture of a subject to which it applies shows, in one sentence: the caption, or more than that."""
        return self.caption

    def describe_alternative(self, subject: S) -> str:
        """What can be seen on the picture, with numbers, for those who cannot see it."""
        return self.caption

    def list_contents(self, subject: S) -> str:
        """What a subject has, for the message that this picture does not apply to it."""
        return "something else"


class StillView(View[S]):
    """A kind of picture that matplotlib draws: an interface.

    Attributes:
        whole: Whether a page shows it as wide as the page is, however high that makes it: pictures of many panels.
        metric: The quantity that limits, scale, colours and levels of a style are about where this picture is asked
            for; empty where they are about whatever it shows.
        heeds: Which of these it heeds.
    """

    whole: ClassVar[bool] = False
    metric: ClassVar[str] = LOSS
    heeds: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def draw(self, subject: S, style: Style) -> Figure:
        """The figure of a subject to which it applies."""

    def find_narrowest(self, subject: S) -> float:
        """The least width at which the picture can be read when it is printed, inches."""
        return 0.0

    def picture(self, subject: S, name: str, style: Style = PLAIN, record: Sequence[str] = ()) -> Picture:
        from lossatlas.views.figures import fit_text, list_notes

        own = self.prepare(subject)
        figure = self.draw(own, style)
        fit_text(figure)
        notes = "; ".join(list_notes(figure))
        return Picture(
            name=name,
            figure=figure,
            caption=" ".join([self.describe(own), f"{notes[0].upper()}{notes[1:]}." if notes else ""]).strip(),
            alt=self.describe_alternative(own),
            width=float(figure.get_figwidth()),
            subject=subject,
            whole=self.whole,
            record=tuple(record),
        )


class InteractiveView(View[xr.Dataset]):
    """A kind of picture of a survey that readers of a page turn, move and choose the quantity of: an interface."""

    @abstractmethod
    def plot(self, survey: xr.Dataset) -> Plot:
        """The plotly figure of a survey to which it applies, and its controls."""

    def prepare(self, subject: xr.Dataset) -> xr.Dataset:
        return data.take_first_sample(subject)

    def picture(
        self, subject: xr.Dataset, name: str, style: Style = PLAIN, record: Sequence[str] = ()
    ) -> InteractivePicture:
        own = self.prepare(subject)
        plot = self.plot(own)
        caption = self.describe(own)
        return InteractivePicture(
            name=name, plot=plot, caption=caption, alt=plot.alternative, subject=subject, record=tuple(record)
        )


class SurveyView(StillView[xr.Dataset]):
    """A kind of picture of a survey: an interface.

    Attributes:
        all_samples: Whether it is given all repeats of a slice, or members or samples; otherwise it is given the first.
    """

    all_samples: ClassVar[bool] = False

    def prepare(self, subject: xr.Dataset) -> xr.Dataset:
        return subject if self.all_samples else data.take_first_sample(subject)

    def list_contents(self, subject: xr.Dataset) -> str:
        # What is known of curves, trajectories and networks beside the points is long for a line; its number must do.
        over = sorted(field.name for field in data.quantities(data.take_first_sample(subject)))
        beside = len(subject.data_vars) - len(over)
        more = f" and {beside} more" * bool(beside)
        return f"axes {', '.join(data.axes(subject))} and variables {', '.join(over)}{more}"

    def describe_alternative(self, subject: xr.Dataset) -> str:
        return f"{self.describe(subject)} {data.describe_values(data.take_first_sample(subject), self.metric)}".strip()


def draw_views(
    views: Registry[type[StillView[Any]]],
    subject: Any,
    kinds: Sequence[str] | None = None,
    style: Style = PLAIN,
    record: Sequence[str] = (),
) -> Pictures:
    """Pictures of a subject by name: those asked for, or all that apply in their order.

    Settings of a style about a quantity are about the loss, or, where kinds are named, about what each of them shows.

    Args:
        views: the kinds that there are.
        subject: what is shown.
        kinds: names of some; None takes all that apply.
        style: what is asked of each picture.
        record: what a paper must state of how the numbers were measured: sentences.

    Raises:
        BadInput: a kind is unknown or does not apply to this subject, or none heeds a setting of the style.
    """
    every = {name: views[name]() for name in (views.names() if kinds is None else kinds)}
    if kinds is None:
        ordered = sorted(every.items(), key=lambda item: item[1].rank)
        every = {name: view for name, view in ordered if view.applies(view.prepare(subject))}
    for name, view in every.items():
        if not view.applies(view.prepare(subject)):
            raise _refuse(views, name, view, subject)
    for name, view in list(every.items()):
        if style.width is not None and style.width < (least := view.find_narrowest(view.prepare(subject))):
            line = f"view {name!r} cannot be read at {25.4 * style.width:.0f}mm; it needs {25.4 * least:.0f}mm here"
            if kinds is not None:
                raise BadInput(f"{line}; give a larger width, or leave it out")
            warnings.warn(f"{line}, and was left out", Caution, stacklevel=3)
            del every[name]
    for setting in style.asked:
        if every and not any(setting in view.heeds for view in every.values()):
            able = ", ".join(name for name in views if setting in views[name].heeds)
            raise BadInput(
                f"{setting} has no meaning for the pictures {', '.join(every)}; those that heed it: {able or 'none'}"
            )
    return Pictures(
        (name, view.picture(subject, name, style if kinds is None else style | view.metric, record))
        for name, view in every.items()
    )


def pick_view(views: Registry[type[V]], subject: Any) -> tuple[str, V] | None:
    """The first view, by rank, that applies to a subject, and its name; None where none does."""
    every = sorted(((name, views[name]()) for name in views), key=lambda item: item[1].rank)
    return next(((name, view) for name, view in every if view.applies(view.prepare(subject))), None)


def _refuse(views: Registry[type[StillView[Any]]], name: str, view: View[Any], subject: Any) -> BadInput:
    fitting = [other for other in views if (one := views[other]()).applies(one.prepare(subject))]
    return BadInput(
        f"view {name!r} does not apply to this {view.subject}: it needs {view.needs}, and the {view.subject} has "
        f"{view.list_contents(subject)}; what applies: {', '.join(fitting) or 'none'}"
    )
