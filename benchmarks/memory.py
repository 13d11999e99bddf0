"""Peak memory of a fit and its survey against the number of cells: a fresh process per size."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

SIZES = (20, 400)


def peak(size: int, folder: Path) -> float:
    """MiB at the peak of fit and survey of a heart of that size."""
    out = folder / str(size)
    options = ["--steps=30", "--plan=vmap", "--examples=50", "--splits=test", "--padding=0"]
    options += [f"--size={size}", f"--out={out}"]
    subprocess.run(
        [sys.executable, "-m", "lossatlas", "fit", "--pattern=heart", *options],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return float(json.loads((out / "summary.json").read_text())["peak_memory_bytes"]) / 2**20


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        peaks = [peak(size, Path(folder)) for size in SIZES]
    for size, mebibytes in zip(SIZES, peaks, strict=True):
        print(f"{size}x{size}: {mebibytes:.0f} MiB")
    print(f"ratio {peaks[1] / peaks[0]:.3f}")


if __name__ == "__main__":
    main()
