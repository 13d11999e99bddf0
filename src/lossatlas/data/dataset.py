"""What a data source loads: a training and a test split."""

from __future__ import annotations

from dataclasses import dataclass

from lossatlas.data.split import Split

__all__ = ["Dataset"]


@dataclass(frozen=True)
class Dataset:
    """A training and a test split.

    ``classes`` is the number of classes where targets are labels, else None.
    """

    name: str
    train: Split
    test: Split
    classes: int | None
    class_names: tuple[str, ...] = ()
    """In the order of the labels; empty where they have no names."""
    normalisation: str = ""
    """A sentence that says how inputs were normalised and where the constants come from; empty if they were not."""

    @property
    def splits(self) -> dict[str, Split]:
        """Both splits by name."""
        return {"train": self.train, "test": self.test}
