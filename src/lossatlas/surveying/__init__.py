"""Surveys: metrics at the points of a grid on a chart, as labelled data."""

from lossatlas.surveying.store import SurveyStore
from lossatlas.surveying.survey import STREAMING, grid_of, survey

__all__ = ["STREAMING", "SurveyStore", "grid_of", "survey"]
