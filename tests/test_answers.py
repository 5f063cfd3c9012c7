"""Many askers at once: answers are worked out once, given up when nobody waits, kept in bounds."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from streamlit.runtime.scriptrunner_utils.script_requests import RerunData, ScriptRequests

from data_access.log import Log
from data_access.warehouse import SupersededError, answers
from data_access.warehouse.answers import Answers
from pages.parts.frame import is_superseded
from tests.conftest import OpenWarehouse

PATIENCE = 30  # seconds, after which a test is stuck
ENDLESS = "select count(*) as n from range(1000000000) as a(i), range(1000000000) as b(j) where ?"


def test_what_several_ask_at_once_is_worked_out_once() -> None:
    kept, asked = Answers(), []
    started, go_on = threading.Event(), threading.Event()

    def answer() -> str:
        asked.append(1)
        started.set()
        assert go_on.wait(PATIENCE)
        return "the answer"

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(kept.get, "question", "kind", answer)
        assert started.wait(PATIENCE)
        others = [pool.submit(kept.get, "question", "kind", answer) for _ in range(3)]
        assert kept.get("another", "kind", lambda: "at once") == "at once"
        go_on.set()
        assert {each.result(PATIENCE) for each in (first, *others)} == {"the answer"}
    assert asked == [1]


def test_a_failure_is_not_kept_and_reaches_all_who_ask() -> None:
    kept, outcomes = Answers(), [ValueError("once"), "the answer"]

    def answer() -> Any:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    with pytest.raises(ValueError, match="once"):
        kept.get("question", "kind", answer)
    assert kept.get("question", "kind", answer) == "the answer"


def test_a_runaway_query_ends_when_its_asker_moves_on(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    warehouse = open_warehouse(folder_log)
    moved_on = threading.Event()

    def ask() -> None:
        with warehouse.asked_by(moved_on.is_set):
            warehouse.query(ENDLESS, [True])

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask)
        assert warehouse.query("select 1 as n")["n"].tolist() == [1]
        moved_on.set()
        with pytest.raises(SupersededError):
            asked.result(PATIENCE)
    with warehouse.asked_by(lambda: True), pytest.raises(SupersededError):
        warehouse.query("select 2 as n")
    assert warehouse.query("select 2 as n")["n"].tolist() == [2]


def test_who_waits_for_a_question_that_is_given_up_asks_it_anew() -> None:
    kept, moved_on, started = Answers(), threading.Event(), threading.Event()

    def given_up() -> str:
        started.set()
        while True:
            assert moved_on.wait(PATIENCE)
            kept.get("part", "kind", lambda: "part")

    def ask() -> None:
        with kept.asked_by(moved_on.is_set):
            kept.get("question", "kind", given_up)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask)
        assert started.wait(PATIENCE)
        second = pool.submit(kept.get, "question", "kind", lambda: "asked anew")
        moved_on.set()
        with pytest.raises(SupersededError):
            first.result(PATIENCE)
        assert second.result(PATIENCE) == "asked anew"


def test_long_questions_take_turns_and_short_ones_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "LONG_SECONDS", 0.0)
    monkeypatch.setattr(answers, "LONG_AT_ONCE", 1)
    kept, at_work, most = Answers(), [], []
    go_on = threading.Event()
    kept.get("first", "long", lambda: None)

    def long_one() -> None:
        at_work.append(1)
        most.append(len(at_work))
        assert go_on.wait(PATIENCE)
        at_work.pop()

    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(kept.get, n, "long", long_one) for n in range(3)]
        assert kept.get("never asked before", "short", lambda: "at once") == "at once"
        go_on.set()
        for each in waiting:
            each.result(PATIENCE)
    assert most == [1, 1, 1]


@dataclass(frozen=True)
class Bars:
    counts: np.ndarray


def test_a_long_question_that_waits_for_another_leaves_its_turn_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answers, "LONG_AT_ONCE", 1)
    monkeypatch.setattr(answers, "LONG_SECONDS", 0.0)
    kept = Answers()
    for kind in ("outer", "inner"):
        kept.get(f"an earlier {kind}", kind, lambda: "")
    has_turn, is_asked = threading.Event(), threading.Event()

    def outer() -> str:
        has_turn.set()
        assert is_asked.wait(PATIENCE)
        return kept.get("inner", "inner", lambda: "worked out here") + " twice"

    def leave() -> bool:
        is_asked.set()  # the question is in flight: whether to leave is looked at while it waits
        return over.is_set()

    over = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(kept.get, "outer", "outer", outer)
        assert has_turn.wait(PATIENCE)

        def inner() -> str:
            with kept.asked_by(leave):
                return kept.get("inner", "inner", lambda: "the answer")

        second = pool.submit(inner)
        try:
            assert second.result(PATIENCE) == "the answer"
            assert first.result(PATIENCE) == "the answer twice"
        finally:
            over.set()


@pytest.mark.parametrize(
    "large", [np.zeros(1000), pd.DataFrame({"a": np.zeros(1000)}), [Bars(np.zeros(1000))]]
)
def test_answers_are_kept_within_their_bytes(large: Any) -> None:
    kept, asked = Answers(limit=30_000), []

    def ask(number: int) -> None:
        def answer() -> Any:
            asked.append(number)
            return large

        kept.get(number, "kind", answer)

    for number in (*range(10), 9, 0):
        ask(number)
    assert asked == [*range(10), 0], "the newest is kept, the oldest is not"
    assert 20_000 < kept.size <= 30_000


def test_a_viewer_has_moved_on_with_a_click_but_not_with_a_fragment() -> None:
    requests = ScriptRequests()
    assert not is_superseded(requests)
    requests.request_rerun(RerunData(fragment_id_queue=["a"]))
    assert not is_superseded(requests), "a fragment runs after the page"
    requests.request_rerun(RerunData())
    assert is_superseded(requests)
    requests.on_scriptrunner_yield()
    assert not is_superseded(requests)
    requests.request_stop()
    assert is_superseded(requests)
