"""Pictures of surveys and comparisons, each with its caption, and self-contained reports. Never imports torch.

Each kind of picture is one module: pictures of a survey are in ``lossatlas.views.kinds``, those that readers turn and
move in ``interactive``, those of a comparison in ``comparisons``, and those of several surveys in ``overlays``. Which
variables a picture shows is decided in :mod:`lossatlas.views.data`, which does not draw.
"""

from lossatlas.views.base import InteractiveView, StillView, SurveyView, View
from lossatlas.views.drawing import (
    COMPARISON_VIEWS,
    INTERACTIVE_VIEWS,
    OVERLAY_VIEWS,
    VIEWS,
    draw,
    draw_interactive,
    is_comparison,
)
from lossatlas.views.picture import FORMATS, InteractivePicture, Picture, Pictures, save_pictures
from lossatlas.views.report import write_report
from lossatlas.views.style import Style

__all__ = [
    "COMPARISON_VIEWS",
    "FORMATS",
    "INTERACTIVE_VIEWS",
    "OVERLAY_VIEWS",
    "VIEWS",
    "InteractivePicture",
    "InteractiveView",
    "Picture",
    "Pictures",
    "StillView",
    "Style",
    "SurveyView",
    "View",
    "draw",
    "draw_interactive",
    "is_comparison",
    "save_pictures",
    "write_report",
]
