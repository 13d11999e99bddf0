"""Devices of workers: which GPUs there are."""

from __future__ import annotations

import os

__all__ = ["VISIBLE", "list_gpus"]

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""The variable that tells a process which GPUs it may use."""


def list_gpus() -> list[str]:
    """List the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them to a process that it starts."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    stated = [each.strip() for each in os.environ.get(VISIBLE, "").split(",") if each.strip()]
    return stated[:count] if stated else [str(number) for number in range(count)]
