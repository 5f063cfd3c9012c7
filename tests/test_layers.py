"""Which module may import which; see docs/design.md."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("pages", "data_access", "recognizer", "sample", "toxicity_model", "replay", "readings")
MODULES = ("streamlit_app", "launch", "serving", "capture_app", "capture_look")
# who may import an outside library that has one home; paths are prefixes
HOMES = {
    "boto3": ("data_access/log/",),
    "botocore": ("data_access/log/",),
    "obstore": ("data_access/log/",),
    "duckdb": (
        "data_access/warehouse/",
        "data_access/ingest/store.py",
        "data_access/ingest/flat.py",
    ),
    "spacy": ("data_access/projections/text.py",),
    "gradio": ("capture_app.py", "capture_look.py"),
    "altair": (
        "pages/parts/charts.py",
        "pages/parts/linked_charts.py",
        "pages/parts/trend_charts.py",
    ),
    "streamlit": ("pages/", "streamlit_app.py"),
    "torch": (
        "recognizer/",
        "toxicity_model/",
        "readings/own_model.py",
        "data_access/scoring/toxicity.py",
    ),
    "rapidocr": ("recognizer/evaluate.py",),
    "safetensors": ("recognizer/checkpoint.py",),
    "transformers": ("toxicity_model/", "data_access/scoring/toxicity.py"),
    "ray": ("data_access/scoring/ray.py",),
    "sklearn": ("toxicity_model/",),
    "detoxify": ("data_access/scoring/toxicity.py",),
}
# a folder or file, and which of ours it may import; the first row that fits counts
ARROWS = {
    "streamlit_app.py": ("pages",),
    "pages/parts/": ("pages.parts", "data_access", "replay", "readings"),
    "pages/": ("pages.parts", "data_access", "replay"),
    "replay/": ("replay", "readings", "data_access"),
    "readings/own_model.py": ("readings", "data_access", "recognizer"),
    "readings/": ("readings", "data_access"),
    "recognizer/": ("recognizer",),
    "sample/seeding.py": (),
    "sample/": ("sample", "data_access", "recognizer", "replay", "readings"),
    "launch.py": ("data_access", "sample.seeding"),
    "serving.py": ("data_access", "recognizer"),
    "capture_app.py": ("data_access", "serving", "capture_look"),
    "capture_look.py": (),
    "toxicity_model/": ("toxicity_model", "data_access"),
    "data_access/": ("data_access",),
}
# within data_access: what a folder or file must not import; every row that fits counts
BARRED = {
    "data_access/statistics/": ("data_access.(?!statistics)",),
    "data_access/queries/": ("data_access.(ingest|scoring|api|cli|jobs|annotations|writer)",),
    "data_access/ingest/": ("data_access.(queries|scoring|api|cli|jobs|annotations|selection)",),
    "data_access/projections/": ("data_access.(queries|scoring|ingest|warehouse|selection)",),
    "data_access/scoring/": ("data_access.(api|cli|jobs|annotations)",),
    "data_access/importers/": (
        "data_access.(warehouse|queries|ingest|scoring|selection|api|cli|jobs|annotations)",
    ),
    "data_access/writer.py": (
        "data_access.(warehouse|queries|ingest|scoring|selection|api|cli|jobs|annotations)",
    ),
    "data_access/log/": ("data_access.(?!errors|settings|log)",),
    "data_access/records/": ("data_access.(?!errors|records|sql)",),
    "data_access/worker.py": ("data_access.(?!errors)",),
    "data_access/errors.py": ("data_access",),
}


def sources() -> list[Path]:
    files = [path for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
    return sorted([*files, *(ROOT / f"{name}.py" for name in MODULES)])


def where(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports(path: Path) -> Iterator[str]:
    """Full dotted names of all that a file imports, inside functions and by importlib too."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relatively"
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Call) and called(node) in ("import_module", "_import"):
            yield from (
                name.value
                for name in node.args
                if isinstance(name, ast.Constant) and isinstance(name.value, str)
            )


def called(node: ast.Call) -> str:
    """The name of the function, without what it is an attribute of."""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def strings(path: Path) -> Iterator[str]:
    """Every string of a file that is no docstring, with the parts of f-strings put together."""
    inside: set[int] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            inside.add(id(node.value))
        if isinstance(node, ast.JoinedStr):
            inside.update(id(part) for part in node.values)
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values
            )
        if isinstance(node, ast.Constant) and id(node) not in inside:
            yield str(node.value)


def is_below(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


@pytest.mark.parametrize("path", sources(), ids=where)
def test_imports_follow_the_arrows(path: Path) -> None:
    allowed = next(names for prefix, names in ARROWS.items() if where(path).startswith(prefix))
    barred = [
        row for prefix, rows in BARRED.items() if where(path).startswith(prefix) for row in rows
    ]
    for name in imports(path):
        top = name.partition(".")[0]
        if top in (*PACKAGES, *MODULES):
            assert any(is_below(name, package) for package in allowed), (
                f"{where(path)} must not import {name}"
            )
        if top in HOMES:
            assert where(path).startswith(HOMES[top]), f"{top} has its home in {HOMES[top]}"
        for row in barred:
            assert not re.match(row, name), f"{where(path)} must not import {name}"


@pytest.mark.parametrize("library", HOMES)
def test_every_home_is_lived_in(library: str) -> None:
    """A row that nothing uses would hold nothing."""
    users = {
        where(path)
        for path in sources()
        if any(name.partition(".")[0] == library for name in imports(path))
    }
    for home in HOMES[library]:
        assert any(user.startswith(home) for user in users), f"{home} does not import {library}"


@pytest.mark.parametrize("prefix", [*ARROWS, *BARRED])
def test_every_row_is_of_something(prefix: str) -> None:
    assert any(where(path).startswith(prefix) for path in sources())


def test_no_two_modules_import_each_other() -> None:
    """Imports at the top of modules, as Python runs them, make no circle."""
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in sources()}
    modules = {name.removesuffix(".__init__"): path for name, path in modules.items()}
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        needed = {name if name in modules else name.rpartition(".")[0] for name in imports(path)}
        graph[module] = {name for name in needed if name in modules and name != module}
        if path.name == "__init__.py":  # a package that re-exports needs what is in it, not it them
            graph[module] = {name for name in graph[module] if not is_below(name, module)}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


def test_no_re_exported_name_hides_a_module() -> None:
    """`from package import name` would give the module or the function, by what ran before."""
    for path in (ROOT / "data_access").rglob("__init__.py"):
        modules = {file.stem for file in path.parent.iterdir() if file.name != path.name}
        exported = {name.rpartition(".")[2] for name in imports(path)}
        assert not exported & modules, where(path)


@pytest.mark.parametrize("path", sorted((ROOT / "pages").glob("*.py")), ids=lambda path: path.stem)
def test_a_page_is_a_paragraph(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 140
    assert not names(path) & {"cache_data", "cache_resource"}
    assert not any(name.startswith(("pandas", "numpy", "altair")) for name in imports(path))


def names(path: Path) -> set[str]:
    """Every name and attribute that a file uses."""
    return {
        node.attr if isinstance(node, ast.Attribute) else node.id
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute | ast.Name)
    }


def test_one_module_touches_session_state() -> None:
    users = {
        where(path)
        for path in (ROOT / "pages").rglob("*.py")
        if names(path) & {"session_state", "query_params"}
    }
    assert users == {"pages/parts/state.py"}


SQL = re.compile(
    r"\s*(select\b.*\bfrom\b|with\s+(recursive\s+)?\w+\s+as\b|insert\s+into\b|update\s+\S+\s+set\b"
    r"|delete\s+from\b|create\s+(or\s+replace\s+)?(temp\s+)?(table|view)\b|drop\s+table\b)",
    re.DOTALL,
)
SQL_HOMES = (
    "data_access/queries/",
    "data_access/warehouse",
    "data_access/ingest/",
    "data_access/selection",
    "data_access/sql.py",
)


def test_sql_lives_in_the_queries_and_the_warehouse() -> None:
    for path in sources():
        if not where(path).startswith(SQL_HOMES):
            for string in strings(path):
                assert not SQL.match(string), f"{where(path)} has SQL in it: {string[:60]}"


@pytest.mark.parametrize(
    "statement",
    [
        "\n  select a\n from b",
        "with t as (select 1) select * from t",
        "insert into t values (1)",
        "delete from t where a",
        "create or replace temp table t as from b",
    ],
)
def test_sql_is_seen_for_what_it_is(statement: str) -> None:
    assert SQL.match(statement)
    assert not SQL.match("with a selection from the sidebar")


def test_the_dashboard_starts_without_anything_heavy(tmp_path: Path) -> None:
    """Stand-ins on the path leave a mark when they are imported, installed or not."""
    for name in ("torch", "transformers", "detoxify", "ray", "spacy", "thinc", "gradio"):
        mark = tmp_path / f"{name}.imported"
        (tmp_path / f"{name}.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    parts = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "pages" / "parts").glob("[a-z]*.py")
    ]
    code = "; ".join(f"import {name}" for name in ("data_access", *parts))
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": ""},
        check=True,
        timeout=60,
    )
    assert not list(tmp_path.glob("*.imported"))
