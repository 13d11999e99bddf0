"""The interface of data sources: a frozen dataclass of options that loads a data set."""

from __future__ import annotations

from abc import ABC, abstractmethod

from lossatlas.bounds import NamedOptions
from lossatlas.data.dataset import Dataset
from lossatlas.registry import Registry

__all__ = ["DATA", "DataSource"]


class DataSource(NamedOptions, ABC):
    """The options of a data set by name; subclasses are frozen dataclasses with a method :meth:`load`."""

    @abstractmethod
    def load(self) -> Dataset:
        """Load the data set.

        Raises:
            BadInput: it is missing, cannot be read, or does not fit the options.
        """


DATA: Registry[type[DataSource]] = Registry("data set", "lossatlas.data.sources")
