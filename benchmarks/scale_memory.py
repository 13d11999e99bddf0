"""What a survey takes of memory and of its folder, as multiples of the parameters of its network in 32 bits.

Measured on a small network with few examples, by the real code, each process in turn: the one that starts a survey
along two random directions, one that joins it with ``--resume``, and a worker of a pool. Activations come on top.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["PROCESSES", "Held", "describe_task", "measure_held"]

LAST = "5.*"
"""The parameters of the last layer, half a hundredth of all."""

HIDDEN = 2000
"""Units of each of two hidden layers: four million parameters."""
PROCESSES = ("start", "join", "worker", "engine")
"""``engine`` is the part of a worker's that is on its device."""


@dataclass(frozen=True)
class Held:
    """What one process takes, in multiples of the network's parameters in 32 bits.

    Attributes:
        tensors: At the peak; on host and device together, but for ``engine``.
        written: Bytes that it writes.
        read: Bytes of tensors in the files that it reads.
    """

    tensors: float
    written: float
    read: float


def measure_held(plan: str, folder: Path, parameters: str = "*") -> dict[str, Held]:
    """Measure each of the processes, in a process of its own.

    Args:
        plan: the name of a strategy.
        folder: where runs are made.
        parameters: which parameters vary.
    """
    with tempfile.TemporaryDirectory(dir=folder) as place:
        found = {}
        for what in ("train", *PROCESSES):
            command = [sys.executable, __file__, what, plan, parameters, place]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
            if what in PROCESSES:
                found[what] = Held(**json.loads(done.stdout.splitlines()[-1]))
    return found


def describe_task(run: Path) -> dict[str, Any]:
    """The arguments with which a head has a worker evaluate a tile of one point."""
    from lossatlas.schema import name_marks

    marks = name_marks("test", "streaming")
    return {
        "run": str(run),
        "device": "cpu",
        "sharers": 1,
        "session": "",
        "marks": marks,
        "tile": [[4, 5], [4, 5]],
        "missing": None,
    }


def _be(what: str, plan: str, parameters: str, place: Path) -> None:
    """Be one of the processes, and print what it took."""
    from lossatlas.settling import settle_process

    settle_process()
    import torch

    from lossatlas.engine.footprint import measure_peak_bytes
    from lossatlas.errors import Interrupted
    from lossatlas.jobs.pooled_tiles import evaluate_tile
    from lossatlas.jobs.survey import run_survey
    from lossatlas.jobs.train import run_train
    from lossatlas.recipes import SurveyConfig, TrainConfig
    from lossatlas.recipes.opened_run import OpenedRun
    from lossatlas.surveying.surveyor import STREAMING

    torch.set_num_threads(1)
    model: dict[str, Any] = {"model_options": {"hidden": (HIDDEN, HIDDEN)}, "device": "cpu"}
    few: dict[str, Any] = {
        "examples": "8",
        "eval_batch_size": 8,
        "splits": ("test",),
        "parameters": (parameters,),
        "memory": "200MB",
    }
    trained = place / "net"
    if what == "train":
        run_train(TrainConfig(epochs=0.01, **model), trained)
        return
    config = SurveyConfig(checkpoint=str(trained), grid=(6,), tile_points=1, plan=plan, **few, **model)
    calls = [0]

    def stop() -> bool:
        calls[0] += 1
        return calls[0] > 1

    def survey() -> None:
        with suppress(Interrupted):
            run_survey(config, place / "run", resume=what == "join", stop=stop, pictures=False)

    def work() -> None:
        evaluate_tile(**describe_task(place / "run"))

    opened = OpenedRun(place / "run", device="cpu") if what == "engine" else None
    if opened is not None:
        opened.recipe  # noqa: B018 - the user's module, which stays on the host, and the chart, which does not

    def evaluate() -> None:
        assert opened is not None
        opened.recipe.build_surveyor(opened.engine).at(torch.tensor([[0.1, 0.2]]), "test", STREAMING)

    before = _count_written()
    peak = measure_peak_bytes({"worker": work, "engine": evaluate}.get(what, survey))
    written = _count_written() - before
    size = (trained / "model.safetensors").stat().st_size
    chart = (place / "run" / "chart.safetensors").stat().st_size
    peak += chart if what == "engine" else 0
    read = size + (chart if what in ("worker", "engine") else 0)
    print(json.dumps({"tensors": peak / size, "written": written / size, "read": read / size}))


def _count_written() -> int:
    """The bytes that this process has written so far; 0 where the system does not say."""
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return 0
    return int(dict(line.split(": ") for line in lines)["wchar"])


if __name__ == "__main__":
    _be(*sys.argv[1:4], Path(sys.argv[4]))
