"""The keys of a page: each presses a button or goes to a field, and `?` lists them."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

LISTED = "keys"
# Streamlit's own shortcuts do nothing where the focus is in a group of buttons or on a switch, and
# they press what is behind a dialog
PRESS = """
const FIELD = "input:not([type=checkbox]):not([type=radio]), textarea, select, "
  + "[contenteditable=true], [role=slider], [role=combobox], [role=listbox], canvas";
const DIALOG = "[role=dialog]";
const isIn = (event, selector) => event.target.closest?.(selector);

export default ({data}) => {
  const press = event => {
    const button = data[event.key];
    if (!button || event.ctrlKey || event.metaKey || event.altKey) return;
    if (isIn(event, FIELD) || isIn(event, DIALOG)) return;
    event.preventDefault();
    event.stopPropagation();
    const part = document.querySelector(`.st-key-${button} :is(button, input)`);
    if (part?.matches("input")) part.focus(); else part?.click();
  };
  const hold = event => { if (isIn(event, DIALOG) && data[event.key]) event.stopPropagation(); };
  document.addEventListener("keydown", press, true);
  document.body.addEventListener("keydown", hold);
  return () => {
    document.removeEventListener("keydown", press, true);
    document.body.removeEventListener("keydown", hold);
  };
};
"""


@dataclass(frozen=True)
class Key:
    """A key as the browser calls it and as people do, what it does, and the key of its button.

    button: empty where another element of the page listens for the key.
    """

    name: str
    sign: str
    does: str
    button: str


EVERYWHERE = (
    Key("/", "/", "Search", "widget-search"),
    Key("?", "?", "List these keys", LISTED),
)
OF_CASE = (
    Key("ArrowLeft", "←", "Previous case", "previous"),
    Key("ArrowRight", "→", "Next case", "next"),
    Key("z", "Z", "Zoom into the image", "zoom"),
)

OF_REVIEW = (
    Key("1", "1–9", "Wrong, with this failure mode (with Shift: one of several)", ""),
    Key("y", "Y", "Read right", ""),
    Key("x", "X", "Wrong, no mode yet", ""),
    Key("e", "E", "Correct the text; Ctrl+Enter saves it", ""),
    Key("u", "U", "Undo", ""),
    Key("ArrowLeft", "← →", "Previous and next case", ""),
)
OF_PAGES = {"case": OF_CASE, "review": OF_REVIEW}


def panel(keys: Sequence[Key]) -> None:
    """What the keys of this page do, and those of every page; and has them do it wherever the
    focus is but in a field.
    """
    every = (*keys, *EVERYWHERE)
    icon = ":material/keyboard:"
    with st.popover("Keys", icon=icon, type="tertiary", help="Or press ?", key=LISTED):
        st.markdown("".join(f"- **{key.sign}** {key.does}\n" for key in every))
        st.caption("They work everywhere except in a field.")
    _listener()(key="listener", data={key.name: key.button for key in every})


@functools.cache
def _listener() -> ComponentRenderer:
    return st.components.v2.component("misread_keys", js=PRESS)
