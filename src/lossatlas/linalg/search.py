"""What a search for the ends of spectra looks for, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

__all__ = ["Extremes", "Found", "Search", "find_thresholds", "gather", "give_up", "list_ends"]


@dataclass(frozen=True, kw_only=True)
class Search:
    """What is searched for, and how far.

    Attributes:
        top: The number of largest eigenvalues.
        bottom: The number of smallest ones.
        tolerance: The largest residual, as a share of the largest magnitude among the eigenvalues.
        most_products: The most products with each matrix, of all starts together.
        basis: The most vectors of a Krylov basis, at least ``top + bottom + 3``, or as many as there are dimensions.
        again: Whether further starts look for eigenvalues that the first one missed, such as the copies of a multiple
            one, until one changes nothing.
        unseen: The largest share of the width of a spectrum by which an eigenvalue may lie beyond the found ones, with
            a probability of 99 %, at an end whose eigenvalues are small beside the largest magnitude: each start goes
            as many steps as that takes for any matrix, :func:`count_least_steps`. It is proved of bases that hold as
            many vectors; smaller ones are compressed on the way, and nearly as good.
    """

    top: int = 1
    bottom: int = 1
    tolerance: float = 1e-3
    most_products: int = 300
    basis: int = 48
    again: bool = False
    unseen: float = 0.02

    @property
    def wanted(self) -> int:
        """The number of eigenvalues."""
        return self.top + self.bottom


@dataclass(frozen=True)
class Extremes:
    """The eigenvalues at both ends of the spectra of p matrices, NaN where a matrix has products that are not finite.

    Attributes:
        top: The largest eigenvalues (p, top), descending, float64.
        top_residuals: The norms (p, top) of ``A y - value * y`` for unit vectors y: an eigenvalue lies within. Infinite
            where a search ended before it had gone the steps of :attr:`Search.unseen` that the value needed.
        bottom: The smallest eigenvalues (p, bottom), ascending.
        bottom_residuals: Likewise, (p, bottom).
        top_vectors: The vectors y (p, top, n); None unless they were asked for.
        bottom_vectors: Likewise, (p, bottom, n).
        products: The number of products with each matrix, (p,).
        converged: Whether all residuals of a matrix are as small as was asked for, (p,).
        scale: The largest magnitude that was found in each spectrum, (p,): a lower bound of the norm.
    """

    top: Tensor
    top_residuals: Tensor
    bottom: Tensor
    bottom_residuals: Tensor
    top_vectors: Tensor | None
    bottom_vectors: Tensor | None
    products: Tensor
    converged: Tensor
    scale: Tensor


@dataclass(frozen=True)
class Found:
    """The eigenpairs at the ends of the spectrum of one matrix, ascending; each once where the ends overlap."""

    values: Tensor
    residuals: Tensor
    vectors: Tensor | None
    scale: float
    """The largest magnitude that was seen in the spectrum, whether its value is wanted or not."""
    converged: bool
    products: int

    def joined(self, other: Found, search: Search) -> Found:
        """What is at the ends of the values of both; not converged where the others are not finite."""
        if not bool(other.values.isfinite().all()):
            return replace(self, converged=False, products=self.products + other.products)
        values = torch.cat([self.values, other.values])
        order = values.argsort(stable=True)
        order = order[list_ends(len(order), search)]
        vectors = None
        if self.vectors is not None and other.vectors is not None:
            vectors = torch.cat([self.vectors, other.vectors])[order.to(self.vectors.device)]
        return Found(
            values[order],
            torch.cat([self.residuals, other.residuals])[order],
            vectors,
            max(self.scale, other.scale),
            self.converged and other.converged,
            self.products + other.products,
        )


def give_up(search: Search, like: Tensor, vectors: bool, spent: int) -> Found:
    """What is known of a matrix whose products are not finite."""
    unknown = torch.full((search.wanted,), float("nan"), dtype=torch.float64)
    nowhere = like.new_full((search.wanted, like.shape[1]), float("nan")) if vectors else None
    return Found(unknown, unknown, nowhere, scale=float("nan"), converged=False, products=spent)


def list_ends(count: int, search: Search) -> list[int]:
    """The indices of the wanted ones of so many ascending values, ascending, each once."""
    low, high = range(min(search.bottom, count)), range(max(0, count - search.top), count)
    return sorted({*low, *high})


def find_thresholds(values: Tensor, search: Search) -> tuple[Tensor, Tensor]:
    """What an eigenvalue has to be below, or above, to be among the wanted ones beside these, ascending."""
    infinite = values.new_tensor(float("inf"))
    low = values[search.bottom - 1] if search.bottom else -infinite
    high = values[len(values) - search.top] if search.top else infinite
    return low, high


def gather(found: list[Found], search: Search, like: Tensor, vectors: bool) -> Extremes:
    """Put the eigenpairs of all matrices side by side; NaN where a matrix has fewer than are wanted."""
    if not found:
        raise ValueError("there is no matrix")

    def side(parts: list[Tensor], count: int, top: bool) -> Tensor:
        rows = []
        for part in parts:
            row = part.flip(0)[:count] if top else part[:count]
            missing = row.new_full((count - len(row), *row.shape[1:]), float("nan"))
            rows.append(torch.cat([row, missing]))
        return torch.stack(rows)

    values, residuals = [one.values for one in found], [one.residuals for one in found]
    held = [one.vectors for one in found if one.vectors is not None] if vectors else []
    return Extremes(
        side(values, search.top, True),
        side(residuals, search.top, True),
        side(values, search.bottom, False),
        side(residuals, search.bottom, False),
        side(held, search.top, True) if vectors else None,
        side(held, search.bottom, False) if vectors else None,
        torch.tensor([one.products for one in found]),
        torch.tensor([one.converged for one in found]),
        torch.tensor([one.scale for one in found], dtype=torch.float64),
    )
