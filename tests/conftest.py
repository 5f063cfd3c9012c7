"""What tests share: a real S3 server, logs in it and in folders, warehouses, the sample log."""

import functools
import gc
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import settings
from streamlit.components.v2 import manifest_scanner

from data_access.api import OpenLog
from data_access.embedded import EmbeddedServer, embedded_server, is_available
from data_access.log import Log, create_bucket
from data_access.projections import ProjectionTable, load_projections
from data_access.warehouse import Warehouse
from tests.browser import address, browser, demo, page
from tests.samples import SAMPLE, open_log

__all__ = ["address", "browser", "demo", "page"]

OpenWarehouse = Callable[..., Warehouse]
BUCKET = "misread-tests"

settings.register_profile("misread", deadline=None)  # a busy machine is no failure
settings.load_profile("misread")


@pytest.fixture(scope="session", autouse=True)
def _own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing of the user's own AWS and MISREAD settings, and no cache in the home folder."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("AWS_", "MISREAD_")) and name != "MISREAD_SOAK":
                patch.delenv(name)
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("MISREAD_NICENESS", "0")  # two tests at a time would starve what stands back
        patch.setenv("MISREAD_STATE", str(tmp_path_factory.mktemp("demo")))
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state-home")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _packages_scanned_once() -> Iterator[None]:
    """Each run of AppTest reads the metadata of all installed packages, a second, for components
    that they may bring."""
    with pytest.MonkeyPatch.context() as patch:
        scanned = functools.cache(manifest_scanner.scan_component_manifests)
        patch.setattr(manifest_scanner, "scan_component_manifests", scanned)
        yield


@pytest.fixture(scope="session")
def s3_server(
    _own_environment: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedServer]:
    """A real S3 server, which the AWS variables of this process point to."""
    if not is_available():
        pytest.skip("there is no embedded S3 server for this machine")
    folder = tmp_path_factory.mktemp("s3")
    with embedded_server(folder) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environ.items():
            patch.setenv(name, value)
        create_bucket(f"s3://{BUCKET}")
        yield server


@pytest.fixture
def log_uri(s3_server: EmbeddedServer) -> str:
    """An empty place in the S3 server."""
    return f"s3://{BUCKET}/{uuid.uuid4().hex[:12]}"


@pytest.fixture
def folder_log(tmp_path: Path) -> Log:
    """An empty log in a folder."""
    folder = tmp_path / "log"
    folder.mkdir()
    return Log.open(str(folder))


@pytest.fixture(params=["folder", "s3"])
def log(request: pytest.FixtureRequest) -> Log:
    """An empty log: once in a folder, once in the S3 server."""
    if request.param == "folder":
        held: Log = request.getfixturevalue("folder_log")
        return held
    return Log.open(request.getfixturevalue("log_uri"))


@pytest.fixture
def open_warehouse(tmp_path: Path) -> Iterator[OpenWarehouse]:
    """Opens warehouses of a log, by default one file with the built-in projections."""
    opened: list[Warehouse] = []

    def open_one(
        log: Log, projections: ProjectionTable | None = None, name: str = "warehouse.duckdb"
    ) -> Warehouse:
        warehouse = Warehouse.open(tmp_path / name, log.uri, projections or load_projections())
        opened.append(warehouse)
        return warehouse

    yield open_one
    for warehouse in opened:
        warehouse.close()


@pytest.fixture(scope="session")
def sample_warehouse(_own_environment: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed warehouse of the sample log, read and measured, to be copied."""
    path = tmp_path_factory.mktemp("sample") / "sample.duckdb"
    log = open_log(SAMPLE, path)
    log.sync()
    log.close()
    return path


@pytest.fixture(scope="session")
def sample_log(
    sample_warehouse: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OpenLog]:
    """The sample log, read and measured; nobody may change it."""
    copied = tmp_path_factory.mktemp("sample") / "sample.duckdb"
    shutil.copy(sample_warehouse, copied)
    log = open_log(SAMPLE, copied)
    yield log
    log.close()


@pytest.fixture(scope="session")
def sample_frame(sample_log: OpenLog) -> pd.DataFrame:
    """Every record of the sample log, to compute answers from by other means."""
    return sample_log.records()


def pytest_unconfigure() -> None:
    """Hypothesis leaves a hook behind that keeps objects alive; DuckDB complains of each."""
    gc.callbacks.clear()
