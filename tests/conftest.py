"""What holds for all tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before torch is imported: threads that wait by counting make the files that are tested side by side ten times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@pytest.fixture(scope="session", autouse=True)
def nothing_is_brought_to_the_disk() -> Iterator[None]:
    """Processes are killed here, machines are not: what was written is there for others without waiting for a disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(autouse=True)
def modules_that_a_test_wrote_end_with_it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Several tests write a `mine.py`: whoever imports one next is to get his own."""
    before, folder = set(sys.modules), tmp_path_factory.getbasetemp().resolve()
    yield
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None and folder in Path(file).resolve().parents:
            del sys.modules[name]
