"""Curvature of networks, or along a trajectory, measured piece by piece into one data set.

Each piece depends only on the configuration and, along a trajectory, on the eigenvectors of the snapshot before, so
that what is stored after any piece can be continued, with the same numbers.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from lossatlas.charts import Slice
from lossatlas.curvatures import TRACE_PROBES, check_search, find_density, find_spectrum, find_trace, judge_point
from lossatlas.data import Split
from lossatlas.engine import Derivatives, Engine, Plan
from lossatlas.engine.second_order import check_operator
from lossatlas.linalg import Quadrature
from lossatlas.recipes.spectra import SpectraRecipe
from lossatlas.schema import PROBE_ERROR, RESIDUAL, SNAPSHOT, OnTrajectory, record_texts
from lossatlas.streams import make_generator
from lossatlas.surveying import Surveyor
from lossatlas.types import Params
from lossatlas.weights.files import load_state

__all__ = ["Measurement", "NetworksMeasurement", "TrajectoryMeasurement", "make_measurement"]

NETWORK, SAMPLE, TOP, BOTTOM, PROBE, NODE, LAYER = "network", "sample", "top", "bottom", "probe", "node", "layer"
PIECES = "pieces"
"""The attribute that lists the pieces that are measured, as JSON."""
VERDICT = "verdict"
AXES = 2
"""The eigenvectors that are kept as the directions of a slice: as many as a picture of a surface has axes."""
NOISE = 0.3
"""The length of the noise that is added to the eigenvectors of the snapshot before, which have length 1: an eigenvalue
that has grown since is found through it."""
FEW = 8
"""The number of examples on which operators are checked before a run is begun."""
WORDS = {"hessian": "Hessian", "ggn": "Gauss-Newton matrix"}


class _Site:
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
class _Piece:
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
        keep: called with the number of a network and the slice along its leading eigenvectors, before these numbers
            are in :attr:`data`; None where slices are not kept.

    Raises:
        BadInput: the measurement cannot be carried out: see :meth:`check`.
    """

    def __init__(
        self, recipe: SpectraRecipe, plan: str | Plan, keep: Callable[[int, Slice], None] | None = None
    ) -> None:
        self.recipe = recipe
        self._keep = keep
        self.data = self._lay_out()
        """What is measured so far; NaN elsewhere."""
        self.data.attrs |= self._describe()
        self._plan = plan
        self._site: tuple[int, _Site] | None = None
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
    def _list_pieces(self) -> Iterator[_Piece]:
        """List the pieces in their order."""

    @abstractmethod
    def _state(self, place: int) -> tuple[Params, str]:
        """Parameters and buffers of a network, and its name."""

    @abstractmethod
    def _measure(self, piece: _Piece) -> None:
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

    def _go_to(self, place: int) -> _Site:
        if self._site is None or self._site[0] != place:
            self._site = None  # one network at a time is in memory
            self._site = place, _Site(self.recipe, *self._state(place), self._plan)
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

    def _measure_point(self, derivatives: Derivatives) -> tuple[float, float]:
        """The loss, and the norm of its gradient in the parameters that curvature is taken in."""
        gradient = self.recipe.base.space.unflatten(derivatives.gradient()[0])
        squares = sum(float(gradient[entry.name].double().square().sum()) for entry in self.recipe.space.entries)
        return float(derivatives.losses()[0]), squares**0.5


def make_measurement(
    recipe: SpectraRecipe, plan: str | Plan, keep: Callable[[int, Slice], None] | None = None
) -> Measurement:
    """Make the measurement of a recipe; arguments and errors are those of :class:`Measurement`."""
    if recipe.snapshots:
        return TrajectoryMeasurement(recipe, plan, keep)
    return NetworksMeasurement(recipe, plan, keep)


class NetworksMeasurement(Measurement):
    """Curvature of one or several networks, each by itself."""

    @property
    def _first(self) -> int:
        return 0

    def _state(self, place: int) -> tuple[Params, str]:
        network = self.recipe.networks[place]
        return network.state, network.name

    def _lay_out(self) -> xr.Dataset:
        recipe, config = self.recipe, self.recipe.config
        here = {NETWORK: len(recipe.networks)}
        sampled = {**here, SAMPLE: len(recipe.samples)}
        density = {PROBE: config.probes, NODE: recipe.steps}
        found = {
            "loss": self._new(sampled, f"{recipe.split} loss", **self._describe_sample()),
            "gradient_norm": self._new(sampled, "norm of the gradient"),
        }
        for operator in recipe.operators:
            words = WORDS[operator]
            ends = {"top": (TOP, config.top, "largest")}
            if operator == "hessian":
                ends["bottom"] = (BOTTOM, config.bottom, "smallest")
            for end, (dim, count, which) in ends.items():
                name = f"{operator}_{end}"
                found[name] = self._new({**sampled, dim: count}, f"{which} eigenvalues of the {words}")
                found[RESIDUAL.of(name)] = self._new({**sampled, dim: count}, f"residuals of the {which} eigenvalues")
            found[f"{operator}_products"] = self._new(sampled, f"products with the {words} for its eigenvalues", "1")
            found[f"{operator}_trace"] = self._new(sampled, f"trace of the {words}")
            found[PROBE_ERROR.of(f"{operator}_trace")] = self._new(
                sampled, "standard error of the trace", probes=TRACE_PROBES
            )
            if config.probes:
                found[f"{operator}_node"] = self._new({**here, **density}, f"nodes of the density of the {words}")
                found[f"{operator}_weight"] = self._new({**here, **density}, "weights of the nodes", "1")
        for name, metric in recipe.metrics.items():
            quantity = metric.quantity(recipe.base.problem.loss)
            found[name] = self._new(sampled, quantity.long_name, quantity.units)
            for beside in metric.companions:
                found[beside.of(name)] = self._new(sampled, f"{beside.suffix} of {quantity.long_name}", quantity.units)
        found |= self._lay_out_layers(here, density)
        if "hessian" in recipe.operators:
            found["negative_found"] = self._new(here, "negative directions found", "1")
        coords = {NETWORK: [each.name for each in recipe.networks], SAMPLE: np.arange(len(recipe.samples))}
        if recipe.layers:
            coords[LAYER] = list(recipe.layers)
        return xr.Dataset(found, coords)

    def _lay_out_layers(self, here: Mapping[str, int], density: Mapping[str, int]) -> dict[str, xr.Variable]:
        layers = self.recipe.layers
        if not layers:
            return {}
        dims = {**here, LAYER: len(layers)}
        sizes = np.array([size for _, size in layers.values()], dtype=np.float64)
        found = {"layer_size": xr.Variable(LAYER, sizes, {"long_name": "number of parameters", "units": "1"})}
        for end, which in (("top", "largest"), ("bottom", "smallest")):
            found[f"layer_{end}"] = self._new(dims, f"{which} eigenvalue of a layer")
            found[RESIDUAL.of(f"layer_{end}")] = self._new(dims, "residual of the eigenvalue")
        found["layer_trace"] = self._new(dims, "trace of a layer")
        found[PROBE_ERROR.of("layer_trace")] = self._new(dims, "standard error of the trace", probes=TRACE_PROBES)
        if self.recipe.config.probes:
            found["layer_node"] = self._new({**dims, **density}, "nodes of the density of a layer")
            found["layer_weight"] = self._new({**dims, **density}, "weights of the nodes", "1")
        return found

    def _describe(self) -> dict[str, Any]:
        several = len(self.recipe.samples) > 1
        subsets = {"subsets": "disjoint" if self.recipe.disjoint else "random"} if several else {}
        return {**super()._describe(), **subsets, VERDICT: record_texts([""] * len(self.recipe.networks))}

    def _list_pieces(self) -> Iterator[_Piece]:
        recipe = self.recipe
        for place in range(len(recipe.networks)):
            for sample in range(len(recipe.samples)):
                yield _Piece("loss", place, sample)
                for operator in recipe.operators:
                    yield _Piece("ends", place, sample, operator)
                    yield _Piece("trace", place, sample, operator)
                    if recipe.config.probes and not sample:
                        yield _Piece("density", place, sample, operator)
                if recipe.metrics:
                    yield _Piece("metrics", place, sample)
                if not sample:
                    for layer in recipe.layers:
                        yield _Piece("layer", place, sample, layer)

    def _measure(self, piece: _Piece) -> None:
        measure = {
            "loss": self._measure_loss,
            "ends": self._measure_ends,
            "trace": self._measure_trace,
            "density": self._measure_density,
            "metrics": self._measure_metrics,
            "layer": self._measure_layer,
        }
        measure[piece.what](piece, (piece.place, piece.sample))

    def _derive(self, piece: _Piece) -> Derivatives:
        return self._go_to(piece.place).derive(self.recipe.samples[piece.sample])

    def _measure_loss(self, piece: _Piece, where: tuple[int, int]) -> None:
        loss, norm = self._measure_point(self._derive(piece))
        self._put("loss", where, loss)
        self._put("gradient_norm", where, norm)

    def _measure_ends(self, piece: _Piece, where: tuple[int, int]) -> None:
        recipe, derivatives = self.recipe, self._derive(piece)
        bottom = recipe.config.bottom if piece.of == "hessian" else 0
        kept = self._keep is not None and not piece.sample and piece.of == recipe.operators[0]
        found = find_spectrum(
            derivatives, recipe.settings, piece.of, top=recipe.config.top, bottom=bottom, vectors=kept
        )
        if found.top_vectors is not None and bool(found.top_vectors.isfinite().all()):
            vectors = derivatives.operator(piece.of, recipe.settings.parameters).embed(found.top_vectors[0, :AXES])
            self._keep_slice(piece.place, vectors, found.top[0].tolist())
        self._put(f"{piece.of}_top", where, found.top[0])
        self._put(RESIDUAL.of(f"{piece.of}_top"), where, found.top_residuals[0])
        if bottom:
            self._put(f"{piece.of}_bottom", where, found.bottom[0])
            self._put(RESIDUAL.of(f"{piece.of}_bottom"), where, found.bottom_residuals[0])
        self._put(f"{piece.of}_products", where, found.products[0])

    def _keep_slice(self, place: int, vectors: Tensor, values: list[float]) -> None:
        """Give away the slice along eigenvectors (d, n), whose largest entries are made positive."""
        largest = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True))
        chart = Slice(self._go_to(place).weights.cpu(), (vectors * largest.sign()).cpu())
        labels = (f"eigenvector {k} (eigenvalue {value:.4g})" for k, value in enumerate(values, 1))
        chart.axis_labels = dict(zip(chart.axes, labels, strict=False))
        if self._keep is not None:
            self._keep(place, chart)

    def _measure_trace(self, piece: _Piece, where: tuple[int, int]) -> None:
        self._put_trace(f"{piece.of}_trace", where, self._derive(piece), piece.of, self.recipe.settings.parameters)

    def _put_trace(
        self, name: str, where: tuple[int, int], derivatives: Derivatives, operator: str, parameters: tuple[str, ...]
    ) -> None:
        found = find_trace(derivatives, replace(self.recipe.settings, parameters=parameters), operator)
        self._put(name, where, found.value[0])
        self._put(PROBE_ERROR.of(name), where, found.standard_error[0])

    def _measure_density(self, piece: _Piece, where: tuple[int, int]) -> None:
        config = self.recipe.config
        found = find_density(
            self._derive(piece), self.recipe.settings, piece.of, probes=config.probes, steps=self.recipe.steps
        )
        self._put_density(piece.of, where[:1], found)

    def _put_density(self, name: str, where: tuple[int, ...], found: Quadrature) -> None:
        self._put(f"{name}_node", where, found.nodes)
        self._put(f"{name}_weight", where, found.weights)

    def _measure_metrics(self, piece: _Piece, where: tuple[int, int]) -> None:
        for name, value in self._go_to(piece.place).measure_metrics(self.recipe.samples[piece.sample]).items():
            self._put(name, where, value)

    def _measure_layer(self, piece: _Piece, where: tuple[int, int]) -> None:
        recipe, derivatives, operator = self.recipe, self._derive(piece), self.recipe.operators[0]
        patterns, _ = recipe.layers[piece.of]
        settings = replace(recipe.settings, parameters=patterns)
        at = piece.place, list(recipe.layers).index(piece.of)
        ends = find_spectrum(derivatives, settings, operator)
        for name, values, residuals in (
            ("layer_top", ends.top, ends.top_residuals),
            ("layer_bottom", ends.bottom, ends.bottom_residuals),
        ):
            self._put(name, at, values[0, 0])
            self._put(RESIDUAL.of(name), at, residuals[0, 0])
        self._put_trace("layer_trace", at, derivatives, operator, patterns)
        if recipe.config.probes:
            probes, steps = recipe.config.probes, recipe.steps
            self._put_density("layer", at, find_density(derivatives, settings, operator, probes=probes, steps=steps))

    def _conclude(self) -> None:
        done = set(self.measured)
        operator = self.recipe.operators[0]
        sentences = []
        for place, network in enumerate(self.recipe.networks):
            if not {str(_Piece("loss", place)), str(_Piece("ends", place, 0, operator))} <= done:
                sentences.append("")
                continue
            verdict = judge_point(
                float(self.data["loss"][place, 0]),
                float(self.data["gradient_norm"][place, 0]),
                self._list_pairs(f"{operator}_top", place),
                self._list_pairs("hessian_bottom", place) if operator == "hessian" else [],
                self.recipe.settings.tolerance,
                self.recipe.config.gradient_tolerance,
            )
            sentences.append(f"{network.name}: {verdict.sentence}.")
            if "negative_found" in self.data:
                self._put("negative_found", (place,), verdict.negative)
        self.data.attrs[VERDICT] = record_texts(sentences)

    def _list_pairs(self, name: str, place: int) -> list[tuple[float, float]]:
        values, residuals = (self.data[each].values[place, 0].tolist() for each in (name, RESIDUAL.of(name)))
        return list(zip(values, residuals, strict=True))


class TrajectoryMeasurement(Measurement):
    """Both ends of the Hessian's spectrum at each snapshot of a trajectory, in the order of the steps.

    The eigenvectors of one snapshot, with some noise, are where the next one starts; the first starts at random.
    """

    def __init__(
        self, recipe: SpectraRecipe, plan: str | Plan, keep: Callable[[int, Slice], None] | None = None
    ) -> None:
        super().__init__(recipe, plan, keep)
        self._starts: dict[int, Tensor] = {}
        """Where snapshots start, by their numbers: the last one that is measured, and the next."""

    @property
    def _first(self) -> int:
        return len(self.recipe.snapshots) - 1

    def _state(self, place: int) -> tuple[Params, str]:
        snapshot = self.recipe.snapshots[place]
        return snapshot.state(), f"the snapshot of step {snapshot.step}"

    def _lay_out(self) -> xr.Dataset:
        recipe = self.recipe
        dims = {SNAPSHOT: len(recipe.snapshots)}
        found = {
            OnTrajectory.STEP: self._new(dims, "step", "1"),
            OnTrajectory.EPOCH: self._new(dims, "epoch", "1"),
            OnTrajectory.RATE: self._new(dims, "learning rate", "1"),
            "path_loss": self._new(dims, f"{recipe.split} loss", **self._describe_sample()),
            "path_gradient_norm": self._new(dims, "norm of the gradient"),
            "path_products": self._new(dims, "products with the Hessian", "1"),
        }
        for end, which in (("max", "largest"), ("min", "smallest")):
            name = f"path_hessian_{end}"
            found[name] = self._new(dims, f"{which} eigenvalue of the Hessian")
            found[RESIDUAL.of(name)] = self._new(dims, f"residual of the {which} eigenvalue")
        for place, snapshot in enumerate(recipe.snapshots):
            found[OnTrajectory.STEP].values[place] = snapshot.step
            for name, scalar in ((OnTrajectory.EPOCH, "epoch"), (OnTrajectory.RATE, "lr")):
                found[name].values[place] = snapshot.scalars.get(scalar, np.nan)
        return xr.Dataset(found)

    def _list_pieces(self) -> Iterator[_Piece]:
        for place, snapshot in enumerate(self.recipe.snapshots):
            yield _Piece("snapshot", place, 0, f"step {snapshot.step}")

    def _measure(self, piece: _Piece) -> None:
        place, recipe = piece.place, self.recipe
        derivatives = self._go_to(place).derive(recipe.samples[0])
        start = self._starts.get(place)
        starts = None if start is None else start.to(self._go_to(place).weights)[None]
        loss, norm = self._measure_point(derivatives)
        found = find_spectrum(derivatives, recipe.settings, vectors=True, starts=starts)
        for name, value in (
            ("path_loss", loss),
            ("path_gradient_norm", norm),
            ("path_hessian_max", found.top[0, 0]),
            (RESIDUAL.of("path_hessian_max"), found.top_residuals[0, 0]),
            ("path_hessian_min", found.bottom[0, 0]),
            (RESIDUAL.of("path_hessian_min"), found.bottom_residuals[0, 0]),
            ("path_products", found.products[0]),
        ):
            self._put(name, (place,), value)
        assert found.top_vectors is not None
        assert found.bottom_vectors is not None
        ends = torch.cat([found.top_vectors[0], found.bottom_vectors[0]]).cpu()
        self._starts = {at: one for at, one in self._starts.items() if at == place}
        self._starts[place + 1] = self._make_start(ends, recipe.snapshots[place].step)

    def _conclude(self) -> None:
        """Nothing follows from the numbers of single snapshots."""

    def _make_start(self, ends: Tensor, step: int) -> Tensor:
        """Where the next snapshot starts, (n,): eigenvectors (2, n) with noise, or noise where they are not finite."""
        generator = make_generator(self.recipe.settings.seed, "curvature/trajectory", step)
        noise = torch.randn(ends.shape[1], generator=generator).to(ends)
        start: Tensor = NOISE * noise / noise.norm()
        return ends.sum(dim=0) + start if bool(ends.isfinite().all()) else start

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return where snapshots start, for a checkpoint."""
        return {f"start {place}": start for place, start in self._starts.items()}, {}

    def restore(self, tensors: dict[str, Tensor], scalars: dict[str, Any]) -> None:
        """Take over what :meth:`state` returned.

        Raises:
            ValueError: the next snapshot cannot start there.
        """
        self._starts = {int(name.rpartition(" ")[2]): start for name, start in tensors.items()}
        place = len(self.measured)
        if 0 < place < len(self.recipe.snapshots):
            start = self._starts.get(place)
            if start is None or start.shape != (self.recipe.space.size,):
                raise ValueError(f"it holds no start of snapshot {place} in {self.recipe.space.size} parameters")
