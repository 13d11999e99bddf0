"""What has to be known to read a result rightly, in one line each."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lossatlas.errors import Caution

__all__ = ["cautions_told"]


@contextmanager
def cautions_told() -> Iterator[None]:
    """While entered, each :class:`~lossatlas.errors.Caution` is one line on stderr; other warnings stay the same."""
    told: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("always", Caution)
        show = warnings.showwarning

        def tell(message: Warning | str, category: type[Warning], *where: Any, **how: Any) -> None:
            if not issubclass(category, Caution):
                show(message, category, *where, **how)
            elif (line := " ".join(str(message).split())) not in told:
                told.add(line)
                print(f"lossatlas: note: {line}", file=sys.stderr)

        warnings.showwarning = tell
        yield
