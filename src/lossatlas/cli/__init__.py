"""The command line: ``lossatlas VERB --option value``. Imports nothing heavy until a verb runs."""

from lossatlas.cli.main import main

__all__ = ["main"]
