"""Stores that several processes write under leases: as under locks, but for those that are stopped and go on."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killed_at import kill_at
from nursery import Child, forked, result_of

import lossatlas as la
from lossatlas.locks import heartbeats
from lossatlas.schema import Quantity
from lossatlas.surveying import SurveyStore, executor, store
from lossatlas.surveying.executor import InProcess, complete
from lossatlas.surveying.store import read_survey
from lossatlas.surveying.tile_source import Claim

GRID = {"u": np.linspace(-1, 1, 50), "v": np.linspace(-1, 1, 34)}
"""Of twelve tiles."""
LOSS, ACCURACY = Quantity("loss", "loss", "nat"), Quantity("accuracy", "accuracy", "1")
SECONDS = 1.5
"""After which a lease has expired here."""
LONGEST = 60
"""Moments at files that a process lives for at most."""


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeats, "LEASE_SECONDS", SECONDS)


def opened(
    path: Path, claims: str = "leases", say: Callable[[str], None] = pytest.fail, add: bool = True
) -> SurveyStore:
    """A store that lacks the loss at all its points."""
    made = SurveyStore(path, GRID, {"chart": "a chart"}, say=say, claims=claims)
    if add:
        made.add("test", "streaming", {LOSS: None}, {})
    return made


def number(store: SurveyStore, claim: Claim) -> int:
    """Write what stands in for losses: the row times a hundred, plus the column."""
    u, v = np.indices(store.shape)
    values = (100.0 * u + v)[claim.tile][claim.missing]
    store.write("test", "streaming", claim.tile, claim.missing, {"loss": values})
    return len(values)


def finish(store: SurveyStore) -> None:
    complete([store.work("test", "streaming")], store.tiles, InProcess(), lambda claim: number(store, claim), print)


def claimed(store: SurveyStore) -> Claim:
    return next(store.tiles.claims(store.work("test", "streaming")))


def is_whole(path: Path) -> bool:
    """Whether a store that nobody has open has all that was wanted."""
    survey, (u, v) = read_survey(path), np.indices((50, 34))
    return np.array_equal(survey["test_loss"].values, 100 * u + v)


def leases_of(path: Path) -> list[Path]:
    """What there is of leases beside a store."""
    return [*path.with_name(f".{path.name}.locks").rglob("*")]


def wait_for(condition: Callable[[], bool], child: Child | None = None) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert child is None or child.process.is_alive(), child.errors
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


@contextmanager
def other(work: Callable[..., Any], path: Path, *arguments: Any) -> Any:
    """A process that has come to where it says so."""
    with Child(work, path, *arguments) as child:
        wait_for((path.parent / "said").exists, child)
        (path.parent / "said").unlink()
        yield child


def say_so(path: Path) -> None:
    (path.parent / "said").touch()


def stay(path: Path, claims: str = "leases", add: bool = True, tile: bool = False) -> None:
    """Have a store open, and perhaps a tile, until the process is killed."""
    heartbeats.LEASE_SECONDS = SECONDS
    with opened(path, claims, add=add) as store:
        held = claimed(store) if tile else None
        say_so(path)
        time.sleep(600)
        assert held is not None
        held.release()


def fill(path: Path, moments: int | None) -> None:
    heartbeats.LEASE_SECONDS = SECONDS
    executor.POLL = 0.05
    if moments is not None:
        kill_at(moments, path.parent)
    with opened(path, say=lambda _: None) as store:
        finish(store)


def fill_together(path: Path, processes: int, seed: int) -> int:
    """Fill a store by processes of which each is killed once; how many kills there were."""
    draw, killed = random.Random(seed), 0
    alive = {forked(fill, path, draw.randint(1, LONGEST)) for _ in range(processes)}
    while alive:
        pid, status = os.wait()
        alive.discard(pid)
        if os.WIFSIGNALED(status):
            killed += 1
            alive.add(forked(fill, path, None))
        elif status:
            for one in alive:
                os.kill(one, signal.SIGKILL)
            raise RuntimeError(f"a child failed with status {status}")
    return killed


class TestKilled:
    @pytest.mark.parametrize("seed", range(3))
    def test_processes_lose_nothing(self, seed: int, tmp_path: Path) -> None:
        assert result_of(fill_together, tmp_path / "s", 3, seed) > 1
        assert is_whole(tmp_path / "s")
        wait_for(lambda: not left_after_one_more(tmp_path / "s"))

    def test_head_does_not_keep_the_next_one_from_going_on(self, tmp_path: Path) -> None:
        with other(stay, tmp_path / "s", "leases", True, True):
            pass
        with opened(tmp_path / "s") as store:
            held = [*store.tiles.claims(store.work("test", "streaming"))]
            assert len(held) == 11, "what it held comes when it expires"
            for claim in held:
                claim.release()
            finish(store)
        assert is_whole(tmp_path / "s")


def left_after_one_more(path: Path) -> list[Path]:
    with opened(path) as store:
        store._is_alone(store._writers)  # type: ignore[arg-type]
    return leases_of(path)


def stop_with_a_tile(path: Path) -> None:
    heartbeats.LEASE_SECONDS = SECONDS
    with opened(path) as store, claimed(store) as claim:
        say_so(path)
        os.kill(os.getpid(), signal.SIGSTOP)
        number(store, claim)


class TestStopped:
    def test_process_writes_its_tile_a_second_time(self, tmp_path: Path) -> None:
        with other(stop_with_a_tile, tmp_path / "s") as child:
            with opened(tmp_path / "s") as store:
                finish(store)
            assert is_whole(tmp_path / "s")
            before = read_survey(tmp_path / "s")
            os.kill(child.process.pid, signal.SIGCONT)
            assert child.wait() == 0, child.errors
        assert read_survey(tmp_path / "s").identical(before)
        assert leases_of(tmp_path / "s") == []


def open_and_add(path: Path, metrics: tuple[Quantity, ...] = (LOSS,)) -> list[str]:
    heartbeats.LEASE_SECONDS = SECONDS
    lines: list[str] = []
    with opened(path, say=lines.append, add=False) as store:
        say_so(path)
        store.add("test", "streaming", dict.fromkeys(metrics), {})
    return lines


class TestStarter:
    def test_alone_makes_arrays_and_others_wait_for_them(self, tmp_path: Path) -> None:
        with opened(tmp_path / "s", add=False) as store, other(open_and_add, tmp_path / "s") as child:
            time.sleep(2 * SECONDS)
            assert child.process.is_alive(), "it waits as long as this one lives"
            assert not (tmp_path / "s" / "test_loss").exists()
            store.add("test", "streaming", {LOSS: None}, {})
            assert child.wait() == 0, child.errors
            (line,) = child.result
            assert line.startswith(f"waiting for process {os.getpid()} on ")
            assert line.endswith(f"which makes the arrays of {tmp_path}/s, to make test streaming")

    def test_that_is_killed_is_followed_by_one_that_waited(self, tmp_path: Path) -> None:
        with other(stay, tmp_path / "s", "leases", False) as starter, other(open_and_add, tmp_path / "s") as child:
            starter.process.kill()
            assert child.wait() == 0, child.errors
            assert len(child.result) == 1
        with opened(tmp_path / "s") as store:
            finish(store)
        assert is_whole(tmp_path / "s")

    def test_that_ends_is_followed_by_one_that_waited(self, tmp_path: Path) -> None:
        store = opened(tmp_path / "s", add=False)
        with other(open_and_add, tmp_path / "s") as child:
            store.close()
            assert child.wait() == 0, child.errors
        assert leases_of(tmp_path / "s") == []

    def test_that_makes_something_else_is_not_waited_for_without_end(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store, "PATIENCE", 0.2)
        lines: list[str] = []
        with other(stay, tmp_path / "s"), opened(tmp_path / "s", say=lines.append) as joined:
            with pytest.raises(
                la.BadInput, match=r"process \d+ on .* has not made train streaming there; under leases"
            ):
                joined.add("train", "streaming", {LOSS: None}, {})
            with pytest.raises(la.BadInput, match="another process writes to .*; add metrics when it has finished"):
                joined.add("test", "streaming", {LOSS: None, ACCURACY: None}, {})
            finish(joined)
        assert len(lines) == 1

    def test_alone_mends(self, tmp_path: Path) -> None:
        with opened(tmp_path / "s") as store:
            finish(store)
        lines: list[str] = []
        with other(stay, tmp_path / "s"):
            (tmp_path / "s/test_loss/c/0/1").write_bytes(b"not a chunk")
            opened(tmp_path / "s").close()
            assert (tmp_path / "s/test_loss/c/0/1").exists()
        with opened(tmp_path / "s", say=lines.append, add=False) as store:
            assert store._is_alone(store._writers)  # type: ignore[arg-type]
        with opened(tmp_path / "s", say=lines.append) as store:
            finish(store)
        assert len(lines) == 1
        assert is_whole(tmp_path / "s")

    def test_alone_adds_points_when_no_other_works(self, tmp_path: Path) -> None:
        finer = {axis: np.linspace(-1, 1, 2 * len(coords) - 1) for axis, coords in GRID.items()}
        with opened(tmp_path / "s") as store:
            finish(store)
        with other(stay, tmp_path / "s") as child:
            with pytest.raises(la.BadInput, match="another process writes to .*; add points when it has finished"):
                SurveyStore(tmp_path / "s", finer, {"chart": "a chart"}, claims="leases")
            child.process.kill()
            with SurveyStore(tmp_path / "s", finer, {"chart": "a chart"}, claims="leases") as store:
                assert store.shape == (99, 67)
                assert int(store.done("test", "streaming").sum()) == 50 * 34
        assert leases_of(tmp_path / "s") == []


class TestKinds:
    @pytest.mark.parametrize("kind", ["locks", "leases"])
    def test_are_not_mixed(self, kind: str, tmp_path: Path) -> None:
        wrong = "leases" if kind == "locks" else "locks"
        with other(stay, tmp_path / "s", kind) as child:
            with pytest.raises(la.BadInput, match=f"s is being written by another process with {kind}") as caught:
                opened(tmp_path / "s", wrong)
            assert "\n" not in str(caught.value)
            with opened(tmp_path / "s", "auto"):
                shared = list((tmp_path / ".s.locks").rglob("writers.shared-*"))
                assert len(shared) == {"locks": 0, "leases": 2}[kind]
            child.process.kill()
            child.wait()
            with opened(tmp_path / "s", wrong) as store:
                finish(store)
        assert is_whole(tmp_path / "s")

    def test_that_were_settled_at_the_same_moment_are_noticed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settle, late = store.StoreLocks.settle, list[SurveyStore]()

        def settled(self: store.StoreLocks, claims: str) -> None:
            settle(self, claims)
            if claims == "leases":
                late.append(opened(tmp_path / "s", "locks"))

        monkeypatch.setattr(store.StoreLocks, "settle", settled)
        with pytest.raises(la.BadInput, match="is being written by another process with locks"):
            opened(tmp_path / "s", "leases")
        late[0].close()
        assert not (tmp_path / ".s.locks" / ".leases").exists()

    def test_leave_nothing(self, tmp_path: Path) -> None:
        with opened(tmp_path / "s") as store:
            finish(store)
            assert leases_of(tmp_path / "s")
        assert leases_of(tmp_path / "s") == []
        assert is_whole(tmp_path / "s")


@pytest.mark.parametrize("claims", ["locks", "leases"])
class TestLosses:
    def test_count_processes_that_were_killed_beside_others(self, claims: str, tmp_path: Path) -> None:
        with opened(tmp_path / "s", claims) as store:
            with other(stay, tmp_path / "s", claims, True, True):
                pass
            held: list[Claim] = []
            wait_for(lambda: held.extend(store.tiles.claims(store.work("test", "streaming"))) or len(held) == 12)
            assert sorted(claim.losses for claim in held) == [0] * 11 + [1]
            for claim in held:
                claim.release()
            assert {claim.losses for claim in store.tiles.claims(store.work("test", "streaming"))} == {0}

    def test_do_not_count_a_head_that_is_killed_again_and_again(self, claims: str, tmp_path: Path) -> None:
        for _ in range(4):
            with other(stay, tmp_path / "s", claims, True, True):
                pass
        assert result_of(claim_all, tmp_path / "s", claims) == {0}


def claim_all(path: Path, claims: str) -> set[int]:
    """The losses of all tiles."""
    heartbeats.LEASE_SECONDS = SECONDS
    held: list[Claim] = []
    with opened(path, claims) as store:
        wait_for(lambda: held.extend(store.tiles.claims(store.work("test", "streaming"))) or len(held) == 12)
        for claim in held:
            claim.release()
    return {claim.losses for claim in held}


@pytest.mark.parametrize("begin", [0.0, 0.1, 0.5, 0.99])
def test_who_begins_elsewhere_comes_to_all_tiles(begin: float) -> None:
    grid = {"u": np.linspace(-1, 1, 16 * 68), "v": np.linspace(-1, 1, 16 * 30)}  # in two parts
    store = SurveyStore(None, grid, {})
    store.add("test", "streaming", {LOSS: None}, {})
    work = store.work("test", "streaming")
    usual, found = [*work.tiles()], [*work.tiles(begin)]
    assert len(found) == 68 * 30
    assert {str(tile) for tile in found} == {str(tile) for tile in usual}
    first = usual.index(found[0]) / len(usual)
    assert abs(first - begin) < 0.01
