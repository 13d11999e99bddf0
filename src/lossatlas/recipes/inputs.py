"""The files and folders that a configuration names, and how they are found after a run was moved."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from lossatlas.errors import BadInput
from lossatlas.files.reading import expand_home, resolve_path
from lossatlas.provenance import InputPlace
from lossatlas.rundir import RunDirectory
from lossatlas.specs import MemberSpec, NetworkSpec

__all__ = [
    "NETWORKS",
    "change_paths",
    "find_inputs",
    "list_code",
    "list_networks",
    "list_paths",
    "locate_inputs",
    "respell_inputs",
]

MEMBERS = "members"
"""The setting that names members of an ensemble, as in ``RUN@low:20``."""
NETWORKS = {
    "checkpoint", "trajectory", "between", "run", "runs", "networks", "init_from", "start", "posterior", "against",
    MEMBERS,
}  # fmt: skip
"""The settings that name networks in files, folders or runs."""
FILES = {"data.folder", "pattern.font"}
"""The settings that name a file or a folder."""
PREFIXES = {"image", "grey", "colour", "array", "file", "towards"}
"""The prefixes before a path in the name of a picture or a direction, as in ``image:FILE`` and ``towards:RUN``."""
CODE = {"model", "data", "loss", "metrics", "chart", "curve"}
"""The settings that may name a ``module:callable`` or a ``module:Class``."""
HUB = "hub"
"""The prefix before a data set of the Hugging Face hub."""
SEQUENCE = "sequence"
"""The prefix before a list of pictures with commas between them."""


def locate_inputs(flat: Mapping[str, Any], run: Path) -> dict[str, dict[str, str]]:
    """Record where the paths that a flat configuration names lie now, as an ``InputPlace`` holds it.

    Args:
        flat: the configuration.
        run: the run directory, which need not exist yet.
    """
    from lossatlas.data import DATA  # imported late, because the command line reads this module before it needs torch

    places = {}
    for name, value in flat.items():
        for path in _paths(name, value):
            absolute = _absolute(path)
            if os.path.lexists(absolute) and not (name == "data" and path in DATA):
                places[path] = {"absolute": absolute, "from_run": os.path.relpath(absolute, _absolute(run))}
    return places


def find_inputs(
    run: RunDirectory, needed: Collection[str] | None = None, given: Collection[str] = ()
) -> dict[str, Any]:
    """Return the flat configuration of a run, with paths that lead to its inputs from the current working folder.

    An input is looked for where it lay relative to the run, where it lay when the run was started, and where its path
    leads from the current working folder. Paths that were not recorded stay as they are.

    Args:
        run: the run, which may have been moved, alone or with its inputs.
        needed: the settings whose inputs must exist; default all. Missing inputs of other settings stay as they are.
        given: the settings that are left out, because the user states them again.

    Raises:
        BadInput: an input is missing, and the message says where it was looked for; the run cannot be read; or it comes
            with code.
    """
    flat, places = run.config(), run.provenance().inputs
    _check_code(run, {name: value for name, value in flat.items() if name not in given})

    def found(name: str, path: str) -> str:
        if path not in places or name in given:
            return path
        looked = _looked_for(run, path, places[path])
        place = next((each for each in looked if os.path.lexists(each)), None)
        if place is None and needed is not None and name not in needed:
            return path
        if place is None:
            raise BadInput(
                f"{name} {path} of {run.path} does not exist; it was looked for as {', '.join(looked)}: restore it, or "
                f"give its current path as --{name}"
            )
        return path if place == _absolute(path) else place

    return {
        name: change_paths(name, value, lambda path, name=name: found(name, path))  # type: ignore[misc]
        for name, value in flat.items()
    }


def _check_code(run: RunDirectory, flat: Mapping[str, Any]) -> None:
    """Refuse to import a module that came with a run, which would happen if the run is the working folder.

    Raises:
        BadInput: a ``module:callable`` of its configuration lies inside of it.
    """
    inside = resolve_path(run.path)
    for name, spec in list_code(flat):
        module = spec.partition(":")[0].partition(".")[0]
        try:
            found = PathFinder.find_spec(module)  # does not import the module
        except ValueError:  # that cannot be the name of a file
            continue
        origins = [] if found is None else [found.origin or "", *(found.submodule_search_locations or ())]
        for origin in filter(None, origins):
            if inside not in resolve_path(origin).parents:
                continue
            raise BadInput(
                f"{name} {spec} of {run.path} is code that came with the run ({origin}) and is not executed; if "
                f"you trust it, copy it elsewhere, or give --{name} yourself"
            )


def list_code(flat: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List the settings of a flat configuration that name code, with the ``module:callable`` that each names.

    Whatever has a colon counts, unless it is known to be something else: a module need not be called by an identifier,
    and is imported before it is looked for the callable in it.

    >>> list_code({"model": "mine:network", "data": "hub:mnist/mnist", "metrics": ["loss", "my-metrics:5"]})
    [('metrics', 'my-metrics:5'), ('model', 'mine:network')]
    """
    found = []
    for name in sorted(CODE & flat.keys()):
        value = flat[name]
        for spec in value if isinstance(value, list | tuple) else [value]:
            module, colon, _ = str(spec).partition(":")
            if colon and module and not _is_known(name, module):
                found.append((name, str(spec)))
    return found


def _is_known(name: str, prefix: str) -> bool:
    """Whether what stands before a colon in a setting is something of lossatlas, which takes what follows it."""
    if name == "metrics":
        from lossatlas.metrics import METRICS  # imported late, because it needs torch

        return prefix in METRICS
    return name == "data" and prefix == HUB


def respell_inputs(run: RunDirectory, stored: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's stored settings, with paths written as in the given ones wherever they may name the same input.

    They may if the given path leads to one of the places at which the input is looked for, or if the input is at none
    of these. Whether its content is the same is decided by hashes.

    Args:
        run: the run.
        stored: its flat configuration.
        given: the flat configuration whose paths are used.
    """
    places = run.provenance().inputs

    def same(before: str, now: str) -> bool:
        if before == now or before not in places:
            return before == now
        looked = _looked_for(run, before, places[before])
        return _absolute(now) in looked or not any(map(os.path.lexists, looked))

    def may_be(name: str, before: Any, now: Any) -> bool:
        one, other = _paths(name, before), _paths(name, now)
        alike = change_paths(name, before, lambda _: "") == change_paths(name, now, lambda _: "")
        return alike and len(one) == len(other) and all(map(same, one, other))

    return {name: given[name] if name in given and may_be(name, v, given[name]) else v for name, v in stored.items()}


def _looked_for(run: RunDirectory, path: str, place: InputPlace) -> list[str]:
    beside = os.path.normpath(os.path.join(_absolute(run.path), place.from_run))  # noqa: PTH118
    return list(dict.fromkeys([beside, place.absolute, _absolute(path)]))


def _absolute(path: str | Path) -> str:
    """Return an absolute path without resolving links."""
    return os.path.abspath(expand_home(path))  # noqa: PTH100


def _paths(name: str, value: Any) -> list[str]:
    """List the paths in the value of a setting, in order."""
    found: list[str] = []

    def note(path: str) -> str:
        found.append(path)
        return path

    change_paths(name, value, note)
    return found


def list_paths(flat: Mapping[str, Any]) -> set[str]:
    """List the paths that a flat configuration names, whether or not they exist."""
    return {path for name, value in flat.items() for path in _paths(name, value)}


def list_networks(flat: Mapping[str, Any]) -> list[str]:
    """List the networks that a flat configuration names, those that directions lead to and bends start at as well.

    >>> list_networks({"checkpoint": "runs/a@100", "directions": ["random", "towards:runs/b"], "model": "mlp"})
    ['runs/a@100', 'runs/b']
    """
    found = []
    for name, value in flat.items():
        named = [each for each in (value if isinstance(value, list | tuple) else [value]) if isinstance(each, str)]
        if name in NETWORKS:
            found += named
        elif name == "directions":
            parts = (each.partition(":") for each in named)
            found += [rest for prefix, _, rest in parts if prefix.strip() in PREFIXES and rest]
    return found


def change_paths(name: str, value: Any, change: Callable[[str], str]) -> Any:
    """Return the value of a setting with each path in it changed; values without paths are returned as they are."""
    if isinstance(value, list | tuple):
        return type(value)(change_paths(name, item, change) for item in value)
    if not isinstance(value, str) or not value:
        return value
    if name == MEMBERS:
        spec = MemberSpec.parse(value)
        return _with_network(spec.place, change) + value[len(spec.place) :]
    if name in NETWORKS:
        return _with_network(value, change)
    if name in ("pattern", "directions"):
        prefix, colon, rest = value.partition(":")
        if prefix == SEQUENCE:
            return f"{prefix}:" + ",".join(change_paths(name, part, change) for part in rest.split(","))
        return prefix + colon + _with_network(rest, change) if prefix.strip() in PREFIXES and rest else value
    is_path = name in FILES or (name == "plan" and value.endswith(".json")) or (name == "data" and ":" not in value)
    return change(value) if is_path else value


def _with_network(spec: str, change: Callable[[str], str]) -> str:
    """Return ``RUN@STEP``, ``RUN@AVERAGE`` or ``FILE#KEY`` with its path changed."""
    named = NetworkSpec.parse(spec)
    place = named.step or named.average
    more = len(f"@{place}") if place else len(f"#{named.key}") if named.key is not None else 0
    path = spec[: len(spec) - more]
    return change(path) + spec[len(path) :]
