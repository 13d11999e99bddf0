"""What help says of defaults: what a verb settles them to, as the command line spells it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cyclopts.help import HelpEntry, HelpPanel
    from rich.console import Console, ConsoleOptions

__all__ = ["VerbHelp", "spell"]


def spell(value: Any) -> str | None:
    """A value as the command line takes it; None of what it would not show: nothing, or an empty list."""
    values = value if isinstance(value, list | tuple) else [] if value is None else [value]
    return " ".join(map(str, values)) or None


class VerbHelp:
    """Writes the help of one verb; imports what that takes where it is asked for, which most commands do not.

    Args:
        settle: gives by option the defaults that are not those that it was declared with.
    """

    def __init__(self, settle: Callable[[], Mapping[str, Any]]) -> None:
        self._settle = settle

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        from cyclopts.help import DefaultFormatter

        settled = self._settle()
        entries = [entry.copy(default=self._default(entry, settled)) for entry in panel.entries]
        DefaultFormatter()(console, options, panel.copy(entries=entries))

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        """Write the line on usage, as cyclopts does."""
        from cyclopts.help import DefaultFormatter

        DefaultFormatter().render_usage(console, options, usage)

    def _default(self, entry: HelpEntry, settled: Mapping[str, Any]) -> str | None:
        name = entry.positive_names[0] if entry.positive_names else ""
        text = spell(settled.get(name.removeprefix("--"), entry.default))
        return {"True": name, "False": entry.negative_names[0]}.get(str(text)) if entry.type is bool else text
