"""Reads an HDF5 file in a process of its own, for the library crashes on some that are damaged.

Run as a script: the file and how many bytes its arrays may take; an archive of arrays comes on stdout, of which
``index`` says what they are. Exit code 3 with a line on stderr where the file is refused.
"""

from __future__ import annotations

import io
import json
import sys
from math import prod
from typing import Any

import h5py
import numpy as np

MOST_DATASETS = 1000
MOST_TEXT = 2**16


class Refused(Exception):
    """The file is refused; the message says why."""


def main(path: str, room: int) -> bytes:
    """The datasets in the root of a file, none of which lies elsewhere: an archive of arrays."""
    arrays: dict[str, Any] = {}
    index = []
    with h5py.File(path, "r") as file:
        for number, (name, dataset) in enumerate(_datasets(file, room).items()):
            values, text = None, None
            if dataset.dtype.kind in "iufb":
                values = arrays[str(number)] = np.asarray(dataset[()])
            elif dataset.shape == () and dataset.dtype.itemsize <= MOST_TEXT:
                text = _text(dataset[()])
            index.append(
                {
                    "name": _text(name),
                    "shape": list(dataset.shape or ()),
                    "dtype": str(dataset.dtype),
                    "array": str(number) if values is not None else None,
                    "text": text,
                    "attributes": {_text(key): _text(dataset.attrs[key]) for key in _scalars(dataset.attrs)},
                }
            )
    content = io.BytesIO()
    np.savez(content, index=np.frombuffer(json.dumps(index).encode(), np.uint8), **arrays)
    return content.getvalue()


def _datasets(file: Any, room: int) -> dict[str, Any]:
    if len(file) > MOST_DATASETS:
        raise Refused(f"it holds {len(file)} datasets, more than {MOST_DATASETS}")
    own = [name for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink)]
    found = {name: file[name] for name in own if file.get(name, getclass=True) is h5py.Dataset}
    needed = 0
    for name, dataset in found.items():
        if dataset.is_virtual or dataset.external:
            raise Refused(f"its {name} lies in another file, whose values should be copied into this one")
        needed += max(dataset.size or 0, prod(dataset.chunks or ())) * dataset.dtype.itemsize
    if needed > room:
        raise Refused(f"it holds arrays of {needed:,} bytes, and {room:,} bytes are free")
    return found


def _scalars(attributes: Any) -> list[str]:
    """Return the names of attributes that are one short value."""
    kinds = {name: attributes.get_id(name) for name in list(attributes)[:MOST_DATASETS]}
    return [name for name, kind in kinds.items() if kind.shape == () and kind.dtype.itemsize <= MOST_TEXT]


def _text(value: Any) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return text[:MOST_TEXT].encode(errors="replace").decode()


if __name__ == "__main__":
    try:
        sys.stdout.buffer.write(main(sys.argv[1], int(sys.argv[2])))
    except Refused as error:
        sys.exit(f"lossatlas: {error}")
    except Exception as error:  # h5py finds a file damaged in many ways
        sys.exit(f"lossatlas: {' '.join(str(error).split()) or type(error).__name__}")
