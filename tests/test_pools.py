"""Workers in other processes: what they return, and what is known when they fail, are killed or are refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import lossatlas
from lossatlas.provenance import fingerprint_code


def test_the_code_has_one_fingerprint_wherever_it_lies_and_another_once_a_file_changes(tmp_path):
    copy = tmp_path / "elsewhere" / "lossatlas"
    shutil.copytree(Path(lossatlas.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))

    def ask() -> str:
        program = "from lossatlas.provenance import fingerprint_code; print(fingerprint_code())"
        environment = os.environ | {"PYTHONPATH": str(copy.parent)}
        return subprocess.check_output([sys.executable, "-c", program], env=environment, text=True).strip()

    assert ask() == fingerprint_code()
    (copy / ".#cards.py").symlink_to("nobody@nowhere")  # an editor's mark that a file is open
    assert ask() == fingerprint_code()
    with (copy / "linalg" / "krylov.py").open("a") as file:
        file.write("\n")
    assert ask() != fingerprint_code()
