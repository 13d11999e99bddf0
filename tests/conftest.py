"""What holds for all tests."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before torch is imported: threads that wait by counting make the files that are tested side by side ten times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Processes side by side have a core each: with more threads than that, small networks take half as long again.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was imported and collected stays until the end: to go through it again for garbage takes a twentieth."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    # Compiled modules are known by the second: one that a test writes twice would be what it was at first.
    sys.dont_write_bytecode = True


@pytest.fixture(scope="session", autouse=True)
def nothing_is_brought_to_the_disk() -> Iterator[None]:
    """Processes are killed here, machines are not: what was written is there for others without waiting for a disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture
def two_threads() -> Iterator[None]:
    """What is done with several threads is tried with two, where a process has one, too."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(max(2, before))
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def points_are_spread_over_threads(request: pytest.FixtureRequest) -> None:
    """A test that has a strategy as a parameter has two threads for the one that wants several."""
    parameters = getattr(getattr(request.node, "callspec", None), "params", {})
    if any(parameters.get(name) in ("threads", "auto") for name in ("strategy", "plan")):
        request.getfixturevalue("two_threads")


@pytest.fixture(autouse=True)
def modules_that_a_test_wrote_end_with_it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Several tests write a `mine.py`: whoever imports one next is to get his own."""
    before, folder = set(sys.modules), tmp_path_factory.getbasetemp().resolve()
    yield
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None and folder in Path(file).resolve().parents:
            del sys.modules[name]
