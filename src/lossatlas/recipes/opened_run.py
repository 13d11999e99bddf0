"""Run directories as objects: one way from a path to what a run was made of and what it found.

Importing this module imports no torch, so that pictures of a run are redrawn quickly; whoever asks for a chart, a
problem or an engine does.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lossatlas.cards import choose_numbers, write_card
from lossatlas.describing import write_repr
from lossatlas.errors import BadInput, LossatlasError
from lossatlas.files.reading import resolved
from lossatlas.provenance import Provenance
from lossatlas.recipes.base import AUTO, Config, ProblemConfig
from lossatlas.recipes.compare_config import CompareConfig
from lossatlas.recipes.connect_config import ConnectConfig
from lossatlas.recipes.first_picture import draw_first_picture
from lossatlas.recipes.fit_config import FitConfig
from lossatlas.recipes.inputs import find_inputs, respell_inputs
from lossatlas.recipes.options import fill_defaults
from lossatlas.recipes.survey_config import SurveyConfig
from lossatlas.recipes.train_config import TrainConfig
from lossatlas.rundir import CHART, MODEL, SUMMARY, SURVEY, RunDirectory
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
    kind.verb: kind for kind in (TrainConfig, FitConfig, ConnectConfig, SurveyConfig, CompareConfig)
}
"""The configurations of runs, by the verb that makes them."""
DATA_SETTINGS = ("data", "data.folder")
"""Settings without which there is no problem."""
CENTRE = ("checkpoint", "between", "trajectory")
"""Settings that name the network that a chart lies around or begins at."""
CHARTED = (FitConfig.verb, ConnectConfig.verb, SurveyConfig.verb)
"""Verbs whose runs come to a chart and a survey."""
UNTOLD = ("held_bytes", "held_bytes_of_separate_models", "peak_memory_bytes")
"""Of the summary of a run, what a notebook does not show."""
ADVICE = "give a run of fit, survey or connect, once it has surveyed, or one in the folder surveys of a comparison"
"""Where there is no survey."""


def open_run(path: Path | str) -> OpenedRun:
    """A run directory as objects.

    Args:
        path: of a run of ``lossatlas train``, ``fit``, ``connect``, ``survey`` or ``compare``, finished or not.

    Raises:
        BadInput: there is no run of this version of lossatlas.
    """
    return OpenedRun(path)


class OpenedRun:
    """A run as objects, each of which is made of the run's own record when it is first asked for.

    What is not there any more (data that were moved, a ``module:callable`` that is gone), or is another one by now, is
    told in one line by whoever needs it; all else can be had. The run may have been moved, and is not changed.

    Args:
        path: the run directory.
        advice: what to do where it is not one.

    Raises:
        BadInput: it is not one.
    """

    def __init__(self, path: Path | str, advice: str = "name a run directory") -> None:
        self.directory = RunDirectory(path)
        self.directory.check(advice)

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

    @property
    def path(self) -> Path:
        """Of the run directory."""
        return self.directory.path

    @cached_property
    def provenance(self) -> Provenance:
        """Where the run comes from: versions, plan, device, hashes of its inputs."""
        return self.directory.provenance()

    @property
    def verb(self) -> str:
        """The verb that made the run.

        Raises:
            BadInput: the record does not say one that there is.
        """
        if self.provenance.verb not in CONFIGS:
            raise BadInput(f"{self.path} does not say which verb made it; make the run anew")
        return self.provenance.verb

    @property
    def finished(self) -> bool:
        """Whether the run came to its end."""
        return self.directory.finished

    @property
    def summary(self) -> dict[str, Any]:
        """The numbers that the run came to, JSON types.

        Raises:
            BadInput: it is not finished, or they cannot be read.
        """
        if not self.finished:
            raise self._lack("summary", "make the run anew")
        return self.directory.read_json(SUMMARY)

    def _lack(self, thing: str, advice: str, verbs: Collection[str] = tuple(CONFIGS)) -> BadInput:
        """That the run has something not, which runs of some verbs come to in the end."""
        if self.provenance.verb in verbs and not self.finished:
            advice = f"it is not finished: continue it with lossatlas {self.verb} --out {self.path} --resume"
        return BadInput(f"{self.path} holds no {thing}; {advice}")

    def find_settings(self, needed: Collection[str] | None = (), given: Collection[str] = ()) -> dict[str, Any]:
        """The flat configuration, with paths as they lead to its inputs from here (``recipes.inputs.find_inputs``)."""
        return find_inputs(self.directory, needed, given)

    def respell_settings(self, config: Config) -> dict[str, Any]:
        """The flat configuration as another one spells it, with what it does not say.

        An option that is younger than the run has there what the run did without it: its default. Paths are spelled as
        the other configuration has them wherever they may mean the same.
        """
        return respell_inputs(self.directory, fill_defaults(type(config), self.directory.config()), config.flat())

    def read_config(self, *needed: str) -> Config:
        """The configuration, with paths as they lead to its inputs from here.

        Args:
            needed: settings whose files and folders have to be there.

        Raises:
            BadInput: one of them is nowhere, or the configuration cannot be read.
        """
        kind = CONFIGS[self.verb]
        try:
            return kind.from_flat(self.find_settings(needed))
        except BadInput as error:
            if "these are not the settings" not in str(error):
                raise
            raise BadInput(f"{self.path} has a config.yaml that cannot be read ({error}); make the run anew") from error

    @cached_property
    def config(self) -> Config:
        """The configuration, whether or not its inputs are still there."""
        return self.read_config()

    @cached_property
    def maker(self) -> OpenedRun:
        """The run that made the chart: one that surveyed the chart of another run has it from there.

        Raises:
            BadInput: such a run is gone, or two are said to have it from each other.
        """
        made, seen = self, {resolved(self.path)}
        while before := made.find_settings({"run"}).get("run"):
            made = OpenedRun(str(before))
            if resolved(made.path) in seen:
                raise BadInput(f"the charts of {self.path} and {made.path} are said to be each other's; make one anew")
            seen.add(resolved(made.path))
        return made

    @cached_property
    def chart(self) -> Chart:
        """The chart of a fit, a curve or a survey.

        Raises:
            BadInput: the run has none, or its file is damaged.
        """
        from lossatlas.charts import CHARTS, CoefficientChart, load_chart
        from lossatlas.charts.files import read_kind

        path = self.path / CHART
        if not path.is_file():
            raise self._lack("chart", "give a run of fit or survey, or survey a --checkpoint", CHARTED)
        if ":" in (kind := read_kind(path)) and kind not in CHARTS:  # nothing that the file alone names is imported
            stored = self.maker.find_settings()
            if kind in (stored.get("chart"), stored.get("curve")):
                CoefficientChart.named(kind)
        return load_chart(path)

    @cached_property
    def _unplaced(self) -> ProblemRecipe:
        """The objects of the problem, wherever its module stands."""
        from lossatlas.recipes.problem import build_problem, check_data_now

        config = self.read_config(*DATA_SETTINGS)
        if not isinstance(config, ProblemConfig):
            raise BadInput(f"{self.path} compares runs and has no problem of its own; open one of them")
        base = build_problem(config, getattr(config, "splits", ()))
        known, hint = self.provenance.fingerprints, "bring them back, or make the run anew"
        check_data_now(known, base.data, config.data, str(self.path), hint)
        return base

    @cached_property
    def base(self) -> ProblemRecipe:
        """The objects of the problem; the module stands where the run has it.

        That is the trained network of a training, the network that a chart lies around or begins at, and else the
        initialisation.

        Raises:
            BadInput: the run compares others; or its data or its network are gone, or have changed since.
        """
        self.maker.place_module(self._unplaced)
        self._check_network(self._unplaced)
        return self._unplaced

    def place_module(self, base: ProblemRecipe) -> tuple[str, ...]:
        """Bring a problem's module to the network of this run; returns what somebody should know of its file.

        Raises:
            BadInput: the network is gone, does not fit, or has changed since the run.
        """
        from lossatlas.recipes.networks import bring_module
        from lossatlas.training import Trajectory
        from lossatlas.training.weight_trajectory import WeightTrajectory
        from lossatlas.weights.files import load_state

        notes: tuple[str, ...] = ()
        if self.verb == TrainConfig.verb:
            if not (self.path / MODEL).is_file():
                raise self._lack("network", "train it anew")
            return bring_module(str(self.path), base)
        stored = self.find_settings({"checkpoint", "trajectory"})
        between = stored.get("between") or [None]
        if between[0] and not NetworkSpec.parse(between[0]).path.exists():
            self.find_settings({"between"})  # says where it was looked for; the others need not be there
        if spec := stored.get("checkpoint") or between[0]:
            notes = bring_module(str(spec), base)
        elif folder := stored.get("trajectory"):
            last = WeightTrajectory(Trajectory.of(Path(str(folder))), base.space).snapshots[-1]
            load_state(base.problem.module, last.state(), f"the end of {folder}")
        self._check_network(base)
        return notes

    def _check_network(self, base: ProblemRecipe) -> None:
        """Refuse a module that does not stand at the network that the run has it at, as far as its record says.

        The initialisation that a chart was started from counts only where points of the chart do not say all of a
        network: somebody may choose another seed for a survey of it.

        Raises:
            BadInput: it stands elsewhere.
        """
        from lossatlas.recipes.problem import hash_network

        known = self.provenance.fingerprints
        was = known.get("centre", known.get("module"))
        if self.verb == TrainConfig.verb or was is None or was == hash_network(base.problem.module):
            return
        stored = self.maker.find_settings()
        if any(stored.get(name) for name in CENTRE) or not _says_all(base):
            raise BadInput(
                f"the network that {self.path} was made of has changed since, so its chart does not lie around it now; "
                "make that run anew"
            )

    @property
    def stated_buffers(self) -> str | None:
        """What running statistics are said to mean in the run's survey; None where that is what is usual."""
        stored = self.find_settings()
        said = [stored.get(name, AUTO) for name in ("survey_buffers", "buffers")]
        return next((str(policy) for policy in said if policy != AUTO), None)

    @cached_property
    def recipe(self) -> ChartRecipe[Any]:
        """The objects that evaluate networks on the chart, as the run's survey does."""
        from lossatlas.charts import CoefficientChart
        from lossatlas.engine.usual import usual_buffers
        from lossatlas.recipes.chart_recipe import ChartRecipe

        chart, base = self.chart, self.base
        if not isinstance(chart, CoefficientChart):
            raise BadInput(f"the chart of {self.path} is not made of control vectors, which the engine needs")
        config = cast("SurveyConfig", self.config)
        stated = self.stated_buffers or self.maker.stated_buffers
        policy = base.settle_buffers(stated) if stated else usual_buffers(chart, base.problem.module)
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
        """Module, loss and feed."""
        return self.base.problem

    @cached_property
    def splits(self) -> dict[str, Split]:
        """By name the examples that the run evaluates, on its device: of a training all, else those of its survey."""
        base, config = self._unplaced, self.config
        if isinstance(config, TrainConfig):
            return base.take_examples("all", base.data.splits)
        surveyed = cast("SurveyConfig", config)
        return base.take_examples(surveyed.examples, surveyed.splits)

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """By name what the run measures."""
        from lossatlas.metrics import metrics_for

        return metrics_for(self._unplaced.problem.loss, getattr(self.config, "metrics", (AUTO,)))

    @property
    def plan(self) -> Plan | str:
        """The plan that the run was carried out with; ``auto`` where it has none."""
        from lossatlas.engine import Plan

        return Plan.from_dict(self.provenance.plan) if self.provenance.plan else "auto"

    @cached_property
    def engine(self) -> Engine:
        """The engine of the run's survey: its plan, and what running statistics mean there.

        A training has no survey: its engine evaluates any points of weight space, with the statistics that the trained
        network has.
        """
        from lossatlas.surveying.standing import Standing

        if not isinstance(self.config, TrainConfig):
            return self.recipe.build_engine(self.plan)
        base, batch_size = self.base, self.config.eval_batch_size
        return Standing(base.problem, base.space, self.splits["train"], eval_batch_size=batch_size).engine

    @cached_property
    def survey(self) -> xr.Dataset:
        """The survey, in memory.

        Raises:
            BadInput: there is none yet, or it is damaged.
        """
        from lossatlas.surveying.store import read_survey

        return read_survey(self._find_store())

    def _find_store(self) -> Path:
        if not (self.path / SURVEY).is_dir():
            raise self._lack("survey", ADVICE, CHARTED)
        return self.path / SURVEY

    def read_damaged_survey(self) -> tuple[xr.Dataset, list[str]]:
        """The survey as far as it can be read, and a line for each part that is damaged.

        Raises:
            BadInput: there is none, or nothing of it can be read.
        """
        from lossatlas.exchange import readable

        return readable(self._find_store())


def _says_all(base: ProblemRecipe) -> bool:
    """Whether a point of weight space is a whole network, but for running statistics, of which policies take care."""
    from lossatlas.recipes.networks import list_statistics

    spanned = {name for entry in base.space.entries for name in entry.names}
    return set(base.problem.module.state_dict()) <= spanned | list_statistics(base.problem.module)
