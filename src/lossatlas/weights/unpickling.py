"""Reading files of ``torch.save`` without executing code in them.

``torch.load(weights_only=True)`` calls a short list of allowed functions only. Those of NumPy are not among them, and
some can be misled by a file. NumPy's numbers and arrays are therefore made by stand-ins, which take plain data only.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from lossatlas.errors import BadInput, LossatlasError, escape_unprintable
from lossatlas.files.arrays import ARCHIVE
from lossatlas.files.reading import open_file
from lossatlas.files.room import free_room

__all__ = ["NESTED", "NumpyArray", "load_file"]

NESTED = ("state_dict", "model_state_dict", "model", "module", "net", "network", "model_state", "weights")
"""Keys under which training scripts store the weights in a larger checkpoint."""
PLAIN = re.compile(r"[biufcSU]\d+")
"""Dtypes of numbers and of text; reading arrays of objects would execute code."""
ORDERS = ("<", ">", "|", "=")
MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
"""The modules of NumPy 1 and NumPy 2 that their pickles name."""
ROUNDS = 64
"""The most objects that are found one after the other."""
LISTED = 4
"""The most names of objects that a message lists."""


class NumpyDtype:
    """A stand-in for ``numpy.dtype``."""

    def __init__(self, kind: str, *_: Any) -> None:
        if not PLAIN.fullmatch(kind):
            raise pickle.UnpicklingError(f"GLOBAL numpy.dtype({kind!r}) was not allowed")
        self.kind = kind
        self.order = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ORDERS or any(part is not None for part in state[2:5]):  # of records
            raise ValueError(state)
        self.order = state[1]

    def read(self, data: bytes | str, count: int) -> np.ndarray[Any, np.dtype[Any]]:
        """Read exactly ``count`` values."""
        content = data.encode("latin1") if isinstance(data, str) else bytes(data)
        dtype = np.dtype(self.order + self.kind)
        if len(content) != count * dtype.itemsize:
            raise ValueError(len(content))
        return np.frombuffer(content, dtype) if content else np.zeros(count, dtype)


class NumpyArray:
    """A stand-in for ``numpy.ndarray``."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        count = 1
        for side in shape:
            count *= side
        self._values = NumpyDtype.read(dtype, data, count).reshape(shape, order="F" if fortran else "C")

    @cached_property
    def tensor(self) -> Tensor | None:
        """Make a tensor of the values; None where torch has no such dtype."""
        native = self._values.astype(self._values.dtype.newbyteorder("="))
        try:
            return torch.from_numpy(native)
        except TypeError:
            return None


class Inert:
    """A stand-in for any object, which does nothing."""

    is_module = False

    def __new__(cls, *_: Any) -> Inert:
        return object.__new__(cls)

    def __setstate__(self, state: Any) -> None:
        self.is_module = isinstance(state, Mapping) and "_modules" in state


def _named(module: str, name: str, base: type) -> Any:
    """A subclass under the name that files use, by which torch looks it up; invalid characters are replaced."""
    possible = name.encode(errors="replace").decode().replace("\0", "?")
    return type(possible, (base,), {"__module__": module, "__qualname__": possible})


DTYPE, ARRAY = (_named("numpy", name, base) for name, base in (("dtype", NumpyDtype), ("ndarray", NumpyArray)))


def _of_numpy(module: str) -> list[Any]:
    """The stand-ins for the functions of one of NumPy's modules."""

    def scalar(dtype: NumpyDtype, data: bytes | str) -> Any:
        return NumpyDtype.read(dtype, data, 1)[0].item()

    def _reconstruct(*_: Any) -> NumpyArray:
        return ARRAY()  # type: ignore[no-any-return]  # filled from its state

    for function in (scalar, _reconstruct):
        function.__module__, function.__qualname__ = module, function.__name__
    return [scalar, _reconstruct]


def _empty() -> bytes:
    """A stand-in for ``bytes``, which pickles of torch's protocol call for empty values."""
    return b""


_empty.__module__, _empty.__qualname__ = "builtins", "bytes"
STAND_INS = [_empty, DTYPE, ARRAY, *chain.from_iterable(map(_of_numpy, MULTIARRAY))]


def load_file(path: Path) -> Any:
    """Load the content of a file of ``torch.save``: tensors, plain data, and numbers and arrays of NumPy.

    Raises:
        BadInput: the file is truncated, of another format, or holds objects that would execute code; the message names
            them, with a command that saves the weights alone.
    """
    try:
        _check_size(path)
        try:
            return _load(path)
        except pickle.UnpicklingError:
            with safe_globals(STAND_INS):
                return _load(path)
    except pickle.UnpicklingError as error:
        raise _refused(path, str(error)) from error
    except LossatlasError:
        raise
    except Exception as error:  # a damaged pickle can fail anyhow
        if "TorchScript" in str(error):
            raise BadInput(
                f"checkpoint {path} is a TorchScript archive, whose code is not executed; if you trust it, save its "
                f"weights alone: {_line(f'torch.jit.load({str(path)!r}).state_dict()')}"
            ) from error
        raise BadInput(f"checkpoint {path} cannot be read, it may be truncated; save it again") from error


def _check_size(path: Path) -> None:
    """Refuse a pipe, and an archive that unpacks to more than fits the memory.

    Raises:
        BadInput: the path is a pipe, or the archive is too large.
    """
    with open_file(path) as file:
        if file.read(len(ARCHIVE)) != ARCHIVE:
            return
        with zipfile.ZipFile(file) as archive:
            needed, room = sum(entry.file_size for entry in archive.infolist()), free_room()
    if needed > room:
        raise BadInput(
            f"checkpoint {path} unpacks to {needed:,} bytes and {room:,} are free; save it with fewer tensors"
        )


def _load(path: Path, device: str = "cpu") -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pickles that are refused anyway
        return torch.load(path, map_location=device, weights_only=True)


def _refused(path: Path, message: str) -> BadInput:
    unsafe = _unsafe(path) or _named_in(message)
    if not unsafe:
        return BadInput(
            f"checkpoint {path} is a pickle of another kind than torch.save writes by default, and would execute code; "
            'nothing was loaded: save the weights again, torch.save(model.state_dict(), "weights.pt")'
        )
    more = f" and {len(unsafe) - LISTED} more" if len(unsafe) > LISTED else ""
    named = ", ".join(map(escape_unprintable, unsafe[:LISTED]))
    return BadInput(
        f"checkpoint {path} holds objects that would execute code ({named}{more}), so nothing was "
        f"loaded; if you trust the file, save its weights alone: {_line(_weights(path, unsafe))}"
    )


def _unsafe(path: Path) -> list[str]:
    """The disallowed names in a file; empty where they cannot be listed before it is read."""
    with safe_globals(STAND_INS), suppress(Exception):
        return sorted(get_unsafe_globals_in_checkpoint(path))
    return []


def _named_in(message: str) -> list[str]:
    """The name in torch's refusal, the first disallowed one."""
    found = re.search(r"GLOBAL (\S+) w", message)
    return [found[1] if "." in found[1] else f"builtins.{found[1]}"] if found else []


def _line(weights: str) -> str:
    return f"python -c \"import torch; torch.save({weights}, 'weights.pt')\""


def _weights(path: Path, unsafe: list[str]) -> str:
    """The Python expression for the weights in a trusted file, from its content."""
    loaded = f"torch.load({str(path)!r}, weights_only=False)"
    content = _inert(path, unsafe)
    # torch's format before 1.6 does not let modules be inert.
    whole = content is None and any(name.startswith("torch.nn.modules.") for name in unsafe)
    if whole or isinstance(content, Inert):
        return f"{loaded}.state_dict()"
    if not isinstance(content, Mapping):
        return f"{loaded}['state_dict']"
    usual = [key for key in NESTED if key in content]
    for key in [*usual, *content]:
        value = content[key]
        if isinstance(value, Mapping) and any(isinstance(entry, Tensor) for entry in value.values()):
            return f"{loaded}[{key!r}]"
        if isinstance(value, Inert) and value.is_module:
            return f"{loaded}[{key!r}].state_dict()"
    return f"{{k: v for k, v in {loaded}.items() if isinstance(v, torch.Tensor)}}"


def _inert(path: Path, unsafe: list[str]) -> Any:
    """The content of a file with all objects replaced by stand-ins; None where torch does not allow it."""
    named = list(unsafe)
    for _ in range(ROUNDS):
        with safe_globals([*STAND_INS, *(_named(*name.rpartition(".")[::2], Inert) for name in named)]):
            try:
                return _load(path, "meta")
            except pickle.UnpicklingError as error:
                more = _named_in(str(error))
            except Exception:  # a damaged pickle can fail anyhow
                return None
        if not more or more[0] in named:
            return None
        named += more
    return None
