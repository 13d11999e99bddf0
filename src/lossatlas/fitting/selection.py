"""Which weights a chart has at the end of a fit: those of the last step, an average of the last ones, or the best."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from lossatlas.bounds import Bounded, Count, OpenShare, Tally
from lossatlas.charts import CoefficientChart
from lossatlas.data import Split
from lossatlas.engine import Engine, StreamingMetric
from lossatlas.errors import BadInput
from lossatlas.files.reading import convert
from lossatlas.files.tensors import check_alike
from lossatlas.fitting.running_mean import RunningMean
from lossatlas.metrics import choose_streaming_metrics
from lossatlas.objectives import Objective, Scoring
from lossatlas.types import Source

__all__ = ["KeepBest", "Kept", "Selection"]

BEST = "best."
"""The prefix of the best parameters so far, among the tensors of a stored fit."""
LOOK = 3.0
"""Forward passes that cost as much as a forward and a backward pass."""


@final
@dataclass(frozen=True)
class KeepBest(Bounded):
    """Keep the chart that scored best on examples that are not fitted, instead of that of the last step.

    At intervals of the budget a fit *looks*: it evaluates what :meth:`Objective.make_scoring` says on the held-out
    examples. Since single steps at the full learning rate scatter, a look judges the mean of the trained parameters
    since the look before, and this mean is what is kept. Only looks within the last stage of the objective count, and
    of equal scores the last one. When a fit looks follows from its steps and its progress alone, so that fits with
    equal budgets in steps are equal.

    Args:
        held_out: the examples, such as the split ``holdout`` of :meth:`~lossatlas.Dataset.hold_out`, or anything that
            :meth:`Split.of` accepts. They must not be among those that are fitted.
        looks: the most looks in a whole budget.
        points: the most points of the chart that a look evaluates, the same in every look.
        share: the most that all looks may cost, as a share of the passes through networks that the steps made so far.
            A look that would cost more waits; that at the end is always taken.
        eval_batch_size: examples per batch.

    Raises:
        BadInput: a number is outside its range, or :meth:`Split.of` refuses the examples.

    >>> import lossatlas as la
    >>> data = la.load_data("digits").hold_out(134)
    >>> la.KeepBest(data.splits["holdout"]).looks
    40
    """

    held_out: Split | Source
    looks: Count = 40
    points: Count = 256
    share: OpenShare = 0.03
    eval_batch_size: Count = 500

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "held_out", Split.of(self.held_out))


@final
@dataclass(frozen=True)
class Kept:
    """The chart that a fit kept, as the record of the fit has it.

    Attributes:
        step: The number of steps after which the fit looked at what it kept.
        progress: The share of the budget that was used then.
        score: The score on the held-out examples.
        score_at_end: The score that the chart would have had at the end; NaN if it was not finite.
        name: What the score is, such as ``log_loss_correlation``.
        looks: How often the fit looked.
        points: The number of points of a look.
        examples: The number of held-out examples.
    """

    step: int
    progress: float
    score: float
    score_at_end: float
    name: str
    looks: int
    points: int
    examples: int


@dataclass(frozen=True)
class _State:
    """The state that is kept between steps, beside tensors."""

    looks: Tally
    mark: Tally | None
    averaged: Tally
    averaging: bool
    step: Tally
    progress: float
    score: float | None
    score_at_end: float | None


@final
class Selection:
    """Follows the trained parameters of a chart through a fit, and chooses those that it ends with.

    Args:
        chart: the chart, whose parameters are replaced when the fit is done.
        objective: the objective, which says what charts are judged by.
        engine: the engine that evaluates looks.
        metrics: the metrics of the loss, by name.
        keep_best: what the best chart is found with; None keeps that of the end.
        average_last: the share of the budget, in [0, 1], whose last steps are averaged; 0 for none.

    Raises:
        BadInput: the objective has no score, the share is not in [0, 1], or there is nothing of the kind to look at.
    """

    def __init__(
        self,
        chart: CoefficientChart,
        objective: Objective,
        engine: Engine,
        metrics: Mapping[str, StreamingMetric],
        keep_best: KeepBest | None,
        average_last: float,
    ) -> None:
        if not 0 <= average_last <= 1:
            raise BadInput(f"the average is of the last {average_last} of the budget; expected a share in [0, 1]")
        self._chart, self._engine = chart, engine
        self._average_last = average_last
        self._params: dict[str, nn.Parameter] = {n: p for n, p in chart.named_parameters() if p.requires_grad}
        self._mean = RunningMean(self._params)
        self._averaging = False
        self._options = keep_best
        self._scoring: Scoring | None = None
        if keep_best is not None:
            self._scoring = objective.make_scoring(
                keep_best.points, {**metrics, **choose_streaming_metrics(engine.network.loss, objective.scored_by)}
            )
            if self._scoring is None:
                raise BadInput(
                    f"{type(objective).__name__} does not say how good a chart is on held-out examples; leave "
                    "keep_best out, or give the objective a make_scoring"
                )
            self._held_out = Split.of(keep_best.held_out).to(engine.network.device)
        self._best: dict[str, Tensor] = {}
        self._looks = self._step = self._looked_at = 0
        self._mark: int | None = None
        self._progress = 0.0
        self._score: float | None = None
        self._score_at_end: float | None = None

    @property
    def passes(self) -> int:
        """Return how many examples went forward through a network in all looks, counted for each network."""
        return self._looks * self._look_passes

    @property
    def held_bytes(self) -> int:
        """Return the bytes of the mean and of the best parameters so far."""
        return self._mean.held_bytes + sum(value.numel() * value.element_size() for value in self._best.values())

    @property
    def averaged(self) -> int:
        """Return how many steps the average of the last weights is made of so far; 0 where none is made."""
        return self._mean.count if self._averaging else 0

    @property
    def kept(self) -> Kept | None:
        """Return what is kept so far; None where nothing is, or no score was finite."""
        if self._scoring is None or self._score is None:
            return None
        at_end = math.nan if self._score_at_end is None else self._score_at_end
        return Kept(
            self._step,
            self._progress,
            self._score,
            at_end,
            self._scoring.name,
            self._looks,
            len(self._scoring.coords),
            len(self._held_out),
        )

    def follow(self, step: int, progress: float, final: bool, passes: int) -> dict[str, float]:
        """Take the parameters after a step, and look at them where that is due.

        Args:
            step: the number of steps that were made.
            progress: the share of the budget that is used.
            final: whether the objective is in its last stage.
            passes: examples that went through a network forward and backward so far, looks not counted.

        Returns:
            ``held_out_score`` if the fit has looked at this step and the score is finite.
        """
        if not final:
            return {}
        if self._average_last and not self._averaging and progress > 1 - self._average_last:
            self._averaging = True
            self._mean.clear()
        if self._averaging or self._options is not None:
            self._mean.add(self._params)
        if self._options is None:
            return {}
        mark = int(progress * self._options.looks)
        if self._mark is None:  # the stage begins, and the first look comes after an interval
            self._mark = mark
        affordable = (self.passes + self._look_passes) / LOOK <= self._options.share * passes
        if not (mark > self._mark and affordable):
            return {}
        self._mark = mark
        return self._look(step, progress)

    def finish(self, step: int, progress: float) -> dict[str, float]:
        """Give the chart the parameters that it ends with, after the last step, which has been followed.

        Returns:
            What :meth:`follow` returns, if a last look was still to be taken.
        """
        due = self._options is not None and self._mean.count and self._looked_at != step
        found = self._look(step, progress) if due else {}
        if self._best:
            self._put(self._best)
        elif self._averaging:
            self._put(self._mean.compute())
        return found

    def _look(self, step: int, progress: float) -> dict[str, float]:
        """Score the mean of the parameters, and remember it if it is the best so far."""
        mean = self._mean.compute()
        score = self._score_parameters(mean)
        self._looks, self._looked_at = self._looks + 1, step
        usable = math.isfinite(score)
        self._score_at_end = score if usable else None
        if usable and (self._score is None or score >= self._score):
            self._score, self._step, self._progress = score, step, min(progress, 1.0)
            self._best = mean
        if not self._averaging:
            self._mean.clear()
        return {"held_out_score": score} if usable else {}

    @property
    def _look_passes(self) -> int:
        return 0 if self._scoring is None else len(self._scoring.coords) * len(self._held_out)

    @torch.no_grad()
    def _score_parameters(self, values: Mapping[str, Tensor]) -> float:
        """Score the chart with other parameters; NaN where it is degenerate there."""
        assert self._scoring is not None
        assert self._options is not None
        with self._holding(values):
            try:
                controls = self._chart.controls()
            except BadInput:
                return math.nan
            coefficients = self._chart.mixture(self._scoring.coords, controls)
            found = self._engine.evaluate(
                coefficients, controls, self._held_out, self._scoring.metrics, self._options.eval_batch_size
            )
        return self._scoring.compute(found)

    @contextmanager
    def _holding(self, values: Mapping[str, Tensor]) -> Iterator[None]:
        """Give the chart other parameters within a context."""
        own = {name: parameter.detach().clone() for name, parameter in self._params.items()}
        self._put(values)
        try:
            yield
        finally:
            self._put(own)

    @torch.no_grad()
    def _put(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            self._params[name].copy_(value)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return tensors and JSON values from which :meth:`restore` continues bit for bit."""
        tensors = self._mean.state() | {BEST + name: value for name, value in self._best.items()}
        numbers = {
            "looks": self._looks,
            "mark": self._mark,
            "averaged": self._mean.count,
            "averaging": self._averaging,
            "step": self._step,
            "progress": self._progress,
            "score": self._score,
            "score_at_end": self._score_at_end,
        }
        return tensors, numbers

    def restore(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any] | None) -> None:
        """Continue from the state that :meth:`state` returned; None is that of a fit which kept no such state.

        Raises:
            ValueError: it is the state of a different fit.
        """
        if numbers is None:
            if self._options is not None or self._average_last:
                raise ValueError("it was written by a fit that kept neither the best chart nor an average")
            return
        stored = convert(dict(numbers), _State)
        best = {name.removeprefix(BEST): value for name, value in tensors.items() if name.startswith(BEST)}
        if (stored.score is None) == bool(best):
            raise ValueError("the best chart and its score are not both there")
        if best:
            check_alike(best, dict(self._params))
        self._mean.restore(tensors, stored.averaged)
        self._best = {name: value.to(self._params[name]).clone() for name, value in best.items()}
        self._looks, self._mark, self._averaging = stored.looks, stored.mark, stored.averaging
        self._step, self._progress = stored.step, stored.progress
        self._score, self._score_at_end = stored.score, stored.score_at_end
