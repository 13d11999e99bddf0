"""The script for a GPU, at toy size on the CPU: whether every part of it works."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"
WITHOUT = """
import runpy, sys

for name in ("datasets", "plotly", "zarr"):
    sys.modules[name] = None  # an import fails, and nothing is found
sys.path.insert(0, sys.argv[1])
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(*arguments: str, code: int = 0) -> str:
    """The script in a process of its own, where packages that a machine with a GPU may lack cannot be imported."""
    command = [sys.executable, "-c", WITHOUT, str(SCRIPT.parent), str(SCRIPT), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_every_part_works_at_toy_size_and_without_packages_that_may_be_missing(tmp_path: Path) -> None:
    file = tmp_path / "gpu.json"
    told = run("--device=cpu", "--toy", f"--json={file}")
    assert "not installed here: datasets, plotly, zarr" in told
    result = json.loads(file.read_text())
    assert result["missing"] == ["datasets", "plotly", "zarr"]
    assert result["toy"] is True
    parts = result["parts"]
    assert list(parts) == ["agreement", "resnet", "table", "paper", "skull", "hessian"]
    assert parts["agreement"]["agree"], parts["agreement"]
    assert {row["strategy"] for row in parts["agreement"]["rows"]} == {"plain", "loop", "threads", "vmap", "batched"}
    assert {row["precision"] for row in parts["agreement"]["rows"]} == {"fp32", "bf16"}
    assert parts["resnet"]["seconds_of_51x51_extrapolated"] == pytest.approx(parts["resnet"]["seconds"] * 51**2 / 2)
    assert parts["resnet"]["service"]["precision"] == "bf16"
    assert {row["service"] for row in parts["table"]["rows"]} == {"fit", "evaluate"}
    assert parts["paper"]["fp32"]["steps_per_second"] > 0
    assert parts["skull"]["steps"] > 0
    assert parts["hessian"]["products_per_gradient"] > 1


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="there is a CUDA device")
def test_without_a_gpu_it_says_what_to_do(tmp_path: Path) -> None:
    told = run(f"--json={tmp_path / 'gpu.json'}", code=2)
    assert "no CUDA device is at hand; use a machine that has one, or try this with --device cpu --toy" in told
    assert not list(tmp_path.iterdir())
