import re
import tomllib
from pathlib import Path

import pandas as pd
import pytest

import data_access
from data_access.errors import LogError, SelectionError, SettingsError
from data_access.images import UnreadableImageError
from data_access.log import Log
from data_access.selection import Selection
from data_access.settings import Settings
from tests.samples import ROOT, SAMPLE, feedback, picture, prediction, write, write_picture


def test_the_five_lines_of_the_readme(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MISREAD_LOG", str(SAMPLE))
    monkeypatch.setenv("MISREAD_WAREHOUSE", str(tmp_path / "warehouse.duckdb"))

    log = data_access.open()
    log.sync()
    frame = log.records("environment=prod&flag=incorrect")
    picture = log.image(frame["record_key"][0])

    assert len(frame) > 50
    assert set(frame["environment"]) == {"prod"}
    assert all("incorrect" in flags for flags in frame["feedback.flags"])
    assert str(frame["timestamp"].dtype) == "datetime64[us, UTC]"
    assert picture.size == (frame["width(inputs.image)"][0], frame["height(inputs.image)"][0])
    log.close()


def test_what_the_readme_imports_is_installed() -> None:
    """By `pip install -e .`, which is tried by hand: it takes a minute."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    installed = project["tool"]["setuptools"]
    packages = {name.rstrip("*") for name in installed["packages"]["find"]["include"]}
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    imported = set(re.findall(r"^(?:from|import) (\w+)", "\n".join(blocks), re.M))
    own = {name for name in imported if (ROOT / name).exists() or (ROOT / f"{name}.py").exists()}
    assert own and own <= packages | set(installed["py-modules"])
    imports = {
        name
        for package in packages
        for path in (ROOT / package).rglob("*.py")
        for name in re.findall(r"^(?:from|import) (\w+)", path.read_text(), re.M)
    }
    assert not imports & {"pages", "sample", "toxicity_model", "launch"}, "they are not installed"
    [requirements] = project["tool"]["setuptools"]["dynamic"]["dependencies"]["file"]
    assert (ROOT / requirements).is_file()


def test_a_log_in_s3_is_opened_by_its_address(
    log_uri: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MISREAD_WAREHOUSE", str(tmp_path / "warehouse.duckdb"))
    stored = Log.open(log_uri)
    image = write_picture(stored, picture())
    stored.put("images/broken.png", b"no image")
    write(
        stored,
        "predictions/1.jsonl",
        prediction("a", inputs__image=image),
        prediction("b"),
        prediction("c", inputs__image="images/broken.png"),
        prediction("d", inputs__image="../secret.png"),
    )
    write(stored, "feedback/1.json", feedback("a"))
    log = data_access.open(log_uri)
    log.sync()
    assert list(log.records(Selection(flag=("*",)))["record_key"]) == ["a"]
    assert log.image("a").size == (24, 16)
    with pytest.raises(LogError, match=r"The record b has no image\."):
        log.image("b")
    with pytest.raises(UnreadableImageError):
        log.image("c")
    with pytest.raises(LogError, match="was not fetched"):
        log.image("d")
    with pytest.raises(LogError, match=r"There is no record nobody\."):
        log.image("nobody")
    with pytest.raises(SelectionError):
        log.records("colour=red")
    log.close()


def test_an_empty_log_has_an_empty_frame_with_every_column(
    folder_log: Log, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MISREAD_WAREHOUSE", str(tmp_path / "warehouse.duckdb"))
    log = data_access.open(Path(folder_log.uri))
    log.sync()
    frame = log.records()
    assert isinstance(frame, pd.DataFrame)
    assert frame.empty
    assert {"timestamp", "feedback.flags", "entropy(outputs.output_text)"} <= set(frame.columns)
    log.close()


def test_settings_are_read_from_the_environment(tmp_path: Path) -> None:
    settings = Settings.from_environment(
        {
            "MISREAD_LOG": " s3://bucket/prefix/ ",
            "MISREAD_PROJECTIONS": "ours, theirs.py,",
            "MISREAD_IMAGE_ROOTS": "s3://pictures",
            "MISREAD_ALPHABET": "abc",
            "MISREAD_SYNC_SECONDS": "0",
            "XDG_CACHE_HOME": str(tmp_path),
        }
    )
    assert settings.log == "s3://bucket/prefix"
    assert settings.warehouse.parent == tmp_path / "misread"
    assert settings.projections == ("ours", "theirs.py")
    assert settings.image_roots == ("s3://pictures",)
    assert (settings.alphabet, settings.sync_seconds) == ("abc", 0)


def test_each_log_has_a_warehouse_of_its_own() -> None:
    one, other = (
        Settings.from_environment({"MISREAD_LOG": log}) for log in ("s3://a/one", "s3://a/other")
    )
    assert one.warehouse != other.warehouse


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"MISREAD_LOG": "  "},
        {"MISREAD_LOG": "https://bucket.example/log"},
        {"MISREAD_LOG": "s3://a", "MISREAD_SYNC_SECONDS": "soon"},
        {"MISREAD_LOG": "s3://a", "MISREAD_SYNC_SECONDS": "-1"},
        {"MISREAD_LOG": "s3://a", "MISREAD_SYNC_SECONDS": "inf"},
        {"MISREAD_LOG": "s3://a", "MISREAD_SYNC_SECONDS": "nan"},
    ],
)
def test_wrong_settings_are_told(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="MISREAD_"):
        Settings.from_environment(environ)
