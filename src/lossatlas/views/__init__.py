"""Pictures of surveys and comparisons, which know what they show, and a self-contained report. Never imports torch.

Each kind of picture is one module: of a survey in ``lossatlas.views.kinds``, or ``interactive`` where readers turn and
move it, of a comparison in ``comparisons``, of several surveys in ``overlays``. What it shows is decided in
:mod:`lossatlas.views.data`, without a pixel.
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
