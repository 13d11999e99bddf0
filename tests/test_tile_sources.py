"""Who hands out the tiles of a survey, and who has them evaluated: sources and executors of one's own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from networks import make, plane
from nursery import Child

import lossatlas as la
from lossatlas.engine import Engine
from lossatlas.engine.setup import engine_for
from lossatlas.errors import CannotFinish
from lossatlas.machine import name_machine
from lossatlas.metrics import choose_metrics
from lossatlas.schema import Quantity
from lossatlas.surveying import Refinement, Surveyor, SurveyStore, executor
from lossatlas.surveying.arrays import Tile
from lossatlas.surveying.executor import Executor, InProcess, complete
from lossatlas.surveying.tile_source import Claim, Held, TileSource, Work
from lossatlas.surveying.tile_sources.alone import Alone

GRID = {"u": np.linspace(-1, 1, 20), "v": np.linspace(-1, 1, 18)}
"""Of four tiles."""
LOSS = Quantity("loss", "loss", "nat")


class Backwards(Alone):
    """Hands out the last tile first, and keeps which it did."""

    def __init__(self) -> None:
        self.given: list[tuple[int, ...]] = []

    def claims(self, work: Work) -> Iterator[Claim]:
        for claim in reversed(list(super().claims(work))):
            self.given.append(corner(claim.tile))
            yield claim


class Leases(TileSource):
    """What several threads share; a lease runs out when tiles have been requested so many times since it was given."""

    def __init__(self, length: float = np.inf) -> None:
        self._length = length
        self._now = 0
        self._ends: dict[tuple[str, tuple[int, ...]], float] = {}
        self._lock = threading.Lock()

    def hold(self, marks: str, tile: Tile) -> Held | None:
        key = marks, corner(tile)
        with self._lock:
            self._now += 1
            if self._ends.get(key, 0) > self._now:
                return None
            self._ends[key] = self._now + self._length
        return Held(lambda: self._release(key))

    def _release(self, key: tuple[str, tuple[int, ...]]) -> None:
        with self._lock:
            self._ends.pop(key, None)


class Several(Executor):
    """Holds several claims at once, and evaluates the last of them first."""

    def __init__(self, count: int) -> None:
        self._count = count

    def run(self, evaluate: Callable[[Claim], int], claims: Iterator[Claim]) -> Generator[int, None, None]:
        while True:
            with ExitStack() as held:
                taken = [held.enter_context(claim) for claim in islice(claims, self._count)]
                for claim in reversed(taken):
                    with claim:
                        count = evaluate(claim)
                    yield count
            if not taken:
                return


class InThreads(Executor):
    """Evaluates as many claims at once as it has threads."""

    def __init__(self, count: int) -> None:
        self._count = count

    def run(self, evaluate: Callable[[Claim], int], claims: Iterator[Claim]) -> Generator[int, None, None]:
        def one(claim: Claim) -> int:
            with claim:
                return evaluate(claim)

        with ThreadPoolExecutor(self._count) as pool:
            yield from pool.map(one, claims)


def corner(tile: Tile) -> tuple[int, ...]:
    return tuple(side.start for side in tile)


def opened(path: Path | None, tiles: TileSource | None = None, say: Callable[[str], None] = pytest.fail) -> SurveyStore:
    """A store that lacks the loss at all its points."""
    store = SurveyStore(path, GRID, {"chart": "a chart"}, say=say, tiles=tiles)
    store.add("test", "streaming", {LOSS: None}, {})
    store.tiles.begin = 0.0  # also where others have opened it before
    return store


def number(store: SurveyStore, claim: Claim) -> int:
    """Write what stands in for losses: the row times a hundred, plus the column."""
    u, v = np.indices(store.shape)
    values = (100.0 * u + v)[claim.tile][claim.missing]
    store.write("test", "streaming", claim.tile, claim.missing, {"loss": values})
    return len(values)


def finish(store: SurveyStore, on_points: Callable[[int], None] = lambda _: None) -> None:
    complete([store.work("test", "streaming")], store.tiles, InProcess(), lambda claim: number(store, claim), on_points)


def is_whole(store: SurveyStore) -> bool:
    u, v = np.indices(store.shape)
    return np.array_equal(store.values("test_loss"), 100 * u + v) and bool(store.done("test", "streaming").all())


def free(store: SurveyStore) -> int:
    """The number of the four tiles that no process holds."""
    corners = [(slice(u, u + 16), slice(v, v + 16)) for u in (0, 16) for v in (0, 16)]
    releases = [store.tiles.hold("done/test_streaming", tile) for tile in corners]
    for held in releases:
        if held is not None:
            held.release()
    return sum(held is not None for held in releases)


def surveyor() -> Surveyor:
    problem, split = make("mlp")
    chart = plane(problem, scale=3.0)
    engine = engine_for(problem, chart, split, plan="loop", steps=False)
    return Surveyor(engine, chart, {"train": split, "test": split}, choose_metrics(problem.loss, None), 1000)


def filled(tiles: TileSource | None = None, executor: Executor | None = None) -> xr.Dataset:
    store = SurveyStore(None, GRID, {}, tiles=tiles)
    surveyor().fill(store, executor)
    return store.open().load()


@pytest.fixture(scope="module")
def usual() -> xr.Dataset:
    """What the store's own source and the process itself find."""
    return filled()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for others looks again at once."""
    monkeypatch.setattr(executor, "POLL", 0.0)
    monkeypatch.setattr(executor, "PATIENCE", 0.0)


class TestSources:
    def test_another_order_finds_the_same(self, usual: xr.Dataset) -> None:
        tiles = Backwards()
        assert filled(tiles).identical(usual)
        assert tiles.given == [(16, 16), (16, 0), (0, 16), (0, 0)] * 2, "once for each split"

    def test_two_surveyors_share_one_without_doing_anything_twice(self, usual: xr.Dataset, hurried: None) -> None:
        store, both = SurveyStore(None, GRID, {}, tiles=Leases()), threading.Barrier(2)
        done: dict[str, int] = {"one": 0, "other": 0}

        def fill(name: str, one: Surveyor) -> None:
            def on_points(count: int) -> None:
                if count and not done[name]:
                    both.wait(60)  # until the other one has a tile, too
                done[name] += count

            one.fill(store, on_points=on_points)

        surveyors = {name: surveyor() for name in done}
        threads = [threading.Thread(target=fill, args=pair) for pair in surveyors.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(done.values()) == 2 * 20 * 18
        assert min(done.values()) > 0
        assert store.open().load().identical(usual)

    def test_a_holder_of_claims_does_not_wait_for_tiles(self, tmp_path: Path) -> None:
        """Two that hold two of four tiles each, and want three, would wait for ever."""
        with opened(tmp_path / "s") as one, opened(tmp_path / "s") as other:
            passes = [store.tiles.claims(store.work("test", "streaming")) for store in (one, other)]
            held = [next(claims) for _ in range(2) for claims in passes]
            assert len({corner(claim.tile) for claim in held}) == 4
            assert [next(claims, None) for claims in passes] == [None, None]
            for claim in held:
                claim.release()

    def test_what_others_hold_is_waited_for_and_reported(self, tmp_path: Path, hurried: None) -> None:
        with opened(tmp_path / "s") as one, opened(tmp_path / "s") as other:
            claim = next(other.tiles.claims(other.work("test", "streaming")))
            told: list[int] = []

            def on_points(count: int) -> None:
                told.append(count)
                if told[-3:] == [0, 0, 0]:
                    number(other, claim)
                    claim.release()

            finish(one, on_points)
            assert told[:3] == [16 * 2, 4 * 16, 4 * 2], "the tile that was held comes last"
            assert set(told[3:]) == {0}, "the other one did it"
            assert is_whole(one)

    def test_what_somebody_else_has_done_in_the_meantime_is_not_handed_out(self, tmp_path: Path) -> None:
        with opened(tmp_path / "s") as one, opened(tmp_path / "s") as other:
            claims = one.tiles.claims(one.work("test", "streaming"))
            first = next(claims)
            finished = Several(3).run(
                lambda claim: number(other, claim), other.tiles.claims(other.work("test", "streaming"))
            )
            assert sum(finished) == 20 * 18 - 16 * 16
            assert next(claims, None) is None
            assert free(other) == 3, "what was looked at is released"
            first.release()
            assert free(other) == 4


class TestScattering:
    """Those that join others begin at places of their own."""

    def test_who_is_alone_begins_at_the_first_tile(self, tmp_path: Path) -> None:
        with SurveyStore(tmp_path / "s", GRID, {}) as one, SurveyStore(tmp_path / "s", GRID, {}) as other:
            assert (one.tiles.begin, other.tiles.begin > 0) == (0.0, True)
        with SurveyStore(tmp_path / "s", GRID, {}) as again:
            assert again.tiles.begin == 0.0

    @pytest.mark.parametrize("begin", [1e-9, 0.3, 0.5, 0.99])
    def test_all_tiles_are_done_wherever_one_begins(self, begin: float, tmp_path: Path) -> None:
        store = opened(None)
        store.tiles.begin = begin
        finish(store)
        assert is_whole(store)

    def test_what_others_have_done_is_not_asked_for(self, tmp_path: Path) -> None:
        asked: list[tuple[int, ...]] = []

        class Asked(Alone):
            def hold(self, marks: str, tile: Tile) -> Held:
                asked.append(corner(tile))
                return super().hold(marks, tile)

        store = opened(None, Asked())
        store.tiles.begin = 1e-9
        claims = store.tiles.claims(store.work("test", "streaming"))
        next(claims)
        finish(store)
        asked.clear()
        assert next(claims, None) is None
        assert not asked


class TestGuards:
    """What is done to a store that has its tiles from elsewhere, besides filling it."""

    def test_tiles_are_mended_unless_somebody_has_them(self, tmp_path: Path) -> None:
        path, tiles, lines = tmp_path / "s", Leases(), list[str]()
        with opened(path, tiles) as store:
            finish(store)
        held = tiles.hold("done/test_streaming", (slice(0, 16), slice(0, 16)))
        assert held is not None
        for chunk in ("c/0/0", "c/0/1"):
            (path / "test_loss" / chunk).write_bytes(b"not a chunk")
        with opened(path, tiles, lines.append) as store:
            assert int((~store.done("test", "streaming")).sum()) == 16 * 2, "the tile that was not held"
        assert len(lines) == 1
        assert "at u 0 to 15, v 16 to 17" in lines[0]
        held.release()
        with opened(path, tiles, lines.append) as store:
            assert int((~store.done("test", "streaming")).sum()) == 16 * 18
            finish(store)
            assert is_whole(store)
        assert len(lines) == 2

    def test_a_grid_does_not_change_under_somebody_who_has_a_tile(self, tmp_path: Path) -> None:
        """Not though nothing is known of him here, where he has the store open."""
        tiles, finer = Leases(), {axis: np.linspace(-1, 1, 2 * len(coords) - 1) for axis, coords in GRID.items()}
        with opened(tmp_path / "s", tiles) as store:
            claim = next(tiles.claims(store.work("test", "streaming")))
        with pytest.raises(la.BadInput, match="another process writes to .*; add points when it has finished"):
            SurveyStore(tmp_path / "s", finer, {"chart": "a chart"}, tiles=tiles)
        claim.release()
        with SurveyStore(tmp_path / "s", finer, {"chart": "a chart"}, tiles=tiles) as store:
            assert store.shape == (39, 35)
            assert store.tiles is tiles


class TestExecutors:
    @pytest.mark.parametrize("count", [1, 3, 100])
    def test_several_tiles_at_once_give_the_same(self, count: int, usual: xr.Dataset) -> None:
        assert filled(executor=Several(count)).identical(usual)

    def test_an_engine_serves_one_thread_at_a_time(self, usual: xr.Dataset) -> None:
        one, store = surveyor(), SurveyStore(None, GRID, {})
        with one.engine.network.in_force(), pytest.raises(la.BadInput, match="called by two threads at once") as caught:
            one.fill(store, executor=InThreads(1))
        assert "\n" not in str(caught.value)
        assert not store.done("train", "streaming").any()
        one.fill(store, executor=InThreads(1))
        assert store.open().load().identical(usual), "in another thread, but alone, and the engine is as it was"

    def test_threads_that_share_an_engine_find_the_same_or_are_refused(self, usual: xr.Dataset) -> None:
        one, store = surveyor(), SurveyStore(None, GRID, {})
        with suppress(la.BadInput):
            one.fill(store, executor=InThreads(4))
        one.fill(store)
        assert store.open().load().identical(usual)

    def test_refinement_goes_through_both(self) -> None:
        axes = {axis: np.linspace(-1, 1, 33) for axis in "uv"}
        expected, store = (SurveyStore(None, axes, {}, tiles=tiles) for tiles in (None, Backwards()))
        refinement = Refinement(tuple(axes.values()), budget=400)
        surveyor().fill(expected, refinement=refinement)
        surveyor().fill(store, Several(3), refinement=refinement)
        found = store.open().load()
        assert found.identical(expected.open().load())
        assert 289 < int(found["measured"].sum()) <= 400

    def test_claims_are_held_together(self, tmp_path: Path) -> None:
        with opened(tmp_path / "s") as one, opened(tmp_path / "s") as other:
            seen: list[int] = []

            def evaluate(claim: Claim) -> int:
                seen.append(free(other))
                return number(one, claim)

            complete([one.work("test", "streaming")], one.tiles, Several(3), evaluate, lambda _: None)
            assert seen == [1, 2, 3, 3], "three were held, then two, one, and the one that was left"
            assert is_whole(one)

    @pytest.mark.parametrize("where", ["evaluation", "listener"])
    def test_an_interrupt_leaves_nothing_held(self, where: str, tmp_path: Path) -> None:
        def stop(*_: object) -> int:
            raise KeyboardInterrupt

        with opened(tmp_path / "s") as one, opened(tmp_path / "s") as other:
            evaluate = stop if where == "evaluation" else lambda claim: number(one, claim)
            with pytest.raises(KeyboardInterrupt) as caught:
                complete([one.work("test", "streaming")], one.tiles, Several(3), evaluate, stop)
            assert free(other) == 4
            assert caught.tb is not None, "which keeps alive whatever was held by reference alone"
            assert int(one.done("test", "streaming").sum()) == (0 if where == "evaluation" else 4 * 16)

    def test_what_an_executor_gives_back_undone_comes_again(self, hurried: None) -> None:
        lost: list[Claim] = []

        class Losing(InProcess):
            def run(self, evaluate: Callable[[Claim], int], claims: Iterator[Claim]) -> Generator[int, None, None]:
                if not lost:  # as a worker that dies with its tile
                    lost.append(next(claims))
                    lost[0].release()
                yield from super().run(evaluate, claims)

        store, counts = opened(None), list[int]()
        complete(
            [store.work("test", "streaming")], Leases(), Losing(), lambda claim: number(store, claim), counts.append
        )
        assert is_whole(store)
        assert [count for count in counts if count] == [16 * 2, 4 * 16, 4 * 2, 16 * 16]


def hold_a_tile(path: Path) -> None:
    """Claim the first tile, and never come back."""
    store = opened(path)
    claim = next(store.tiles.claims(store.work("test", "streaming")))
    (path.parent / "held").touch()
    time.sleep(600)
    claim.release()


class TestAbandoned:
    def test_by_a_process_that_was_killed(self, tmp_path: Path, hurried: None) -> None:
        opened(tmp_path / "s").close()
        with Child(hold_a_tile, tmp_path / "s") as child, opened(tmp_path / "s") as store:
            while not (tmp_path / "held").exists():
                assert child.process.is_alive(), child.errors
                time.sleep(0.01)
            told: list[int] = []

            def on_points(count: int) -> None:
                told.append(count)
                if count == 0:
                    child.process.kill()

            finish(store, on_points)
            assert 0 in told, "the tile was held"
            assert told[-1] == 16 * 16
            assert is_whole(store)

    def test_by_one_whose_lease_ran_out(self, hurried: None) -> None:
        store, told = opened(None, Leases(length=10)), list[int]()
        lost = next(store.tiles.claims(store.work("test", "streaming")))
        finish(store, told.append)
        assert corner(lost.tile) == (0, 0)
        assert [count for count in told if count] == [16 * 2, 4 * 16, 4 * 2, 16 * 16]
        assert 0 in told
        assert is_whole(store)

    def test_in_a_process_that_works_alone(self) -> None:
        store = opened(None)
        next(store.tiles.claims(store.work("test", "streaming")))
        told: list[int] = []
        finish(store, told.append)
        assert told == [16 * 16, 16 * 2, 4 * 16, 4 * 2]
        assert is_whole(store)


class TestGivenUp:
    """A tile over which one process after the other is lost."""

    def test_is_left_and_named_while_the_others_are_done(self) -> None:
        class Deadly(Alone):
            def claims(self, work: Work) -> Iterator[Claim]:
                for claim in super().claims(work):
                    yield replace(claim, held=Held(losses=4 if corner(claim.tile) == (16, 0) else 3))

        store = opened(None, Deadly())
        work, told = store.work("test", "streaming"), list[int]()
        complete([work], store.tiles, InProcess(), lambda claim: number(store, claim), told.append)
        assert told == [16 * 16, 16 * 2, 4 * 2]
        assert work.is_done
        assert not store.done("test", "streaming")[16:, :16].any()
        assert store.done("test", "streaming").sum() == 20 * 18 - 4 * 16
        ((tile, reason),) = work.list_given_up()
        assert work.tell(tile) == "test_streaming at u 0.6842 to 1, v -1 to 0.7647"
        assert "4 processes were lost" in reason

    def test_ends_a_survey_when_the_rest_is_done(self, usual: xr.Dataset) -> None:
        class Deadly(Alone):
            def claims(self, work: Work) -> Iterator[Claim]:
                for claim in super().claims(work):
                    deadly = work.marks == "done/train_streaming" and corner(claim.tile) == (0, 16)
                    yield replace(claim, held=Held(losses=4 if deadly else 0))

        store = SurveyStore(None, GRID, {}, tiles=Deadly())
        with pytest.raises(CannotFinish, match=r"1 tile of the survey .* train_streaming at u .* the others are"):
            surveyor().fill(store)
        found = store.open().load()
        assert found["test_loss"].identical(usual["test_loss"])
        assert found["train_loss"][:, :16].identical(usual["train_loss"][:, :16])
        assert np.isnan(found["train_loss"][:16, 16:]).all()


class TestOverwriting:
    """A process that was stopped for long, and goes on when another one has its tile."""

    def test_what_it_overwrites_is_not_marked_any_more(self) -> None:
        store, tile = opened(None), (slice(0, 16), slice(0, 16))
        first, second = np.zeros((2, 16, 16), dtype=bool)
        first[0, 0], second[5, 5] = True, True
        known = store.done("test", "streaming", tile)
        store.write("test", "streaming", tile, first | second, {"loss": np.array([1.0, 2.0])})  # by the other one
        store.write("test", "streaming", tile, first, {"loss": np.array([1.0])}, known=known)
        assert (store.done("test", "streaming", tile) == first).all()
        finish(store)
        assert store.done("test", "streaming").all()


class TestDevices:
    """All values of a tile come from one kind of device."""

    def test_are_recorded_for_each_tile(self) -> None:
        store = SurveyStore(None, GRID, {})
        surveyor().fill(store)
        assert store.find_devices("train", "streaming") == {name_machine("cpu")}
        assert store.find_devices("test", "streaming", (slice(0, 16), slice(0, 16)))
        assert store.find_devices("test", "other") == set()

    def test_a_tile_that_another_kind_began_is_evaluated_whole(self, usual: xr.Dataset) -> None:
        def stop(_: int) -> None:
            raise KeyboardInterrupt

        store, one, here = SurveyStore(None, GRID, {}), surveyor(), name_machine("cpu")
        with pytest.raises(KeyboardInterrupt):
            one.fill(store, on_points=stop)  # after the first tile
        tile, some = (slice(16, 20), slice(0, 16)), np.zeros((4, 16), dtype=bool)
        some[:2, :5] = True
        strange = {"loss": np.full(10, 7.0), "accuracy": np.full(10, 7.0)}
        store.write("train", "streaming", tile, some, strange, "another card")
        store.write("test", "streaming", tile, some, strange, here)
        one.fill(store)
        found = store.open().load()
        assert found["train_loss"].identical(usual["train_loss"]), "no value of the other card is left"
        assert (found["test_loss"].values[tile][some] == 7).all(), "what its own kind has found is not found again"
        assert found["test_loss"].values[tile][~some] == pytest.approx(usual["test_loss"].values[tile][~some])
        assert store.find_devices("train", "streaming") == {here}


class TestMemory:
    """A device that has less memory than the plan was measured with."""

    @pytest.mark.parametrize("metric", ["loss", "gradient_norm"])
    def test_a_chunk_that_does_not_fit_is_halved_and_said(self, metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
        problem, split = make("mlp")
        chart = plane(problem, scale=3.0)
        found = {}
        for most in (256, 3):
            engine = engine_for(problem, chart, split, plan="loop", steps=False)
            taken, combine = list[int](), engine.network.space.combine

            def limited(
                coefficients: torch.Tensor, controls: torch.Tensor, most: int = most, taken: list[int] = taken,
                combine: Callable[..., Any] = combine,
            ) -> Any:  # fmt: skip
                if len(coefficients) > most:
                    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
                taken.append(len(coefficients))
                return combine(coefficients, controls)

            monkeypatch.setattr(type(engine.network.space), "combine", lambda _, *given: limited(*given))
            plan = replace(
                engine.plan,
                evaluate=replace(engine.plan.evaluate, points=8),
                derivatives=replace(engine.plan.derivatives, points=8),
            )
            one = Surveyor(
                Engine(engine.network, plan), chart, {"test": split}, choose_metrics(problem.loss, [metric]), 1000
            )
            store = SurveyStore(None, GRID, {})
            with nullcontext() if most == 256 else pytest.warns(la.Caution, match="does not hold") as told:
                one.fill(store)
            if told is not None:
                (line,) = [str(each.message) for each in told]
                assert "does not hold 8 points at a time" in line
                assert "from now on 2 points there" in line
                assert max(taken) == 2
            monkeypatch.undo()
            found[most] = store.open().load()[f"test_{metric}"]
        np.testing.assert_allclose(found[3], found[256], rtol=1e-6)

    def test_one_point_that_does_not_fit_ends_the_survey(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: object) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory")

        one = surveyor()
        monkeypatch.setattr(type(one.engine.network.space), "combine", full)
        with pytest.raises(torch.OutOfMemoryError):
            one.fill(SurveyStore(None, GRID, {}))
