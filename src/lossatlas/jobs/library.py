"""Curves, comparisons and curvature from Python: objects in, results out, like ``la.fit`` and ``la.survey``.

Networks and data are passed as objects instead of files; configurations, recipes and engines are those of
``lossatlas connect``, ``compare`` and ``curvature``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import xarray as xr

from lossatlas.charts import Slice, encode_chart
from lossatlas.curvatures import CurvatureSettings
from lossatlas.data import Split
from lossatlas.engine import Plan
from lossatlas.errors import BadInput
from lossatlas.files.writing import write_atomically
from lossatlas.hashing import fingerprint
from lossatlas.jobs.along import CurveEvaluation
from lossatlas.jobs.compared import compare_predictions, make_comparison
from lossatlas.jobs.curvature_pieces import LEADING, NEGATIVE
from lossatlas.jobs.curvature_summary import summarise_curvature
from lossatlas.jobs.given import Network, assemble, check_splits, configure, find_folder, name_states, warn_of
from lossatlas.jobs.job import Handling
from lossatlas.jobs.measured_curvature import make_measurement
from lossatlas.jobs.results import Comparison, CurvatureResult, CurveResult, Survey
from lossatlas.jobs.survey import put_networks
from lossatlas.problem import Problem
from lossatlas.progress import Reporter, count_towards, show_progress
from lossatlas.recipes import CompareConfig, ConnectConfig, SpectraConfig
from lossatlas.recipes.compare import Compared, CompareRecipe, Origin, compute_extent, pair_networks
from lossatlas.recipes.compare_surveys import list_surveys
from lossatlas.recipes.connect import build_connect
from lossatlas.recipes.networks import keep_module, load_networks
from lossatlas.recipes.problem import ProblemRecipe
from lossatlas.recipes.spectra import build_spectra
from lossatlas.recipes.survey import build_survey
from lossatlas.rundir import CHART
from lossatlas.surveying import SurveyStore, survey as measure_points
from lossatlas.surveying.standing import score_network
from lossatlas.types import Params, Source
from lossatlas.weights.files import load_state

__all__ = ["compare", "connect", "curvature", "survey"]

P = ParamSpec("P")
TOLD = ("parameters", "tolerance", "products", "seed")
"""The settings of curvature that options called ``curvature_NAME`` have on the command line."""
START = "@0"
"""The suffix of a network's name that denotes the weights its training started from."""


def _let_show(measure: Callable[P, xr.Dataset]) -> Callable[P, Survey]:
    """A function that gives what another measures, in a form that notebooks show with a picture."""

    @wraps(measure)
    def measured(*args: P.args, **kwargs: P.kwargs) -> Survey:
        found = measure(*args, **kwargs)
        # The axes come first, in their order, as in what was measured.
        coords = {axis: found.coords[axis] for axis in found.sizes if axis in found.coords} | dict(found.coords)
        return Survey(coords=coords).assign(found.data_vars).assign_attrs(found.attrs)

    return measured


survey = _let_show(measure_points)


def connect(
    networks: Sequence[Network] | Mapping[str, Network],
    problem: Problem,
    splits: Mapping[str, Split | Source],
    *,
    start: Sequence[Network] = (),
    path: Path | str | None = None,
    on_step: Callable[[dict[str, float]], None] | None = None,
    progress: bool | None = None,
    **settings: Any,
) -> CurveResult:
    """Connect trained networks by a curve of low loss, and survey it (Garipov et al. 2018, arXiv 1802.10026).

    Args:
        networks: two or more networks of one architecture, in their order along the curve: modules, or parameters and
            buffers by name.
        problem: module, loss and feed. Its module has the same architecture, and its weights are restored at the end.
        splits: the examples by name, ``train`` and optionally ``test`` and ``holdout``; the curve is trained
            on ``train``.
        start: networks at which the bends start, one per bend; by default the bends start on the straight segments.
        path: a new or empty folder for the curve and its surveys; None keeps them in memory.
        on_step: a function that is called with the record of each step.
        progress: whether to show the progress; None shows it after two seconds, in a notebook or on a terminal.
        settings: options of ``lossatlas connect`` (:class:`~lossatlas.recipes.ConnectConfig`), such as

    Returns:
                The trained curve, its surveys and its numbers.

    Warns:
        Caution: the networks differ in a buffer; points between them have that of the first network.

    Raises:
        BadInput: a setting is unknown, or networks, problem and examples do not fit together.
        CannotFinish: the objective is not finite.

    >>> import torch, lossatlas as la
    >>> networks = [torch.nn.Linear(4, 2) for _ in range(2)]
    >>> problem = la.Problem(torch.nn.Linear(4, 2), la.CrossEntropy())
    >>> examples = torch.randn(64, 4), torch.randint(2, (64,))
    >>> result = la.connect(networks, problem, {"train": examples}, steps=5, grid=5, plane=0, plan="loop")
    >>> result.survey["train_loss"].dims, sorted(name for name in result.summary if "barrier" in name)
    (('t',), ['curve_barrier', 'straight_barrier'])
    """
    states = name_states(networks)
    bends = {name + START: state for name, state in name_states(start, "start").items()}  # as no network is called
    if len(states) < 2:
        raise BadInput(f"a curve connects two or more networks; got {len(states)}: give all, in their order along it")
    config = configure(ConnectConfig, settings, splits, between=tuple(states), start=tuple(bends))
    folder = find_folder(path)
    if folder is not None and folder.is_dir() and any(folder.iterdir()):
        raise BadInput(f"{path} is not an empty folder; give each curve a folder of its own")
    with show_progress(progress) as reporter:
        with keep_module(problem.module):
            base = assemble(problem, splits, config.parameters, config.device, {**states, **bends})
            recipe = build_connect(config, base)
            warn_of(recipe.notes)
            engine = recipe.build_engine(config.plan, buffers=recipe.buffers)
            survey_engine = recipe.build_survey_engine(engine)
        fit, history = recipe.begin_fit(engine), []
        while not fit.done:
            history.append(fit.step())
            reporter.progress("fit", min(fit.progress, 1.0), fit.running)
            if on_step is not None:
                on_step(history[-1])
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / CHART, encode_chart(recipe.chart))
        evaluation = CurveEvaluation(folder, recipe, survey_engine, _handle(folder, reporter))
        survey = evaluation.carry_out()
    summary = evaluation.summarise(survey)
    return CurveResult(recipe.chart, history, survey, evaluation.plane_survey, summary, engine.plan)


def compare(
    networks: Mapping[str, Network],
    problem: Problem,
    splits: Mapping[str, Split | Source],
    *,
    starts: Mapping[str, Network] | None = None,
    groups: Mapping[str, str] | None = None,
    path: Path | str | None = None,
    progress: bool | None = None,
    **settings: Any,
) -> Comparison:
    """Compare trained networks of one architecture (Im, Tao & Branson 2016, arXiv 1612.04010).

    Every two networks are compared by the loss between them, their distance and their predictions, and each network by
    the loss around it.

    Args:
        networks: two or more networks by name: modules, or parameters and buffers by name.
        problem: module, loss and feed. Its module has the same architecture, and its weights are restored at the end.
        splits: the examples by name, ``train`` and optionally ``test`` and ``holdout``.
        starts: by the name of a network, the weights its training started from; with these, two networks span a
            surface.
        groups: by the name of a network, the name of its group: networks of a group differ only in the seed. By default
            each network is a group of its own.
        path: a folder for the surveys; those that are there already are continued. None keeps them in memory.
        progress: whether to show the progress; None shows it after two seconds, in a notebook or on a terminal.
        settings: options of ``lossatlas compare`` (:class:`~lossatlas.recipes.CompareConfig`), such as ``grid=(22,)``,
            ``line=41`` or ``repeats=3``.

    Returns:
        A labelled data set, an ``xarray.Dataset`` that a notebook shows with a picture: see
        :func:`lossatlas.jobs.compared.make_comparison`.

    Raises:
        BadInput: a setting is unknown, or networks, problem and examples do not fit together.

    Warns:
        Caution: the networks differ in a buffer; points between them have that of the first network.

    >>> import torch, lossatlas as la
    >>> networks = {name: torch.nn.Linear(4, 2) for name in ("first", "second")}
    >>> problem = la.Problem(torch.nn.Linear(4, 2), la.CrossEntropy())
    >>> examples = torch.randn(64, 4), torch.randint(2, (64,))
    >>> data = la.compare(
    ...     networks, problem, {"train": examples}, line=5, slice_points=5, repeats=1, plan="loop"
    ... )
    >>> data["barrier"].dims, data["barrier"].shape
    (('run', 'other_run'), (2, 2))
    """
    states, begun = name_states(networks), name_states(starts or {})
    if len(states) < 2:
        raise BadInput(f"a comparison needs two or more networks; got {len(states)}: give all, by name")
    for called, named in (("starts", begun), ("groups", groups or {})):
        if strangers := [name for name in named if name not in states]:
            raise BadInput(f"{strangers[0]!r} in {called} is not a name of a network; expected {', '.join(states)}")
    config = configure(CompareConfig, settings, splits, runs=tuple(states))
    folder = find_folder(path)
    with show_progress(progress) as reporter, keep_module(problem.module):
        known = {**states, **{name + START: state for name, state in begun.items()}}
        base = assemble(problem, splits, ("*",), config.device, known)
        recipe = _gather(config, base, tuple(states), begun, groups or {})
        warn_of(recipe.notes)
        found = _survey_between(config, recipe, base, folder, reporter)
        made = make_comparison(config, recipe, found, compare_predictions(recipe, config.eval_batch_size))
    return Comparison(made.data_vars, made.coords, made.attrs)


def curvature(
    problem: Problem,
    splits: Mapping[str, Split | Source] | Split | Source,
    networks: Mapping[str, Network] | None = None,
    *,
    split: str | None = None,
    curvature: CurvatureSettings | None = None,
    progress: bool | None = None,
    **settings: Any,
) -> CurvatureResult:
    """Measure the curvature of the loss at networks: eigenvalues with residuals, trace, spectral density, a verdict.

    Args:
        problem: module, loss and feed. Its module has the networks' architecture, and its weights are restored.
        splits: the examples, in any form that :meth:`Split.of` takes; a mapping holds them by name, ``train`` and
            optionally ``test`` and ``holdout``.
        networks: networks by name: modules, or parameters and buffers by name. By default the module of the problem as
            it stands, under the name ``network``.
        split: the name of the split to measure; by default ``train``.
        curvature: in which parameters eigenvalues are found, and how exactly; or give ``curvature_tolerance`` and other
            options by their names.
        progress: whether to show the progress; None shows it after two seconds, in a notebook or on a terminal.
        settings: options of ``lossatlas curvature``, such as ``top=10``, ``examples="all"``, ``subsets=5`` or
            ``per_layer=True``. With ``trajectory=FOLDER`` snapshots are measured instead of networks.

    Returns:
        The data, the verdicts, and slices along eigenvectors.

    Raises:
        BadInput: a setting is unknown, or networks, problem and examples do not fit together.

    Warns:
        Caution: the networks differ in a buffer, of which each keeps its own.

    >>> import torch, lossatlas as la
    >>> problem = la.Problem(torch.nn.Linear(4, 2), la.CrossEntropy())
    >>> examples = torch.randn(64, 4), torch.randint(2, (64,))
    >>> found = la.curvature(problem, {"train": examples}, top=2, bottom=1, probes=2, density_steps=5)
    >>> found.data["hessian_top"].dims, found.data["hessian_top"].shape, list(found.charts)
    (('network', 'sample', 'top'), (1, 1, 2), ['network'])
    """
    if not isinstance(problem, Problem):
        raise BadInput(f"problem is of type {type(problem).__name__}; expected la.Problem(module, loss)")
    if not isinstance(networks, Mapping | Sequence | None) or isinstance(networks, str):
        raise BadInput(f"networks are of type {type(networks).__name__}; expected networks by name, {{'name': module}}")
    along = settings.get("trajectory") is not None
    if along and networks is not None:
        raise BadInput("networks and a trajectory are given; measure one or the other")
    if not isinstance(curvature, CurvatureSettings | None):
        raise BadInput(f"curvature is of type {type(curvature).__name__}; expected la.CurvatureSettings(...), or None")
    if curvature is not None:
        told = {
            "second_start": curvature.second_start,
            **{f"curvature_{name}": getattr(curvature, name) for name in TOLD},
        }
        if twice := sorted(settings.keys() & told.keys()):
            raise BadInput(f"{twice[0]} is given twice, in the settings of curvature and by its name; give it once")
        settings = {**settings, **told}
    splits = splits if isinstance(splits, Mapping) else {"train": splits}
    check_splits(splits)
    if split is not None:
        if not isinstance(split, str) or split not in splits:
            raise BadInput(f"{split!r} is not one of the splits; expected {' or '.join(splits)}")
        settings = {**settings, "splits": split}
    states = {} if along else name_states({"network": problem.module} if networks is None else networks)
    config = configure(SpectraConfig, settings, splits, networks=tuple(states))
    kept: dict[str, dict[str, Slice]] = {LEADING: {}, NEGATIVE: {}}
    with show_progress(progress) as reporter, keep_module(problem.module):
        base = assemble(problem, splits, config.parameters, config.device, states)
        recipe = build_spectra(config, base)
        warn_of(recipe.notes)
        names = tuple(states)

        def keep(place: int, which: str, chart: Slice) -> None:
            kept[which][names[place]] = chart

        measurement = make_measurement(recipe, config.plan, keep)
        measurement.check()
        total = len(measurement.pieces)
        for number, _ in enumerate(measurement.measure(), 1):
            reporter.progress("curvature", number / total, {})
    data = measurement.data
    return CurvatureResult(data, kept[LEADING], kept[NEGATIVE], summarise_curvature(data), measurement.plan)


def _survey_between(
    config: CompareConfig, recipe: CompareRecipe, base: ProblemRecipe, folder: Path | None, reporter: Reporter
) -> dict[tuple[str, tuple[int, ...]], xr.Dataset]:
    """Return the surveys between networks and around them, by kind and by the numbers of the networks."""
    found = {}
    plan: str | Plan = config.plan
    tasks = list_surveys(config, recipe, Path())
    for index, task in enumerate(tasks):
        surveyed = build_survey(task.config, base)
        engine = surveyed.build_engine(plan)
        plan = engine.plan  # the first is measured for all
        store = folder / f"{task.name}.zarr" if folder is not None else None

        def tell(share: float, index: int = index) -> None:
            reporter.progress("compare", (index + share) / len(tasks), {})

        with SurveyStore.of_chart(store, surveyed.chart, surveyed.grid) as opened:
            put_networks(opened, surveyed)
            surveyor = surveyed.build_surveyor(engine)
            evaluations = math.prod(opened.shape) * surveyor.evaluations
            surveyor.fill(opened, on_points=count_towards(tell, evaluations))
            found[task.kind, task.places] = opened.open().load()
    return found


def _gather(
    config: CompareConfig,
    base: ProblemRecipe,
    names: Sequence[str],
    begun: Mapping[str, Params],
    groups: Mapping[str, str],
) -> CompareRecipe:
    """Gather the networks of a comparison, with their loss and accuracy on all examples."""
    loaded = load_networks(names, base, called="network")
    origins = {}
    keys = {name: fingerprint(sorted(state.items())) for name, state in begun.items()}
    for name, key in keys.items():
        if key not in origins:
            start = load_networks([name + START], base, called="the start")
            origins[key] = Origin(name + START, start.states[0], start.vectors[0])
    networks = []
    for name, state, weights in zip(names, loaded.states, loaded.vectors, strict=True):
        scores = _score(base, state, name, config.eval_batch_size)
        networks.append(Compared(name, state, weights, scores, groups.get(name, name), keys.get(name, "")))
    extent = compute_extent(config)
    return CompareRecipe(tuple(networks), pair_networks(networks), (base,), origins, extent, loaded.notes)


def _score(base: ProblemRecipe, state: Params, name: str, eval_batch_size: int) -> dict[str, float]:
    """Compute loss and accuracy of a network by ``<split>_<metric>``, on all examples of each split."""
    load_state(base.problem.module, state, name)
    return score_network(base.problem, base.space, base.take_examples("all", base.data.splits), eval_batch_size)


def _handle(folder: Path | None, reporter: Reporter) -> Handling:
    """Return the handling of a job without a run directory and without pictures."""
    return Handling(folder or Path(), math.inf, pictures=False, reporter=reporter, stop=lambda: False)
