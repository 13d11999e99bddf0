"""What curves, comparisons and curvature come to in Python, and how that shows itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import xarray as xr

from lossatlas.cards import choose_numbers, write_card
from lossatlas.charts import Curve, Slice
from lossatlas.describing import count_things, write_repr
from lossatlas.engine import Plan
from lossatlas.recipes.first_picture import draw_first_picture
from lossatlas.schema import SNAPSHOT, STANDARD_ERROR, InEnsemble, name_curvatures, parse_texts
from lossatlas.views.data import list_extremes, take_first_sample

__all__ = ["Comparison", "CurvatureResult", "CurveResult", "Ensemble", "Survey"]

SHOWN = ("straight_barrier", "curve_barrier", "radial_barrier", "straight_length", "length", "worse_end")
"""The numbers of a curve's summary that a notebook shows."""
CURVED = ("loss", "gradient_norm", *name_curvatures())
"""The numbers of a network's curvature that a notebook shows."""


@dataclass(frozen=True)
class CurveResult:
    """A trained curve between networks, and the metrics along it and around it."""

    chart: Curve
    """The trained curve."""
    history: list[dict[str, float]]
    """The record of each step."""
    survey: xr.Dataset
    """The metrics along the curve, over t in [0, 1], and on other paths between the same networks: see
    :class:`lossatlas.schema.Along`."""
    plane: xr.Dataset | None
    """The survey of the plane of the curve; None if it was not asked for or the curve is straight."""
    summary: dict[str, Any]
    """Barriers, lengths and other numbers, as in ``summary.json``; losses in their unit."""
    plan: Plan
    """The engine plan that was used."""

    def __repr__(self) -> str:
        return write_repr(self, lambda: f"{self.chart!r}, {count_things(len(self.history), 'step')}")

    def _repr_html_(self) -> str:
        return write_card(repr(self), choose_numbers(self.summary, SHOWN), draw_first_picture(self.survey))


@dataclass(frozen=True)
class CurvatureResult:
    """The curvature of networks, each by itself, or of the snapshots of a trajectory."""

    data: xr.Dataset
    """Eigenvalues with residuals, traces with standard errors, densities as nodes and weights, losses and gradient
    norms, by network, sample of examples, or snapshot."""
    charts: Mapping[str, Slice]
    """By the name of a network the slice around it along the eigenvectors of its two largest eigenvalues, of length 1;
    empty for a trajectory."""
    negative: Mapping[str, Slice]
    """Likewise along the eigenvectors of the negative eigenvalues that were found, the smallest first; without networks
    that have none."""
    summary: dict[str, Any]
    """The main numbers, as in ``summary.json``."""
    plan: Plan
    """The engine plan that was used."""

    @property
    def verdicts(self) -> tuple[str, ...]:
        """One sentence for each network: a minimum, a saddle, not stationary, or undecided; empty for a trajectory."""
        return () if SNAPSHOT in self.data.sizes else tuple(parse_texts(self.data.attrs["verdict"]))

    def __repr__(self) -> str:
        along = SNAPSHOT in self.data.sizes
        where = (
            count_things(self.data.sizes[SNAPSHOT], "snapshot")
            if along
            else count_things(self.data.sizes["network"], "network")
        )
        return write_repr(self, lambda: f"{where}, {count_things(self.data.attrs['dimension'], 'parameter')}")

    def _repr_html_(self) -> str:
        numbers = {
            name: ", ".join(f"{key} {found[key]:.4g}" for key in CURVED if key in found)
            for name, found in self.summary.get("networks", {"at the end": self.summary.get("last", {})}).items()
        }
        return write_card(" ".join([repr(self), *self.verdicts]), numbers, draw_first_picture(self.data))


class _ShownDataset(xr.Dataset):  # type: ignore[no-untyped-call]
    """Labelled data that a notebook shows with a card before them."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        data = super()._repr_html_()
        try:
            return self._write_card() + data
        except Exception:  # whatever somebody has taken out of it, what is left can be shown
            return data

    def _write_card(self) -> str:
        raise NotImplementedError


class Survey(_ShownDataset):  # type: ignore[no-untyped-call]
    """The labelled data of a survey: an ``xarray.Dataset`` that a notebook shows with a picture and its extremes."""

    __slots__ = ()

    def _write_card(self) -> str:
        ends = list_extremes(take_first_sample(self))
        numbers = {name: f"{low} to {high}" for name, (low, high) in ends.items()}
        return write_card("Survey", numbers, draw_first_picture(self))


class Comparison(_ShownDataset):  # type: ignore[no-untyped-call]
    """The labelled data of a comparison: an ``xarray.Dataset`` that a notebook shows with a picture."""

    __slots__ = ()

    def _write_card(self) -> str:
        split = self.attrs["compared_split"]
        scores = [name for name in (f"{split}_loss", f"{split}_accuracy") if name in self]
        numbers = {
            str(run): ", ".join(f"{name.replace('_', ' ')} {float(self[name].sel(run=run)):.4g}" for name in scores)
            for run in self["run"].values
        }
        title = f"{count_things(len(numbers), 'network')} and what lies between them"
        return write_card(title, numbers, draw_first_picture(self))


class Ensemble(_ShownDataset):  # type: ignore[no-untyped-call]
    """The labelled data of an ensemble: an ``xarray.Dataset`` that a notebook shows with its scores.

    :class:`lossatlas.schema.InEnsemble` names its variables.
    """

    __slots__ = ()

    def _write_card(self) -> str:
        numbers = {}
        for name in parse_texts(self.attrs[InEnsemble.SCORES]):
            last, mean = float(self[name].values[-1]), float(self[InEnsemble.of_member(name)].mean())
            error = float(self[STANDARD_ERROR.of(name)].values[-1])
            numbers[name] = f"{last:.4g} ± {error:.2g}; one member {mean:.4g}"
        return write_card(f"Ensemble of {count_things(self.sizes[InEnsemble.MEMBER], 'member')}", numbers, None)
