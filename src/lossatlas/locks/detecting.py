"""Whether processes keep out of each other's way by locks of the system or by leases: what a file system can do."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal, cast

from lossatlas.errors import BadInput
from lossatlas.locks.leases import LEASES, Lease
from lossatlas.locks.lock import Lock, has_locks

__all__ = ["AUTO", "CLAIMS", "AnyLock", "Kind", "choose_claims", "make_lock", "recheck_claims", "settle_claims"]

AnyLock = Lock | Lease
Kind = Literal["locks", "leases"]
AUTO = "auto"
CLAIMS = (AUTO, "locks", "leases")
"""What can be asked for."""
MOUNTS = Path("/proc/self/mountinfo")
"""Where Linux says what is mounted."""
SHARED_BY_MACHINES = {
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "fhgfs", "fuse", "glusterfs", "gpfs", "lustre", "mmfs", "ncpfs",
    "nfs", "nfs3", "nfs4", "orangefs", "panfs", "pvfs2", "smb", "smb2", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs",
    "wekafs",
}  # fmt: skip
"""Types of file systems whose locks may be a machine's own, outlive their holder, or be lacking, by configuration."""
FUSE = "fuse."
"""What the types of all file systems of programs begin with; ``fuseblk`` is a local disk."""


def choose_claims(path: Path) -> Kind:
    """Choose what can be trusted on a path's file system: locks on local ones, leases on those of several machines.

    Args:
        path: of a file or folder, which need not exist yet.

    Returns:
        "leases" where the type of the file system says so, or an attempt to lock a file there fails.
    """
    place = Path(os.path.realpath(path))
    while not place.is_dir() and place.parent != place:
        place = place.parent
    kind = find_file_system(place)
    if kind is not None and (kind in SHARED_BY_MACHINES or kind.startswith(FUSE)):
        return "leases"
    return "locks" if has_locks(place) else "leases"


def find_file_system(place: Path) -> str | None:
    """Find the type of the file system that an existing folder, without links in its path, is on; None if not known."""
    try:
        text = MOUNTS.read_text(errors="surrogateescape")
    except OSError:  # another system than Linux
        return None
    found, longest = None, -1
    for line in text.splitlines():
        mount, _, source = line.partition(" - ")
        fields = mount.split(" ")
        if len(fields) < 5 or not source:
            continue
        point = Path(_unescape(fields[4]))
        # The later one of two at a point hides the other.
        if place.is_relative_to(point) and len(point.parts) >= longest:
            found, longest = source.split(" ")[0], len(point.parts)
    return found


def make_lock(path: Path, kind: Kind, *, exclusive: bool = False) -> AnyLock:
    """A lock of the system, or a lease, that is not held yet.

    Args:
        path: of the lock's file.
        kind: which of both.
        exclusive: whether nobody ever shares it, which makes leases cheaper.

    Raises:
        OSError: the disk refuses.
    """
    return Lock(path) if kind == "locks" else Lease(path, exclusive=exclusive)


def settle_claims(path: Path, claims: str, what: Path) -> Kind:
    """Settle what processes use that write something together: what is asked for, or else what others use now, or can.

    Args:
        path: of the lock, or lease, that each of them holds while it writes.
        claims: auto, locks or leases.
        what: they write, for messages.

    Raises:
        BadInput: it is neither of these; or others write with what is not asked for.
    """
    if claims not in CLAIMS:
        raise BadInput(f"claims {claims!r} are not known; expected {', '.join(CLAIMS)}")
    kind = choose_claims(path) if claims == AUTO else cast(Kind, claims)
    other = _other(kind)
    if not _is_written(path, other, patient=claims != AUTO):
        return kind
    if claims == AUTO:
        return other
    raise _written(what, kind, other)


def recheck_claims(path: Path, kind: Kind, what: Path) -> None:
    """Look once more, while the lock is held, whether others write with the other kind, who came at the same moment.

    Each of them holds its own before it looks at the other's: at least one of the two is refused.

    Args:
        path: as for :func:`settle_claims`.
        kind: what it gave.
        what: is written.

    Raises:
        BadInput: they do.
    """
    other = _other(kind)
    if _is_written(path, other, patient=True):
        raise _written(what, kind, other)


def _other(kind: Kind) -> Kind:
    return "leases" if kind == "locks" else "locks"


def _written(what: Path, kind: str, other: str) -> BadInput:
    return BadInput(
        f"{what} is being written by another process with {other}, so {kind} would not keep the two apart; use "
        f"--claims {other}, or wait until it has ended"
    )


def _is_written(path: Path, kind: Kind, *, patient: bool) -> bool:
    """Whether a process writes that uses one kind.

    Args:
        path: of the lock or lease.
        kind: that is looked for.
        patient: whether to wait until it is clear whether holders of leases live; else they are taken to do so.
    """
    if not ((path.parent / LEASES).is_dir() if kind == "leases" else path.is_file() and not path.is_symlink()):
        return False
    try:
        probe = make_lock(path, kind)
    except OSError:
        return False
    try:
        return not (probe.alone(wait=False) or (patient and probe.outlast() and probe.alone(wait=False)))
    except (BadInput, OSError):  # there are no locks here, or nothing can be written
        return False
    finally:
        probe.release()


def _unescape(text: str) -> str:
    r"""Undo how the kernel writes spaces, tabs, line breaks and backslashes.

    >>> _unescape(r"/mnt/two\040words")
    '/mnt/two words'
    """
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
