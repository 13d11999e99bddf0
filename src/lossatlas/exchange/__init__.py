"""Surveys in foreign file formats, and reading of damaged surveys. Never imports torch.

Each format is one module of ``lossatlas.exchange.formats``.
"""

from __future__ import annotations

from lossatlas.exchange.format import FORMATS, Format, read_survey, write_survey
from lossatlas.exchange.opening import open_survey
from lossatlas.exchange.stores import read_undamaged

__all__ = ["FORMATS", "Format", "open_survey", "read_survey", "read_undamaged", "write_survey"]
