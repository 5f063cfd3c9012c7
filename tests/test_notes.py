"""Notes as plain text, and the addresses in them."""

import pytest
import streamlit as st
from hypothesis import given
from hypothesis import strategies as some

from data_access.errors import SettingsError
from data_access.settings import public_url
from pages.parts import links, notes, words


@given(some.text())
def test_a_text_survives_its_escapes(text: str) -> None:
    assert words.unmarked(words.escape_markdown(text)) == " ".join(text.split())


def test_a_note_is_plain_text() -> None:
    name = words.escape_markdown("<b>a*b</b> [x](y)")
    note = notes.note(
        "What separates these cases?",
        f"**132 of 156 (85%)** have {name}.",
        ["**3 of 4** are blurrier."],
        "6 Jul – 30 Aug 2026 (UTC) · prod",
        "https://misread.example.com/causes?environment=prod",
    )
    assert note.splitlines() == [
        "What separates these cases?",
        "132 of 156 (85%) have <b>a*b</b> [x](y).",
        "- 3 of 4 are blurrier.",
        "6 Jul – 30 Aug 2026 (UTC) · prod",
        "https://misread.example.com/causes?environment=prod",
    ]


@pytest.mark.parametrize(
    ("url", "options", "seen", "shared"),
    [
        ("", {}, "http://127.0.0.1:8501/causes", "http://127.0.0.1:8501/causes"),
        ("https://a.example/", {}, "http://127.0.0.1:8501/causes", "https://a.example/causes"),
        ("https://a.example/x", {}, "http://127.0.0.1:8501/", "https://a.example/x/"),
        (
            "",
            {"browser.serverAddress": "b.example", "browser.serverPort": 8501},
            "http://127.0.0.1:8501/causes",
            "http://b.example:8501/causes",
        ),
        (
            "",
            {
                "browser.serverAddress": "b.example",
                "browser.serverPort": 443,
                "server.baseUrlPath": "/m",
                "server.sslCertFile": "cert.pem",
            },
            "https://10.0.0.7/m/causes",
            "https://b.example/m/causes",
        ),
    ],
)
def test_links_name_the_address_that_others_reach(
    monkeypatch: pytest.MonkeyPatch, url: str, options: dict[str, object], seen: str, shared: str
) -> None:
    monkeypatch.setenv("MISREAD_URL", url)
    known = {"browser.serverAddress": "localhost", **options}
    monkeypatch.setattr(st, "get_option", known.get)
    assert links.shared(seen) == shared


@pytest.mark.parametrize("url", ["misread.example.com", "ftp://a", "https://a b", "https://a?x=1"])
def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(SettingsError, match="MISREAD_URL"):
        public_url({"MISREAD_URL": url})
