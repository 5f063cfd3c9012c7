"""How long the server works on a full rerun of every page.

`python -m benchmarks.pages [--records N]`. Cold: no answer and no picture is kept from before;
warm: all are, as when a colleague has just looked at the same. Streamlit's AppTest runs the real
pages in this process; what a browser then does is not in these times. Processor time, of both
cores together, says what a busy machine's clock hides.
"""

import argparse
import os
from statistics import median
from time import perf_counter, process_time, sleep

import streamlit as st
from streamlit.testing.v1 import AppTest

from benchmarks.synthetic import RECORDS, ROOT, open_synthetic, place_pictures
from data_access import queries
from data_access.selection import Selection
from data_access.warehouse import Warehouse
from pages.parts import store

RUNS = 5
PAGES = ("overview", "distributions", "explore", "cases", "case", "causes", "replay", "data")
SHOWN = 24
TIMEOUT = 120
BARE = "import streamlit as st\nst.write('nothing')"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--records", type=int, default=RECORDS)
    records = arguments.parse_args().records
    _prepare(records)
    warehouse = _opened()
    load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    print(f"{records:,} records; milliseconds, median of {RUNS} (best); load {load}\n")
    print("| page | cold | cold, processor | warm | warm, processor |\n|---|--:|--:|--:|--:|")
    for page in PAGES:
        app = _app(page)
        cold = [_timed(app, warehouse) for _ in range(RUNS)]
        warm = [_timed(app) for _ in range(RUNS)]
        print(f"| {page.title()} | {_milliseconds(cold)} | {_milliseconds(warm)} |", flush=True)
    bare = AppTest.from_string(BARE, default_timeout=TIMEOUT).run()
    warm = [_timed(bare) for _ in range(RUNS)]
    print(f"| an app that does nothing | | | {_milliseconds(warm)} |")


def _prepare(records: int) -> None:
    """The synthetic log, with pictures where the pages look for them, as this process's log."""
    log = open_synthetic(records)
    chosen = Selection(environment=("prod",))
    shown = [
        queries.cases_page(log.warehouse, chosen, size=SHOWN).rows,
        queries.newest_flags(log.warehouse, chosen, SHOWN),
    ]
    place_pictures(log, dict.fromkeys(name for rows in shown for name in rows["inputs.image"]))
    log.close()
    for name in [name for name in os.environ if name.startswith("MISREAD_")]:
        del os.environ[name]
    os.environ["MISREAD_LOG"] = log.settings.log
    os.environ["MISREAD_WAREHOUSE"] = str(log.settings.warehouse)
    os.environ["MISREAD_SYNC_SECONDS"] = "0"


def _opened() -> Warehouse:
    """The warehouse that the pages use, after the one sync of the start."""
    AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=TIMEOUT).run()
    background = store.syncing()
    while background.running or background.finished is None:
        sleep(0.05)
    report = background.report
    assert report is not None and not report.changed, f"the sync changed the warehouse: {report}"
    return store.opened().warehouse


def _app(page: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=TIMEOUT).run()
    return app.switch_page(f"pages/{page}.py").run()


def _timed(app: AppTest, cold: Warehouse | None = None) -> tuple[float, float]:
    """Seconds of one rerun, by the clock and of the processor.

    The caches are emptied before it where a warehouse is given.
    """
    if cold is not None:
        cold.refresh(changed=True)
        st.cache_data.clear()
    started, worked = perf_counter(), process_time()
    app.run()
    seconds = perf_counter() - started, process_time() - worked
    assert not app.exception and not app.error, [shown.value for shown in app.exception]
    return seconds


def _milliseconds(runs: list[tuple[float, float]]) -> str:
    """Two cells of the table: by the clock, and of the processor."""
    return " | ".join(
        f"{median(seconds) * 1e3:,.0f} ({min(seconds) * 1e3:,.0f})"
        for seconds in zip(*runs, strict=True)
    )


if __name__ == "__main__":
    main()
