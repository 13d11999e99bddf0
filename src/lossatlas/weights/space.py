"""The weight space of a module: its parameters as one vector in R^n."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from math import prod

import torch
from torch import Tensor, nn

from lossatlas.describing import count_things, join_words, write_repr
from lossatlas.errors import BadInput
from lossatlas.types import Params
from lossatlas.weights.mixing import SparseShares

__all__ = ["MATRICES", "Entry", "WeightSpace"]

MATRICES = "matrices"
"""As a pattern of :meth:`WeightSpace.choose`: all parameters of two and more dimensions, without biases."""


@dataclass(frozen=True)
class Entry:
    """The position of one parameter in the vector.

    Its filters, the slices along the first axis of its shape, are contiguous in the vector.

    Attributes:
        names: The name of the parameter, and those of parameters that are tied to it.
        shape: Its shape.
        offset: The index of its first entry in the vector.
    """

    names: tuple[str, ...]
    shape: tuple[int, ...]
    offset: int

    @property
    def name(self) -> str:
        """The first name of the parameter."""
        return self.names[0]

    @property
    def size(self) -> int:
        """The number of entries of the parameter."""
        return prod(self.shape)

    @property
    def slice(self) -> slice:
        """The slice of the vector that holds the parameter."""
        return slice(self.offset, self.offset + self.size)

    @property
    def filter_count(self) -> int:
        """The number of filters; 1 for a scalar parameter."""
        return self.shape[0] if self.shape else 1

    @property
    def filter_size(self) -> int:
        """The number of entries of each filter."""
        return self.size // max(1, self.filter_count)


class WeightSpace:
    """The flattened parameters of one module, with tied parameters once.

    The space stores names and shapes, not the module, which it cannot change. By default all parameters span it, those
    with ``requires_grad=False``, too, except for integer and empty parameters.

    Args:
        module: any module.
        include: shell-style patterns (``"head.*"``) of the parameters that span the space; all others are held fixed
            at the values of the module.

    Raises:
        BadInput: no parameter matches, or one that does is not real floating point or has no shape yet.

    Example:
        >>> import torch, lossatlas as la
        >>> network = torch.nn.Linear(4, 3)
        >>> space = la.WeightSpace(network)
        >>> vector = space.vector_of(network)
        >>> vector.shape, {name: tensor.shape for name, tensor in space.unflatten(vector).items()}
        (torch.Size([15]), {'weight': torch.Size([3, 4]), 'bias': torch.Size([3])})
        >>> la.WeightSpace(network, include=["bias"]).size
        3
    """

    def __init__(self, module: nn.Module, include: Sequence[str] = ("*",)) -> None:
        names_of: dict[nn.Parameter, list[str]] = {}
        for name, parameter in module.named_parameters(remove_duplicate=False):
            names_of.setdefault(parameter, []).append(name)
        entries, offset = [], 0
        for parameter, names in names_of.items():
            if not any(fnmatchcase(name, pattern) for name in names for pattern in include):
                continue
            if isinstance(parameter, nn.parameter.UninitializedParameter):
                raise BadInput(f"parameter {names[0]!r} has no shape yet; call the model on a batch first")
            if parameter.layout is not torch.strided or parameter.is_nested or parameter.is_meta:
                raise BadInput(
                    f"parameter {names[0]!r} is sparse, nested or without numbers (meta); expected plain tensors: make "
                    "it dense, or choose others by patterns"
                )
            if not parameter.is_floating_point():
                if "*" in include and not parameter.is_complex():
                    continue
                raise BadInput(
                    f"parameter {names[0]!r} has dtype {parameter.dtype}; expected real floating point: choose others "
                    "by patterns"
                )
            if not parameter.numel():
                continue
            entries.append(Entry(tuple(names), tuple(parameter.shape), offset))
            offset += parameter.numel()
        if not offset:
            available = ", ".join(sorted(name for names in names_of.values() for name in names)[:8]) or "none"
            raise BadInput(f"no parameters match {', '.join(include)}; the module's are: {available}")
        self.entries: tuple[Entry, ...] = tuple(entries)
        self.include = tuple(include)
        self.size = offset
        """The dimension n."""

    def __repr__(self) -> str:
        return write_repr(self, self._describe)

    def _describe(self) -> str:
        matched = "" if self.include == ("*",) else f" that match {join_words(self.include)}"
        return f"{count_things(self.size, 'weight')} in {count_things(len(self.entries), 'parameter')}{matched}"

    def choose(self, patterns: Sequence[str]) -> WeightSpace:
        """Make the space of some of the parameters, in their order.

        Args:
            patterns: shell-style patterns of names; ``matrices`` stands for all parameters of two and more dimensions.

        Raises:
            BadInput: a pattern matches no parameter.

        >>> WeightSpace(nn.Linear(4, 3)).choose(["matrices"])
        WeightSpace(12 weights in 1 parameter that match matrices)
        """
        chosen, offset, unused = [], 0, set(patterns)
        for entry in self.entries:
            matching = {
                pattern
                for pattern in patterns
                if any(fnmatchcase(name, pattern) for name in entry.names)
                or (pattern == MATRICES and len(entry.shape) > 1)
            }
            unused -= matching
            if matching:
                chosen.append(replace(entry, offset=offset))
                offset += entry.size
        if unused:
            available = ", ".join(entry.name for entry in self.entries[:8])
            raise BadInput(f"no parameters that vary match {', '.join(sorted(unused))}; these do: {available}")
        part = copy(self)
        part.entries, part.include, part.size = tuple(chosen), tuple(patterns), offset
        return part

    def flatten(self, params: Mapping[str, Tensor]) -> Tensor:
        """Flatten named parameters to a vector (n,); for tied ones the first name that is present counts.

        Raises:
            BadInput: a parameter is missing or has another shape; the message states the first difference.
        """
        return torch.cat([self._lookup(entry, params).reshape(-1) for entry in self.entries])

    def unflatten(self, vector: Tensor) -> Params:
        """View a vector (n,), or a stack of vectors (P, n), as named parameters (*shape), or (P, *shape)."""
        batch = vector.shape[:-1]
        pieces = torch.split(vector, [entry.size for entry in self.entries], dim=-1)
        return {e.name: piece.view((*batch, *e.shape)) for e, piece in zip(self.entries, pieces, strict=True)}

    def combine(self, coefficients: Tensor, controls: Tensor) -> Params:
        """Compute ``coefficients (P, m) @ controls (m, n)`` as named parameters (P, *shape), each contiguous in memory.

        Parameter by parameter, because batched products of slices of one (P, n) matrix would have to copy them. Where
        most coefficients are zero only the others are multiplied (:mod:`lossatlas.weights.mixing`).
        """
        if (shares := SparseShares.of(coefficients, controls)) is not None:
            mixed = shares.mix(controls)
            return {e.name: mixed[:, e.slice].contiguous().view(-1, *e.shape) for e in self.entries}
        return {e.name: (coefficients @ controls[:, e.slice]).view(-1, *e.shape) for e in self.entries}

    def fold(self, gradients: Params, coefficients: Tensor, into: Tensor) -> None:
        """Add to ``into`` (m, n) the gradient of the controls in :meth:`combine`, from that of its result (P, *shape).

        Parameters that are not among the gradients have gradient zero.
        """
        present = self._among(gradients)
        if (shares := SparseShares.of(coefficients, into, *gradients.values())) is not None:
            for run in _list_runs(present):
                stacked = torch.cat([gradients[e.name].reshape(len(coefficients), -1) for e in run], dim=1)
                shares.fold(stacked, into[:, run[0].offset : run[-1].slice.stop])
            return
        for e in present:
            into[:, e.slice].addmm_(coefficients.T, gradients[e.name].reshape(len(coefficients), -1))

    def add(self, named: Params, into: Tensor) -> None:
        """Add named parameters (P, *shape) to vectors ``into`` (P, n); parameters that are missing count as zero."""
        for e in self._among(named):
            into[:, e.slice] += named[e.name].reshape(len(into), -1)

    def along(self, gradients: Params, controls: Tensor) -> Tensor:
        """Compute the scalar products (P, m) of gradients (P, *shape) with controls (m, n).

        Parameters that are not among the gradients have gradient zero; the result is 0 if there are no gradients.
        """
        products = [gradients[e.name].reshape(-1, e.size) @ controls[:, e.slice].T for e in self._among(gradients)]
        return torch.stack(products).sum(dim=0) if products else controls.new_zeros(())

    def stack(self, params: Params) -> Tensor:
        """Flatten named parameters (P, *shape) to vectors (P, n)."""
        return torch.cat([params[e.name].reshape(-1, e.size) for e in self.entries], dim=1)

    def vector_of(self, module: nn.Module) -> Tensor:
        """Copy the parameters of a module into a new vector (n,), detached."""
        params = dict(module.named_parameters(remove_duplicate=False))
        return self.flatten({name: p.detach() for name, p in params.items()}).clone()

    def filter_norms(self, vector: Tensor) -> dict[str, Tensor]:
        """Compute per parameter the Euclidean norms (filter_count,) of its filters, the slices along its first axis."""
        return {e.name: vector[e.slice].view(e.filter_count, -1).norm(dim=1) for e in self.entries}

    def _among(self, named: Params) -> list[Entry]:
        return [entry for entry in self.entries if entry.name in named]

    @staticmethod
    def _lookup(entry: Entry, params: Mapping[str, Tensor]) -> Tensor:
        present = [name for name in entry.names if name in params]
        if not present:
            raise BadInput(f"parameter {entry.name!r} of shape {entry.shape} is missing")
        value = params[present[0]]
        if tuple(value.shape) != entry.shape:
            raise BadInput(f"parameter {present[0]!r} has shape {tuple(value.shape)}; the model's is {entry.shape}")
        return value


def _list_runs(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Group entries, in their order, into runs without gaps between them."""
    runs: list[list[Entry]] = []
    for entry in entries:
        if runs and runs[-1][-1].slice.stop == entry.offset:
            runs[-1].append(entry)
        else:
            runs.append([entry])
    return runs
