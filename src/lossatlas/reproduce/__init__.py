"""Reproductions of published figures: sweeps of runs, their tables and pictures, beside the published values."""

from lossatlas.reproduce.study import STUDIES, Run, Study

__all__ = ["STUDIES", "Run", "Study"]
