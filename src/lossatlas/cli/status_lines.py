"""How a run stands, in lines of plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from lossatlas.describing import count_things
from lossatlas.presence.counting import Counted
from lossatlas.presence.records import Record, WorkerRecord, parse_time, shorten
from lossatlas.presence.status import Part, Status

__all__ = ["describe_duration", "write_lines"]

MINUTE, HOUR, DAY = 60, 3600, 86400


def describe_duration(seconds: float) -> str:
    """A time in words, to two units.

    >>> [describe_duration(seconds) for seconds in (4.2, 200, 7500, 273600)]
    ['4 s', '3 min 20 s', '2 h 5 min', '3 d 4 h']
    """
    whole = round(seconds)
    for size, name, smaller, other in ((DAY, "d", HOUR, "h"), (HOUR, "h", MINUTE, "min"), (MINUTE, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size:,} {name} {whole % size // smaller} {other}"
    return f"{whole} s"


def write_lines(status: Status) -> Iterator[str]:
    """How a run stands: what it is, what is done of it, who works on it, and what failed.

    Args:
        status: of the run.
    """
    state = "not running; --resume continues it" if status.state == "not running" else status.state
    yield f"{status.run}: {', '.join(filter(None, [status.verb, state]))}"
    if status.writer:
        yield f"  {status.writer}"
    yield from _write_counts(status.counts, "  ")
    if status.steps_done is not None:
        of = f"{status.steps_done:,} of {status.steps:,} steps" if status.steps is not None else ""
        yield f"  {of or count_things(status.steps_done, 'step')}"
    if status.rate and status.counts:
        left = "" if status.seconds_left is None else f", about {describe_duration(status.seconds_left)} left"
        yield f"  {status.rate:.3g} points/s{left}"
    yield from _write_parts(status.parts)
    for record in status.processes:
        yield from _write_process(record)
    for record in status.lost:
        yield f"process {record.pid} on {shorten(record.host)}{_heard(record)}, was lost"
    if status.failures:
        yield f"{count_things(len(status.failures), 'failure')}; --resume tries again"
        yield from (f"  {shorten(failure.describe())}" for failure in status.failures)


def _write_counts(counts: Sequence[Counted], indent: str) -> Iterator[str]:
    """The points that are done, a line for each split and group of metrics."""
    several = len({count.store for count in counts}) > 1
    names = [
        " ".join(filter(None, [f"{count.store}:" if several else "", count.split, ", ".join(count.metrics)]))
        or count.group
        for count in counts
    ]
    width = min(max(map(len, names), default=0), 44)
    for name, count in zip(names, counts, strict=True):
        of = "of" if count.exact else "of at most"
        share = f", {count.done / count.wanted:.0%}" if count.exact and count.wanted else ""
        yield f"{indent}{shorten(name):<{width}}  {count.done:,} {of} {count_things(count.wanted, 'point')}{share}"


def _write_parts(parts: Sequence[Part]) -> Iterator[str]:
    """The runs of a study or a comparison: how many, and how far those are that are begun."""
    if not parts:
        return
    number = {state: sum(part.state == state for part in parts) for state in ("finished", "running", "begun", "left")}
    told = {"finished": "done", "running": "running", "begun": "begun and left", "left": "left"}
    counted = [f"{number[state]:,} {words}" for state, words in told.items() if number[state] or state != "begun"]
    yield f"  runs: {', '.join(counted)}"
    for part in parts:
        if part.state in ("running", "begun"):
            yield f"    {part.name}{'' if part.state == 'running' else ' (nobody works on it)'}"
            yield from _write_counts(part.counts, "      ")


def _write_process(record: Record) -> Iterator[str]:
    """A process that works on a run, and its workers, a line each or two."""
    where = ", ".join(filter(None, [shorten(record.device), shorten(record.executor)]))
    yield f"process {record.pid} on {shorten(record.host)}{f' ({where})' if where else ''}{_heard(record)}"
    share = f" {record.share:.0%}" if record.share is not None else ""
    done = [f"{shorten(record.phase)}{share}"] if record.phase else []
    if record.points:
        done.append(f"{count_things(record.points, 'point')} in {describe_duration(record.seconds)}")
        done.append(f"{record.rate:.3g} points/s")
    if done:
        yield f"  {', '.join(done)}"
    for worker in record.workers:
        yield from _write_worker(worker, record.host)


def _heard(record: Record) -> str:
    return f", heard of {describe_duration(max(0.0, record.silence))} ago"


def _write_worker(worker: WorkerRecord, host: str) -> Iterator[str]:
    """A worker: who it is, what it has done, and what it does."""
    where = "" if worker.host == host else f" on {shorten(worker.host)}"
    device = f" ({shorten(worker.device)})" if worker.device else ""
    done = [f"{worker.tiles:,} done"]
    if worker.points:
        done.append(count_things(worker.points, "point"))
    if worker.lost:
        done.append(f"{worker.lost:,} lost before it")
    yield f"  {shorten(worker.name)}: process {worker.pid}{where}{device}, {', '.join(done)}"
    if worker.doing:
        yield f"    {shorten(worker.doing)}{_since(worker.since)}"
    else:
        yield "    waiting"


def _since(text: str) -> str:
    """How long ago a time was; nothing where the text states none."""
    try:
        seconds = (datetime.now(UTC) - parse_time(text)).total_seconds()
    except ValueError:
        return ""
    return f", for {describe_duration(max(0.0, seconds))}"
