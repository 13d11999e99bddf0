"""What the page says of one place: what was found there, and the examples that matter, with their pictures."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image

from lossatlas.explorer.evaluation.evaluator import Evaluator

if TYPE_CHECKING:
    import numpy as np

    from lossatlas.explorer.evaluation.evaluator import Examined
    from lossatlas.explorer.subject import Subject
    from lossatlas.studies.examined import ChangedExample, ExaminedSplit, Example

__all__ = ["Answer", "answer", "picture_example", "write_class"]

SHOWN = 12
"""The most examples of a list."""
SIDE = 96
"""Pixels to which the longer side of a small picture is enlarged, so that it is not blurred."""


@dataclass(frozen=True)
class Answer:
    """What the page says of a place.

    Attributes:
        place: The place in words.
        found: What was found there.
        centre: What was found at the centre.
        centre_name: What the centre is, in words.
        split: The split whose examples are listed.
        classes: The names of the classes, by index; empty where the data have none.
        worst: The examples with the largest losses there.
        changed: Those whose losses have risen most since the centre.
        pictures: Examples as addresses of images, by index, where they are images.
    """

    place: str
    found: Examined
    centre: Examined
    centre_name: str
    split: str
    classes: tuple[str, ...]
    worst: Sequence[Example]
    changed: Sequence[ChangedExample]
    pictures: dict[int, str]

    @property
    def here(self) -> ExaminedSplit:
        """The chosen split at the place."""
        return self.found.splits[self.split]

    @property
    def there(self) -> ExaminedSplit:
        """The chosen split at the centre."""
        return self.centre.splits[self.split]

    def name_class(self, value: object) -> str:
        """Name a class by its index, or write values; a dash where there is neither."""
        return write_class(value, self.classes)


def write_class(value: object, classes: Sequence[str]) -> str:
    """Write a class by its name, or values as numbers; a dash where there is neither.

    >>> write_class(1, ["cat", "dog"]), write_class(3, []), write_class((0.25, 1.0), []), write_class(None, [])
    ('dog', '3', '0.25, 1', '\u2013')

    Args:
        value: the index of a class, or values.
        classes: the names of the classes by index; empty where there are none.
    """
    if isinstance(value, int):
        return classes[value] if 0 <= value < len(classes) else str(value)
    if isinstance(value, tuple):
        return ", ".join(f"{number:.3g}" for number in value)
    return "\u2013" if value is None else str(value)


def answer(
    subject: Subject, evaluator: Evaluator, at: dict[str, float], sample: int, split: str, snapshot: int | None
) -> Answer:
    """Evaluate the network at a place, and choose what the page says of it.

    Args:
        subject: the run.
        evaluator: of the run.
        at: the coordinates by axis.
        sample: the place of the sample that is shown.
        split: the split whose examples are listed; where the run lacks it, the last one is taken.
        snapshot: the number of a snapshot that is evaluated instead.

    Raises:
        LossatlasError: the network cannot be evaluated.
    """
    if snapshot is None or subject.read().path is None:
        found, place = evaluator.examine(subject.list_coords(at, sample)), subject.say_place(at)
    else:
        found, place = evaluator.examine_snapshot(snapshot), subject.read().say_snapshot(snapshot)
    centre = evaluator.examine(evaluator.centre.coords)
    chosen = split if split in found.splits else list(found.splits)[-1]
    worst = found.splits[chosen].worst(SHOWN)
    changed = found.splits[chosen].changed(centre.splits[chosen], SHOWN)
    indices = {example.index for example in worst} | {example.after.index for example in changed}
    pictures = {index: picture_example(evaluator, chosen, index) for index in sorted(indices)}
    return Answer(
        place=place,
        found=found,
        centre=centre,
        centre_name=evaluator.centre.words,
        split=chosen,
        classes=evaluator.name_classes(),
        worst=worst,
        changed=changed,
        pictures={index: picture for index, picture in pictures.items() if picture},
    )


def picture_example(evaluator: Evaluator, split: str, index: int) -> str:
    """Make the address of an example's image, with the image in it; empty where the example is not an image."""
    pixels = evaluator.read_example(split, index)
    return "" if pixels is None else write_image(pixels)


def write_image(pixels: np.ndarray) -> str:
    """Write an image (H, W) or (H, W, 3) of bytes as an address that holds a PNG file."""
    image = Image.fromarray(pixels)
    times = max(1, SIDE // max(image.size))
    image = image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    buffer = BytesIO()
    image.save(buffer, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
