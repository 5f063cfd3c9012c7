"""What a person has chosen: the selection, the baseline and the choices of single pages.

The only module that touches session_state and the URL. The URL is the truth: a pasted link shows a
colleague the same records. While a person works, the choices are kept here and written there.

In session_state there are widgets and one `Session`. What a page keeps in the URL carries the mark
`page.`, so that a page declares a parameter by using it, under any name.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import streamlit as st

from data_access import OpenLog, queries
from data_access.errors import SelectionError
from data_access.queries import Baseline
from data_access.selection import (
    BASELINE,
    FILTERS,
    PAGE_MARK,
    Selection,
    read_selection,
    write_selection,
)
from pages.parts import links, words

Option = TypeVar("Option", bound=str)
Parameters = dict[str, list[str]]
EVERYTHING: Parameters = {"images": ["each"]}  # how the URL says that no filter is meant
SESSION = "misread.session"
TOUCHED = re.compile("Mobi|Android|iPhone|iPad")
FILTER_KEYS = frozenset(row.key for row in FILTERS)


@dataclass
class Session:
    """All that one browser tab has chosen.

    selection: None until there is a record to select. written: the parameters that the URL was
    last given. drawn: what the whole page was last drawn with. choices: of pages, by name. kept:
    what other parts remember, under their own names.
    """

    selection: Selection | None = None
    baseline: str | None = None
    problems: list[str] = field(default_factory=list)
    written: Parameters | None = None
    drawn: tuple[Any, ...] = ()
    framed: bool = False
    choices: dict[str, list[str]] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)


def _session() -> Session:
    session: Session = st.session_state.setdefault(SESSION, Session())
    return session


def begin(log: OpenLog) -> None:
    """Take over the URL where it says something new, and otherwise write the URL."""
    session = _session()
    given = _selecting_parameters(log)
    if session.selection is None or (given and given != session.written):
        session.selection, session.baseline = Selection(), None
        session.problems, session.written = [], None
        if given:
            pairs = [(key, value) for key, values in given.items() for value in values]
            session.selection, problems = read_selection(pairs, log.warehouse.projections)
            session.problems = [f"Filter ignored. {problem}" for problem in problems]
            session.baseline = given.get(BASELINE, [None])[-1]
        else:
            session.selection = usual_selection(log)
    if not queries.status(log.warehouse).predictions:
        session.selection, session.baseline = None, queries.BEFORE
        return
    usual = queries.usual_baseline(log.warehouse, selection())
    session.baseline = session.baseline or usual
    try:
        baseline(log)
    except SelectionError as error:
        session.problems.append(str(error))
        session.baseline = usual
    _write_url(log)
    session.drawn = _shown(session)
    for problem in session.problems:
        st.warning(words.escape_markdown(problem))


def _shown(session: Session) -> tuple[Any, ...]:
    return session.selection, session.baseline, tuple(session.problems)


def redraw_if_changed() -> None:
    """Run the whole page again where a callback changed what it shows; for fragments."""
    session = _session()
    if session.selection is not None and session.drawn != _shown(session):
        st.rerun(scope="app")


def enter_frame() -> None:
    """Tell the page that is about to run that the frame stands around it."""
    _session().framed = True


def leave_frame() -> bool:
    """Whether this run of the page came through the frame; to be called once a run."""
    session = _session()
    framed, session.framed = session.framed, False
    return framed


# --- the selection and the baseline ---------------------------------------------------------


def selection() -> Selection:
    return _session().selection or Selection()


def usual_selection(log: OpenLog) -> Selection:
    """What a log is opened with: production, where it has any."""
    if "prod" in queries.choices(log.warehouse, "environment"):
        return Selection(environment=("prod",))
    return Selection()


def select(wanted: Selection) -> None:
    """Make this the selection; for callbacks."""
    session = _session()
    session.selection, session.problems = wanted, []


def warn(problem: str) -> None:
    """Show this sentence above the page at its next run; for callbacks."""
    _session().problems = [problem]


def is_waiting_for_records() -> bool:
    """Whether this page was drawn before there was anything to show."""
    return _session().selection is None


def baseline_name() -> str:
    return str(_session().baseline)


def baseline(log: OpenLog) -> Baseline:
    """The baseline in force. Raises SelectionError where its name is not understood."""
    return queries.baseline(log.warehouse, selection(), baseline_name())


def compare_with(name: str) -> None:
    """Make this the baseline; for callbacks."""
    session = _session()
    session.baseline, session.problems = name, []


# --- the URL --------------------------------------------------------------------------------


def link(wanted: Selection, baseline: str | None = None, **choices: str) -> Parameters:
    """The parameters of a page's URL for a selection; choices: the page's own, without the mark."""
    own = {f"{PAGE_MARK}{name}": [value] for name, value in choices.items()}
    parameters = write_selection(wanted) or EVERYTHING
    return {**parameters, BASELINE: [baseline or baseline_name()], **own}


def address() -> tuple[str, Parameters]:
    """The URL of the page as others reach it, without its parameters, and these."""
    parameters = {key: st.query_params.get_all(key) for key in st.query_params}
    return links.shared((st.context.url or "").partition("?")[0]), parameters


def viewer_zone() -> str | None:
    """The time zone of the browser, such as Europe/Berlin."""
    return st.context.timezone


def is_touched() -> bool:
    """Whether the browser says that it runs on a phone or a tablet."""
    return bool(TOUCHED.search(st.context.headers.get("User-Agent", "")))


def _selecting_parameters(log: OpenLog) -> Parameters:
    """Those that make the selection and the baseline, understood or not."""
    _, parameters = address()
    return {
        key: values
        for key, values in parameters.items()
        if key in FILTER_KEYS or key == BASELINE or key in log.warehouse.projections or "(" in key
    }


def _write_url(log: OpenLog) -> None:
    """In one step and only where it differs: each step is one in the browser's history."""
    wanted = link(selection(), baseline_name())
    present = _selecting_parameters(log)
    if present != wanted:
        _, parameters = address()
        others = {key: values for key, values in parameters.items() if key not in present}
        st.query_params.from_dict({**wanted, **others})
    _session().written = wanted


# --- choices of single pages ----------------------------------------------------------------


def in_url(name: str) -> list[str]:
    """What the URL says of a page's choice."""
    # links made before pages had a mark carry the bare name
    bare = st.query_params.get_all(name) if name not in FILTER_KEYS else []
    return st.query_params.get_all(f"{PAGE_MARK}{name}") or bare


def asked(name: str) -> list[str]:
    """What the URL says of a page's choice, or what was chosen before."""
    return in_url(name) or _session().choices.get(name, [])


def settle(name: str, values: list[str], usual: list[str]) -> None:
    """Keep a choice, and write it to the URL where it is not the usual one."""
    _session().choices[name] = values
    key = f"{PAGE_MARK}{name}"
    _drop_bare(name)
    if values == usual:
        st.query_params.pop(key, None)
    elif st.query_params.get_all(key) != values:
        st.query_params[key] = values


def keep(name: str, values: list[str]) -> None:
    """Keep a choice of another page, whose URL it will be in."""
    _session().choices[name] = values


def forget(name: str) -> None:
    """Have a page choose for itself again."""
    _session().choices.pop(name, None)
    _drop_bare(name)
    st.query_params.pop(f"{PAGE_MARK}{name}", None)


def choose(name: str, values: list[str]) -> None:
    """Make this the choice of a page, over what the URL says; for callbacks."""
    _session().choices[name] = values
    _drop_bare(name)
    st.query_params[f"{PAGE_MARK}{name}"] = values


def _drop_bare(name: str) -> None:
    if name not in FILTER_KEYS:
        st.query_params.pop(name, None)


def chosen(name: str, options: Sequence[Option]) -> Option:
    """One of some options: what the URL says, what was chosen before, or the first of them."""
    wanted = asked(name)[-1:]
    option = next((option for option in options if [option] == wanted), options[0])
    settle(name, [option], [options[0]])
    return option


# --- widgets, and what parts remember -------------------------------------------------------


def widget(name: str, value: Any) -> str:
    """The key of a widget, after making it show a value that may have been set elsewhere."""
    key = f"widget.{name}"
    st.session_state[key] = value
    return key


def entered(name: str) -> Any:
    """What a person entered in a widget; for callbacks."""
    return st.session_state[f"widget.{name}"]


def drawn(key: str) -> bool:
    """Whether a chart of this key is on the page."""
    return key in st.session_state


def drag(key: str) -> dict[str, Any]:
    """What is selected in a chart, by selection parameter; one that was not touched is absent."""
    picked: dict[str, Any] = st.session_state[key]["selection"]
    return picked


def remember(name: str, value: Any) -> None:
    """Keep a value for the next run of this session."""
    _session().kept[name] = value


def component_key(name: str) -> str:
    """The key of a component of one's own."""
    return f"component.{name}"


def component(name: str) -> dict[str, Any]:
    """What the browser last said of a component: its state, by name."""
    value = st.session_state.get(component_key(name))
    return dict(value) if value else {}


def signed_in() -> str | None:
    """Who has signed in, where this dashboard asks for it: the e-mail address, or the name."""
    user = st.user.to_dict()
    if not user.get("is_logged_in", bool(user)):
        return None
    return str(user.get("email") or user.get("name") or "") or None


def recall(name: str) -> Any:
    """What was remembered, or None."""
    return _session().kept.get(name)
