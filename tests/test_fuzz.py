"""Hostile inputs: a sample of every kind that ``make fuzz`` tries for hours, and what judges them."""

from __future__ import annotations

import os
import random
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fuzzing.__main__ import made_runs
from fuzzing.campaign import Tried, kinds, tries_of
from fuzzing.children import Ended, forked
from fuzzing.formats import format_file
from fuzzing.judge import judged, seen
from fuzzing.options import option_trial
from fuzzing.runs import places, run_trial
from nursery import Child, result_of

SEED = "sample"
PROCESSES = 2
OPTIONS, FILES = 1, 6
"""Inputs of each kind."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_runs(tmp_path_factory.mktemp("fuzz"))


def sample(runs: Path) -> list[tuple[str, list[str]]]:
    """Kinds and seeds: every option's verb, every format, and every kind of file in some run."""
    rng = random.Random(SEED)
    found: dict[str, tuple[str, list[str]]] = {}
    every = kinds(runs)
    rng.shuffle(every)
    for kind in every:
        group, _, name = kind.partition("/")
        # One run and one store stand for all that have such a file: each of these inputs is a process.
        alike = re.sub(r"^.*: (surveys/RUN/)?|(survey|plane|radial|straight)(?=\.zarr)", "", name)
        title = alike if group == "runs" else kind
        count = {"runs": 1, "options": OPTIONS, "formats": FILES}[group]
        found[title] = (kind, [f"{SEED}/{number}" for number in range(count)])
    return list(found.values())


def test_no_input_ends_in_anything_but_an_answer(runs: Path, tmp_path: Path) -> None:
    chosen = sample(runs)
    children = [Child(tries_of, chosen[number::PROCESSES], runs, tmp_path / str(number)) for number in range(PROCESSES)]
    wrong: list[Tried] = []
    for child in children:
        with child:
            assert child.wait() == 0, child.errors
            wrong += child.result
    assert not wrong, "\n".join(f"{each.kind} {each.seed}: {each.verdict} {each.what}\n{each.told}" for each in wrong)


class TestTheGenerator:
    def test_makes_the_same_input_from_the_same_seed(self, runs: Path, tmp_path: Path) -> None:
        made = [result_of(_made, runs, tmp_path / "box") for _ in range(2)]
        assert made[0] == made[1]
        assert len(set(map(str, made[0]))) == len(made[0]), "and another one from another"


def _made(runs: Path, box: Path) -> list[object]:
    """Some inputs of each group, and their boxes."""
    found: list[object] = []
    for seed in range(3):
        line = option_trial(random.Random(seed), runs, box, "fit")
        found.append((line, sorted(seen(box))))
        name, files = sorted(places(runs).items())[seed]
        run = run_trial(random.Random(seed), runs, box, name, files)
        found.append((run, sorted(seen(box))))
        found.append(format_file(random.Random(seed), "png", box).read_bytes())
    return found


class TestTheJudge:
    @pytest.fixture
    def box(self, tmp_path: Path) -> Path:
        (tmp_path / "box" / "o").mkdir(parents=True)
        (tmp_path / "box" / "victim.txt").write_text("keep me")
        return tmp_path / "box"

    @pytest.mark.parametrize(
        ("errors", "code", "outcome"),
        [
            ("lossatlas: no\n", 2, "2"),
            ("loss: x\nlossatlas: full\n", 3, "3"),
            ("loss: x\n", 0, "0"),
            ("lossatlas: note: x\nlossatlas: no\n", 2, "2"),
            ("loss: x\nlossatlas: no\n", 2, "several lines"),
            ("no\n", 2, "several lines"),
            ("", 2, "several lines"),
            ("lossatlas: \x1b[2J\n", 2, "several lines"),
            ("lossatlas: " + "x" * 5000, 2, "several lines"),
            ("/a.py:3: UserWarning: x\n", 0, "several lines"),
            ("Traceback (most recent call last):\n", 2, "traceback"),
            ("", 1, "traceback"),
            ("lossatlas: interrupted\n", 130, "other code"),
            ("", 7, "other code"),
        ],
    )
    def test_looks_at_lines_and_codes(self, box: Path, errors: str, code: int, outcome: str) -> None:
        verdict = judged(Ended(code, 0, asked=False, hung=False, errors=errors), seen(box), box, ["o"])
        assert verdict.outcome == outcome
        assert verdict.wrong == (outcome not in ("0", "2", "3"))

    @pytest.mark.parametrize(
        ("does", "code", "outcome"),
        [
            (lambda box: (box / "o" / "x").touch(), 0, "0"),
            (lambda box: (box / "o" / "x").touch(), 2, "left behind"),
            (lambda box: (box / "other").touch(), 0, "left behind"),
            (lambda box: (box / "victim.txt").unlink(), 3, "left behind"),
            (lambda box: (box / "victim.txt").write_text("gone"), 0, "left behind"),
            (lambda box: (box / "o" / ".x.partial").touch(), 0, "left behind"),
        ],
    )
    def test_looks_at_what_is_left(self, box: Path, does: Callable[[Path], object], code: int, outcome: str) -> None:
        before = seen(box)
        does(box)
        verdict = judged(Ended(code, 0, asked=False, hung=False, errors="lossatlas: x\n"), before, box, ["o"])
        assert verdict.outcome == outcome

    def test_notices_crashes_and_hangs_of_children(self, tmp_path: Path) -> None:
        assert result_of(_ends, tmp_path) == ["crash", "hang", "traceback", "traceback", "0"]


def _ends(folder: Path) -> list[str]:
    """What children come to that crash, compute for ever, raise, ask for all memory, and end well."""

    def compute() -> int:
        while True:
            pass

    def work(number: int) -> int:
        match number:
            case 0:
                os.kill(os.getpid(), signal.SIGSEGV)
            case 2:
                raise ValueError("no")
            case 3:
                bytearray(2**40)
            case 4:
                print("lossatlas: fine", file=sys.stderr)
        return 0

    found = []
    for number in range(5):
        began = time.monotonic()
        ended = (
            forked(compute, folder, patience=0.3) if number == 1 else forked(lambda number=number: work(number), folder)
        )
        found.append(judged(ended, seen(folder), folder, ["errors"]).outcome)
        assert time.monotonic() - began < 60
    return found
