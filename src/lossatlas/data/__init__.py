"""Data: named sets of examples held as tensors."""

from lossatlas.data.augmentation import AUGMENTATIONS, Augmentation, augmented
from lossatlas.data.dataset import DATA, Dataset, load_data
from lossatlas.data.split import Split

__all__ = ["AUGMENTATIONS", "DATA", "Augmentation", "Dataset", "Split", "augmented", "load_data"]
