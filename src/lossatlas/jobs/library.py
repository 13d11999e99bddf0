"""Curves, comparisons and curvature from Python: objects in, results out, like ``la.fit`` and ``la.survey``.

Networks and data are passed as objects instead of files; configurations, recipes and engines are those of
``lossatlas connect``, ``compare`` and ``curvature``.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import xarray as xr
from torch import Tensor, nn

from lossatlas.charts import Slice, encode_chart
from lossatlas.curvatures import CurvatureSettings
from lossatlas.data import Dataset, Split, name_splits
from lossatlas.engine import Plan
from lossatlas.errors import BadInput, Caution
from lossatlas.files.writing import write_atomically
from lossatlas.hashing import fingerprint
from lossatlas.jobs.along import CurveEvaluation
from lossatlas.jobs.compared import compare_predictions, make_comparison
from lossatlas.jobs.curvature_pieces import LEADING, NEGATIVE
from lossatlas.jobs.curvature_summary import summarise_curvature
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
from lossatlas.recipes.networks import copy_state, keep_module, load_networks
from lossatlas.recipes.problem import ProblemRecipe, find_device
from lossatlas.recipes.spectra import build_spectra
from lossatlas.recipes.survey import build_survey
from lossatlas.rundir import CHART
from lossatlas.surveying import SurveyStore, survey as measure_points
from lossatlas.surveying.standing import score_network
from lossatlas.types import Params, Source
from lossatlas.weights import WeightSpace
from lossatlas.weights.files import load_state

__all__ = ["compare", "connect", "curvature", "survey"]

Network = nn.Module | Mapping[str, Tensor]
"""A network of the problem's architecture: a module, or its parameters and buffers by name."""
C = TypeVar("C", ConnectConfig, CompareConfig, SpectraConfig)
P = ParamSpec("P")
GIVEN = {
    **dict.fromkeys(("data", "model", "loss", "output"), "the problem and the splits take its place"),
    **dict.fromkeys(("between", "runs", "networks"), "the networks take its place"),
}
"""Settings of a configuration that are passed as objects here, and which objects."""
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
        splits: the examples by name, ``train`` and optionally ``test``; the curve is trained on ``train``.
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
    states = _name_states(networks)
    bends = {name + START: state for name, state in _name_states(start, "start").items()}  # as no network is called
    if len(states) < 2:
        raise BadInput(f"a curve connects two or more networks; got {len(states)}: give all, in their order along it")
    config = _configure(ConnectConfig, settings, splits, between=tuple(states), start=tuple(bends))
    folder = _find_folder(path)
    if folder is not None and folder.is_dir() and any(folder.iterdir()):
        raise BadInput(f"{path} is not an empty folder; give each curve a folder of its own")
    with show_progress(progress) as reporter:
        with keep_module(problem.module):
            base = _assemble(problem, splits, config.parameters, config.device, {**states, **bends})
            recipe = build_connect(config, base)
            _warn(recipe.notes)
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
        splits: the examples by name, ``train`` and optionally ``test``.
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
    states, begun = _name_states(networks), _name_states(starts or {})
    if len(states) < 2:
        raise BadInput(f"a comparison needs two or more networks; got {len(states)}: give all, by name")
    for called, named in (("starts", begun), ("groups", groups or {})):
        if strangers := [name for name in named if name not in states]:
            raise BadInput(f"{strangers[0]!r} in {called} is not a name of a network; expected {', '.join(states)}")
    config = _configure(CompareConfig, settings, splits, runs=tuple(states))
    folder = _find_folder(path)
    with show_progress(progress) as reporter, keep_module(problem.module):
        known = {**states, **{name + START: state for name, state in begun.items()}}
        base = _assemble(problem, splits, ("*",), config.device, known)
        recipe = _gather(config, base, tuple(states), begun, groups or {})
        _warn(recipe.notes)
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
            optionally ``test``.
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
    _check_splits(splits)
    if split is not None:
        if not isinstance(split, str) or split not in splits:
            raise BadInput(f"{split!r} is not one of the splits; expected {' or '.join(splits)}")
        settings = {**settings, "splits": split}
    states = {} if along else _name_states({"network": problem.module} if networks is None else networks)
    config = _configure(SpectraConfig, settings, splits, networks=tuple(states))
    kept: dict[str, dict[str, Slice]] = {LEADING: {}, NEGATIVE: {}}
    with show_progress(progress) as reporter, keep_module(problem.module):
        base = _assemble(problem, splits, config.parameters, config.device, states)
        recipe = build_spectra(config, base)
        _warn(recipe.notes)
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


def _name_states(networks: Sequence[Network] | Mapping[str, Network], called: str = "network") -> dict[str, Params]:
    """Copy parameters and buffers, by the names of the networks; those in a sequence are numbered.

    Raises:
        BadInput: a name could be mistaken for a path, or a value is not a network.
    """
    named = networks if isinstance(networks, Mapping) else {f"{called} {k + 1}": one for k, one in enumerate(networks)}
    states = {}
    for name, one in named.items():
        if not isinstance(name, str) or not name.isprintable() or not name or {"/", "@", "#"} & set(name):
            raise BadInput(f"{name!r} is not a name of a network; expected printable characters without /, @ and #")
        if isinstance(one, nn.Module):
            states[name] = copy_state(one)
        elif isinstance(one, Mapping):
            states[name] = {
                key: value.detach().clone() if isinstance(value, Tensor) else value for key, value in one.items()
            }
        else:
            raise BadInput(
                f"{name}, a {type(one).__name__}, is not a network; expected a module, or its tensors by name"
            )
    return states


def _configure(kind: type[C], settings: Mapping[str, Any], splits: Mapping[str, Any], **names: tuple[str, ...]) -> C:
    """Make a configuration from the given settings, for the given splits and networks.

    A setting that is text on the command line may be a number here, and a list with one entry may be that entry.

    Raises:
        BadInput: a setting is unknown, or is passed as an object here.
    """
    for name, instead in GIVEN.items():
        if {name, f"{name}_options"} & set(settings):
            raise BadInput(f"{name} is not a setting in Python, where {instead}; leave it out")
    usual = kind()
    flat: dict[str, Any] = {"splits": [name for name in usual.splits if name in splits], **names}
    for name, value in settings.items():
        value = value.item() if isinstance(value, np.generic) else value
        default = getattr(usual, name, None)
        if isinstance(default, tuple) and isinstance(value, (str, int, float)):
            value = [value]
        elif isinstance(default, str) and isinstance(value, (int, Path)) and not isinstance(value, bool):
            value = str(value)
        flat[name] = value
    return kind.from_flat({name: list(value) if isinstance(value, tuple) else value for name, value in flat.items()})


def _find_folder(path: Path | str | None) -> Path | None:
    """Return the folder that results are kept in; None keeps them in memory.

    Raises:
        BadInput: the path is empty or not that of a folder.
    """
    if path is None:
        return None
    if not str(path) or (Path(path).exists() and not Path(path).is_dir()):
        raise BadInput(f"path {str(path)!r} is not a folder; expected a new or empty one: give one, or leave it out")
    return Path(path)


def _warn(notes: Iterable[str]) -> None:
    """Warn of what the command line prints as notes."""
    for note in notes:
        warnings.warn(note, Caution, stacklevel=3)


def _assemble(
    problem: Problem,
    splits: Mapping[str, Split | Source],
    parameters: Sequence[str],
    device: str,
    networks: Mapping[str, Params],
) -> ProblemRecipe:
    """Assemble the objects that a configuration would name.

    Raises:
        BadInput: the split ``train`` is missing, or there are other splits than ``train`` and ``test``.
    """
    _check_splits(splits)
    named = name_splits(splits)
    data = Dataset("given", named["train"], named.get("test"))
    where = find_device(device)
    space = WeightSpace(problem.module, parameters)
    return ProblemRecipe(problem, space, data, data.train.to(where), where, networks)


def _check_splits(splits: Mapping[str, Any]) -> None:
    """Refuse splits by other names.

    Raises:
        BadInput: the split ``train`` is missing, or there are other splits than ``train`` and ``test``.
    """
    if "train" not in splits or set(splits) - {"train", "test"}:
        raise BadInput(
            f"{', '.join(map(str, splits)) or 'nothing'} is not a choice of splits; expected train, and optionally test"
        )


def _handle(folder: Path | None, reporter: Reporter) -> Handling:
    """Return the handling of a job without a run directory and without pictures."""
    return Handling(folder or Path(), math.inf, pictures=False, reporter=reporter, stop=lambda: False)
