"""The interface of views, which make pictures of a subject such as a survey or a comparison."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import xarray as xr

from lossatlas.errors import BadInput, Caution
from lossatlas.registry import Registry
from lossatlas.views import data
from lossatlas.views.picture import Captioned, DrawnPicture, InteractivePicture, Pictures
from lossatlas.views.plot import Plot
from lossatlas.views.scales import LOSS
from lossatlas.views.style import MILLIMETRE, PLAIN, Style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["InteractiveView", "StillView", "SurveyView", "View", "draw_views", "pick_view"]

S = TypeVar("S")
V = TypeVar("V", bound="View[Any]")


class View(ABC, Generic[S]):
    """A kind of picture of a subject, still or interactive: an interface.

    Attributes:
        needs: What a subject must have, as the end of the sentence "it needs ...".
        caption: What the picture shows, in one sentence that holds for every subject.
        rank: The position among the pictures of one subject; lower ranks come first.
        subject: The word for what is shown, such as ``survey``.
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
        """Make the picture of a subject to which the view applies.

        Args:
            subject: the whole subject; the part that the view shows is selected by :meth:`prepare`.
            name: the name of the picture.
            style: title, width, scale and colours of the picture.
            record: sentences on how the numbers were measured, as a paper must state them.
        """

    def prepare(self, subject: S) -> S:
        """Select the part of a subject that the other methods take."""
        return subject

    def describe(self, subject: S) -> str:
        """Describe what the picture of this subject shows; by default the caption of the view."""
        return self.caption

    def describe_alternative(self, subject: S) -> str:
        """Describe what the picture shows, with numbers, for readers who cannot see it."""
        return self.caption

    def list_contents(self, subject: S) -> str:
        """List what a subject contains, for the message that the view does not apply to it."""
        return "something else"


class StillView(View[S]):
    """A kind of picture that matplotlib draws: an interface.

    Attributes:
        whole: Whether a page shows the picture at the full width of the page, whatever its height.
        metric: The quantity to which the limits, scale, colours and levels of a style apply where this picture is
            requested by name; empty where they apply to every quantity in the picture.
        heeds: Which of these settings the picture uses.
        narrowest: The least width in inches at which the printed picture can be read, whatever the subject.
    """

    whole: ClassVar[bool] = False
    metric: ClassVar[str] = LOSS
    heeds: ClassVar[frozenset[str]] = frozenset()
    narrowest: ClassVar[float] = 0.0

    @abstractmethod
    def draw(self, subject: S, style: Style) -> Figure:
        """Draw the figure of a subject to which the view applies."""

    def list_heeded(self, subject: S) -> frozenset[str]:
        """The settings that the picture of a subject to which it applies heeds."""
        return self.heeds

    def find_narrowest(self, subject: S) -> float:
        """Return the least width in inches at which the printed picture can be read."""
        return self.narrowest

    def picture(self, subject: S, name: str, style: Style = PLAIN, record: Sequence[str] = ()) -> DrawnPicture:
        from lossatlas.views.figures import fit_text, list_notes

        own = self.prepare(subject)
        figure = self.draw(own, style)
        fit_text(figure)
        notes = "; ".join(list_notes(figure))
        return DrawnPicture(
            name=name,
            figure=figure,
            caption=" ".join([self.describe(own), f"{notes[0].upper()}{notes[1:]}." if notes else ""]).strip(),
            alt=self.describe_alternative(own),
            width=float(figure.get_figwidth()),
            subject=subject,
            whole=self.whole,
            title=style.title,
            record=tuple(record),
        )


class InteractiveView(View[xr.Dataset]):
    """A kind of interactive picture of a survey, which readers turn or move: an interface."""

    @abstractmethod
    def plot(self, survey: xr.Dataset) -> Plot:
        """Make the plotly figure of a survey to which the view applies, and its controls."""

    def prepare(self, subject: xr.Dataset) -> xr.Dataset:
        return data.take_first_sample(subject)

    def describe_alternative(self, subject: xr.Dataset) -> str:
        return data.describe_extremes(subject, data.quantities(subject))

    def picture(
        self, subject: xr.Dataset, name: str, style: Style = PLAIN, record: Sequence[str] = ()
    ) -> InteractivePicture:
        own = self.prepare(subject)
        return InteractivePicture(
            name=name,
            plot=self.plot(own),
            caption=self.describe(own),
            alt=self.describe_alternative(own),
            subject=subject,
            record=tuple(record),
        )


class SurveyView(StillView[xr.Dataset]):
    """A kind of picture of a survey: an interface.

    Attributes:
        all_samples: Whether the view shows all repeats of a slice (or members or samples) rather than the first.
    """

    all_samples: ClassVar[bool] = False

    def prepare(self, subject: xr.Dataset) -> xr.Dataset:
        return subject if self.all_samples else data.take_first_sample(subject)

    def list_contents(self, subject: xr.Dataset) -> str:
        # Variables of curves, trajectories and networks would make the message long; it gives their number only.
        over = sorted(field.name for field in data.quantities(data.take_first_sample(subject)))
        beside = len(subject.data_vars) - len(over)
        more = f" and {beside} more" * bool(beside)
        axes = ", ".join(data.axes(subject)) or "none"
        return f"axes {axes} and variables {', '.join(over)}{more}"

    def list_shown(self, survey: xr.Dataset) -> Sequence[data.Field]:
        """The quantities that the picture shows, whose extremes its alternative text states."""
        return data.fields(survey, self.metric) if self.metric else data.quantities(survey)

    def describe_alternative(self, subject: xr.Dataset) -> str:
        shown = self.list_shown(subject)
        extremes = data.describe_extremes(data.take_first_sample(subject), shown)
        return " ".join([self.describe(subject), extremes]).strip()


def draw_views(
    views: Registry[type[StillView[Any]]],
    subject: Any,
    kinds: Sequence[str] | None = None,
    style: Style = PLAIN,
    record: Sequence[str] = (),
) -> Pictures:
    """Draw the requested pictures of a subject, or all that apply, in the order of their ranks.

    Limits, scale, colours and levels of the style apply to the loss, or, where kinds are named, to what each of them
    shows.

    Args:
        views: the available kinds of pictures.
        subject: what is shown.
        kinds: the names of the requested kinds; None draws all that apply.
        style: title, width, scale and colours of the pictures.
        record: sentences on how the numbers were measured, as a paper must state them.

    Raises:
        BadInput: a kind is unknown or does not apply to this subject, or no picture uses a setting of the style.
    """
    every = {name: views[name]() for name in (views.names() if kinds is None else kinds)}
    if kinds is None:
        ordered = sorted(every.items(), key=lambda item: item[1].rank)
        every = {name: view for name, view in ordered if view.applies(view.prepare(subject))}
    own = {name: view.prepare(subject) for name, view in every.items()}
    for name, view in every.items():
        if not view.applies(own[name]):
            raise _refuse(views, name, view, subject)
    for name, view in list(every.items()):
        if style.width is not None and style.is_narrower(least := view.find_narrowest(own[name])):
            given, needed = (f"{width / MILLIMETRE:.0f}mm" for width in (style.width, least))
            line = f"view {name!r} cannot be read at {given}; it needs {needed} here"
            if kinds is not None:
                raise BadInput(f"{line}; give a larger width, or leave it out")
            warnings.warn(f"{line}, and was left out", Caution, stacklevel=3)
            del every[name]
    heeded = {name: view.list_heeded(own[name]) for name, view in every.items()}
    for setting in style.asked:
        if every and not any(setting in settings for settings in heeded.values()):
            able = ", ".join(name for name in views if setting in views[name].heeds)
            raise BadInput(
                f"{setting} does not apply to the pictures {', '.join(every)}; it applies to: {able or 'none'}"
            )
    metric = LOSS if kinds is None else ""
    return Pictures(
        (name, view.picture(subject, name, style.restrict(metric or view.metric, heeded[name]), record))
        for name, view in every.items()
    )


def pick_view(views: Registry[type[V]], subject: Any) -> tuple[str, V] | None:
    """Find the view of lowest rank that applies to a subject, with its name; None if no view applies."""
    every = sorted(((name, views[name]()) for name in views), key=lambda item: item[1].rank)
    return next(((name, view) for name, view in every if view.applies(view.prepare(subject))), None)


def _refuse(views: Registry[type[StillView[Any]]], name: str, view: View[Any], subject: Any) -> BadInput:
    fitting = [other for other in views if (one := views[other]()).applies(one.prepare(subject))]
    return BadInput(
        f"view {name!r} does not apply to this {view.subject}: it needs {view.needs}, and the {view.subject} has "
        f"{view.list_contents(subject)}; what applies: {', '.join(fitting) or 'none'}"
    )
