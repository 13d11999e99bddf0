"""Curvature along a trajectory, from one snapshot to the next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from lossatlas.curvatures import find_spectrum
from lossatlas.engine import Plan
from lossatlas.jobs.curvature_pieces import Keep, Measurement, Piece
from lossatlas.recipes.spectra import SpectraRecipe
from lossatlas.schema import RESIDUAL, SNAPSHOT, OnTrajectory
from lossatlas.streams import make_generator
from lossatlas.types import Params

__all__ = ["TrajectoryMeasurement"]

NOISE = 0.3
"""The length of the noise that is added to the eigenvectors of the snapshot before, which have length 1: an eigenvalue
that has grown since is found through it."""


class TrajectoryMeasurement(Measurement):
    """Both ends of the Hessian's spectrum at each snapshot of a trajectory, in the order of the steps.

    The eigenvectors of one snapshot, with some noise, are where the next one starts; the first starts at random.
    """

    def __init__(self, recipe: SpectraRecipe, plan: str | Plan, keep: Keep | None = None) -> None:
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

    def _list_pieces(self) -> Iterator[Piece]:
        for place, snapshot in enumerate(self.recipe.snapshots):
            yield Piece("snapshot", place, 0, f"step {snapshot.step}")

    def _measure(self, piece: Piece) -> None:
        place, recipe = piece.place, self.recipe
        derivatives = self._go_to(place).derive(recipe.samples[0])
        start = self._starts.get(place)
        starts = None if start is None else start.to(self._go_to(place).weights)[None]
        loss, norm = derivatives.losses()[0], derivatives.gradient()[0].double().norm()
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
