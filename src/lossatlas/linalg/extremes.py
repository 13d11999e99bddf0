"""The largest and the smallest eigenvalues of several symmetric matrices at once, with their residuals."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lossatlas.linalg.krylov import Basis, Numbered, Product, Ritz, find_precision_limit
from lossatlas.linalg.search import Extremes, Found, Search, find_thresholds, gather, give_up, list_ends

__all__ = ["count_least_steps", "find_extremes"]

FIRST_LOOK = 8
"""A start beside what was found goes so many steps at least: by then an eigenvalue that was missed shows."""
OFTEN = 16
"""Up to twice so many steps convergence is looked at after each, then after every second, ...: that costs as well."""
WEAK = 0.5
"""An end whose eigenvalues are below so large a share of the largest magnitude is weak: a residual that is small beside
that magnitude says little of them, and random vectors pass for eigenvectors of 0."""
DOUBT = 0.01
"""The most probability that an eigenvalue lies further beyond a weak end than a search allows."""
STARTS = 64
"""The most starts for the copies of an eigenvalue."""
FUTILE = 0.1
"""Where so small a share of the largest residual is left to lessen, what remains is due to what was found before."""
FIRST = 0.5
"""Where further starts follow, the first goes to so small a share of it, since its residuals add to those of later
ones."""
APART = 1000
"""The numbers of random vectors of one start lie so far from those of the next one."""


@dataclass(frozen=True)
class _Beside:
    """What p matrices are known to have, beside which a further start looks for more."""

    vectors: Tensor
    """The eigenvectors (p, d, n), to which the start is orthogonal."""
    low: Tensor
    """What an eigenvalue has to be below to matter, (p,)."""
    high: Tensor
    """What an eigenvalue has to be above to matter, (p,)."""
    scale: Tensor
    """The largest magnitude of the eigenvalues, (p,)."""

    def take(self, rows: Tensor) -> _Beside:
        """Take some of the matrices; their vectors are not needed any more."""
        return _Beside(self.vectors[:0], self.low[rows], self.high[rows], self.scale[rows])


def count_least_steps(n: int, unseen: float) -> int:
    """Count the steps after which an eigenvalue that lies so far beyond the found ones has shown, in 99 cases of 100.

    After k steps of Lanczos' method from a random start, whatever the spectrum is, the probability that the largest
    eigenvalue exceeds the largest Ritz value by more than a share s of the spectrum's width is at most
    ``1.648 sqrt(n) exp(-(2 k - 1) sqrt(s))``, and likewise at the other end (Kuczynski & Wozniakowski 1992, shifted by
    the smallest eigenvalue, which Krylov spaces do not notice).

    It holds of a random start and of a Krylov space that is never compressed.

    Args:
        n: the dimension of the matrix.
        unseen: the share s of the width.

    >>> count_least_steps(150_000, 0.02)
    40
    """
    return min(n, math.ceil((math.log(1.648 * math.sqrt(n) / DOUBT) / math.sqrt(unseen) + 1) / 2))


def find_extremes(
    product: Product,
    numbered: Numbered,
    points: int,
    like: Tensor,
    search: Search,
    *,
    starts: Tensor | None = None,
    vectors: bool = False,
    error: float = 0.0,
) -> Extremes:
    """Find the eigenvalues at both ends of the spectra of p symmetric matrices, by Lanczos' method.

    All matrices are multiplied together, and each leaves when its residuals are small enough:
    ``residual <= max(tolerance * max(|smallest|, |largest|), c * eps * |T|)``. A residual says that an eigenvalue is
    near, not that there is none beyond it. Where the values of an end are small beside the largest magnitude, a random
    vector nearly satisfies it, so there starts go at least as many steps as ``search.unseen`` takes. A single start
    finds one copy of a multiple eigenvalue; with ``search.again`` further starts look beside what was found, until one
    changes nothing.

    Args:
        product: multiplies matrices with vectors.
        numbered: random vectors, the first of which is the start of all matrices.
        points: the number p of matrices.
        like: a tensor of their dtype and device, whose last axis has their dimension n.
        search: what is searched for.
        starts: starts (p, n) of their own, such as vectors that were found nearby. What ``search.unseen`` promises
            holds of random starts; from others all values take as many steps, and the noise in these has to show what
            is new.
        vectors: whether the eigenvectors are returned.
        error: how far products may be off, as a share of the norm, if that is more than the rounding of their dtype;
            residuals are not below it.

    Returns:
        The eigenvalues, with residuals.

    >>> matrix = torch.diag(torch.tensor([3.0, 3.0, 1.0, -2.0], dtype=torch.float64))
    >>> def multiply(vectors, numbers):
    ...     return vectors @ matrix
    >>> def number(k):
    ...     return torch.randn(4, generator=torch.Generator().manual_seed(k), dtype=torch.float64)
    >>> found = find_extremes(multiply, number, 1, matrix, Search(top=2, bottom=1, again=True))
    >>> found.top.round(decimals=6).tolist(), found.bottom.round(decimals=6).tolist()
    ([[3.0, 3.0]], [[-2.0]])
    """
    n = like.shape[-1]
    warm = starts is not None
    first = numbered(0).to(like).expand(points, n) if starts is None else starts.to(like)
    budgets = torch.full((points,), search.most_products)
    closer = replace(search, tolerance=FIRST * search.tolerance) if search.again else search
    found = _run(product, numbered, torch.arange(points), first, closer, budgets, vectors or search.again, warm=warm)
    if search.again:
        _look_again(product, numbered, found, search, like)
    extremes = gather(found, search, like, vectors)
    floor = error * extremes.scale[:, None]
    return replace(
        extremes,
        top_residuals=extremes.top_residuals.maximum(floor),
        bottom_residuals=extremes.bottom_residuals.maximum(floor),
    )


def _look_again(product: Product, numbered: Numbered, found: list[Found], search: Search, like: Tensor) -> None:
    """Start again beside what was found, until a start changes nothing; replaces what it improves."""
    n = like.shape[-1]
    unsure = [i for i, one in enumerate(found) if one.converged and len(one.values) < n]
    for number in range(1, STARTS + 1):
        spent = [i for i in unsure if found[i].products >= search.most_products]
        for i in spent:  # what a further start would have found is not known
            found[i] = replace(found[i], converged=False)
        unsure = [i for i in unsure if i not in spent]
        if not unsure:
            return
        known = [found[i] for i in unsure]
        budgets = torch.tensor([search.most_products - one.products for one in known])
        beside = _Beside(
            torch.stack([one.vectors for one in known if one.vectors is not None]),
            torch.stack([find_thresholds(one.values, search)[0] for one in known]),
            torch.stack([find_thresholds(one.values, search)[1] for one in known]),
            torch.tensor([one.scale for one in known], dtype=torch.float64),
        )

        def own(k: int, first: int = APART * number) -> Tensor:
            return numbered(first + k)

        starts = own(0).to(like).expand(len(unsure), n)
        later = _run(product, own, torch.tensor(unsure), starts, search, budgets, True, beside)
        changed = []
        for row, (i, one) in enumerate(zip(unsure, later, strict=True)):
            found[i] = found[i].joined(one, search)
            slack = search.tolerance * beside.scale[row]
            beyond = (one.values > beside.high[row] + slack) | (one.values < beside.low[row] - slack)
            if bool(beyond.any()) and found[i].converged and len(one.values):
                changed.append(i)
        unsure = changed
    for i in unsure:
        found[i] = replace(found[i], converged=False)


def _run(
    product: Product,
    numbered: Numbered,
    numbers: Tensor,
    starts: Tensor,
    search: Search,
    budgets: Tensor,
    vectors: bool,
    beside: _Beside | None = None,
    warm: bool = False,
) -> list[Found]:
    """Find eigenpairs of matrices, by their numbers (p,), from one start each, (p, n), in so many products (p,)."""
    limit = find_precision_limit(starts.dtype)
    dimensions = starts.shape[1] - (0 if beside is None else beside.vectors.shape[1])
    against, scale = (None, None) if beside is None else (beside.vectors, beside.scale)
    basis = Basis(starts, min(search.basis, dimensions), against, numbered, limit, scale)
    least = min(dimensions, count_least_steps(starts.shape[1], search.unseen))
    found: dict[int, Found] = {}
    live = torch.arange(len(starts))
    for spent in range(1, int(budgets.max()) + 1):
        images = product(basis.newest, numbers[live])
        finite = images.isfinite().all(dim=1).cpu()
        if not bool(finite.all()):
            for row in live[~finite].tolist():
                found[row] = give_up(search, starts, vectors, spent)
            live, images = live[finite], images[finite.to(images.device)]
            basis.keep(finite.nonzero()[:, 0])
        if not len(live):
            break
        basis.extend(images)
        last = budgets[live] == spent
        complete = basis.size == dimensions
        if not complete and not bool(last.any()) and not _is_due(basis, search, dimensions, beside is not None):
            continue
        ritz = basis.find_ritz()
        around = None if beside is None else beside.take(live)
        residuals = ritz.residuals if complete or spent >= least else _doubt_early(ritz, around, warm)
        settled, good = _settle(ritz, residuals, search, limit, around, complete)
        leaving = settled | last
        for row in leaving.nonzero()[:, 0].tolist():
            found[int(live[row])] = _take(basis, ritz, residuals, row, search, vectors, bool(good[row]), spent)
        staying = (~leaving).nonzero()[:, 0]
        if len(staying) < len(live):
            live = live[staying]
            if not len(live):
                break
            basis.keep(staying)
        if basis.size == basis.most:
            low, high = _choose_kept(basis.most, search)
            basis.compress(basis.find_ritz(), low, high)
    return [found[row] for row in range(len(starts))]


def _is_due(basis: Basis, search: Search, dimensions: int, further: bool) -> bool:
    """Whether convergence is looked at."""
    fewest = max(min(search.wanted + 1, dimensions), FIRST_LOOK if further else 2)
    if basis.size < fewest:
        return basis.size == basis.most
    return basis.size == basis.most or basis.size % max(1, basis.size // OFTEN) == 0


def _doubt_early(ritz: Ritz, beside: _Beside | None, warm: bool) -> Tensor:
    """The residuals (p, j) before a start has gone the least steps: infinite where small ones say little by then.

    That is at weak values, of which any vector has a small residual; and at all values of a warm start, which has a
    small residual at its own eigenvalue though a larger one has come up since.
    """
    scale = ritz.scale if beside is None else torch.maximum(ritz.scale, beside.scale)
    doubtful = torch.ones_like(ritz.values, dtype=torch.bool) if warm else ritz.values.abs() < WEAK * scale[:, None]
    residuals: Tensor = ritz.residuals.masked_fill(doubtful, torch.inf)
    return residuals


def _settle(
    ritz: Ritz, residuals: Tensor, search: Search, limit: float, beside: _Beside | None, complete: bool
) -> tuple[Tensor, Tensor]:
    """Which matrices need no further steps, (p,), and which of them have residuals that are small enough.

    Args:
        ritz: what is known of them.
        residuals: (p, j), infinite where values are not trusted yet.
        search: what is searched for.
        limit: the relative rounding error.
        beside: what was found before.
        complete: whether there are no further steps.
    """
    if ritz.count < search.wanted and not complete:
        nothing = torch.zeros(len(ritz.values), dtype=torch.bool)
        return nothing, nothing
    low, high = slice(0, search.bottom), slice(max(0, ritz.count - search.top), ritz.count)
    scale = ritz.scale if beside is None else torch.maximum(ritz.scale, beside.scale)
    bound = max(search.tolerance, limit) * scale[:, None]
    good, futile = residuals <= bound, (ritz.own <= FUTILE * bound) & residuals.isfinite()
    if beside is not None:  # what is not among the wanted ones need not be known well
        good[:, low] |= (ritz.values - residuals)[:, low] > beside.low[:, None]
        good[:, high] |= (ritz.values + residuals)[:, high] < beside.high[:, None]
    settled, converged = (each[:, low].all(dim=1) & each[:, high].all(dim=1) for each in (good | futile, good))
    return settled | complete, converged


def _choose_kept(size: int, search: Search) -> tuple[int, int]:
    """How many Ritz vectors of either end a full basis is compressed to: half of them, and room for a next one."""
    spare = max(0, min(size // 2, size - 2) - search.wanted)
    low = search.bottom + (spare // 2 if search.bottom else 0)
    high = search.top + (spare - (spare // 2 if search.bottom else 0) if search.top else 0)
    return low, high


def _take(
    basis: Basis,
    ritz: Ritz,
    residuals: Tensor,
    row: int,
    search: Search,
    vectors: bool,
    converged: bool,
    spent: int,
) -> Found:
    ends = list_ends(ritz.count, search)
    return Found(
        ritz.values[row, ends],
        residuals[row, ends],
        basis.combine(ritz.shares[row, :, ends], row) if vectors else None,
        float(ritz.scale[row]),
        converged,
        spent,
    )
