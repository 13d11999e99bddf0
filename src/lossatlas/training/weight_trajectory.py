"""Trajectories as points of weight space: principal components, and projections onto planes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from lossatlas.errors import BadInput, Caution
from lossatlas.files.reading import Unreadable
from lossatlas.files.tensors import open_tensors
from lossatlas.training.trajectory import INDEX, Snapshot, Trajectory
from lossatlas.weights import Entry, WeightSpace
from lossatlas.weights.checkpoint import list_names

__all__ = ["MEMORY", "Projection", "WeightTrajectory"]

MEMORY = 2**30
"""The default for the bytes that parts of all snapshots may take in memory together."""
SPARE = 4
"""The rows held beside one per snapshot: the part read from a file, the last one, the mean, and a product."""
NUMBERS = ("F64", "F32", "F16", "BF16")
"""The dtypes of weights, as safetensors names them."""
DEPENDENT = 1e-12
"""The share of the largest variance below which a variance counts as rounding."""


@dataclass(frozen=True)
class Projection:
    """The orthogonal projection of a trajectory onto the affine plane along some directions."""

    coords: Tensor
    """The coordinates of the S snapshots, (S, d), float64, in lengths of the directions."""
    distances: Tensor
    """The Euclidean distance of each snapshot from the plane, (S,), float64."""
    captured: float
    """The share of the trajectory's variance in the plane."""
    shares: Tensor
    """The share of the trajectory's variance along each direction by itself, (d,), float64."""


class WeightTrajectory:
    """The snapshots of a trajectory as vectors of one weight space, read from their files when they are needed.

    Args:
        trajectory: the trajectory of a network.
        space: the weight space of the network.

    Raises:
        BadInput: fewer than two snapshots are finite, or a snapshot has another architecture; the message names the
            first difference.

    Warns:
        Caution: snapshots that are not finite, as at the end of a training that diverged, are left out.
    """

    def __init__(self, trajectory: Trajectory, space: WeightSpace) -> None:
        self.snapshots = list(trajectory.snapshots)
        self.space = space
        if len(self.snapshots) < 2:
            raise BadInput(
                f"{trajectory.path} holds {len(self.snapshots) or 'no'} snapshot{'' if self.snapshots else 's'}; a "
                "trajectory needs two or more: record more steps, or name the folder of a trajectory"
            )
        self._known: tuple[Tensor, Tensor] | None = None
        self._check(trajectory)
        self._leave_out_infinite(trajectory)

    def __len__(self) -> int:
        return len(self.snapshots)

    def vector(self, index: int) -> Tensor:
        """Return the weights (n,) of a snapshot, in the dtype of the space."""
        return self.space.flatten(self.snapshots[index].state())

    def explained(self, memory: int = MEMORY) -> Tensor:
        """Return the share of the variance along each principal component, (S,), float64, the largest first."""
        variances, _ = self._spectrum(memory)
        total = variances.sum()
        return variances / total if total > 0 else variances

    def components(self, count: int, memory: int = MEMORY) -> Tensor:
        """Return the principal components of the snapshots, (count, n), orthonormal, float64 (Li et al. 2018, section
        7.2).

        They come from the centred Gram matrix (S, S) of the snapshots, which is accumulated in float64 over parts of
        weight space, so that every file is read once for the matrix and once for the components. The sign of each is
        such that the trajectory ends at a larger coordinate than it starts at.

        Args:
            count: number of components.
            memory: bytes that parts of all snapshots may take in memory together.

        Raises:
            BadInput: the trajectory has fewer dimensions, or the memory is too small for one row of a parameter.
        """
        variances, vectors = self._spectrum(memory)
        rank = int((variances > DEPENDENT * variances[0]).sum()) if variances[0] > 0 else 0
        if count > rank:
            raise BadInput(
                f"the trajectory of {len(self)} snapshots spans {rank} dimensions, fewer than the {count} components "
                "asked for; record more snapshots or ask for fewer components"
            )
        # Coordinates along a component are the entries of its eigenvector; the trajectory shall run from left to right.
        signs = torch.where(vectors[-1, :count] < vectors[0, :count], -1.0, 1.0)
        weights = (vectors[:, :count] * signs / variances[:count].sqrt()).T
        raw = torch.cat([weights @ self._centred(piece) for piece in self._pieces(memory)], dim=1)
        # Small components are orthogonal only to within the rounding of the large ones, so orthogonalise again.
        frame, triangle = torch.linalg.qr(raw.T)
        components: Tensor = (frame * triangle.diagonal().sign()).T
        return components

    def _spectrum(self, memory: int) -> tuple[Tensor, Tensor]:
        """Return the eigenvalues (S,) of the Gram matrix, the largest first, and its eigenvectors as columns."""
        if self._known is None:
            gram = torch.zeros(len(self), len(self), dtype=torch.float64)
            for piece in self._pieces(memory):
                gram += _gram(self._centred(piece))
            variances, vectors = torch.linalg.eigh(gram)
            self._known = variances.flip(0).clamp(min=0), vectors.flip(1)
        return self._known

    def project(self, origin: Tensor, directions: Tensor) -> Projection:
        """Project the trajectory onto the plane through ``origin`` (n,) along ``directions`` (d, n), by least squares.

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
        """Split weight space into parts, rows of parameters in order, that fit the memory for all snapshots."""
        room = memory // (8 * (len(self) + SPARE))
        pieces: list[list[tuple[Entry, slice]]] = [[]]
        left = room
        for entry in self.space.entries:
            if not entry.size:
                continue
            rows = entry.shape[0] if entry.shape else 1
            width = prod(entry.shape) // rows
            if width > room:
                raise BadInput(
                    f"{memory} bytes are too few for one row of {entry.name!r} of {len(self)} snapshots; expected "
                    f"{8 * (len(self) + SPARE) * width} or more: raise --memory"
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
        """Read some columns (S, c) of all snapshots, float64, centred; this is the one large tensor in memory."""
        columns = torch.empty(len(self), sum(_width(entry, rows) for entry, rows in piece), dtype=torch.float64)
        for row, snapshot in zip(columns, self.snapshots, strict=True):
            _read_into(row, snapshot, piece)
        # The last snapshot is subtracted first: centring large weights directly would lose digits of their differences.
        columns -= columns[-1].clone()
        columns -= columns.mean(dim=0)
        return columns

    def _leave_out_infinite(self, trajectory: Trajectory) -> None:
        """Remove snapshots that are not finite, with a caution."""
        finite = [snapshot for snapshot in self.snapshots if _is_finite(snapshot, self.space)]
        steps = [str(snapshot.step) for snapshot in self.snapshots if snapshot not in finite]
        if not steps:
            return
        found = f"{trajectory.path}: the weights of step{'s' * (len(steps) > 1)} {list_names(steps)} are not finite"
        if len(finite) < 2:
            raise BadInput(
                f"{found}; expected two finite snapshots at least: record more steps before the training diverges"
            )
        warnings.warn(
            f"{found}; the trajectory ends at step {finite[-1].step} and is shown without them", Caution, stacklevel=3
        )
        self.snapshots = finite

    def _check(self, trajectory: Trajectory) -> None:
        """Check the shapes and dtypes of all snapshots, by the headers of their files."""
        damaged = []
        for snapshot in self.snapshots:
            try:
                _check_shapes(snapshot, self.space)
            except Unreadable:
                damaged.append(snapshot)
        if damaged:
            whole = [str(snapshot.step) for snapshot in self.snapshots if snapshot not in damaged]
            raise BadInput(
                f"snapshot {damaged[0].path} cannot be read; those of steps {', '.join(whole) or 'none'} are complete: "
                f"record it again, or remove its line from {trajectory.path / INDEX}"
            )


def _is_finite(snapshot: Snapshot, space: WeightSpace) -> bool:
    """Return whether all weights of a snapshot are finite; they are read one parameter at a time."""
    with open_tensors(snapshot.path) as file:
        names = (next(name for name in entry.names if name in file.names) for entry in space.entries)
        return all(bool(file[name].double().isfinite().all()) for name in names)


def _check_shapes(snapshot: Snapshot, space: WeightSpace) -> None:
    with open_tensors(snapshot.path) as file:
        parts = {name: file.part(name) for name in file.names}
        shapes = {name: tuple(part.get_shape()) for name, part in parts.items()}
        kinds = {name: str(part.get_dtype()) for name, part in parts.items()}
    for entry in space.entries:
        named = next((name for name in entry.names if name in shapes), "")
        there = shapes.get(named)
        if there == entry.shape and kinds[named] not in NUMBERS:
            raise BadInput(
                f"the snapshot of step {snapshot.step} holds {named!r} as {kinds[named]}; expected one of "
                f"{', '.join(NUMBERS)}: record it again"
            )
        if there != entry.shape:
            described = f"has shape {there}" if there is not None else "is missing"
            raise BadInput(
                f"the snapshot of step {snapshot.step} is of another model: {entry.name!r} {described} there and has "
                f"shape {entry.shape} in the model; choose the model and options that it was recorded with"
            )
        kind = next(kinds[name] for name in entry.names if name in kinds)
        if not kind.lstrip("B").startswith("F"):
            raise BadInput(
                f"the snapshot of step {snapshot.step} has {entry.name!r} as {kind}; expected real floating point: "
                "record it as it is in the model"
            )


def _width(entry: Entry, rows: slice) -> int:
    return int(entry.size // (entry.shape[0] if entry.shape else 1) * (rows.stop - rows.start))


def _read_into(row: Tensor, snapshot: Snapshot, piece: list[tuple[Entry, slice]]) -> None:
    at = 0
    with open_tensors(snapshot.path) as file:
        there = set(file.names)
        for entry, rows in piece:
            name = next(name for name in entry.names if name in there)
            value = file.part(name)[rows] if entry.shape else file[name]
            row[at : at + value.numel()] = value.reshape(-1)
            at += value.numel()


def _gram(columns: Tensor) -> Tensor:
    return columns @ columns.T
