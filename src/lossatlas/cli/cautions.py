"""What has to be known to read a result rightly, in one line each."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lossatlas.cli.terminal import note
from lossatlas.errors import Caution, escape_unprintable

__all__ = ["tell_cautions"]


@contextmanager
def tell_cautions() -> Iterator[None]:
    """While entered, each :class:`~lossatlas.errors.Caution` is one line on stderr; others have no escape sequences."""
    told: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("always", Caution)
        show, form = warnings.showwarning, warnings.formatwarning

        def tell(message: Warning | str, category: type[Warning], *where: Any, **how: Any) -> None:
            if not issubclass(category, Caution):
                show(message, category, *where, **how)
            elif (line := " ".join(str(message).split())) not in told:
                told.add(line)
                note(f"note: {line}")

        def plain(*what: Any, **how: Any) -> str:
            return escape_unprintable(form(*what, **how), keep="\n")

        warnings.showwarning, warnings.formatwarning = tell, plain
        try:
            yield
        finally:
            warnings.formatwarning = form
