"""Jobs: one per verb; each turns a configuration and a directory into a finished run."""

from lossatlas.jobs.reporter import Reporter, Silent

__all__ = ["Reporter", "Silent"]
