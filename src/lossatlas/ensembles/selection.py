"""Greedy orders of members (Caruana et al. 2004, without replacement)."""

from __future__ import annotations

import torch
from torch import Tensor

from lossatlas.ensembles.averaged import list_blocks

__all__ = ["select_by_error", "select_by_likelihood"]


def select_by_likelihood(of_label: Tensor) -> list[int]:
    """Order members so that each next one gives the averaged probabilities the lowest negative log likelihood.

    Of members that are equally good the first comes first. A probability that is 0 in float64 counts as its smallest
    number, so that averages with fewer of them come first.

    Args:
        of_label: the logarithm of the probability of the label, (K, N).

    Returns:
        The K members, the first one best alone.
    """
    probabilities = of_label.double().exp()
    tiny = torch.finfo(torch.float64).tiny
    total = probabilities.new_zeros(probabilities.shape[1])
    left, order = list(range(len(probabilities))), []
    while left:
        gains = torch.zeros(len(left), dtype=torch.float64)
        for rows in list_blocks(len(total), len(left)):
            gains += (total[rows] + probabilities[:, rows][left]).clamp_(min=tiny).log_().sum(dim=1)
        order.append(left.pop(int(gains.argmax())))
        total += probabilities[order[-1]]
    return order


def select_by_error(products: Tensor) -> list[int]:
    """Order members so that each next one gives the mean output the lowest squared error.

    Args:
        products: the products of members' errors ``<e_i, e_j>`` (K, K), summed over examples, float64.

    Returns:
        The K members, the first one best alone; of members that are equally good the first comes first.
    """
    # |E + e_k|^2 = |E|^2 + 2 <E, e_k> + |e_k|^2 with the sum E of the errors of those that are chosen.
    with_chosen = torch.zeros(len(products), dtype=products.dtype)
    left, order = list(range(len(products))), []
    while left:
        errors = 2 * with_chosen[left] + products.diagonal()[left]
        order.append(left.pop(int(errors.argmin())))
        with_chosen += products[order[-1]]
    return order
