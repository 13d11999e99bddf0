"""The help of one verb: its options in panels, with the defaults that the verb settles them to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lossatlas.cli.panels import Panel, arrange

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
        panels: where options are shown.
        everything: show rare options, too.
    """

    def __init__(
        self, settle: Callable[[], Mapping[str, Any]], panels: Sequence[Panel] = (), everything: bool = False
    ) -> None:
        self._settle = settle
        self._panels = panels
        self._everything = everything

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        from cyclopts.help import DefaultFormatter

        settled = self._settle()
        entries = {_name(entry): entry.copy(default=_default(entry, settled)) for entry in panel.entries}
        for title, names in arrange(list(entries), self._panels, self._everything):
            DefaultFormatter()(console, options, panel.copy(title=title, entries=[entries[name] for name in names]))

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        """Write the line on usage, as cyclopts does."""
        from cyclopts.help import DefaultFormatter

        DefaultFormatter().render_usage(console, options, usage)


def _name(entry: HelpEntry) -> str:
    """The name of an option, or of a value that has none on the command line."""
    return entry.positive_names[0].removeprefix("--") if entry.positive_names else str(entry.positional_label).lower()


def _default(entry: HelpEntry, settled: Mapping[str, Any]) -> str | None:
    """The default of an option as the command line takes it."""
    text = spell(settled.get(_name(entry), entry.default))
    return (
        {"True": f"--{_name(entry)}", "False": entry.negative_names[0]}.get(str(text)) if entry.type is bool else text
    )
