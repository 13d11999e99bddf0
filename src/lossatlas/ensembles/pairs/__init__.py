"""Measures of how much two members differ; one file each in ``kinds``."""

from lossatlas.ensembles.pairs.measure import PAIR_MEASURES, PairMeasure, make_pair_measures

__all__ = ["PAIR_MEASURES", "PairMeasure", "make_pair_measures"]
