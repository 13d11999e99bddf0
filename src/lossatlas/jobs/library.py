"""Curves and comparisons for Python: objects in, results out, as ``la.fit`` and ``la.survey`` do it.

What the command line reads from files is given here, and goes the same way from there on: the configurations, recipes
and engines are those of ``lossatlas connect`` and ``lossatlas compare``.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import xarray as xr
from torch import Tensor, nn

from lossatlas.charts import encode_chart
from lossatlas.data import Dataset, Split, named_splits
from lossatlas.engine import Plan
from lossatlas.errors import BadInput, Caution
from lossatlas.files.writing import atomic_write
from lossatlas.hashing import fingerprint
from lossatlas.jobs.along import CurveEvaluation
from lossatlas.jobs.compared import compare_predictions, make_comparison
from lossatlas.jobs.job import Handling
from lossatlas.jobs.results import Comparison, CurveResult
from lossatlas.jobs.survey import put_networks
from lossatlas.problem import Problem
from lossatlas.progress import Reporter, count_towards, show_progress
from lossatlas.recipes import CompareConfig, ConnectConfig
from lossatlas.recipes.compare import Compared, CompareRecipe, Origin, compute_extent, pair_networks
from lossatlas.recipes.compare_surveys import list_surveys
from lossatlas.recipes.connect import build_connect
from lossatlas.recipes.networks import copy_state, keep_module, load_networks
from lossatlas.recipes.problem import ProblemRecipe, find_device
from lossatlas.recipes.survey import build_survey
from lossatlas.rundir import CHART
from lossatlas.surveying import SurveyStore
from lossatlas.surveying.standing import score_network
from lossatlas.types import Params, Source
from lossatlas.weights import WeightSpace
from lossatlas.weights.files import load_state

__all__ = ["compare", "connect"]

Network = nn.Module | Mapping[str, Tensor]
"""A network of a problem's architecture: a module, or its named parameters and buffers."""
C = TypeVar("C", ConnectConfig, CompareConfig)
GIVEN = {
    **dict.fromkeys(("data", "model", "loss", "output"), "problem and splits say it"),
    **dict.fromkeys(("between", "runs"), "networks says it"),
}
"""Settings of a configuration that objects stand for, and which."""
START = "@0"
"""What is appended to a network's name for where its training started."""


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
    """Join trained networks by a curve of low loss, and evaluate what lies along it.

    Args:
        networks: two or more of one architecture, in their order along the curve: modules or their named tensors.
        problem: its module has that architecture, and is as it was when this returns.
        splits: examples by name, ``train`` and perhaps ``test``; the curve is trained on the former.
        start: networks that the bends start at; default the straight segments.
        path: a folder for the curve and its surveys, which is new or empty; None keeps all in memory.
        on_step: called with what each step came to.
        progress: whether to show how far it is; None shows it after two seconds, in a notebook or on a terminal.
        settings: options of ``lossatlas connect`` (:class:`~lossatlas.recipes.ConnectConfig`), such as
            ``curve="chain"``, ``steps=1000``, ``grid=61`` or ``plane=0``.

    Warns:
        Caution: the networks differ in a buffer, of which points between them have the first one's.

    Raises:
        BadInput: a setting that there is not, or networks, problem and examples that do not fit together.
        CannotFinish: the objective is not finite any more.
    """
    states = _name_states(networks)
    bends = {name + START: state for name, state in _name_states(start, "start").items()}  # as no network is called
    if len(states) < 2:
        raise BadInput(f"a curve joins two networks or more and {len(states)} is given; give the others, too")
    config = _configure(ConnectConfig, settings, splits, between=tuple(states), start=tuple(bends))
    folder = _find_folder(path)
    if folder is not None and folder.is_dir() and any(folder.iterdir()):
        raise BadInput(f"{path} is not empty; give each curve a folder of its own")
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
            atomic_write(folder / CHART, encode_chart(recipe.chart))
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
    """Compare trained networks of one architecture: what lies between every two, around each, and what they predict.

    Args:
        networks: two or more by name: modules or their named tensors.
        problem: its module has that architecture, and is as it was when this returns.
        splits: examples by name, ``train`` and perhaps ``test``.
        starts: by name the weights that trainings started from; two networks span a surface with them.
        groups: by name what networks are called together that differ in nothing but chance; default each by itself.
        path: a folder for the surveys, which are continued where they are there; None keeps them in memory.
        progress: whether to show how far it is; None shows it after two seconds, in a notebook or on a terminal.
        settings: options of ``lossatlas compare`` (:class:`~lossatlas.recipes.CompareConfig`), such as ``grid=(22,)``,
            ``line=41`` or ``repeats=3``.

    Returns:
        The labelled data: see :func:`lossatlas.jobs.compared.make_comparison`. ``la.view`` draws them.

    Raises:
        BadInput: a setting that there is not, or networks, problem and examples that do not fit together.

    Warns:
        Caution: the networks differ in a buffer, of which points between them have the first one's.
    """
    states, begun = _name_states(networks), _name_states(starts or {})
    if len(states) < 2:
        raise BadInput(f"a comparison needs two networks or more and has {len(states)}; give the others, too")
    for called, named in (("starts", begun), ("groups", groups or {})):
        if strangers := [name for name in named if name not in states]:
            raise BadInput(
                f"{called} names {strangers[0]!r}, which is not among the networks; expected {', '.join(states)}"
            )
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


def _survey_between(
    config: CompareConfig, recipe: CompareRecipe, base: ProblemRecipe, folder: Path | None, reporter: Reporter
) -> dict[tuple[str, tuple[int, ...]], xr.Dataset]:
    """The surveys between networks and around them, by kind and by the numbers of the networks."""
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

        with SurveyStore.of_chart(store, surveyed.chart, surveyed.grid, surveyed.site.labels) as opened:
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
    """The networks of a comparison, with what they come to on all examples."""
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
    """Loss and accuracy of a network by ``<split>_<metric>``, on all examples of each split."""
    load_state(base.problem.module, state, name)
    return score_network(base.problem, base.space, base.take_examples("all", base.data.splits), eval_batch_size)


def _name_states(networks: Sequence[Network] | Mapping[str, Network], called: str = "network") -> dict[str, Params]:
    """Copies of parameters and buffers by the names of the networks; those in a sequence are numbered.

    Raises:
        BadInput: a name could be a path, or something is not a network.
    """
    named = networks if isinstance(networks, Mapping) else {f"{called} {k + 1}": one for k, one in enumerate(networks)}
    states = {}
    for name, one in named.items():
        if not isinstance(name, str) or not name.isprintable() or not name or {"/", "@", "#"} & set(name):
            raise BadInput(f"a network is called {name!r}; expected a name in letters, without /, @ and #")
        if isinstance(one, nn.Module):
            states[name] = copy_state(one)
        elif isinstance(one, Mapping):
            states[name] = {
                key: value.detach().clone() if isinstance(value, Tensor) else value for key, value in one.items()
            }
        else:
            raise BadInput(f"{name} is a {type(one).__name__}; expected a module, or its tensors by name")
    return states


def _configure(kind: type[C], settings: Mapping[str, Any], splits: Mapping[str, Any], **names: tuple[str, ...]) -> C:
    """A configuration of settings that may be left out, on the splits and networks that there are.

    A setting that the command line writes as text may be a number here, and a list with one entry that entry.

    Raises:
        BadInput: there is no such setting, or it is what objects say here.
    """
    for name, instead in GIVEN.items():
        if {name, f"{name}_options"} & set(settings):
            raise BadInput(f"{name} is a setting of the command line; here {instead}: leave it out")
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
    """The folder that results are kept in; None keeps them in memory.

    Raises:
        BadInput: the path is empty, or leads to something else.
    """
    if path is None:
        return None
    if not str(path) or (Path(path).exists() and not Path(path).is_dir()):
        raise BadInput(f"path is {str(path)!r}, which is not a folder; give a new or empty one, or leave it out")
    return Path(path)


def _warn(notes: Iterable[str]) -> None:
    """Tell whoever called from Python what the command line prints."""
    for note in notes:
        warnings.warn(note, Caution, stacklevel=3)


def _assemble(
    problem: Problem,
    splits: Mapping[str, Split | Source],
    parameters: Sequence[str],
    device: str,
    networks: Mapping[str, Params],
) -> ProblemRecipe:
    """The objects that a configuration would stand for.

    Raises:
        BadInput: there are no examples to train on, or others than those of training and test.
    """
    if "train" not in splits or set(splits) - {"train", "test"}:
        raise BadInput(f"splits are {', '.join(splits) or 'missing'}; expected train, and perhaps test")
    named = named_splits(splits)
    data = Dataset("given", named["train"], named.get("test"))
    where = find_device(device)
    space = WeightSpace(problem.module, parameters)
    return ProblemRecipe(problem, space, data, data.train.to(where), where, networks)


def _handle(folder: Path | None, reporter: Reporter) -> Handling:
    """How work is carried out that has no run directory."""
    return Handling(folder or Path(), math.inf, pictures=False, reporter=reporter, stop=lambda: False)
