"""All scores of an ensemble, against the number of members."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import torch
import xarray as xr
from torch import Tensor

from lossatlas.ensembles.averaged import AveragedClasses, list_blocks, start_average
from lossatlas.ensembles.crossing import Crossed, choose_orders, cross_given, cross_greedy, measure
from lossatlas.ensembles.diversity import measure_diversity
from lossatlas.ensembles.halves import check_halves, halve
from lossatlas.ensembles.layout import Layout
from lossatlas.ensembles.predictions import CLASSES, Predictions
from lossatlas.ensembles.reliability import Reliability
from lossatlas.ensembles.sampling import Measured, Sampling
from lossatlas.ensembles.scores import Score, make_scores
from lossatlas.ensembles.settings import ScoringSettings
from lossatlas.errors import BadInput, Caution
from lossatlas.schema import InEnsemble

__all__ = ["score_ensemble"]

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
        What :class:`lossatlas.schema.InEnsemble` describes. It warns where a likelihood is infinite or undefined.

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
        if self.sampling.examples < 2:
            raise BadInput("one example has no standard error; expected two examples or more in the split")
        check_halves(predictions.rows, settings.halvings, settings.seed)
        self.halves = halve(predictions.rows, settings.halvings, settings.seed)
        self.greedy = InEnsemble.GREEDY in settings.orders and settings.halvings > 0
        parts = {"given": True, "greedy": self.greedy, "pairs": settings.pairs}
        self.shares = [name for name, wanted in parts.items() if wanted]
        self.on_share = on_share
        self.layout = Layout(predictions.names, self.sizes, list(self.scores.values()), self.sampling, settings)

    def run(self) -> xr.Dataset:
        of_label = self._go_through_members()
        if self.greedy:
            orders = choose_orders(
                self.predictions, of_label, self.halves, lambda share: self._tell("greedy", share / 2)
            )
            self.layout.put_greedy_orders(orders)
            crossed = cross_greedy(
                self.predictions,
                self.scores,
                self.halves,
                orders,
                self.sizes,
                lambda share: self._tell("greedy", (1 + share) / 2),
            )
            for size, each in enumerate(crossed):
                self.layout.put_crossed(InEnsemble.GREEDY, size, each)
        if self.settings.pairs:
            for diversity in measure_diversity(self.predictions, lambda share: self._tell("pairs", share)):
                self.layout.put_diversity(diversity)
        found = self.layout.finish(self.predictions.kind)
        self._warn(found)
        return found

    def _go_through_members(self) -> Tensor | None:
        """Score each member, and averages in the given order.

        Returns:
            Of classes, the logarithms of the probabilities of labels (K, N).
        """
        predictions, members = self.predictions, len(self.predictions)
        running, before, of_label = start_average(predictions), None, []
        first: Mapping[str, Measured] = {}
        reliability = Reliability(self.settings.bins)
        for k in range(members):
            own = predictions.of(k)
            self._check(own, predictions.names[k])
            alone = start_average(predictions)
            alone.add(own)
            averaged = alone.average()
            measured = measure(averaged, self.scores)
            first = first or measured
            self.layout.put_member(k, measured)
            if isinstance(averaged, AveragedClasses):
                of_label.append(averaged.of_label)
                if not k:
                    reliability.add(0, averaged)
            running.add(own)
            if k + 1 in self.sizes:
                size, averaged = self.sizes.index(k + 1), running.average()
                raw = measure(averaged, self.scores)
                self.layout.put_average(size, raw, first)
                crossed = None
                if len(self.halves):
                    crossed = cross_given(averaged, self.scores, self.halves, raw, before)
                    before = crossed.temperatures
                    self.layout.put_crossed(InEnsemble.GIVEN, size, crossed)
                if k + 1 == members:
                    self._finish_average(averaged, raw, crossed, reliability)
            self._tell("given", (k + 1) / members)
        return torch.stack(of_label) if of_label else None

    def _finish_average(
        self, averaged: object, raw: Mapping[str, Measured], crossed: Crossed | None, reliability: Reliability
    ) -> None:
        """Take what is kept of the average of all members alone."""
        self.layout.put_examples(raw, None if crossed is None else crossed.tempered)
        if isinstance(averaged, AveragedClasses):
            reliability.add(1, averaged)
            if crossed is not None:
                for own, half in zip(crossed.temperatures, self.halves, strict=True):
                    reliability.add(2, averaged, own[1 - half])
            self.layout.put_reliability(reliability)

    def _check(self, own: Tensor, name: str) -> None:
        """Refuse predictions that are not numbers; of classes the logarithm of 0 is one."""
        classes = self.predictions.kind == CLASSES
        total = own.sum() if classes else own.sum(dtype=torch.float64)
        if bool(total.isfinite()):
            if classes:
                self._check_sums(own, name)
            return
        wrong = (own.isnan() | (own == torch.inf)) if classes else ~own.isfinite()
        if rows := int(wrong.flatten(1).any(dim=1).sum()):
            raise BadInput(
                f"member {name!r} predicts what is not a number in {rows:,} of {len(own):,} rows; expected finite "
                "outputs: leave this member out, or look at how it was trained"
            )

    def _check_sums(self, own: Tensor, name: str) -> None:
        """Refuse what are not logarithms of probabilities of all classes, such as zeros of a file that was lost."""
        wrong = 0
        for rows in list_blocks(*own.shape):
            wrong += int(((own[rows].exp().sum(dim=1) - 1).abs() > ROUNDING).sum())
        if wrong:
            raise BadInput(
                f"member {name!r} predicts probabilities that do not sum to 1 in {wrong:,} of {len(own):,} rows; "
                "expected logarithms of probabilities, as log_softmax makes them: evaluate the members again"
            )

    def _warn(self, found: xr.Dataset) -> None:
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

    def _tell(self, part: str, share: float) -> None:
        """Report the share of a part of the work, all parts counting alike."""
        self.on_share((self.shares.index(part) + share) / len(self.shares))
