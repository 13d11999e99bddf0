"""Tasks of the page: their order, what takes whose place, how they stop, fail and are forgotten."""

from __future__ import annotations

import gc
import re
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lossatlas.errors import BadInput, CannotFinish, Caution, note_cautions
from lossatlas.explorer.queue import Handle, Stopped, TaskQueue

SOON = 10.0
"""Seconds after which something that was to come does not."""


@pytest.fixture
def queue() -> Iterator[TaskQueue]:
    with TaskQueue() as made:
        yield made
    assert made.close(), "a second time it does nothing"


class Gate:
    """A task that runs until it is opened, and says when it has begun."""

    def __init__(self, inner: Callable[[Handle], Any] = lambda _: None) -> None:
        self.begun, self.opened = threading.Event(), threading.Event()
        self._inner = inner

    def __call__(self, handle: Handle) -> str:
        self.begun.set()
        while not self.opened.wait(0.002):
            self._inner(handle)
        return "opened"

    def submit(self, queue: TaskQueue, window: str = "w", kind: str = "gate", **how: bool) -> str:
        ticket = queue.submit(window, kind, "a gate", self, **how)
        assert self.begun.wait(SOON)
        return ticket


def report(handle: Handle) -> None:
    handle.report()


def breathe(handle: Handle) -> None:
    handle.breathe()


def test_results_come_back_from_one_thread_that_is_not_this_one(queue: TaskQueue) -> None:
    tickets = [queue.submit(f"w{i}", "k", "a number", lambda _, i=i: (i, threading.get_ident())) for i in range(20)]  # type: ignore[misc]
    states = [queue.wait(ticket, SOON) for ticket in tickets]
    assert [state.result[0] for state in states] == [*range(20)]
    (thread,) = {state.result[1] for state in states}
    assert thread != threading.get_ident()
    assert {(state.stage, state.ended, state.error, state.place) for state in states} == {("done", True, "", 0)}
    assert len(set(tickets)) == 20
    assert min(map(len, tickets)) >= 20, "long enough that nobody guesses one"


def test_one_runs_and_the_others_know_their_places(queue: TaskQueue) -> None:
    gate, order = Gate(), []
    first = gate.submit(queue)
    waiting = [queue.submit("w", f"k{i}", f"{i}", lambda _, i=i: order.append(i)) for i in range(3)]  # type: ignore[misc]
    short = queue.submit("w", "short", "short", lambda _: order.append("short"), short=True)
    assert queue.look(first).stage == "running"
    assert [queue.look(ticket).place for ticket in (first, short, *waiting)] == [0, 1, 2, 3, 4]
    assert queue.look(waiting[1]).stage == "waiting"
    assert queue.wait(waiting[1], 0.01).stage == "waiting"
    queue.stop(waiting[0])
    assert queue.look(waiting[0]).stage == "stopped"
    assert queue.look(waiting[2]).place == 3
    gate.opened.set()
    queue.wait(waiting[2], SOON)
    assert order == ["short", 1, 2]


def test_a_task_says_how_far_it_is(queue: TaskQueue) -> None:
    told, go = threading.Event(), threading.Event()

    def work(handle: Handle) -> None:
        handle.report(3, 12, "tiles")
        told.set()
        go.wait(SOON)

    ticket = queue.submit("w", "k", "a region", work)
    assert told.wait(SOON)
    state = queue.look(ticket)
    assert (state.stage, state.share, state.words, state.label) == ("running", 0.25, "tiles", "a region")
    go.set()
    assert queue.wait(ticket, SOON).stage == "done"
    assert queue.look("unheard of").stage == "forgotten"
    assert queue.look("unheard of").share is None


class TestSuperseding:
    """Of one kind a window wants the newest alone."""

    def test_of_those_that_wait_the_newest_is_left(self, queue: TaskQueue) -> None:
        gate, ran = Gate(), []
        gate.submit(queue)
        tickets = [queue.submit("w", "point", f"{i}", lambda _, i=i: ran.append(i)) for i in range(5)]  # type: ignore[misc]
        other = queue.submit("v", "point", "another window's", lambda _: ran.append("v"))
        kind = queue.submit("w", "region", "another kind", lambda _: ran.append("region"))
        assert [queue.look(ticket).stage for ticket in tickets] == ["superseded"] * 4 + ["waiting"]
        gate.opened.set()
        assert {queue.wait(ticket, SOON).stage for ticket in (other, kind, tickets[-1])} == {"done"}
        assert ran == [4, "v", "region"]

    def test_one_that_runs_stops_if_it_is_replaceable(self, queue: TaskQueue) -> None:
        first = Gate(report).submit(queue, kind="walk", replaceable=True)
        second = queue.submit("w", "walk", "the next", lambda _: "there", replaceable=True)
        assert queue.wait(second, SOON).result == "there"
        assert queue.look(first).stage == "superseded"

    def test_one_that_runs_goes_on_if_it_is_not(self, queue: TaskQueue) -> None:
        gate, after = Gate(report), Gate(report)
        first = gate.submit(queue, kind="walk")
        second = queue.submit("w", "walk", "the next", after)
        third = queue.submit("v", "walk", "another window's", lambda _: "there", replaceable=True)
        gate.opened.set()
        assert queue.wait(first, SOON).result == "opened"
        after.opened.set()
        assert [queue.wait(ticket, SOON).stage for ticket in (second, third)] == ["done"] * 2

    def test_what_ends_all_the_same_is_done(self, queue: TaskQueue) -> None:
        gate = Gate()  # which never asks
        first = gate.submit(queue, replaceable=True)
        queue.submit("w", "gate", "the next", Gate(report))
        gate.opened.set()
        assert queue.wait(first, SOON).result == "opened"


class TestStopping:
    """Between the parts of a task."""

    @pytest.mark.parametrize("between", [report, breathe])
    def test_one_that_runs_stops_where_it_says_something(
        self, between: Callable[[Handle], None], queue: TaskQueue
    ) -> None:
        ticket = Gate(between).submit(queue)
        queue.stop(ticket)
        assert queue.wait(ticket, SOON).stage == "stopped"
        assert queue.wait(queue.submit("w", "k", "next", lambda _: 1), SOON).result == 1

    def test_loops_of_others_ask_for_themselves(self, queue: TaskQueue) -> None:
        begun = threading.Event()

        def work(handle: Handle) -> None:
            begun.set()
            while not handle.is_asked_to_stop():
                time.sleep(0.001)
            raise Stopped

        ticket = queue.submit("w", "k", "a loop", work)
        assert begun.wait(SOON)
        queue.stop(ticket)
        assert queue.wait(ticket, SOON).stage == "stopped"
        queue.stop(ticket)
        assert queue.look(ticket).stage == "stopped"

    def test_a_queue_that_is_closed_stops_all_and_takes_nothing(self) -> None:
        queue = TaskQueue()
        running = Gate(report).submit(queue)
        waiting = queue.submit("w", "k", "next", lambda _: None)
        assert queue.close(SOON)
        assert [queue.look(ticket).stage for ticket in (running, waiting)] == ["stopped"] * 2
        with pytest.raises(BadInput, match="ending"):
            queue.submit("w", "k", "late", lambda _: None)

    def test_what_does_not_stop_is_waited_for_no_longer_than_asked(self) -> None:
        queue, gate = TaskQueue(), Gate()
        ticket = gate.submit(queue)
        assert not queue.close(0.02)
        gate.opened.set()
        assert queue.close(SOON)
        assert queue.look(ticket).stage == "done"


class TestBreathing:
    """Short tasks within a long one, in the same thread."""

    def test_short_ones_run_meanwhile_and_long_ones_wait(self, queue: TaskQueue) -> None:
        long = Gate(breathe)
        first = long.submit(queue, kind="region")
        other = queue.submit("w", "long", "another long one", lambda _: threading.get_ident())
        threads = set()
        for i in range(5):
            short = queue.submit("w", "point", f"{i}", lambda _: threading.get_ident(), short=True)
            threads.add(queue.wait(short, SOON).result)
        assert queue.look(first).stage == "running"
        assert queue.look(other).stage == "waiting"
        long.opened.set()
        threads.add(queue.wait(other, SOON).result)
        assert len(threads) == 1

    def test_one_that_fails_leaves_the_long_one_as_it_was(self, queue: TaskQueue) -> None:
        long = Gate(breathe)
        first = long.submit(queue)
        assert queue.wait(queue.submit("w", "k", "fails", lambda _: 1 // 0, short=True), SOON).stage == "failed"
        long.opened.set()
        assert queue.wait(first, SOON).result == "opened"

    def test_short_ones_do_not_run_within_each_other(self, queue: TaskQueue) -> None:
        gate = Gate(breathe)
        gate.submit(queue, short=True)
        other = queue.submit("w", "k", "short", lambda _: None, short=True)
        assert queue.wait(other, 0.05).stage == "waiting"
        gate.opened.set()
        assert queue.wait(other, SOON).stage == "done"

    def test_short_ones_that_come_without_end_leave_the_long_one_its_turn(self, queue: TaskQueue) -> None:
        turns, runs = 0, 0

        def short(_: Handle) -> None:
            nonlocal runs
            runs += 1
            if runs < 100:
                queue.submit("w", f"k{runs % 2}", "again", short, short=True)

        def long(handle: Handle) -> int:
            nonlocal turns
            queue.submit("w", "k0", "the first", short, short=True)
            for _ in range(5):
                handle.breathe()
                turns += 1
            return runs

        ticket = queue.submit("v", "long", "long", long)
        assert queue.wait(ticket, SOON).result == 5, "though it is forgotten by then"


def exit_at_once(_: Handle) -> None:
    sys.exit("no more")


def interrupt(_: Handle) -> None:
    raise KeyboardInterrupt


def run_out(_: Handle) -> None:
    raise MemoryError


def lack(_: Handle) -> None:
    raise CannotFinish("the data\nare gone")


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lack, "the data are gone"),
        (lambda _: [][0], "IndexError: list index out of range"),
        (exit_at_once, "no more was raised in .*test_explorer_queue.py, line"),
        (interrupt, "KeyboardInterrupt was raised in"),
        (run_out, "out of memory .*choose fewer"),
    ],
)
def test_what_raises_has_failed_and_the_next_one_follows(work: Any, said: str, queue: TaskQueue) -> None:
    state = queue.wait(queue.submit("w", "k", "fails", work), SOON)
    assert state.stage == "failed"
    assert state.result is None
    assert "\n" not in state.error
    assert re.match(said, state.error), state.error
    assert queue.wait(queue.submit("w", "k", "next", lambda _: "fine"), SOON).result == "fine"


class TestCautions:
    """They belong to the task that they were raised in."""

    @staticmethod
    def warn(_: Handle) -> None:
        for _i in range(2):
            warnings.warn("few\nexamples", Caution, stacklevel=1)

    def test_each_time_anew(self, queue: TaskQueue) -> None:
        for _ in range(2):
            assert queue.wait(queue.submit("w", "k", "warns", self.warn), SOON).cautions == ("few examples",)
        assert queue.wait(queue.submit("w", "k", "does not", lambda _: None), SOON).cautions == ()

    def test_of_a_short_one_within_a_long_one(self, queue: TaskQueue) -> None:
        def begin(handle: Handle) -> None:
            handle.breathe()
            warnings.warn("long", Caution, stacklevel=1)

        long = Gate(begin)
        first = long.submit(queue)
        short = queue.submit("w", "k", "short", self.warn, short=True)
        assert queue.wait(short, SOON).cautions == ("few examples",)
        while not queue.look(first).cautions:
            time.sleep(0.001)
        long.opened.set()
        assert queue.wait(first, SOON).cautions == ("long",)

    def test_of_other_threads_and_of_other_kinds_go_where_they_went(self) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with TaskQueue() as queue:
                long = Gate()
                first = long.submit(queue)
                warnings.warn("mine", Caution, stacklevel=1)
                long.opened.set()
                assert queue.wait(first, SOON).cautions == ()
                other = queue.submit(
                    "w", "k", "warns", lambda _: warnings.warn("old", DeprecationWarning, stacklevel=1)
                )
                assert queue.wait(other, SOON).cautions == ()
            warnings.warn("after", Caution, stacklevel=1)
        assert [str(warning.message) for warning in caught] == ["mine", "old", "after"]

    def test_nothing_is_left_behind(self) -> None:
        before = warnings.showwarning, [*warnings.filters]
        with TaskQueue():
            assert warnings.showwarning is not before[0]
        assert (warnings.showwarning, [*warnings.filters]) == before


class TestBounds:
    """Whatever is asked for, the queue stays as long as it may be."""

    def test_too_many_are_refused_in_one_line(self) -> None:
        with TaskQueue(per_window=2, waiting=3) as queue:
            gate = Gate()
            gate.submit(queue)
            for i in range(2):
                queue.submit("w", f"k{i}", "one", lambda _: None)
            with pytest.raises(BadInput, match="2 tasks of this window wait already; .*"):
                queue.submit("w", "k2", "one more", lambda _: None)
            queue.submit("w", "k1", "in the place of another", lambda _: None)
            queue.submit("v", "k", "of another window", lambda _: None)
            with pytest.raises(BadInput, match="3 tasks wait already"):
                queue.submit("u", "k", "one more", lambda _: None)
            gate.opened.set()

    def test_the_oldest_that_ended_are_forgotten_with_their_results(self) -> None:
        class Result:
            """Large, were it real."""

        with TaskQueue(kept=10) as queue:
            results = []

            def make(_: Handle) -> Result:
                made = Result()
                results.append(weakref.ref(made))
                return made

            tickets = [queue.submit("w", "k", "one", make)]
            for window in range(2000):
                queue.wait(tickets[-1], SOON)
                tickets.append(queue.submit(f"w{window}", "k", "one", make))
            queue.wait(tickets[-1], SOON)
            assert queue.look(tickets[0]).stage == "forgotten"
            assert queue.look(tickets[-10]).stage == "done"
            gc.collect()
            assert sum(result() is not None for result in results) == 10

    def test_work_that_is_done_is_let_go(self, queue: TaskQueue) -> None:
        class Work:
            """With whatever it refers to."""

            def __call__(self, handle: Handle) -> None:
                raise ValueError

        work = Work()
        gone = weakref.ref(work)
        ticket = queue.submit("w", "k", "fails", work)
        del work
        queue.wait(ticket, SOON)
        queue.wait(queue.submit("w", "k", "next", lambda _: None), SOON)
        gc.collect()
        assert gone() is None
        assert queue.look(ticket).stage == "failed"


def test_of_a_kind_a_window_keeps_the_newest_result_alone(queue: TaskQueue) -> None:
    class Weights:
        """What takes much memory."""

    made: list[weakref.ref[Weights]] = []

    def write(_: Handle) -> Weights:
        weights = Weights()
        made.append(weakref.ref(weights))
        return weights

    tickets = [queue.submit(window, "weights", "weights", write) for window in ("w", "other")]
    for ticket in tickets:
        assert queue.wait(ticket, SOON).stage == "done"
    newest = queue.submit("w", "weights", "weights", write)
    assert queue.wait(newest, SOON).stage == "done"
    assert [queue.look(ticket).stage for ticket in (*tickets, newest)] == ["superseded", "done", "done"]
    gc.collect()
    assert [each() is None for each in made] == [True, False, False]


def test_the_task_that_runs_is_found_until_it_is_asked_to_stop(queue: TaskQueue) -> None:
    gate = Gate(report)
    assert queue.find_running("w", "gate") is None
    ticket = gate.submit(queue)
    assert queue.find_running("w", "gate") == ticket
    assert queue.find_running("other", "gate") is queue.find_running("w", "other") is None
    queue.stop(ticket)
    assert queue.find_running("w", "gate") is None
    assert queue.wait(ticket, SOON).stage == "stopped"


def test_cautions_are_noted_by_their_thread_and_handed_on_once_it_is_done() -> None:
    """Another thread may put back what noted cautions after that has ended."""
    entered, left = threading.Event(), threading.Event()

    def disturb() -> None:
        with warnings.catch_warnings():
            warnings.warn("of another thread", Caution, stacklevel=1)
            entered.set()
            left.wait(SOON)

    with pytest.warns(Caution) as shown:  # noqa: PT031  # what is tested is the order in which these are left
        with note_cautions() as noted:
            warnings.warn("of this thread", Caution, stacklevel=1)
            thread = threading.Thread(target=disturb)
            thread.start()
            assert entered.wait(SOON)
        left.set()
        thread.join()
        warnings.warn("later", Caution, stacklevel=1)
    assert noted == ["of this thread"]
    assert [str(each.message) for each in shown] == ["of another thread", "later"]
