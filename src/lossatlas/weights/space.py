"""The weight space of a module: its trained parameters as one vector of R^n."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import prod

import torch
from torch import Tensor, nn

from lossatlas.describing import count_things, join_words, write_repr
from lossatlas.errors import BadInput
from lossatlas.types import Params

__all__ = ["Entry", "WeightSpace"]


@dataclass(frozen=True)
class Entry:
    """One parameter's place in the vector.

    ``names[0]`` is the name it goes by; further names are those that are tied to it. Its filters, the slices of
    dimension 0 of its shape, are contiguous in the vector: ``filter_count`` runs of ``filter_size`` numbers.
    """

    names: tuple[str, ...]
    shape: tuple[int, ...]
    offset: int

    @property
    def name(self) -> str:
        return self.names[0]

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def slice(self) -> slice:
        return slice(self.offset, self.offset + self.size)

    @property
    def filter_count(self) -> int:
        return self.shape[0] if self.shape else 1

    @property
    def filter_size(self) -> int:
        return self.size // max(1, self.filter_count)


class WeightSpace:
    """The flattened parameters of one module, tied parameters once.

    The space remembers names and shapes, never the module: nothing here can change it.

    By default all parameters span it, also those that a training held (``requires_grad=False``): a map shows a network
    as it is, not who trained it. Integer parameters, which no training moves, and empty ones are held unless they are
    named.

    Args:
        module: any module.
        include: patterns (as in a shell, ``"head.*"``) of the parameters that span the space; all others are held
            fixed at the module's values.

    Raises:
        BadInput: no parameter matches, or one that does is not real floating point or has no shape yet.
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

    def flatten(self, params: Mapping[str, Tensor]) -> Tensor:
        """The vector (n,) of named parameters; of tied ones, the first name that is present counts.

        Raises:
            BadInput: a name is missing or has another shape (the first difference is named).
        """
        return torch.cat([self._lookup(entry, params).reshape(-1) for entry in self.entries])

    def unflatten(self, vector: Tensor) -> Params:
        """Views of a vector (n,), or of a stack of vectors (P, n), as named parameters (P, *shape)."""
        batch = vector.shape[:-1]
        pieces = torch.split(vector, [entry.size for entry in self.entries], dim=-1)
        return {e.name: piece.view((*batch, *e.shape)) for e, piece in zip(self.entries, pieces, strict=True)}

    def combine(self, coefficients: Tensor, controls: Tensor) -> Params:
        """``coefficients (P, m) @ controls (m, n)`` as named parameters (P, *shape), each contiguous in memory.

        Parameter by parameter: batched products on slices of one (P, n) matrix would have to copy them first.
        """
        return {e.name: (coefficients @ controls[:, e.slice]).view(-1, *e.shape) for e in self.entries}

    def fold(self, gradients: Params, coefficients: Tensor, into: Tensor) -> None:
        """Add to ``into`` (m, n) what gradients (P, *shape) at :meth:`combine`'s result mean for its controls.

        Parameters that are not among them have no gradient.
        """
        for e in self._among(gradients):
            into[:, e.slice].addmm_(coefficients.T, gradients[e.name].reshape(len(coefficients), -1))

    def add(self, named: Params, into: Tensor) -> None:
        """Add named parameters (P, *shape) to vectors ``into`` (P, n); those that are not among them are zero."""
        for e in self._among(named):
            into[:, e.slice] += named[e.name].reshape(len(into), -1)

    def along(self, gradients: Params, controls: Tensor) -> Tensor:
        """The scalar products (P, m) of gradients (P, *shape) with controls (m, n).

        Parameters that are not among the gradients have none; 0 if there is none at all.
        """
        products = [gradients[e.name].reshape(-1, e.size) @ controls[:, e.slice].T for e in self._among(gradients)]
        return torch.stack(products).sum(dim=0) if products else controls.new_zeros(())

    def stack(self, params: Params) -> Tensor:
        """Named parameters (P, *shape) as vectors (P, n)."""
        return torch.cat([params[e.name].reshape(-1, e.size) for e in self.entries], dim=1)

    def vector_of(self, module: nn.Module) -> Tensor:
        """The module's parameters as a new vector (n,), detached."""
        params = dict(module.named_parameters(remove_duplicate=False))
        return self.flatten({name: p.detach() for name, p in params.items()}).clone()

    def filter_norms(self, vector: Tensor) -> dict[str, Tensor]:
        """Per parameter the Euclidean norms (filter_count,) of its filters, the slices of dimension 0."""
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
