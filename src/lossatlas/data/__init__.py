"""Data: named sets of examples."""

from lossatlas.data.augmentation import AUGMENTATIONS, Augmentation, augmented
from lossatlas.data.batches import Batches
from lossatlas.data.dataset import Dataset
from lossatlas.data.load import data_options, load_data
from lossatlas.data.named import named_splits
from lossatlas.data.parts import examples_in, in_parts, rows_of
from lossatlas.data.source import DATA, DataSource
from lossatlas.data.split import Split
from lossatlas.data.transform import Normalise, Transform

__all__ = [
    "AUGMENTATIONS",
    "DATA",
    "Augmentation",
    "Batches",
    "DataSource",
    "Dataset",
    "Normalise",
    "Split",
    "Transform",
    "augmented",
    "data_options",
    "examples_in",
    "in_parts",
    "load_data",
    "named_splits",
    "rows_of",
]
