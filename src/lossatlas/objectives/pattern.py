"""The pattern objective: low loss in a picture's low cells, high loss in its high cells."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from lossatlas.engine import StreamingMetric
from lossatlas.errors import BadInput
from lossatlas.objectives.clips import Clip, ClipLogarithm
from lossatlas.objectives.objective import SampledPoints, SingleStage
from lossatlas.objectives.scoring import Scoring, correlate_log_loss, pick_points
from lossatlas.pictures import Picture
from lossatlas.streams import make_generator
from lossatlas.types import Outputs

__all__ = ["Pattern"]


class Pattern(SingleStage):
    """The mean loss over random low cells minus that over random high cells, of which the clip says how it counts.

    With :class:`ClipPerCell` it is equation 3 of Skorokhodov & Burtsev 2019 (arXiv 1910.03867), with the sign of an
    objective to be minimised. By default the logarithms of losses in high cells are to be large, as in
    :class:`ClipLogarithm`, which draws what a gradient of losses cannot.

    Args:
        picture: the picture that the loss landscape is to show.
        cells: how many low and how many high cells a step samples, without replacement; all where there are fewer.
        clip: the upper bound on the losses of high cells, and how they count below it.
        boundary_only: whether to sample only cells with a cell of another class in their 3x3 neighbourhood, between
            which the network interpolates. A class without such cells is sampled everywhere.
        boundary_share: the fraction of each class's sampled cells that are such cells, as far as it has so many; the
            others are those that are not. Default the picture's own fraction, which is sampling uniformly.

    Raises:
        BadInput: another kind of picture, fewer than one cell per step, a share outside of [0, 1], or both ways of
            sampling boundaries.

    Example:
        The coordinates of eight low and eight high cells:

        >>> import lossatlas as la
        >>> objective = la.Pattern(la.picture("heart", 12), cells=8)
        >>> objective.sample(seed=0, step=0, progress=0.0, running={}).coords.shape
        torch.Size([16, 2])
    """

    def __init__(
        self,
        picture: Picture,
        *,
        cells: int = 50,
        clip: Clip | None = None,
        boundary_only: bool = False,
        boundary_share: float | None = None,
    ) -> None:
        if not isinstance(picture, Picture):
            raise BadInput(f"Pattern shows a Picture of low and high cells; got {picture!r}")
        self.picture = picture
        self.clip = clip if clip is not None else ClipLogarithm()
        self.per_example = self.clip.per_example
        self.axes = picture.axes
        if cells < 1:
            raise BadInput(f"a step samples {cells} low and high cells; expected at least 1")
        if boundary_share is not None and not 0 <= boundary_share <= 1:
            raise BadInput(f"the share of sampled cells at boundaries is {boundary_share}; expected a number in [0, 1]")
        if boundary_only and boundary_share is not None:
            raise BadInput("boundary_only is a boundary_share of 1; give one of the two")
        coords = torch.from_numpy(picture.coords()).reshape(-1, len(picture.axes))
        boundary = picture.find_boundary()
        share = 1.0 if boundary_only else boundary_share
        self._groups: list[tuple[Tensor, int]] = []
        """The coordinates of groups of cells, and how many of each a step samples: of low cells, then of high ones."""
        self.sampled = np.zeros(picture.shape, dtype=bool)
        """The cells that may be sampled, shaped like the picture's."""
        sizes = []
        for ink in (picture.low, picture.high):
            parts = [ink] if share is None else [ink & boundary, ink & ~boundary]
            counts = _share_out(cells, share, [int(part.sum()) for part in parts])
            sizes.append(sum(counts))
            for part, count in zip(parts, counts, strict=True):
                if count:
                    self._groups.append((coords[torch.from_numpy(part.reshape(-1))], count))
                    self.sampled |= part
        self._low = sizes[0]
        """How many points of a step are low cells, which come first."""
        self.most_points = sum(sizes)

    def _describe(self) -> str:
        return f"{self.picture!r}, {super()._describe()}"

    def sample(self, seed: int, step: int, progress: float, running: Mapping[str, float]) -> SampledPoints:
        random = make_generator(seed, "cells", step)
        picked = [coords[torch.randperm(len(coords), generator=random)[:count]] for coords, count in self._groups]
        return _SampledCells(torch.cat(picked), self._low, self.clip)

    def make_scoring(self, most: int, metrics: Mapping[str, StreamingMetric]) -> Scoring | None:
        """The gap of accuracies at as many low as high cells, or else the correlation of log losses with the ink."""
        coords = torch.from_numpy(self.picture.coords()).reshape(-1, len(self.axes))
        inks = [coords[torch.from_numpy(ink.reshape(-1))] for ink in (self.picture.low, self.picture.high)]
        each = max(1, most // 2)
        low, high = (ink[pick_points(len(ink), each, f"scored/{k}")] for k, ink in enumerate(inks))
        points, split = torch.cat([low, high]), len(low)
        if "accuracy" in metrics:

            def compute(values: Mapping[str, Tensor]) -> float:
                return float(values["accuracy"][:split].mean() - values["accuracy"][split:].mean())

            return Scoring("gap", points, {"accuracy": metrics["accuracy"]}, compute)
        target = np.repeat([-1.0, 1.0], [split, len(high)])
        return Scoring(
            "log_loss_correlation",
            points,
            {"loss": metrics["loss"]},
            lambda values: correlate_log_loss(values["loss"], target),
        )


def _share_out(cells: int, share: float | None, sizes: list[int]) -> list[int]:
    """How many of the cells come from each part of a class: from those at boundaries a share, and from the others."""
    if share is None:
        return [min(cells, sizes[0])]
    at_boundary, inside = sizes
    if share == 1 and at_boundary:
        return [min(cells, at_boundary), 0]
    count = min(cells, at_boundary + inside)
    first = min(at_boundary, max(round(share * count), count - inside))
    return [first, count - first]


class _SampledCells(SampledPoints):
    """The cells of one step: the first ``low`` are low, the others high."""

    coupled = False
    geometric = False

    def __init__(self, coords: Tensor, low: int, clip: Clip) -> None:
        self.coords = coords
        self._low = low
        self._clip = clip

    def value(self, outputs: Outputs, losses: Tensor, shares: Tensor, points: slice) -> Tensor:
        low = min(max(self._low - points.start, 0), len(losses))
        descend = (losses[:low] @ shares).sum() / self._low
        climb = self._clip.mean(losses[low:], shares).sum() / (len(self.coords) - self._low)
        return descend - climb

    def geometry(self, coefficients: Tensor, gram: Tensor) -> Tensor:
        return gram.new_zeros(())

    def report(self, metrics: dict[str, Tensor]) -> dict[str, float]:
        numbers = {}
        for name, values in metrics.items():
            numbers[f"low_{name}"] = float(values[: self._low].mean())
            numbers[f"high_{name}"] = float(values[self._low :].mean())
        if "accuracy" in metrics:
            numbers["gap"] = numbers["low_accuracy"] - numbers["high_accuracy"]
        return numbers
