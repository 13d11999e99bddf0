"""Job scripts: the same command many times, as Slurm, GNU parallel, xargs and submitit start it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
from small_runs import NETWORK, TRAINING

from lossatlas.cli.job_scripts import SCHEDULERS, Request, count_minutes
from lossatlas.cli.main import main
from lossatlas.errors import BadInput
from lossatlas.jobs.survey import run_survey
from lossatlas.jobs.train import run_train
from lossatlas.presence import read_status
from lossatlas.recipes import SurveyConfig

SMALL = ["--grid", "18", "5", "--examples", "20", "--plan", "loop", "--no_pictures", "--device", "cpu"]
SRUN = f"""#!{sys.executable}
import os, subprocess, sys
options = [word for word in sys.argv[1:] if word.startswith('--')]
options = options[:options.index('--label') + 1]
print(*options, os.getcwd(), os.environ.get('OMP_NUM_THREADS'), flush=True)
command = sys.argv[1 + len(options):]
workers = [subprocess.Popen(command) for _ in range(int(options[0].partition('=')[2]))]
sys.exit(max(worker.wait() for worker in workers))
"""
"""A program that starts as many as it is told to, as Slurm's srun does."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained network, in a folder with a space in its name."""
    path = tmp_path_factory.mktemp("trained networks") / "net"
    run_train(TRAINING, path)
    return path


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a name that shells would take apart."""
    folder = tmp_path / "it's $HOME {}"
    folder.mkdir()
    monkeypatch.chdir(folder)


def write(network: Path, *options: str, out: str = "job.sh", run: str = "run") -> str:
    """The script for a small survey around a network."""
    command = ["survey", "--checkpoint", str(network), *SMALL, "--out", run]
    assert main(["submit", "--out", out, *options, "--", *command]) == 0
    return Path(out).read_text()


def start(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a script comes to that is started as its user would, with lossatlas where it is tested."""
    path = os.pathsep.join(sys.path)
    return subprocess.run(
        words, env={**os.environ, "PYTHONPATH": path, **environment}, capture_output=True, text=True, check=False
    )


def check_survey(network: Path, run: str = "run") -> None:
    """The survey is the one that a single process makes, and nobody works on it any more."""
    config = SurveyConfig(**NETWORK, checkpoint=str(network), grid=(18, 5), examples="20", plan="loop")
    run_survey(config, Path("alone"), pictures=False)
    made, alone = (xr.open_zarr(f"{name}/survey.zarr", consolidated=False, chunks=None) for name in (run, "alone"))
    xr.testing.assert_equal(made.load(), alone.load())
    status = read_status(run)
    assert (status.state, status.processes) == ("finished", ())


def put_program(name: str, text: str) -> Path:
    """A program of a name in a folder of its own, to be put on the PATH."""
    folder = Path("programs").absolute()
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)
    return folder


class TestParallel:
    """On one machine: a shell script."""

    def test_its_workers_share_one_survey(self, network: Path) -> None:
        """By xargs, which is everywhere."""
        write(network, "--scheduler", "parallel", "--workers", "2", "--cpus", "1")
        done = start("sh", "job.sh")
        assert done.returncode == 0, done.stderr + "".join(path.read_text() for path in Path("job.logs").iterdir())
        assert sorted(path.name for path in Path("job.logs").iterdir()) == ["1.txt", "2.txt"]
        check_survey(network)

    def test_by_gnu_parallel_where_there_is_one(self) -> None:
        """One that starts what it is told to, and quotes as that does."""
        parallel = (
            f"#!{sys.executable}\nimport subprocess, sys\n"
            "if '--version' in sys.argv: sys.exit(print('GNU parallel 20240101'))\n"
            "assert sys.argv[1:6] == ['--quote', '--jobs', '2', '--halt', 'never'], sys.argv\n"
            "for line in sys.stdin.read().split():\n"
            "    print(subprocess.call([word.replace('{}', line) for word in sys.argv[6:]]))\n"
        )
        folder = put_program("parallel", parallel)
        words = (sys.executable, "-c", "import sys; print(sys.argv[1:])", "two words", "it's", '"', "$HOME", "{}")
        request = Request(words, Path.cwd(), "job", Path("job.logs").absolute(), 2)
        Path("job.sh").write_text(SCHEDULERS["parallel"].write(request))
        done = start("sh", "job.sh", PATH=f"{folder}{os.pathsep}{os.environ['PATH']}")
        assert (done.returncode, done.stdout.split()) == (0, ["0", "0"]), done.stderr
        said = [Path(f"job.logs/{number}.txt").read_text().strip() for number in (1, 2)]
        assert said == [str(list(words[3:]))] * 2

    def test_each_worker_has_gpus_and_cores_of_its_own(self) -> None:
        told = f"import os; print(os.environ['CUDA_VISIBLE_DEVICES'], os.environ['OMP_NUM_THREADS'])"  # noqa: F541
        request = Request(
            (sys.executable, "-c", told), Path.cwd(), "job", Path("job.logs").absolute(), 3, cpus=4, gpus=2
        )
        Path("job.sh").write_text(SCHEDULERS["parallel"].write(request))
        assert start("sh", "job.sh").returncode == 0
        said = [Path(f"job.logs/{number}.txt").read_text().strip() for number in (1, 2, 3)]
        assert said == ["0,1 4", "2,3 4", "4,5 4"]
        assert start("sh", "job.sh").returncode == 0, "it can be started again"

    def test_one_that_fails_takes_no_others_along(self) -> None:
        told = "import sys; sys.exit('refused') if not sys.stdin.isatty() else None"
        request = Request((sys.executable, "-c", told), Path.cwd(), "job", Path("job.logs").absolute(), 3)
        Path("job.sh").write_text(SCHEDULERS["parallel"].write(request))
        assert start("sh", "job.sh").returncode != 0
        assert [path.read_text() for path in sorted(Path("job.logs").iterdir())] == ["refused\n"] * 3


class TestSlurm:
    """On a cluster: an sbatch script, whose srun starts the workers."""

    @staticmethod
    def request(command: tuple[str, ...], **more: Any) -> Request:
        return Request(command, Path.cwd(), "job", Path("job.logs").absolute(), **{"workers": 3, **more})

    def test_srun_starts_them_as_they_are_asked_for(self) -> None:
        """What sbatch reads are comments to a shell."""
        folder = put_program("srun", SRUN)
        request = self.request(
            (sys.executable, "-c", "print('a b')"), time="1-00:00:00", cpus=4, gpus=1, partition="big"
        )
        Path("job.sh").write_text(SCHEDULERS["slurm"].write(request))
        assert start("bash", "-n", "job.sh").returncode == 0
        done = start("bash", "job.sh", PATH=f"{folder}{os.pathsep}{os.environ['PATH']}")
        assert done.returncode == 0, done.stderr
        first, _, said = done.stdout.partition("\n")
        assert first == f"--ntasks=3 --cpus-per-task=4 --gpus-per-task=1 --kill-on-bad-exit=0 --label {Path.cwd()} 4"
        assert said.count("a b") == 3
        directives = re.findall(r"^#SBATCH (.*)$", Path("job.sh").read_text(), flags=re.MULTILINE)
        assert directives == [
            "--job-name=job", "--ntasks=3", "--cpus-per-task=4", "--gpus-per-task=1", "--time=1-00:00:00",
            "--partition=big", f'--output="{Path.cwd() / "job.logs"}-%j.txt"', "--open-mode=append", "--requeue",
        ]  # fmt: skip

    def test_a_folder_that_a_directive_cannot_name_is_refused(self) -> None:
        for name in ('a"b', "a\nb"):
            request = Request(("true",), Path.cwd(), "job", Path(name), 2)
            with pytest.raises(BadInput, match="Slurm does not take"):
                SCHEDULERS["slurm"].write(request)

    def test_tiles_are_claimed_by_leases_unless_the_command_says_how(self, network: Path) -> None:
        text = write(network)
        assert "--resume --claims leases\n" in text
        stated = ["survey", "--checkpoint", str(network), "--claims", "locks"]
        assert main(["submit", "--out", "other.sh", "--", *stated]) == 0
        assert "--claims locks --resume\n" in Path("other.sh").read_text()


class TestSubmitit:
    """From Python."""

    def test_its_workers_are_started(self) -> None:
        pytest.importorskip("submitit")
        told = "import os; open(f'{os.getpid()}.told', 'w').write(os.environ['OMP_NUM_THREADS'])"
        logs = Path("job.logs").absolute()
        request = Request((sys.executable, "-c", told), Path.cwd(), "job", logs, 2, "00:10:00", cpus=1)
        Path("job.py").write_text(SCHEDULERS["submitit"].write(request))
        done = start(sys.executable, "job.py", "--local")
        assert done.returncode == 0, done.stderr
        assert [path.read_text() for path in Path().glob("*.told")] == ["1", "1"]

    def test_one_that_fails_is_named(self) -> None:
        pytest.importorskip("submitit")
        request = Request((sys.executable, "-c", "raise SystemExit(3)"), Path.cwd(), "job", Path("logs").absolute(), 1)
        Path("job.py").write_text(SCHEDULERS["submitit"].write(request))
        done = start(sys.executable, "job.py", "--local")
        assert done.returncode == 1
        assert re.search(r"failed: \d+; see ", done.stderr.splitlines()[-1])

    def test_they_share_one_survey(self, network: Path) -> None:
        pytest.importorskip("submitit")
        text = write(network, "--scheduler", "submitit", out="job.py")
        assert "'--claims',\n    'leases',\n" in text
        done = start(sys.executable, "job.py", "--local")
        assert done.returncode == 0, done.stderr
        check_survey(network)


PARALLEL = ["submit", "--scheduler", "parallel"]


@pytest.mark.parametrize(
    ("tokens", "reason"),
    [
        (["submit"], "there is no command; expected one after --"),
        ([*PARALLEL, "survey", "--checkpoint", "a"], "the command stands after --, as in .* -- survey"),
        ([*PARALLEL, "--", "fit"], "fit has no tiles that several commands could share; expected survey"),
        ([*PARALLEL, "--", "compare", "a", "b"], "compare has no tiles"),
        ([*PARALLEL, "--", "servey"], "'servey' is not a verb; did you mean 'survey'"),
        ([*PARALLEL, "--", "survey", "--chekpoint", "a"], "that is shared: --chekpoint is not an option"),
        ([*PARALLEL, "--", "survey", "--grid", "1"], "that is shared: grid is 1; expected"),
        ([*PARALLEL, "--", "survey", "--config", "none.yaml"], "that is shared: config none.yaml cannot be read"),
        ([*PARALLEL, "--", "survey", "--overwrite"], "each worker would replace what the others have done"),
        ([*PARALLEL, "--", "survey", "--dry-run"], "nothing would be computed"),
        ([*PARALLEL, "--", "survey", "--print_config"], "nothing would be computed"),
        ([*PARALLEL, "--", "survey", "--no_resume"], "one alone could write the run"),
        ([*PARALLEL, "--time", "1:00:00", "--", "survey"], "--time means nothing to parallel"),
        ([*PARALLEL, "--workers", "0", "--", "survey"], "--workers is 0; expected 1 to 100,000"),
        ([*PARALLEL, "--gpus", "-1", "--", "survey"], "--gpus is -1; expected 1 to"),
        (["submit", "--time", "soon", "--", "survey"], "--time is 'soon'; expected a time such as 04:00:00"),
        (["submit", "--time", "25:99:99", "--", "survey"], "--time is '25:99:99'; expected a time such as"),
        (["submit", "--time", "0", "--", "survey"], "--time is '0'; expected a time"),
        (["submit", "--partition", "a\n#SBATCH --x", "--", "survey"], "--partition is .*; expected a name"),
        (["submit", "--scheduler", "pbs", "--", "survey"], "--scheduler is 'pbs'; expected slurm"),
        ([*PARALLEL, "--out", "none/here/../job.sh", "--", "survey"], "is not an existing folder"),
        ([*PARALLEL, "--out", "a;b.sh", "--", "survey"], "--out is 'a;b'; expected a name"),
    ],
)
def test_what_cannot_be_shared_is_refused_and_nothing_written(
    tokens: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(tokens) == 2
    told = capsys.readouterr()
    assert re.search(reason, told.err)
    assert len(told.err.splitlines()) == 1
    assert not told.out
    assert not list(Path().iterdir())


def test_a_file_that_exists_is_kept_unless_it_is_to_be_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    Path("job.sh").write_text("mine")
    command = ["--", "lossatlas", "survey", "--checkpoint", "a"]
    assert main([*PARALLEL, *command]) == 2
    assert "job.sh exists; choose another --out, or replace it with --overwrite" in capsys.readouterr().err
    assert Path("job.sh").read_text() == "mine"
    assert main([*PARALLEL, "--overwrite", *command]) == 0
    assert capsys.readouterr().out.splitlines() == ["start it: sh job.sh", "look at it: lossatlas status runs/survey"]
    (line,) = [line for line in Path("job.sh").read_text().splitlines() if "exec" in line]
    assert "-m lossatlas survey --checkpoint a --resume >>" in line


@pytest.mark.parametrize(
    ("time", "minutes"), [("30", 30), ("30:01", 31), ("1:30:00", 90), ("2-0", 2880), ("1-1:1", 1501), ("1-0:0:1", 1441)]
)
def test_times_are_those_of_slurm(time: str, minutes: int) -> None:
    assert count_minutes(time) == minutes
