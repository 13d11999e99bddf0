"""Runs that are killed right before or after a file is written: continued, they end as if nothing had been."""

from __future__ import annotations

from pathlib import Path

import pytest
from killed_at import campaign
from nursery import result_of
from small_runs import VERBS

KILLS = 4
"""Of each verb; benchmarks/kills.py has more."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("inputs")


@pytest.mark.parametrize("verb", VERBS)
def test_a_run_that_is_killed_at_its_writes_ends_the_same_and_leaves_nothing(
    verb: str, inputs: Path, tmp_path: Path
) -> None:
    found = result_of(campaign, verb, tmp_path, inputs, KILLS)
    assert len({moment.kind for moment in found.moments}) == KILLS
    for end in found.ends:
        assert not end.unequal
        assert not end.debris
