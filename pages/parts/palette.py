"""The colours of Misread and the few rules of style that its own HTML needs.

Every colour of a mark stands out from the grounds of both themes by 3:1 or more, so that a chart
need not know which one is on; texts take their colour from the theme (`.streamlit/config.toml`).
Tests hold both.
"""

import zlib
from collections.abc import Sequence

import streamlit as st

PRODUCTION = "#3b7fc4"
BASELINE = "#878c94"
# told apart by people who see no red or no green, in every order
FLAGS = {"incorrect": "#c27a00", "offensive": "#a8389c", "other": "#3f9f7f"}
MORE_FLAGS = ("#9a6fc4", "#5b8fa8", "#7f8a2a", "#a06a4c")
BADGE_OPACITY = 0.18
MORE_SOURCES = ("#9a6fc4", "#3f9f7f", "#5b8fa8", "#7f8a2a", "#a8389c", "#a06a4c", "#7d828b")

STYLE = """
<style>
.misread-text { overflow: hidden; font-family: "Source Serif", Georgia, serif;
  font-size: 1.1rem; line-height: 1.45; overflow-wrap: anywhere; white-space: normal; }
[class*="st-key-card-"] .misread-text { height: 8.7em; overflow-y: auto; }
.misread-zoom { overflow: auto; max-height: 70vh; }
.misread-zoom img { display: block; max-width: none; }
.misread-no-picture { aspect-ratio: 7 / 3; display: flex; align-items: center;
  justify-content: center; padding: 0 1em; text-align: center; font-size: 0.85rem; }
.misread-excerpt { font-size: 0.95rem; line-height: 1.35; display: -webkit-box;
  -webkit-box-orient: vertical; -webkit-line-clamp: 3; }
.misread-text mark { background: #a8389c38; color: inherit; font-weight: 600; }
.misread-truth { font-size: 0.95rem; margin-top: .25em; }
.misread-meta { font-size: 0.85rem; line-height: 1.5; }
.misread-flag { display: inline-block; padding: 0 .55em; border-radius: 1em; font-size: 0.8rem;
  margin-right: .35em; max-width: 100%; overflow-wrap: anywhere; border: 1px solid; }
.misread-text del { text-decoration: line-through; background: #c27a0038; }
.misread-text ins { text-decoration: underline; background: #3b7fc438; }
.st-key-card-opened { outline: 2px solid #3b7fc4; }
.st-key-answer { min-height: 5em; }
/* the place of an image that is still to come: cards hold them in one shape */
[class*="st-key-card-"] [data-testid="stImage"] img { aspect-ratio: 7 / 3; }
/* Streamlit draws a lower stand-in first: what is below a widget would move */
.st-key-widget-baseline, .st-key-widget-since, .st-key-widget-until, .st-key-widget-environment,
.st-key-widget-version, [class*="st-key-widget-page-"] { min-height: 4.27rem; }
.st-key-presets:has(> :nth-child(6)) { min-height: 10.7rem; }
[class*="st-key-widget-page-number-"], [class*="st-key-widget-page-sheet-"] {
  min-height: 2.53rem; }
</style>
"""
# Streamlit writes in white on the accent, which is too pale for that in the dark theme
ON_ACCENT = """
<style>
[kind="primary"] p, [data-tag] span { color: #10131a; }
</style>
"""


def is_dark() -> bool:
    """Whether the browser shows the dark theme."""
    return st.context.theme.type == "dark"


def style() -> None:
    """Put the rules on the page; once a run."""
    st.html(STYLE + ON_ACCENT if is_dark() else STYLE)


def flag_colours(flags: Sequence[str]) -> dict[str, str]:
    """The colour of each flag, the same everywhere; an application's own get one by their name."""
    return {
        flag: FLAGS.get(flag) or MORE_FLAGS[zlib.crc32(flag.encode()) % len(MORE_FLAGS)]
        for flag in flags
    }
