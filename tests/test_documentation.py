"""What the documentation shows runs, and what the command line has is documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import lossatlas as la
from lossatlas.cli.app import VERBS

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("page", ["README.md", "docs/own_module.md"])
def test_examples_run_as_they_stand(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)
    small = re.sub(r"steps=\d+", "steps=3", code)
    assert small != code
    exec(compile(small, page, "exec"), {})
    assert {path.name for path in Path("pictures").iterdir()} >= {"loss.png", "target.png"}


def test_the_loop_of_a_user_is_recorded_as_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/training.md").read_text(), flags=re.DOTALL)
    exec(compile(code, "docs/training.md", "exec"), {})
    assert [snapshot.step for snapshot in la.Trajectory("way").snapshots] == list(range(0, 200, 10))


@pytest.mark.parametrize("verb", list(VERBS))
def test_every_verb_is_in_the_documentation(verb: str) -> None:
    text = "".join(path.read_text() for path in [ROOT / "README.md", *ROOT.glob("docs/*.md")])
    assert f"lossatlas {verb}" in text


def test_links_between_pages_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
