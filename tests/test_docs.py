"""The docs name what there is, and nothing that there is not."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from data_access.projections import load_projections
from data_access.selection import FILTERS
from tests.samples import ROOT

PAPERS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "sample" / "README.md"])
CODE = [
    path for folder in ("data_access", "pages", "tests") for path in (ROOT / folder).rglob("*.py")
] + [*ROOT.glob("*.py")]


def test_every_projection_has_its_paragraph() -> None:
    paragraphs = (ROOT / "docs" / "projections.md").read_text()
    named = set(re.findall(r"\*\*`([^`]+)`\*\*", paragraphs))
    assert named == {row.name for row in load_projections().rows}


def test_every_setting_is_in_the_readme() -> None:
    read = {
        name
        for path in CODE
        if path.parent.name != "tests"
        for name in re.findall(r"MISREAD_[A-Z_]+", path.read_text())
    }
    documented = set(re.findall(r"^\| `(MISREAD_[A-Z_]+)`", (ROOT / "README.md").read_text(), re.M))
    assert read == documented


def test_every_command_of_the_readme_is_one() -> None:
    helped = subprocess.run(
        [sys.executable, "-m", "data_access", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    listed = helped.partition("Commands:\n")[2].partition("\n\n")[0]
    commands = set(re.findall(r"^  ([\w-]+)\s", listed, re.M))
    used = set(re.findall(r"python -m data_access ([\w-]+)", (ROOT / "README.md").read_text()))
    assert used == commands


def test_every_filter_is_in_the_help_of_export() -> None:
    helped = subprocess.run(
        [sys.executable, "-m", "data_access", "export", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert all(re.search(rf"\b{row.key}\b", helped) for row in FILTERS)


@pytest.mark.parametrize(
    "file",
    [
        "requirements.txt",
        "requirements-capture.txt",
        "requirements-ray.txt",
        "requirements-benchmarks.txt",
        "requirements-dev.txt",
        "toxicity_model/requirements.txt",
    ],
)
def test_every_dependency_is_pinned_and_has_its_reason(file: str) -> None:
    reasons = (ROOT / "docs" / "dependencies.md").read_text()
    for line in (ROOT / file).read_text().splitlines():
        if line and not line.startswith(("#", "-r")):
            name, _, version = line.partition(";")[0].partition("==")
            assert version, f"{name} is not pinned"
            assert f"| {name.strip()} |" in reasons, f"{name} has no line in docs/dependencies.md"


@pytest.mark.parametrize("paper", PAPERS, ids=lambda path: path.name)
def test_links_lead_somewhere(paper: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", paper.read_text()):
        if not target.startswith("http"):
            assert (paper.parent / target).exists(), f"{paper.name} links to {target}"


def test_the_make_targets_of_the_docs_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for paper in PAPERS:
        for target in re.findall(r"`make ([a-z]+)", paper.read_text()):
            assert target in targets, f"{paper.name} speaks of make {target}"


def test_the_projection_of_the_docs_works(tmp_path: Path) -> None:
    source = (ROOT / "docs" / "projections.md").read_text()
    file = tmp_path / "my_projections.py"
    file.write_text(re.findall(r"```python\n(.*?)```", source, re.S)[0])
    row = load_projections([str(file)])["digits(outputs.output_text)"]
    assert row.compute is not None
    assert list(row.compute(["a1", "22"])) == [0.5, 1.0]
