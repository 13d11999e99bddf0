"""Reading of text, JSON and YAML of unknown origin, with bounds on size and depth, and as the expected type."""

from __future__ import annotations

import errno
import math
import os
import re
import stat
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, TypeVar

import msgspec
import yaml

from lossatlas.errors import BadInput, LossatlasError, format_error

__all__ = [
    "DEPTH",
    "MOST",
    "Unreadable",
    "check_path",
    "convert",
    "expand_home",
    "open_file",
    "parse_json",
    "parse_yaml",
    "read_bytes",
    "read_json",
    "read_lines",
    "read_text",
    "read_yaml",
    "resolve_path",
    "tell_reason",
]

T = TypeVar("T")

MOST = 2**25
"""The largest size of a text or JSON file in bytes."""
MOST_YAML = 2**20
"""The largest size of a YAML file in bytes; parsing takes about ten seconds per megabyte."""
SHOWN = 300
"""The largest number of characters of an invalid path that a message shows."""
DEPTH = 32
"""The largest nesting depth of lists and mappings."""

INTEGER, FLOAT, TIMESTAMP = (f"tag:yaml.org,2002:{name}" for name in ("int", "float", "timestamp"))
NOT_PLAIN = (TIMESTAMP, *(f"tag:yaml.org,2002:{name}" for name in ("set", "binary", "omap", "pairs")))
"""The YAML tags of values that are not texts, numbers, lists or mappings."""


class Unreadable(BadInput):
    """A file cannot be read as what it should be.

    Args:
        path: the file.
        reason: the reason, without the path.
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(f"{path} cannot be read: {reason}")
        self.reason = reason


@contextmanager
def open_file(path: Path | str, *, regular: bool = True) -> Iterator[BinaryIO]:
    """Open a file for reading bytes, within a context.

    Args:
        path: the file.
        regular: refuse files that are not regular, such as pipes, which might never end.

    Raises:
        Unreadable: the file is missing or of another kind, or the system refuses to open it.
    """
    try:
        # Opening a pipe without a writer would block.
        handle = os.open(path, os.O_RDONLY | (os.O_NONBLOCK if regular else 0))
    except (OSError, ValueError) as error:  # a path with a null byte is a ValueError
        raise Unreadable(path, tell_reason(error)) from error
    mode = os.fstat(handle).st_mode
    if stat.S_ISDIR(mode) or (regular and not stat.S_ISREG(mode)):
        os.close(handle)
        raise Unreadable(path, "it is not a regular file" if not stat.S_ISDIR(mode) else "it is a folder")
    with os.fdopen(handle, "rb") as file:
        yield file


def check_path(path: Path) -> None:
    """Refuse a path whose existence the system does not tell: one that is too long, or in a folder without permission.

    Raises:
        Unreadable: the path is refused, or is a folder that may not be listed.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError) as error:
        name = str(path)  # may be very long
        raise Unreadable(name if len(name) <= SHOWN else f"{name[:SHOWN]}...", tell_reason(error)) from error
    if path.is_dir() and not os.access(path, os.R_OK | os.X_OK):
        raise Unreadable(path, os.strerror(errno.EACCES))


def resolve_path(path: Path | str) -> Path:
    """Resolve all links in a path; one whose links form a circle is returned as it is (where Path.resolve raises).

    Raises:
        ValueError: the path has a null byte.
    """
    return Path(os.path.realpath(path))


def expand_home(path: Path | str) -> Path:
    """Expand ``~`` and ``~user`` in a path, if the user exists."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 (Path.expanduser raises for unknown users)


def read_bytes(path: Path | str, most: float = math.inf, *, regular: bool = True) -> bytes:
    """Read the content of a file.

    Args:
        path: the file.
        most: the largest size in bytes.
        regular: refuse files that are not regular, such as pipes, which might never end.

    Raises:
        Unreadable: the file is missing, of another kind or longer, or the system refuses.
    """
    with open_file(path, regular=regular) as file:
        try:
            content = file.read() if math.isinf(most) else file.read(int(most) + 1)
        except OSError as error:
            raise Unreadable(path, tell_reason(error)) from error
    if len(content) > most:
        raise Unreadable(path, f"it is longer than {int(most):,} bytes")
    return content


def read_text(path: Path | str, most: float = MOST, *, regular: bool = True) -> str:
    """Read the text of a UTF-8 file; arguments and errors are those of :func:`read_bytes`.

    Raises:
        Unreadable: see there, or the file is not UTF-8.
    """
    try:
        return read_bytes(path, most, regular=regular).decode()
    except UnicodeDecodeError as error:
        raise Unreadable(path, f"it is not UTF-8 ({error.reason} at byte {error.start})") from error


def read_json(path: Path | str, kind: type[T], most: float = MOST) -> T:
    """Read a JSON file as an object of a given type.

    Args:
        path: the file.
        kind: the type: a built-in type, a dataclass, or a container of these. Fields of a dataclass are checked by
            their annotations, and entries without a field are ignored.
        most: the largest size in bytes.

    Raises:
        Unreadable: the file is missing, too long, nested too deeply, not JSON, or of another type; the message says
            where.
    """
    try:
        return parse_json(read_bytes(path, most), kind)
    except Unreadable:
        raise
    except ValueError as error:
        raise Unreadable(path, str(error)) from error


def read_lines(path: Path | str, kind: type[T], most: float = MOST) -> list[T]:
    """Read the lines of a file, each as JSON, as objects of a given type; see :func:`read_json`.

    Raises:
        Unreadable: see there; the message names the line.
    """
    found = []
    for number, line in enumerate(read_bytes(path, most).splitlines(), start=1):
        try:
            found.append(parse_json(line, kind))
        except ValueError as error:
            raise Unreadable(path, f"line {number}: {error}") from error
    return found


def parse_json(content: bytes | str, kind: type[T]) -> T:
    """Parse JSON as an object of a given type; see :func:`read_json`.

    Raises:
        ValueError: the text is not JSON, nested too deeply, or of another type; the message says where.
    """
    try:
        found = msgspec.json.decode(content)
        _check_depth(found)
    except RecursionError:
        raise ValueError(f"it is nested more than {DEPTH} levels deep") from None
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise ValueError(format_error(error)) from error
    return convert(found, kind)


def convert(found: Any, kind: type[T], *, exact: bool = False) -> T:
    """Convert plain values to an object of a given type; see :func:`read_json`.

    Args:
        found: values of built-in types.
        kind: the type.
        exact: refuse entries for which a dataclass does not have a field.

    Raises:
        ValueError: the values are of another type; the message says where. A BadInput that a dataclass raises is
            passed on.
    """
    try:
        made = msgspec.convert(found, kind)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, LossatlasError):
            raise error.__cause__ from None
        raise ValueError(format_error(error)) from error
    if exact and (unknown := next(_unknown(found, made), None)) is not None:
        raise ValueError(f"{unknown!r} is unknown")
    return made


def read_yaml(path: Path | str, *, regular: bool = True) -> Any:
    """Read a YAML file as plain types; tags for other types are refused.

    Raises:
        Unreadable: the file is missing, too long, nested too deeply, not YAML, or not plain; the message says where.
    """
    try:
        return parse_yaml(read_text(path, MOST_YAML, regular=regular))
    except Unreadable:
        raise
    except ValueError as error:
        raise Unreadable(path, str(error)) from error


def parse_yaml(text: str) -> Any:
    """Parse YAML as plain types.

    Aliases are refused, since a few nested ones can expand to more values than fit any memory. Dates and numbers in
    base 60 are read as texts.

    Raises:
        ValueError: the text is not YAML, nested too deeply, has a duplicate key, an alias, a whole number beyond 64
            bits or a tag of a type that is not plain; the message says where.
    """
    try:
        found = yaml.load(text, _PlainLoader)
        _check_depth(found)
        return found
    except RecursionError:
        raise ValueError(f"it is nested more than {DEPTH} levels deep") from None
    except yaml.YAMLError as error:
        raise ValueError(f"it is not YAML ({' '.join(str(error).split())})") from error


class _PlainLoader(yaml.SafeLoader):
    """A safe loader of plain types, without aliases and duplicate keys, of bounded depth."""

    depth = 0
    yaml_constructors: ClassVar[dict[Any, Any]] = {
        tag: make for tag, make in yaml.SafeLoader.yaml_constructors.items() if tag not in NOT_PLAIN
    }
    yaml_implicit_resolvers = {  # noqa: RUF012 -- as yaml declares it
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in (INTEGER, FLOAT, TIMESTAMP)]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if isinstance(node, yaml.ScalarNode) and node.tag in (INTEGER, FLOAT) and ":" in node.value:
            raise yaml.YAMLError(f"a number to base 60 in line {node.start_mark.line + 1}")
        try:
            found = super().construct_object(node, deep)
        except (ValueError, LookupError, TypeError, OverflowError) as error:  # a tag, and what is not of its kind
            raise yaml.YAMLError(f"{format_error(error)} in line {node.start_mark.line + 1}") from error
        if isinstance(found, int) and not -(2**63) <= found < 2**64:
            raise yaml.YAMLError(f"a whole number in line {node.start_mark.line + 1} that 64 bits do not hold")
        return found

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.YAMLError(f"an alias in line {mark.line + 1}; write the value itself")
        self.depth += 1
        if self.depth > DEPTH + 1:
            raise RecursionError
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(keys)) < len(keys):
            twice = Counter(keys).most_common(1)[0][0]
            raise yaml.YAMLError(f"{twice!r} twice in the mapping of line {node.start_mark.line + 1}")
        return super().construct_mapping(node, deep)


# The resolvers of the safe loader without numbers in base 60.
_PlainLoader.add_implicit_resolver(
    INTEGER, re.compile(r"^[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)$"), list("-+0123456789")
)
_PlainLoader.add_implicit_resolver(
    FLOAT,
    re.compile(
        r"^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)


def _unknown(found: Any, made: Any) -> Iterator[str]:
    """Yield the keys of mappings, on all levels, for which the dataclasses made from them do not have a field."""
    if is_dataclass(made) and isinstance(found, Mapping):
        names = {field.name for field in fields(made)}
        yield from (str(key) for key in found if key not in names)
        for name in names & found.keys():
            yield from _unknown(found[name], getattr(made, name))


def tell_reason(error: BaseException) -> str:
    """Return why something could not be read, in one line, without the path if the error stores that separately."""
    if isinstance(error, Unreadable):
        return error.reason
    return getattr(error, "strerror", None) or format_error(error)


def _check_depth(found: Any) -> None:
    """Refuse values that are nested too deeply for recursive functions.

    Raises:
        RecursionError: the values are nested too deeply.
    """
    level: list[Any] = [found]
    for _ in range(DEPTH + 1):
        level = [
            item
            for each in level
            if isinstance(each, dict | list)
            for item in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return
    raise RecursionError
