"""What users' code may do in a worker: metrics, data and models that tell the head from its workers."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
import warnings
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import lossatlas as la
from lossatlas.engine import Evaluation
from lossatlas.files.writing import cannot_write
from lossatlas.losses import Loss
from lossatlas.metrics import MeanMetric
from lossatlas.schema import Quantity
from lossatlas.surveying.arrays import GridArrays

HEAD = "LOSSATLAS_TEST_HEAD"
"""The variable that holds the number of the head's process."""
TROUBLE = "LOSSATLAS_TEST_TROUBLE"
"""The variable that holds the path of a file: while it is there, there is trouble."""

PIDS = "LOSSATLAS_TEST_PIDS"
"""The variable that holds the path of a folder for the numbers of processes."""


def is_worker() -> bool:
    return os.environ[HEAD] != str(os.getpid())


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def data() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(40, 3, generator=generator)
    labels = (images[:, 0] > 0).long()
    return {"train": (images[:20], labels[:20]), "test": (images[20:], labels[20:])}


def other_data() -> dict[str, Any]:
    """Data that are others in a worker."""
    return {name: (images + is_worker(), labels) for name, (images, labels) in data().items()}


def other_network() -> nn.Module:
    """A network that has another activation in a worker."""
    module = network()
    module[1] = nn.ReLU() if is_worker() else nn.Tanh()
    return module


class Troubled(MeanMetric, ABC):
    """The loss, with trouble in a worker at the tile that begins at the row that the file says."""

    def applies(self, loss: Loss) -> bool:
        return True

    def quantity(self, loss: Loss) -> Quantity:
        return Quantity("troubled", "loss with trouble", "nat")

    def per_example(self, evaluation: Evaluation) -> Tensor:
        file = Path(os.environ[TROUBLE])
        if is_worker() and file.exists() and _find_tile() == [int(start) for start in file.read_text().split()]:
            self.have_trouble()
        return evaluation.losses

    @abstractmethod
    def have_trouble(self) -> None:
        """What happens."""


class Killed(Troubled):
    """The worker is killed."""

    def have_trouble(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class KilledOnce(Troubled):
    """The first worker is killed."""

    def have_trouble(self) -> None:
        Path(os.environ[TROUBLE]).unlink()
        os.kill(os.getpid(), signal.SIGKILL)


class Failing(Troubled):
    """An exception of the user's own code."""

    def have_trouble(self) -> None:
        with Path(os.environ[TROUBLE]).with_suffix(".times").open("a") as file:
            file.write("once\n")
        raise ZeroDivisionError("a metric of one's own")


class FullDisk(Troubled):
    """From now on the disk is full."""

    def have_trouble(self) -> None:
        def write(*_: object) -> None:
            raise cannot_write(Path("survey.zarr"), OSError(errno.ENOSPC, "No space left on device"))

        GridArrays.write = write  # type: ignore[method-assign,assignment]


class Doubtful(Troubled):
    """A result that has a caution."""

    def have_trouble(self) -> None:
        warnings.warn("this value is not to be trusted", la.Caution, stacklevel=2)


class Threads(Troubled):
    """The number of torch's threads."""

    def per_example(self, evaluation: Evaluation) -> Tensor:
        return torch.full_like(evaluation.losses, torch.get_num_threads())

    def have_trouble(self) -> None:
        """None."""


class Slow(MeanMetric):
    """The loss, a while later; the process leaves its number in a folder."""

    def applies(self, loss: Loss) -> bool:
        return True

    def quantity(self, loss: Loss) -> Quantity:
        return Quantity("slow", "loss, later", "nat")

    def per_example(self, evaluation: Evaluation) -> Tensor:
        if PIDS in os.environ and is_worker():
            (Path(os.environ[PIDS]) / str(os.getpid())).touch()
            time.sleep(0.05)
        return evaluation.losses


def _find_tile() -> list[int] | None:
    """Where the tile begins that this worker evaluates."""
    frame = sys._getframe()
    while frame.f_back is not None:
        if frame.f_code.co_name == "evaluate_tile":
            return [side[0] for side in frame.f_locals["tile"]]
        frame = frame.f_back
    return None
