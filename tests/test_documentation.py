"""What the documentation shows runs, and what the command line has is documented."""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import textwrap
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import lossatlas as la
from lossatlas.cli.app import VERBS
from lossatlas.cli.main import main
from lossatlas.errors import Interrupted

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("page", "drawn"),
    [
        ("docs/tutorials/own_module.md", {"loss", "target"}),
        ("docs/how-to/from_python.md", {"curve"}),
    ],
)
def test_examples_run_as_they_stand(
    page: str, drawn: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)
    small = re.sub(r"steps=\d+", "steps=3", code).replace("size=24", "size=8").replace("size=(18, 24)", "size=(6, 8)")
    assert small != code
    exec(compile(_unmeasured(small), page, "exec"), {})
    assert {path.stem for path in Path("pictures").iterdir()} >= drawn


def test_ten_lines_lead_from_a_checkpoint_to_a_figure_or_fit_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both examples of the README, on fewer points and in fewer steps."""
    monkeypatch.chdir(tmp_path)
    checkpoint = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    torch.save(checkpoint.state_dict(), "net.pt")
    for code in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL):
        assert len([line for line in code.splitlines() if line]) <= 10
        small = code.replace("(31, 31)", "(3, 3)").replace("steps=300", "steps=3").replace("size=24", "size=8")
        assert small != code
        exec(compile(_unmeasured(small), "README.md", "exec"), {})
    assert {path.stem for path in Path("pictures").iterdir()} >= {"loss", "contours", "target"}


def test_the_pages_of_trainings_lead_to_their_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command of the two pages in their order, with fewer steps, samples, examples and points."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    page = "\n".join((ROOT / "docs/how-to" / name).read_text() for name in ("training.md", "own_training.md"))
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL) if "def make" in block)
    shorter = code.replace("range(200)", "range(50)").replace("(model, 200)", "(model, 50)")
    assert shorter.count("50") == code.count("200") == 2
    Path("own.py").write_text(shorter)
    few = {"--epochs 30": "--epochs 4", "--epochs 10": "--epochs 1", "@150": "@40", "--samples 30": "--samples 3"}
    for line in re.findall(r"^    (lossatlas .*|python own\.py)$", page, flags=re.MULTILINE):
        for stated, less in few.items():
            line = line.replace(stated, less)
        name, *tokens = shlex.split(line)
        if name == "python":
            runpy.run_path("own.py", run_name="__main__")
            continue
        coarse = ["--examples=100", "--plan=loop"] if tokens[0] == "survey" else []
        coarse += ["--grid=5"] if coarse and "--posterior" not in tokens else []
        coarse += ["--no_pictures"] if "runs/through" in tokens else []  # those of other directions, drawn by li-fig8
        assert main([*tokens, *coarse]) == 0, capsys.readouterr().err
    assert (tmp_path / "runs/samples/samples.png").exists()
    assert [snapshot.step for snapshot in la.Trajectory("trajectory").snapshots] == list(range(0, 51, 10))
    assert (tmp_path / "runs/through/summary.json").exists()
    for run in ("map", "own"):
        assert (tmp_path / "runs" / run / "trajectory.png").exists()


def test_the_page_on_your_own_network_goes_from_a_plain_script_to_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its script trained for an epoch, every command in its order on coarser grids, and its Python."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    page = (ROOT / "docs/tutorials/own_network.md").read_text()
    (script,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    shorter = script.replace("range(20)", "range(1)")
    assert shorter != script
    Path("mynet.py").write_text(shorter)
    runpy.run_path("mynet.py", run_name="__main__")
    for line in re.findall(r"^    (lossatlas .*)$", page, flags=re.MULTILINE):
        _, *tokens = shlex.split(line)
        coarse = ["--examples=100", "--plan=loop"] if tokens[0] == "survey" else []
        coarse += ["--no_pictures"] if "random" in tokens else []  # of which overlays are drawn
        tokens = ["5" if before == "--grid" else token for before, token in zip(["", *tokens], tokens, strict=False)]
        assert main([*tokens, *coarse]) == 0, capsys.readouterr().err
    for picture in ("runs/slice/contours.png", "pictures/plain/overlay_line.png", "pictures/filter/overlay_line.png"):
        assert (tmp_path / picture).exists()
    plain, rescaled = (_losses(run) for run in ("runs/plain", "runs/plain-rescaled"))
    assert abs(plain - rescaled).max() > 0.1
    one, same = (_losses(run) for run in ("runs/filter", "runs/filter-rescaled"))
    np.testing.assert_allclose(one, same, rtol=1e-3)
    (block,) = re.findall(r"\n(    import lossatlas(?:.*\n)+?)\(With", page)
    code = textwrap.dedent(block).replace("(31, 31)", "(3, 3)")
    exec(compile(_unmeasured(code), "own_network.md", "exec"), {})
    assert Path("pictures/contours.png").exists()


def test_the_page_on_your_data_runs_block_by_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each of its examples for itself, on coarser grids, and its commands on the first of them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    page = (ROOT / "docs/how-to/own_data.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    for code in blocks:
        small = code.replace("(21, 21)", "(3, 3)").replace("range(20)", "range(1)")
        assert small != code
        exec(compile(_unmeasured(small), "own_data.md", "exec"), {})
    assert {path.name for path in Path("pictures").iterdir()} == set(re.findall(r'"pictures/(\w+)"', page))
    (functions,) = re.findall(r"\n((?:    [^`]*\n|\n)+?)\nthis is trained", page)
    Path("mine.py").write_text(blocks[0].split("torch.manual_seed")[0] + textwrap.dedent(functions))
    for line in re.findall(r"^    (lossatlas .*)$", page, flags=re.MULTILINE):
        shorter = line.replace("--epochs 20", "--epochs 1").replace("--grid 21", "--grid 3 --plan loop")
        assert main(shlex.split(shorter)[1:]) == 0, capsys.readouterr().err
    assert Path("runs/around-spirals/contours.png").exists()


def test_the_page_on_sharpness_goes_from_a_checkpoint_to_curvature_a_map_and_a_slice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command in its order, of fewer examples on coarser grids, and its Python beside curvlinops."""
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/how-to/sharpness.md").read_text()
    few = {
        "train": {"--epochs": "2", "--model.hidden": "4"},
        "curvature": {"--examples": "60", "--probes": "1", "--density_steps": "6", "--top": "2", "--bottom": "2"},
        "survey": {"--examples": "60", "--grid": "3", "--plan": "loop"},
    }
    for line in re.findall(r"^    (lossatlas .*)$", page, flags=re.MULTILINE):
        _, verb, *tokens = shlex.split(line)
        for name, value in few[verb].items():
            if name in tokens:
                tokens[tokens.index(name) + 1] = value
            else:
                tokens += [name, value]
        tokens += ["--no_pictures"] if "--subsets" in tokens else []
        assert main([verb, *tokens]) == 0, capsys.readouterr().err
    for picture in ("sharp/density", "sharp/eigenvalues", "map/hessian_ratio", "steep/contours"):
        assert (tmp_path / "runs" / f"{picture}.png").exists(), picture
    pytest.importorskip("curvlinops", reason="the packages of tests/oracles.txt are not installed")
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    names: dict[str, Any] = {}
    with warnings.catch_warnings():  # torch.jit.script, at the import of curvlinops, is deprecated
        warnings.simplefilter("ignore", DeprecationWarning)
        exec(compile(code, "sharpness.md", "exec"), names)
    np.testing.assert_allclose(names["ours"], names["theirs"], rtol=1e-3)
    assert len(names["ours"]) == 2
    assert capsys.readouterr().out.endswith("{:.3f} {:.3f}\n".format(names["ours"][1], names["theirs"][1]))


def test_the_page_on_many_machines_spreads_a_survey_and_writes_its_scripts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The survey of a laptop by two workers, on a coarser grid; scripts as they stand; what needs more is parsed."""
    monkeypatch.chdir(tmp_path)
    for name in "abc":
        assert main(["train", "--epochs=0.1", f"--out=runs/{name}"]) == 0
    carried_out = []
    page = (ROOT / "docs/how-to/many_machines.md").read_text()
    for line in re.findall(r"^    (lossatlas .*)$", page, flags=re.MULTILINE):
        _, verb, *tokens = shlex.split(line)
        if verb == "survey" and "41" in tokens:
            tokens[tokens.index("41")] = "20"
            tokens += ["--examples=20", "--plan=loop", "--no_pictures"]
        elif verb in ("survey", "compare", "reproduce"):
            tokens.append("--print_config")
        elif verb == "submit":
            tokens[tokens.index("--out") + 1] = f"{len(carried_out)}-{tokens[tokens.index('--out') + 1]}"
        assert main([verb, *tokens]) == 0, (line, capsys.readouterr().err)
        carried_out.append(verb)
    assert {"survey", "compare", "reproduce", "submit", "status"} == set(carried_out)
    assert "runs/big: survey, finished" in capsys.readouterr().out
    for script in tmp_path.glob("*-job.sh"):
        subprocess.run(["bash", "-n", script], check=True)
    (script,) = tmp_path.glob("*-job.py")
    compile(script.read_text(), str(script), "exec")


def test_the_page_on_the_explorer_makes_its_runs_and_has_each_page_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command in its order, of less training on coarser grids; pages are made and not served."""
    pytest.importorskip("dash", reason="the extra explore is not installed")
    from lossatlas.explorer.server import serving

    served: list[Any] = []
    monkeypatch.setattr(serving, "serve", lambda page, **_: served.append(page))
    monkeypatch.chdir(tmp_path)
    few = {"--model.hidden": "4", "--epochs": "4", "--batch_size": "128", "--grid": "3"}
    page = (ROOT / "docs/how-to/explore.md").read_text()
    commands = re.findall(r"^    (lossatlas .*)$", page, flags=re.MULTILINE)
    for line in commands:
        _, verb, *tokens = shlex.split(line)
        tokens = [few.get(before, token) for before, token in zip(["", *tokens], tokens, strict=False)]
        tokens += ["--examples=100", "--plan=loop", "--no_pictures"] if verb == "survey" else []
        expected = Interrupted.exit_code if verb == "explore" else 0
        assert main([verb, *tokens]) == expected, (line, capsys.readouterr().err)
    assert len(served) == sum("lossatlas explore" in line for line in commands) > 2


def _unmeasured(code: str) -> str:
    """With a plan for every fit, curve and survey: to measure one takes longer than they do."""
    stated = re.sub(r"(la\.(?:fit|connect|survey)\(.*)\)$", r"\1, plan='loop')", code, flags=re.MULTILINE)
    assert stated != code
    return stated


def _losses(run: str) -> np.ndarray:
    return xr.open_zarr(f"{run}/survey.zarr", consolidated=False, chunks=None)["test_loss"].values


@pytest.mark.parametrize("verb", list(VERBS))
def test_every_verb_is_in_the_documentation(verb: str) -> None:
    text = "".join(path.read_text() for path in [ROOT / "README.md", *ROOT.glob("docs/[!_]*/*.md")])
    assert f"lossatlas {verb}" in text


def test_links_and_images_of_all_pages_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(page for page in ROOT.glob("docs/**/*.md") if "_build" not in page.parts)]
    dead = []
    for page in pages:
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)", page.read_text()):
            linked = page.parent / target if target else page
            # Pages that are made when the documentation is built.
            if not linked.exists() and "reference" not in linked.parts:
                dead.append(f"{page.relative_to(ROOT)}: {target}")
            elif anchor and linked.suffix == ".md" and anchor not in _list_anchors(linked):
                dead.append(f"{page.relative_to(ROOT)}: {target}#{anchor}")
    assert not dead


def _list_anchors(page: Path) -> set[str]:
    """The anchors that GitHub and MyST make of the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_page_on_curves_joins_its_networks_and_grows_its_simplex(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its first commands and its Python with fewer steps; the options of its longer commands are all there."""
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/how-to/connecting.md").read_text()
    commands = re.findall(r"^ +(lossatlas (?:train|connect) .*)$", page, flags=re.MULTILINE)
    digits = [command for command in commands if "runs/f" not in command]
    assert len(digits) == 3
    for command in digits:
        shorter = re.sub(
            r"--epochs \d+", "--epochs 2", re.sub(r"--seconds \d+", "--steps 3 --grid 3 --plane 2", command)
        )
        assert main(shlex.split(shorter)[1:]) == 0, capsys.readouterr().err
    for objective in ("uniform", "arclength", "max"):
        (command,) = (command for command in commands if "$o" in command)
        tokens = shlex.split(command.replace("$o", objective).replace("runs/f0 runs/f1", "runs/a runs/b"))
        assert main([*tokens[1:], "--print_config"]) == 0, capsys.readouterr().err
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    grown: dict[str, la.Grown] = {}
    exec(compile(code.replace("steps=1000", "steps=2, plan='loop'"), "connecting.md", "exec"), grown)
    assert grown["simplex"].controls().shape[0] == 5
