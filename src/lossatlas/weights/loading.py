"""Loading state dicts into modules and into vectors, completely or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lossatlas.errors import BadInput, format_error
from lossatlas.weights.checkpoint import Checkpoint, list_names, strip_name
from lossatlas.weights.matching import (
    EXTRA_STATE,
    Copy,
    Wanted,
    choose_copy,
    find_closest_copy,
    find_shape,
    is_same,
    is_sparse,
    list_left_out,
)
from lossatlas.weights.space import WeightSpace

__all__ = ["check_finite_values", "collect_state", "flatten_state", "load_state"]

TOP = "the top level"
"""The name of the part of a checkpoint without a key, in messages."""


def collect_state(module: nn.Module) -> dict[str, Tensor]:
    """Collect the parameters and buffers of a module by name, without copies.

    Tied parameters are under their first name; buffers that are not saved are included.
    """
    return {**{name: value.detach() for name, value in module.named_parameters()}, **dict(module.named_buffers())}


def load_state(module: nn.Module, state: Mapping[str, Any], source: str) -> tuple[str, ...]:
    """Load a state into a module, completely or not at all.

    Args:
        module: the module, which is changed in place.
        state: holds every parameter and buffer of the module in its shape, under any key and with any prefix. For tied
            parameters one name is enough; counters of batches and buffers that the module does not save may be
            missing. If several copies fit, :func:`~lossatlas.weights.matching.choose_copy` chooses one.
        source: the name of the state, for messages.

    Returns:
        Remarks of one line each: which of several copies was taken, and which tensors were left out.

    Raises:
        BadInput: names or shapes differ (the message states the first difference with both shapes); a tensor could not
            have been saved by the module; or several copies fit and none of them is clearly meant.
    """
    checkpoint, wanted = Checkpoint.of(state, source), Wanted.of_module(module)
    own = module.state_dict()
    unsaved = {name: value for name, value in collect_state(module).items() if name not in own}
    found = choose_copy(checkpoint, wanted, source)
    if found is None:
        raise _difference([*own, *unsaved], wanted, checkpoint, source)
    copy, copies = found
    given = _with_tied(copy.named(), wanted, source)
    values = {name: given[strip_name(name)] for name in [*own, *unsaved] if strip_name(name) in given}
    _check_kinds({**own, **dict(module.named_parameters()), **unsaved}, values, source)
    more = {name: value for name in own if (value := _extra_state(checkpoint, copy, name)) is not None}
    try:
        module.load_state_dict({**own, **more, **{name: values[name] for name in own if name in values}})
    except (RuntimeError, ValueError, TypeError) as error:
        raise BadInput(f"{source} cannot be loaded ({format_error(error)}); save the weights again") from error
    with torch.no_grad():
        for name in values.keys() & unsaved.keys():
            unsaved[name].copy_(values[name])
    kept = [name for name in own if name.rpartition(".")[2] == EXTRA_STATE and name not in more]
    return (*_notes(checkpoint, copy, copies, source), *_list(f"{source} lacks, and the model keeps:", kept))


def flatten_state(space: WeightSpace, state: Mapping[str, Any], source: str) -> tuple[Tensor, tuple[str, ...]]:
    """Flatten the parameters of a space in a state into a vector, found as in :func:`load_state`.

    Tensors that are not in the space are ignored.

    Args:
        space: the weight space.
        state: named tensors.
        source: the name of the state, for messages.

    Returns:
        The vector (n,), and remarks on which of several copies was taken.

    Raises:
        BadInput: a parameter is missing, has another shape, or is not real and finite; or several copies fit and none
            of them is clearly meant.
    """
    checkpoint, wanted = Checkpoint.of(state, source), Wanted.of_space(space)
    found = choose_copy(checkpoint, wanted, source)
    copy = found[0] if found is not None else find_closest_copy(checkpoint, wanted)
    given = copy.named()
    named = {name: given[strip_name(name)] for name in _names(space) if strip_name(name) in given}
    if found is not None:
        _check_kinds({name: nn.Parameter(torch.empty(0)) for name in named}, named, source)
        named = {name: value if value.dtype is torch.float64 else value.float() for name, value in named.items()}
        for name, value in named.items():
            check_finite_values(name, value, source)
    return space.flatten(named), _taken(checkpoint, copy, found[1], source) if found is not None else ()


def _names(space: WeightSpace) -> list[str]:
    return [name for entry in space.entries for name in entry.names]


def _difference(own: list[str], wanted: Wanted, checkpoint: Checkpoint, source: str) -> BadInput:
    """The first of the module's tensors that is missing or has another shape in what comes closest to it."""
    copy = find_closest_copy(checkpoint, wanted)
    given = copy.named()
    lacking = {name for group in wanted.groups if not any(other in given for other in group) for name in group}
    for name in own:
        plain = strip_name(name)
        here, there = wanted.shapes.get(plain), find_shape(given.get(plain))
        if plain in lacking or (plain in given and here != there):
            return _other(source, name, there, here)
    extra = list_left_out(checkpoint, [copy])[0]
    return _other(source, extra, find_shape(checkpoint.parts[copy.part][extra]), None)


def _other(source: str, name: str, there: tuple[int, ...] | None, here: tuple[int, ...] | None) -> BadInput:
    described = [f"has shape {shape}" if shape is not None else "is missing" for shape in (there, here)]
    return BadInput(
        f"{source} is of another model: {name!r} {described[0]} there and {described[1]} in the model; choose the "
        "model and options it was trained with"
    )


def _with_tied(given: Mapping[str, Tensor], wanted: Wanted, source: str) -> dict[str, Tensor]:
    """Tensors with tied ones under all of their names.

    Raises:
        BadInput: the file has different values for tied tensors.
    """
    whole = dict(given)
    for group in wanted.groups:
        present = [name for name in group if name in given]
        for name in present[1:]:
            if not is_same(given[present[0]], given[name]):
                raise BadInput(
                    f"{source} is of another model: {present[0]!r} and {name!r} differ there and are one in the model; "
                    "choose the model and options it was trained with"
                )
        whole |= dict.fromkeys(group, given[present[0]])
    return whole


def check_finite_values(name: str, value: Tensor, source: str) -> None:
    """Refuse weights that are not finite, since the loss of the network would be NaN.

    Raises:
        BadInput: a weight is infinite or NaN.
    """
    if not torch.isfinite(value).all():
        raise BadInput(f"{source} has weights that are not finite: {name!r}; choose another")


def _check_kinds(own: Mapping[str, Any], values: Mapping[str, Tensor], source: str) -> None:
    """Refuse values of another kind of dtype or storage than those of the network.

    Args:
        own: the parameters and buffers of the network.
        values: the values to be loaded.
        source: the name of the values, for messages.

    Raises:
        BadInput: a parameter is real in the network and an integer (as after quantisation) in the file; or a value is
            complex, quantised, sparse or without data.
    """
    for name, value in values.items():
        if is_sparse(value):
            raise BadInput(f"{source} has {name!r} as a sparse tensor; save it as a plain one (value.to_dense())")
        if value.is_meta:
            raise BadInput(
                f"{source} has no numbers in {name!r}: it was saved while it was on the device meta; save the weights "
                "once they are there"
            )
        mine = own[name]
        weights = isinstance(mine, nn.Parameter) and mine.is_floating_point() and value.ndim
        other = value.is_complex() and not mine.is_complex()
        if other or value.is_quantized or (weights and not value.is_floating_point()):
            raise BadInput(
                f"{source} has {name!r} as {value.dtype} and the model as {mine.dtype}; save the weights as they were "
                "before they were converted"
            )


def _extra_state(checkpoint: Checkpoint, copy: Copy, name: str) -> Any:
    """The extra state of a module in the file; None where there is none."""
    if name.rpartition(".")[2] != EXTRA_STATE:
        return None
    return copy.entry(checkpoint, strip_name(name))


def _notes(checkpoint: Checkpoint, copy: Copy, copies: list[Copy], source: str) -> tuple[str, ...]:
    extra = list_left_out(checkpoint, [copy, *copies])
    left = _list(f"{source} has more than the model, which is left out:", extra)
    return (*_taken(checkpoint, copy, copies, source), *left)


def _list(said: str, names: list[str]) -> tuple[str, ...]:
    return (f"{said} {list_names(names)}",) if names else ()


def _taken(checkpoint: Checkpoint, copy: Copy, copies: list[Copy], source: str) -> tuple[str, ...]:
    """Remarks on which of several copies was taken, unless a key chose it."""
    others = [other.path or TOP for other in copies if other is not copy and not copy.equals(other)]
    if not others or (checkpoint.key and checkpoint.key == copy.path):
        return ()
    taken = f"{source} holds several networks that fit: {copy.path or TOP} is taken"
    return (f"{taken}, {checkpoint.file}#KEY takes another ({list_names(others)})",)
