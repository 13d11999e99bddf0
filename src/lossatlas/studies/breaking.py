"""Which examples break first when one leaves a point of a chart, and in which direction."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lossatlas.charts import Chart
from lossatlas.data import Split
from lossatlas.describing import count_things, write_repr
from lossatlas.engine import EVAL_BATCH_SIZE, Engine, Evaluation, check_network
from lossatlas.errors import BadInput, Caution
from lossatlas.studies.examined import ExaminedSplit, examine_network, form_point
from lossatlas.studies.placing import measure_place
from lossatlas.studies.rays import Rays, cast_rays
from lossatlas.types import Source

__all__ = ["Break", "Breaks", "find_breaks"]

QUANTILE = 0.95
"""The quantile of the losses at the centre above which an example counts as broken, where it is not right or wrong."""
USUAL_BOX = (-1.0, 1.0)
"""How far rays lead along each axis, unless it is said, as grids do."""

SHARPENED = (0.01, 0.1)
"""The shares of examples for which it is looked more closely where they are broken."""
ROUNDING = 1e-9
"""How far a share of a number may lie above a whole number by rounding."""
SHARPENINGS = 4
"""How often the radii between which a share is broken are halved."""

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Break:
    """Where one example breaks first, of all directions.

    Attributes:
        example: Its index in the split.
        target: Its label; None where examples are not classified one by one.
        prediction: The class predicted where it is broken; None likewise.
        centre_loss: Its loss at the centre.
        loss: Its loss where it is broken.
        coords: The coordinates of the place, of all axes of the chart.
        direction: The number of the ray.
        distance: The distance of the place from the centre in coordinates: there the example is broken.
        resolution: By how much the distance may be too large: so far before it, the example was whole.
        weight_distance: The Euclidean distance of the place from the centre in weight space.
    """

    example: int
    target: int | None
    prediction: int | None
    centre_loss: float
    loss: float
    coords: tuple[float, ...]
    direction: int
    distance: float
    resolution: float
    weight_distance: float


@dataclass(frozen=True, eq=False, repr=False)
class Breaks:
    """Which examples break along R rays from a centre, looked at at S radii each.

    Attributes:
        rays: The rays.
        radii: Where they were looked at, (R, S), in coordinates.
        broken: How many of the examples that were whole at the centre are broken there, (R, S).
        curves: By ray all radii at which broken examples were counted, ascending from 0 at the centre, and their
            numbers: (2, K). Between the radii above they are those where 1 % and 10 % of the examples are broken.
        whole: How many examples were whole at the centre, all others being left out.
        left_out: How many were broken at the centre.
        unlabelled: How many do not count at all.
        criterion: When an example is broken, in words.
        threshold: The loss above which an example is broken; None where a wrong prediction decides.
        earliest: The examples that break first, in order of their distances.
        broken_within: How many examples break on any ray.
        distances: For every example of the split the smallest of the radii at which it was seen broken, (B,), float32;
            NaN where it breaks nowhere within reach, or is left out.
        directions: The number of the ray on which that was, (B,), int16; -1 likewise.
        notes: What has to be known to read this rightly, in lines.
    """

    rays: Rays
    radii: Floats
    broken: npt.NDArray[np.int64]
    curves: tuple[Floats, ...]
    whole: int
    left_out: int
    unlabelled: int
    criterion: str
    threshold: float | None
    earliest: tuple[Break, ...]
    broken_within: int
    distances: npt.NDArray[np.float32]
    directions: npt.NDArray[np.int16]
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return write_repr(self, self._describe)

    def _describe(self) -> str:
        broken = f"{self.broken_within:,} of {count_things(self.whole, 'example')} break"
        return f"{broken} along {count_things(len(self.rays), 'direction')}"

    @property
    def unbroken(self) -> int:
        """How many of the examples that were whole at the centre were seen broken nowhere within reach."""
        return self.whole - self.broken_within

    def find_radii(self, share: float) -> Floats:
        """Find at which distance a share of the examples is broken in each direction, (R,), in coordinates.

        A share means as many whole examples as reach it, at least one. Between the radii of the :attr:`curves` numbers
        are interpolated linearly. NaN where that many do not break within reach.

        Args:
            share: of the examples that were whole at the centre, in (0, 1].

        Raises:
            BadInput: the share is not one.
        """
        if not 0 < share <= 1:
            raise BadInput(f"a share of examples is {share}; expected a number above 0, up to 1")
        found = np.full(len(self.rays), np.nan)
        wanted = _count_share(share, self.whole)
        for ray, (radii, counts) in enumerate(self.curves):
            if (k := _find_reaching(counts, wanted)) is not None:
                part = (wanted - counts[k - 1]) / (counts[k] - counts[k - 1])
                found[ray] = radii[k - 1] + part * (radii[k] - radii[k - 1])
        return found

    def find_most_fragile(self, share: float = 0.1) -> int | None:
        """Find the direction in which a share of the examples is broken first; None where it is in no direction."""
        radii = self.find_radii(share)
        return None if np.isnan(radii).all() else int(np.nanargmin(radii))


def find_breaks(
    engine: Engine,
    chart: Chart,
    centre: Sequence[float] | Tensor,
    split: Split | Source,
    eval_batch_size: int = EVAL_BATCH_SIZE,
    *,
    directions: int = 16,
    steps: int = 12,
    reach: float | Mapping[str, tuple[float, float]] | None = None,
    earliest: int = 32,
    tolerance: float = 1e-3,
    on_points: Callable[[int, int], None] | None = None,
) -> Breaks:
    """Find which examples break first when one leaves a point of a chart, and in which direction.

    An example breaks where its prediction becomes wrong; those that are wrong at the centre are left out. Where
    examples are not classified one by one, it breaks where its loss exceeds the 95th percentile of the losses at the
    centre; those above it there are left out. A loss that is not finite is broken in any case.

    Along every ray the network is evaluated at equally spaced radii, and at some between them where few of the examples
    are broken. The place of a break lies between the last radius
    before and the first one at which it was seen; for the examples that break first it is narrowed down by bisection,
    on all rays that may come first. What breaks and heals between two radii is not seen.

    Args:
        engine: of the problem on the chart, as :func:`lossatlas.engine_for` makes one.
        chart: where.
        centre: the coordinates (d,) of the centre; along ``repeat`` the number of the repeat, which stays.
        split: the examples, in any form that :meth:`Split.of` takes.
        eval_batch_size: examples that are evaluated together.
        directions: how many; on one axis there are two.
        steps: the number of radii along each ray.
        reach: how far rays lead, in coordinates; or the ends of a box by axis, to whose edge they lead. Default the box
            from -1 to 1 along every axis.
        earliest: how many of the examples that break first are listed.
        tolerance: how narrow their places are made, as a share of the length of the ray.
        on_points: called with what is done and with all there is to do, after every batch; may raise, which ends it.

    Raises:
        BadInput: coordinates or numbers are out of range, the loss has no values of single examples, or no example is
            whole at the centre.

    Warns:
        Caution: rays lead beyond the domain of the chart.

    Example:
        >>> import torch, lossatlas as la
        >>> module = torch.nn.Linear(4, 2)
        >>> problem, inputs = la.Problem(module, la.CrossEntropy()), torch.randn(64, 4)
        >>> examples = inputs, module(inputs).argmax(dim=1)
        >>> chart = la.slice_around(module)
        >>> engine = la.engine_for(problem, chart, examples, plan="loop")
        >>> breaks = la.find_breaks(engine, chart, [0.0, 0.0], examples, directions=8, steps=4)
        >>> breaks.whole, breaks.broken.shape, len(breaks.find_radii(0.1))
        (64, (8, 4), 8)
    """
    if steps < 1 or earliest < 1 or not 0 < tolerance < 1:
        raise BadInput(
            f"steps is {steps}, earliest {earliest} and tolerance {tolerance}; expected 1 or more, and a share below 1"
        )
    if not engine.network.loss.per_example:
        raise BadInput(
            f"the loss {engine.network.loss.record} has one value for a whole batch, so that no single example breaks; "
            "give a loss of single examples, such as PerExample"
        )
    held = Split.of(split).to(engine.network.device)
    check_network(engine.network, held)
    at = torch.as_tensor(centre, dtype=torch.float64).tolist()
    rays = cast_rays(chart.axes, at, directions, reach if reach is not None else dict.fromkeys(chart.axes, USUAL_BOX))
    found = _Search(engine, chart, rays, held, eval_batch_size, steps, earliest, tolerance, on_points).find()
    ends = torch.from_numpy(rays.locate(np.arange(len(rays)), rays.reaches))
    if not (outside := int((~chart.is_within(ends)).sum())):
        return found
    line = f"{outside} of {count_things(len(rays), 'direction')} lead beyond the domain that the chart was made for"
    warnings.warn(line, Caution, stacklevel=2)
    return replace(found, notes=(line, *found.notes))


@dataclass(frozen=True)
class _Criterion:
    """When an example is broken: where its prediction is wrong, or its loss exceeds a threshold."""

    threshold: float | None

    @classmethod
    def of(cls, centre: ExaminedSplit) -> _Criterion:
        if centre.right is not None:
            return cls(None)
        assert centre.losses is not None
        losses = centre.losses[centre.counted & np.isfinite(centre.losses)]
        # The losses that are compared are in 32 bits, too.
        return cls(float(np.quantile(losses, QUANTILE)) if losses.size else -math.inf)

    @property
    def words(self) -> str:
        if self.threshold is None:
            return "its prediction is wrong"
        return f"its loss exceeds {self.threshold:.4g}, the 95th percentile of the losses at the centre"

    def find_whole(self, centre: ExaminedSplit) -> Mask:
        """Which examples (B,) are whole at the centre."""
        assert centre.losses is not None
        finite = np.isfinite(centre.losses)
        if self.threshold is None:
            assert centre.right is not None
            return centre.right & finite
        return centre.counted & finite & (centre.losses <= self.threshold)

    def judge(self, evaluation: Evaluation) -> _Verdict:
        losses = evaluation.losses.float()
        predictions = torch.full(losses.shape, -1, dtype=torch.int32, device=losses.device)
        if self.threshold is None:
            found = evaluation.labelled
            guesses = found.logits.argmax(dim=-1).reshape(losses.shape)
            broken, predictions = guesses != found.labels.reshape(-1), guesses.int()
        else:
            broken = losses > self.threshold
        broken = broken | ~losses.isfinite()
        return _Verdict(*(part.cpu().numpy() for part in (broken, predictions, losses)))


@dataclass(frozen=True)
class _Verdict:
    """What is found of some examples at p points, each (p, K)."""

    broken: Mask
    predictions: npt.NDArray[np.int32]
    losses: npt.NDArray[np.float32]


@dataclass
class _Brackets:
    """Between which distances examples break on rays, each (N,): one for every pair of an example and a ray."""

    ray: npt.NDArray[np.intp]
    example: npt.NDArray[np.intp]
    """The number among the examples that are whole at the centre."""
    low: Floats
    """The largest distance known at which it is whole, below the next."""
    high: Floats
    """A distance at which it is broken."""
    prediction: npt.NDArray[np.int32]
    """What is predicted there."""
    loss: npt.NDArray[np.float32]

    def keep(self, which: npt.NDArray[np.generic]) -> _Brackets:
        return _Brackets(*(values[which] for values in vars(self).values()))


class _Search:
    """The search for the first breaks, with what its steps share."""

    def __init__(
        self,
        engine: Engine,
        chart: Chart,
        rays: Rays,
        split: Split,
        eval_batch_size: int,
        steps: int,
        earliest: int,
        tolerance: float,
        on_points: Callable[[int, int], None] | None,
    ) -> None:
        self._engine, self._chart, self._rays, self._split = engine, chart, rays, split
        self._eval_batch_size, self._steps = eval_batch_size, steps
        self._earliest, self._tolerance = earliest, tolerance
        self._on_points = on_points or _nothing
        self._controls = chart.lay_controls()
        self._halvings = max(0, math.ceil(math.log2(1 / (steps * tolerance))))
        sharpenings = len(rays) * SHARPENINGS * len(SHARPENED)
        self._done, self._total = 0, 1 + len(rays) * steps + sharpenings + self._halvings
        self._radii = rays.reaches[:, None] * (np.arange(1, steps + 1) / steps)

    def find(self) -> Breaks:
        """Search."""
        point = form_point(self._chart, self._rays.centre, self._controls)
        centre = examine_network(self._engine, point, self._split, {}, self._eval_batch_size)
        self._advance(1)
        assert centre.losses is not None
        self._criterion = _Criterion.of(centre)
        whole = self._criterion.find_whole(centre)
        self._indices = np.flatnonzero(whole)
        counted = centre.counted if centre.right is None else np.asarray(centre.targets) >= 0
        if not len(self._indices):
            raise BadInput(
                f"none of {count_things(centre.examples, 'example')} is whole at the centre, so that none breaks: an "
                f"example is broken where {self._criterion.words}; choose another centre"
            )
        broken, brackets = self._walk()
        curves = self._sharpen(broken)
        distances = np.full(centre.examples, np.nan, dtype=np.float32)
        directions = np.full(centre.examples, -1, dtype=np.int16)
        order = np.argsort(-brackets.high, kind="stable")  # what is written last, the smallest, stays
        distances[self._indices[brackets.example[order]]] = brackets.high[order]
        directions[self._indices[brackets.example[order]]] = brackets.ray[order]
        broken_within = len(np.unique(brackets.example))
        return Breaks(
            rays=self._rays,
            radii=self._radii,
            broken=broken,
            curves=curves,
            whole=len(self._indices),
            left_out=int((counted & ~whole).sum()),
            unlabelled=int((~counted).sum()),
            criterion=self._criterion.words,
            threshold=self._criterion.threshold,
            earliest=self._list(self._narrow(brackets), centre),
            broken_within=broken_within,
            distances=distances,
            directions=directions,
            notes=centre.notes,
        )

    def _walk(self) -> tuple[npt.NDArray[np.int64], _Brackets]:
        """Look along all rays, radius by radius; how many are broken (R, S), and where each example is first."""
        rays, count = len(self._rays), len(self._indices)
        first = np.zeros((rays, count), dtype=np.int32)
        predictions = np.zeros((rays, count), dtype=np.int32)
        losses = np.zeros((rays, count), dtype=np.float32)
        broken = np.zeros((rays, self._steps), dtype=np.int64)
        step, ray = (part.reshape(-1) for part in np.indices((self._steps, rays)))

        def take(points: slice, examples: slice, verdict: _Verdict) -> None:
            for row, (k, along) in enumerate(zip(step[points], ray[points], strict=True)):
                seen = verdict.broken[row]
                broken[along, k] += seen.sum()
                new = np.flatnonzero(seen & (first[along, examples] == 0)) + examples.start
                first[along, new] = k + 1
                predictions[along, new] = verdict.predictions[row, new - examples.start]
                losses[along, new] = verdict.losses[row, new - examples.start]

        self._evaluate(ray, self._radii[ray, step], self._split, self._indices, take, advance=True)
        at_ray, example = np.nonzero(first)
        k = first[at_ray, example]
        radii = np.concatenate([np.zeros((rays, 1)), self._radii], axis=1)
        return broken, _Brackets(
            at_ray, example, radii[at_ray, k - 1], radii[at_ray, k],
            predictions[at_ray, example], losses[at_ray, example],
        )  # fmt: skip

    def _sharpen(self, broken: npt.NDArray[np.int64]) -> tuple[Floats, ...]:
        """Count broken examples also at radii between those where a few shares of all are broken; see ``curves``."""
        start = np.zeros((len(self._rays), 1))
        both = np.concatenate([start, self._radii], axis=1), np.concatenate([start, broken], axis=1)
        curves = list(np.stack(both, axis=1))
        for share in SHARPENED * SHARPENINGS:
            reaching = [_find_reaching(curve[1], _count_share(share, len(self._indices))) for curve in curves]
            rays = np.array([ray for ray, k in enumerate(reaching) if k is not None], dtype=np.intp)
            places = [(int(k), curve) for k, curve in zip(reaching, curves, strict=True) if k is not None]
            middles = np.array([(curve[0, k - 1] + curve[0, k]) / 2 for k, curve in places])
            counts = np.zeros(len(rays))

            def count(points: slice, examples: slice, verdict: _Verdict, counts: Floats = counts) -> None:
                counts[points] += verdict.broken.sum(axis=1)

            self._evaluate(rays, middles, self._split, self._indices, count, advance=True)
            for ray, (k, curve), radius, seen in zip(rays, places, middles, counts, strict=True):
                curves[ray] = np.insert(curve, k, [radius, seen], axis=1)
            self._advance(len(self._rays) - len(rays))
        return tuple(curves)

    def _narrow(self, brackets: _Brackets) -> _Brackets:
        """Halve the brackets of the examples that break first until they are narrow; one bracket for each of these."""
        for _ in range(self._halvings):
            if not len(brackets.ray):
                self._advance(1)
                continue
            brackets = self._prune(brackets)
            # Exact numbers are equal where brackets are: halves are taken of the same radii.
            places, own = np.unique(
                np.stack([brackets.ray, (brackets.low + brackets.high) / 2]), axis=1, return_inverse=True
            )
            own = own.reshape(-1)
            examples, column = np.unique(brackets.example, return_inverse=True)
            split, rows = self._take(examples)
            found = [np.zeros((places.shape[1], len(examples)), dtype=kind) for kind in (bool, np.int32, np.float32)]

            def put(
                points: slice, some: slice, verdict: _Verdict, found: list[npt.NDArray[np.generic]] = found
            ) -> None:
                for into, part in zip(found, vars(verdict).values(), strict=True):
                    into[points, some] = part

            self._evaluate(places[0].astype(np.intp), places[1], split, rows, put)
            seen, predictions, losses = (part[own, column] for part in found)
            middle = places[1][own]
            brackets = _Brackets(
                brackets.ray,
                brackets.example,
                np.where(seen, brackets.low, middle),
                np.where(seen, middle, brackets.high),
                np.where(seen, predictions, brackets.prediction),
                np.where(seen, losses, brackets.loss),
            )
            self._advance(1)
        order = np.lexsort((brackets.ray, brackets.example, brackets.high))
        ordered = brackets.keep(order)
        _, firsts = np.unique(ordered.example, return_index=True)
        return ordered.keep(np.sort(firsts)[: self._earliest])

    def _prune(self, brackets: _Brackets) -> _Brackets:
        """Leave out brackets that cannot hold one of the first breaks, or not the first one of their example."""
        best = np.full(len(self._indices), np.inf)
        np.minimum.at(best, brackets.example, brackets.high)
        ends = np.sort(best[np.isfinite(best)])
        last = ends[min(self._earliest, len(ends)) - 1] if len(ends) else np.inf
        own = best[brackets.example]
        may_be_first = (brackets.low < own) | (brackets.high == own)
        return brackets.keep(may_be_first & (brackets.low <= last))

    def _take(self, examples: npt.NDArray[np.intp]) -> tuple[Split, npt.NDArray[np.intp]]:
        """The split of some of the whole examples, and which of its rows they are; all rows where examples mix."""
        indices = self._indices[examples]
        if self._engine.network.normalises_by_the_batch or len(indices) == len(self._split):
            return self._split, indices
        return self._split.select(torch.from_numpy(indices)), np.arange(len(indices))

    def _evaluate(
        self,
        rays: npt.NDArray[np.intp],
        distances: Floats,
        split: Split,
        rows: npt.NDArray[np.intp],
        take: Callable[[slice, slice, _Verdict], None],
        *,
        advance: bool = False,
    ) -> None:
        """Evaluate points (P,) on a split, and hand what is found of its rows (K,) on, in parts of points and rows."""
        coords = torch.from_numpy(self._rays.locate(rays, distances))
        for block in self._chart.blocks(coords, self._engine.plan.evaluate.points, self._controls):
            evaluations = self._engine.evaluations(block.coefficients, block.controls, split, self._eval_batch_size)
            for points, examples, evaluation in evaluations:
                verdict = self._criterion.judge(evaluation)
                low, high = np.searchsorted(rows, [examples.start, examples.stop])
                chosen = rows[low:high] - examples.start
                start = block.points.start
                take(
                    slice(start + points.start, start + points.stop),
                    slice(int(low), int(high)),
                    _Verdict(*(part[:, chosen] for part in vars(verdict).values())),
                )
                whole_chunk = examples.stop == len(split)
                self._advance(points.stop - points.start if advance and whole_chunk else 0)

    def _advance(self, points: int) -> None:
        self._done += points
        self._on_points(self._done, self._total)

    def _list(self, brackets: _Brackets, centre: ExaminedSplit) -> tuple[Break, ...]:
        origin = self._form(np.array(self._rays.centre))
        assert centre.losses is not None
        places = self._rays.locate(brackets.ray, brackets.high)
        found = []
        for row, place in enumerate(places):
            index = int(self._indices[brackets.example[row]])
            classified = centre.right is not None and centre.targets is not None
            found.append(
                Break(
                    example=index,
                    target=int(centre.targets[index]) if classified else None,  # type: ignore[index]
                    prediction=int(brackets.prediction[row]) if classified else None,
                    centre_loss=float(centre.losses[index]),
                    loss=float(brackets.loss[row]),
                    coords=tuple(place.tolist()),
                    direction=int(brackets.ray[row]),
                    distance=float(brackets.high[row]),
                    resolution=float(brackets.high[row] - brackets.low[row]),
                    weight_distance=measure_place(self._form(place), origin).distance,
                )
            )
        return tuple(found)

    def _form(self, coords: Floats) -> Tensor:
        """The weights (n,) at coordinates (d,)."""
        return form_point(self._chart, torch.from_numpy(coords), self._controls).form_first()


def _count_share(share: float, whole: int) -> int:
    """How many whole examples reach a share of all, at least one.

    >>> _count_share(0.1, 5), _count_share(0.1, 30), _count_share(0.1, 31)
    (1, 3, 4)
    """
    return max(1, math.ceil(share * whole - ROUNDING))


def _find_reaching(counts: Floats, wanted: float) -> int | None:
    """The index of the first count that is large enough; None where none is."""
    reached = counts >= wanted
    return int(reached.argmax()) if reached.any() else None


def _nothing(done: int, total: int) -> None:
    """Do nothing between batches."""
