"""Data: named sets of examples."""

from lossatlas.data.augmentation import AUGMENTATIONS, Augmentation, augment_batch, has_images
from lossatlas.data.batches import Batches
from lossatlas.data.dataset import Dataset
from lossatlas.data.load import find_data_options, load_data
from lossatlas.data.named import name_splits
from lossatlas.data.parts import count_examples, cut_parts, take_rows
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
    "augment_batch",
    "count_examples",
    "cut_parts",
    "find_data_options",
    "has_images",
    "load_data",
    "name_splits",
    "take_rows",
]
