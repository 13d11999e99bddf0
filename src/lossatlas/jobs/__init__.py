"""Jobs: one function per verb, from a recipe and a directory to a finished run."""

from lossatlas.jobs.reporter import Reporter, Silent

__all__ = ["Reporter", "Silent"]
