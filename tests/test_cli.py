"""The command line: the run it leaves, and one line for everything that is wrong."""

from __future__ import annotations

import json
import os
import pickle
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
import yaml
from PIL import Image

import lossatlas as la
from lossatlas.cli import main
from lossatlas.cli.app import VERBS, Verb, make_app
from lossatlas.cli.layers import merge_tokens
from lossatlas.cli.panels import OTHERS
from lossatlas.recipes import FitConfig

SMALL = {
    "pattern": ["--pattern=heart"],
    "size": ["--size=8x10"],
    "steps": ["--steps=6"],
    "model": ["--model=mlp"],
    "model.hidden": ["--model.hidden", "8"],
    "cells": ["--cells=4"],
    "examples": ["--examples=40"],
    "padding": ["--padding=1"],
    "plan": ["--plan=loop"],
    "coarse": ["--coarse=0.7"],
    "shares": ["--shares", "0.5", "0.5"],
    "out": ["--out=runs/x"],
    "pictures": ["--no_pictures"],
}


CONFIGURED = ("fit", "train", "survey", "connect", "compare", "curvature")
"""Verbs whose options are the fields of a configuration and of options of a run."""


def list_options(verb: Verb) -> set[str]:
    """The names of the options of a configured verb."""
    made: Any = verb
    return {field.name for part in (made._config, made._run) for field in fields(part)} - {
        f"{name}_options" for name in made._config.named()
    }


def fit(*tokens: str) -> int:
    """Run a small fit with some options in place of its own."""
    model = any(token.startswith("--model=") for token in tokens)
    small = {name: own for name, own in SMALL.items() if not (model and name == "model.hidden")}
    return main(["fit", *merge_tokens([small], tokens)])


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(capsys: pytest.CaptureFixture[str], *tokens: str, code: int = 2, out: str = "runs/x") -> str:
    """The one line that a command line is refused with; nothing may be left behind."""
    before = sorted(Path.cwd().rglob("*"))
    assert fit(f"--out={out}", *tokens) == code
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert sorted(Path.cwd().rglob("*")) == before
    return lines[0]


class TestARun:
    def test_leaves_everything_that_the_contract_lists(self) -> None:
        assert fit("--out=runs/a", "--pictures") == 0
        run = Path("runs/a")
        for name in ("config.yaml", "provenance.json", "metrics.jsonl", "chart.safetensors", "report.html"):
            assert (run / name).is_file()
        assert {"target.png", "loss.png", "accuracy.png", "surface.png"} <= {p.name for p in run.glob("*.png")}
        steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
        assert steps == list(range(6))
        summary = json.loads((run / "summary.json").read_text())
        assert summary["steps"] == 6
        assert summary["gap"] == pytest.approx(summary["low_accuracy"] - summary["high_accuracy"])
        assert summary["gap"] == summary["test_scores"]["gap"]
        survey = xr.open_zarr(run / "survey.zarr", consolidated=False, chunks=None)
        assert dict(survey.sizes) == {"u": 12, "v": 10}
        assert {"train_loss", "test_accuracy", "target"} <= set(survey.data_vars)
        assert survey["test_loss"].attrs["units"] == "nat"
        assert json.loads((run / "provenance.json").read_text())["plan"]["pullback"]["strategy"] == "loop"
        assert not list(Path("runs").glob(".*")), "no temporary folders"

        for flag in ("--resume", "--resume=true"):
            assert fit("--out=runs/a", flag) == 0  # finished: nothing to do
        assert main(["view", "runs/a", "--kinds", "loss", "--out", "pictures"]) == 0
        assert {p.name for p in Path("pictures").iterdir()} == {"loss.png", "loss.caption.txt"}
        assert fit("--out=runs/a", "--overwrite", "--steps=2") == 0
        assert json.loads((run / "summary.json").read_text())["steps"] == 2

    def test_its_configuration_reproduces_it(self) -> None:
        assert fit("--out=runs/a") == 0
        assert main(["fit", "--config=runs/a/config.yaml", "--out=runs/b", "--no_pictures"]) == 0
        assert Path("runs/a/chart.safetensors").read_bytes() == Path("runs/b/chart.safetensors").read_bytes()
        assert Path("runs/a/config.yaml").read_text() == Path("runs/b/config.yaml").read_text()

    def test_layers_of_configuration(self, capsys: pytest.CaptureFixture[str]) -> None:
        Path("c.yaml").write_text("cells: 9\nseconds: 7\nmodel: conv\nmodel.batch_norm: true\nlr: 0.5\n")
        assert main(["fit", "--preset=paper", "--config=c.yaml", "--lr=0.25", "--print_config"]) == 0
        config = yaml.safe_load(capsys.readouterr().out)
        assert (config["cells"], config["lr"], config["size"], config["clip"]) == (9, 0.25, "50", "cell")
        assert (config["seconds"], config["steps"]) == (7, None), "the file's budget replaces the preset's"
        assert config["model.batch_norm"] is True
        assert config["coarse"] == []

    @pytest.mark.parametrize(
        ("said", "found"), [("--boundary_only", (True, None)), ("--boundary_share=0.5", (None, 0.5))]
    )
    def test_how_boundaries_are_sampled_replaces_what_a_run_recorded(
        self, said: str, found: tuple[Any, Any], capsys: pytest.CaptureFixture[str]
    ) -> None:
        Path("c.yaml").write_text("boundary_only: null\nboundary_share: 0.83\n")
        assert main(["fit", "--preset=paper", "--config=c.yaml", said, "--print_config"]) == 0
        config = yaml.safe_load(capsys.readouterr().out)
        assert (config["boundary_only"], config["boundary_share"]) == found

    def test_a_dry_run_writes_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert fit("--dry_run") == 0
        out = capsys.readouterr().out
        assert "120 points x 80 examples" in out
        assert not list(Path.cwd().iterdir())

    def test_info_lists_what_there_is(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["info"]) == 0
        listed = " ".join(capsys.readouterr().out.split())
        for word in ("mlp", "--model.max_pool", "digits", "skull", "image:FILE", "vmap", "frozen", "cpu", "paper"):
            assert word in listed

    def test_ones_own_model_and_data(self) -> None:
        Path("mine.py").write_text(
            "import torch\n"
            "def net():\n    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 3))\n"
            "def data():\n    x, y = torch.randn(40, 2, 3), torch.arange(40) % 3\n    return (x, y), (x[:9], y[:9])\n"
        )
        tokens = ["fit", "--pattern=heart", "--size=8", "--steps=2", "--model=mine:net", "--data=mine:data"]
        assert main([*tokens, "--out=runs/mine", "--plan=loop", "--no_pictures"]) == 0
        assert "gap" in json.loads(Path("runs/mine/summary.json").read_text())

    def test_a_convolutional_network_around_a_checkpoint_with_its_own_statistics(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        trained = la.Conv(channels=(3, 4), hidden=5, batch_norm=True).build((1, 8, 8), 10)
        trained.train()
        trained(torch.randn(16, 1, 8, 8) * 3 + 1)
        torch.save({"epoch": 3, "state_dict": trained.state_dict()}, "trained.pt")
        model = ["--model=conv", "--model.channels", "3", "4", "--model.hidden=5", "--model.batch_norm"]
        frozen = [*model, "--buffers=frozen", "--examples=all", "--size=9"]
        assert fit("--out=runs/a", "--checkpoint=trained.pt", *frozen, "--padding=0") == 0
        chart = la.load_chart(Path("runs/a/chart.safetensors"))
        space = la.WeightSpace(trained)
        torch.testing.assert_close(chart.origin.detach(), space.vector_of(trained), rtol=0, atol=0)
        # The survey's centre is the checkpoint itself, in evaluation mode.
        survey = xr.open_zarr("runs/a/survey.zarr", consolidated=False, chunks=None)
        images, labels = la.load_data("digits").test.data
        with torch.no_grad():
            expected = torch.nn.functional.cross_entropy(trained.eval()(images), labels)
        assert float(survey["test_loss"].sel(u=0, v=0)) == pytest.approx(float(expected), rel=1e-5)

        capsys.readouterr()
        assert "frozen buffers need a trained network" in refused(capsys, *frozen)

    def test_a_survey_under_other_statistics_than_the_fit(self) -> None:
        model = ["--model=conv", "--model.channels=4", "--model.hidden=8", "--model.batch_norm"]
        few = ["--size=6", "--padding=0"]
        assert fit("--out=runs/a", *model, *few) == 0
        assert fit("--out=runs/b", "--survey_buffers=reestimated", "--buffers_batches=2", *model, *few) == 0
        charts = [Path(f"runs/{name}/chart.safetensors").read_bytes() for name in "ab"]
        assert charts[0] == charts[1], "the fit is the same"
        surveys = [xr.open_zarr(f"runs/{name}/survey.zarr", consolidated=False, chunks=None) for name in "ab"]
        assert surveys[1]["test_loss"].attrs["buffers"].startswith("reestimated from 1000 examples")
        assert not np.allclose(surveys[0]["test_loss"], surveys[1]["test_loss"])

    @pytest.mark.parametrize(
        ("pattern", "tokens", "keys"),
        [
            ("text:la", ["--size=14"], {"gap", "iou"}),
            ("random:0.4", ["--size=9x12", "--pattern.no_rings"], {"gap", "iou"}),
            ("sequence:heart,star", ["--size=8"], {"gap", "iou"}),
            ("grey:photo.png", ["--size=8x10", "--pattern.low=0.1"], {"log_loss_correlation", "log_loss_rmse"}),
        ],
    )
    def test_every_kind_of_picture(self, pattern: str, tokens: list[str], keys: set[str]) -> None:
        Image.fromarray(np.add.outer(np.arange(40), np.arange(50)).astype(np.uint8)).save("photo.png")
        assert fit("--out=runs/a", f"--pattern={pattern}", *tokens, "--pictures", "--augment", "crop", "flip") == 0
        summary = json.loads(Path("runs/a/summary.json").read_text())
        assert keys <= summary.keys()
        assert -1 <= summary["train_test_correlation"] <= 1
        assert summary["held_bytes"] < summary["held_bytes_of_separate_models"]
        assert Path("runs/a/report.html").is_file()

    @pytest.mark.parametrize("preset", ["paper", "authors-code"])
    def test_the_papers_presets_run_and_say_what_they_set(
        self, preset: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert fit("--out=runs/a", f"--preset={preset}", "--batch_size=32") == 0
        said = " ".join(capsys.readouterr().err.split())
        assert f"preset {preset}: model=mlp, size=8x10, " in said, "what is set in the end"
        assert "lr=0.0003" in said if preset == "paper" else "lr=0.00025" in said
        config = yaml.safe_load(Path("runs/a/config.yaml").read_text())
        assert (config["clip"], config["scale_unit"]) == ("cell", "cell")

    def test_without_pictures_it_can_be_drawn_later(self) -> None:
        assert fit("--out=runs/a") == 0
        assert not [*Path("runs/a").glob("*.png"), *Path("runs/a").glob("*.html")]
        assert main(["view", "runs/a", "--kinds", "loss"]) == 0
        assert Path("runs/a/loss.png").is_file()

    def test_a_target_that_is_not_reached_on_a_plateau_fails_and_keeps_the_checkpoint(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert fit("--out=runs/a", "--target_gap=0.9", "--lr=1e-9") == 3
        assert "never left the plateau" in capsys.readouterr().err
        assert Path("runs/a/checkpoint/latest.safetensors").is_file()
        assert not Path("runs/a/summary.json").exists()

    def test_without_any_option_it_is_the_demo(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = []

        def note(config: FitConfig, out: Path, **_: object) -> dict[str, object]:
            asked.append((config, out))
            return {}

        monkeypatch.setattr("lossatlas.jobs.fit.run_fit", note)
        assert main(["fit"]) == 0
        assert main(["fit", "--size=12"]) == 0
        (demo, out), (sized, _) = asked
        assert (demo.pattern, demo.data, demo.model, demo.size) == ("heart", "digits", "mlp", None)
        assert str(out) == "runs/demo"
        assert sized.size == "12"

    def test_derivatives_of_a_survey_under_reestimated_statistics(self) -> None:
        model = ["--model=conv", "--model.channels=4", "--model.hidden=8", "--model.batch_norm"]
        survey = ["--survey_buffers=reestimated", "--metrics", "loss", "gradient_norm", "--splits=test", "--size=6"]
        assert fit("--out=runs/a", *model, *survey) == 0
        stored = xr.open_zarr("runs/a/survey.zarr", consolidated=False, chunks=None)
        assert float(stored["test_gradient_norm"].min()) > 0

    def test_another_named_thing_leaves_the_options_of_the_first_behind(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["fit", "--model=conv", "--model.hidden=7", "--print_config"]) == 0
        Path("c.yaml").write_text(capsys.readouterr().out)
        assert main(["fit", "--config=c.yaml", "--model=mlp", "--print_config"]) == 0
        config = yaml.safe_load(capsys.readouterr().out)
        assert (config["model"], config["model.hidden"]) == ("mlp", [64, 64, 64, 64])


class TestHelp:
    """The help of every verb: options in panels, the common ones first, and examples."""

    @staticmethod
    def told(capsys: pytest.CaptureFixture[str], *tokens: str) -> list[str]:
        assert main(list(tokens)) == 0
        return [line.rstrip() for line in capsys.readouterr().out.splitlines()]

    @pytest.mark.parametrize("width", [80, 100])
    @pytest.mark.parametrize("verb", VERBS)
    def test_fits_two_screens(
        self, verb: str, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("COLUMNS", str(width))
        lines = self.told(capsys, verb, "--help")
        assert max(map(len, lines)) <= width
        assert width < 100 or len(lines) <= 80
        for example in VERBS[verb].examples:
            assert {f" {command}" for command in example.commands} < set(lines), "none is broken into two lines"

    @pytest.mark.parametrize("verb", VERBS)
    def test_shows_all_options_when_asked_to(
        self, verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("COLUMNS", "2000")
        common, everything = self.told(capsys, verb, "--help"), self.told(capsys, verb, "--help-all")
        rare = {f"--{name}" for panel in VERBS[verb].panels for name in panel.rare}
        shown = [{line.split()[1] for line in lines if line.startswith("\u2502 --")} for lines in (common, everything)]
        assert shown[0] == shown[1] - rare
        for line in everything:
            if line.startswith("\u2502"):
                assert re.search(r"  [A-Z].*\.( \[.+\])* +\u2502$", line), "a sentence that stands alone"
        hint = f"These are the common options; lossatlas {verb} --help_all shows all of them."
        assert (common[-1] == hint) == bool(rare)
        assert hint not in everything
        if verb in CONFIGURED:
            assert not [line for line in everything if line.startswith(f"\u256d\u2500 {OTHERS} ")]
            assert shown[1] == {f"--{name}" for name in list_options(VERBS[verb])}

    def test_shows_the_options_of_what_is_named_beside_it(self, capsys: pytest.CaptureFixture[str]) -> None:
        lines = self.told(capsys, "survey", "--model=resnet", "--help")
        options = [line.split()[1] for line in lines if line.startswith("\u2502 --")]
        found = options[options.index("--model") :]
        assert found[:4] == ["--model", "--model.depth", "--model.shortcuts", "--model.width"]

    @pytest.mark.parametrize("verb", VERBS)
    def test_ends_with_commands_that_are_understood(self, verb: str) -> None:
        assert VERBS[verb].examples
        for command in [command for example in VERBS[verb].examples for command in example.commands]:
            program, named, *tokens = shlex.split(command)
            assert (program, named) == ("lossatlas", verb)
            layered = [named, *VERBS[verb].layered(tokens)]
            make_app(layered).parse_args(layered, exit_on_error=False, print_error=False)

    def test_its_first_commands_run(self) -> None:
        """One of each verb, made small; each needs what those before it made."""
        few = ["--examples=30", "--plan=loop", "--no_pictures"]
        small = {
            "fit": [*few, "--steps=2", "--size=6", "--padding=0", "--coarse=none", "--shares=1"],
            "train": ["--epochs=0.1"],
            "survey": [*few, "--grid=2"],
            "connect": [*few, "--steps=2", "--grid=3", "--plane=0", "--no_ensembles"],
            "compare": [*few, "--grid=2", "--line=3", "--slice_points=3", "--repeats=1"],
            "curvature": [*few, "--probes=0", "--top=1", "--bottom=1"],
            "view": ["--kinds=loss"],
            "info": [],
        }
        for verb, options in small.items():
            for command in VERBS[verb].examples[0].commands:
                assert main([*shlex.split(command)[1:], *options]) == 0, command


def test_an_empty_list_is_said_and_recorded_in_one_way(capsys: pytest.CaptureFixture[str]) -> None:
    empty = ["--coarse=none", "--shares=1", "--augment", "none", "--model.hidden=none"]
    assert main(["fit", *empty, "--print_config"]) == 0
    printed = capsys.readouterr().out
    config = yaml.safe_load(printed)
    assert [config[name] for name in ("coarse", "augment", "model.hidden")] == [[], [], []]
    Path("c.yaml").write_text(printed)
    assert main(["fit", "--config=c.yaml", "--print_config"]) == 0
    assert capsys.readouterr().out == printed
    Path("c.yaml").write_text(printed.replace("coarse: []", "coarse: none"))
    assert main(["fit", "--config=c.yaml", "--print_config"]) == 0
    assert capsys.readouterr().out == printed


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from lossatlas.cli import main; main(['--help']);"
        f"[main([verb, '--help_all']) for verb in {[*VERBS]!r}];"
        "heavy = {'torch', 'numpy', 'matplotlib', 'xarray', 'plotly', 'sklearn'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_a_run_without_pictures_imports_nothing_that_draws_nor_what_reads_other_data(tmp_path: Path) -> None:
    options = [
        "--steps=1",
        "--size=4",
        "--padding=0",
        "--model.hidden=3",
        "--plan=loop",
        "--examples=20",
        "--no_pictures",
    ]
    code = (
        f"import sys; from lossatlas.cli import main; main(['fit', '--out={tmp_path / 'run'}', *{options!r}]);"
        "useless = {'matplotlib', 'plotly', 'cyclopts.help', 'datasets'} & set(sys.modules);"
        "assert not useless, useless"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    assert (tmp_path / "run" / "summary.json").is_file()


class TestBadInput:
    @pytest.mark.parametrize(
        ("tokens", "expected"),
        [
            (["--pattern=hart"], "'hart' is not a picture; did you mean 'heart'?"),
            (["--pattern=image:none.png"], "none.png"),
            (["--size=3"], "at least 4 cells"),
            (["--shares", "0.5", "[]"], "there is a list among its values; write them one after the other"),
            (["--size=big"], "big"),
            (["--axes=3"], "picture 'heart' has 2 axes and the chart 3"),
            (["--data=digit"], "'digit' is not a data set; did you mean 'digits'?"),
            (["--data=nowhere:data"], "cannot import 'nowhere'"),
            (["--data=mnist", "--data.folder=nowhere"], "nowhere is not a folder"),
            (["--data=mnist", "--data.folder=~nobody-here/x"], "~nobody-here/x is not a folder"),
            (["--data=~nobody-here/x"], "data '~nobody-here/x' is not a folder"),
            (["--data=" + "x" * 300], "x cannot be read: File name too long"),
            (["--data=mnist", "--data.folder=" + "x" * 300], "x cannot be read: File name too long"),
            (["--checkpoint=" + "x/" * 3000], "x/... cannot be read: File name too long"),
            (["--model=mpl"], "'mpl' is not a model; did you mean 'mlp'?"),
            (["--model=torch.nn:Nothing"], "'Nothing' does not exist in module 'torch.nn'"),
            (["--model.hiden=3"], "--model.hidden"),
            (["--stepz=3"], "--stepz is not an option of lossatlas fit; did you mean --steps?"),
            (
                ["--invert", "false"],
                "'false' is not the value of an option; flags take none (write --name or --no_name)",
            ),
            (["--model=conv", "--model.max_pool", "false"], "'false' is not the value of an option"),
            (["--precision=fp16"], "'fp16' is not a precision; did you mean 'bf16'?"),
            (["--memory=lots"], "memory is 'lots'; expected auto, or a positive number of bytes such as 500MB or 2GiB"),
            (["--memory=1kB"], "allow more (--memory), or use a smaller --batch_size or --eval_batch_size"),
            (["--steps=-3"], "steps is -3; expected a positive number"),
            (["--steps=many"], "--steps is 'many'; expected a whole number"),
            (["--seconds=5", "--steps=5"], "give one of the two"),
            (["--seconds=-1"], "seconds is -1.0; expected a positive number"),
            (["--preset=slow"], "'slow' is not a preset"),
            (["--schedule=cos"], "'cos' is not a schedule; did you mean 'cosine'?"),
            (["--device=cuda"], "device 'cuda' is not available"),
            (["--device=gpu"], "device is 'gpu'; expected auto, cpu, cuda"),
            (["--plan=lop"], "'lop' is not a plan; did you mean 'loop'?"),
            (["--plan=none.json"], "plan file none.json"),
            (["--examples=few"], "examples is 'few'"),
            (["--splits=val"], "'val' is not a split"),
            (["--splits=none"], "no splits are surveyed"),
            (["--target_gap=-1"], "target_gap is -1.0"),
            (["--clip=both"], "'both' is not a clip"),
            ([f"--out={'x' * 300}"], "choose another --out"),
            (["--shares=0.5"], "2 positive shares"),
            (["--buffers=running"], "'running' is not a buffers policy"),
            (["--checkpoint=none.pt"], "none.pt does not exist"),
            (["--config=none.yaml"], "config none.yaml cannot be read"),
            (["--resume", "--overwrite"], "give one of the two"),
            (["--metrics=speed"], "'speed' is not a metric"),
            (["--pattern=random:1.5"], "1.5"),
            (["--pattern=text: "], "ink"),
            (["--pattern=grey:none.png"], "none.png"),
            (["--pattern=random:0.5", "--pattern.sead=3"], "--pattern.seed"),
            (["--pattern=sequence:heart,hart"], "did you mean 'heart'?"),
            (["--data=fashion_mnist", "--data.folder=nowhere"], "nowhere"),
            (["--data.folder=nowhere"], "--data.folder"),
            (["--augment=rotate"], "'rotate' is not an augmentation"),
            (["--augment=crop", "--pattern=text:la", "--model=nowhere:net"], "cannot import 'nowhere'"),
            (["--chart=plain"], "'plain' is not a chart; did you mean 'plane'?"),
            (
                ["--chart=simplex"],
                "chart 'simplex' cannot be fitted; choose bezier_surface or corners or plane or spline",
            ),
            (["--origin_at=top"], "--origin_at is 'top'; expected centre or corner"),
            (["--origin_at=center"], "did you mean 'centre'?"),
            (["--steps=1.5"], "--steps: 1.5 is not a whole number"),
            (["--steps"], "--steps has no value; expected a whole number"),
            (["--coarse"], "--coarse has no value; expected one or more, or none for an empty list"),
            (["--no_augment"], "--no_augment is not an option of lossatlas fit; expected --augment, with none for an"),
            (["--betas", "0.5"], "--betas has too few values; expected 2 of them"),
            (["--cells=1", "--cells=2"], "--cells is given more than once; give it once"),
            (["--group=100"], "--group is not an option of lossatlas fit; expected --eval_batch_size"),
            (["--help_al"], "did you mean --help_all?"),
            (["--qqq=1"], "--qqq is not an option of lossatlas fit; see lossatlas fit --help_all"),
            (["--buffers=interpolated", "--model=conv", "--model.batch_norm"], "a chart between trained networks"),
            (["--buffers=reestimated"], "do not follow the weights during a fit"),
            (["--survey_buffers=frozen", "--model=conv", "--model.batch_norm"], "need a trained network"),
            (["--buffers_batches=0"], "buffers_batches is 0"),
            (["--size=200000"], "expected at most 1,000,000"),
            (["--dry_run", "--survey_buffers=frozen", "--model=conv", "--model.batch_norm"], "need a trained network"),
        ],
        ids=lambda value: value[0] if isinstance(value, list) else "",
    )
    def test_is_one_line(self, tokens: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert fit(*tokens) == 2
        captured = capsys.readouterr()
        assert len(captured.err.splitlines()) == 1
        assert expected in captured.err
        assert not list(Path.cwd().iterdir())

    def test_unknown_verbs(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["fitt"]) == 2
        assert "'fitt' is not a verb; did you mean 'fit'?" in capsys.readouterr().err

    def test_images(self, capsys: pytest.CaptureFixture[str]) -> None:
        Image.new("L", (20, 10), 255).save("white.png")
        assert "white" in refused(capsys, "--pattern=image:white.png")
        Path("broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
        assert "broken.png" in refused(capsys, "--pattern=image:broken.png")

    def test_arrays(self, capsys: pytest.CaptureFixture[str]) -> None:
        np.save("ones.npy", np.ones((6, 6)))
        refused(capsys, "--pattern=array:ones.npy")
        np.save("objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
        assert "objects.npy" in refused(capsys, "--pattern=array:objects.npy")
        np.save("four.npy", np.zeros((4, 4, 4, 4)))
        refused(capsys, "--pattern=array:four.npy")

    def test_checkpoints(self, capsys: pytest.CaptureFixture[str]) -> None:
        other = la.MLP(hidden=(9,)).build((1, 8, 8), 10)
        torch.save(other.state_dict(), "other.pt")
        line = refused(capsys, "--checkpoint=other.pt")
        assert "'1.weight' has shape (9, 64) there and has shape (8, 64) in the model" in line
        whole = Path("other.pt").read_bytes()
        Path("cut.pt").write_bytes(whole[: len(whole) // 2])
        assert "cut.pt" in refused(capsys, "--checkpoint=cut.pt")
        Path("cut.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{}")
        assert "cannot be read, it may be truncated" in refused(capsys, "--checkpoint=cut.safetensors")

    def test_checkpoints_that_would_execute_code(self, capsys: pytest.CaptureFixture[str]) -> None:
        class Bomb:
            def __reduce__(self) -> tuple[object, tuple[str]]:
                return os.system, ("touch exploded",)

        torch.save(Bomb(), "bomb.pt")
        assert "would execute code" in refused(capsys, "--checkpoint=bomb.pt")
        Path("bare.pt").write_bytes(pickle.dumps(Bomb()))
        assert "would execute code" in refused(capsys, "--checkpoint=bare.pt")
        assert not Path("exploded").exists()

    def test_labels_and_outputs(self, capsys: pytest.CaptureFixture[str]) -> None:
        Path("odd.py").write_text(
            "import torch\n"
            "def few():\n    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))\n"
            "def flat():\n    return torch.nn.Flatten(0)\n"
        )
        tokens = ["fit", "--steps=2", "--size=8", "--out=runs/x"]
        assert main([*tokens, "--model=odd:few"]) == 2
        assert "labels run from 0 to 9, but the model has 3 outputs" in capsys.readouterr().err
        assert main([*tokens, "--model=odd:flat", "--loss=squared_error"]) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1
        assert not Path("runs").exists()

    def test_yaml(self, capsys: pytest.CaptureFixture[str]) -> None:
        Path("c.yaml").write_text("stepz: 3\n")
        line = refused(capsys, "--config=c.yaml")
        assert "config c.yaml" in line
        assert "--steps" in line
        Path("c.yaml").write_text("lr: quick\n")
        assert "config c.yaml" in refused(capsys, "--config=c.yaml")
        Path("c.yaml").write_text("lr: [1, 2\n")
        assert "c.yaml cannot be read (it is not YAML" in refused(capsys, "--config=c.yaml")
        Path("c.yaml").write_text("config: c.yaml\n")
        assert "config is an option of the command line alone" in refused(capsys, "--config=c.yaml")
        Path("c.yaml").write_text("model: {depth: 3}\n")
        assert "write nested options flat" in refused(capsys, "--config=c.yaml")

    def test_directories(self, capsys: pytest.CaptureFixture[str]) -> None:
        Path("mine").mkdir()
        Path("mine/thesis.txt").write_text("years of work")
        assert "exists; choose another --out" in refused(capsys, out="mine")
        assert "is not a lossatlas run, so --overwrite leaves it alone" in refused(capsys, "--overwrite", out="mine")
        assert "is not a lossatlas run; it cannot be resumed" in refused(capsys, "--resume", out="mine")
        assert Path("mine/thesis.txt").read_text() == "years of work"
        Path("file").write_text("")
        assert "is not a writable directory" in refused(capsys, out="file/run")
        assert "is not a lossatlas run" in refused(capsys, "--overwrite", out="file")

    def test_resuming_with_other_settings_names_them(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert fit("--out=runs/x") == 0
        capsys.readouterr()
        line = refused(capsys, "--resume", "--cells=5", "--lr=0.1")
        assert "cells was 4 and is 5; lr was 0.005 and is 0.1" in line
        assert "runs/x exists" in refused(capsys)

    def test_overwriting_checks_the_input_first(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert fit("--out=runs/x") == 0
        capsys.readouterr()
        refused(capsys, "--overwrite", "--pattern=hart")
        assert Path("runs/x/summary.json").is_file()


@pytest.mark.parametrize("verb", ["train", "survey", "fit", "connect", "compare", "curvature"])
def test_summaries_of_others_are_told_as_far_as_they_hold_numbers(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for summary in (
        {},
        {"steps": "many", "gap": [], "train_scores": 3, "pairs": {"a--b": None}, "length_ratio": "x", "snapshots": {}},
        {"captured_variance": 0.5, "points_evaluated": "few", "test_loss": "low", "train_lowest_loss": True},
        {"pairs": []},
        {"networks": {"a": 3, "b": {"verdict": None, "loss": "low"}}, "last": {"step": None}},
    ):
        told: Any = VERBS[verb]
        told.tell(summary, told._run())
    assert "Traceback" not in capsys.readouterr().err
