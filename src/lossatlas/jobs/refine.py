"""A region of a run's survey, evaluated finer into the run's own store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from math import prod

from lossatlas.describing import join_words
from lossatlas.errors import BadInput, LossatlasError
from lossatlas.jobs.threads import use_threads
from lossatlas.metrics import count_numbers
from lossatlas.recipes.opened_run import OpenedRun
from lossatlas.recipes.room import Extent
from lossatlas.rundir import SURVEY, RunDirectory
from lossatlas.schema import name_marks
from lossatlas.surveying import STREAMING, Region, Surveyor, SurveyStore
from lossatlas.surveying.executor import InPieces
from lossatlas.surveying.region import MOST_POINTS, read_whole_grid

__all__ = ["refine_region"]

PIECE = 32
"""How many points are evaluated between two questions whether to stop; of what derivatives are taken for, one. They are
always the same points, so that a stop changes no bit of what is found."""


def refine_region(
    run: OpenedRun,
    box: Mapping[str, tuple[float, float]],
    *,
    on_points: Callable[[int, int], None],
    say: Callable[[str], None] = lambda _: None,
    most: int = MOST_POINTS,
) -> int:
    """Evaluate a region of a run's survey finer, in the run's own store, on the splits and metrics of the run.

    Its grid gets the middles of the intervals that overlap the box (:class:`~lossatlas.surveying.Region`); points on
    these lines outside the box are interpolated. What was evaluated stays bit for bit. The store is whole at every
    moment: marks say which points are evaluated, all others are interpolated, and who asks for the same region again
    after a stop or a kill goes on where it ended. Summary, pictures and report of the run stay as they are.

    Args:
        run: a finished run of fit, survey or connect, or one in the folder ``surveys`` of a comparison. Its engine is
            used by nobody else meanwhile, but for calls from ``on_points``.
        box: by axis of the survey the low and the high end; axes that are left out are in it as a whole.
        on_points: called with the evaluations that are done and all there are, between pieces of some tens of points at
            most; a point counts once for each split and each group of metrics. May raise, which ends the job; what is
            left is interpolated then.
        say: told in one line what was found damaged, and what is left to do.
        most: how many points may be new.

    Returns:
        The number of points that are evaluated on all splits and metrics now and were not before.

    Raises:
        BadInput: the run is not finished, has no survey, or its data or its network are gone or others now; the region
            is refused (:meth:`~lossatlas.surveying.Region.select`); or another process writes the run.
        CannotFinish: the disk refuses, or a number cannot be computed.

    >>> import tempfile, lossatlas as la
    >>> from lossatlas.jobs.survey import run_survey
    >>> from lossatlas.jobs.train import run_train
    >>> from lossatlas.recipes import SurveyConfig, TrainConfig
    >>> small = {"model_options": {"hidden": (8,)}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = run_train(TrainConfig(**small, epochs=1.0), f"{folder}/net")
    ...     around = SurveyConfig(**small, checkpoint=f"{folder}/net", grid=(5,), examples="20", plan="loop")
    ...     _ = run_survey(around, f"{folder}/around", pictures=False)
    ...     run = la.open_run(f"{folder}/around")
    ...     refine_region(run, {"u": (-0.5, 0.5), "v": (0.0, 0.5)}, on_points=lambda done, total: None)
    ...     la.open_run(run.path).survey["test_loss"].shape
    9
    (7, 6)
    """
    run.directory.check("it was there when it was opened, so restore it")
    if not run.finished:
        raise BadInput(
            f"{run.path} is not finished, so that no region of it can be surveyed finer; continue it with "
            f"lossatlas {run.verb} --out {run.path} --resume"
        )
    directory = RunDirectory(run.path)
    with closing(directory):
        directory.claim()
        surveyor = run.recipe.build_surveyor(run.engine)
        region = _select(run, surveyor, box, most)
        with use_threads(run.engine.plan.threads):
            return _fill(run, surveyor, region, on_points, say)


def _select(run: OpenedRun, surveyor: Surveyor, box: Mapping[str, tuple[float, float]], most: int) -> Region:
    """Select the region, and refuse it where it cannot be evaluated; changes nothing."""
    chart = surveyor.chart
    with SurveyStore.join(run.path / SURVEY, chart) as store:
        surveyor.check(store)
        if missing := [f"{split}, {group}" for split, group in surveyor.parts if not store.settings(split, group)]:
            raise BadInput(f"the survey in {run.path} lacks {'; '.join(missing)}; carry out the run again")
        whole = read_whole_grid(store.attributes, store.grid)
        region = Region.select(store.grid, store.known, box, whole, most)
    counts = [len(coords) for coords in region.grid.values()]
    sampled = getattr(run.config, "examples", "all") != "all"
    extent = Extent(prod(counts), len(run.splits), count_numbers(run.metrics, sampled=sampled))
    extent.check("the finer grid", " x ".join(f"{count:,}" for count in counts))
    return region


def _fill(
    run: OpenedRun,
    surveyor: Surveyor,
    region: Region,
    on_points: Callable[[int, int], None],
    say: Callable[[str], None],
) -> int:
    """Bring the store to the region's grid, and evaluate the region."""
    with SurveyStore.of_chart(run.path / SURVEY, surveyor.chart, region.grid, say=say, region=region) as store:
        before = store.known
        total = sum(int((region.inside & ~store.done(*part)).sum()) for part in surveyor.parts)
        done = 0

        def count(points: int) -> None:
            nonlocal done
            done += points
            on_points(done, total)

        on_points(0, total)
        streaming = {name_marks(split, group) for split, group in surveyor.parts if group == STREAMING}
        try:
            surveyor.fill(
                store,
                InPieces(lambda claim: PIECE if claim.work.marks in streaming else 1),
                refinement=region,
                on_points=count,
            )
        except BaseException:
            with suppress(LossatlasError):  # then it is as it was interpolated when the store grew
                store.interpolate(region.coarsest())
            raise
        if others := store.marks - {name_marks(*part) for part in surveyor.parts}:
            store.interpolate(region.coarsest())  # after which no point of the region is said to be measured
            say(f"{join_words(sorted(others))} of {run.path} are not in its record, and are interpolated in the region")
        say(f"lossatlas view {run.path} draws its pictures anew")
        return int((store.known & ~before).sum())
