"""Run directories: layout, atomic files, provenance and locks.

A run directory appears atomically, with configuration and provenance inside, and each file in it is replaced
atomically, so that a process that is killed at any moment leaves a run that can be read and continued. A run is
finished once its ``summary.json`` exists. A process that writes a run holds its lock, or its lease, from the moment
when the run appears. Neither a file of a run nor a symbolic link in it leads out of the directory.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lossatlas.errors import BadInput, CannotFinish
from lossatlas.files.inside import check_inside
from lossatlas.files.reading import Unreadable, read_json, read_text, read_yaml, resolve_path, tell_reason
from lossatlas.files.writing import CONTINUE, PARTIAL, cannot_write, check_place, check_way, gone, write_atomically
from lossatlas.locks import (
    AUTO,
    LEASES,
    AnyLock,
    Lease,
    choose_claims,
    lock_folder,
    make_lock,
    recheck_claims,
    settle_claims,
)
from lossatlas.provenance import FORMAT, MARK, Provenance

__all__ = [
    "AVERAGES",
    "CHART",
    "CONFIG",
    "LOG",
    "MEMBERS",
    "MODEL",
    "PLANE",
    "PROVENANCE",
    "RADIAL",
    "REPORT",
    "SNAPSHOTS",
    "STRAIGHT",
    "SUMMARY",
    "SURVEY",
    "WRITERS",
    "RunDirectory",
    "make_plain",
    "name_places",
    "resolve_owner",
]

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
REPORT = "report.html"
SNAPSHOTS = "snapshots"
MEMBERS = "members"
AVERAGES = "averages.safetensors"
WRITERS = ".writers"
"""The file whose lock each process holds that writes the run."""
LONGEST = 200
"""The most bytes of a name from which other names are made."""
NEW, OLD = ".lossatlas-new", ".lossatlas-old"
"""Suffixes of the temporary directories beside a run while it is created, and while it is replaced."""


class RunDirectory:
    """One run on disk.

    Args:
        path: the directory, which need not exist yet.
        claims: "locks" of the system or "leases", by which writers keep out of each other's way; "auto" is what others
            use who write the run, or else what the file system allows (:func:`~lossatlas.locks.choose_claims`).
    """

    def __init__(self, path: Path | str, claims: str = AUTO) -> None:
        self.path = Path(path)
        self._claims = claims
        self._lock: AnyLock | None = None
        self._inside = False

    @property
    def exists(self) -> bool:
        """Whether anything exists at the path.

        Raises:
            BadInput: the path cannot be accessed.
        """
        try:
            self.path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except (OSError, ValueError) as error:  # a null byte in it is a ValueError
            raise BadInput(f"cannot use {self.path} ({tell_reason(error)}); choose another --out") from error
        return True

    @property
    def is_run(self) -> bool:
        """Whether the path holds a lossatlas run, finished or not.

        Raises:
            BadInput: the run has the format of another version; or its provenance is a link that leads elsewhere.
        """
        self.check_format()
        return self._mark() == FORMAT

    def check_format(self) -> None:
        """Refuse a run in the format of another version of lossatlas, which is neither read nor replaced.

        Raises:
            BadInput: the path holds one; or its provenance is a link that leads elsewhere.
        """
        there, here = re.fullmatch(MARK, self._mark()), re.fullmatch(MARK, FORMAT)
        if there is not None and here is not None and there[0] != here[0]:
            age = "an older" if int(there[1]) < int(here[1]) else "a newer"
            raise BadInput(
                f"{self.path} is a run of {age} lossatlas, in format {there[0]!r}; expected {here[0]!r}, the format of "
                "this version; make the run again in another --out, or remove it"
            )

    def _mark(self) -> str:
        """The format that the provenance states; empty where there is none."""
        if os.path.islink(self.path / PROVENANCE):  # noqa: PTH114 (Path.is_symlink raises where a name is too long)
            self._check_inside()
        try:
            return str(read_json(self.path / PROVENANCE, dict[str, Any]).get("format", ""))
        except Unreadable:
            return ""

    @property
    def finished(self) -> bool:
        """Whether the run has a summary, which is written last."""
        return (self.path / SUMMARY).is_file()

    def recover(self) -> None:
        """Restore a run whose replacement was interrupted by a kill, and remove what a finished replacement left."""
        try:
            if any(map(os.path.lexists, self._beside)):
                with self._appearing():
                    self._restore()
        except (OSError, ValueError):  # the next access to the path reports what is wrong with it
            return

    def check(self, advice: str = "name a run directory") -> None:
        """Refuse a path that holds no run, or a run with links that lead out of its directory.

        Args:
            advice: what to do where the path holds no run, for the message.

        Raises:
            BadInput: the path holds no run; or a link in it leads elsewhere.
        """
        if not self.is_run:
            raise BadInput(f"{self.path} is not a lossatlas run; {advice}")
        self._check_inside()

    def check_free(self, *, overwrite: bool) -> None:
        """Refuse a path that cannot be used for a new run; changes nothing.

        Args:
            overwrite: whether a run at the path may be replaced.

        Raises:
            BadInput: the path exists and is not to be overwritten, is not a lossatlas run, is a run in another format
                or is being written; or its parent directory cannot be written.
        """
        if self.exists:
            self.check_format()
        if self.exists and not overwrite:
            raise BadInput(
                f"{self.path} exists; choose another --out, or use --resume to continue it or --overwrite to replace it"
            )
        if self.path.is_symlink():
            raise BadInput(f"{self.path} is a symbolic link; give the directory that it leads to as --out")
        if self.exists and not (self.is_run or self._empty):
            raise BadInput(f"{self.path} is not a lossatlas run, so --overwrite leaves it alone; choose another --out")
        check_way(self.path, "--out")
        check_place(self.path.absolute().parent, "--out", folder=True)
        self._check_idle()

    def claim(self, *, shared: bool = False, wait: bool = False) -> None:
        """Acquire the lock for writing the run, until :meth:`close`.

        A lease may be that of a process that was lost: without a wait for others, it is still waited until that is
        clear.

        Args:
            shared: whether other processes may write it at the same time, all of them shared. An exclusive writer
                removes temporary files that killed writers left.
            wait: whether to wait for a process that holds the lock.

        Raises:
            BadInput: another process writes the run (the message says which, and since when), or writes it with leases
                and this one would with locks, or the other way round; or the run cannot be written.
        """
        if self._lock is None:
            self._check_inside()
            self._lock = self._opened()
        try:
            if not _take(self._lock, shared=shared, wait=wait):
                raise self._busy(self._lock)
            recheck_claims(self.path / WRITERS, "leases" if isinstance(self._lock, Lease) else "locks", self.path)
        except OSError as error:
            self.close()
            raise self._cannot_write(error) from error
        except BaseException:
            self.close()
            raise
        if not self._lock.in_place:
            self.close()
            raise BadInput(f"{self.path} was replaced a moment ago; try again")
        self._lock.sign()
        if not shared:
            self._lock.sweep()
            self._sweep()

    @property
    def claimed(self) -> bool:
        """Whether this object holds the lock for writing the run."""
        return self._lock is not None

    def close(self) -> None:
        """Release the lock, so that other processes can write or replace the run."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def check_there(self) -> None:
        """Refuse to continue a claimed run that was removed, moved or replaced meanwhile, or taken over.

        Raises:
            CannotFinish: the run was removed, moved or replaced; or this process held it by a lease and was stopped for
                so long that another one took that.
        """
        if self._lock is None or self._lock.in_place:
            return
        if isinstance(self._lock, Lease) and self._lock.is_lost:
            raise CannotFinish(
                f"{self.path} was taken over by {self._lock.holder()}, since this process gave no sign of life for too "
                "long; continue it with --resume when that has ended"
            )
        raise gone(self.path)

    def begin(self, config: str, provenance: Mapping[str, Any], *, replace: bool) -> None:
        """Create a new run and hold its lock exclusively; arguments and errors as for :meth:`create`.

        Raises:
            BadInput: as for :meth:`create`; or another run appeared at the path since it was checked.
        """
        if not self.create(config, provenance, replace=replace):
            if self.is_run:
                self.claim()  # raises an error that says which process writes it, if one still does
                self.close()
            raise BadInput(f"{self.path} appeared while this run was prepared; choose another --out, or --resume it")

    def create(self, config: str, provenance: Mapping[str, Any], *, replace: bool, shared: bool = False) -> bool:
        """Create a new run and hold its lock.

        Args:
            config: its configuration, as YAML.
            provenance: its provenance, in JSON types.
            replace: whether a run at the path is replaced (see :meth:`check_free`).
            shared: as in :meth:`claim`.

        Returns:
            Whether it was created; False where something else appeared at the path that is not to be replaced.

        Raises:
            BadInput: the directory cannot be created; or the run to be replaced is being written.
            CannotFinish: the disk is full.
        """
        made = [parent for parent in self.path.absolute().parents if not parent.exists()]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._appearing():
                return self._put_in_place(config, provenance, replace=replace, shared=shared)
        except BaseException as error:
            with contextlib.suppress(OSError):
                for parent in made:
                    parent.rmdir()
            if isinstance(error, OSError):
                raise BadInput(f"cannot create {self.path} ({error.strerror}); choose another --out") from error
            raise

    def reopen(self, config: str) -> None:
        """Replace the configuration of a run, which is unfinished afterwards.

        Raises:
            CannotFinish: the disk cannot be written.
        """
        self.check_there()
        try:
            (self.path / SUMMARY).unlink(missing_ok=True)
        except OSError as error:
            raise cannot_write(self.path / SUMMARY, error) from error
        self.write_bytes(CONFIG, config.encode())

    def config(self) -> dict[str, Any]:
        """The stored configuration.

        Raises:
            BadInput: it cannot be read, is not a mapping of options, or belongs to a run in another format.
        """
        self._check_inside()
        self.check_format()
        stored = read_yaml(self.path / CONFIG)
        if not isinstance(stored, dict) or not all(isinstance(key, str) for key in stored):
            raise Unreadable(self.path / CONFIG, "it is not a mapping of options")
        return stored

    def config_text(self) -> str:
        """The text of the stored configuration.

        Raises:
            BadInput: it cannot be read.
        """
        self._check_inside()
        return read_text(self.path / CONFIG)

    def provenance(self) -> Provenance:
        """The provenance of the run.

        Raises:
            BadInput: it cannot be read.
        """
        self._check_inside()
        return read_json(self.path / PROVENANCE, Provenance)

    def read_json(self, name: str) -> dict[str, Any]:
        """The content of ``provenance.json`` or ``summary.json``.

        Raises:
            BadInput: it cannot be read.
        """
        self._check_inside()
        return read_json(self.path / name, dict[str, Any])

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Replace a JSON file of the run; the format is added to the provenance."""
        marked = {"format": FORMAT, **content} if name == PROVENANCE else content
        self.write_bytes(name, _json(marked).encode())

    def write_bytes(self, name: str, content: bytes) -> None:
        """Replace a file of the run, in its directory or in a directory within.

        Raises:
            CannotFinish: the disk cannot be written, or the run was removed.
        """
        self.check_there()
        path = self.path / name
        try:
            path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise cannot_write(path, error) from error
        write_atomically(path, content, advice=CONTINUE)

    @property
    def _empty(self) -> bool:
        return self.path.is_dir() and not any(self.path.iterdir())

    def _check_inside(self) -> None:
        if not self._inside and self.path.is_dir():
            check_inside(self.path)
            self._inside = True

    def _check_idle(self) -> None:
        """Refuse to replace a run that another process writes."""
        writers = self.path / WRITERS
        used = (self.path / LEASES).is_dir() or (writers.is_file() and not writers.is_symlink())
        if used and (held := self._held_to_replace()) is not None:
            held.release()

    def _held_to_replace(self) -> AnyLock | None:
        """The lock of the existing run, held exclusively; None where there is no run, or it cannot be written."""
        held = None
        try:
            held = self._made(self.path)
            if not _take(held, shared=False, wait=False):
                raise self._busy(held)
        except BaseException as error:
            if held is not None:
                held.release()
            if isinstance(error, OSError):
                return None
            raise
        return held

    def _made(self, folder: Path) -> AnyLock:
        """The lock of the run, or the lease, that is not held yet; in a folder that is, or is to be, the run's."""
        return make_lock(folder / WRITERS, settle_claims(self.path / WRITERS, self._claims, self.path))

    @contextlib.contextmanager
    def _appearing(self) -> Iterator[None]:
        """To be held around what lets a run appear or disappear in its parent directory, where it leaves nothing."""
        kind = choose_claims(self.path.parent) if self._claims == AUTO else self._claims
        if kind == "locks":
            with lock_folder(self.path.parent):
                yield
            return
        lease = Lease(self._beside[0], exclusive=True)
        try:
            lease.alone()
            yield
        finally:
            lease.release()

    @property
    def _beside(self) -> tuple[Path, Path]:
        """The temporary paths of a run while it is created, and while it is replaced."""
        name = self.path.name
        if len(os.fsencode(name)) > LONGEST:
            name = hashlib.blake2b(os.fsencode(name), digest_size=16).hexdigest()
        return self.path.with_name(f".{name}{NEW}"), self.path.with_name(f".{name}{OLD}")

    def _restore(self) -> None:
        """Undo an interrupted replacement, or remove what one left; the parent directory has to be locked."""
        fresh, old = self._beside
        if os.path.lexists(old) and not os.path.lexists(self.path):
            os.replace(old, self.path)
        for left in (fresh, old):
            shutil.rmtree(left, ignore_errors=True)

    def _busy(self, held: AnyLock) -> BadInput:
        return BadInput(
            f"{self.path} is being written by {held.holder()}; wait until that has ended, stop it, or choose another "
            "--out"
        )

    def _opened(self) -> AnyLock:
        try:
            return self._made(self.path)
        except OSError as error:
            raise self._cannot_write(error) from error

    def _cannot_write(self, error: OSError) -> BadInput:
        return BadInput(f"cannot write {self.path} ({error.strerror}); choose another --out")

    def _put_in_place(self, config: str, provenance: Mapping[str, Any], *, replace: bool, shared: bool) -> bool:
        """Make a run beside its path and move it there; the parent directory has to be locked."""
        fresh, old = self._beside
        self._restore()
        if self.exists and not self._empty and not replace:
            return False
        held = replaced = None
        try:
            if self.exists:
                self.check_free(overwrite=True)
                replaced = self._held_to_replace()
            fresh.mkdir()
            write_atomically(fresh / CONFIG, config.encode())
            write_atomically(fresh / PROVENANCE, _json({"format": FORMAT, **provenance}).encode())
            held = self._made(fresh)
            held.share() if shared else held.alone()
            held.sign()
            if self.exists:
                os.replace(self.path, old)
                if replaced is not None:
                    replaced.moved(old / WRITERS)
            try:
                os.replace(fresh, self.path)
            except OSError:
                if old.exists():
                    os.replace(old, self.path)
                    if replaced is not None:
                        replaced.moved(self.path / WRITERS)
                raise
        except BaseException:
            if held is not None:
                held.release()
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        finally:
            if replaced is not None:
                replaced.release()
        held.moved(self.path / WRITERS)
        self._lock, self._inside = held, True
        shutil.rmtree(old, ignore_errors=True)
        return True

    def _sweep(self) -> None:
        """Remove temporary files of killed writers, except in runs and stores within this one."""
        pending = [self.path]
        while pending:
            with os.scandir(pending.pop()) as found:
                entries = list(found)
            for entry in entries:
                name, path = entry.name, Path(entry.path)
                if entry.is_file(follow_symlinks=False) and name.startswith(".") and name.endswith(PARTIAL):
                    with contextlib.suppress(OSError):  # the next write of the file reports the problem
                        path.unlink()
                elif entry.is_dir(follow_symlinks=False) and not (
                    name.endswith((".zarr", ".locks", PARTIAL)) or (path / PROVENANCE).exists()
                ):
                    pending.append(path)


def _take(lock: AnyLock, *, shared: bool, wait: bool) -> bool:
    """Acquire a lock; a lease also from a process that was lost, and until that is clear it is waited for."""
    take = lock.share if shared else lock.alone
    return take(wait=wait) or (not wait and lock.outlast() and take(wait=False))


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(make_plain(content), indent=2, allow_nan=False) + "\n"


def make_plain(value: Any) -> Any:
    """Make a value representable in JSON, which has neither NaN nor infinities: they become null."""
    if isinstance(value, Mapping):
        return {str(key): make_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [make_plain(item) for item in value]
    if isinstance(value, float) and not (abs(value) < float("inf")):
        return None
    return value


def resolve_owner(place: Path) -> Path:
    """Resolve the path of a survey to an absolute one, and the ``survey.zarr`` of a run to the run."""
    whole = resolve_path(place)
    return whole.parent if whole.name == SURVEY else whole


def name_places(places: Sequence[Path]) -> dict[str, Path]:
    """Name different paths by their last parts, as few as suffice to distinguish them."""
    parts = [resolve_owner(place).parts for place in places]
    depths = [1] * len(places)
    while True:
        names = ["/".join(part[-depth:]) for part, depth in zip(parts, depths, strict=True)]
        alike = [i for i, name in enumerate(names) if names.count(name) > 1]
        if not alike:
            return dict(zip(names, places, strict=True))
        for i in alike:
            depths[i] += 1
