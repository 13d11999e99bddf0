"""Surveys: metrics at the points of a grid on a chart, as labelled data."""

from lossatlas.surveying.refinement import Refinement
from lossatlas.surveying.store import SurveyStore
from lossatlas.surveying.survey import STREAMING, Surveyor, make_grid, survey

__all__ = ["STREAMING", "Refinement", "SurveyStore", "Surveyor", "make_grid", "survey"]
