"""Data: named sets of examples held as tensors."""

from lossatlas.data.dataset import DATA, Dataset, load_data
from lossatlas.data.split import Split

__all__ = ["DATA", "Dataset", "Split", "load_data"]
