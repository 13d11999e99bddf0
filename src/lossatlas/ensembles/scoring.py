"""All scores of an ensemble, against the number of members."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import torch
import xarray as xr
from torch import Tensor

from lossatlas.ensembles.averaged import AveragedClasses, list_blocks, start_average
from lossatlas.ensembles.calibration import HIGHEST, LOWEST
from lossatlas.ensembles.crossing import choose_orders, cross, fit_given, fit_greedy, measure, score_greedy
from lossatlas.ensembles.diversity import measure_diversity
from lossatlas.ensembles.halves import check_halves, halve
from lossatlas.ensembles.layout import Layout
from lossatlas.ensembles.predictions import CLASSES, Predictions, Rows
from lossatlas.ensembles.prefixes import PrefixAverages
from lossatlas.ensembles.reliability import Reliability
from lossatlas.ensembles.sampling import Measured, Sampling, Tallies
from lossatlas.ensembles.scores import Score, make_scores
from lossatlas.ensembles.settings import ScoringSettings
from lossatlas.errors import BadInput, Caution
from lossatlas.schema import InEnsemble

__all__ = ["check_rows", "score_ensemble"]

ROUNDING = 1e-3
"""By how much the sum of probabilities may be off."""


def score_ensemble(
    predictions: Predictions,
    settings: ScoringSettings | None = None,
    on_share: Callable[[float], object] = lambda _: None,
) -> xr.Dataset:
    """Score averages of members' predictions: raw and with temperatures, in the given and in greedy order.

    Args:
        predictions: the predictions of K members for N rows, which are read member by member.
        settings: what is computed; the usual settings by default.
        on_share: told which share of the work is done.

    Returns:
        What :class:`lossatlas.schema.InEnsemble` describes. It warns where a likelihood is infinite or undefined,
        and where temperatures are at a bound.

    Raises:
        BadInput: there are fewer than two members or examples, a prediction is not a number, probabilities do not sum
            to 1, or the examples are too few for halves.

    >>> import lossatlas.ensembles as ensembles
    >>> labels = torch.tensor([0, 1]).repeat(20)
    >>> logits = torch.randn(3, 40, 2, generator=torch.Generator().manual_seed(0)) + 2 * torch.eye(2)[labels]
    >>> rows = ensembles.Rows("classes", labels, 2, torch.arange(40), 40)
    >>> found = score_ensemble(ensembles.Predictions(["a", "b", "c"], rows, logits.log_softmax(2)))
    >>> [round(float(found.nll.sel(count=k)), 3) for k in (1, 2, 3)]
    [0.285, 0.217, 0.206]
    """
    return _Scoring(predictions, settings or ScoringSettings(), on_share).run()


def check_rows(rows: Rows, settings: ScoringSettings) -> None:
    """Refuse what no ensemble can be scored on, which is known before its members are evaluated.

    Args:
        rows: what is predicted.
        settings: how it is scored.

    Raises:
        BadInput: there are fewer than two examples, or they cannot be halved.

    Warns:
        Caution: classes are missing in a half.
    """
    if rows.scored < 2:
        raise BadInput("one example has no standard error; expected two examples or more in the split")
    check_halves(rows, settings.halvings, settings.seed)


class _Scoring:
    """One run of :func:`score_ensemble`, from the members to the data."""

    def __init__(
        self, predictions: Predictions, settings: ScoringSettings, on_share: Callable[[float], object]
    ) -> None:
        if len(predictions) < 2:
            raise BadInput(
                f"{predictions.names[0]} alone is not an ensemble; expected two members or more: name others beside it"
            )
        self.predictions, self.settings = predictions, settings
        self.sizes = settings.list_sizes(len(predictions))
        self.scores: dict[str, Score] = make_scores(predictions.kind, settings.bins)
        rows = len(predictions.targets)
        self.sampling = Sampling(rows, predictions.examples, settings.bins, settings.bootstrap, settings.seed)
        check_rows(predictions.rows, settings)
        self.halves = halve(predictions.rows, settings.halvings, settings.seed)
        self.blocks = list(self.sampling.cut(predictions.rows.width))
        self.greedy = InEnsemble.GREEDY in settings.orders and settings.halvings > 0
        parts = {"given": True, "greedy": self.greedy, "pairs": settings.pairs}
        self.shares = [name for name, wanted in parts.items() if wanted]
        self.on_share = on_share
        self.layout = Layout(predictions.names, self.sizes, list(self.scores.values()), self.sampling, settings)

    def run(self) -> xr.Dataset:
        of_label = self._check_members()
        self._score_given()
        if self.greedy:
            self._score_greedy(of_label)
        if self.settings.pairs:
            for diversity in measure_diversity(self.predictions, lambda share: self._tell("pairs", share)):
                self.layout.put_diversity(diversity)
        found = self.layout.finish(self.predictions.kind)
        self._warn(found)
        return found

    def _check_members(self) -> Tensor | None:
        """Refuse what cannot be scored.

        Returns:
            Where greedy orders of classifiers are wanted, the logarithms of the probabilities of labels (K, N).
        """
        predictions, found = self.predictions, None
        if self.greedy and predictions.kind == CLASSES:
            found = torch.empty(len(predictions), len(predictions.rows), dtype=torch.float32)
        for k, name in enumerate(predictions.names):
            own = predictions.of(k)
            self._check(own, name)
            if found is not None:
                found[k] = own.gather(1, predictions.targets[:, None])[:, 0]
        return found

    def _score_given(self) -> None:
        """Score each member, and averages in the given order: block of rows by block, so that memory is bounded."""
        predictions, sizes, scores, sampling = self.predictions, self.sizes, self.scores, self.sampling
        averages = PrefixAverages(predictions, range(len(predictions)), sizes, self.blocks, self.settings.memory)
        fitted = fit_given(averages, self.halves) if len(self.halves) else None
        if fitted is not None:
            self.layout.put_temperatures(InEnsemble.GIVEN, fitted)
        self._tell("given", 0.4)
        members = [Tallies(sampling, scores) for _ in predictions.names]
        raw, differences, tempered = ([Tallies(sampling, scores) for _ in sizes] for _ in range(3))
        reliability = Reliability(sampling)
        for rows in self.blocks:
            first: Mapping[str, Measured] = {}
            for k, tallies in enumerate(members):
                alone = start_average(predictions, rows)
                alone.add(predictions.of(k)[rows])
                averaged = alone.average()
                measured = measure(averaged, scores)
                first = first or measured
                tallies.add(measured, rows)
                if not k and isinstance(averaged, AveragedClasses):
                    reliability.add(0, [averaged], rows)
            for size, averaged in averages.walk(rows, range(len(sizes))):
                measured = measure(averaged, scores)
                raw[size].add(measured, rows)
                differences[size].add(measured, rows, first)
                if fitted is not None:
                    own = cross(averaged, scores, self.halves[:, rows], fitted.values[size])
                    tempered[size].add(own, rows)
            self._tell("given", 0.4 + 0.5 * rows.stop / sampling.rows)
        for k, tallies in enumerate(members):
            self.layout.put_member(k, tallies)
        for size in range(len(sizes)):
            self.layout.put_average(size, raw[size], differences[size])
            if fitted is not None:
                self.layout.put_crossed(InEnsemble.GIVEN, size, raw[size], tempered[size])
        self._finish_average(
            averages, raw[-1], tempered[-1], None if fitted is None else fitted.values[-1], reliability
        )
        self._tell("given", 1)

    def _finish_average(
        self, averages: PrefixAverages, raw: Tallies, tempered: Tallies, fitted: Tensor | None, reliability: Reliability
    ) -> None:
        """Take what is kept of the average of all members alone, whose examples have the signs of their bins."""
        self.layout.put_sizes()
        for rows in self.blocks:
            for _, averaged in averages.walk(rows, [len(self.sizes) - 1]):
                self.layout.put_examples(0, rows, measure(averaged, self.scores), raw)
                if isinstance(averaged, AveragedClasses):
                    reliability.add(1, [averaged], rows)
                if fitted is None:
                    continue
                halves = self.halves[:, rows]
                self.layout.put_examples(1, rows, cross(averaged, self.scores, halves, fitted), tempered)
                if isinstance(averaged, AveragedClasses):
                    each = [averaged.temper(own[1 - half.long()]) for own, half in zip(fitted, halves, strict=True)]
                    reliability.add(2, each, rows)
        if self.predictions.kind == CLASSES:
            self.layout.put_reliability(reliability)

    def _score_greedy(self, of_label: Tensor | None) -> None:
        """Choose greedy orders on one half, and score averages in them on the other one."""
        predictions, sizes, halves = self.predictions, self.sizes, self.halves
        orders = choose_orders(predictions, of_label, halves, lambda share: self._tell("greedy", share / 3))
        self.layout.put_greedy_orders(orders)
        memory = self.settings.memory
        fitted = fit_greedy(
            predictions, halves, orders, sizes, self.blocks, memory, lambda share: self._tell("greedy", (1 + share) / 3)
        )
        self.layout.put_temperatures(InEnsemble.GREEDY, fitted)
        scored = score_greedy(
            predictions, self.scores, self.sampling, halves, orders, fitted.values, sizes,
            lambda share: self._tell("greedy", (2 + share) / 3),
        )  # fmt: skip
        for size, (raw, tempered) in enumerate(scored):
            self.layout.put_crossed(InEnsemble.GREEDY, size, raw, tempered)

    def _check(self, own: Tensor, name: str) -> None:
        """Refuse predictions that are not numbers (of classes the logarithm of 0 is one), and not of all classes.

        Those of classes are logarithms of probabilities, which zeros are not, such as those of a file that was lost.
        """
        classes, wrong, off = self.predictions.kind == CLASSES, 0, 0
        for rows in list_blocks(*own.shape):
            part = own[rows]
            if not bool((part.sum() if classes else part.sum(dtype=torch.float64)).isfinite()):
                lost = (part.isnan() | (part == torch.inf)) if classes else ~part.isfinite()
                wrong += int(lost.any(dim=1).sum())
            if classes:
                off += int(((part.exp().sum(dim=1) - 1).abs() > ROUNDING).sum())
        if wrong:
            raise BadInput(
                f"member {name!r} predicts what is not a number in {wrong:,} of {len(own):,} rows; expected finite "
                "outputs: leave this member out, or look at how it was trained"
            )
        if off:
            raise BadInput(
                f"member {name!r} predicts probabilities that do not sum to 1 in {off:,} of {len(own):,} rows; "
                "expected logarithms of probabilities, as log_softmax makes them: evaluate the members again"
            )

    def _warn(self, found: xr.Dataset) -> None:
        self._warn_of_bounds(found)
        last = {"count": self.sizes[-1]}
        if "nll" in found and not bool(found["nll"].sel(last) < float("inf")):
            warnings.warn(
                Caution(
                    "the average of all members gives a label probability 0: its negative log likelihood is infinite, "
                    "and has no best temperature"
                ),
                stacklevel=3,
            )
        if "gaussian_nll" in found and bool(found["gaussian_nll"].sel(last).isnull()):
            warnings.warn(
                Caution(
                    "all members agree exactly in an output: its spread is 0, and the likelihood of mean and spread "
                    "is not defined"
                ),
                stacklevel=3,
            )

    def _warn_of_bounds(self, found: xr.Dataset) -> None:
        if InEnsemble.AT_BOUND not in found or not (count := int(found[InEnsemble.AT_BOUND].sum())):
            return
        warnings.warn(
            Caution(
                f"{count:,} of {found[InEnsemble.TEMPERATURE].size:,} temperatures ended at the bounds {LOWEST:g} and "
                f"{HIGHEST:g} of their search; scores with them are doubtful"
            ),
            stacklevel=4,
        )

    def _tell(self, part: str, share: float) -> None:
        """Report the share of a part of the work, all parts counting alike."""
        self.on_share((self.shares.index(part) + share) / len(self.shares))
