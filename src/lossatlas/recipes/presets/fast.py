"""The defaults: a picture as soon as possible."""

from typing import Any

__all__ = ["FAST"]

FAST: dict[str, Any] = {}
