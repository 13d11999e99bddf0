"""Pictures as bytes."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from lossatlas.files.writing import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["png", "write_pngs"]


def write_pngs(drawn: Mapping[str, Figure], folder: Path | str) -> None:
    """Write figures as ``<name>.png``, each whole or not at all; the folder is made if need be."""
    for name, figure in drawn.items():
        write_atomically(Path(folder) / f"{name}.png", png(figure), folders=True)


def png(figure: Figure, dpi: int = 150) -> bytes:
    """A figure as a PNG file; equal figures give equal bytes."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()
