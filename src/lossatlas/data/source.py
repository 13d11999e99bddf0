"""The interface of data sources: a frozen dataclass of options that loads a data set."""

from __future__ import annotations

from abc import ABC, abstractmethod

from lossatlas.bounds import NamedOptions
from lossatlas.data.dataset import Dataset
from lossatlas.registry import Registry

__all__ = ["DATA", "DataSource"]


class DataSource(NamedOptions, ABC):
    """Options of one source of data; subclasses are frozen dataclasses."""

    @abstractmethod
    def load(self) -> Dataset:
        """The data set.

        Raises:
            BadInput: it is not there, cannot be read, or the options do not go with it.
        """


DATA: Registry[type[DataSource]] = Registry("data set", "lossatlas.data.sources")
