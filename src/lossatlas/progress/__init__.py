"""How far work is: who is told, and how that is shown in a terminal and in a notebook."""

from lossatlas.progress.reporter import Reporter, Silent
from lossatlas.progress.showing import count_towards, show_progress

__all__ = ["Reporter", "Silent", "count_towards", "show_progress"]
