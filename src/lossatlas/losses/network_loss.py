"""Losses that call the network themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from lossatlas.errors import BadInput
from lossatlas.losses.loss import Loss, name_loss, write_terms
from lossatlas.losses.terms import check_factors

__all__ = ["NetworkLoss"]


class NetworkLoss(Loss):
    """A function ``(network, batch) -> (B,)`` as a loss: for what is made of the network and not of its outputs alone.

    Such are physics-informed losses, which differentiate the network by its inputs, penalties of its slopes, and
    comparisons of several of its outputs. The network is the problem's module with the weights of a point in place; the
    function may call it as often as it likes, and its parts and methods likewise. There are no outputs besides: what
    metrics see as outputs are the losses themselves.

    Args:
        function: returns one loss per example and uses torch operations only; or, with ``terms``, a mapping of such.
        weights: ``batch -> (B,)``, what each example counts, 0 or more; default all alike.
        terms: the factor of each term of a function that returns several as a mapping, ``{"equation": (B,), "start":
            (B,)}``: the loss is their sum with these factors, and each is surveyed beside it, ``<split>_loss_<term>``.
        units: for plots.

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
        """What each example of a batch counts (B,); the batch is what is given as targets."""
        return None if self.weigh is None else self.weigh(targets)

    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        raise BadInput(f"{self.record} is made of the network, not of outputs; it cannot score averaged predictions")

    def check(self, outputs: Any, targets: Any, all_targets: Any) -> None:
        """Nothing is known of a user's function; the network checks the shape of what it returns."""
