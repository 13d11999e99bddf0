"""Curvature of one or several networks, each by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from lossatlas.charts import Slice
from lossatlas.curvatures import TRACE_PROBES, find_density, find_spectrum, find_trace, judge_point
from lossatlas.directions.eigenvectors import label_eigenvector, orient
from lossatlas.engine import Derivatives
from lossatlas.engine.derivatives import Operator
from lossatlas.errors import BadInput
from lossatlas.jobs.curvature_pieces import LEADING, NEGATIVE, Measurement, Piece
from lossatlas.linalg import Extremes, Quadrature
from lossatlas.schema import COMPANION, ENDS, OPERATORS, PROBE_ERROR, RESIDUAL, SAMPLE, InCurvature, record_texts
from lossatlas.types import Params

__all__ = ["NetworksMeasurement"]

NETWORK, LAYER, PROBE, NODE = InCurvature.NETWORK, InCurvature.LAYER, InCurvature.PROBE, InCurvature.NODE
TOP, BOTTOM = ENDS
VERDICT = "verdict"
TAKEN = (NETWORK, SAMPLE, TOP, BOTTOM, PROBE, NODE, LAYER, VERDICT, "spread")
"""Names of dimensions, and of what summaries say beside numbers, which metrics cannot have."""
WEIGHTS, CHOSEN = "weight_norm", "chosen_gradient_norm"
"""The norms of the weights, and of the gradient, in the parameters that curvature is taken in; that of the gradient is
beside the norm in all parameters that vary, where these are more."""
AXES = 2
"""The leading eigenvectors that are kept as the directions of a slice: as many as a picture of a surface has axes."""


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
            WEIGHTS: self._new(here, "norm of the weights", "1"),
        }
        if recipe.space.size < recipe.base.space.size:
            found[CHOSEN] = self._new(sampled, "norm of the gradient in the parameters of curvature")
        for operator in recipe.operators:
            words = OPERATORS[operator].words
            ends = {"top": (TOP, config.top, "largest")}
            if OPERATORS[operator].signed:
                ends["bottom"] = (BOTTOM, config.bottom, "smallest")
            for end, (dim, count, which) in ends.items():
                name = f"{operator}_{end}"
                found[name] = self._new({**sampled, dim: count}, f"{which} eigenvalues of the {words}")
                found[RESIDUAL.of(name)] = self._new({**sampled, dim: count}, f"residuals of the {which} eigenvalues")
            found[f"{operator}_products"] = self._new(sampled, f"products with the {words} for its eigenvalues", "1")
            found[f"{operator}_converged"] = self._new(
                sampled, f"1 where the search for those of the {words} ended", "1"
            )
            found[f"{operator}_trace"] = self._new(sampled, f"trace of the {words}")
            found[PROBE_ERROR.of(f"{operator}_trace")] = self._new(
                sampled, "standard error of the trace", probes=TRACE_PROBES
            )
            if config.probes:
                found[f"{operator}_node"] = self._new({**here, **density}, f"nodes of the density of the {words}")
                found[f"{operator}_weight"] = self._new({**here, **density}, "weights of the nodes", "1")
        if "hessian" in recipe.operators:
            found["negative_found"] = self._new(here, "negative directions found", "1")
        found |= self._lay_out_layers(here, density)
        for name, metric in recipe.metrics.items():
            quantity = metric.quantity(recipe.base.problem.loss)
            own = {name: self._new(sampled, quantity.long_name, quantity.units, metric=name)}
            for beside in metric.companions:
                own[beside.of(name)] = self._new(
                    sampled, f"{beside.suffix} of {quantity.long_name}", quantity.units,
                    **{"metric": name, COMPANION: beside.suffix},
                )  # fmt: skip
            if taken := sorted(own.keys() & {*found, *TAKEN}):
                raise BadInput(f"{taken[0]!r} cannot be the name of a metric here, as something else has it; rename it")
            found |= own
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

    def _list_pieces(self) -> Iterator[Piece]:
        recipe = self.recipe
        for place in range(len(recipe.networks)):
            for sample in range(len(recipe.samples)):
                yield Piece("loss", place, sample)
                for operator in recipe.operators:
                    yield Piece("ends", place, sample, operator)
                    yield Piece("trace", place, sample, operator)
                    if recipe.config.probes and not sample:
                        yield Piece("density", place, sample, operator)
                if not sample:
                    for layer in recipe.layers:
                        yield Piece("layer", place, sample, layer)
                if recipe.metrics:  # last: they drop the graphs that products share
                    yield Piece("metrics", place, sample)

    def _measure(self, piece: Piece) -> None:
        measure = {
            "loss": self._measure_loss,
            "ends": self._measure_ends,
            "trace": self._measure_trace,
            "density": self._measure_density,
            "metrics": self._measure_metrics,
            "layer": self._measure_layer,
        }
        measure[piece.what](piece, (piece.place, piece.sample))

    def _derive(self, piece: Piece) -> Derivatives:
        return self._go_to(piece.place).derive(self.recipe.samples[piece.sample])

    def _measure_loss(self, piece: Piece, where: tuple[int, int]) -> None:
        derivatives = self._derive(piece)
        self._put("loss", where, derivatives.losses()[0])
        gradient = derivatives.gradient()[0]
        self._put("gradient_norm", where, gradient.double().norm())
        if CHOSEN in self.data:
            self._put(CHOSEN, where, self._measure_chosen(gradient))
        self._put(WEIGHTS, where[:1], self._measure_chosen(self._go_to(piece.place).weights))

    def _measure_ends(self, piece: Piece, where: tuple[int, int]) -> None:
        recipe, derivatives = self.recipe, self._derive(piece)
        bottom = recipe.config.bottom if OPERATORS[piece.of].signed else 0
        kept = self._keep is not None and not piece.sample and piece.of == recipe.operators[0]
        found = find_spectrum(
            derivatives, recipe.settings, piece.of, top=recipe.config.top, bottom=bottom, vectors=kept
        )
        if kept and float(found.scale[0]) > 0:
            self._keep_slices(piece.place, found, derivatives.operator(piece.of, recipe.settings.parameters), piece.of)
        self._put(f"{piece.of}_top", where, found.top[0])
        self._put(RESIDUAL.of(f"{piece.of}_top"), where, found.top_residuals[0])
        if bottom:
            self._put(f"{piece.of}_bottom", where, found.bottom[0])
            self._put(RESIDUAL.of(f"{piece.of}_bottom"), where, found.bottom_residuals[0])
        self._put(f"{piece.of}_products", where, found.products[0])
        self._put(f"{piece.of}_converged", where, found.converged[0])

    def _keep_slices(self, place: int, found: Extremes, matrix: Operator, operator: str) -> None:
        """Give away the slices along the eigenvectors of the largest eigenvalues, and of those that are negative."""
        allowed = self.recipe.settings.tolerance * float(found.scale[0])
        for which, values, residuals, vectors in (
            (LEADING, found.top[0], found.top_residuals[0], found.top_vectors),
            (NEGATIVE, found.bottom[0], found.bottom_residuals[0], found.bottom_vectors),
        ):
            chosen = values.isfinite()
            if which == NEGATIVE:
                chosen &= (values < -allowed) & (residuals <= allowed)
            numbers = [k for k, one in enumerate(chosen.tolist()) if one][: AXES if which == LEADING else None]
            if not numbers or vectors is None or self._keep is None:
                continue
            directions = orient(matrix.embed(vectors[0, numbers]))
            chart = Slice(self._go_to(place).weights.cpu(), directions.cpu())
            labels = (
                label_eigenvector(k, which == NEGATIVE, (float(values[k]), float(residuals[k])), operator)
                for k in numbers
            )
            chart.axis_labels = dict(zip(chart.axes, labels, strict=True))
            self._keep(place, which, chart)

    def _measure_trace(self, piece: Piece, where: tuple[int, int]) -> None:
        self._put_trace(f"{piece.of}_trace", where, self._derive(piece), piece.of, self.recipe.settings.parameters)

    def _put_trace(
        self, name: str, where: tuple[int, int], derivatives: Derivatives, operator: str, parameters: tuple[str, ...]
    ) -> None:
        found = find_trace(derivatives, replace(self.recipe.settings, parameters=parameters), operator)
        self._put(name, where, found.value[0])
        self._put(PROBE_ERROR.of(name), where, found.standard_error[0])

    def _measure_density(self, piece: Piece, where: tuple[int, int]) -> None:
        config = self.recipe.config
        found = find_density(
            self._derive(piece), self.recipe.settings, piece.of, probes=config.probes, steps=self.recipe.steps
        )
        self._put_density(piece.of, where[:1], found)

    def _put_density(self, name: str, where: tuple[int, ...], found: Quadrature) -> None:
        self._put(f"{name}_node", where, found.nodes)
        self._put(f"{name}_weight", where, found.weights)

    def _measure_metrics(self, piece: Piece, where: tuple[int, int]) -> None:
        for name, value in self._go_to(piece.place).measure_metrics(self.recipe.samples[piece.sample]).items():
            self._put(name, where, value)

    def _measure_layer(self, piece: Piece, where: tuple[int, int]) -> None:
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
            if not {str(Piece("loss", place)), str(Piece("ends", place, 0, operator))} <= done:
                sentences.append("")
                continue
            verdict = judge_point(
                float(self.data["loss"][place, 0]),
                float(self.data[CHOSEN if CHOSEN in self.data else "gradient_norm"][place, 0]),
                float(self.data[WEIGHTS][place]),
                self._list_pairs(f"{operator}_top", place),
                self._list_pairs(f"{operator}_bottom", place) if OPERATORS[operator].signed else [],
                self.recipe.settings.tolerance,
                self.recipe.config.gradient_tolerance,
                settled=bool(self.data[f"{operator}_converged"][place, 0] == 1),
            )
            sentences.append(f"{network.name}{self._tell_parameters()}: {verdict.sentence}.")
            if "negative_found" in self.data:
                self._put("negative_found", (place,), verdict.negative)
        self.data.attrs[VERDICT] = record_texts(sentences)

    def _tell_parameters(self) -> str:
        """In which of the network's parameters a verdict holds, in words; nothing where in all."""
        taken, every = (
            self.recipe.space.size,
            sum(each.numel() for each in self.recipe.base.problem.module.parameters()),
        )
        return f", in {taken:,} of its {every:,} parameters alone" if taken < every else ""

    def _list_pairs(self, name: str, place: int) -> list[tuple[float, float]]:
        values, residuals = (self.data[each].values[place, 0].tolist() for each in (name, RESIDUAL.of(name)))
        return list(zip(values, residuals, strict=True))
