"""How much memory is free."""

from __future__ import annotations

import torch

from lossatlas.files.room import free_room

__all__ = ["SHARE", "free_memory"]

SHARE = 0.25
"""Of what is free, by default: others work on this machine, too."""


def free_memory(device: torch.device) -> int:
    """Bytes that a device could still give; for the processor what its system and its container would."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    return free_room()
