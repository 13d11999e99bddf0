"""Data sets of the library ``datasets``, recognised without importing it."""

from __future__ import annotations

from typing import Any

from torch.utils.data import Subset

from lossatlas.errors import BadInput

__all__ = ["format_tensors", "is_hugging_face"]


def is_hugging_face(source: Any) -> bool:
    """Whether an object is a data set of the library ``datasets``."""
    return any(kind.__module__.partition(".")[0] == "datasets" for kind in type(source).__mro__)


def format_tensors(source: Any) -> tuple[Any, tuple[str, ...]]:
    """Format a data set so that its items hold its numeric columns as tensors; also returns remarks about it.

    A data set with a transform of its own is returned as it is, and so is one of another library; the data set within
    a :class:`torch.utils.data.Subset` is formatted. The given object is not changed.

    Raises:
        BadInput: it holds several data sets, or no numeric column.
    """
    if type(source) is Subset:
        inner, said = format_tensors(source.dataset)
        return Subset(inner, source.indices), said
    if not is_hugging_face(source):
        return source, ()
    if isinstance(source, dict):
        choices = " or ".join(f'source["{name}"]' for name in source)
        raise BadInput(f"these are data sets by name ({', '.join(source)}); choose one: {choices}")
    if not hasattr(source, "__len__"):  # an iterable data set, whose columns may be unknown
        return (source if getattr(source, "_formatting", None) is not None else source.with_format("torch")), ()
    style = source.format
    if style["type"] == "custom":
        return source, ()
    columns = style["columns"] or source.column_names
    kept = [name for name in columns if _is_numeric(source.features[name])]
    if not kept:
        raise BadInput(
            f"the data set has no column of numbers; its columns are {', '.join(columns)}: tokenise or convert them "
            "(Dataset.map)"
        )
    options = style["format_kwargs"] if style["type"] == "torch" else {}
    left = [name for name in columns if name not in kept]
    notes = (f"columns without numbers are left out: {', '.join(left)}",) if left else ()
    return source.with_format("torch", columns=kept, **options), notes


def _is_numeric(feature: Any) -> bool:
    """Whether a column of this kind becomes tensors."""
    if isinstance(feature, dict):
        return all(map(_is_numeric, feature.values()))
    if isinstance(feature, list | tuple):
        return all(map(_is_numeric, feature))
    inner = getattr(feature, "feature", None)
    if inner is not None:
        return _is_numeric(inner)
    kind = str(getattr(feature, "dtype", ""))
    return kind.startswith(("int", "uint", "float", "bool")) or type(feature).__name__ == "Image"
