"""Settings that several verbs share: declared once, spelled alike, settled before they are recorded; and older runs."""

import ast
import inspect
import json
import re
import textwrap
from dataclasses import fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

import lossatlas as la
from lossatlas.cli.app import VERBS
from lossatlas.cli.main import main
from lossatlas.data import AUGMENTATIONS, DATA
from lossatlas.data.load import find_data_options
from lossatlas.losses import LOSSES
from lossatlas.models import MODELS
from lossatlas.pictures import SOURCES
from lossatlas.provenance import FORMAT
from lossatlas.recipes import CompareConfig, Config, ConnectConfig, FitConfig, SpectraConfig, SurveyConfig, TrainConfig
from lossatlas.recipes.base import AUTO
from lossatlas.recipes.compare import name_groups
from lossatlas.recipes.options import find_options
from lossatlas.rundir import RunDirectory
from lossatlas.schedules import SCHEDULES

CONFIGS: dict[str, type[Config]] = {
    "fit": FitConfig,
    "survey": SurveyConfig,
    "connect": ConnectConfig,
    "compare": CompareConfig,
    "train": TrainConfig,
    "curvature": SpectraConfig,
}


def declarers(name: str) -> set[type]:
    """The classes in whose own body a field stands."""
    classes = {kind for config in CONFIGS.values() for kind in config.__mro__}
    return {kind for kind in classes if name in vars(kind).get("__annotations__", {})}


def documented(kind: type) -> dict[str, str]:
    """The docstring under each field in the body of a class."""
    [body] = [node.body for node in ast.parse(textwrap.dedent(inspect.getsource(kind))).body if hasattr(node, "body")]
    return {
        field.target.id: text.value.value
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    }


NAMES = sorted({field.name for config in CONFIGS.values() for field in fields(config)})  # type: ignore[arg-type]
KINDS = {
    f"{registry.kind} {name}": registry[name]
    for registry in (MODELS, SCHEDULES, DATA, SOURCES, AUGMENTATIONS, LOSSES)
    for name in registry
    if is_dataclass(registry[name])
}
KINDS |= {f"lossatlas {verb}": VERBS[verb]._run for verb in CONFIGS}  # type: ignore[attr-defined]
KINDS |= {"hub:OWNER/NAME": find_data_options("hub:some/images"), "chart plane": find_options("chart", "plane")}
"""Dataclasses of options beside the configurations."""


class TestDeclaredOnce:
    @pytest.mark.parametrize("name", NAMES)
    def test_each_setting_in_one_class(self, name: str) -> None:
        assert len(declarers(name)) == 1

    @pytest.mark.parametrize("name", NAMES)
    def test_its_help_stands_alone(self, name: str) -> None:
        for kind in declarers(name):
            text = documented(kind)[name]
            assert not re.search(r"\b(of|in|around) a (fit|training|survey|comparison|curve)\b|^Default|Default:", text)
            assert not re.search(r"\b(anew|nobody|draws?|drawn|is no|way|told)\b|processor", text, re.IGNORECASE)
            assert text[0].isupper()
            assert text.endswith(".")
            assert text.rstrip(".").split()[-1] not in {"or", "and"}

    @pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
    def test_so_does_that_of_all_other_options(self, kind: type) -> None:
        told = {name: text for each in reversed(kind.__mro__[:-1]) for name, text in documented(each).items()}
        for field in fields(kind):  # type: ignore[arg-type]
            assert re.fullmatch(r"[A-Z0-9].*\.", told[field.name], re.DOTALL), field.name
            assert len(told[field.name].split()) > 2, field.name

    @pytest.mark.parametrize("verb", CONFIGS)
    def test_the_command_line_shows_it_and_what_this_verb_settles_it_to(
        self, verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main([verb, "--print_config"]) == 0
        printed = yaml.safe_load(capsys.readouterr().out)
        monkeypatch.setenv("COLUMNS", "2000")  # each option on a line
        assert main([verb, "--help_all"]) == 0
        lines = [line.strip("\u2502 ") for line in capsys.readouterr().out.splitlines()]
        stated = []
        for name, settled in CONFIGS[verb]().flat().items():
            kind = next(kind for kind in CONFIGS[verb].__mro__ if kind in declarers(name))
            [shown] = [line for line in lines if line.startswith(f"--{name} ")]
            assert " ".join(documented(kind)[name].replace("`", "").split()) in shown
            [default] = re.findall(r" \[default: (.+)\]$", shown) or [None]
            assert (default is None) == (settled is None or settled == [])
            if default is not None:
                stated += [default] if isinstance(settled, bool) else [f"--{name}", *default.split()]
        assert main([verb, *stated, "--print_config"]) == 0
        assert yaml.safe_load(capsys.readouterr().out) == printed

    @pytest.mark.parametrize(
        ("verb", "order"),
        [
            ("fit", ["data", "checkpoint", "pattern", "steps", "cells", "examples", "padding"]),
            ("survey", ["data", "between", "run", "normalize", "grid", "tolerance", "examples", "metrics"]),
            ("connect", ["data", "between", "curve", "optimizer", "steps", "grid", "examples", "plane"]),
            ("compare", ["normalize", "grid", "runs", "level", "splits"]),
            ("train", ["data", "batch_size", "optimizer", "epochs", "init_from"]),
            ("curvature", ["data", "trajectory", "networks", "examples", "metrics", "operator", "top"]),
        ],
    )
    def test_problem_first_then_what_is_made_then_its_evaluation(self, verb: str, order: list[str]) -> None:
        names = [field.name for field in fields(CONFIGS[verb])]  # type: ignore[arg-type]
        assert sorted(order, key=names.index) == order


class TestSettled:
    """Each verb's own defaults, before anything is recorded."""

    @pytest.mark.parametrize(
        ("config", "usual"),
        [
            (
                FitConfig(),
                {"seconds": 45.0, "steps": None, "batch_size": None, "lr": None, "schedule": "linear",
                 "buffers": "batch", "survey_buffers": AUTO, "splits": ["train", "test"], "examples": AUTO,
                 "metrics": [AUTO], "checkpoint": None},
            ),
            (
                SurveyConfig(checkpoint="a"),
                {"splits": ["train", "test"], "examples": "2000", "buffers": AUTO, "metrics": [AUTO], "grid": [25],
                 "repeats": 1, "normalize": "filter", "ignore": "biasbn", "trajectory": None, "run": None,
                 "directions": None, "range": None},
            ),
            (SurveyConfig(between=("a", "b")), {"normalize": "none", "ignore": "none"}),
            (
                ConnectConfig(),
                {"seconds": 120.0, "batch_size": 128, "lr": 0.1, "schedule": "linear", "optimizer": "momentum",
                 "weight_decay": 0.0, "buffers": "batch", "survey_buffers": "reestimated", "grid": [61],
                 "examples": "2000", "splits": ["train", "test"]},
            ),
            (ConnectConfig(), {"lr": la.Bezier.usual_lr}),
            (ConnectConfig(curve="chain", objective="max"), {"lr": 0.03, "points": 4, "batch_size": 32}),
            (
                CompareConfig(),
                {"splits": ["train"], "examples": "2000", "buffers": AUTO, "grid": [22], "repeats": 3,
                 "normalize": "filter", "ignore": "biasbn"},
            ),
            (
                SpectraConfig(),
                {"splits": ["train"], "examples": "2000", "buffers": "frozen", "plan": "loop", "trajectory": None,
                 "networks": [], "metrics": [AUTO, "sam_sharpness:0.05", "worst_sharpness:0.05",
                                             "adaptive_sharpness:0.5", "average_sharpness:0.05"]},
            ),
            (
                TrainConfig(),
                {"batch_size": 128, "lr": None, "schedule": "constant", "optimizer": "adam", "weight_decay": None},
            ),
        ],
    )  # fmt: skip
    def test_by_the_verb(self, config: Config, usual: dict[str, Any]) -> None:
        flat = config.flat()
        assert {name: flat[name] for name in usual} == usual

    def test_what_is_stated_stays(self) -> None:
        flat = FitConfig(steps=3, lr=1.0, batch_size=7, splits=("test",), schedule="cosine").flat()
        assert [flat[name] for name in ("steps", "seconds", "lr", "batch_size", "splits", "schedule")] == [
            3, None, 1.0, 7, ["test"], "cosine",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("tokens", "stated"),
        [
            (["survey", "--examples=auto", "--splits=auto", "--normalize=auto"], {"examples": "2000"}),
            (["train", "--schedule=auto", "--optimizer=auto"], {"schedule": "constant", "optimizer": "adam"}),
            (["fit", "--schedule=auto", "--schedule.end=0.9"], {"schedule": "linear", "schedule.end": 0.9}),
            (["fit", "--schedule.end=0.9"], {"schedule": "linear", "schedule.end": 0.9}),
        ],
    )
    def test_auto_can_be_said(
        self, tokens: list[str], stated: dict[str, Any], capsys: pytest.CaptureFixture[str]
    ) -> None:
        verb, *rest = tokens
        silent = [token for token in rest if "." in token]
        printed = []
        for options in (rest, silent):
            assert main([verb, *options, "--print_config"]) == 0
            printed.append(yaml.safe_load(capsys.readouterr().out))
        assert printed[0] == printed[1]
        assert {name: printed[0][name] for name in stated} == stated

    @pytest.mark.parametrize("verb", CONFIGS)
    def test_the_printed_configuration_is_the_same_again(
        self, verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        printed = []
        for tokens in ([], [f"--config={tmp_path / 'all.yaml'}"]):
            assert main([verb, *tokens, "--print_config"]) == 0
            printed.append(capsys.readouterr().out)
            (tmp_path / "all.yaml").write_text(printed[0])
        assert printed[0] == printed[1]


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["fit", "--metrics", "none"], "no metrics are surveyed"),
        (["survey", "--metrics=none"], "no metrics are surveyed"),
        (["compare", "--splits", "none"], "no splits are surveyed"),
        (["survey", "--grid", "none"], "grid is none; expected"),
        (["connect", "--grid=none"], "grid is none; expected 3 or more values of t, as one number"),
        (["connect", "--grid", "5", "7"], "grid is 5 7; expected 3 or more values of t, as one number"),
        (["connect", "--optimizer=adm"], "'adm' is not an optimizer of a curve; did you mean 'adam'"),
        (["compare", "--buffers=frozen"], "buffers is 'frozen'; expected auto, reestimated or batch"),
        (["compare", "--ignore=all"], "ignore"),
        (["fit", "--steps=1", "--seconds=1"], "the budget is given in steps and in seconds"),
        (["connect", "--steps=1", "--seconds=1"], "the budget is given in steps and in seconds"),
        (["train", "--device=tpu"], "device is 'tpu'; expected auto"),
        (["survey", "--checkpoint="], "checkpoint is empty; give a value, or leave it out"),
        (["survey", "--run="], "run is empty; give a value, or leave it out"),
        (["survey", "--examples=0"], "examples is '0'; expected a positive number, all or auto"),
        (["survey", "--between", "a", "b", "--repeats=2"], "repeats means nothing with between"),
        (["survey", "--run=a", "--normalize=layer"], "normalize means nothing with run"),
        (["survey", "--at=0,1", "--grid=3"], "at gives all coordinates of a grid; leave out the grid"),
    ],
)
def test_what_is_refused(tokens: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*tokens, "--print_config"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line


class TestOlderRuns:
    """A run of another format is refused by all that read or replace runs, and left as it is."""

    @pytest.fixture(autouse=True)
    def _in_an_empty_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

    @staticmethod
    def made(name: str, mark: str) -> Path:
        """A run in a format of its own, with what all verbs look for in one."""
        run = RunDirectory(name)
        run.begin(yaml.safe_dump(TrainConfig().flat()), {"versions": {}}, replace=False)
        run.write_json("summary.json", {})
        run.close()
        path = Path(name)
        provenance = json.loads((path / "provenance.json").read_text())
        (path / "provenance.json").write_text(json.dumps(provenance | {"format": mark}))
        for empty in ("model.safetensors", "chart.safetensors"):
            (path / empty).write_bytes(b"")
        (path / "snapshots").mkdir()
        return path

    @pytest.mark.parametrize(
        "tokens",
        [
            ["fit", "--out=old", "--resume"],
            ["fit", "--out=old", "--overwrite"],
            ["fit", "--out=old"],
            ["fit", "--checkpoint=old"],
            ["survey", "--run=old"],
            ["survey", "--checkpoint=old"],
            ["survey", "--trajectory=old"],
            ["survey", "--between", "old", "other"],
            ["survey", "--checkpoint=x", "--out=old", "--overwrite"],
            ["connect", "old", "other"],
            ["compare", "old", "other"],
            ["compare", "a", "b", "--out=old", "--resume"],
            ["train", "--init_from=old"],
            ["train", "--init_from=old@3"],
            ["train", "--out=old", "--resume"],
            ["train", "--out=old", "--overwrite"],
            ["curvature", "old"],
            ["curvature", "--trajectory=old"],
            ["view", "old"],
            ["reproduce", "mpo-fig4", "--out=old", "--resume"],
            ["reproduce", "mpo-fig4", "--out=old", "--overwrite"],
        ],
        ids=" ".join,
    )
    def test_one_line_and_nothing_touched(self, tokens: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        old, other = (self.made(name, "lossatlas run 1") for name in ("old", "other"))
        before = {path: path.read_bytes() if path.is_file() else b"" for path in [*old.rglob("*"), *other.rglob("*")]}
        assert main(tokens) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert "old is a run of an older lossatlas, in format 'lossatlas run 1'" in line
        assert (
            f"expected {FORMAT!r}, the format of this version; make the run again in another --out, or remove" in line
        )
        assert before == {path: path.read_bytes() if path.is_file() else b"" for path in before}
        assert {*old.rglob("*"), *other.rglob("*")} == {*before}

    def test_newer_ones_and_other_marks(self) -> None:
        newer = RunDirectory(self.made("newer", "lossatlas run 10"))
        with pytest.raises(la.BadInput, match="is a run of a newer lossatlas, in format 'lossatlas run 10'"):
            newer.check()
        with pytest.raises(la.BadInput, match="is a run of a newer lossatlas"):
            newer.config()
        for mark in ("lossatlas run", "lossatlas run x", "images", 7):
            other = RunDirectory(self.made(f"other {mark}", mark))  # type: ignore[arg-type]
            assert not other.is_run
            with pytest.raises(la.BadInput, match="is not a lossatlas run, so --overwrite leaves it alone"):
                other.check_free(overwrite=True)


def test_names_of_groups_follow_one_order() -> None:
    one, other = TrainConfig(), TrainConfig(lr=0.1, weight_decay=1e-3, batch_size=64, epochs=2.0, init_gain=2.0)
    assert name_groups([one, other])[1] == "adam lr=0.1 weight_decay=0.001 epochs=2.0 batch_size=64 init_gain=2.0"
