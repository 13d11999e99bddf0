"""Who wins a race, with a clock and with times that are made up."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import lossatlas as la
from lossatlas.engine import planning
from lossatlas.engine.piece import Pace, Piece, Portion, Way
from lossatlas.engine.plan import Plan, Service
from lossatlas.engine.race import ROUNDS, Contestant, Outcome, choose_simplest, compare_times, race
from lossatlas.machine import name_machine


class Machine:
    """A clock that runs while contestants do, by what their points take and what others do to them."""

    def __init__(self, noise: Callable[[float], float] = lambda _: 1.0) -> None:
        self.now = 0.0
        self.noise = noise
        self.runs: dict[str, list[int]] = {}

    def clock(self) -> float:
        return self.now

    def contestant(
        self,
        name: str,
        each: float,
        fixed: float = 0.0,
        most: int = 8,
        share: float = 1.0,
        gains: bool = True,
    ) -> Contestant:
        """One that takes ``fixed + each * points`` seconds."""
        self.runs[name] = []

        def prepare(count: int) -> Callable[[], object]:
            def run() -> None:
                self.runs[name].append(count)
                self.now += (fixed + each * count * share) * self.noise(self.now)

            return run

        return Contestant(prepare, most, share, gains=gains)

    def race(self, seconds: float, **each: float) -> Outcome:
        """Contestants by what a point takes them, however many they are."""
        contestants = {name: self.contestant(name, value, gains=False) for name, value in each.items()}
        return race(contestants, seconds, self.clock)


def bursts(seed: int, share: float, length: float, factor: float) -> Callable[[float], float]:
    """Another process comes for ``length`` seconds now and then, a ``share`` of the time, and slows everybody down."""

    def noise(now: float) -> float:
        return factor if random.Random(f"{seed} {int(now / length)}").random() < share else 1.0

    return noise


def engine(**options: Any) -> la.Engine:
    """Of a small network around random weights."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))
    problem = la.Problem(module, la.CrossEntropy())
    split = la.Split((torch.randn(64, 1, 4, 4), torch.arange(64) % 3))
    space = la.WeightSpace(module)
    chart = la.Slice(space.vector_of(module), torch.randn(2, space.size))
    return la.engine_for(problem, chart, split, **options)


class TestRace:
    def test_goes_on_with_rivals_and_tells_who_cannot_take_part(self) -> None:
        def broken(count: int) -> Callable[[], object]:
            raise ValueError("no such layer\nand a second line")

        machine = Machine()
        contestants = {"rival": machine.contestant("rival", 0.0021), "quick": machine.contestant("quick", 0.002)}
        contestants |= {"slow": machine.contestant("slow", 0.02), "broken": Contestant(broken, 4)}
        outcome = race(contestants, 1.0, machine.clock)
        assert outcome.refused == {"broken": "no such layer and a second line"}
        assert outcome.seconds == pytest.approx({"rival": 0.0021, "quick": 0.002, "slow": 0.02})
        assert outcome.winner == "quick"
        assert 1.0 <= machine.now < 1.1
        assert machine.runs["quick"][:5] == [1, 1, 4, 4, 8]  # to warm up, to count, with more points: tried, then timed
        assert len(outcome.rounds["slow"]) <= ROUNDS < min(len(outcome.rounds["quick"]), len(outcome.rounds["rival"]))
        assert max(machine.runs["quick"]) <= 8

    def test_who_takes_points_together_is_timed_with_many_of_them(self) -> None:
        machine = Machine()
        contestants = {
            "apart": machine.contestant("apart", 4e-3, most=64),
            "together": machine.contestant("together", 2e-4, fixed=5e-3, most=64),
        }
        outcome = race(contestants, 1.0, machine.clock)
        assert outcome.points["together"] == 64
        assert outcome.seconds["together"] < outcome.seconds["apart"] / 10

    def test_points_that_do_not_pay_are_not_taken_together(self) -> None:
        """What slows down with more points, as activations leave the caches, is run with few."""
        machine = Machine()

        def prepare(count: int) -> Callable[[], object]:
            def run() -> None:
                machine.now += 1e-4 * count * (4 if count > 16 else 1) + 1e-4

            return run

        outcome = race({"together": Contestant(prepare, 256)}, 4.0, machine.clock)
        assert outcome.points == {"together": 16}
        assert outcome.seconds["together"] == pytest.approx(1.0625e-4)

    def test_who_works_on_several_side_by_side_is_never_timed_on_fewer(self) -> None:
        machine = Machine()
        ran: list[int] = []

        def prepare(count: int) -> Callable[[], object]:
            def run() -> None:
                ran.append(count)
                machine.now += 0.1 * -(-count // 2)

            return run

        contestants = {
            "loop": machine.contestant("loop", 0.08),
            "threads": Contestant(prepare, 8, least=2, gains=False),
        }
        assert race(contestants, 2.0, machine.clock).winner == "threads"
        assert min(ran) == 2

    def test_nothing_is_said_of_a_number_of_points_that_was_not_run(self) -> None:
        machine = Machine()
        outcome = race({"slow": machine.contestant("slow", 1.0, most=256)}, 2.0, machine.clock)
        assert outcome.points == {"slow": 1}

    def test_without_time_everybody_warms_up_and_runs_once(self) -> None:
        machine = Machine()
        outcome = machine.race(0.0, a=1.0, b=2.0, c=1.5)
        assert machine.runs == {"a": [1, 1], "b": [1, 1], "c": [1, 1]}
        assert outcome.seconds == {"a": 1.0, "b": 2.0, "c": 1.5}

    def test_who_is_hopeless_in_the_first_run_has_no_second(self) -> None:
        machine = Machine()
        outcome = machine.race(1.0, good=0.5, hopeless=10.0)
        assert machine.runs["hopeless"] == [1], "what takes longer than the whole race has no second run"
        assert outcome.winner == "good"
        assert outcome.seconds["hopeless"] == 10.0

    def test_a_run_of_a_part_counts_for_the_whole(self) -> None:
        machine = Machine()
        contestants = {"whole": machine.contestant("whole", 0.1), "part": machine.contestant("part", 0.08, share=0.1)}
        outcome = race(contestants, 2.0, machine.clock)
        assert outcome.seconds == pytest.approx({"whole": 0.1, "part": 0.08})

    def test_rivals_have_three_rounds_where_patience_allows(self) -> None:
        outcome = Machine().race(1.0, a=0.5, b=0.45)
        assert [len(times) for times in outcome.rounds.values()] == [3, 3]
        outcome = Machine().race(1.0, a=0.8, b=0.75)
        assert [len(times) for times in outcome.rounds.values()] == [2, 2], "three times the budget are over"
        outcome = Machine().race(1.0, a=2.0, b=1.5)
        assert [len(times) for times in outcome.rounds.values()] == [1, 1]

    def test_the_last_rounds_are_between_the_fastest_and_who_would_be_taken(self) -> None:
        """However long the others took to warm up."""
        outcome = Machine().race(1.0, plain=0.2, loop=0.19, threads=0.16, vmap=0.25, batched=0.55)
        assert {name: len(times) for name, times in outcome.rounds.items()} == {
            "plain": 3, "loop": 1, "threads": 3, "vmap": 1, "batched": 1,
        }  # fmt: skip
        assert outcome.winner == "threads"
        outcome = Machine().race(1.0, a=0.3, b=0.25)
        assert [len(times) for times in outcome.rounds.values()] == [ROUNDS, ROUNDS]

    def test_one_that_runs_out_of_memory_races_with_fewer_points_and_one_that_fails_late_is_out(self) -> None:
        now = 0.0

        def contestant(most: int, error: Exception) -> Contestant:
            def prepare(count: int) -> Callable[[], object]:
                def run() -> None:
                    nonlocal now
                    now += 1e-3
                    if count > most:
                        raise error

                return run

            return Contestant(prepare, 64)

        contestants = {"tight": contestant(8, torch.OutOfMemoryError("full")), "broken": contestant(2, ValueError("x"))}
        outcome = race(contestants, seconds=2.0, clock=lambda: now)
        assert outcome.seconds == {"tight": pytest.approx(1e-3 / 8)}  # 4 points, 16, 8
        assert outcome.refused == {"broken": "ValueError: x"}

    def test_out_of_memory_in_a_round_it_goes_on_with_fewer_points_and_a_failure_there_is_out(self) -> None:
        machine = Machine()

        def contestant(name: str, error: Exception) -> Contestant:
            """One that fails once, in its sixth run."""
            machine.runs[name] = []

            def prepare(count: int) -> Callable[[], object]:
                def run() -> None:
                    machine.runs[name].append(count)
                    if len(machine.runs[name]) == 6:
                        raise error
                    machine.now += 1e-2 + 1e-3 * count

                return run

            return Contestant(prepare, 4)

        contestants = {
            "full": contestant("full", torch.OutOfMemoryError("full")),
            "broken": contestant("broken", ValueError("x")),
            "sound": machine.contestant("sound", 0.02),
        }
        outcome = race(contestants, 1.0, machine.clock)
        assert outcome.refused == {"broken": "ValueError: x"}
        assert set(outcome.rounds) == set(outcome.points) == {"full", "sound"}
        before, after = machine.runs["full"][5], machine.runs["full"][6]
        assert outcome.points["full"] == after == before // 2
        assert outcome.winner == "full"
        assert len(outcome.rounds["full"]) == len(outcome.rounds["sound"]), "earlier timings do not count"

    def test_a_round_in_which_all_fail_has_no_winner(self) -> None:
        machine = Machine()

        def contestant(name: str) -> Contestant:
            machine.runs[name] = []

            def run() -> None:
                machine.now += 0.01
                machine.runs[name].append(1)
                if len(machine.runs[name]) == 7:
                    raise ValueError(name)

            return Contestant(lambda _: run, 1)

        outcome = race({"a": contestant("a"), "b": contestant("b")}, 1.0, machine.clock)
        assert outcome == Outcome({}, {"a": "ValueError: a", "b": "ValueError: b"}, {})

    @pytest.mark.parametrize("run", range(6))
    def test_one_burst_decides_nothing(self, run: int) -> None:
        """Whichever of the runs of the plain loop it meets; the other one is slower by a fifth."""
        met = 0

        def noise(_: float) -> float:
            nonlocal met
            met += 1
            return 4.0 if met == 1 + run else 1.0

        machine = Machine(noise)
        contestants = {"plain": machine.contestant("plain", 0.1), "loop": machine.contestant("loop", 0.12)}
        assert race(contestants, 1.0, machine.clock).winner == "plain"


class TestChoice:
    @pytest.mark.parametrize(
        ("simple", "clever", "winner"),
        [
            ([1, 1, 1, 1], [0.9, 0.9, 0.9, 0.9], "clever"),
            ([1, 1, 1, 1], [0.98, 0.98, 0.98, 0.98], "simple"),  # cannot be told apart
            ([1, 1, 9, 1], [1, 1, 1, 1], "simple"),  # a burst in one round
            ([1, 9, 9, 1, 1], [1.2, 1.2, 1.2, 1.2, 1.2], "simple"),  # and in two
            ([9, 1, 1, 1, 1], [0.4, 0.4, 9, 0.4, 0.4], "clever"),
            ([1], [0.3], "simple"),  # one round says little
            ([1], [0.1], "clever"),
            ([1, 1], [0.7, 0.8], "simple"),
            ([1, 1], [0.7, 0.7], "clever"),
            ([1, 1, 1], [0.9, 0.9, 1.1], "simple"),
        ],
    )
    def test_takes_the_simpler_one_unless_another_is_clearly_faster(
        self, simple: Sequence[float], clever: Sequence[float], winner: str
    ) -> None:
        assert choose_simplest({"simple": simple, "clever": clever}) == winner

    def test_pairs_what_was_timed_in_turn(self) -> None:
        """On a machine that becomes four times slower, both do."""
        assert compare_times([0.9, 1.8, 3.6], [1, 2, 4]) == pytest.approx(0.9)

    @pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
    def test_bursts_of_noise_seldom_make_it_choose_what_is_slower(self, share: float) -> None:
        """A process that takes the machine for as long as a few runs, for half of the time even."""
        chosen = {"equal": 0, "slower": 0, "faster": 0}
        for seed in range(100):
            noise = bursts(seed, share, length=0.03, factor=2.0)
            chosen["equal"] += Machine(noise).race(1.0, simple=0.01, clever=0.01).winner == "clever"
            chosen["slower"] += Machine(noise).race(1.0, simple=0.01, clever=0.011).winner == "clever"
            chosen["faster"] += Machine(noise).race(1.0, simple=0.01, clever=0.008).winner == "clever"
        assert chosen["slower"] == 0
        assert chosen["equal"] <= 10
        assert chosen["faster"] >= 90


class TestPrecision:
    @staticmethod
    def engine(precision: str) -> la.Engine:
        return engine(plan="loop", precision=precision)

    @pytest.fixture
    def costs(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
        """Bfloat16 takes so many times as long as it does not."""

        def make(factor: float) -> None:
            def raced(
                contestants: dict[str, Contestant], seconds: float, clock: Callable[[], float] = print
            ) -> Outcome:
                for contestant in contestants.values():
                    contestant.prepare(1)()
                rounds = {name: [factor if name == "bf16" else 1.0] * 5 for name in contestants}
                return Outcome(rounds, {}, dict.fromkeys(contestants, 1))

            monkeypatch.setattr(planning, "race", raced)

        return make

    def test_what_does_not_pay_is_said_once_a_service_with_both_figures(self, costs: Callable[[float], None]) -> None:
        costs(3.0)
        with pytest.warns(la.Caution) as told:
            plan = self.engine("bf16").plan
        assert plan.evaluate.precision == plan.pullback.precision == "bf16"
        lines = [str(each.message) for each in told]
        assert [line.split(":")[0] for line in lines] == ["pullback", "evaluate"]
        assert "does not pay on this machine: 3,000,000 us a point in bf16, 1,000,000 us a point in fp32" in lines[0]

    def test_what_pays_is_taken_without_a_word(
        self, costs: Callable[[float], None], recwarn: pytest.WarningsRecorder
    ) -> None:
        costs(0.5)
        assert self.engine("bf16").plan.evaluate.precision == "bf16"
        assert self.engine("auto").plan.evaluate.precision == "bf16"
        assert not recwarn.list

    def test_auto_stays_where_nothing_pays(
        self, costs: Callable[[float], None], recwarn: pytest.WarningsRecorder
    ) -> None:
        costs(0.99)
        plan = self.engine("auto").plan
        assert plan.evaluate.precision == plan.pullback.precision == plan.derivatives.precision == "fp32"
        assert not recwarn.list

    def test_auto_takes_nothing_that_gives_other_losses(
        self, costs: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(planning, "DEPARTURE", 1e-6)
        costs(0.5)
        with pytest.warns(la.Caution, match=r"fp32 is taken, though slower .*: losses in bf16 differ by [0-9.]+%, and"):
            assert self.engine("auto").plan.evaluate.precision == "fp32"

    def test_names_that_are_none_are_refused(self) -> None:
        with pytest.raises(la.BadInput, match="'fp16' is not a precision; did you mean 'bf16'"):
            self.engine("fp16")
        with pytest.raises(la.BadInput, match="TF32 is for NVIDIA GPUs"):
            self.engine("tf32")

    def test_a_plan_that_is_measured_says_what_it_measured(self) -> None:
        """On this machine, whatever it is."""
        plan = self.engine("auto").plan
        assert plan.evaluate.precision in ("fp32", "bf16")


def test_a_plan_of_many_points_is_timed_on_few() -> None:
    network = TestPrecision.engine("fp32").network
    controls, batch = torch.randn(3, network.space.size), (torch.randn(64, 1, 4, 4), torch.arange(64) % 3)
    piece = Piece("evaluate", network, controls, batch, 256)
    assert piece.contestant(Way("loop", Portion(20_000, None)), 20_000).share <= 8
    assert piece.contestant(Way("vmap", Portion(20_000, None)), 20_000).share == 256


def test_a_stated_precision_that_gives_other_losses_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "DEPARTURE", 1e-6)
    with pytest.warns(la.Caution, match=r"losses in bf16 differ by [0-9.]+% from those in fp32"):
        engine(plan=Plan.of("loop", 4, precision="bf16"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"derivatives": Service("loop", 4, "bf16")}, "precision of a plan's derivatives is bf16; expected fp32"),
        ({"machine": "a\nb"}, "machine of a plan is 'a.nb'; expected a line"),
        ({"machine": "a" * 300}, "expected a line of 200 characters at most"),
    ],
)
def test_plans_that_cannot_be_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(la.BadInput, match=message):
        replace(Plan.of("loop", 4), **change)


def test_a_precision_is_compared_on_few_points_where_a_strategy_is_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk of 256 points would take minutes in a precision that is emulated."""
    shares = []

    def raced(contestants: dict[str, Contestant], seconds: float) -> Outcome:
        shares.extend(contestant.share for contestant in contestants.values())
        return Outcome({name: [1.0] for name in contestants}, {}, dict.fromkeys(contestants, 1))

    monkeypatch.setattr(planning, "race", raced)
    plan = TestPrecision.engine("bf16").plan
    assert plan.evaluate == Service("loop", 256, "bf16")
    assert shares == [1.0] * 4


class TestPlansOfOtherMachines:
    @pytest.fixture
    def raced(self, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
        """Who raced; the stated way takes three times as long as others."""
        seen: list[list[str]] = []

        def made_up(contestants: dict[str, Contestant], seconds: float) -> Outcome:
            seen.append(list(contestants))
            stated = next(iter(contestants.values()))
            assert (stated.most, stated.share) in [(1, 4.0), (1, 1.0)], "4 points, of a quarter of the examples perhaps"
            rounds = {name: [3.0 if name == "loop/16" else 1.0] * 3 for name in contestants}
            return Outcome(rounds, {}, dict.fromkeys(contestants, 1))

        monkeypatch.setattr(planning, "race", made_up)
        return seen

    @staticmethod
    def engine(machine: str, folder: Path, *, steps: bool = True, memory: str = "auto") -> la.Engine:
        service = Service("loop", 4, examples=16)
        plan = Plan(service, Service("loop", 4), Service("loop", 1), threads=1, machine=machine)
        file = folder / "plan.json"
        file.write_text(json.dumps(plan.to_dict()))
        return engine(plan=str(file), steps=steps, memory=memory)

    def test_are_followed_and_what_they_take_here_is_said(self, raced: list[list[str]], tmp_path: Path) -> None:
        with pytest.warns(la.Caution) as told:
            made = self.engine("A processor (avx2)", tmp_path)
        assert made.plan.evaluate == Service("loop", 4, examples=16)
        assert [names[0] for names in raced] == ["loop", "loop/16"], "one that is not slower is not spoken of"
        (line,) = [str(each.message) for each in told]
        assert line.startswith(
            "evaluate: the plan was measured on another machine (A processor (avx2)) and is followed"
        )
        assert "3,000,000 us a point, 1,000,000 with plain, as a new run with --plan auto would have it" in line

    def test_are_followed_where_there_is_no_room_for_others(
        self, raced: list[list[str]], tmp_path: Path, recwarn: pytest.WarningsRecorder
    ) -> None:
        self.engine("A processor (avx2)", tmp_path, memory="1kB")
        assert not raced
        assert not recwarn.list

    def test_a_survey_does_not_measure_steps(self, raced: list[list[str]], tmp_path: Path) -> None:
        with pytest.warns(la.Caution):
            self.engine("A processor (avx2)", tmp_path, steps=False)
        assert len(raced) == 1

    @pytest.mark.parametrize("machine", ["", name_machine(torch.device("cpu"))])
    def test_a_plan_of_this_machine_or_of_none_is_not_measured_again(
        self, raced: list[list[str]], tmp_path: Path, machine: str, recwarn: pytest.WarningsRecorder
    ) -> None:
        self.engine(machine, tmp_path)
        assert not raced
        assert not recwarn.list


@pytest.mark.parametrize(
    ("pace", "stacked"),
    [
        (Pace(calls=0.9e-3, arithmetic=0.1e-3), True),  # of a small network
        (Pace(calls=0.1e-3, arithmetic=0.9e-3), True),  # cheap to be raced, and the share is a guess
        (Pace(calls=0.02, arithmetic=0.03), True),
        (Pace(calls=0.005, arithmetic=0.045), False),
        (Pace(calls=0.2, arithmetic=0.1), False),  # longer than a run may take, and examples can come in parts
    ],
)
def test_points_are_taken_together_where_calls_take_the_time(pace: Pace, stacked: bool) -> None:
    network = TestPrecision.engine("fp32").network
    controls = torch.randn(3, network.space.size)
    batch = (torch.randn(64, 1, 4, 4), torch.arange(64) % 3)
    piece = Piece("evaluate", network, controls, batch, 256)
    names, left_out = piece.worth_trying(["plain", "loop", "threads", "vmap", "batched"], pace, a_run=0.15)
    assert names[:3] == ["plain", "loop", "threads"]
    assert set(names[3:]) == ({"vmap", "batched"} if stacked else set())
    assert set(left_out) == {"vmap", "batched"} - set(names)
