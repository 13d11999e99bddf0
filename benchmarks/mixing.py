"""Points of splines and the gradients of their controls: dense products beside products that leave zeros out.

python benchmarks/mixing.py

In the process' own time on one thread, so that other programs do not count; the shortest of several rounds in turn.
``touched`` multiplies densely with those controls alone that the chunk touches, ``CSR`` with a sparse matrix, ``rows``
is what the package does.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Mapping

from lossatlas.cli.process import settle

os.environ["OMP_NUM_THREADS"] = "1"
settle()

import torch
from torch import Tensor

import lossatlas as la
from lossatlas.models.families.conv import Conv
from lossatlas.models.families.mlp import MLP
from lossatlas.weights.mixing import SparseShares

CHUNKS = (1, 8, 64)
SIDES = (5, 6, 9, 13, 24)
ROUNDS = {"mlp": 15, "conv": 5}


def clock(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Time each way in milliseconds, the ways in turn."""
    shortest = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for name, work in ways.items():
            started = time.process_time()
            work()
            shortest[name] = min(shortest[name], 1e3 * (time.process_time() - started))
    return shortest


def mix_ways(space: la.WeightSpace, shares: Tensor, controls: Tensor) -> dict[str, Callable[[], object]]:
    """Ways to form the weights of a chunk, parameter by parameter."""

    def touched() -> list[Tensor]:
        columns = shares.ne(0).any(dim=0).nonzero()[:, 0]
        few = shares[:, columns]
        return [few @ controls[:, e.slice].index_select(0, columns) for e in space.entries]

    def csr() -> list[Tensor]:
        sparse = shares.to_sparse_csr()
        return [sparse @ controls[:, e.slice] for e in space.entries]

    def rows() -> list[Tensor]:
        found = SparseShares.of(shares, controls)
        assert found is not None
        mixed = found.mix(controls)
        return [mixed[:, e.slice].contiguous() for e in space.entries]

    return {
        "dense": lambda: [shares @ controls[:, e.slice] for e in space.entries],
        "touched": touched, "CSR": csr, "rows": rows,
    }  # fmt: skip


def fold_ways(
    space: la.WeightSpace, shares: Tensor, gradients: list[Tensor], into: Tensor
) -> dict[str, Callable[[], object]]:
    """Ways to add the gradients of a chunk to those of the controls."""

    def dense() -> None:
        for e, gradient in zip(space.entries, gradients, strict=True):
            into[:, e.slice].addmm_(shares.T, gradient)

    def touched() -> None:
        columns = shares.ne(0).any(dim=0).nonzero()[:, 0]
        into.index_add_(0, columns, shares[:, columns].T @ torch.cat(gradients, dim=1))

    def csr() -> None:
        sparse = shares.T.to_sparse_csr()
        for e, gradient in zip(space.entries, gradients, strict=True):
            into[:, e.slice].add_(sparse @ gradient)

    def rows() -> None:
        found = SparseShares.of(shares, into)
        assert found is not None
        found.fold(torch.cat(gradients, dim=1), into)

    return {"dense": dense, "touched": touched, "CSR": csr, "rows": rows}


def main() -> None:
    """Print the table of docs/reports/performance.md."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "Sparse CSR", UserWarning)
    import lossatlas.weights.mixing as mixing

    mixing.DENSITIES = dict.fromkeys(mixing.DENSITIES, 1.0)  # degree 2 at 5x5 is beyond what the package takes it for
    print(
        "network | controls | points | density | form: dense (ms) | touched | CSR | rows | "
        "fold: dense (ms) | touched | CSR | rows"
    )
    for name, module in {"mlp": MLP().build((1, 8, 8), 10), "conv": Conv().build((1, 28, 28), 10)}.items():
        space = la.WeightSpace(module)
        for side in SIDES:
            chart = la.Spline(torch.zeros(side * side, 1), net=(side, side), degree=(2, 2))
            controls = torch.randn(side * side, space.size)
            into = torch.zeros_like(controls)
            for points in CHUNKS:
                shares = chart.coefficients(2 * torch.rand(points, 2) - 1)
                gradients = [torch.randn(points, e.size) for e in space.entries]
                formed = clock(mix_ways(space, shares, controls), ROUNDS[name])
                folded = clock(fold_ways(space, shares, gradients, into), ROUNDS[name])
                cells = [name, side * side, points, f"{9 / side**2:.2f}", *(f"{t:.2f}" for t in formed.values()),
                         *(f"{t:.2f}" for t in folded.values())]  # fmt: skip
                print(" | ".join(map(str, cells)), flush=True)


if __name__ == "__main__":
    main()
