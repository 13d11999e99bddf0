"""The survey of a run, opened from its own record by those who evaluate points of it."""

from __future__ import annotations

from lossatlas.jobs.threads import use_threads
from lossatlas.recipes.opened_run import OpenedRun
from lossatlas.rundir import SURVEY
from lossatlas.surveying import Surveyor, SurveyStore

__all__ = ["join_survey"]


def join_survey(run: OpenedRun) -> tuple[Surveyor, SurveyStore]:
    """Make the surveyor of a run, and open its store as one who neither locks, mends nor makes anything there.

    What it computes on the way, it computes with as many threads as the run did, by which values differ; so should who
    evaluates points of it.

    Raises:
        BadInput: the run has no chart or survey, its data, model or network are missing, or they are others than those
            that the store was begun with.
    """
    engine = run.engine
    with use_threads(engine.plan.threads):
        surveyor = run.recipe.build_surveyor(engine)
        store = SurveyStore.join(run.path / SURVEY, surveyor.chart)
        surveyor.check(store)
    return surveyor, store
