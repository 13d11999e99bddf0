"""Leases: locks for file systems whose own locks cannot be trusted, such as those of several machines.

A lease is a file that is created exclusively. Its owner shows that it lives by a heartbeat
(:mod:`lossatlas.locks.heartbeats`); when that has stood still for :data:`~lossatlas.locks.heartbeats.LEASE_SECONDS`,
others take the lease. A process that was only stopped may thus go on with what it held while another has it, too: what
is done under leases has to stand that.

Takeover is a rename to a name of one's own, which one of several observers carries out. It then looks at what it has:
the lease that was found lost is removed; any other one, which somebody took in the meantime, is put back.
"""

from __future__ import annotations

import errno
import json
import os
import random
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lossatlas.locks import heartbeats
from lossatlas.locks.heartbeats import BEAT, Heart, Life, read_short, watch, write_new

__all__ = ["LEASES", "Lease"]

LEASES = ".leases"
"""The folder of leases and heartbeats, beside the place where the file of a lock would be."""
ALONE, SHARED, GONE = ".alone", ".shared-", ".gone"
"""What follows the name of a lease that is exclusive, that is shared, and that is being removed."""
FIRST, LONGEST = 0.02, 1.0
"""Seconds between two looks at a lease that is waited for, at first and at most."""


@dataclass(frozen=True)
class _Found:
    """A lease that is there.

    Attributes:
        file: Where.
        raw: All that is in it.
        told: What that says; empty where it cannot be read, since its owner was stopped when it had created the file.
    """

    file: Path
    raw: bytes
    told: dict[str, Any]

    @property
    def owner(self) -> str:
        return str(self.told.get("owner", ""))

    @property
    def losses(self) -> int:
        found = self.told.get("losses", 0)
        return found if isinstance(found, int) else 0

    def life(self) -> Life:
        """What is known of its owner."""
        if self.owner:
            return watch.look(self.file.parent, self.owner)
        return watch.compare(self._key, self.raw)

    def sign(self) -> tuple[str, bytes]:
        """Its owner, and what that one's counter was when it was last looked at."""
        key = self.owner or self._key
        return key, watch.last_content(key)

    @property
    def _key(self) -> str:
        return f"{self.file} {_identity(self.file)}"


class Lease:
    """A lease, with the methods of a :class:`~lossatlas.locks.lock.Lock`.

    Args:
        path: where the file of a lock would be; the lease is in the folder ``.leases`` beside it, which is there only
            as long as somebody has a lease in it.
        exclusive: whether nobody ever shares it, and sharers need not be searched for.

    Raises:
        OSError: the disk refuses; all methods that acquire the lease raise it, too.
    """

    def __init__(self, path: Path, *, exclusive: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path.absolute()
        self._place = _identity(path.parent)
        self._token = secrets.token_hex(8)
        self._exclusive = exclusive
        self._heart: Heart | None = None
        self._held: dict[str, bytes] = {}
        """What was written into the files that make up what is held, by their names."""
        self._losses = 0

    def share(self, *, wait: bool = True) -> bool:
        """Acquire the lease as a shared one; arguments and result as those of a lock."""
        return self._take(self._share, wait)

    def alone(self, *, wait: bool = True) -> bool:
        """Acquire the lease exclusively; where that fails, a shared one remains shared."""
        return self._take(self._alone, wait)

    def outlast(self) -> bool:
        """Wait until it is clear whether those that are in the way still live.

        Returns:
            Whether all of them were lost; False as soon as one shows that it lives.
        """
        before: dict[str, bytes] = {}
        while found := self._in_the_way():
            for one in found:
                if self._heart is not None and one.owner == self._heart.owner:
                    return False
                key, now = one.sign()
                if before.setdefault(key, now) != now:
                    return False
            time.sleep(self._longest)
        return True

    def release(self) -> None:
        """Release the lease, unless another process has taken it; the object cannot be used afterwards."""
        if self._heart is None:
            return
        if self._heart.is_own:
            for name in list(self._held):
                self._drop(name)
        self._held.clear()
        self._heart.give_up()
        self._heart = None

    def moved(self, path: Path) -> None:
        """Record the new path, after its folder was moved."""
        self._path = path.absolute()
        if self._heart is not None:
            self._heart.move(self._folder)

    @property
    def in_place(self) -> bool:
        """Whether the lease is held in the folder where it was acquired.

        A shared one that others took, since this process was stopped for long, is shared again where it is free.
        """
        if _identity(self._path.parent) != self._place or not self._held:
            return False
        try:
            for name, raw in list(self._held.items()):
                if read_short(self._folder / name) != raw:
                    del self._held[name]
                    if name == self._name_alone or not self._share():
                        return False
        except OSError:
            return False
        return True

    @property
    def is_lost(self) -> bool:
        """Whether the lease was taken by others, in a folder that is still the one where it was acquired."""
        return _identity(self._path.parent) == self._place and not self.in_place

    def sign(self) -> None:
        """Do nothing: a lease says from the first which process holds it."""

    def holder(self) -> str:
        """The process that holds the lease and since when, in words; "another process" where that is not known."""
        with suppress(OSError):
            for one in self._in_the_way():
                if one.told:
                    return f"process {one.told.get('pid')} on {one.told.get('host')} since {one.told.get('since')}"
        return "another process"

    def count_losses(self) -> int:
        """How many processes were lost while they held the lease alone and this one, or a taker before it, went on."""
        return self._losses

    def sweep(self) -> None:
        """Remove what lost processes left beside this lease, which is held alone; other leases among it."""
        with suppress(OSError):
            for file in self._folder.iterdir():
                name = file.name
                if name.endswith(GONE):
                    file.unlink(missing_ok=True)
                elif name.startswith(BEAT):
                    if watch.look(self._folder, name.removeprefix(BEAT)) is Life.LOST:
                        file.unlink(missing_ok=True)
                elif (found := _read(file)) is not None:
                    self._is_removed(found)

    @property
    def _folder(self) -> Path:
        return self._path.parent / LEASES

    @property
    def _name_alone(self) -> str:
        return f"{self._path.name}{ALONE}"

    @property
    def _name_shared(self) -> str:
        return f"{self._path.name}{SHARED}{self._token}"

    @property
    def _longest(self) -> float:
        """Seconds between two looks at most: often enough to notice that a heart has stopped."""
        return min(LONGEST, heartbeats.LEASE_SECONDS / 12)

    def _take(self, attempt: Callable[[], bool], wait: bool) -> bool:
        if self._heart is None:
            self._heart = Heart.of(self._folder)
        pause = FIRST
        while not attempt():
            if not wait:
                return False
            time.sleep(min(pause, self._longest) * random.uniform(0.5, 1.0))
            pause *= 1.5
        return True

    def _share(self) -> bool:
        if self._name_shared not in self._held:
            self._write(self._name_shared, 0)
        if self._name_alone in self._held:  # nobody else shares it, or has it
            self._drop(self._name_alone)
        elif any(self._holders()):
            self._drop(self._name_shared)
            return False
        return True

    def _alone(self) -> bool:
        if self._name_alone in self._held:
            if read_short(self._folder / self._name_alone) == self._held[self._name_alone]:
                return True
            del self._held[self._name_alone]
        losses = 0
        while not self._write(self._name_alone, losses):
            found = _read(self._folder / self._name_alone)
            if found is None:  # released just now
                losses = 0
            elif not self._is_removed(found):
                return False
            else:
                losses = found.losses + watch.has_lived_beside(found.owner)
        if any(self._sharers()):
            self._drop(self._name_alone)
            return False
        self._losses = losses
        return True

    def _in_the_way(self) -> list[_Found]:
        """What others hold of this lease and have not lost."""
        return [*self._holders(), *self._sharers()]

    def _holders(self) -> Iterator[_Found]:
        """Who holds it alone."""
        found = _read(self._folder / self._name_alone)
        if found is not None and found.raw != self._held.get(self._name_alone) and not self._is_removed(found):
            yield found

    def _sharers(self) -> Iterator[_Found]:
        """Who shares it."""
        if self._exclusive:
            return
        begin = f"{self._path.name}{SHARED}"
        try:
            names = [file.name for file in self._folder.iterdir()]
        except FileNotFoundError:
            return
        for name in names:
            if not name.startswith(begin) or name.endswith(GONE) or name == self._name_shared:
                continue
            found = _read(self._folder / name)
            if found is not None and not self._is_removed(found):
                yield found

    def _write(self, name: str, losses: int) -> bool:
        """Create the file of a lease; False where there is one."""
        assert self._heart is not None
        raw = json.dumps(
            {
                "owner": self._heart.owner,
                "token": secrets.token_hex(8),
                "losses": losses,
                "pid": os.getpid(),
                "host": socket.gethostname(),
                "since": time.strftime("%Y-%m-%d %H:%M:%S"),
            }
        ).encode()
        if not write_new(self._folder / name, raw):
            return False
        self._held[name] = raw
        return True

    def _drop(self, name: str) -> None:
        """Remove a file of this lease, unless it is another process's by now."""
        raw, file = self._held.pop(name), self._folder / name
        with suppress(OSError):
            if read_short(file) == raw:
                self._remove(_Found(file, raw, {}))

    def _is_removed(self, found: _Found) -> bool:
        """Take a lease away from its owner where that one was lost, and with it all that it has in the folder."""
        if self._heart is not None and found.owner == self._heart.owner:
            return False
        if found.life() is not Life.LOST:
            return False
        if found.owner:  # from now on every observer knows
            with suppress(OSError):
                (found.file.parent / f"{BEAT}{found.owner}").unlink(missing_ok=True)
        return self._remove(found)

    def _remove(self, found: _Found) -> bool:
        """Remove the file of a lease; whether it was there, and still that lease."""
        mine = found.file.with_name(f"{found.file.name}-{secrets.token_hex(6)}{GONE}")
        try:
            found.file.rename(mine)
        except FileNotFoundError:
            return False
        try:
            if read_short(mine) == found.raw:
                return True
            try:
                os.link(mine, found.file)
            except FileExistsError:  # and a third process has it: what is done under leases stands that
                pass
            except OSError:  # there are no links on this file system
                if not found.file.exists():
                    mine.rename(found.file)
            return False
        finally:
            mine.unlink(missing_ok=True)


def _read(file: Path) -> _Found | None:
    """Read a lease; None where there is none.

    Raises:
        OSError: the disk refuses.
    """
    try:
        raw = read_short(file)
    except OSError as error:
        if error.errno != errno.ESTALE:  # another machine has removed it while it was read
            raise
        raw = None
    if raw is None:
        return None
    try:
        told = json.loads(raw)
    except ValueError:
        told = {}
    return _Found(file, raw, told if isinstance(told, dict) else {})


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file or a folder from one that replaces it."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
