"""Surveys: metrics at the points of a grid on a chart, as labelled data."""

from lossatlas.surveying.refinement import Refinement
from lossatlas.surveying.region import Region
from lossatlas.surveying.store import SurveyStore
from lossatlas.surveying.survey import make_grid, survey
from lossatlas.surveying.surveyor import STREAMING, Surveyor

__all__ = ["STREAMING", "Refinement", "Region", "SurveyStore", "Surveyor", "make_grid", "survey"]
