"""Curvature that is measured piece by piece into one data set.

Each piece depends only on the configuration and, along a trajectory, on the eigenvectors of the snapshot before, so
that what is stored after any piece can be continued, with the same numbers.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from lossatlas.charts import Slice
from lossatlas.curvatures import check_search
from lossatlas.data import Split
from lossatlas.engine import Derivatives, Engine, Plan
from lossatlas.engine.second_order import check_operator
from lossatlas.recipes.spectra import SpectraRecipe
from lossatlas.schema import record_texts
from lossatlas.surveying import Surveyor
from lossatlas.types import Params
from lossatlas.weights.files import load_state

__all__ = ["LEADING", "NEGATIVE", "Keep", "Measurement", "Piece"]

LEADING, NEGATIVE = "leading", "negative"
"""The slices along eigenvectors that are kept: of the largest eigenvalues, and of negative ones that converged."""
Keep = Callable[[int, str, Slice], None]
"""What is called with the number of a network and one of its slices along eigenvectors, by its name."""

PIECES = "pieces"
"""The attribute that lists the pieces that are measured, as JSON."""
FEW = 8
"""The number of examples on which operators are checked before a run is begun."""


class Site:
    """A network under the engine."""

    def __init__(self, recipe: SpectraRecipe, state: Params, name: str, plan: str | Plan) -> None:
        self._recipe = recipe
        load_state(recipe.base.problem.module, state, name)
        self.weights = recipe.base.space.vector_of(recipe.base.problem.module).to(recipe.base.device)
        self.engine = recipe.build_engine(plan)
        self._at: tuple[Split, Derivatives] | None = None

    def derive(self, split: Split) -> Derivatives:
        """The derivatives on a sample, which are kept until another sample is asked for."""
        if self._at is None or self._at[0] is not split:
            self._at = None  # frees graphs before others are made
            one = torch.ones(1, 1).to(self.weights)
            batch_size, vectors = self._recipe.config.eval_batch_size, self._recipe.count_vectors()
            ((_, derivatives),) = self.engine.derivatives(one, self.weights[None], split, batch_size, vectors)
            self._at = split, derivatives
        return self._at[1]

    def measure_metrics(self, split: Split) -> dict[str, float]:
        """The recipe's metrics on a sample, with what says how far they may be off, by name."""
        self._at = None
        recipe = self._recipe
        direction = torch.eye(1, len(self.weights)).to(self.weights)
        surveyor = Surveyor(
            self.engine, Slice(self.weights, direction), {recipe.split: split}, recipe.metrics,
            recipe.config.eval_batch_size,
        )  # fmt: skip
        found: dict[str, float] = {}
        for group in surveyor.chunks():
            values = surveyor.at(torch.zeros(1, 1, dtype=torch.float64), recipe.split, group)
            found |= {name: float(value[0]) for name, value in values.items()}
        return found


@dataclass(frozen=True)
class Piece:
    """What is measured in one go: a quantity of a network on a sample, or a snapshot."""

    what: str
    place: int
    sample: int = 0
    of: str = ""
    """The operator, or the layer."""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.what, str(self.place), str(self.sample), self.of)))


class Measurement(ABC):
    """Curvature that is measured piece by piece.

    Args:
        recipe: what is measured.
        plan: how the engine runs.
        keep: called with a network's slices along eigenvectors before their numbers are in :attr:`data`; None where
            slices are not kept.

    Raises:
        BadInput: the measurement cannot be carried out: see :meth:`check`.
    """

    def __init__(self, recipe: SpectraRecipe, plan: str | Plan, keep: Keep | None = None) -> None:
        self.recipe = recipe
        self._keep = keep
        self.data = self._lay_out()
        """What is measured so far; NaN elsewhere."""
        self.data.attrs |= self._describe()
        self._plan = plan
        self._site: tuple[int, Site] | None = None
        self._plan = self._go_to(self._first).engine.plan

    @property
    def plan(self) -> Plan:
        """The plan that all networks are evaluated with."""
        assert isinstance(self._plan, Plan)
        return self._plan

    @property
    def engine(self) -> Engine:
        """The engine of the network that was looked at last."""
        assert self._site is not None
        return self._site[1].engine

    @property
    @abstractmethod
    def _first(self) -> int:
        """The number of the network whose plan serves all, and which is tried beforehand."""

    @abstractmethod
    def _lay_out(self) -> xr.Dataset:
        """Make the data set, without numbers."""

    @abstractmethod
    def _list_pieces(self) -> Iterator[Piece]:
        """List the pieces in their order."""

    @abstractmethod
    def _state(self, place: int) -> tuple[Params, str]:
        """Parameters and buffers of a network, and its name."""

    @abstractmethod
    def _measure(self, piece: Piece) -> None:
        """Measure a piece, and put it into the data."""

    @property
    def pieces(self) -> list[str]:
        """The names of all pieces, in their order."""
        return [str(piece) for piece in self._list_pieces()]

    @property
    def measured(self) -> list[str]:
        """The names of the pieces that are measured."""
        return list(json.loads(self.data.attrs[PIECES]))

    def check(self) -> None:
        """Refuse what cannot be measured, before anything is computed on all examples.

        Raises:
            BadInput: parameters, number of eigenvalues, tolerance, statistics of the batch, or memory; or a loss or
                layer without second derivatives.
        """
        recipe, site = self.recipe, self._go_to(self._first)
        few = recipe.samples[0].select(torch.arange(min(FEW, len(recipe.samples[0]))))
        derivatives = site.derive(few)
        for operator in recipe.operators:
            check_operator(site.engine.network, few, operator)
            matrix = derivatives.operator(operator, recipe.settings.parameters)
            count = 1 if recipe.snapshots else max(recipe.config.top, recipe.config.bottom)
            check_search(count, recipe.settings, matrix.space.size, matrix.like.dtype)

    def time_product(self, split: Split) -> Callable[[], object]:
        """Make a function that computes one product on some examples, for a forecast."""
        derivatives = self._go_to(self._first).derive(split)
        matrix = derivatives.operator(self.recipe.operators[0], self.recipe.settings.parameters)
        vector = matrix.like.new_ones(1, matrix.space.size)
        return lambda: matrix(vector, torch.zeros(1, dtype=torch.long))

    def continue_from(self, stored: xr.Dataset) -> None:
        """Take over what was measured before.

        Args:
            stored: the data of a measurement with the same configuration.
        """
        for name, variable in self.data.data_vars.items():
            variable.values[...] = stored[name].values
        self.data.attrs[PIECES] = stored.attrs[PIECES]
        self._conclude()

    def measure(self) -> Iterator[str]:
        """Measure what is left, piece by piece; yields the name of each, whose numbers are in the data by then."""
        done = set(self.measured)
        for piece in self._list_pieces():
            if str(piece) in done:
                continue
            self._measure(piece)
            self.data.attrs[PIECES] = json.dumps([*self.measured, str(piece)])
            self._conclude()
            yield str(piece)

    @abstractmethod
    def _conclude(self) -> None:
        """Put what follows from the numbers so far."""

    def _describe(self) -> dict[str, Any]:
        recipe, config = self.recipe, self.recipe.config
        settings = recipe.settings
        return {
            "curvature": "1",
            "operator": record_texts(list(recipe.operators)),
            **self._describe_sample(),
            "loss": recipe.base.problem.loss.record,
            "units": recipe.base.problem.loss.units,
            "dimension": recipe.space.size,
            "curvature_parameters": record_texts(list(settings.parameters)),
            "curvature_tolerance": settings.tolerance,
            "curvature_products": settings.products,
            "second_start": int(settings.second_start),
            "curvature_seed": settings.seed,
            "gradient_tolerance": config.gradient_tolerance,
            PIECES: "[]",
        }

    def _go_to(self, place: int) -> Site:
        if self._site is None or self._site[0] != place:
            self._site = None  # one network at a time is in memory
            self._site = place, Site(self.recipe, *self._state(place), self._plan)
        return self._site[1]

    def _describe_sample(self) -> dict[str, Any]:
        """What captions say of the examples."""
        config, sample = self.recipe.config, self.recipe.samples[0]
        return {
            "split": self.recipe.split, "examples": len(sample), "eval_batch_size": config.eval_batch_size,
            "buffers": config.buffers,
        }  # fmt: skip

    def _new(self, dims: Mapping[str, int], long_name: str, units: str | None = None, **more: Any) -> xr.Variable:
        units = units if units is not None else self.recipe.base.problem.loss.units
        values = np.full(tuple(dims.values()), np.nan)
        return xr.Variable(tuple(dims), values, {"long_name": long_name, "units": units, **more})

    def _put(self, name: str, where: tuple[int, ...], value: object) -> None:
        """Put numbers where some of the dimensions have these indices, as many as there are of the others."""
        numbers = np.asarray(value.cpu() if isinstance(value, Tensor) else value, dtype=np.float64)
        place = self.data[name].values[where]
        if np.ndim(place):
            place[tuple(map(slice, numbers.shape))] = numbers
        else:
            self.data[name].values[where] = numbers

    def _measure_chosen(self, vector: Tensor) -> float:
        """The norm of a vector (n,) in the parameters that curvature is taken in."""
        parts = self.recipe.base.space.unflatten(vector)
        return math.sqrt(sum(float(parts[entry.name].double().square().sum()) for entry in self.recipe.space.entries))
