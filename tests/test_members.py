"""What members predict, against networks built anew."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import lossatlas as la
from lossatlas.data import Split
from lossatlas.engine.setup import engine_for
from lossatlas.ensembles.gathering import choose_kind, find_rows, gather_predictions
from lossatlas.ensembles.members import Cost, Effort, Listed, Members
from lossatlas.ensembles.predictions import Predictions
from lossatlas.errors import BadInput
from lossatlas.specs import MemberSpec

INPUTS = torch.randn(30, 6, generator=torch.Generator().manual_seed(1))
LABELS = torch.randint(3, (30,), generator=torch.Generator().manual_seed(2))


def make_network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))
    network.train()
    for _ in range(3):
        network(INPUTS[torch.randperm(30)[:20]] * (1 + seed))
    return network.eval()


def gather(members: Members, problem: la.Problem, split: Split, size: int = 7) -> Predictions:
    policy = {"buffers": la.InterpolatedStatistics()} if members.buffers == "interpolated" else {}
    engine = engine_for(problem, members.chart, split, plan="loop", eval_batch_size=size, **policy)
    rows = find_rows(engine, members, split, size, choose_kind(problem.loss))
    predictions = Predictions(members.names, rows)
    assert [*gather_predictions(engine, members, split, size, predictions)][-1] == len(members)
    return predictions


def gathered(networks: list[nn.Module]) -> Members:
    space = la.WeightSpace(networks[0])
    kept = {
        name: torch.stack([network.state_dict()[name] for network in networks])
        for name in ("1.running_mean", "1.running_var")
    }
    chart = Listed(torch.stack([space.vector_of(network) for network in networks]), kept)
    return Members(chart=chart, coords=torch.arange(len(networks))[:, None], buffers="interpolated")


def test_networks_predict_what_each_does_with_its_own_statistics() -> None:
    networks = [make_network(seed) for seed in range(4)]
    problem = la.Problem(copy.deepcopy(networks[0]), la.CrossEntropy())
    found = gather(gathered(networks), problem, Split((INPUTS, LABELS)))
    for k, network in enumerate(networks):
        with torch.no_grad():
            expected = network(INPUTS).log_softmax(dim=-1)
        torch.testing.assert_close(found.of(k), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(found.targets, LABELS)
    assert found.examples is None


class PerToken(nn.Module):
    def __init__(self, classes_first: bool) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 4)
        self.classes_first = classes_first

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.layer(inputs)
        return found.movedim(-1, 1) if self.classes_first else found


@pytest.mark.parametrize("classes_first", [True, False])
def test_rows_are_the_positions_that_count(classes_first: bool) -> None:
    inputs = torch.randn(9, 5, 2)
    labels = torch.randint(4, (9, 5))
    labels[0, :] = -100
    labels[4, 2:] = -100
    networks = [PerToken(classes_first) for _ in range(2)]
    problem = la.Problem(copy.deepcopy(networks[0]), la.CrossEntropy())
    space = la.WeightSpace(networks[0])
    chart = Listed(torch.stack([space.vector_of(network) for network in networks]))
    found = gather(Members(chart=chart, coords=torch.arange(2)[:, None]), problem, Split((inputs, labels)), size=4)
    counted = labels >= 0
    assert torch.equal(found.targets, labels[counted])
    assert torch.equal(found.rows.examples, torch.nonzero(counted)[:, 0])
    assert found.rows.total == 9
    for k, network in enumerate(networks):
        with torch.no_grad():
            expected = network.layer(inputs).log_softmax(dim=-1)[counted]
        torch.testing.assert_close(found.of(k), expected, rtol=1e-4, atol=1e-5)


def test_labels_may_have_an_axis_of_length_one() -> None:
    networks = [nn.Linear(6, 3) for _ in range(2)]
    problem = la.Problem(copy.deepcopy(networks[0]), la.CrossEntropy())
    chart = Listed(torch.stack([la.WeightSpace(networks[0]).vector_of(network) for network in networks]))
    found = gather(Members(chart=chart, coords=torch.arange(2)[:, None]), problem, Split((INPUTS, LABELS[:, None])))
    assert torch.equal(found.targets, LABELS)


def test_values_of_a_regression_are_its_outputs() -> None:
    networks = [nn.Linear(6, 2) for _ in range(3)]
    targets = torch.randn(30, 2)
    problem = la.Problem(copy.deepcopy(networks[0]), la.SquaredError())
    chart = Listed(torch.stack([la.WeightSpace(networks[0]).vector_of(network) for network in networks]))
    found = gather(Members(chart=chart, coords=torch.tensor([[2], [0]])), problem, Split((INPUTS, targets)))
    for row, k in enumerate((2, 0)):
        with torch.no_grad():
            torch.testing.assert_close(found.of(row), networks[k](INPUTS), rtol=1e-4, atol=1e-5)
    assert torch.equal(found.targets, targets)


def test_points_of_a_line_are_networks_built_anew() -> None:
    networks = [nn.Linear(6, 3) for _ in range(2)]
    line = la.Simplex.between(networks)
    problem = la.Problem(copy.deepcopy(networks[0]), la.CrossEntropy())
    found = gather(Members(chart=line, coords=torch.tensor([[0.0], [0.3], [1.2]])), problem, Split((INPUTS, LABELS)))
    for row, t in enumerate((0.0, 0.3, 1.2)):
        anew = nn.Linear(6, 3)
        with torch.no_grad():
            for name, value in anew.named_parameters():
                value.copy_((1 - t) * networks[0].get_parameter(name) + t * networks[1].get_parameter(name))
            expected = anew(INPUTS).log_softmax(dim=-1)
        torch.testing.assert_close(found.of(row), expected, rtol=1e-4, atol=1e-5)


def test_what_is_averaged_has_to_be_known() -> None:
    loss = la.PerExample(lambda outputs, targets: (outputs - targets).abs().sum(dim=1))
    with pytest.raises(BadInput, match="--predictions values"):
        choose_kind(loss)
    assert choose_kind(loss, "values") == "values"
    with pytest.raises(BadInput, match="they are classes"):
        choose_kind(la.CrossEntropy(), "values")


def test_a_training_that_members_share_counts_once() -> None:
    def cost(**steps: int) -> Cost:
        return Cost({name: Effort(step, 10 * step) for name, step in steps.items()})

    assert Cost.join([cost(a=5), cost(a=9), cost(b=2, a=1)]).add_up() == Effort(11, 110)
    assert Cost.join([cost(a=5), Cost()]).add_up() is None
    assert Cost.join([]).add_up() == Effort(0, 0)


def test_a_number_that_is_not_that_of_a_network_is_refused() -> None:
    chart = Listed(torch.zeros(2, 3))
    for wrong in (0.5, 2.0, -1.0):
        with pytest.raises(BadInput, match="expected 0 to 1"):
            chart.coefficients(torch.tensor([[wrong]]))


def test_members_and_their_names_are_as_many() -> None:
    with pytest.raises(BadInput, match="expected one each"):
        Members(chart=Listed(torch.zeros(2, 3)), coords=torch.zeros(2, 1), names=("a",))


def test_the_name_of_an_existing_path_is_that_path(tmp_path: Path) -> None:
    folder = tmp_path / "run@low"
    assert MemberSpec.parse(str(folder)).kind == "low"
    folder.mkdir()
    assert MemberSpec.parse(str(folder)) == MemberSpec(str(folder))


def test_samples_are_named_by_their_numbers_and_points_by_their_coordinates() -> None:
    swag = la.Swag(torch.zeros(4), torch.ones(4), torch.eye(4)[:2])
    assert Members(chart=swag, coords=torch.tensor([[0], [7]])).names == ("sample 0", "sample 7")
    line = la.Simplex.between([nn.Linear(2, 1), nn.Linear(2, 1)])
    assert Members(chart=line, coords=torch.tensor([[0.25]])).names == ("(0.25)",)
