"""Leases: one holder at a time as long as all live, and another one after that one was lost."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nursery import Child, forked, result_of

import lossatlas as la
from lossatlas.locks import Lease, Lock, choose_claims, clear_losses, detecting, heartbeats, leases, lock, settle_claims
from lossatlas.locks.detecting import find_file_system
from lossatlas.locks.heartbeats import Heart, Life, Watch

SHORT = 0.6
"""Seconds after which a lease has expired, in tests that wait for that."""
KINDS = pytest.mark.parametrize("kind", [Lock, Lease])


class Clock:
    """A monotonic clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(heartbeats, "time", made)
    return made


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeats, "LEASE_SECONDS", SHORT)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """An observer that has seen nothing yet, in place of this process's."""
    made = Watch()
    monkeypatch.setattr(heartbeats, "watch", made)
    monkeypatch.setattr(leases, "watch", made)
    return made


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def hold(path: Path, how: str = "alone", seconds: float = SHORT) -> None:
    """Hold a lease until the end of the process, and say so."""
    heartbeats.LEASE_SECONDS = seconds
    lease = Lease(path)
    getattr(lease, how)()
    path.with_name("held").touch()
    time.sleep(600)
    lease.release()


def wait_for(condition: Callable[[], bool], child: Child | None = None) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert child is None or child.process.is_alive(), child.errors
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def killed_holder(path: Path, how: str = "alone") -> None:
    """Leave behind the lease of a process that was killed."""
    with Child(hold, path, how) as child:
        wait_for(path.with_name("held").exists, child)
    path.with_name("held").unlink()


def count(path: Path, times: int) -> None:
    """Raise a number in a file, which is safe for one process at a time."""
    for _ in range(times):
        lease = Lease(path.with_name("lock"))
        lease.alone()
        path.write_text(str(int(path.read_text() or 0) + 1))
        lease.release()


class TestExclusivity:
    @KINDS
    def test_of_several_objects(self, kind: type[Lock | Lease], tmp_path: Path) -> None:
        one, other, third = (kind(tmp_path / "lock") for _ in range(3))
        assert one.share()
        assert other.share()
        assert not one.alone(wait=False)
        other.release()
        assert not third.alone(wait=False)
        assert one.alone(wait=False)
        assert not third.share(wait=False)
        assert one.share()
        assert third.share(wait=False), "which one had alone before"
        one.release()
        one.release()
        third.release()

    @KINDS
    def test_who_has_it_is_named(self, kind: type[Lock | Lease], tmp_path: Path) -> None:
        one, other = kind(tmp_path / "lock"), kind(tmp_path / "lock")
        one.alone()
        one.sign()
        assert not other.alone(wait=False)
        assert re.fullmatch(rf"process {os.getpid()} on \S+ since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d", other.holder())
        assert not other.outlast(), "it lives"
        one.release()
        other.release()

    def test_of_threads(self, tmp_path: Path) -> None:
        (tmp_path / "count").write_text("")
        threads = [threading.Thread(target=count, args=(tmp_path / "count", 30)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (tmp_path / "count").read_text() == "120"
        assert names(tmp_path) == ["count"], "no folder of leases is left"

    def test_of_processes(self, tmp_path: Path) -> None:
        (tmp_path / "count").write_text("")
        children = [Child(count, tmp_path / "count", 30) for _ in range(3)]
        for child in children:
            with child:
                assert child.wait() == 0, child.errors
        assert (tmp_path / "count").read_text() == "90"
        assert names(tmp_path) == ["count"]

    def test_of_those_that_share_and_those_that_do_not(self, tmp_path: Path) -> None:
        inside: list[str] = []

        def take(how: str) -> None:
            for _ in range(20):
                lease = Lease(tmp_path / "lock")
                getattr(lease, how)()
                inside.append(how)
                assert inside == ["alone"] or "alone" not in inside
                inside.remove(how)
                lease.release()

        threads = [threading.Thread(target=take, args=(how,)) for how in ("alone", "share", "share", "alone")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert names(tmp_path) == []

    def test_a_fork_has_none_of_it(self, tmp_path: Path) -> None:
        assert result_of(release_in_a_fork, tmp_path / "lock")


def release_in_a_fork(path: Path) -> bool:
    lease = Lease(path)
    lease.alone()
    os.waitpid(forked(lease.release), 0)
    other = Lease(path)
    return lease.in_place and not other.alone(wait=False)


def test_what_was_not_released_is_free_when_its_process_ends(tmp_path: Path) -> None:
    forgetful = "import sys, pathlib, lossatlas.locks as l; l.Lease(pathlib.Path(sys.argv[1])).alone()"
    subprocess.run([sys.executable, "-c", forgetful, str(tmp_path / "lock")], check=True)
    assert names(tmp_path) == [".leases", ".leases/lock.alone"]
    lease = Lease(tmp_path / "lock")
    assert lease.alone(wait=False)
    lease.release()
    assert names(tmp_path) == []


class TestExpiry:
    def test_comes_when_a_counter_stood_still_for_so_long_on_the_observers_clock(
        self, tmp_path: Path, clock: Clock, watch: Watch
    ) -> None:
        killed_holder(tmp_path / "lock")
        lease = Lease(tmp_path / "lock")
        for _ in range(12):
            assert not lease.alone(wait=False)
            clock.now += heartbeats.LEASE_SECONDS / 12 - 1e-6
        clock.now += 1e-3
        assert lease.alone(wait=False)
        lease.release()
        assert names(tmp_path) == []

    def test_does_not_come_for_one_whose_counter_moves(self, tmp_path: Path, clock: Clock, watch: Watch) -> None:
        lease = Lease(tmp_path / "lock")
        with Child(hold, tmp_path / "lock") as child:
            wait_for((tmp_path / "held").exists, child)
            beat = next((tmp_path / ".leases").glob("beat-*"))
            for _ in range(8):
                before = beat.read_bytes()
                wait_for(lambda before=before: beat.read_bytes() != before, child)  # type: ignore[misc]
                assert not lease.alone(wait=False)
                clock.now += heartbeats.LEASE_SECONDS * 0.9
        lease.release()

    def test_does_not_come_at_once_after_an_observer_was_stopped(
        self, tmp_path: Path, clock: Clock, watch: Watch
    ) -> None:
        """Or after a disk that did not answer anybody: then owners that live could not raise their counters."""
        killed_holder(tmp_path / "lock")
        lease = Lease(tmp_path / "lock")
        assert not lease.alone(wait=False)
        clock.now += 100 * heartbeats.LEASE_SECONDS
        assert not lease.alone(wait=False)
        clock.now += heartbeats.LEASE_SECONDS
        assert not lease.alone(wait=False)
        clock.now += heartbeats.LEASE_SECONDS
        assert lease.alone(wait=False)
        lease.release()

    def test_ends_a_wait(self, tmp_path: Path, short: None) -> None:
        for holder, waiter in (("alone", "alone"), ("alone", "share"), ("share", "alone")):
            killed_holder(tmp_path / "lock", holder)
            lease = Lease(tmp_path / "lock")
            assert not getattr(lease, waiter)(wait=False)
            assert lease.outlast()
            assert getattr(lease, waiter)()
            lease.release()
            assert names(tmp_path) == []

    def test_of_one_lease_is_that_of_all_of_a_process(
        self, tmp_path: Path, clock: Clock, watch: Watch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        killed_holder(tmp_path / "lock")
        (left,) = (tmp_path / ".leases").glob("lock.*")
        (tmp_path / ".leases" / "other.alone").write_bytes(left.read_bytes())
        one, other = Lease(tmp_path / "lock"), Lease(tmp_path / "other")
        for _ in range(4):
            one.alone(wait=False)
            clock.now += heartbeats.LEASE_SECONDS / 3
        late = Watch()
        monkeypatch.setattr(leases, "watch", late)
        assert other.alone(wait=False), "who comes now need not observe for as long"
        one.release()
        other.release()
        assert names(tmp_path) == []

    def test_of_one_whose_owner_was_killed_before_it_said_who_it_is(
        self, tmp_path: Path, clock: Clock, watch: Watch
    ) -> None:
        (tmp_path / ".leases").mkdir()
        (tmp_path / ".leases" / "lock.alone").touch()
        lease = Lease(tmp_path / "lock")
        for _ in range(4):
            assert not lease.alone(wait=False)
            assert lease.holder() == "another process"
            clock.now += heartbeats.LEASE_SECONDS / 3.5
        assert lease.alone(wait=False)
        assert lease.count_losses() == 0
        lease.release()

    def test_is_not_taken_from_what_cannot_be_read(
        self, tmp_path: Path, clock: Clock, watch: Watch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_: Path) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(heartbeats, "read_short", fail)
        for _ in range(9):
            assert watch.look(tmp_path, "one") is Life.UNKNOWN
            clock.now += heartbeats.LEASE_SECONDS


def stop_in_between(path: Path, looks: bool) -> bool:
    """Hold a lease, be stopped, go on when another process has it; whether this one looks and takes it for its own."""
    heartbeats.LEASE_SECONDS = SHORT
    lease = Lease(path)
    lease.alone()
    path.with_name("held").touch()
    os.kill(os.getpid(), signal.SIGSTOP)
    mine = looks and lease.in_place
    lease.release()
    return mine


class TestStopped:
    @pytest.mark.parametrize("looks", [True, False])
    def test_a_process_does_not_release_what_another_has_by_then(
        self, looks: bool, tmp_path: Path, short: None
    ) -> None:
        with Child(stop_in_between, tmp_path / "lock", looks) as child:
            wait_for((tmp_path / "held").exists, child)
            lease = Lease(tmp_path / "lock")
            assert lease.alone()
            assert lease.count_losses() in (0, 1), "as to whether it was seen alive"
            assert child.process.pid is not None
            os.kill(child.process.pid, signal.SIGCONT)
            assert child.wait() == 0, child.errors
            assert child.result is False
            assert lease.in_place
            assert not Lease(tmp_path / "lock").alone(wait=False)
            lease.release()
        (tmp_path / "held").unlink()

    def test_one_that_shared_shares_again(self, tmp_path: Path) -> None:
        one, other = Lease(tmp_path / "lock"), Lease(tmp_path / "lock")
        one.share()
        for file in (tmp_path / ".leases").glob("*"):  # as who takes it for lost does
            file.unlink()
        assert other.alone(wait=False)
        assert not one.in_place
        other.release()
        one.release()
        one.share()
        for file in (tmp_path / ".leases").glob("*"):
            file.unlink()
        assert one.in_place
        assert not other.alone(wait=False)
        one.release()

    def test_its_heart_beats_again(self, tmp_path: Path, short: None) -> None:
        heart = Heart.of(tmp_path / "leases")
        (beat,) = (tmp_path / "leases").glob("beat-*")
        beat.unlink()
        wait_for(beat.exists)
        heart.give_up()
        assert names(tmp_path) == []


class TestTwoObservers:
    """Of one lost lease: both find it lost, and the second acts on that when the first one has it."""

    def test_do_not_both_take_it(
        self, tmp_path: Path, clock: Clock, watch: Watch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        killed_holder(tmp_path / "lock")
        one, other = Lease(tmp_path / "lock"), Lease(tmp_path / "lock")
        for _ in range(3):
            assert not one.alone(wait=False)
            assert not other.alone(wait=False)
            clock.now += heartbeats.LEASE_SECONDS / 3 + 1
        remove = Lease._remove

        def late(self: Lease, found: Any) -> bool:
            monkeypatch.setattr(Lease, "_remove", remove)
            assert one.alone(wait=False), "just before the other one renames it"
            return self._remove(found)

        monkeypatch.setattr(Lease, "_remove", late)
        assert not other.alone(wait=False)
        assert one.in_place, "it was put back"
        assert not [name for name in names(tmp_path) if name.endswith(".gone")]
        one.release()
        other.release()
        assert names(tmp_path) == []

    def test_where_there_are_no_links(
        self, tmp_path: Path, clock: Clock, watch: Watch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", fail)
        self.test_do_not_both_take_it(tmp_path, clock, watch, monkeypatch)


class TestLosses:
    def test_add_up_until_somebody_releases_it(self, tmp_path: Path, short: None, watch: Watch) -> None:
        found = result_of(lose_again_and_again, tmp_path / "lock", 3)
        assert found == [0, 1, 2, 3, 0]

    def test_do_not_count_a_head_that_is_killed_again_and_again(
        self, tmp_path: Path, short: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for _ in range(3):
            made = Watch()  # that of the next head
            monkeypatch.setattr(heartbeats, "watch", made)
            monkeypatch.setattr(leases, "watch", made)
            killed_holder(tmp_path / "lock")
            lease = Lease(tmp_path / "lock")
            assert lease.alone()
            assert lease.count_losses() == 0
            lease.release()

    def test_of_locks(self, tmp_path: Path) -> None:
        for lost in range(3):
            with Child(hold_and_count, tmp_path / "lock") as child:
                wait_for((tmp_path / "held").exists, child)
            (tmp_path / "held").unlink()
            assert (tmp_path / "lock").read_text() == f"{lost}\n"
        one = Lock(tmp_path / "lock")
        one.alone()
        assert one.count_losses() == 3
        one.release()
        assert (tmp_path / "lock").read_text() == ""
        one = Lock(tmp_path / "lock")
        one.alone()
        assert one.count_losses() == 0

    def test_of_locks_are_forgotten_at_a_new_start(self, tmp_path: Path) -> None:
        with Child(hold_and_count, tmp_path / "locks" / "lock") as child:
            wait_for((tmp_path / "locks" / "held").exists, child)
        clear_losses(tmp_path / "locks")
        clear_losses(tmp_path / "nothing")
        one = Lock(tmp_path / "locks" / "lock")
        one.alone()
        assert one.count_losses() == 0


def hold_and_count(path: Path) -> None:
    lock = Lock(path)
    lock.alone()
    lock.count_losses()
    path.with_name("held").touch()
    time.sleep(600)
    lock.release()


def lose_again_and_again(path: Path, times: int) -> list[int]:
    """Take a lease that others wanted at the same time and were lost with; the losses that each of all found."""
    heartbeats.LEASE_SECONDS = SHORT
    beside = Lease(path.with_name("beside"))
    beside.alone()
    reader, writer = os.pipe()
    children = [forked(take_and_be_lost, path, writer) for _ in range(times)]
    for child in children:
        os.waitpid(child, 0)
    found = [int(line) for line in os.read(reader, 100).split()]
    for _ in range(2):
        lease = Lease(path)
        lease.alone()
        found.append(lease.count_losses())
        lease.release()
    beside.release()
    return found


def take_and_be_lost(path: Path, writer: int) -> None:
    beside = Lease(path.with_name(f"beside {os.getpid()}"))
    beside.alone()
    time.sleep(SHORT)  # until all are there
    lease = Lease(path)
    lease.alone()
    os.write(writer, b"%d\n" % lease.count_losses())
    time.sleep(SHORT)  # as others see
    os.kill(os.getpid(), signal.SIGKILL)


class TestFiles:
    def test_are_all_gone_at_the_end(self, tmp_path: Path) -> None:
        one, other = Lease(tmp_path / "lock"), Lease(tmp_path / "other")
        one.share()
        other.alone()
        assert len(names(tmp_path)) == 4, "the folder, a heartbeat, two leases"
        one.release()
        assert len(names(tmp_path)) == 3
        other.release()
        assert names(tmp_path) == []

    def test_move_with_their_folder(self, tmp_path: Path, short: None) -> None:
        (tmp_path / "new").mkdir()
        lease = Lease(tmp_path / "new" / "lock")
        lease.alone()
        (tmp_path / "new").rename(tmp_path / "run")
        lease.moved(tmp_path / "run" / "lock")
        assert lease.in_place
        (beat,) = (tmp_path / "run" / ".leases").glob("beat-*")
        before = beat.read_bytes()
        wait_for(lambda: beat.read_bytes() != before)
        assert not (tmp_path / "new").exists()
        lease.release()
        assert names(tmp_path) == ["run"]

    def test_of_a_folder_that_was_replaced_are_not_taken_for_ones_own(self, tmp_path: Path) -> None:
        lease = Lease(tmp_path / "run" / "lock")
        lease.share()
        (tmp_path / "run").rename(tmp_path / "old")
        (tmp_path / "run").mkdir()
        assert not lease.in_place
        lease.release()
        assert names(tmp_path / "run") == []

    def test_are_not_half_written_on_a_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        other = Lease(tmp_path / "other")
        other.alone()

        def full(*_: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            lease = Lease(tmp_path / "lock")
            with pytest.raises(OSError, match="No space left"):
                lease.alone(wait=False)
            lease.release()
        assert not (tmp_path / ".leases" / "lock.alone").exists()
        other.release()

    def test_that_lost_processes_left_are_swept_by_who_is_alone(self, tmp_path: Path, short: None) -> None:
        killed_holder(tmp_path / "lock")
        killed_holder(tmp_path / "other")
        (tmp_path / ".leases" / "x.alone-123.gone").touch()
        lease = Lease(tmp_path / "lock")
        lease.alone()
        wait_for(lambda: [lease.sweep()] and len(names(tmp_path / ".leases")) == 2)
        lease.release()
        assert names(tmp_path) == []


MOUNTS = r"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 27 0:40 / /home rw,relatime shared:2 master:1 - nfs4 server:/home rw,vers=4.2
31 30 254:0 /scratch /home/me/local rw,relatime - xfs /dev/sdb rw
32 27 0:41 / /mnt/two\040words rw - fuse.sshfs me@there: rw
33 27 0:42 / /var/merged rw - overlay overlay rw,lowerdir=/a,upperdir=/b
34 27 0:43 / /data rw - ext4 /dev/sdc rw
35 27 0:44 / /data rw - lustre 10.0.0.1@tcp:/fs rw
36 27 0:45 / /homework rw - btrfs /dev/sdd rw
37 27 8:1 / /usb rw - fuseblk /dev/sde1 rw
38 27 0:46 /run /bound rw - cifs //server/share rw
not a mount
"""


class TestDetection:
    @pytest.fixture(autouse=True)
    def mounted(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "mountinfo").write_text(MOUNTS)
        monkeypatch.setattr(detecting, "MOUNTS", tmp_path / "mountinfo")

    @pytest.mark.parametrize(
        ("place", "kind"),
        [
            ("/tmp", "ext4"), ("/home/me", "nfs4"), ("/home/me/local/runs", "xfs"), ("/mnt/two words", "fuse.sshfs"),
            ("/var/merged", "overlay"), ("/data/x", "lustre"), ("/homework", "btrfs"), ("/usb/x", "fuseblk"),
            ("/bound/run", "cifs"), ("/home", "nfs4"), ("/", "ext4"),
        ],
    )  # fmt: skip
    def test_of_the_file_system(self, place: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        assert find_file_system(Path(place)) == kind
        monkeypatch.setattr(Path, "is_dir", lambda _: True)
        monkeypatch.setattr(detecting, "has_locks", lambda _: True)
        expected = "leases" if kind in ("nfs4", "fuse.sshfs", "lustre", "cifs") else "locks"
        assert choose_claims(Path(place)) == expected

    def test_through_a_link(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "mountinfo").write_text(f"1 1 0:1 / {tmp_path}/far rw - beegfs x rw\n")
        (tmp_path / "far").mkdir()
        (tmp_path / "near").symlink_to(tmp_path / "far")
        assert choose_claims(tmp_path / "near" / "run" / "survey.zarr") == "leases"
        assert choose_claims(tmp_path / "run") == "locks"

    @pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
    def test_by_an_attempt(self, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise OSError(number, os.strerror(number))

        (tmp_path / "mountinfo").unlink()  # nothing is known of its type
        assert choose_claims(tmp_path / "run") == "locks"
        assert lock.fcntl is not None
        monkeypatch.setattr(lock.fcntl, "flock", fail)
        assert choose_claims(tmp_path / "run") == "leases"
        assert names(tmp_path) == []
        with pytest.raises(la.BadInput, match="file system without locks .*; use leases there") as caught:
            Lock(tmp_path / "lock").alone()
        assert "\n" not in str(caught.value)

    def test_where_folders_alone_have_no_locks(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert lock.fcntl is not None
        flock = lock.fcntl.flock

        def files_alone(handle: int, how: int) -> None:
            if os.path.isdir(f"/proc/self/fd/{handle}"):  # noqa: PTH112
                raise OSError(errno.EBADF, "Bad file descriptor")
            flock(handle, how)

        monkeypatch.setattr(lock.fcntl, "flock", files_alone)
        assert choose_claims(tmp_path / "run") == "locks"
        assert names(tmp_path) == ["mountinfo"]

    def test_where_nothing_can_be_written(self, tmp_path: Path) -> None:
        assert choose_claims(Path("/proc/1/nothing/run")) in ("locks", "leases")

    def test_what_others_use_is_used(self, tmp_path: Path) -> None:
        path = tmp_path / "lock"
        assert settle_claims(path, "auto", tmp_path) == "locks"
        assert settle_claims(path, "leases", tmp_path) == "leases"
        assert names(tmp_path) == ["mountinfo"]
        lease = Lease(path)
        lease.share()
        assert settle_claims(path, "auto", tmp_path) == "leases"
        with pytest.raises(la.BadInput, match="written by another process with leases.*use --claims leases, or wait"):
            settle_claims(path, "locks", tmp_path)
        lease.release()
        held = Lock(path)
        held.share()
        (tmp_path / "mountinfo").write_text("1 1 0:1 / / rw - nfs x rw\n")
        assert settle_claims(path, "auto", tmp_path) == "locks"
        with pytest.raises(la.BadInput, match="written by another process with locks.*use --claims locks, or wait"):
            settle_claims(path, "leases", tmp_path)
        held.release()
        assert settle_claims(path, "auto", tmp_path) == "leases"

    def test_leases_of_the_lost_keep_nobody_from_locks(self, tmp_path: Path, short: None) -> None:
        killed_holder(tmp_path / "lock", "share")
        assert settle_claims(tmp_path / "lock", "auto", tmp_path) == "leases", "as long as nothing is known of it"
        assert settle_claims(tmp_path / "lock", "locks", tmp_path) == "locks", "after a while"
        assert not (tmp_path / ".leases").exists()

    def test_what_is_not_known_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(la.BadInput, match="claims 'both' are not known; expected auto, locks, leases"):
            settle_claims(tmp_path / "lock", "both", tmp_path)
