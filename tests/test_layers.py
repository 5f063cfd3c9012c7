"""Which module may import which; see docs/design.md."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = (
    "pages", "data_access", "recognizer", "sample", "toxicity_model", "replay",
    "streamlit_app", "launch", "serving", "capture_app",
)  # fmt: skip
# who may import an outside library that has one home; paths are prefixes
HOMES = {
    "boto3": ("data_access/log.py",),
    "botocore": ("data_access/log.py",),
    "obstore": ("data_access/log.py",),
    "duckdb": (
        "data_access/warehouse.py",
        "data_access/ingest/store.py",
        "data_access/ingest/bulk.py",
    ),
    "spacy": ("data_access/projections/text.py",),
    "gradio": ("capture_app.py",),
    "gradio_client": (),
    "altair": ("pages/parts/charts.py", "pages/parts/linked_charts.py"),
    "streamlit": ("pages/", "streamlit_app.py"),
    "torch": ("recognizer/", "toxicity_model/", "replay/recognizers.py"),
    "rapidocr": ("recognizer/evaluate.py",),
    "safetensors": ("recognizer/checkpoint.py",),
    "transformers": ("toxicity_model/",),
    "ray": ("data_access/scoring/ray.py",),
    "sklearn": ("toxicity_model/",),
    "detoxify": ("data_access/scoring/toxicity.py",),
}
# a folder or file, and which of ours it may import
ARROWS = {
    "streamlit_app.py": ("pages",),
    "pages/parts/": ("pages", "data_access", "replay"),
    "pages/": ("pages", "data_access", "replay"),
    "replay/recognizers.py": ("replay", "data_access", "recognizer"),
    "replay/": ("replay", "data_access"),
    "data_access/": ("data_access",),
    "recognizer/": ("recognizer",),
    "sample/": ("sample", "data_access", "recognizer"),
    "launch.py": ("data_access",),
    "serving.py": ("data_access", "recognizer"),
    "capture_app.py": ("data_access", "serving"),
    "toxicity_model/": ("toxicity_model", "data_access"),
}


def sources() -> list[Path]:
    named = ("pages", "data_access", "recognizer", "sample", "toxicity_model", "replay")
    folders = [ROOT / name for name in named]
    files = [path for folder in folders for path in folder.rglob("*.py")]
    alone = ("streamlit_app", "launch", "serving", "capture_app")
    return sorted([*files, *(ROOT / f"{name}.py" for name in alone)])


def imports(path: Path) -> Iterator[str]:
    """Full dotted names of all that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relatively"
            yield from (f"{node.module}.{name.name}" for name in node.names)


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_arrows(path: Path) -> None:
    where = path.relative_to(ROOT).as_posix()
    allowed = next(found for prefix, found in ARROWS.items() if where.startswith(prefix))
    for name in imports(path):
        top = name.partition(".")[0]
        if top in OURS:
            assert top in allowed, f"{where} must not import {name}"
        if top in HOMES:
            assert where.startswith(HOMES[top]), f"{top} has its home in {HOMES[top]}, not {where}"


@pytest.mark.parametrize("path", sorted((ROOT / "pages").glob("*.py")), ids=lambda path: path.stem)
def test_a_page_is_a_paragraph(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 140
    assert not re.search(r"session_state|query_params|cache_data|cache_resource", text)
    assert not re.search(r"\bselect\b.+\bfrom\b", text), "SQL belongs in data_access/queries"
    assert not any(name.startswith(("pandas", "numpy", "altair")) for name in imports(path))


def test_only_controls_touch_session_state() -> None:
    users = {
        path.name
        for path in (ROOT / "pages").rglob("*.py")
        if re.search(r"session_state|query_params\[", path.read_text())
    }
    assert users == {"controls.py"}


def test_select_statements_live_in_the_queries() -> None:
    homes = (
        "data_access/queries/",
        "data_access/warehouse.py",
        "data_access/ingest/",
    )
    for path in sources():
        where = path.relative_to(ROOT).as_posix()
        found = re.search(r"[\"']\s*select\s", path.read_text())
        if found and not where.startswith((*homes, "data_access/selection.py")):
            pytest.fail(f"{where} has SQL in it")


def test_importers_and_the_writer_need_no_warehouse() -> None:
    allowed = (
        "decoding",
        "errors",
        "importers",
        "log",
        "progress",
        "projections",
        "records",
        "writer",
    )
    writers = [ROOT / "data_access" / "writer.py", *(ROOT / "data_access/importers").glob("*.py")]
    for path in writers:
        for name in imports(path):
            if name.startswith("data_access."):
                assert name.split(".")[1] in allowed, f"{path.name} imports {name}"


def test_the_dashboard_starts_without_anything_heavy(tmp_path: Path) -> None:
    """Stand-ins on the path leave a mark when they are imported, installed or not."""
    for name in ("torch", "transformers", "detoxify", "ray", "spacy", "thinc", "gradio"):
        mark = tmp_path / f"{name}.imported"
        (tmp_path / f"{name}.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    code = "import data_access, pages.parts.cards, pages.parts.store, pages.parts.replays"
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": ""},
        check=True,
        timeout=60,
    )
    assert not list(tmp_path.glob("*.imported"))
