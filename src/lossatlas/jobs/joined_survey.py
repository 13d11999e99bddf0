"""The survey of a run, opened from its own record by those who evaluate points of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from lossatlas.recipes.opened_run import OpenedRun
from lossatlas.rundir import SURVEY
from lossatlas.surveying import Surveyor, SurveyStore

__all__ = ["join_survey"]


def join_survey(run: OpenedRun) -> tuple[Surveyor, SurveyStore]:
    """Make the surveyor of a run, and open its store as one who neither locks, mends nor makes anything there.

    From then on torch computes with as many threads as the run did, by which values differ.

    Raises:
        BadInput: the run has no chart or survey, its data, model or network are missing, or they are others than those
            that the store was begun with.
    """
    engine = run.engine
    torch.set_num_threads(engine.plan.threads)
    surveyor = run.recipe.build_surveyor(engine)
    chart = surveyor.chart
    wanted: Mapping[str, Any] = dict.fromkeys(chart.axes, np.empty(0))
    store = SurveyStore(run.path / SURVEY, wanted, {"chart": chart.fingerprint()}, joined=True)
    surveyor.check(store)
    return surveyor, store
