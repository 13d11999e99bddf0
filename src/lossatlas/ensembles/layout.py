"""The data of an ensemble: arrays that are filled, with their names and units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr
from torch import Tensor

from lossatlas.ensembles.calibration import HIGHEST, LOWEST, Temperatures
from lossatlas.ensembles.diversity import Diversity, average_pairs
from lossatlas.ensembles.predictions import CLASSES, Kind
from lossatlas.ensembles.reliability import Reliability
from lossatlas.ensembles.sampling import Measured, Sampling, Tallies, Tally
from lossatlas.ensembles.scores import Score
from lossatlas.ensembles.settings import ScoringSettings
from lossatlas.schema import STANDARD_ERROR, InEnsemble, record_texts

__all__ = ["Layout"]

Names = InEnsemble


class Layout:
    """The variables of :class:`lossatlas.schema.InEnsemble`, as far as they were put.

    Args:
        names: the names of K members.
        sizes: the numbers of members that are averaged.
        scores: the scores.
        sampling: what standard errors are made of.
        settings: how the ensemble is scored.
    """

    def __init__(
        self,
        names: Sequence[str],
        sizes: Sequence[int],
        scores: Sequence[Score],
        sampling: Sampling,
        settings: ScoringSettings,
    ) -> None:
        self.quantities = {score.quantity().name: score.quantity() for score in scores}
        self.sizes, self.sampling, self.settings = sizes, sampling, settings
        self.orders = list(settings.orders) if settings.halvings else []
        self.coords: dict[str, list[str] | list[int] | npt.NDArray[np.float64]] = {
            Names.MEMBER: list(names),
            Names.COUNT: list(sizes),
        }
        self.lengths = {
            Names.MEMBER: len(names),
            Names.OTHER: len(names),
            Names.COUNT: len(sizes),
            Names.ORDER: len(self.orders),
            Names.SCALE: 2 if self.orders else 1,
            Names.HALVING: settings.halvings,
            Names.HALF: 2,
            Names.EXAMPLE: sampling.examples,
        }
        self.pairwise: list[str] = []
        self.binned = [score.quantity().name for score in scores if score.binned]
        self.variables: dict[str, tuple[tuple[str, ...], npt.NDArray[np.generic], dict[str, str]]] = {}

    def put_member(self, member: int, scored: Tallies) -> None:
        """Put the scores of a member alone."""
        for name, own in scored.items():
            words = f"{self.quantities[name].long_name} of a member"
            self._put_with_error(Names.of_member(name), (Names.MEMBER,), member, own, name, words)

    def put_average(self, size: int, scored: Tallies, differences: Tallies) -> None:
        """Put the scores of the average of some members, and their differences from those of the first member."""
        for name, own in scored.items():
            words = self.quantities[name].long_name
            self._put_with_error(name, (Names.COUNT,), size, own, name, words)
            words = f"{words} minus that of the first member"
            self._put_with_error(Names.difference(name), (Names.COUNT,), size, differences[name], name, words)

    def put_crossed(self, order: str, size: int, raw: Tallies, tempered: Tallies) -> None:
        """Put the scores of an average on halves, without and with temperatures."""
        for scale, scored in enumerate((raw, tempered)):
            for name, own in scored.items():
                words = f"{self.quantities[name].long_name} on the other half"
                dims = (Names.ORDER, Names.SCALE, Names.COUNT)
                at = self.orders.index(order), scale, size
                self._put_with_error(Names.halves(name), dims, at, own, name, words)

    def put_temperatures(self, order: str, found: Temperatures) -> None:
        """Put temperatures (S, H, 2), and how many of them are at a bound."""
        at, fits = self.orders.index(order), (Names.ORDER, Names.COUNT, Names.HALVING, Names.HALF)
        self._array(Names.TEMPERATURE, fits, "temperature", "1")[at] = found.values.numpy()
        words = "number of temperatures at a bound"
        bounds = found.at_bound.sum(dim=(1, 2)).numpy()
        self._array(Names.AT_BOUND, (Names.ORDER, Names.COUNT), words, "1")[at] = bounds

    def put_greedy_orders(self, orders: Tensor) -> None:
        """Put the greedy orders, members by position, (H, 2, K)."""
        dims = (Names.HALVING, Names.HALF, Names.MEMBER)
        array = self._array(Names.POSITION, dims, "position in the greedy order, from 0", "1")
        array[...] = orders.argsort(dim=2).numpy()

    def put_diversity(self, diversity: Diversity) -> None:
        """Put differences between every two members, and their means among the first ones."""
        own = diversity.quantity
        dims = (Names.MEMBER, Names.OTHER)
        self._array(own.name, dims, own.long_name, own.units)[...] = diversity.values.numpy()
        words = f"{own.long_name}, mean over pairs of members"
        array = self._array(Names.mean(own.name), (Names.COUNT,), words, own.units)
        array[...] = [average_pairs(diversity.values, size) for size in self.sizes]
        self.pairwise.append(own.name)

    def put_reliability(self, reliability: Reliability) -> None:
        """Put confidence and accuracy in bins."""
        bins, stages = self.settings.bins, reliability.stages
        self.coords |= {
            Names.STAGE: list(Names.STAGES[:stages]),
            Names.BIN: (np.arange(bins) + 0.5) / bins,
        }
        self.lengths |= {Names.STAGE: stages, Names.BIN: bins}
        right = "accuracy in a bin"
        for name, words, values in (
            (Names.CONFIDENCE, "mean confidence in a bin", reliability.confidence),
            (Names.ACCURACY, right, reliability.accuracy),
            (STANDARD_ERROR.of(Names.ACCURACY), f"standard error of {right}", reliability.accuracy_error),
            (Names.SHARE, "share of predictions in a bin", reliability.share),
        ):
            self._array(name, (Names.STAGE, Names.BIN), words, "1")[...] = values.numpy()

    def put_sizes(self) -> None:
        """Put the numbers of rows of examples, where these have several."""
        if self.sampling.own is not None:
            words = "number of rows of an example"
            self._array(Names.EXAMPLE_ROWS, (Names.EXAMPLE,), words, "1")[...] = self.sampling.sizes.numpy()

    def put_examples(self, scale: int, rows: slice, measured: Mapping[str, Measured], scored: Tallies) -> None:
        """Put the scores of the examples of some rows under the average of all members.

        Args:
            scale: 0 without temperatures, 1 with them.
            rows: the rows, which begin and end between examples.
            measured: their numbers.
            scored: the scores of all rows.
        """
        examples = self.sampling.find_examples(rows)
        for name, own in measured.items():
            words = f"{self.quantities[name].long_name} of an example"
            dims = (Names.SCALE, Names.EXAMPLE)
            array = self._array(Names.of_example(name), dims, words, self.quantities[name].units, np.float32)
            signs = None if own.places is None else scored[name].sums[0].sign()
            shares = self.sampling.add_up(self.sampling.find_shares(own, signs), rows) / self.sampling.sizes[examples]
            array[scale, examples] = shares.to(torch.float32).numpy()

    def finish(self, kind: Kind) -> xr.Dataset:
        """Make the data set of all that was put."""
        attributes: dict[str, str | int | float] = {
            Names.KIND: kind,
            Names.SCORES: record_texts(list(self.quantities)),
            Names.PAIRWISE: record_texts(self.pairwise),
            Names.BINNED: record_texts(self.binned),
            Names.EXAMPLES: self.sampling.examples,
            Names.ROWS: self.sampling.rows,
            Names.HALVINGS: self.settings.halvings,
            Names.SEED: self.settings.seed,
            Names.BOOTSTRAP: self.settings.bootstrap,
            Names.TEMPERATURE_LOW: LOWEST,
            Names.TEMPERATURE_HIGH: HIGHEST,
        }
        if kind == CLASSES:
            attributes[Names.BINS] = self.settings.bins
        used = {dim for dims, *_ in self.variables.values() for dim in dims}
        labels = {
            **self.coords,
            Names.OTHER: self.coords[Names.MEMBER],
            Names.ORDER: self.orders,
            Names.SCALE: [Names.RAW, Names.TEMPERED][: self.lengths[Names.SCALE]],
            Names.HALVING: list(range(self.lengths[Names.HALVING])),
            Names.HALF: [0, 1],
        }
        coords = {name: values for name, values in labels.items() if name in used}
        return xr.Dataset(self.variables, coords, attributes)

    def _put_with_error(
        self, name: str, dims: tuple[str, ...], at: int | tuple[int, ...], own: Tally, score: str, words: str
    ) -> None:
        """Put a score, or its difference from a reference, and its standard error."""
        units = self.quantities[score].units
        self._array(name, dims, words, units)[at] = own.value
        error = STANDARD_ERROR.of(name)
        self._array(error, dims, f"standard error of {words}", units)[at] = own.standard_error

    def _array(
        self, name: str, dims: tuple[str, ...], words: str, units: str, dtype: type[np.generic] | None = None
    ) -> npt.NDArray[np.generic]:
        """The array of a variable, which is made when it is first asked for; NaN where nothing was put."""
        if name not in self.variables:
            shape = tuple(self.lengths[dim] for dim in dims)
            array = np.full(shape, np.nan, dtype or np.float64)
            self.variables[name] = dims, array, {"long_name": words, "units": units}
        return self.variables[name][1]
