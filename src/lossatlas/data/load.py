"""Data sets by name, from the hub, a folder or a callable."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from lossatlas.data.dataset import Dataset
from lossatlas.data.hub import Place, make_image_source
from lossatlas.data.named import name_splits
from lossatlas.data.source import DATA, DataSource
from lossatlas.errors import BadInput, format_error, make_unknown_error
from lossatlas.files.reading import check_path, expand_home
from lossatlas.registry import load_callable
from lossatlas.users_code import call_user_code

__all__ = ["FORMS", "find_data_options", "load_data"]

HUB = "hub:"
FORMS = ("hub:OWNER/NAME", "FOLDER", "module:callable")


def load_data(spec: str, options: Mapping[str, Any] | None = None) -> Dataset:
    """Load a data set.

    Args:
        spec: a name, such as ``digits``; ``hub:OWNER/NAME`` of the Hugging Face hub; a folder in the hub's layout; or
            ``module:callable``. The callable takes no arguments and returns a :class:`Dataset`, or training and test
            examples as a pair or a dict, in any form that :meth:`Split.of` takes.
        options: the options of the data set by name; :func:`find_data_options` finds which there are.

    Raises:
        BadInput: the specification or an option is unknown, data are missing or cannot be read, or the callable fails
            or returns something else.

    Example:
        >>> import lossatlas as la
        >>> data = la.load_data("digits")
        >>> len(data.train), len(data.test), data.classes
        (1347, 450, 10)
    """
    source = find_data_options(spec)
    given = dict(options or {})
    if source is None:
        if given:
            raise BadInput(f"data {spec!r} takes no options; got {', '.join(given)}")
        return _from_callable(spec)
    known = [field.name for field in fields(source)]  # type: ignore[arg-type]  # every source is a dataclass
    for name in given:
        if name not in known:
            raise (
                make_unknown_error(f"option of data {spec!r}", name, known)
                if known
                else BadInput(f"data {spec!r} takes no options; got {', '.join(given)}")
            )
    return source(**given).load()


def find_data_options(spec: str) -> type[DataSource] | None:
    """Find the data source of a specification, a dataclass whose fields are its options; None for a callable.

    Nothing is read: whether the data exist and can be used is checked when they are loaded.

    Raises:
        BadInput: the specification is not valid.
    """
    if spec in DATA:
        return DATA[spec]
    if spec.startswith(HUB):
        name = spec.removeprefix(HUB)
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
            raise BadInput(f"data {spec!r} names nothing on the hub; expected hub:OWNER/NAME")
        return make_image_source(Place(spec, hub=name))
    folder = expand_home(spec)
    check_path(folder)
    if spec and folder.is_dir():
        return make_image_source(Place(spec, folder=folder))
    if ":" in spec:
        return None
    if spec and ("/" in spec or folder.exists()):
        hint = "a name of the hub is written hub:OWNER/NAME" if spec.count("/") == 1 else "check the path"
        raise BadInput(f"data {spec!r} is not a folder; {hint}")
    raise make_unknown_error("data set", spec, [*DATA, *FORMS])


def _from_callable(spec: str) -> Dataset:
    function = load_callable("data", spec)
    try:
        made = call_user_code(function)
    except Exception as error:  # the user's own code may fail in any way
        raise BadInput(f"data {spec!r} failed: {format_error(error)}") from error
    if isinstance(made, Dataset):
        return made
    if isinstance(made, Mapping) and {"train", "test"} <= {*made}:
        made = made["train"], made["test"]
    if not isinstance(made, tuple) or len(made) != 2:
        raise BadInput(f"data {spec!r} returned {type(made).__name__}; expected (train, test) or a lossatlas Dataset")
    try:
        splits = name_splits(dict(zip(("train", "test"), made, strict=True)))
    except BadInput as error:
        raise BadInput(f"data {spec!r}: {error}") from error
    return Dataset(spec, splits["train"], splits["test"])
