"""Histograms of the weights of networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor

__all__ = ["histogram_weights"]

BINS = 101
"""The number of bins, which is odd so that one bin is centred at zero."""


def histogram_weights(networks: Sequence[Tensor]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Count the finite weights of networks in equal bins around zero; returns the centres (101,) and counts (K, 101).

    Args:
        networks: K vectors of weights, on the CPU; they are converted to float64 one at a time.
    """
    reach = max((float(np.abs(values).max()) for values in map(_finite, networks) if values.size), default=0.0) or 1.0
    edges = np.linspace(-reach, reach, BINS + 1)
    counts = [np.histogram(_finite(weights), edges)[0] for weights in networks]
    return (edges[:-1] + edges[1:]) / 2, np.stack(counts)


def _finite(weights: Tensor) -> npt.NDArray[np.float64]:
    values: npt.NDArray[np.float64] = weights.double().numpy()
    return values[np.isfinite(values)]
