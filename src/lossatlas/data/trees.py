"""Converting batches in any form into pytrees of tensors."""

from __future__ import annotations

import copy
import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves

from lossatlas.errors import BadInput, format_error
from lossatlas.types import Batch

__all__ = [
    "copy_owned",
    "count_bytes",
    "find_difference",
    "form",
    "is_named_tuple",
    "make_tree",
    "name_leaves",
    "order_like",
    "stack_numbers",
    "strip_tensor",
]  # fmt: skip

NUMBERS = (bool, int, float, complex, np.generic)


def make_tree(value: Any, left_out: set[str] | None = None, where: str = "") -> Batch:
    """Convert a batch into a pytree of tensors, copying only where necessary.

    Mappings become dicts, arrays and lists of numbers become tensors. Tuples, named ones too, and lists are kept, but a
    batch that is a list (as torch's default collation makes of pairs) becomes a tuple.

    Args:
        value: the batch.
        left_out: receives the names of entries of mappings that hold text or None, which are left out.
        where: the path to the value within a batch, for errors.

    Raises:
        BadInput: it holds something that is not numeric.
    """
    if isinstance(value, Tensor):
        return strip_tensor(value, where)
    if isinstance(value, Mapping):
        return _dict(value, left_out if left_out is not None else set(), where)
    if is_named_tuple(value):
        return type(value)(*(make_tree(part, left_out, _inside(where, name)) for name, part in _fields(value)))
    if isinstance(value, tuple | list):
        if isinstance(value, list) and (made := stack_numbers(value)) is not None:
            return made
        parts = [make_tree(part, left_out, _inside(where, place)) for place, part in enumerate(value)]
        return parts if isinstance(value, list) and where else tuple(parts)
    if isinstance(value, NUMBERS) or hasattr(value, "__array__"):
        return _tensor(np.asarray(value), where)
    raise BadInput(
        f"{_named(where)} is of type {type(value).__name__}; expected tensors, arrays or numbers, in pairs, dicts or "
        "any nesting of them: leave it out, or give collate=, which returns these"
    )


def stack_numbers(value: Sequence[Any]) -> Tensor | None:
    """Make a tensor of a list of numbers, or of such lists of equal length; None for anything else.

    >>> stack_numbers([[1, 2], [3, 4]]).shape
    torch.Size([2, 2])
    """
    first: Any = value
    while isinstance(first, list | tuple) and first:
        first = first[0]
    if not isinstance(first, NUMBERS):
        return None
    try:
        return torch.tensor(value)
    except (ValueError, TypeError, RuntimeError):
        return None


def is_named_tuple(value: Any) -> bool:
    """Whether a value is a named tuple."""
    return isinstance(value, tuple) and hasattr(value, "_fields")


def name_leaves(tree: Batch, where: str = "") -> list[str]:
    """Name the leaves of a pytree, in their order."""
    if isinstance(tree, dict):
        return [name for key, part in tree.items() for name in name_leaves(part, _inside(where, key))]
    if isinstance(tree, tuple | list):
        return [name for key, part in _fields(tree) for name in name_leaves(part, _inside(where, key))]
    return [where]


def form(tree: Batch) -> str:
    """Describe the structure of a batch in words, without the axis of the examples.

    >>> form({"inputs": torch.zeros(7, 3), "labels": torch.zeros(7, dtype=torch.int64)})
    '{inputs: float32 (3,), labels: int64 ()}'
    """
    if isinstance(tree, dict):
        return f"{{{', '.join(f'{key}: {form(part)}' for key, part in tree.items())}}}"
    if isinstance(tree, tuple | list):
        return f"({', '.join(form(part) for part in tree)})"
    return f"{str(tree.dtype).removeprefix('torch.')} {tuple(tree.shape[1:])}"


def count_bytes(tree: Batch) -> int:
    """Count the bytes of all tensors of a batch."""
    return sum(leaf.numel() * leaf.element_size() for leaf in tree_leaves(tree))


def find_difference(one: Batch, other: Batch) -> int | None:
    """Find the first example in which two batches differ; None if they are equal, -1 if it is not a single example.

    NaN is equal to NaN, and dicts are compared whatever their order.
    """
    (ones, structure), (others, another) = tree_flatten(one), tree_flatten(order_like(other, one))
    if structure != another:
        return -1
    found: list[int] = []
    for a, b in zip(ones, others, strict=True):
        if a.shape != b.shape or a.dtype != b.dtype:
            return -1
        same = (a == b) | ((a != a) & (b != b))  # only what is not a number differs from itself
        rows = (~same).reshape(len(same), -1).any(dim=1).nonzero()
        found += rows[:1].flatten().tolist()
    return min(found, default=None)


def order_like(tree: Batch, like: Batch) -> Batch:
    """Order the entries of the dicts of a pytree as in another one, where they have the same keys.

    >>> order_like({"b": 1, "a": 2}, {"a": 0, "b": 0})
    {'a': 2, 'b': 1}
    """
    if isinstance(tree, dict) and isinstance(like, dict) and tree.keys() == like.keys():
        return {key: order_like(tree[key], part) for key, part in like.items()}
    if isinstance(tree, tuple | list) and type(tree) is type(like) and len(tree) == len(like):
        return _like(tree, [order_like(part, other) for part, other in zip(tree, like, strict=True)])
    return tree


def copy_owned(value: Any) -> Any:
    """Copy the tensors and arrays of an item or a batch, since a data set may reuse its memory for the next one.

    Mappings, lists, tuples and dataclasses are traversed, and objects with a method ``clone`` are cloned; other objects
    are returned as they are.
    """
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, Mapping):
        return _owned_mapping(value)
    if is_named_tuple(value) or type(value) in (tuple, list):
        return _like(value, [copy_owned(part) for part in value])
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _owned_fields(value)
    return value.clone() if callable(getattr(value, "clone", None)) and not isinstance(value, type) else value


def _owned_mapping(value: Mapping[Any, Any]) -> Any:
    parts = {key: copy_owned(part) for key, part in value.items()}
    if type(value) is dict:
        return parts
    try:
        twin: Any = copy.copy(value)
        twin.update(parts)
    except (TypeError, AttributeError):  # a view that cannot be changed
        return parts
    return twin


def _owned_fields(value: Any) -> Any:
    twin = copy.copy(value)
    for field in dataclasses.fields(value):
        if hasattr(value, field.name):
            object.__setattr__(twin, field.name, copy_owned(getattr(value, field.name)))  # it may be frozen
    return twin


def _like(value: Any, parts: list[Any]) -> Any:
    """A tuple, named tuple or list of the same type with other elements."""
    return type(value)(*parts) if is_named_tuple(value) else type(value)(parts)


def _dict(value: Mapping[Any, Any], left_out: set[str], where: str) -> dict[Any, Any]:
    made = {}
    for key, part in value.items():
        if _is_text(part):
            left_out.add(_inside(where, key))
        else:
            made[key] = make_tree(part, left_out, _inside(where, key))
    return made


def _is_text(value: Any) -> bool:
    """Whether a value is text or None, or a container of nothing else."""
    if isinstance(value, list | tuple) and value:
        return all(_is_text(part) for part in value)
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "SU"
    return value is None or isinstance(value, str | bytes)


def _fields(value: Any) -> list[tuple[Any, Any]]:
    return list(zip(value._fields, value, strict=True)) if is_named_tuple(value) else list(enumerate(value))


def _inside(where: str, key: Any) -> str:
    return f"{where}.{key}" if where else str(key)


def _named(where: str) -> str:
    return f"entry {where!r} of the examples" if where else "what is given as examples"


def strip_tensor(tensor: Tensor, where: str = "") -> Tensor:
    """Return a plain tensor, without its graph and its subclass.

    Raises:
        BadInput: the tensor is nested, sparse, quantised, without data (meta), or of a subclass with other storage.
    """
    kinds = {
        "a nested tensor": tensor.is_nested,
        "a sparse tensor": not tensor.is_nested and tensor.layout != torch.strided,
        "a quantised tensor": tensor.is_quantized,
        "a tensor without numbers (meta)": tensor.is_meta,
        f"a {type(tensor).__name__}": type(tensor).__torch_dispatch__ is not Tensor.__torch_dispatch__,
    }
    kind = next((kind for kind, is_one in kinds.items() if is_one), None)
    if kind is not None:
        raise BadInput(
            f"{_named(where)} is {kind}; expected a plain tensor: use to_padded_tensor, to_dense or dequantize"
        )
    return tensor.detach().as_subclass(Tensor)


def _tensor(array: npt.NDArray[Any], where: str) -> Tensor:
    """The tensor on an array's memory where it can be; memory-mapped files stay on disk."""
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if any(stride < 0 for stride in array.strides):
        array = np.ascontiguousarray(array)
    try:
        with warnings.catch_warnings():  # about arrays that are read-only, to which nothing is written
            warnings.filterwarnings("ignore", message=".*not writable")
            return torch.from_numpy(array) if array.ndim else torch.as_tensor(array.item())
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise BadInput(
            f"{_named(where)} is an array of {array.dtype}, which torch cannot hold ({format_error(error)}); expected "
            "numbers: convert it"
        ) from error
