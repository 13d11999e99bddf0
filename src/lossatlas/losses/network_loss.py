"""Losses that call the network themselves, such as physics-informed ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from lossatlas.errors import BadInput
from lossatlas.losses.loss import Loss, name_loss, write_terms
from lossatlas.losses.terms import check_factors

__all__ = ["NetworkLoss"]


class NetworkLoss(Loss):
    """A function ``(network, batch) -> (B,)`` as a loss, for losses that need more than the outputs of the network.

    Examples are physics-informed losses, which differentiate the network with respect to its inputs, gradient
    penalties, and comparisons of several outputs. The network is the problem's module with the weights of a point; the
    function may call it, its submodules and its methods any number of times. There are no other outputs: metrics are
    given the losses as outputs.

    Args:
        function: returns one loss per example, using torch operations only; or, with ``terms``, a mapping of losses.
        weights: ``batch -> (B,)``, the weight of each example, 0 or more; default equal weights.
        terms: the factor of each term, for a function that returns a mapping of terms, ``{"equation": (B,), "start":
            (B,)}``: the loss is the sum of the terms with these factors, and surveys measure each term, too, as
            ``<split>_loss_<term>``.
        units: the unit of the loss, for plots.

    Example:
        The equation u' = -u on points t (B, 1)::

            def residual(network, batch):
                (t,) = batch
                t = t.detach().requires_grad_()
                u = network(t)
                (slope,) = torch.autograd.grad(u.sum(), t, create_graph=True)
                return (slope + u).square().squeeze(1)

            problem = la.Problem(network, la.NetworkLoss(residual))
    """

    classifies = False
    sees_network = True

    def __init__(
        self,
        function: Callable[[nn.Module, Any], Any],
        *,
        weights: Callable[[Any], Tensor] | None = None,
        terms: Mapping[str, float] | None = None,
        units: str = "1",
    ) -> None:
        self.function = function
        self.weigh = weights
        self.terms = check_factors(terms)
        self.units = units

    @property
    def record(self) -> str:
        weighed = f", weights={name_loss(self.weigh)}" if self.weigh is not None else ""
        return f"{type(self).__name__}({name_loss(self.function)}{weighed}{write_terms(self.terms)})"

    def of_network(self, network: nn.Module, batch: Any) -> Any:
        return self.function(network, batch)

    def weights(self, targets: Any) -> Tensor | None:
        """The weight of each example (B,); for this loss the targets are the batch."""
        return None if self.weigh is None else self.weigh(targets)

    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        raise BadInput(f"{self.record} is made of the network, not of outputs; it cannot score averaged predictions")

    def check(self, outputs: Any, targets: Any, all_targets: Any) -> None:
        """Do nothing, since a user's function has no known requirements; the network checks the shape of its result."""
