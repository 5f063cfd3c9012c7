"""Several processes of one machine on one log and one warehouse path: none fails the others."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from data_access.api import open as open_log
from data_access.embedded import EmbeddedServer
from data_access.ingest.sync import sync
from data_access.log import Log
from data_access.writer import Writer
from tests.conftest import OpenWarehouse
from tests.killing import Running, run_command, shown_by
from tests.samples import (
    ROOT,
    feedback,
    picture,
    prediction,
    rounds,
    write,
    write_picture,
)
from tests.test_writer import event, flagged

PAGES = ("overview", "distributions", "cases", "causes", "data")
ROUNDS = rounds(1, 2)
# what people start while dashboards are open; each is run again and again
COMMANDS = {
    "sync": ["sync"],
    "status": ["status"],
    "compact": ["compact", "--before", "2100-01-01", "--remove-originals"],
}


def look_at_a_dashboard(written: str, tell: Callable[[object], None]) -> None:
    """Runs every page a few times, and until `written` is there; then tells what it shows."""
    from streamlit.testing.v1 import AppTest

    from pages.parts import store

    app = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=60).run()
    rounds = 0
    while rounds < ROUNDS or not Path(written).exists():
        for page in PAGES:
            app.switch_page(f"pages/{page}.py").run()
            wrong = [shown.value for shown in (*app.exception, *app.error)]
            tell(("page", page, wrong, store.syncing().problem))
        rounds += 1
    background = store.syncing()
    background.stop()
    tell(("stopped", background.problem))
    log = store.opened()
    log.sync()
    tell(("records", shown_by(log.warehouse), log.warehouse.path.name))
    log.close()


@pytest.mark.soak
def test_dashboards_commands_and_a_writer_at_once(
    log_uri: str, s3_server: EmbeddedServer, open_warehouse: OpenWarehouse, tmp_path: Path
) -> None:
    log = Log.open(log_uri)
    for number in range(60):
        image = write_picture(log, picture(number))
        write(log, f"predictions/{number}.json", prediction(f"r{number}", inputs__image=image))
    write(log, "feedback/1.json", feedback("r1"))
    environ = s3_server.environ | {
        "MISREAD_LOG": log_uri,
        "MISREAD_WAREHOUSE": str(tmp_path / "shared.duckdb"),
        "MISREAD_SYNC_SECONDS": "0.3",
    }
    written = tmp_path / "written"
    with ThreadPoolExecutor(2 + len(COMMANDS)) as pool:
        dashboards = [
            pool.submit(lambda: Running(environ, look_at_a_dashboard, str(written)).end())
            for _ in range(2)
        ]

        def again_and_again(arguments: list[str]) -> list[int]:
            codes: list[int] = []
            while not (codes and all(dashboard.done() for dashboard in dashboards)):
                codes.append(Running(environ, run_command, arguments).end().code)
            return codes

        commands = {name: pool.submit(again_and_again, words) for name, words in COMMANDS.items()}
        with Writer(log, tmp_path / "spool") as writer:
            for number in range(40):
                writer.write_prediction(event(f"w{number}"), picture(100 + number))
                writer.write_feedback(flagged(f"f{number}", f"w{number}"))
                time.sleep(0.05)
        written.touch()
        looked = [dashboard.result() for dashboard in dashboards]
        codes = {name: command.result() for name, command in commands.items()}
    assert [(name, code) for name, found in codes.items() for code in found if code] == []
    whole = open_warehouse(log, name="fresh.duckdb")
    sync(log, whole)
    names = set()
    for ended in looked:
        assert ended.code == 0
        *pages, (_, problem), (_, records, name) = ended.told
        assert len(pages) >= ROUNDS * len(PAGES)
        assert [page for page in pages if page[2] or page[3]] == []
        assert problem is None
        assert records == shown_by(whole)
        names.add(name)
    assert len(names) == 2, "each has a file of its own"


@pytest.mark.soak
def test_many_that_open_one_log_at_the_same_moment(
    folder_log: Log, open_warehouse: OpenWarehouse, tmp_path: Path
) -> None:
    """The file is made by one of them while the others open it; each gets whole answers."""
    for number in range(30):
        write(folder_log, f"predictions/{number}.json", prediction(f"r{number}"))
    whole = open_warehouse(folder_log, name="fresh.duckdb")
    sync(folder_log, whole)
    environ = {"MISREAD_WAREHOUSE": str(tmp_path / "shared.duckdb")}

    def opened() -> list[Any]:
        ended = Running(environ, open_and_sync, folder_log.uri).end()
        assert ended.code == 0
        return ended.told

    with ThreadPoolExecutor(6) as pool:
        told = [each.result() for each in [pool.submit(opened) for _ in range(rounds(6, 18))]]
    assert {len(each) for each in told} == {1}
    assert all(records == shown_by(whole) for ((records, _),) in told)
    assert len({name for ((_, name),) in told}) > 1
    assert not list(tmp_path.glob("*.broken-*"))


@pytest.mark.soak
def test_a_broken_file_found_by_many_at_once_is_moved_aside_once(
    folder_log: Log, open_warehouse: OpenWarehouse, tmp_path: Path
) -> None:
    for number in range(30):
        write(folder_log, f"predictions/{number}.json", prediction(f"r{number}"))
    whole = open_warehouse(folder_log, name="fresh.duckdb")
    sync(folder_log, whole)
    for turn in range(rounds(1, 4)):
        folder = tmp_path / str(turn)
        folder.mkdir()
        path = folder / "shared.duckdb"
        path.write_bytes(bytes(8) + b"DUCK" + b"and then nonsense" * 1000)
        environ = {"MISREAD_WAREHOUSE": str(path)}
        with ThreadPoolExecutor(5) as pool:
            ended = list(
                pool.map(
                    lambda environ: Running(environ, open_and_sync, folder_log.uri).end(),
                    [environ] * 5,
                )
            )
        assert [each.code for each in ended] == [0] * 5
        assert all(each.told[0][0] == shown_by(whole) for each in ended)
        assert len(list(folder.glob("*.broken-*"))) == 1


def open_and_sync(uri: str, tell: Callable[[object], None]) -> None:
    log = open_log(uri)
    log.sync()
    tell((shown_by(log.warehouse), log.warehouse.path.name))
    log.close()
