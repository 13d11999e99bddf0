"""The entry point: global settings, dispatch, and every error as one line and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from lossatlas.cli.cautions import tell_cautions
from lossatlas.cli.process import check_folder, settle
from lossatlas.cli.shortages import advise, explain_shortage
from lossatlas.cli.signals import watch_signals
from lossatlas.cli.terminal import guard_streams, note
from lossatlas.errors import BadInput, CannotFinish, Interrupted, LossatlasError, tell_raised
from lossatlas.files.reading import tell_reason

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; returns its exit code.

    0 done, 2 bad input, 3 could not be finished, 130 interrupted. Anything else that is raised is a bug, and its
    traceback says where.

    Args:
        argv: the command line; None takes that of the process, which ends afterwards.
    """
    with watch_signals(last=argv is None) as interrupted, guard_streams() as output:
        code = _outcome(list(sys.argv[1:] if argv is None else argv), interrupted)
        output.flush()
        # Who closes a pipe, or starts the process without output, wants to read no more.
        if code == 0 and output.failure is not None and not isinstance(output.failure, BrokenPipeError):
            reason = tell_reason(output.failure)
            note(f"standard output cannot be written ({reason}); send it elsewhere")
            return CannotFinish.exit_code
        return code


def _outcome(tokens: list[str], interrupted: Callable[[], bool]) -> int:
    """Run a command line; returns the exit code, and says on standard error what went wrong."""
    try:
        return _run(tokens)
    except BaseException as error:
        if (interrupted() and not isinstance(error, Interrupted)) or isinstance(error, KeyboardInterrupt):
            note("interrupted")
            return Interrupted.exit_code
        if isinstance(error, LossatlasError):
            note(f"{error}{advise(error)}")
            return error.exit_code
        if (said := explain_shortage(error)) is not None:
            note(said)
            return CannotFinish.exit_code
        if isinstance(error, Exception):
            raise
        note(tell_raised(error))  # a user's code ends the process, and nothing is computed yet
        return BadInput.exit_code


def _run(tokens: list[str]) -> int:
    """Run a command line; what cyclopts refuses is bad input."""
    _check_text(tokens)
    check_folder()
    settle()
    from cyclopts import CycloptsError

    from lossatlas.cli.app import run

    try:
        with tell_cautions():
            return run(tokens)
    except CycloptsError as error:
        from lossatlas.cli.refusals import explain_refusal

        raise BadInput(explain_refusal(error)) from error


def _check_text(tokens: list[str]) -> None:
    """Refuse what is not text: half of the libraries below cannot open files by other names.

    Raises:
        BadInput: a token has bytes that are not UTF-8, or null bytes.
    """
    for token in tokens:
        try:
            token.encode()
        except UnicodeEncodeError:
            raise BadInput(f"{token} is not UTF-8; rename what it names, or give a link to it") from None
        if "\0" in token:
            raise BadInput(f"{token} has a null byte, which no name has; leave it out")
