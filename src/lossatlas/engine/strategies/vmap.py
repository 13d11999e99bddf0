"""All networks at once through ``torch.vmap``: batched products for linear layers, the strategy for GPUs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.func import vmap

from lossatlas.engine.network import Network
from lossatlas.engine.operators import OPERATORS
from lossatlas.engine.private import drop_graph, force_plain_attention
from lossatlas.engine.strategy import (
    Gradients,
    Linearised,
    Points,
    Strategy,
    Term,
    derive_slopes,
    make_leaves,
)
from lossatlas.types import Batch, Outputs, Params

__all__ = ["Vmap"]


class _Fallbacks:
    """Whether torch warns of operations without a rule for ``vmap``, which it carries out point by point.

    Such a warning tells users of torch to ask for the rule, and users of a survey nothing: what that costs is measured,
    and another strategy is taken where it pays. Torch's own switch is the process's and cannot be read; filters of
    Python's warnings are the process's as well, and two threads that set and restore them leave them as neither found
    them. So calls are counted, and the switch is on again when none is left.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls = 0

    @contextmanager
    def untold(self) -> Iterator[None]:
        """While entered, by whatever thread, torch does not warn of them."""
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        with self._lock:
            self._calls += change
            switch = torch._C._functorch._set_vmap_fallback_warning_enabled  # type: ignore[attr-defined]
            switch(self._calls == 0)


class Vmap(Strategy):
    """One vectorised call for all points; the module must not have control flow that depends on values."""

    rank = 3
    stacks_points = True
    _fallbacks: ClassVar[_Fallbacks] = _Fallbacks()

    def each_point(self, function: Callable[[Params], Params], params: Params) -> Params:
        with self._fallbacks.untold():
            result: Params = vmap(function)(params)
        return result

    def forward(self, network: Network, points: Points, batch: Batch) -> tuple[Outputs, Tensor]:
        with network.calling():
            return drop_graph(self._all(network, points, batch))

    def pullback(self, network: Network, points: Points, batch: Batch, term: Term) -> Gradients:
        params = make_leaves(points.params, network.varied)
        controls = make_leaves(points.controls, network.varied)
        coefficients = points.coefficients.detach().requires_grad_(points.coefficients.requires_grad)
        outputs, losses = self._all(network, Points(params, coefficients, controls), batch)
        value = term(outputs, losses, slice(0, len(losses)))
        by_params, by_controls, by_coefficients = derive_slopes(value, params, controls, {"all": coefficients})
        return Gradients(
            {
                name: torch.zeros_like(params[name]) if piece is None else piece
                for name, piece in by_params.items()
                if piece is not None or by_controls.get(name) is None
            },
            value.detach(),
            *drop_graph((outputs, losses)),
            {name: piece for name, piece in by_controls.items() if piece is not None},
            by_coefficients.get("all"),
        )

    def linearise(
        self, network: Network, points: Points, batch: Batch, term: Term, operator: str, varied: Collection[str]
    ) -> Linearised:
        params = make_leaves(points.params, varied)
        count = len(points.coefficients)

        def scalar(outputs: Outputs) -> Tensor:
            with force_plain_attention(), self._fallbacks.untold():
                seen, losses = vmap(lambda own: network.judge(own, batch))(outputs)
            return term(seen, losses, slice(0, count))

        outputs = self._over_all(network.respond, Points(params, points.coefficients, {}), batch)
        product = OPERATORS[operator](outputs, scalar, {name: params[name] for name in varied})

        def multiply(vectors: Params, indices: Sequence[int]) -> Params:
            if len(indices) == count:
                return product(vectors)
            rows = torch.tensor(indices, device=points.coefficients.device)
            spread = {name: value.new_zeros(count, *value.shape[1:]) for name, value in vectors.items()}
            for name, value in vectors.items():
                spread[name][rows] = value
            return {name: value[rows] for name, value in product(spread).items()}

        return multiply

    def layers(self, params: Params, coefficients: Tensor, controls: Params) -> AbstractContextManager[object]:
        """A context for the call of one network with vectorised tensors, which represent those of all networks."""
        return nullcontext()

    def _all(self, network: Network, points: Points, batch: Batch) -> tuple[Outputs, Tensor]:
        result: tuple[Outputs, Tensor] = self._over_all(network, points, batch)
        return result

    def _over_all(self, call: Callable[[Params, Batch], Any], points: Points, batch: Batch) -> Any:
        """What a call returns for the parameters of all points at once."""

        def one(params: Params, coefficients: Tensor) -> Any:
            with self.layers(params, coefficients, points.controls):
                return call(params, batch)

        with force_plain_attention(), self._fallbacks.untold():
            return vmap(one)(points.params, points.coefficients)
