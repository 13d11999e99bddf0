"""What help says of defaults: what a verb settles them to, as the command line spells it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cyclopts.help import DefaultFormatter, HelpEntry, HelpPanel

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions

__all__ = ["VerbHelp", "spell"]


def spell(value: Any) -> str | None:
    """A value as the command line takes it; None of what it would not show: nothing, or an empty list."""
    values = value if isinstance(value, list | tuple) else [] if value is None else [value]
    return " ".join(map(str, values)) or None


class VerbHelp(DefaultFormatter):
    """Help of one verb.

    Args:
        settled: by option the defaults that are not those that it was declared with.
    """

    def __init__(self, settled: Mapping[str, Any]) -> None:
        super().__init__()
        self._settled = settled

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        entries = [entry.copy(default=self._default(entry)) for entry in panel.entries]
        super().__call__(console, options, panel.copy(entries=entries))

    def _default(self, entry: HelpEntry) -> str | None:
        name = entry.positive_names[0] if entry.positive_names else ""
        text = spell(self._settled.get(name.removeprefix("--"), entry.default))
        return {"True": name, "False": entry.negative_names[0]}.get(str(text)) if entry.type is bool else text
