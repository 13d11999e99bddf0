"""Scores of averaged predictions; one file each in ``kinds``."""

from lossatlas.ensembles.scores.score import SCORES, Score, make_scores

__all__ = ["SCORES", "Score", "make_scores"]
