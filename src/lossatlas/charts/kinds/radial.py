"""The radial path between two networks through the origin of weight space."""

from __future__ import annotations

from types import MappingProxyType

import torch
from torch import Tensor

from lossatlas.charts.chart import CoefficientChart, check_coords
from lossatlas.errors import BadInput
from lossatlas.schema import CURVE
from lossatlas.types import Params

__all__ = ["Radial"]


class Radial(CoefficientChart):
    """The path ``w_1 -> 0 -> w_2``: a parameter of order k is multiplied by s^k, with s from 1 to 0, then from 0 to 1.

    In a plain ReLU network the weights of the i-th layer have order 1 and its biases order i
    (:func:`lossatlas.find_radial_orders`). Then all logits are multiplied by s^L, and no prediction changes before the
    origin (Garipov et al. 2018, section 3.1 of the supplement). The controls are the parts of equal order of each end,
    so that this path, too, has the form coefficients times controls.

    Args:
        ends: the weight vectors of the networks, (2, n).
        orders: the order of each parameter, (n,), integers from 1.

    Raises:
        BadInput: shapes do not fit, or an order is below 1.

    Example:
        >>> import lossatlas as la
        >>> path = la.Radial(torch.tensor([[4.0, 8.0], [2.0, 2.0]]), torch.tensor([1, 2]))
        >>> path.points(torch.tensor([[0.0], [0.25], [0.5], [1.0]])).tolist()
        [[4.0, 8.0], [2.0, 2.0], [0.0, 0.0], [2.0, 2.0]]
    """

    joins_networks = True
    counts = MappingProxyType({"orders": torch.int64})
    interpolation = "curve"
    axes: tuple[str, ...] = (CURVE,)

    def __init__(self, ends: Tensor, orders: Tensor) -> None:
        super().__init__()
        if ends.ndim != 2 or len(ends) != 2 or orders.shape != ends.shape[1:]:
            raise BadInput(
                f"a radial path needs two ends (2, n) and an order for each number (n,); got {tuple(ends.shape)} and "
                f"{tuple(orders.shape)}"
            )
        if not bool((orders == orders.round()).all()) or int(orders.min()) < 1:
            wrong = orders[(orders != orders.round()) | (orders < 1)][0].item()
            raise BadInput(f"an order on a radial path is {wrong}; expected whole numbers from 1")
        self.ends: Tensor
        self.orders: Tensor
        self.register_buffer("ends", ends.detach().clone())
        self.register_buffer("orders", orders.detach().clone().long())
        self._powers = torch.unique(self.orders).tolist()

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Radial:
        return cls(state["ends"], state["orders"])

    @property
    def centred(self) -> bool:
        return False

    @property
    def dimension(self) -> int:
        return self.ends.shape[1]

    @property
    def statistics(self) -> Params:
        return {}

    def coefficients(self, coords: Tensor) -> Tensor:
        coords = check_coords(coords, self.axes)
        powers = torch.tensor(self._powers, device=coords.device)
        first, second = (1 - 2 * coords).clamp(min=0), (2 * coords - 1).clamp(min=0)
        return torch.cat([first**powers, second**powers], dim=1)

    def derivatives(self, coords: Tensor) -> Tensor:
        coords = check_coords(coords, self.axes)
        powers = torch.tensor(self._powers, device=coords.device)
        first, second = (1 - 2 * coords).clamp(min=0), (2 * coords - 1).clamp(min=0)
        slopes = -2 * powers * first ** (powers - 1), 2 * powers * second ** (powers - 1)
        before = coords < 0.5  # on the first leg the second has no part, but 0^0 is 1
        return torch.cat([slopes[0] * before, slopes[1] * ~before], dim=1)[:, :, None]

    def corner_coords(self) -> Tensor:
        return torch.tensor([[0.0], [1.0]], dtype=torch.float64)

    @property
    def control_count(self) -> int:
        return 2 * len(self._powers)

    def controls(self) -> Tensor:
        return torch.stack([end * (self.orders == order) for end in self.ends for order in self._powers])

    @property
    def held_bytes(self) -> int:
        """The bytes of the controls: one weight vector for each order at each end."""
        return self.ends.nbytes * len(self._powers)
