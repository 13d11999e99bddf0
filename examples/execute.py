"""Execute the notebooks beside this file again, and keep what they show: ``python examples/execute.py``.

Needs ``nbclient`` and ``ipykernel``: ``pip install -c constraints.txt ".[examples]"``. Each notebook runs in an empty
folder of its own; one that warns, or that shows a path of this machine, is not written.
"""

from __future__ import annotations

import os
import re
import sys
from base64 import b64decode, b64encode
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient
from PIL import Image

FOLDER = Path(__file__).parent
MOST_SECONDS = 600
COLOURS = 64
"""Of a picture in a notebook, which is a third as large with so few."""


def execute_notebook(path: Path) -> None:
    """Execute all cells of a notebook in an empty folder, and write what they show into it.

    Raises:
        CellExecutionError: a cell fails.
        ValueError: a cell warns or shows a path of this machine.
    """
    notebook = nbformat.read(path, as_version=4)
    with TemporaryDirectory() as folder:
        where = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=MOST_SECONDS, resources=where, record_timing=False).execute()
        check_outputs(notebook, [folder, sys.prefix, str(Path.home()), str(Path.cwd())])
    for output in (output for cell in notebook.cells for output in cell.get("outputs", ())):
        if "text/html" in output.get("data", {}):
            output.data["text/html"] = shrink_pictures(output.data["text/html"])
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    nbformat.write(notebook, path)


def shrink_pictures(html: str) -> str:
    """HTML whose PNG pictures have few colours."""

    def shrink(found: re.Match[str]) -> str:
        image = Image.open(BytesIO(b64decode(found[1]))).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        image.save(buffer := BytesIO(), format="png", optimize=True)
        return f"data:image/png;base64,{b64encode(buffer.getvalue()).decode()}"

    return re.sub("data:image/png;base64,([A-Za-z0-9+/=]+)", shrink, html)


def check_outputs(notebook: nbformat.NotebookNode, paths: list[str]) -> None:
    """Refuse outputs that nobody else should see.

    Raises:
        ValueError: the first of them.
    """
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if output.get("name") == "stderr":
                raise ValueError(f"a cell warns: {output.text}")
            if shown := [path for path in paths if path in str(output)]:
                raise ValueError(f"a cell shows the path {shown[0]} of this machine")


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    for path in sorted(FOLDER.glob("*.ipynb")):
        execute_notebook(path)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")
