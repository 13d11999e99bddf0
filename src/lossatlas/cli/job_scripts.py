"""Scripts that start one command many times: for Slurm, for GNU parallel or xargs, and for submitit."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lossatlas.errors import BadInput

__all__ = ["SCHEDULERS", "Request", "Scheduler", "check_words", "count_minutes"]

TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")
"""How Slurm writes a time."""


@dataclass(frozen=True)
class Request:
    """What is asked of a scheduler."""

    command: tuple[str, ...]
    """The command, from the interpreter on, as a list of words."""
    folder: Path
    """The folder that the command is started in."""
    name: str
    """The name of the job."""
    logs: Path
    """Where what the workers say goes, beside the script: a folder, or the beginning of a file's name."""
    workers: int
    time: str | None = None
    """The longest time that a worker takes, as Slurm writes it."""
    cpus: int | None = None
    """The number of cores of each worker."""
    gpus: int | None = None
    """The number of GPUs of each worker."""
    partition: str | None = None
    account: str | None = None


@dataclass(frozen=True)
class Scheduler:
    """How the script for one scheduler is written.

    Attributes:
        write: Makes the script of a request.
        suffix: Of the script.
        start: The command that starts it, before its path.
        machines: Whether workers may be on several machines, whose file systems' locks cannot be trusted.
        unheeded: The options that mean nothing to it.
    """

    write: Callable[[Request], str]
    suffix: str
    start: str
    machines: bool
    unheeded: tuple[str, ...] = ()


def count_minutes(time: str) -> int:
    """How many minutes a time of Slurm's has, rounded up.

    >>> [count_minutes(time) for time in ("90", "04:00:00", "1-12", "2-00:30", "10:30")]
    [90, 240, 2160, 2910, 11]

    Raises:
        BadInput: it is not one.
    """
    found = TIME.fullmatch(time)
    parts = [int(part) for part in found.groups() if part is not None] if found is not None else []
    below_an_hour = [int(part) < 60 for part in time.split(":")[1:]] if found is not None else []
    if found is None or not any(parts) or len(time) > 20 or not all(below_an_hour):
        raise BadInput(f"--time is {time!r}; expected a time such as 04:00:00, 90 (minutes) or 2-12:00 (days-hours)")
    if found[1] is not None:
        days, hours, minutes, seconds = (*parts, 0, 0, 0)[:4]
    elif len(parts) == 3:
        days, (hours, minutes, seconds) = 0, parts
    else:
        days, hours, minutes, seconds = 0, 0, parts[0], (*parts, 0)[1]
    return days * 1440 + hours * 60 + minutes + (seconds > 0)


def _write_slurm(request: Request) -> str:
    """An sbatch script, whose srun starts the workers; Slurm starts it again if it is preempted."""
    directives = {
        "job-name": request.name,
        "ntasks": request.workers,
        "cpus-per-task": request.cpus,
        "gpus-per-task": request.gpus,
        "time": request.time,
        "partition": request.partition,
        "account": request.account,
        "output": _spell_output(request.logs),
        "open-mode": "append",
    }
    stated = "".join(f"#SBATCH --{name}={value}\n" for name, value in directives.items() if value is not None)
    # srun takes neither from the job in all versions; and who ends, well or not, takes no others along.
    asked = f"{_ask('cpus-per-task', request.cpus)}{_ask('gpus-per-task', request.gpus)} --kill-on-bad-exit=0 --label"
    return (
        f"#!/bin/bash\n{stated}#SBATCH --requeue\n{_tell(request)}\n{_go(request)}"
        f"exec srun --ntasks={request.workers}{asked} \\\n    {shlex.join(request.command)}\n"
    )


def _write_parallel(request: Request) -> str:
    """A shell script for one machine, which uses GNU parallel where there is one, and xargs otherwise."""
    gpus = (
        f"    first=$((($2 - 1) * {request.gpus}))\n"
        f'    export CUDA_VISIBLE_DEVICES=$(seq -s , "$first" $((first + {request.gpus - 1})))\n'
        if request.gpus
        else ""
    )
    go = "".join(f"    {line}\n" for line in _go(request).splitlines())
    logs, many = shlex.quote(str(request.logs)), request.workers
    return (
        f"#!/bin/sh\n{_tell(request)}\n"
        'if [ "$1" = worker ]; then  # one of them, with its number\n'
        f"{go}{gpus}"
        f'    exec {shlex.join(request.command)} >> {logs}/"$2".txt 2>&1\n'
        "fi\n\n"
        f"mkdir -p {logs} || exit 2\n"
        "if parallel --version 2> /dev/null | grep -q GNU; then\n"
        f'    seq {many} | parallel --quote --jobs {many} --halt never sh "$0" worker {{}}\n'
        "else\n"
        f'    seq {many} | xargs -n 1 -P {many} sh "$0" worker\n'
        "fi\n"
    )


def _write_submitit(request: Request) -> str:
    """A Python script, which submits to Slurm where there is one, and starts processes here with ``--local``."""
    parameters: dict[str, object] = {
        "name": request.name,
        "timeout_min": None if request.time is None else count_minutes(request.time),
        "cpus_per_task": request.cpus,
        "gpus_per_node": request.gpus,
        "slurm_partition": request.partition,
        "slurm_account": request.account,
    }
    stated = "".join(f"    {name}={value!r},\n" for name, value in parameters.items() if value is not None)
    words = "".join(f"    {word!r},\n" for word in request.command)
    threads = f'os.environ["OMP_NUM_THREADS"] = "{request.cpus}"\n        ' if request.cpus is not None else ""
    return f'''"""Written by lossatlas submit: {request.workers} times the same command, which share one run.

    python THIS_FILE            submits them to Slurm, or starts them here where there is none
    python THIS_FILE --local    starts them here

Start it again to continue; what a worker that dies was at is done by the others.
"""

import os
import subprocess
import sys

import submitit

COMMAND = [
{words}]
FOLDER = {str(request.folder)!r}


class Worker(submitit.helpers.Checkpointable):
    """One worker, which submitit starts again if it is preempted or has taken its time."""

    def __call__(self):
        """Carry out the command."""
        {threads}done = subprocess.run(COMMAND, cwd=FOLDER)
        if done.returncode:
            raise RuntimeError(f"lossatlas ended with status {{done.returncode}}")


executor = submitit.AutoExecutor({str(request.logs)!r}, cluster="local" if "--local" in sys.argv[1:] else None)
executor.update_parameters(
{stated})
with executor.batch():
    jobs = [executor.submit(Worker()) for _ in range({request.workers})]
print("submitted", *[job.job_id for job in jobs])
if executor.cluster == "local":
    failed = [job.job_id for job in jobs if job.exception() is not None]
    sys.exit(f"failed: {{' '.join(failed)}}; see {{executor.folder}}" if failed else 0)
'''


def _tell(request: Request) -> str:
    """What the script is, as comments."""
    return (
        f"# Written by lossatlas submit: {request.workers} times the same command, which share one run.\n"
        "# Start it again to continue; what a worker that dies was at is done by the others.\n"
    )


def _go(request: Request) -> str:
    """Lines that enter the folder of the command, and keep a worker to its cores where their number is stated."""
    threads = f"export OMP_NUM_THREADS={request.cpus}\n" if request.cpus is not None else ""
    return f"cd {shlex.quote(str(request.folder))} || exit 2\n{threads}"


def _ask(name: str, value: int | None) -> str:
    return f" --{name}={value}" if value is not None else ""


def _spell_output(logs: Path) -> str:
    """The file for what the workers of a job say, as sbatch reads it in a line of its own.

    Raises:
        BadInput: it has a line break or a quotation mark, which sbatch does not take there.
    """
    text = str(logs).replace("%", "%%")
    if any(character in text for character in '\n\r"\\'):
        raise BadInput(f"--out is in {text!r}, whose line break, quotation mark or backslash Slurm does not take")
    return f'"{text}-%j.txt"'


SCHEDULERS: Mapping[str, Scheduler] = {
    "slurm": Scheduler(_write_slurm, ".sh", "sbatch", machines=True),
    "parallel": Scheduler(_write_parallel, ".sh", "sh", machines=False, unheeded=("time", "partition", "account")),
    "submitit": Scheduler(_write_submitit, ".py", "python", machines=True),
}
"""By name how scripts are written."""


def check_words(words: Mapping[str, str | None]) -> None:
    """Refuse values of options that are not single words, which would become other directives of a script.

    Raises:
        BadInput: one is not.
    """
    for name, word in words.items():
        if word is not None and not re.fullmatch(r"[\w.,@:+-]+", word):
            raise BadInput(f"--{name} is {word!r}; expected a name of letters and digits")
