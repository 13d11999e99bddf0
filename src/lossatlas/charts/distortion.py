"""How a chart stretches, shears and folds weight space, from the scalar products of its controls alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from math import prod

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lossatlas.charts.chart import Chart, CoefficientChart, check_controls
from lossatlas.errors import BadInput
from lossatlas.linalg import form_gram

__all__ = ["Distortion", "measure_distortion"]

Reals = npt.NDArray[np.float64]

FAR = 0.25
"""From which share of the longest extent on two cells are far from each other."""
MOST_PARTNERS = 4000
"""With how many cells each is compared at most: all pairs of a grid of 60 x 60."""
MOST_WORK = 2**35
"""How many products all comparisons together may take at most, which is a few seconds."""
ENTRIES = 2**22
"""How many numbers an array of parts of the points holds, about: 32 MiB."""
SINGULAR = 2.0**-44
"""The determinant of a Gram matrix, as a share of the product of its diagonal, up to which it is 0 but for rounding."""


@dataclass(frozen=True, eq=False)
class Distortion:
    """How a chart with d axes distorts weight space, at each point of a grid (U, V, ...)."""

    scale: float
    """``sqrt(lambda)``: the distance in weight space that a unit of the coordinates covers, in the root mean square
    over the axes and over the points of the chart's domain."""
    within: npt.NDArray[np.bool_]
    """(U, V, ...), the points in the chart's domain, over which lambda is averaged and with which points are compared;
    all where the grid has none of them."""
    area: Reals
    """(U, V, ...), the element of area (of length for one axis, of volume for three) ``sqrt(det G)`` over
    ``lambda^(d / 2)``; 0 at a singular point."""
    angles: Mapping[tuple[str, str], Reals]
    """(U, V, ...) by two axes, the angle between them in degrees, from 0 to 180; NaN where the derivatives along the
    two are parallel or 0."""
    separation: Reals
    """(U, V, ...), the least distance in weight space from the point to one far from it, over ``sqrt(lambda)`` times
    their distance in coordinates: 1 for an isometric chart that is flat, near 0 where the chart folds onto itself; NaN
    where no point is far."""
    far: float
    """The distance in coordinates from which on two points count as far: a quarter of the longest extent."""
    partners: int
    """The number of points that each was compared with: all in the domain, or an even sample of them."""
    principal: Reals
    """(U, V, ..., 2), the points in the plane of the first two principal axes of those in the domain, in units of
    ``sqrt(lambda)``."""
    explained: tuple[float, float]
    """The shares of the variance of the points in the domain along these two axes."""

    @property
    def complete(self) -> bool:
        """Whether every point was compared with all in the domain."""
        return self.partners == int(self.within.sum())


@torch.no_grad()
def measure_distortion(chart: Chart, grid: Mapping[str, npt.NDArray[np.float64]]) -> Distortion:
    """Measure how a chart distorts weight space, in float64, without evaluating a network.

    G = D^T K D (d, d) is the first fundamental form, with the derivatives D (m, d) of the coefficients and the Gram
    matrix K (m, m) of the controls; lambda is the mean of ``tr G / d``. Distances are Euclidean in weight space,
    between points that K embeds isometrically in at most m dimensions. Where the grid has more than 4,000 points in the
    domain, or where comparisons would take many seconds, points are compared with an even sample of them, and
    :attr:`Distortion.partners` says how many.

    Args:
        chart: of coefficients and controls.
        grid: per axis of the chart its ascending coordinates.

    Raises:
        BadInput: a chart without coefficients or derivatives, or one that is a single point; a grid along other axes,
            or not of finite coordinates.

    Example:
        A plane is mapped without distortion; a parabola ``(x, x^2)`` is stretched by ``sqrt(1 + 4 x^2)``:

        >>> import numpy as np, torch, lossatlas as la
        >>> parabola = torch.tensor([[-1.0, 1.0], [0.0, -1.0], [1.0, 1.0]]).double()
        >>> found = la.measure_distortion(la.BezierSurface(parabola, (3,), (2,)), {"u": np.array([-1.0, 0.0, 1.0])})
        >>> (found.area * found.scale).round(6).tolist()
        [2.236068, 1.0, 2.236068]
    """
    check_controls(chart, "a map of distortion")
    assert isinstance(chart, CoefficientChart)
    if tuple(grid) != chart.axes:
        raise BadInput(f"the grid runs along {', '.join(grid)}, the chart along {', '.join(chart.axes)}")
    sides = [torch.as_tensor(np.asarray(values, dtype=np.float64)) for values in grid.values()]
    if not all(side.ndim == 1 and len(side) and side.isfinite().all() for side in sides):
        raise BadInput("the grid is not made of finite coordinates along each axis; expected one at least")
    shape, axes = tuple(len(side) for side in sides), len(sides)
    coords = torch.cartesian_prod(*sides).view(-1, axes)
    within = torch.cat([chart.is_within(part).cpu() for part in _parts(coords, 1)])
    if not within.any():
        within = torch.ones_like(within)
    controls = chart.controls()
    middle, centred = _find_middle(chart, coords[within], len(controls))
    gram = form_gram(controls, centred=centred)
    if not gram.isfinite().all():
        raise BadInput("the controls of the chart are not finite, so that its distortion is not known; fit it again")
    embedding = _embed(gram)
    grams = torch.cat([_form_first(chart, part, embedding) for part in _parts(coords, len(embedding) * axes)])
    square = float(grams[within].diagonal(dim1=1, dim2=2).mean())
    if not square > 0:
        raise BadInput("the chart is a single point, so that nothing can be said of how it is stretched")
    chosen = _choose_partners(within.view(shape), len(coords), embedding.shape[1])
    far = FAR * float((coords[within].amax(dim=0) - coords[within].amin(dim=0)).max())
    separation = _separate(chart, coords, coords[chosen], middle, embedding, far) / square**0.5
    principal, explained = _project(chart, coords, within, middle, embedding)
    return Distortion(
        scale=square**0.5,
        within=within.view(shape).numpy(),
        area=(_find_volumes(grams) / square ** (axes / 2)).view(shape).numpy(),
        angles={
            (chart.axes[k], chart.axes[j]): _find_angles(grams, k, j).view(shape).numpy()
            for k, j in combinations(range(axes), 2)
        },
        separation=separation.view(shape).numpy(),
        far=far,
        partners=len(chosen),
        principal=(principal / square**0.5).view(*shape, 2).numpy(),
        explained=explained,
    )


def _parts(coords: Tensor, each: int) -> tuple[Tensor, ...]:
    """Cut points so that few numbers are held at a time, of which each point takes so many."""
    return torch.split(coords, max(1, ENTRIES // max(1, each)))


def _find_device(chart: CoefficientChart) -> torch.device:
    return next((held.device for held in chart.state_dict().values()), torch.device("cpu"))


def _mix(chart: CoefficientChart, coords: Tensor) -> Tensor:
    """The coefficients (P, m) at points (P, d), float64, on the CPU."""
    return chart.coefficients(coords.to(_find_device(chart))).double().cpu()


def _find_middle(chart: CoefficientChart, coords: Tensor, controls: int) -> tuple[Tensor, bool]:
    """The mean (m,) of the coefficients at points, and whether their sum is the same at all of them.

    Differences between points are then mixtures of the controls whose coefficients sum to 0, to which the mean of the
    controls adds nothing.
    """
    total, low, high = torch.zeros(controls, dtype=torch.float64), float("inf"), -float("inf")
    for part in _parts(coords, controls):
        found = _mix(chart, part)
        sums = found.sum(dim=1)
        total += found.sum(dim=0)
        low, high = min(low, float(sums.min())), max(high, float(sums.max()))
    return total / len(coords), high - low <= 1e-9 * max(1.0, abs(high))


def _form_first(chart: CoefficientChart, coords: Tensor, embedding: Tensor) -> Tensor:
    """The first fundamental forms (P, d, d) at points (P, d), from positions (m, r) of the controls.

    Raises:
        BadInput: the chart has no derivatives there.
    """
    tangents = chart.derivatives(coords.to(_find_device(chart))).double().cpu()
    vectors = tangents.mT @ embedding
    found = vectors @ vectors.mT
    if not found.isfinite().all():
        raise BadInput(
            f"{type(chart).__name__} has no finite derivatives on this grid, so that its distortion is not known; "
            "expected a chart whose coordinates vary continuously"
        )
    return found


def _find_volumes(grams: Tensor) -> Tensor:
    """The square roots (P,) of the determinants of Gram matrices (P, d, d); 0 where these are 0 but for rounding."""
    determinants = torch.linalg.det(grams)
    regular = determinants > SINGULAR * grams.diagonal(dim1=1, dim2=2).prod(dim=1)
    return torch.where(regular, determinants, 0).sqrt()


def _find_angles(grams: Tensor, k: int, j: int) -> Tensor:
    """The angles (P,) in degrees between axes k and j; NaN where their own determinant is 0."""
    sines = _find_volumes(grams[:, [k, j]][:, :, [k, j]])
    return torch.where(sines > 0, torch.rad2deg(torch.atan2(sines, grams[:, k, j])), torch.nan)


def _embed(gram: Tensor) -> Tensor:
    """Vectors (m, r) whose Gram matrix is the given one (m, m), in as few dimensions as rounding leaves."""
    squares, vectors = torch.linalg.eigh(gram)
    kept = squares > squares[-1] * len(gram) * torch.finfo(gram.dtype).eps
    embedded: Tensor = vectors[:, kept] * squares[kept].sqrt()
    return embedded


def _choose_partners(within: Tensor, points: int, rank: int) -> Tensor:
    """The numbers (K,) of the points with which all are compared: those of the domain, or an even sample of them."""
    most = max(1, min(MOST_PARTNERS, MOST_WORK // max(1, points * rank)))
    for apart in range(1, max(within.shape) + 1):
        lattice = torch.zeros_like(within)
        lattice[tuple(slice(min((n - 1) // 2, apart // 2), None, apart) for n in within.shape)] = True
        places = (within & lattice).nonzero()
        if 0 < len(places) <= most:
            break
    else:
        places = within.nonzero()[:1]
    strides = torch.tensor([prod(within.shape[k + 1 :]) for k in range(within.ndim)])
    return (places * strides).sum(dim=1)


def _lay(chart: CoefficientChart, coords: Tensor, middle: Tensor, embedding: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Cut points into parts, and embed each: coordinates (p, d) and positions (p, r) relative to the middle."""
    for part in _parts(coords, max(embedding.shape[0], MOST_PARTNERS)):
        yield part, (_mix(chart, part) - middle) @ embedding


def _separate(
    chart: CoefficientChart, coords: Tensor, others: Tensor, middle: Tensor, embedding: Tensor, far: float
) -> Tensor:
    """The least ratio (P,) of the distance in weight space to that in coordinates, over all of the others far away."""
    there = torch.cat([laid for _, laid in _lay(chart, others, middle, embedding)])
    squares = there.square().sum(dim=1)
    found = []
    for part, here in _lay(chart, coords, middle, embedding):
        apart = sum((part[:, k, None] - others[None, :, k]).square() for k in range(part.shape[1]))
        assert isinstance(apart, Tensor)
        ratios = (here.square().sum(dim=1)[:, None] + squares - 2 * here @ there.T) / apart
        ratios[apart < far**2 * (1 - 1e-9)] = torch.inf
        least, nearest = ratios.nan_to_num(nan=torch.inf).min(dim=1)
        # The squares lose half of the digits of small distances, so that the least one is computed again.
        exact = (here - there[nearest]).norm(dim=1) / apart.gather(1, nearest[:, None])[:, 0].sqrt()
        found.append(torch.where(least < torch.inf, exact, torch.nan))
    return torch.cat(found)


def _project(
    chart: CoefficientChart, coords: Tensor, within: Tensor, middle: Tensor, embedding: Tensor
) -> tuple[Tensor, tuple[float, float]]:
    """All points (P, 2) along the first two principal axes of those within, and the shares of the variance of these."""
    moments = torch.zeros(embedding.shape[1], embedding.shape[1], dtype=torch.float64)
    for _, laid in _lay(chart, coords[within], middle, embedding):
        moments += laid.T @ laid
    variances, principal = torch.linalg.eigh(moments)
    # In a weight space of one dimension there is no second axis.
    shares = [float(variances[-k] / variances.sum()) if k <= len(variances) else 0.0 for k in (1, 2)]
    basis = torch.nn.functional.pad(principal.flip(1)[:, :2], (0, max(0, 2 - len(variances))))
    signs = basis.gather(0, basis.abs().argmax(dim=0, keepdim=True)).sign()  # eigenvectors have no sign of their own
    basis = basis * torch.where(signs == 0, 1, signs)
    return torch.cat([laid @ basis for _, laid in _lay(chart, coords, middle, embedding)]), (shares[0], shares[1])
