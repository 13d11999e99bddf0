"""Run directories: layout, atomic files, provenance.

A run directory appears whole (configuration and provenance inside) and every file in it is replaced whole, so that a
process killed at any moment leaves something that can be read and continued. A run is finished once its
``summary.json`` is there.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from lossatlas.errors import BadInput, CannotFinish
from lossatlas.files.writing import CONTINUE, atomic_write, cannot_write

__all__ = ["RunDirectory", "plain", "versions"]

CONFIG = "config.yaml"
PROVENANCE = "provenance.json"
SUMMARY = "summary.json"
SURVEY = "survey.zarr"
STRAIGHT = "straight.zarr"
RADIAL = "radial.zarr"
PLANE = "plane.zarr"
CHART = "chart.safetensors"
LOG = "metrics.jsonl"
MODEL = "model.safetensors"
SNAPSHOTS = "snapshots"
MEMBERS = "members"
FORMAT = "lossatlas run 1"


def versions() -> dict[str, str]:
    """The versions that results depend on."""
    found = {"python": platform.python_version()}
    for package in ("lossatlas", "torch", "numpy", "xarray", "zarr"):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


class RunDirectory:
    """One run on disk.

    Args:
        path: the directory; need not exist yet.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    @property
    def exists(self) -> bool:
        """Whether there is anything at the path.

        Raises:
            BadInput: the path cannot be looked at.
        """
        try:
            self.path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise BadInput(f"cannot use {self.path} ({error.strerror}); choose another --out") from error
        return True

    @property
    def is_run(self) -> bool:
        """Whether the path holds a lossatlas run, finished or not."""
        try:
            return bool(json.loads((self.path / PROVENANCE).read_text())["format"] == FORMAT)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    @property
    def finished(self) -> bool:
        """Whether the run's summary is there."""
        return (self.path / SUMMARY).is_file()

    def check_free(self, *, overwrite: bool) -> None:
        """Refuse a path that a new run may not take; changes nothing.

        Raises:
            BadInput: something is there and is not to be overwritten, or is no lossatlas run, or the parent cannot be
                written.
        """
        if self.exists and not overwrite:
            raise BadInput(
                f"{self.path} exists; choose another --out, or use --resume to continue it or --overwrite to replace it"
            )
        if self.path.is_symlink():
            raise BadInput(f"{self.path} is a symbolic link; give the directory that it leads to as --out")
        empty = self.path.is_dir() and not any(self.path.iterdir())
        if self.exists and not (self.is_run or empty):
            raise BadInput(f"{self.path} is no lossatlas run, so --overwrite leaves it alone; choose another --out")
        self._check_parent()

    def create(self, config: str, provenance: Mapping[str, Any], *, replace: bool = True) -> bool:
        """Put a new run in place.

        Args:
            config: its configuration, as YAML.
            provenance: where it comes from, JSON types.
            replace: a run that may be there (see :meth:`check_free`).

        Returns:
            Whether it is there; False where something else appeared that is not to be replaced.

        Raises:
            BadInput: the directory cannot be made.
            CannotFinish: the disk is full.
        """
        made = [parent for parent in self.path.absolute().parents if not parent.exists()]
        fresh = old = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fresh = Path(tempfile.mkdtemp(prefix=f".{self.path.name[:50]}.", dir=self.path.parent))
            fresh.chmod(0o755)
            atomic_write(fresh / CONFIG, config.encode())
            atomic_write(fresh / PROVENANCE, _json({"format": FORMAT, **provenance}).encode())
            if self.exists and replace:
                old = Path(tempfile.mkdtemp(prefix=f".{self.path.name[:50]}.", dir=self.path.parent))
                os.replace(self.path, old)
            try:
                os.replace(fresh, self.path)
            except OSError:
                if old is not None:
                    os.replace(old, self.path)
                elif not replace and self.is_run:
                    shutil.rmtree(fresh, ignore_errors=True)
                    return False
                raise
        except (OSError, CannotFinish) as error:
            for folder in (fresh, old):
                if folder is not None:
                    shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):
                for parent in made:
                    parent.rmdir()
            if isinstance(error, CannotFinish):
                raise
            raise BadInput(f"cannot create {self.path} ({error.strerror}); choose another --out") from error
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)
        return True

    def reopen(self, config: str) -> None:
        """Give a run another configuration, by which it is not finished.

        Raises:
            CannotFinish: the disk refuses.
        """
        with contextlib.suppress(FileNotFoundError):
            (self.path / SUMMARY).unlink()
        self.write_bytes(CONFIG, config.encode())

    def config(self) -> dict[str, Any]:
        """The stored configuration.

        Raises:
            BadInput: it cannot be read.
        """
        try:
            stored = yaml.safe_load((self.path / CONFIG).read_text())
        except (OSError, yaml.YAMLError) as error:
            raise BadInput(f"{self.path / CONFIG} cannot be read: {error}") from error
        return stored if isinstance(stored, dict) else {}

    def read_json(self, name: str) -> dict[str, Any]:
        """The content of ``provenance.json`` or ``summary.json``.

        Raises:
            BadInput: it cannot be read.
        """
        try:
            content = json.loads((self.path / name).read_text())
        except (OSError, ValueError) as error:
            raise BadInput(f"{self.path / name} cannot be read: {error}") from error
        return content if isinstance(content, dict) else {}

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Replace a JSON file of the run; the provenance keeps its mark of a run."""
        marked = {"format": FORMAT, **content} if name == PROVENANCE else content
        self.write_bytes(name, _json(marked).encode())

    def write_bytes(self, name: str, content: bytes) -> None:
        """Replace any file of the run."""
        path = self.path / name
        try:
            path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise cannot_write(path, error) from error
        atomic_write(path, content, advice=CONTINUE)

    def _check_parent(self) -> None:
        """Refuse a place where no directory can be made; the nearest existing ancestor has to be writable."""
        ancestor = self.path.absolute().parent
        while not ancestor.exists():
            ancestor = ancestor.parent
        if not ancestor.is_dir() or not os.access(ancestor, os.W_OK | os.X_OK):
            raise BadInput(f"cannot create {self.path}: {ancestor} is not a directory that can be written")


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(plain(content), indent=2, allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """JSON has no NaN and no infinities: they become null, never a number."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not (abs(value) < float("inf")):
        return None
    return value
