"""Whether products with second-order operators are right, which torch does not say of all modules."""

from __future__ import annotations

from contextlib import suppress

import torch

from lossatlas.data import Split
from lossatlas.engine.checking import spread
from lossatlas.engine.failures import tell_failures
from lossatlas.engine.faithful import perturb
from lossatlas.engine.network import Network
from lossatlas.engine.operators import OPERATORS
from lossatlas.engine.private import force_plain_attention
from lossatlas.engine.second_order.comparison import COMPARED, FINE, PERTURBED, compare, split_calls
from lossatlas.engine.second_order.locating import find_faulty
from lossatlas.engine.second_order.rounding import tell_of_rounding
from lossatlas.engine.second_order.widening import Arithmetic, list_arithmetics
from lossatlas.errors import BadInput, LossatlasError, ModelFailure, format_error, make_unknown_error
from lossatlas.types import Batch

__all__ = ["check_operator"]

EXAMPLES = 2
"""On how many examples products are compared: equal operations are equal on any."""
MORE = (16, 128)
"""On how many they are, where none of the first few counts."""


def check_operator(network: Network, split: Split, name: str) -> None:
    """Refuse a second-order operator that a network does not have; its products are compared once with differences.

    Args:
        network: the network that is differentiated.
        split: examples of the kind that will be evaluated.
        name: ``hessian``, or ``ggn``.

    Raises:
        BadInput: an unknown name, the examples of a batch are normalised together, the losses have no gradient, a layer
            or the loss has no correct second derivatives, or the operator is not defined for the loss.

    Warns:
        Caution: the module's weights have fewer than 32 bits, or its forward pass or the loss computes in fewer bits
            than the weights have; with the size of the error. Or the statistics of normalisation depend on the point,
            which products hold fixed.
    """
    if name not in OPERATORS:
        raise make_unknown_error("operator", name, list(OPERATORS))
    if network.normalises_by_the_batch:
        way = "use the network's own statistics (--buffers frozen)"
        if not network.has_statistics:
            way = "give its layers running statistics (track_running_stats=True)"
        raise BadInput(
            f"the {name} is not that of the split: under statistics of the batch a loss belongs to a group of "
            f"examples; {way}"
        )
    network.check_gradient()
    network.tell_of_statistics()
    if name in network.handed.operators:
        return
    batch = _choose_examples(network, split)
    devices = [network.device] if network.device.type == "cuda" else []
    with torch.random.fork_rng(devices), network.in_force(), force_plain_attention():
        with suppress(torch.OutOfMemoryError):  # a copy in 64 bits may not fit where products do
            _check_products(network, batch, name)
        if not network.handed.operators:
            with suppress(torch.OutOfMemoryError), tell_failures():
                tell_of_rounding(network, batch, name)
    network.handed.operators.add(name)


def _choose_examples(network: Network, split: Split) -> Batch:
    """A few examples, of which some count; more where the first few do not."""
    for count in (EXAMPLES, *MORE):
        batch = split.take(spread(count, split))
        weights = network.loss.weights(network.targets(batch))
        if weights is None or bool(weights.sum() > 0):
            break
    return batch


def _check_products(network: Network, batch: Batch, name: str) -> None:
    """Compare products with differences.

    Raises:
        BadInput: they differ, or there are none; the loss or the layer that is at fault is named.
    """
    said = None
    for arithmetic in list_arithmetics(network, batch):  # 64 bits may be what it cannot do
        try:
            with arithmetic.in_force():
                said = _try_network(arithmetic, name)
            break
        except (LossatlasError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # torch's own, or the user's
            said = format_error(error)
    if said is None and arithmetic.exact:
        return
    with arithmetic.in_force():
        faulty = find_faulty(arithmetic.network, arithmetic.batch, name, said)
    if faulty is not None:
        where, why = faulty
        raise ModelFailure(
            f"{where} has no correct second derivatives, which the {name} needs: {why.rstrip('.')}; use another one, "
            "or write it and its backward pass in operations of torch, without detach(), NumPy, once_differentiable "
            "and reentrant checkpoints"
        )


def _try_network(arithmetic: Arithmetic, name: str) -> str | None:
    """How products of a network are wrong, in words; None if they are right, or nothing can be said.

    Raises:
        Exception: torch has no second derivatives of a layer.
    """
    network = arithmetic.network
    own = dict(network.module.named_parameters(remove_duplicate=False))
    compared = COMPARED[name](*split_calls(network, arithmetic.batch))
    for step in PERTURBED:
        point = perturb({each: own[each] for each in sorted(network.varied)}, step)
        if (said := compare(compared, point, FINE if arithmetic.exact else None)) is not None:
            return said
    return None
