"""What applications put into tags becomes what JSON can say."""

import json
import math
from collections import UserDict, deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from data_access.records import Prediction
from data_access.records.decoding import read_object
from data_access.records.json_values import json_value
from data_access.writer import to_json
from tests.samples import NOON


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Client(StrEnum):
    IOS = "ios"


@dataclass
class Size:
    width: int
    scale: float


def made(**values: Any) -> Prediction:
    required: dict[str, Any] = {"record_key": "a", "timestamp": NOON, "environment": "prod"}
    return Prediction(**(required | values))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (0.5, 0.5),
        ("text", "text"),
        (math.nan, None),
        (-math.inf, None),
        (np.float32(0.5), 0.5),
        (np.float64("nan"), None),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.str_("x"), "x"),
        (np.datetime64("2026-09-05"), "2026-09-05"),
        (np.datetime64("NaT"), None),
        (np.array([1.5, math.nan]), [1.5, None]),
        (np.array([[1], [2]]), [[1], [2]]),
        (torch.tensor(0.5), 0.5),
        (torch.tensor([0.5], requires_grad=True), 0.5),
        (torch.tensor([1, 2]), [1, 2]),
        (torch.tensor(True), True),
        (torch.tensor(math.inf), None),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (Client.IOS, "ios"),
        (b"caf\xc3\xa9", "café"),
        (bytearray(b"\xff\x00"), "ff00"),
        (Decimal("0.25"), 0.25),
        (Decimal(12), 12),
        (Decimal("NaN"), None),
        (timedelta(milliseconds=250), 0.25),
        (date(2026, 9, 5), "2026-09-05"),
        (datetime(2026, 9, 5, tzinfo=UTC), "2026-09-05 00:00:00+00:00"),
        (pd.Timestamp("2026-09-05"), "2026-09-05 00:00:00"),
        (pd.NaT, None),
        (pd.NA, None),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (PurePosixPath("a/b"), "a/b"),
        ((1, {2}, deque([3])), [1, [2], [3]]),
        (UserDict({None: b"x", True: 2, Colour.RED: 3}), {"null": "x", "true": 2, "red": 3}),
        (Size(3, math.nan), {"width": 3, "scale": None}),
        ({"a": {"b": [np.float32("inf")]}}, {"a": {"b": [None]}}),
    ],
    ids=repr,
)
def test_values_are_numbers_booleans_text_or_null(value: Any, expected: Any) -> None:
    plain = json_value(value)
    assert plain == expected
    assert json.loads(json.dumps(plain, allow_nan=False)) == expected
    assert type(plain) is type(expected)


@pytest.mark.parametrize("value", [object(), Fraction(1, 3), len, Colour])
def test_a_value_that_json_has_nothing_for_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"a value of type .* cannot be logged"):
        json_value(value)


def test_nesting_without_end_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ValidationError, match="it is nested too deeply"):
        made(tags={"x": endless})


def test_what_a_model_puts_into_tags_is_read_back() -> None:
    tags: dict[str, Any] = {
        "entropy": torch.tensor(0.5),
        "beam": np.int64(4),
        "colour": Colour.RED,
        "cached": np.bool_(False),
        "raw": b"x",
        "loss": float("nan"),
    }
    moment = np.datetime64("2026-09-05T21:25:43")
    written = made(timestamp=moment, confidence=torch.tensor(0.25), tags=tags)
    [(_, read)] = read_object("predictions/a.json", to_json(written)).predictions
    assert read.confidence == 0.25
    assert read.timestamp == written.timestamp
    assert read.tags == {"entropy": 0.5, "beam": 4, "colour": "red", "cached": False, "raw": "x"}


@pytest.mark.parametrize("value", [math.nan, np.float32("inf"), torch.tensor(math.nan), "NaN"])
def test_a_confidence_that_is_no_number_is_none(value: Any) -> None:
    assert made(confidence=value).confidence is None


leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary())
values = st.recursive(
    leaves, lambda inner: st.lists(inner) | st.dictionaries(leaves, inner), max_leaves=8
)


@given(values)
def test_any_value_of_these_can_be_written_and_stays_what_it_is(value: Any) -> None:
    plain = json_value(value)
    assert json_value(plain) == plain
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
