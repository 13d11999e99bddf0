"""What is gathered of members: targets that can be scored, weights that scores leave out, and digits that are kept."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

import lossatlas as la
from lossatlas.errors import BadInput, Caution

QUICK = {"halvings": 0, "pairs": False}


def networks(outputs: int = 3) -> list[nn.Linear]:
    torch.manual_seed(0)
    return [nn.Linear(4, outputs) for _ in range(2)]


def test_targets_that_are_probabilities_of_several_classes_are_refused() -> None:
    members, inputs = networks(), torch.randn(20, 4)
    soft = torch.full((20, 3), 0.2) + 0.4 * torch.eye(3)[torch.arange(20) % 3]
    with pytest.raises(BadInput, match="targets are probabilities of several classes; expected labels"):
        la.ensemble(la.Problem(members[0], la.CrossEntropy()), {"train": (inputs, soft)}, members, **QUICK)
    hard = torch.eye(3)[torch.arange(20) % 3]
    found = la.ensemble(la.Problem(members[0], la.CrossEntropy()), {"train": (inputs, hard)}, members, **QUICK)
    same = {"train": (inputs, torch.arange(20) % 3)}
    assert found["nll"].equals(la.ensemble(la.Problem(members[0], la.CrossEntropy()), same, members, **QUICK)["nll"])


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (la.CrossEntropy(weight=(1.0, 2.0, 1.0)), "weighs examples or classes, and"),
        (la.CrossEntropy(label_smoothing=0.1), "smooths labels, and"),
        (la.CrossEntropy(weight=(1.0, 2.0, 1.0), label_smoothing=0.1), "weighs examples or classes and smooths labels"),
    ],
)
def test_losses_with_weights_or_smoothed_labels_say_that_scores_are_without(loss: la.Loss, words: str) -> None:
    members, examples = networks(), {"train": (torch.randn(20, 4), torch.arange(20) % 3)}
    with pytest.warns(Caution, match=f"scores are unweighted: the loss .* {words}") as told:
        found = la.ensemble(la.Problem(members[0], loss), examples, members, **QUICK)
    assert len(told) == 1
    plain = la.ensemble(la.Problem(members[0], la.CrossEntropy()), examples, members, **QUICK)
    assert found["nll"].equals(plain["nll"])


def test_positions_that_do_not_count_are_not_weights() -> None:
    members = networks()
    labels = torch.arange(60).reshape(20, 3) % 3
    labels[4, 1:] = -100
    inputs = torch.randn(20, 3, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error", Caution)
        la.ensemble(
            la.Problem(members[0], la.CrossEntropy(class_axis=-1)), {"train": (inputs, labels)}, members, **QUICK
        )


def test_regressions_in_float64_keep_its_digits() -> None:
    members = [network.double() for network in networks(1)]
    inputs = torch.randn(50, 4, dtype=torch.float64)
    targets = 1e8 + torch.randn(50, 1, dtype=torch.float64)
    with torch.no_grad():
        for k, member in enumerate(members):
            member.weight.mul_(0.1)
            member.bias.fill_(1e8 + k)
        mean = torch.stack([member(inputs) for member in members]).mean(dim=0)
    found = la.ensemble(la.Problem(members[0], la.SquaredError()), {"train": (inputs, targets)}, members, **QUICK)
    assert float(found["squared_error"][-1]) == pytest.approx(float((mean - targets).square().mean()), rel=1e-6)
    mapped = la.ensemble(
        la.Problem(members[0], la.SquaredError()),
        {"train": (inputs, targets)},
        members,
        memory="1kB",
        plan="loop",
        **QUICK,
    )
    assert float(mapped["squared_error"][-1]) == pytest.approx(float(found["squared_error"][-1]), rel=1e-6)
