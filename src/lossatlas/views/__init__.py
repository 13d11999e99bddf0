"""Pictures of surveys, comparisons, curvature runs and ensembles, with captions, and reports. Never imports torch.

Each kind of picture is one module: pictures of a survey are in ``lossatlas.views.kinds``, those that readers turn and
move in ``interactive``, those of a comparison in ``comparisons``, those of a curvature run in ``curvature``, those of
ensembles in ``ensembles``, and those of several surveys in ``overlays``. Which variables a picture shows is decided in
:mod:`lossatlas.views.data` and :mod:`lossatlas.views.ensemble_data`, which do not draw.
"""

from lossatlas.views.base import InteractiveView, StillView, SurveyView, View
from lossatlas.views.drawing import (
    COMPARISON_VIEWS,
    CURVATURE_VIEWS,
    ENSEMBLE_VIEWS,
    INTERACTIVE_VIEWS,
    OVERLAY_VIEWS,
    VIEWS,
    choose_views,
    draw,
    draw_interactive,
    is_comparison,
    is_curvature,
    is_ensemble,
)
from lossatlas.views.picture import FORMATS, DrawnPicture, InteractivePicture, Pictures, save_pictures
from lossatlas.views.report import write_report
from lossatlas.views.style import Style

__all__ = [
    "COMPARISON_VIEWS",
    "CURVATURE_VIEWS",
    "ENSEMBLE_VIEWS",
    "FORMATS",
    "INTERACTIVE_VIEWS",
    "OVERLAY_VIEWS",
    "VIEWS",
    "DrawnPicture",
    "InteractivePicture",
    "InteractiveView",
    "Pictures",
    "StillView",
    "Style",
    "SurveyView",
    "View",
    "choose_views",
    "draw",
    "draw_interactive",
    "is_comparison",
    "is_curvature",
    "is_ensemble",
    "save_pictures",
    "write_report",
]
