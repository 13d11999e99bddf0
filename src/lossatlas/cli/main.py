"""The entry point: global settings, dispatch, and every error as one line and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lossatlas.cli.cautions import cautions_told
from lossatlas.cli.process import settle
from lossatlas.errors import LossatlasError

__all__ = ["main"]

BAD_INPUT = 2
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; returns its exit code.

    0 done, 2 bad input, 3 could not be finished, 130 interrupted. Anything else that is raised is a bug, and its
    traceback says where.
    """
    settle()
    from cyclopts import CycloptsError, UnusedCliTokensError

    from lossatlas.cli.app import run

    try:
        with cautions_told():
            return run(list(sys.argv[1:] if argv is None else argv))
    except LossatlasError as error:
        return _fail(str(error), error.exit_code)
    except UnusedCliTokensError as error:
        left = " ".join(error.unused_tokens or ())
        return _fail(f"unexpected {left!r}: flags take no value, write --name or --no_name instead", BAD_INPUT)
    except CycloptsError as error:
        return _fail(str(error), BAD_INPUT)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        return 0


def _fail(message: str, code: int) -> int:
    print(f"lossatlas: {' '.join(message.split())}", file=sys.stderr)
    return code
