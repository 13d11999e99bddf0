"""Run directories as objects: from a path to the chart, the problem, the data and the survey of a run.

Importing this module does not import torch, so that pictures of a run are redrawn quickly; torch is imported when a
chart, a problem or an engine is used.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lossatlas.cards import choose_numbers, write_card
from lossatlas.describing import write_repr
from lossatlas.errors import BadInput, LossatlasError
from lossatlas.files.reading import Unreadable, parse_json, read_json, resolve_path
from lossatlas.files.stores import METADATA, ArrayHead, GroupHead
from lossatlas.provenance import Provenance
from lossatlas.recipes.base import AUTO, Config, NotSettings, ProblemConfig
from lossatlas.recipes.compare_config import CompareConfig
from lossatlas.recipes.connect_config import ConnectConfig
from lossatlas.recipes.ensemble_config import EnsembleConfig
from lossatlas.recipes.first_picture import draw_first_picture
from lossatlas.recipes.fit_config import FitConfig
from lossatlas.recipes.inputs import find_inputs, respell_inputs
from lossatlas.recipes.options import fill_defaults
from lossatlas.recipes.shared_config import MetricsConfig
from lossatlas.recipes.spectra_config import SpectraConfig
from lossatlas.recipes.survey_config import SurveyConfig
from lossatlas.recipes.train_config import TrainConfig
from lossatlas.rundir import CHART, MODEL, SUMMARY, SURVEY, RunDirectory
from lossatlas.schema import AVERAGED_FROM, RANDOM_DIRECTIONS
from lossatlas.specs import NetworkSpec

if TYPE_CHECKING:
    import xarray as xr

    from lossatlas.charts import Chart
    from lossatlas.data import Split
    from lossatlas.engine import Engine, Metric, Plan
    from lossatlas.problem import Problem
    from lossatlas.recipes.chart_recipe import ChartRecipe
    from lossatlas.recipes.problem import ProblemRecipe

__all__ = ["CONFIGS", "DATA_SETTINGS", "OpenedRun", "open_run"]

CONFIGS: dict[str, type[Config]] = {
    kind.verb: kind
    for kind in (TrainConfig, FitConfig, ConnectConfig, SurveyConfig, CompareConfig, SpectraConfig, EnsembleConfig)
}
"""The configuration classes by verb."""
DATA_SETTINGS = ("data", "data.folder")
"""The settings that the problem of a run needs."""
CENTRE = ("checkpoint", "between", "networks", "trajectory", "posterior")
"""The settings that name the network at the centre or the start of a chart."""
CHARTED = (FitConfig.verb, ConnectConfig.verb, SurveyConfig.verb)
"""The verbs whose runs have a chart and a survey."""
UNTOLD = ("held_bytes", "held_bytes_of_separate_models", "peak_memory_bytes")
"""The numbers of a summary that a notebook does not show."""
ADVICE = "give a run of fit, survey or connect, once it has surveyed, or one in the folder surveys of a comparison"
"""The advice for a run without a survey."""


def open_run(path: Path | str) -> OpenedRun:
    """Open a run directory as objects, each of which is made from the run's own record when it is first used.

    Args:
        path: the directory of a run of ``lossatlas train``, ``fit``, ``connect``, ``survey``, ``compare``,
            ``curvature`` or ``ensemble``, finished or not. It may have been moved, and is not changed.

    Returns:
        The run, with its ``chart``, ``problem``, ``splits``, ``engine``, ``metrics``, ``config`` and ``survey``.

    Raises:
        BadInput: the path is not that of a run of this version of lossatlas.

    >>> import tempfile, lossatlas as la
    >>> from lossatlas.jobs.train import run_train
    >>> from lossatlas.recipes import TrainConfig
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = run_train(TrainConfig(model_options={"hidden": (8,)}, epochs=1.0), f"{folder}/net")
    ...     run = la.open_run(f"{folder}/net")
    ...     run.verb, run.finished, sorted(run.splits), run.config.optimizer
    ('train', True, ['test', 'train'], 'adam')
    """
    return OpenedRun(path)


class OpenedRun:
    """A run as objects, each of which is made from the run's own record when it is first used.

    An input that is missing or has changed since (data, a ``module:callable``, a checkpoint) raises an error only where
    it is needed. The run may have been moved, and is not changed.

    Args:
        path: the run directory.
        advice: the advice in the message if the path is not that of a run.
        device: the device to compute on, instead of the one that the run states.

    Raises:
        BadInput: the path is not that of a run.
    """

    def __init__(self, path: Path | str, advice: str = "name a run directory", device: str | None = None) -> None:
        self.directory = RunDirectory(path)
        self.directory.check(advice)
        self._device = device

    def __repr__(self) -> str:
        return write_repr(self, lambda: repr(str(self.path)))

    def _repr_html_(self) -> str | None:
        """The run's verb, its main numbers and the first picture of its survey; None where it cannot be read."""
        try:
            state = "finished" if self.finished else "not finished"
            numbers = self.summary if self.finished else {}
            shown = draw_first_picture(self.survey) if (self.path / SURVEY).is_dir() else None
            title = f"{self.path}: a run of {self.verb}, {state}"
        except LossatlasError:
            return None
        return write_card(title, choose_numbers(numbers, [name for name in numbers if name not in UNTOLD]), shown)

    def forget(self) -> None:
        """Forget what was made of the run's record, which is read anew: of a run that was continued or replaced."""
        for name in [name for name in vars(self) if isinstance(getattr(type(self), name, None), cached_property)]:
            vars(self).pop(name, None)

    @property
    def path(self) -> Path:
        """Return the path of the run directory."""
        return self.directory.path

    @cached_property
    def provenance(self) -> Provenance:
        """Return the provenance of the run: versions, plan, device, hashes of its inputs."""
        return self.directory.provenance()

    @property
    def verb(self) -> str:
        """Return the verb that carried out the run.

        Raises:
            BadInput: the record lacks a known verb.
        """
        if self.provenance.verb not in CONFIGS:
            raise BadInput(f"{self.path} does not record its verb; carry out the run again")
        return self.provenance.verb

    @property
    def finished(self) -> bool:
        """Return whether the run is finished."""
        return self.directory.finished

    @property
    def summary(self) -> dict[str, Any]:
        """Return the numbers of the run's summary, as JSON values.

        Raises:
            BadInput: the run is not finished, or the summary cannot be read.
        """
        if not self.finished:
            raise self._lack("summary", "carry out the run again")
        return self.directory.read_json(SUMMARY)

    def _lack(self, thing: str, advice: str, verbs: Collection[str] = tuple(CONFIGS)) -> BadInput:
        """Return the error for something that the run lacks and that finished runs of some verbs have."""
        if self.provenance.verb in verbs and not self.finished:
            advice = f"it is not finished: continue it with lossatlas {self.verb} --out {self.path} --resume"
        return BadInput(f"{self.path} holds no {thing}; {advice}")

    def find_settings(self, needed: Collection[str] | None = (), given: Collection[str] = ()) -> dict[str, Any]:
        """Return the flat configuration, with paths that lead to its inputs from here
        (``recipes.inputs.find_inputs``).
        """
        return find_inputs(self.directory, needed, given)

    def respell_settings(self, config: Config) -> dict[str, Any]:
        """Return the flat configuration completed by defaults, with paths written as in another configuration.

        An option that is newer than the run is what the run did without it, which is mostly its default. Paths are
        written as in the other configuration wherever they may name the same input.
        """
        return respell_inputs(self.directory, fill_defaults(type(config), self.directory.config()), config.flat())

    def read_config(self, *needed: str) -> Config:
        """Return the configuration, with paths that lead to its inputs from here.

        Args:
            needed: the settings whose files and folders must exist.

        Raises:
            BadInput: one of these is missing, or the configuration cannot be read.
        """
        kind = CONFIGS[self.verb]
        try:
            device = {} if self._device is None else {"device": self._device}
            return kind.from_flat({**self.find_settings(needed), **device})
        except NotSettings as error:
            raise BadInput(
                f"{self.path} has a config.yaml that cannot be read ({error}); make the run again"
            ) from error

    @cached_property
    def config(self) -> Config:
        """Return the configuration, whether or not its inputs still exist."""
        return self.read_config()

    @cached_property
    def maker(self) -> OpenedRun:
        """Return the run in which the chart was made, which for a survey of another run's chart is that other run.

        Raises:
            BadInput: that run is missing, or two runs refer to each other.
        """
        made, seen = self, {resolve_path(self.path)}
        while before := made.find_settings({"run"}).get("run"):
            made = OpenedRun(str(before))
            if resolve_path(made.path) in seen:
                raise BadInput(
                    f"{self.path} and {made.path} refer to each other for their chart; carry out one of them again"
                )
            seen.add(resolve_path(made.path))
        return made

    @cached_property
    def chart(self) -> Chart:
        """Return the chart of a fit, a curve or a survey.

        Raises:
            BadInput: the run does not have a chart, or its file is damaged.
        """
        from lossatlas.charts import CHARTS, CoefficientChart, load_chart
        from lossatlas.charts.files import read_kind

        path = self.path / CHART
        if not path.is_file():
            raise self._lack(
                "chart", "give a run of fit or survey, or survey a --checkpoint", (*CHARTED, SpectraConfig.verb)
            )
        if ":" in (kind := read_kind(path)) and kind not in CHARTS:  # a module that only the file names is not imported
            stored = self.maker.find_settings()
            if kind in (stored.get("chart"), stored.get("curve")):
                CoefficientChart.named(kind)
        chart = load_chart(path)
        chart.axis_labels = {**chart.axis_labels, **self._read_labels(chart.axes)}
        with suppress(Unreadable, ValueError):
            attributes = read_json(self.path / SURVEY / METADATA, GroupHead).attributes
            chart.random_directions = parse_json(attributes.get(RANDOM_DIRECTIONS) or "{}", dict[str, Any])
        return chart

    def _read_labels(self, axes: Sequence[str]) -> dict[str, str]:
        """What the run's own survey calls axes of its chart, as far as it says so."""
        labels: dict[str, str] = {}
        for axis in axes:
            with suppress(Unreadable):
                label = read_json(self.path / SURVEY / axis / METADATA, ArrayHead).attributes.get("long_name")
                labels |= {axis: label} if isinstance(label, str) else {}
        return labels

    @cached_property
    def _unplaced(self) -> ProblemRecipe:
        """Return the recipe of the problem, with any weights in its module."""
        from lossatlas.recipes.problem import build_problem, check_data_now

        config = self.read_config(*DATA_SETTINGS)
        if not isinstance(config, ProblemConfig):
            raise BadInput(
                f"{self.path} compares runs and does not have a problem of its own; open one of the compared runs"
            )
        base = build_problem(config, getattr(config, "splits", ()))
        known, hint = self.provenance.fingerprints, "restore the data, or carry out the run again"
        check_data_now(known, base.data, config.data, str(self.path), hint)
        return base

    @cached_property
    def base(self) -> ProblemRecipe:
        """Return the recipe of the problem, with the network of the run in its module.

        That is the trained network of a training, the network at the centre or the start of a chart, or else the
        initialisation.

        Raises:
            BadInput: the run compares other runs, or its data or its network are missing or have changed since.
        """
        self.maker.place_module(self._unplaced)
        self._check_network(self._unplaced)
        return self._unplaced

    def place_module(self, base: ProblemRecipe) -> tuple[str, ...]:
        """Load the network of this run into the module of a problem; returns notes on its file.

        Raises:
            BadInput: the network is missing, does not fit, or has changed since the run.
        """
        from lossatlas.recipes.averages import place_end
        from lossatlas.recipes.held_out import check_held_out
        from lossatlas.recipes.networks import bring_module
        from lossatlas.training import Trajectory
        from lossatlas.training.weight_trajectory import WeightTrajectory
        from lossatlas.weights.files import load_state

        notes: tuple[str, ...] = ()
        if self.verb == TrainConfig.verb:
            if not (self.path / MODEL).is_file():
                raise self._lack("network", "train it again")
            return bring_module(str(self.path), base)
        check_held_out(self, base)
        base = replace(base, average_from=getattr(self.config, "average_from", AVERAGED_FROM))
        stored = self.find_settings({"checkpoint", "trajectory", "posterior"})
        several = next((name for name in ("between", "networks") if stored.get(name)), None)
        between: list[Any] = stored[several] if several else [None]
        if several and not NetworkSpec.parse(between[0]).path.exists():
            self.find_settings({several})  # the error says where it was looked for; the other inputs may be missing
        if spec := stored.get("checkpoint") or between[0]:
            notes = bring_module(str(spec), base)
        elif folder := stored.get("trajectory"):
            last = WeightTrajectory(Trajectory.of(Path(str(folder))), base.space).snapshots[-1]
            load_state(base.problem.module, last.state(), f"the end of {folder}")
        elif folder := stored.get("posterior"):
            notes = place_end(Path(str(folder)), base)
        self._check_network(base)
        return notes

    def _check_network(self, base: ProblemRecipe) -> None:
        """Refuse a module that does not hold the network of the run, as far as its record tells.

        The initialisation that a chart was started from matters only if points of the chart do not determine a network
        completely: a survey of the chart may have another seed.

        Raises:
            BadInput: the module holds another network.
        """
        from lossatlas.recipes.problem import hash_network

        known = self.provenance.fingerprints
        was = known.get("centre", known.get("module"))
        if self.verb == TrainConfig.verb or was is None or was == hash_network(base.problem.module):
            return
        stored = self.maker.find_settings()
        if any(stored.get(name) for name in CENTRE) or not _says_all(base):
            raise BadInput(
                f"the network of {self.path} has changed since, so it is not the centre of the run's chart; carry out "
                "that run again"
            )

    @property
    def stated_buffers(self) -> str | None:
        """Return the buffers policy that the run states for its survey; None if it uses the default."""
        stored = self.find_settings()
        said = [stored.get(name, AUTO) for name in ("survey_buffers", "buffers")]
        return next((str(policy) for policy in said if policy != AUTO), None)

    @cached_property
    def recipe(self) -> ChartRecipe[Any]:
        """Return the recipe that evaluates networks on the chart as the run's survey does."""
        from lossatlas.engine.usual import choose_buffers
        from lossatlas.recipes.chart_recipe import ChartRecipe

        chart, base = self.chart, self.base
        config = cast("SurveyConfig", self.config)
        stated = self.stated_buffers or self.maker.stated_buffers
        policy = base.settle_buffers(stated) if stated else choose_buffers(chart, base.problem.module)
        return ChartRecipe(
            config=config,
            base=base,
            chart=chart.to(base.device),
            surveyed=self.splits,
            metrics=self.metrics,
            survey_buffers=base.make_buffers(policy, config),
        )

    @property
    def problem(self) -> Problem:
        """Return module, loss and feed."""
        return self.base.problem

    @cached_property
    def splits(self) -> dict[str, Split]:
        """Return the examples that the run evaluates, by split, on its device: those of its survey, or of a training
        all.
        """
        base, config = self._unplaced, self.config
        if isinstance(config, TrainConfig):
            return base.take_examples("all", base.data.splits)
        surveyed = cast("SurveyConfig", config)
        return base.take_examples(surveyed.examples, surveyed.splits)

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """Return the metrics of the run by name."""
        from lossatlas.metrics import choose_metrics
        from lossatlas.recipes.metrics import make_metrics
        from lossatlas.recipes.picture_kind import list_picture_metrics

        loss, config = self._unplaced.problem.loss, self.config
        further = list_picture_metrics(config, self._unplaced.data) if isinstance(config, FitConfig) else ()
        return make_metrics(loss, config, further) if isinstance(config, MetricsConfig) else choose_metrics(loss)

    @property
    def plan(self) -> Plan | str:
        """Return the plan of the run; ``auto`` if it does not record one."""
        from lossatlas.engine import Plan

        return Plan.from_dict(self.provenance.plan) if self.provenance.plan else "auto"

    @cached_property
    def engine(self) -> Engine:
        """Return the engine of the run's survey, with its plan and its buffers policy.

        A training does not have a survey; its engine evaluates points of weight space with the running statistics of
        the trained network.
        """
        from lossatlas.surveying.standing import Standing

        if not isinstance(self.config, TrainConfig):
            return self.recipe.build_engine(self.plan)
        base, batch_size = self.base, self.config.eval_batch_size
        return Standing(base.problem, base.space, self.splits["train"], eval_batch_size=batch_size).engine

    @cached_property
    def survey(self) -> xr.Dataset:
        """Return the survey, in memory.

        Raises:
            BadInput: the survey does not exist yet, or it is damaged.
        """
        from lossatlas.surveying.store import read_survey

        return read_survey(self.find_store())

    @cached_property
    def curvature(self) -> xr.Dataset:
        """Return what is measured of curvature, in memory; NaN stands for what is not measured yet.

        Raises:
            BadInput: the run has not measured curvature, or its data are damaged.
        """
        from lossatlas.exchange.curvature import CURVATURE, read_curvature

        if not (self.path / CURVATURE).is_file():
            raise self._lack("curvature", "give a run of lossatlas curvature", (SpectraConfig.verb,))
        return read_curvature(self.path)

    @cached_property
    def ensemble(self) -> xr.Dataset:
        """Return the scores of an ensemble, in memory.

        Raises:
            BadInput: the run has not scored an ensemble, or its data are damaged.
        """
        from lossatlas.exchange.ensemble import ENSEMBLE, read_ensemble

        if not (self.path / ENSEMBLE).is_file():
            raise self._lack("ensemble", "give a run of lossatlas ensemble", (EnsembleConfig.verb,))
        return read_ensemble(self.path)

    def find_store(self) -> Path:
        """Return the path of the survey, which may be unfinished or damaged.

        Raises:
            BadInput: the survey does not exist yet.
        """
        if not (self.path / SURVEY).is_dir():
            raise self._lack("survey", ADVICE, CHARTED)
        return self.path / SURVEY

    def read_damaged_survey(self) -> tuple[xr.Dataset, list[str]]:
        """Read the undamaged parts of the survey; returns them with a line for each damaged part.

        Raises:
            BadInput: the survey does not exist, or all of it is damaged.
        """
        from lossatlas.exchange import read_undamaged

        return read_undamaged(self.find_store())


def _says_all(base: ProblemRecipe) -> bool:
    """Return whether a point of weight space determines a network, apart from running statistics."""
    from lossatlas.recipes.networks import list_statistics

    spanned = {name for entry in base.space.entries for name in entry.names}
    return set(base.problem.module.state_dict()) <= spanned | list_statistics(base.problem.module)
