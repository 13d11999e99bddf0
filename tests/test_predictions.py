"""Predictions of members: in memory and in a mapped file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from lossatlas.ensembles import Predictions, Rows
from lossatlas.errors import BadInput, CannotFinish

ROWS = Rows("classes", torch.tensor([0, 2, 1]), 3, torch.tensor([0, 0, 2]), 3)


def test_a_mapped_file_keeps_what_was_put_into_it(tmp_path: Path) -> None:
    values = torch.randn(2, 3, 3)
    written = Predictions(["a", "b"], ROWS, path=tmp_path / "predictions")
    written.put(slice(0, 2), slice(0, 3), values)
    del written
    again = Predictions(["a", "b"], ROWS, path=tmp_path / "predictions", keep=True)
    assert again.kept
    assert torch.equal(again.some(slice(None)), values)
    del again
    anew = Predictions(["a", "b"], ROWS, path=tmp_path / "predictions")
    assert not anew.kept
    assert not anew.of(0).any()


def test_a_file_of_another_size_is_replaced_by_zeros(tmp_path: Path) -> None:
    (tmp_path / "predictions").write_bytes(b"\xff" * 11)
    found = Predictions(["a"], ROWS, path=tmp_path / "predictions", keep=True)
    assert not found.kept
    assert not found.of(0).any()


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    precious = b"p" * 36  # as long as the predictions
    (tmp_path / "precious").write_bytes(precious)
    for name, link in (("soft", os.symlink), ("hard", os.link)):
        link(tmp_path / "precious", tmp_path / name)
        found = Predictions(["a"], ROWS, path=tmp_path / name, keep=True)
        found.put(slice(0, 1), slice(0, 3), torch.ones(1, 3, 3))
        assert not found.kept
        assert (tmp_path / "precious").read_bytes() == precious


def test_a_folder_in_its_place_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "predictions").mkdir()
    with pytest.raises(CannotFinish, match="cannot write"):
        Predictions(["a"], ROWS, path=tmp_path / "predictions")


def test_rows_say_whether_they_are_examples() -> None:
    assert not ROWS.are_examples  # the second example has no row, the first has two
    assert Rows("classes", torch.tensor([0, 2]), 3, torch.arange(2), 2).are_examples


@pytest.mark.parametrize(
    ("names", "rows", "values"),
    [
        ([], ROWS, None),
        (["a"], Rows("classes", torch.empty(0, dtype=torch.int64), 3, torch.empty(0, dtype=torch.int64), 2), None),
        (["a"], ROWS, torch.zeros(1, 3, 2)),
    ],
)
def test_what_is_not_an_ensemble_is_refused(names: list[str], rows: Rows, values: torch.Tensor | None) -> None:
    with pytest.raises(BadInput, match="expected"):
        Predictions(names, rows, values)
