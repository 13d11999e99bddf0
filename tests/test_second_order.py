"""Products with second-order operators are right, or what makes them wrong is named: losses, layers, casts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lossatlas as la
from lossatlas.errors import BadInput

ROWS = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(20) % 5


def make_network(*inside: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), *(inside or (nn.Tanh(),)), nn.Linear(8, 5))


def surveyed(module: nn.Module, metric: str = "hessian_max", loss: la.Loss | None = None) -> la.Survey:
    """A survey of a metric of curvature at the network itself."""
    start = torch.nn.utils.parameters_to_vector(module.parameters()).detach()
    chart = la.Plane(start, torch.eye(1, len(start)).to(start))
    problem = la.Problem(module, loss or la.CrossEntropy())
    return la.survey(chart, {"u": np.zeros(1)}, problem, {"test": (ROWS, LABELS)}, metrics=[metric], plan="loop")


def focal(outputs: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy with a factor, without the gradient of that factor."""
    losses = nn.functional.cross_entropy(outputs, labels, reduction="none")
    return (1 - (-losses).exp().detach()) ** 2 * losses


class Gated(nn.Module):
    """A layer whose gate has no gradient."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x.detach().sigmoid()


class TestWhatIsNamed:
    @pytest.mark.parametrize("metric", ["hessian_max", "ggn_max"])
    def test_a_loss_with_a_cut_in_its_graph_is_named_and_no_layer(self, metric: str) -> None:
        with pytest.raises(BadInput, match=r"^the loss PerExample\(.*focal\) has no correct second .*detach") as caught:
            surveyed(make_network(), metric, la.PerExample(focal))
        assert "\n" not in str(caught.value)

    def test_so_is_one_that_calls_the_network(self) -> None:
        loss = la.NetworkLoss(lambda network, batch: focal(network(batch[0]), batch[1]))
        with pytest.raises(BadInput, match=r"^the loss NetworkLoss\(.*\) has no correct second derivatives"):
            surveyed(make_network(), loss=loss)

    @pytest.mark.parametrize(("metric", "called"), [("hessian_max", False), ("ggn_max", False), ("hessian_max", True)])
    def test_a_layer_with_a_cut_is_named_and_not_the_loss(self, metric: str, called: bool) -> None:
        def judge(outputs: Tensor, labels: Tensor) -> Tensor:
            return nn.functional.cross_entropy(outputs, labels, reduction="none")

        own = la.PerExample(judge, classifies=True)
        loss = la.NetworkLoss(lambda network, batch: judge(network(batch[0]), batch[1])) if called else own
        with pytest.raises(BadInput, match=r"^layer '1' \(Gated\) has no correct second derivatives"):
            surveyed(make_network(Gated()), metric, loss)

    def test_where_both_have_one_the_loss_is_named_first(self) -> None:
        with pytest.raises(BadInput, match=r"^the loss PerExample"):
            surveyed(make_network(Gated()), loss=la.PerExample(focal))

    def test_a_loss_that_is_whole_is_not_refused(self) -> None:
        def whole(outputs: Tensor, labels: Tensor) -> Tensor:
            losses = nn.functional.cross_entropy(outputs, labels, reduction="none")
            return (1 - (-losses).exp()) ** 2 * losses

        assert np.isfinite(surveyed(make_network(), loss=la.PerExample(whole))["test_hessian_max"]).all()
