"""A trajectory as points of weight space: its principal components, and where it runs in a given plane."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lossatlas.errors import BadInput
from lossatlas.training.trajectory import Snapshot, Trajectory
from lossatlas.weights import Entry, WeightSpace

__all__ = ["Components", "Projection", "Way"]

DEPENDENT = 1e-12
"""A variance that is smaller than this share of the largest is rounding."""


@dataclass(frozen=True)
class Components:
    """Principal components of a way."""

    directions: Tensor
    """(k, n), orthonormal, float64; along each the way starts on the negative side of where it ends."""
    explained: Tensor
    """(S,), float64: the share of the variance along each of all components, the largest first."""


@dataclass(frozen=True)
class Projection:
    """A way in the affine plane of some directions, by least squares."""

    coords: Tensor
    """(S, d), float64, in lengths of the directions."""
    distances: Tensor
    """(S,), float64: Euclidean, of each snapshot from the plane."""
    captured: float
    """The share of the way's variance in the plane."""
    shares: Tensor
    """(d,), float64: the share along each direction by itself."""


class Way:
    """The snapshots of a trajectory as vectors of one weight space, which are read when they are needed.

    Args:
        trajectory: of the network.
        space: its weight space.

    Raises:
        BadInput: fewer than two snapshots, or one of another architecture; the first difference is named.
    """

    def __init__(self, trajectory: Trajectory, space: WeightSpace) -> None:
        self.snapshots = list(trajectory.snapshots)
        self.space = space
        if len(self.snapshots) < 2:
            raise BadInput(
                f"{trajectory.path} holds {len(self.snapshots) or 'no'} snapshot{'' if self.snapshots else 's'}; a way "
                "needs two or more: record more steps, or name the folder of a trajectory"
            )
        for snapshot in self.snapshots:
            _check(snapshot, space)

    def __len__(self) -> int:
        return len(self.snapshots)

    def vector(self, index: int) -> Tensor:
        """The weights (n,) of a snapshot, in the space's numbers."""
        return self.space.flatten(self.snapshots[index].state())

    def components(self, count: int, memory: int = 2**30) -> Components:
        """Principal components of the snapshots, relative to the last and centred (Li et al. 2018, section 7.2).

        From the Gram matrix (S, S) of the centred snapshots, summed in float64 over slices of weight space, so that
        every file is read once for the matrix and once for the directions.

        Args:
            count: how many directions.
            memory: bytes that the slices of all snapshots may take together.

        Raises:
            BadInput: the way has fewer dimensions, or the memory does not hold a row of the longest parameter.
        """
        pieces = self._pieces(memory)
        gram = torch.zeros(len(self), len(self), dtype=torch.float64)
        for piece in pieces:
            columns = self._centred(piece)
            gram += columns @ columns.T
        variances, vectors = torch.linalg.eigh(gram)
        variances, vectors = variances.flip(0).clamp(min=0), vectors.flip(1)
        rank = int((variances > DEPENDENT * variances[0]).sum()) if variances[0] > 0 else 0
        if count > rank:
            raise BadInput(
                f"the way of {len(self)} snapshots has {rank} dimensions, {count} components were asked for; record "
                "more snapshots or ask for fewer"
            )
        # Coordinates along a component are its vector's entries; the way shall run from left to right.
        signs = torch.where(vectors[-1, :count] < vectors[0, :count], -1.0, 1.0)
        weights = (vectors[:, :count] * signs / variances[:count].sqrt()).T
        directions = torch.cat([weights @ self._centred(piece) for piece in pieces], dim=1)
        return Components(directions, variances / variances.sum())

    def project(self, origin: Tensor, directions: Tensor) -> Projection:
        """Where the way runs in the plane through ``origin`` (n,) along ``directions`` (d, n), which need no angle.

        Raises:
            BadInput: the directions are linearly dependent.
        """
        origin, directions = origin.detach().double().cpu(), directions.detach().double().cpu()
        frame, triangle = torch.linalg.qr(directions.T)
        lengths = directions.norm(dim=1)
        if not (triangle.diagonal().abs() > DEPENDENT**0.5 * lengths).all():
            raise BadInput("the directions of a plane are linearly dependent; choose others")
        inside, distances, along, squares = [], [], [], 0.0
        mean = torch.zeros(self.space.size, dtype=torch.float64)
        for index in range(len(self)):
            offset = self.vector(index).double() - origin
            part = frame.T @ offset
            inside.append(part)
            distances.append((offset - frame @ part).norm())
            along.append(directions @ offset / lengths)
            squares += float(offset @ offset)
            mean += offset / len(self)
        variance = squares - len(self) * float(mean @ mean)
        coords = torch.linalg.solve_triangular(triangle, torch.stack(inside).T, upper=True).T

        def share(values: Tensor) -> Tensor:
            return (values - values.mean(dim=0)).square().sum(dim=0) / variance

        return Projection(
            coords, torch.stack(distances), float(share(torch.stack(inside)).sum()), share(torch.stack(along))
        )

    def _pieces(self, memory: int) -> list[list[tuple[Entry, slice]]]:
        """Rows of parameters, in the order of the space, that together fit the memory for all snapshots."""
        room = memory // (2 * 8 * len(self))  # read, and centred, in float64
        pieces: list[list[tuple[Entry, slice]]] = [[]]
        left = room
        for entry in self.space.entries:
            rows = entry.shape[0] if entry.shape else 1
            width = max(1, prod(entry.shape) // rows)
            if width > room:
                raise BadInput(
                    f"{memory} bytes do not hold a row of {entry.name!r} of {len(self)} snapshots; allow "
                    f"{16 * len(self) * width} or more"
                )
            start = 0
            while start < rows:
                stop = min(rows, start + left // width)
                if stop == start:
                    pieces.append([])
                    left = room
                    continue
                pieces[-1].append((entry, slice(start, stop)))
                left -= (stop - start) * width
                start = stop
        return pieces

    def _centred(self, piece: list[tuple[Entry, slice]]) -> Tensor:
        """Some columns (S, c) of all snapshots, float64, less their mean."""
        rows = [_columns(snapshot, piece) for snapshot in self.snapshots]
        columns = torch.stack(rows)
        # The last first: weights far from zero would lose digits of their differences.
        columns -= columns[-1].clone()
        return columns - columns.mean(dim=0)


def _check(snapshot: Snapshot, space: WeightSpace) -> None:
    """By the head of its file."""
    try:
        with safe_open(str(snapshot.path), framework="pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise BadInput(
            f"snapshot {snapshot.path} cannot be read; record it again, or leave step {snapshot.step} out"
        ) from error
    for entry in space.entries:
        there = next((shapes[name] for name in entry.names if name in shapes), None)
        if there != entry.shape:
            described = f"has shape {there}" if there is not None else "is missing"
            raise BadInput(
                f"the snapshot of step {snapshot.step} is of another model: {entry.name!r} {described} there and has "
                f"shape {entry.shape} in the model; choose the model and options that it was recorded with"
            )


def _columns(snapshot: Snapshot, piece: list[tuple[Entry, slice]]) -> Tensor:
    parts = []
    with safe_open(str(snapshot.path), framework="pt") as file:
        there = set(file.keys())
        for entry, rows in piece:
            name = next(name for name in entry.names if name in there)
            value = file.get_slice(name)[rows] if entry.shape else file.get_tensor(name)
            parts.append(value.reshape(-1).double())
    return torch.cat(parts)
