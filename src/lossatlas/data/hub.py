"""Images with labels from the Hugging Face hub, or from a folder in its layout."""

# Annotations are evaluated here, not where a subclass is defined: the command line reads them.

from abc import ABC
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar

import torch
from msgspec import Meta
from torch import Tensor
from torch.nn.functional import avg_pool2d

from lossatlas.bounds import INFINITE, Count
from lossatlas.data.cache import Stored, locate_cache, make_scratch, read_cache, write_cache
from lossatlas.data.dataset import Dataset
from lossatlas.data.reading import Part, Request, fetch_tables, find_parts, list_fingerprints, read_tables
from lossatlas.data.source import DataSource
from lossatlas.data.split import Split
from lossatlas.data.transform import Normalise
from lossatlas.errors import BadInput
from lossatlas.files.reading import check_path, expand_home

__all__ = ["Images", "NamedImages", "Place", "load_images", "make_image_source"]

SHRUNK = 4096
"""The number of images that are shrunk at a time."""


@dataclass(frozen=True)
class Place:
    """Where a data set of images is found, and its known constants."""

    name: str
    """The name of the data set on the command line."""
    hub: str | None = None
    """OWNER/NAME on the hub; None where the images are in a folder."""
    folder: Path | None = None
    """A folder in the hub's layout, read instead of the hub."""
    label: str | None = None
    """The column of labels where there is more than one."""
    mean: tuple[float, ...] = ()
    """The mean of each channel of the training images, in [0, 1]; empty if it is to be measured."""
    std: tuple[float, ...] = ()
    """The standard deviation of each channel, likewise."""


@dataclass(frozen=True)
class Images(DataSource, ABC):
    """The options that all sets of images have."""

    config: str | None = None
    """Configuration of the data set, where it has several."""
    train: str | None = None
    """Split to train on; by default train."""
    test: str | None = None
    """Split to test on; by default test, else validation, else val."""
    image: str | None = None
    """Column of images; by default the only one of that type."""
    label: str | None = None
    """Column of labels; by default the only one of classes, else of integers."""
    shrink: Count = 1
    """Side of the squares of pixels that are averaged into one: 2 makes images of 16x16 pixels of 32x32. Images are
    normalised by the constants of the large ones."""
    memory: Annotated[float, Meta(ge=0, description="0 or a positive number, or inf", extra=INFINITE)] = 4.0
    """GiB of the raw images of a split that may be kept on the device, inf for all; larger splits are streamed to
    it."""


@dataclass(frozen=True)
class NamedImages(Images, ABC):
    """The options of sets of images that are known by name; subclasses state where they are."""

    place: ClassVar[Place]

    folder: str | None = None
    """Folder in the layout of the Hugging Face hub that is read instead of the hub."""

    def load(self) -> Dataset:
        return load_images(self.place, self, self.folder)


def make_image_source(place: Place) -> type[DataSource]:
    """Make the data source of the images on the hub or in a folder."""

    @dataclass(frozen=True)
    class ImagesAt(Images):
        """Images with labels."""

        def load(self) -> Dataset:
            return load_images(place, self)

    return ImagesAt


def load_images(place: Place, options: Images, folder: str | None = None) -> Dataset:
    """Read, check and cache images.

    Args:
        place: where they are found.
        options: how to read them.
        folder: a folder that is read instead.

    Raises:
        BadInput: there are none, or they are not images of one size and mode with labels.
    """
    if folder is not None:
        place = replace(place, folder=expand_home(folder))
    request = Request(
        place.name,
        config=options.config,
        train=options.train,
        test=options.test,
        image=options.image,
        label=options.label if options.label is not None else place.label,
    )
    return _dataset(place, options, _stored(place, request))


def _stored(place: Place, request: Request) -> Stored:
    """The decoded images, from the cache if possible."""
    if place.folder is None:
        tables = fetch_tables(request, place.hub or "")
        path = locate_cache(place.name, f"{request} {list_fingerprints(tables)}")
        return read_cache(path) or _remade(path, *find_parts(request, tables))
    path = locate_cache(place.name, f"{request} {_listing(place.folder)}")
    found = read_cache(path)
    if found is not None:
        return found
    with make_scratch(path) as folder:
        return _remade(path, *find_parts(request, read_tables(request, place.folder, folder)))


def _remade(path: Path, train: Part, test: Part) -> Stored:
    write_cache(path, train, test)
    stored = read_cache(path)
    if stored is None:
        raise BadInput(f"{path} is not what was written to it; name another folder by LOSSATLAS_CACHE")
    return stored


def _listing(folder: Path) -> list[tuple[str, int, int]]:
    """The name, size and time of every file of a folder, by which changes are noticed.

    Raises:
        BadInput: there is no such folder, or it cannot be read.
    """
    check_path(folder)
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder; check the path")
    try:
        files = [path for path in folder.resolve().rglob("*") if path.is_file()]
        return sorted((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files)
    except OSError as error:
        raise BadInput(f"{folder} cannot be read ({error.strerror})") from error


def _dataset(place: Place, options: Images, stored: Stored) -> Dataset:
    mean, std, origin = place.mean, place.std, f"constants of {place.name}"
    if not mean:
        mean, std, origin = stored.mean, stored.std, f"measured on the {len(stored.train[1])} training images"
    if len(mean) != len(stored.mean):
        raise BadInput(
            f"{place.name} has images of {len(mean)} channels and those of {place.folder or place.hub} have "
            f"{len(stored.mean)}; give another set's folder as --data FOLDER"
        )
    normalise = Normalise(mean, std)
    train, test = (
        Split((_shrink(images, options.shrink), labels), normalise, options.memory)
        for images, labels in (stored.train, stored.test)
    )
    return Dataset(
        name=place.name,
        train=train,
        test=test,
        classes=len(stored.names) or max(int(labels.max()) for _, labels in (stored.train, stored.test)) + 1,
        class_names=stored.names,
        normalisation=f"{normalise.key}; {origin}",
    )


def _shrink(images: Tensor, side: int) -> Tensor:
    """Average squares of pixels of images (N, C, H, W) of uint8 into one pixel each, rounded.

    Raises:
        BadInput: the side does not divide height and width.
    """
    if side == 1:
        return images
    height, width = images.shape[2:]
    if height % side or width % side:
        raise BadInput(
            f"shrink is {side}, which does not divide {height} x {width} pixels; expected a common divisor of both"
        )
    # One part after the other: as floats all images together would take four times their memory.
    parts = [images[start : start + SHRUNK] for start in range(0, len(images), SHRUNK)]
    return torch.cat([avg_pool2d(part.float(), side).round().to(torch.uint8) for part in parts])
