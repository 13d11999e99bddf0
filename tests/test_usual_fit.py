"""What the settings of a fit are where they are left open: by kind of network and by picture, and on record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import lossatlas as la
from lossatlas.errors import BadInput
from lossatlas.jobs.fit import run_fit
from lossatlas.recipes import PRESETS, FitConfig
from lossatlas.recipes.fit import build_fit
from lossatlas.recipes.usual_fit import RATES, USUAL

MLP: dict[str, Any] = {"model_options": {"hidden": (4,)}, "device": "cpu", "plan": "loop", "splits": ("test",)}
CONV: dict[str, Any] = {**MLP, "model": "conv", "model_options": {"channels": (2,), "hidden": 4}}


@pytest.mark.parametrize(("problem", "kind"), [(MLP, "other"), (CONV, "convolutional")])
def test_settings_follow_from_the_network(problem: dict[str, Any], kind: str) -> None:
    config = build_fit(FitConfig(**problem, pattern="skull", size="40")).config
    for name, value in USUAL[kind].items():
        assert getattr(config, name) == value
    lr, of_scale = RATES[kind, config.optimizer]
    assert (config.lr, config.scale_lr) == (lr, of_scale * lr)
    assert config.shares == (0.2, 0.3, 0.5)
    assert config.boundary_share == la.picture("skull", 40).boundary_share


def test_the_kinds_differ() -> None:
    assert USUAL["other"].keys() == USUAL["convolutional"].keys()
    assert USUAL["other"] != USUAL["convolutional"]


def test_what_is_given_stays() -> None:
    given: dict[str, Any] = {"cells": 5, "lr": 1e-2, "coarse": (0.5,), "boundary_share": 0.25, "batch_size": 7}
    config = build_fit(FitConfig(**CONV, **given, size="20")).config
    assert {name: getattr(config, name) for name in given} == given
    assert config.scale_lr == pytest.approx(RATES["convolutional", "muon"][1] * 1e-2)
    assert build_fit(FitConfig(**CONV, optimizer="adam")).config.lr == RATES["convolutional", "adam"][0]
    assert config.shares == (0.3, 0.7)


def test_only_boundaries_is_a_share_of_one() -> None:
    config = build_fit(FitConfig(**MLP, boundary_only=True, size="12")).config
    assert config.boundary_share == 1.0
    assert build_fit(config).config == config


def test_cells_can_be_sampled_alike() -> None:
    recipe = build_fit(FitConfig(**MLP, pattern="skull", size="24", coarse=(), boundary_only=False, cells=10**6))
    assert recipe.config.boundary_share is None
    assert recipe.sampled.all()
    assert build_fit(recipe.config).config == recipe.config


def test_the_papers_presets_have_one_learning_rate() -> None:
    for name, lr in (("paper", 3e-4), ("authors-code", 2.5e-4)):
        config = build_fit(FitConfig(**{**PRESETS[name], **CONV, "size": "12"})).config
        assert (config.lr, config.scale_lr) == (lr, lr)


def test_a_chart_without_a_scale_has_no_rate_of_it() -> None:
    config = build_fit(FitConfig(**MLP, chart="spline", size="8")).config
    assert config.scale_lr is None


def test_curved_charts_are_kept_near_isometric(tmp_path: Path) -> None:
    assert build_fit(FitConfig(**MLP, chart="spline", size="8")).config.isometry == 0.1
    assert build_fit(FitConfig(**MLP, chart="spline", size="8", isometry=0.0)).config.isometry == 0.0
    assert build_fit(FitConfig(**MLP, size="8")).config.isometry == 0.0


def test_the_record_has_numbers_and_the_same_command_resumes(tmp_path: Path) -> None:
    config = FitConfig(**MLP, size="10", steps=3, examples="20")
    run_fit(config, tmp_path / "run", pictures=False)
    recorded = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert {name: recorded[name] for name in ("cells", "batch_size", "lr", "scale_lr", "coarse", "shares")} == {
        "cells": 32, "batch_size": 32, "lr": 5e-3, "scale_lr": 5e-3, "coarse": [0.3, 0.6], "shares": [0.2, 0.3, 0.5],
    }  # fmt: skip
    assert recorded["boundary_share"] == la.picture("heart", 10).boundary_share
    run_fit(config, tmp_path / "run", resume=True, pictures=False)
    with pytest.raises(BadInput, match="cells was 32 and is 8"):
        run_fit(replace(config, cells=8), tmp_path / "run", resume=True, pictures=False)
    again = FitConfig.from_flat({name: value for name, value in recorded.items() if name != "verb"})
    assert build_fit(again).config == again


@pytest.mark.parametrize("boundary_only", [False, True])
def test_a_run_from_before_the_optimizer_could_be_chosen_resumes_with_adam(tmp_path: Path, boundary_only: bool) -> None:
    former: dict[str, Any] = {
        "cells": 4, "batch_size": 4, "lr": 2e-3, "coarse": (), "shares": (1.0,), "boundary_only": boundary_only,
        "augment": (),
    }  # fmt: skip
    config = FitConfig(**CONV, size="8", steps=3, examples="10")
    asked = replace(config, **former, optimizer="adam", scale_lr=2e-3, keep_best=False)
    run_fit(asked, tmp_path / "run", pictures=False)
    path = tmp_path / "run/config.yaml"
    recorded = yaml.safe_load(path.read_text())
    newer = ("optimizer", "keep_best", "average_last", "boundary_share", "isometry")
    old = {name: value for name, value in recorded.items() if name not in newer} | {"scale_lr": None}
    path.write_text(yaml.safe_dump(old, sort_keys=False))
    (tmp_path / "run/summary.json").unlink()
    run_fit(config, tmp_path / "run", resume=True, pictures=False)
    (tmp_path / "run/summary.json").unlink()
    with pytest.raises(BadInput, match="optimizer was 'adam' and is 'muon'"):
        run_fit(replace(config, optimizer="muon"), tmp_path / "run", resume=True, pictures=False)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"shares": (0.5, 0.5)}, "expected 3 positive shares"),
        ({"coarse": (0.5,), "shares": (1.0,)}, "expected 2 positive shares"),
        ({"shares": (0.5, -0.5, 1.0)}, "expected positive shares"),
        ({"boundary_share": 1.5}, r"a number in \[0, 1\]"),
        ({"boundary_share": 0.5, "boundary_only": True}, "give one of the two"),
        ({"boundary_share": 0.5, "boundary_only": False}, "leaves it to chance"),
        ({"pattern": "members:4", "boundary_share": 0.5}, "does not have low and high cells"),
    ],
)
def test_contradictions_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        build_fit(FitConfig(**MLP, **settings))


class TestBoundaryShares:
    @pytest.mark.parametrize("share", [0.0, 0.25, 0.7, 1.0])
    def test_so_many_cells_of_each_class_are_at_boundaries(self, share: float) -> None:
        picture = la.picture("heart", 30)
        sampled = la.Pattern(picture, cells=20, boundary_share=share).sample(seed=0, step=3, progress=0.0, running={})
        coords = torch.from_numpy(picture.coords())
        boundary = picture.find_boundary()
        for ink, drawn in zip((picture.low, picture.high), sampled.coords.split(20), strict=True):
            places = coords[torch.from_numpy(ink & boundary)]
            found = sum(bool((places == one).all(dim=1).any()) for one in drawn)
            assert found == round(share * 20)
            inside = coords[torch.from_numpy(ink)]
            assert all((inside == one).all(dim=1).any() for one in drawn)

    def test_where_one_part_is_too_small_the_other_fills_up(self) -> None:
        picture = la.picture("skull", 24)
        few = int((picture.low & ~picture.find_boundary()).sum())
        for share in (0.0, 1.0):
            objective = la.Pattern(picture, cells=few + 5, boundary_share=share)
            assert objective.most_points == 2 * (few + 5)
        assert la.Pattern(picture, cells=10**6, boundary_share=0.3).most_points == picture.cells.size

    @pytest.mark.parametrize("share", [0.3, 1.0])
    def test_low_cells_are_told_from_high_ones_where_boundaries_are_short(self, share: float) -> None:
        picture = la.picture("heart", 16)
        at_boundary, low = int((picture.low & picture.find_boundary()).sum()), int(picture.low.sum())
        cells = at_boundary + 20
        assert cells < low
        sampled = la.Pattern(picture, cells=cells, boundary_share=share).sample(0, 0, 0.0, {})
        places = torch.from_numpy(picture.coords()[picture.low])
        accuracy = torch.tensor([float((places == one).all(dim=1).any()) for one in sampled.coords])
        report = sampled.report({"accuracy": accuracy})
        assert (report["low_accuracy"], report["high_accuracy"]) == (1.0, 0.0)

    def test_a_share_of_one_is_boundary_only(self) -> None:
        picture = la.picture("skull", 24)
        one, other = la.Pattern(picture, boundary_only=True), la.Pattern(picture, boundary_share=1.0)
        assert (one.sampled == other.sampled).all()
        drawn = [each.sample(seed=1, step=2, progress=0.0, running={}).coords for each in (one, other)]
        assert torch.equal(*drawn)

    def test_a_share_out_of_bounds_is_refused(self) -> None:
        with pytest.raises(BadInput, match=r"in \[0, 1\]"):
            la.Pattern(la.picture("heart", 8), boundary_share=-0.1)
        with pytest.raises(BadInput, match="one of the two"):
            la.Pattern(la.picture("heart", 8), boundary_only=True, boundary_share=0.1)
