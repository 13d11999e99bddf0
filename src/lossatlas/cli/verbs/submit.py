"""``lossatlas submit``."""

from __future__ import annotations

import sys
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Literal

from cyclopts import CycloptsError

from lossatlas.cli.app import VERBS, PlainVerb, make_app
from lossatlas.cli.job_scripts import SCHEDULERS, Request, check_words, count_minutes
from lossatlas.cli.layers import list_options
from lossatlas.cli.panels import Example, Panel
from lossatlas.cli.refusals import explain_refusal
from lossatlas.cli.terminal import say
from lossatlas.errors import BadInput
from lossatlas.files.writing import check_place, write_atomically

if TYPE_CHECKING:
    from lossatlas.cli.configured import RunOptions

__all__ = ["SUBMIT"]

TILED = ("survey",)
"""The verbs that any number of processes may carry out together, tile by tile."""
ALONE = {
    "overwrite": "each worker would replace what the others have done",
    "print_config": "nothing would be computed",
    "dry_run": "nothing would be computed",
}
"""By option of a run why many workers cannot be given it."""
LEASES = ["--claims", "leases"]
MOST = 100_000
"""The most workers, or cores or GPUs of one."""


def submit(
    *command: str,
    scheduler: Literal["slurm", "parallel", "submitit"] = "slurm",
    workers: int = 2,
    time: str | None = None,
    cpus: int | None = None,
    gpus: int | None = None,
    partition: str | None = None,
    account: str | None = None,
    out: Path | None = None,
    overwrite: bool = False,
) -> int | None:
    """Write a job script that starts the command after `--` many times, so that all of them share one run.

    The workers need nothing but a folder that all of them see. Each is the same command with `--resume`; with slurm and
    submitit also with `--claims leases`, since file systems of several machines may not lock. Nothing is started here.

    Args:
        command: The command that is shared, after `--`: survey and its options.
        scheduler: What starts the workers: slurm, parallel (GNU parallel or xargs, on one machine), or submitit.
        workers: How many times the command is started.
        time: Longest time of a worker, as Slurm writes it, such as 04:00:00, 90 (minutes) or 2-12:00 (days-hours).
        cpus: Cores of each worker.
        gpus: GPUs of each worker.
        partition: Partition of Slurm.
        account: Account of Slurm.
        out: File to write; by default job.sh, or job.py of submitit.
        overwrite: Replace a file that exists.
    """
    chosen = SCHEDULERS[scheduler]
    for name, number in {"workers": workers, "cpus": cpus, "gpus": gpus}.items():
        if number is not None and not 1 <= number <= MOST:
            raise BadInput(f"--{name} is {number}; expected 1 to {MOST:,}")
    asked = {"time": time, "partition": partition, "account": account}
    for name in chosen.unheeded:
        if asked[name] is not None:
            raise BadInput(f"--{name} means nothing to {scheduler}; leave it out")
    check_words({"partition": partition, "account": account})
    if time is not None:
        count_minutes(time)
    script = out if out is not None else Path(f"job{chosen.suffix}")
    check_place(script, "--out", folder=False)
    if script.exists() and not overwrite:
        raise BadInput(f"{script} exists; choose another --out, or replace it with --overwrite")
    shared, run = _share(list(command), leases=chosen.machines)
    request = Request(
        command=(sys.executable, "-m", "lossatlas", *shared),
        folder=Path.cwd(),
        name=script.stem,
        logs=script.absolute().with_suffix(".logs"),
        workers=workers,
        time=time,
        cpus=cpus,
        gpus=gpus,
        partition=partition,
        account=account,
    )
    check_words({"out": request.name})
    write_atomically(script, chosen.write(request).encode())
    say(f"start it: {chosen.start} {quote(str(script))}")
    say(f"look at it: lossatlas status {quote(str(run.out))}")
    return None


def _share(tokens: list[str], *, leases: bool) -> tuple[list[str], RunOptions]:
    """A command as each of many workers gets it, and its options of how it is carried out.

    Args:
        tokens: the command, from its verb on.
        leases: whether tiles are to be claimed by leases, unless the command says how.

    Raises:
        BadInput: there is no command, it has no tiles to share, or it would be refused itself.
    """
    if tokens[:1] == ["lossatlas"]:
        tokens = tokens[1:]
    if not tokens:
        raise BadInput("there is no command; expected one after --, as in lossatlas submit --workers 8 -- survey ...")
    verb, given = tokens[0], list_options(tokens)
    if verb in VERBS and verb not in TILED:
        raise BadInput(f"{verb} has no tiles that several commands could share; expected {' or '.join(TILED)}")
    if {"help", "help_all"} & given or "-h" in tokens:
        raise BadInput("--help computes nothing; leave it out")
    resumed = [] if "resume" in given else ["--resume"]
    shared = [*tokens, *resumed, *(LEASES if leases and "claims" not in given else [])]
    run = _parse(shared)
    for name, reason in ALONE.items():
        if getattr(run, name):
            raise BadInput(f"--{name} in the command that is shared means that {reason}; leave it out")
    if given & {"executor", "workers", "ray_address"}:
        raise BadInput(
            "--executor and --workers in the command that is shared would have each of its processes start workers; "
            "leave them out"
        )
    if not run.resume:
        raise BadInput(
            "--no_resume in the command that is shared means that one alone could write the run; leave it out"
        )
    return shared, run


def _parse(tokens: list[str]) -> RunOptions:
    """The options of how a command is carried out, which is parsed as if it were given by itself.

    Raises:
        BadInput: it is refused.
    """
    verb = tokens[0]
    try:
        layered = [verb, *VERBS[verb].layered(tokens[1:])]
        _, bound, _ = make_app(layered).parse_args(layered, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise BadInput(f"the command that is shared: {explain_refusal(error)}") from error
    except BadInput as error:
        raise BadInput(f"the command that is shared: {error}") from error
    run: RunOptions = bound.arguments["run"]
    return run


class _Submit(PlainVerb):
    def layered(self, tokens: list[str]) -> list[str]:
        """The tokens as they are; a command among the options, and not after them, is refused with a hint."""
        if "--" not in tokens and (verb := next((token for token in tokens if token in VERBS), None)) is not None:
            raise BadInput(f"the command stands after --, as in lossatlas submit --workers 8 -- {verb} ...")
        return tokens


SUBMIT = _Submit(
    submit,
    panels=(
        Panel(title="Command", common=("command",)),
        Panel(title="Workers", common=("scheduler", "workers", "time", "cpus", "gpus"), rare=("partition", "account")),
        Panel(title="Output", common=("out", "overwrite")),
    ),
    examples=(
        Example(
            "A survey by 16 workers with a GPU each, on Slurm",
            "lossatlas submit --workers 16 --time 4:00:00 --gpus 1 -- survey --run runs/a",
        ),
        Example(
            "The same survey by four processes of this machine",
            "lossatlas submit --scheduler parallel --workers 4 -- survey --run runs/a",
        ),
    ),
)
