"""What a kind of picture is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import xarray as xr

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["View"]


class View(ABC):
    """One kind of picture of a survey: an interface.

    Attributes:
        needs: what a survey must have, in words that end the sentence "it needs ...".
        caption: what the picture shows of any survey, in one sentence; also its text for those who cannot see it.
        rank: its place among the pictures of one survey, small first.
        all_samples: whether it is given all repeats of a slice, or members or samples; otherwise it is given the first.
        whole: whether a page shows it as wide as the page is, however high that makes it: pictures of many panels.
    """

    needs: ClassVar[str]
    caption: ClassVar[str]
    rank: ClassVar[int]
    all_samples: ClassVar[bool] = False
    whole: ClassVar[bool] = False

    @abstractmethod
    def applies(self, survey: xr.Dataset) -> bool:
        """Whether the survey has what this picture needs."""

    @abstractmethod
    def draw(self, survey: xr.Dataset, title: str) -> Figure:
        """The picture of a survey to which it applies, with a title (may be empty)."""

    def told(self, survey: xr.Dataset) -> str:
        """What the picture of a survey to which it applies shows, in one sentence: the caption, or more than that."""
        return self.caption
