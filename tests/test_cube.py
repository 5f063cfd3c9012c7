"""Linked histograms: the records listed are those in the bars that are highlighted."""

import itertools
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from data_access import queries
from data_access.api import OpenLog
from data_access.ingest.sync import sync
from data_access.log import Log
from data_access.projections import load_projections
from data_access.queries import Axis, Category, Cube
from data_access.queries.gathering import gather
from data_access.queries.tags import LOOKED_AT
from data_access.selection import NO_VALUE, Range, Selection, Tag
from data_access.statistics.bins import Bins
from data_access.warehouse import Warehouse
from tests.conftest import OpenWarehouse
from tests.samples import feedback, prediction, rounds, write

ENTROPY, CONFIDENCE = "entropy(outputs.output_text)", "outputs.confidence"
LENGTH = "length(outputs.output_text)"  # on a log scale
NAMES = (ENTROPY, CONFIDENCE, LENGTH)
FLAGS = ("incorrect", "offensive", "other", "*", "-")

values = st.one_of(
    st.none(),
    st.sampled_from([0.0, 0.5, 1.0, 2.0, 100.0]),
    st.floats(-10, 10),
    st.floats(0, 1e6),
)
records = st.lists(
    st.fixed_dictionaries(
        {
            **dict.fromkeys(NAMES, values),
            "feedback.flags": st.sets(st.sampled_from(FLAGS)).map(sorted),
            "version": st.one_of(st.none(), st.sampled_from(["1", "2", "-"])),
            "client": st.one_of(st.none(), st.sampled_from(["web", "-", "i'os", ""])),
            "image": st.integers(0, 5),
        }
    ),
    max_size=40,
)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """A warehouse whose records each test puts in itself."""
    folder = tmp_path_factory.mktemp("cube")
    warehouse = Warehouse.open(folder / "cube.duckdb", "a log", load_projections())
    yield warehouse
    warehouse.close()


def fill(warehouse: Warehouse, held: list[dict[str, Any]]) -> None:
    """Make these the records, their keys the positions in the list."""
    columns = {name: pa.array([row[name] for row in held], pa.float64()) for name in NAMES}
    clients = [row["client"] for row in held]
    table = pa.table(
        {
            **columns,
            "record_key": pa.array([str(k) for k in range(len(held))], pa.string()),
            "environment": pa.array(["prod"] * len(held), pa.string()),
            "version": pa.array([row["version"] for row in held], pa.string()),
            "feedback.flags": pa.array(
                [row["feedback.flags"] for row in held], pa.list_(pa.string())
            ),
            "image_hash": pa.array([row["image"] for row in held], pa.uint64()),
            "client": pa.array(clients, pa.string()),
        }
    )
    with warehouse.transaction() as cursor:
        cursor.register("held", table)
        cursor.execute("delete from records")
        cursor.execute(
            "insert into records by name select * exclude (client), "
            "record_key::int as fold_order, timestamp '2026-07-06' as timestamp, "
            "case when client is not null then json_object('client', client)::varchar end as tags "
            "from held"
        )
    warehouse.refresh(changed=True)


@st.composite
def brushed(draw: st.DrawFn, axes: tuple[Axis, ...], category: Category) -> Selection:
    """Drags over some histograms, clicks on some values, and sometimes filters of the frame."""
    selection = Selection(
        text=draw(st.sampled_from(["", "", "", "no output says this"])),
        images=draw(st.sampled_from(["", "once"])),
    )
    for axis in axes:
        places = st.floats(-1, axis.missing + 2)
        new = draw(
            st.one_of(
                st.none(),
                st.builds(axis.brush, places, places),
                st.builds(Range, st.just(axis.projection.name), values, values),
            )
        )
        selection = selection if new is None else selection.with_range(new)
    return category.choose(selection, draw(st.lists(st.sampled_from(category.values), unique=True)))


@given(st.data())
@pytest.mark.soak
@settings(max_examples=rounds(30, 120), suppress_health_check=[HealthCheck.too_slow])
def test_the_records_listed_are_those_in_the_bars(
    generated: Warehouse, data: st.DataObject
) -> None:
    held = data.draw(records)
    fill(generated, held)
    axes = queries.axes(generated, data.draw(st.lists(st.sampled_from(NAMES), unique=True)))
    category = data.draw(st.sampled_from(queries.cube_categories(generated, Selection())))
    selection = data.draw(brushed(axes, category))
    assume(category.name != "version" or not selection.each_image_once)
    cube = queries.count_cube(generated, selection, axes, category)

    listed = keys(generated, selection)
    assert queries.cases_page(generated, selection).total == len(listed)
    assert cube.brushed == len(listed)
    in_frame = keys(generated, cube.frame)
    assert cube.records == len(in_frame)
    assert listed == {key for key in in_frame if is_inside(held[int(key)], cube)}
    for axis in axes:
        assert cube.counts(axis).sum() == cube.records
        assert cube.counts(axis)[axis.missing] == sum(
            held[int(key)][axis.projection.name] is None for key in in_frame
        )


def keys(warehouse: Warehouse, selection: Selection) -> set[str]:
    return set(queries.record_batches(warehouse, selection).read_all()["record_key"].to_pylist())


def is_inside(record: dict[str, Any], cube: Cube) -> bool:
    """Whether a record is in the brushed bars, worked out without SQL."""
    for axis in cube.axes:
        value = record[axis.projection.name]
        place = axis.missing if value is None else axis.bins.bar(value)
        first, after = axis.bars(cube.brush(axis)) or (0, 0)
        if not first <= place < after:
            return False
    if not cube.chosen:
        return True
    if cube.category.name == "flag":
        mine = set(record["feedback.flags"]) - {NO_VALUE}
        mine = mine if record["feedback.flags"] else {NO_VALUE}
    else:
        name = "version" if cube.category.name == "version" else "client"
        mine = {NO_VALUE if record[name] is None else record[name]}
    return bool(mine & set(cube.chosen))


@given(st.data())
def test_a_drag_takes_the_bars_that_it_touches(data: st.DataObject) -> None:
    [axis] = some_axes(data.draw(st.integers(1, 30)))
    start, end = data.draw(st.floats(-1, 40)), data.draw(st.floats(-1, 40))
    first, after = axis.bars(axis.brush(start, end)) or (0, 0)
    start, end = min(start, end), max(start, end)
    if start >= axis.bins.bars:
        assert (first, after) == (axis.missing, axis.missing + 1)
    else:
        touched = [k for k in range(axis.bins.bars) if k < end and k + 1 > start]
        assert not touched or (first, after) == (touched[0], touched[-1] + 1)
        assert 0 <= first < after <= axis.bins.bars


def some_axes(bars: int) -> tuple[Axis, ...]:
    row = load_projections()[ENTROPY]
    return (Axis(row, Bins(tuple(float(edge) for edge in range(bars + 1)))),)


def test_every_range_of_whole_bars_is_a_brush_and_no_other() -> None:
    [axis] = some_axes(4)
    edges = [None, 1.0, 2.0, 3.0]
    for low, high in itertools.product(edges, edges):
        is_whole = low is None or high is None or low < high
        assert (axis.bars(Range(ENTROPY, low, high)) is not None) == is_whole
    assert axis.bars(Range(ENTROPY, 0.0)) is None, "the lowest bar also holds what is below it"
    assert axis.bars(Range(ENTROPY, high=4.0)) is None
    assert axis.bars(Range(ENTROPY, high=2.5)) is None


def test_a_range_that_cuts_a_bar_in_two_is_part_of_the_frame(sample_log: OpenLog) -> None:
    warehouse = sample_log.warehouse
    axes = queries.axes(warehouse, [ENTROPY, CONFIDENCE])
    flag = queries.cube_categories(warehouse, Selection())[0]
    edge = axes[0].bins.edges[5]
    whole, cut = Range(ENTROPY, high=edge), Range(ENTROPY, high=edge + 0.01)
    on_edge = queries.count_cube(warehouse, Selection(ranges=(whole,)), axes, flag)
    assert on_edge.frame == Selection() and on_edge.brush(axes[0]) == whole
    assert 0 < on_edge.brushed < on_edge.records
    off_edge = queries.count_cube(warehouse, Selection(ranges=(cut,)), axes, flag)
    assert off_edge.frame.ranges == (cut,) and off_edge.brush(axes[0]) is None
    assert off_edge.brushed == off_edge.records


def test_the_cube_is_as_pandas_counts_it(sample_log: OpenLog, sample_frame: pd.DataFrame) -> None:
    warehouse = sample_log.warehouse
    axes = queries.axes(warehouse, [ENTROPY, "polarity(inputs.image)", CONFIDENCE])
    version = queries.cube_categories(warehouse, Selection())[1]
    cube = queries.count_cube(warehouse, Selection(environment=("prod",)), axes, version)
    prod = sample_frame[sample_frame["environment"] == "prod"]
    places = [
        prod[axis.projection.name]
        .map(lambda value, axis=axis: axis.missing if pd.isna(value) else axis.bins.bar(value))
        .rename(f"bar_{k}")
        for k, axis in enumerate(axes)
    ]
    expected = prod.groupby([*places, "version"]).size()
    counted = {
        (*bars, version.values[cube.groups[int(group)][0]]): int(records)
        for *bars, group, records in cube.cells.itertuples(index=False)
    }
    assert counted == {key: count for key, count in expected.items() if count}


def test_flags_are_bars_that_overlap(generated: Warehouse) -> None:
    row: dict[str, Any] = dict.fromkeys(NAMES, 1.0) | {"version": None, "client": None, "image": 0}
    flags = [["incorrect"], ["incorrect", "other"], ["other"], [], []]
    fill(generated, [row | {"feedback.flags": held} for held in flags])
    [flag, *_] = queries.cube_categories(generated, Selection())
    assert flag.values == ("incorrect", "other", NO_VALUE)
    either = Selection(flag=("incorrect", "other"))
    cube = queries.count_cube(generated, either, queries.axes(generated, NAMES), flag)
    assert cube.value_counts() == [2, 2, 2, 0]
    assert cube.brushed == 3, "the record with both counts once"


def test_rare_values_are_counted_together_unless_they_are_chosen(generated: Warehouse) -> None:
    row: dict[str, Any] = dict.fromkeys(NAMES, 1.0) | {
        "feedback.flags": [],
        "client": None,
        "image": 0,
    }
    versions = [f"v{k}" for k in range(12) for _ in range(20 - k)]
    fill(generated, [row | {"version": version} for version in versions])
    version = queries.cube_categories(generated, Selection())[1]
    assert version.values == (*(f"v{k}" for k in range(8)), NO_VALUE)
    cube = queries.count_cube(generated, Selection(), (), version)
    assert cube.value_counts()[-1] == 12 + 11 + 10 + 9
    chosen = queries.cube_categories(generated, Selection(version=("v11",)))[1]
    assert chosen.values == (*(f"v{k}" for k in range(7)), "v11", NO_VALUE)
    cube = queries.count_cube(generated, Selection(version=("v11",)), (), chosen)
    assert (cube.brushed, cube.records) == (9, len(versions))


def test_versions_are_no_bars_where_they_choose_among_reports(sample_log: OpenLog) -> None:
    once = queries.cube_categories(sample_log.warehouse, Selection(images="once"))
    each = queries.cube_categories(sample_log.warehouse, Selection())
    assert {row.name for row in each} - {row.name for row in once} == {"version"}


def test_tags_that_are_categories(sample_log: OpenLog) -> None:
    categories = queries.log_tags(sample_log.warehouse).categories
    assert set(categories) == {"client", "client_version", "locale"}
    assert categories["client"][0] == "web"


def test_a_tag_is_known_to_every_question(folder_log: Log, open_warehouse: OpenWarehouse) -> None:
    """Tags of the oldest records alone too, and more of them than one chart could show."""
    tags = [f"tag {k:02}" for k in range(25)]
    old = [
        prediction(
            f"t{n}", environment="test", tags=dict.fromkeys(tags, f"{n % 3}") | {"latency": n}
        )
        for n in range(60)
    ]
    new = [prediction(f"p{n}", tags={"locale": f"{n % 4}"}) for n in range(LOOKED_AT)]
    write(folder_log, "predictions/a.jsonl", *old)
    write(folder_log, "predictions/b.jsonl", *new)
    warehouse = open_warehouse(folder_log)
    sync(folder_log, warehouse)
    found = queries.log_tags(warehouse)
    assert (found.records, found.left_out) == (LOOKED_AT + 60, 0)
    assert LOOKED_AT / 2 < found.looked_at <= LOOKED_AT

    prod, test = (Selection(environment=(name,)) for name in ("prod", "test"))
    pairs = queries.category_pairs(warehouse, prod, test)
    drifting = {pair.name for pair in pairs} - {"flag", "version"}
    assert drifting == {f"tags.{tag}" for tag in (*tags, "locale")}, "a latency is no category"
    offered = {category.name for category in queries.cube_categories(warehouse, prod)}
    assert {name.replace("tags.", "tag.") for name in drifting} <= offered
    columns = set(queries.record_batches(warehouse, prod).schema.names)
    assert drifting | {"tags.latency"} <= columns
    candidates = {f.candidate.name for f in gather(warehouse, Selection(hour=(9,)), None).features}
    candidates |= {f.candidate.name for f in gather(warehouse, test, prod).features}
    left_out = {f"tags.{label}" for label, _ in gather(warehouse, test, prod).left_out}
    assert drifting | {"tags.latency"} <= candidates | left_out


def test_a_cube_has_three_sides_at_most(sample_log: OpenLog) -> None:
    warehouse = sample_log.warehouse
    axes = queries.axes(warehouse, list(queries.extents(warehouse))[:4])
    with pytest.raises(ValueError, match="at most 3"):
        queries.count_cube(
            warehouse, Selection(), axes, queries.cube_categories(warehouse, Selection())[0]
        )


# --- cubes that are kept ----------------------------------------------------------------------


@pytest.fixture
def kept(folder_log: Log, open_warehouse: OpenWarehouse) -> Warehouse:
    """A synced warehouse of a few records, which `ask` takes for many."""
    events = [prediction(f"k{k}", "a word " * k, version="1") for k in range(5)]
    write(folder_log, "predictions/a.jsonl", *events)
    warehouse = open_warehouse(folder_log)
    sync(folder_log, warehouse)
    return warehouse


def ask(warehouse: Warehouse, kept_from: int = 3, **filters: Any) -> Cube:
    selection = Selection(**filters)
    axes = queries.axes(warehouse, [ENTROPY, LENGTH])
    flag = queries.cube_categories(warehouse, selection)[0]
    return queries.count_cube(warehouse, selection, axes, flag, kept_from)


def cubes(warehouse: Warehouse) -> int:
    return int(warehouse.rows("select count(distinct question) from cubes")[0][0])


def test_a_small_log_keeps_no_cubes(kept: Warehouse) -> None:
    assert ask(kept, kept_from=6).records == 5
    assert cubes(kept) == 0


def test_a_kept_cube_is_read_back(kept: Warehouse) -> None:
    first = ask(kept)
    assert (first.records, cubes(kept)) == (5, 1)
    with kept.transaction() as cursor:  # to tell it from one that is counted again
        cursor.execute("update cubes set records = records * 10")
    kept._answers.clear()
    again = ask(kept)
    assert again.records == 50
    assert again.groups == first.groups
    ask(kept, environment=("prod",))
    assert cubes(kept) == 2


def test_a_kept_cube_is_there_in_the_next_process(
    kept: Warehouse, folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    ask(kept)
    kept.close()
    reopened = open_warehouse(folder_log)
    assert cubes(reopened) == 1
    sync(folder_log, reopened)
    assert cubes(reopened) == 1, "a sync that finds nothing new leaves them"
    assert ask(reopened).records == 5


@pytest.mark.parametrize("what", ["prediction", "feedback"])
def test_new_data_drops_kept_cubes(kept: Warehouse, folder_log: Log, what: str) -> None:
    before = ask(kept)
    if what == "prediction":
        write(folder_log, "predictions/b.jsonl", prediction("new", "more"))
    else:
        write(folder_log, "feedback/b.jsonl", feedback("k1", "offensive"))
    sync(folder_log, kept)
    assert cubes(kept) == 0
    after = ask(kept)
    assert after.records == before.records + (what == "prediction")
    assert ("offensive" in after.category.values) == (what == "feedback")


def test_nothing_is_kept_while_somebody_writes(kept: Warehouse) -> None:
    with kept.writing:
        assert ask(kept).records == 5
    assert cubes(kept) == 0


def test_a_selection_by_tags(folder_log: Log, open_warehouse: OpenWarehouse) -> None:
    tags: list[dict[str, Any]] = [
        {"client": "web"},
        {"client": "ios", "a:b": 3},
        {"client": None},
        {},
        {"client": "it's"},
    ]
    events = [
        prediction(f"k{k}", **{f"tags__{name}": value for name, value in held.items()})
        for k, held in enumerate(tags)
    ]
    write(folder_log, "predictions/a.jsonl", *events)
    warehouse = open_warehouse(folder_log)
    sync(folder_log, warehouse)
    for chosen, expected in (
        ([Tag("client", "web")], {"k0"}),
        ([Tag("client", "web"), Tag("client", "it's")], {"k0", "k4"}),
        ([Tag("client", "ios"), Tag("a:b", "3")], {"k1"}),
        ([Tag("client", "web"), Tag("a:b", "3")], set()),
        ([Tag("client", NO_VALUE)], {"k2", "k3"}),
        ([Tag("client", NO_VALUE), Tag("client", "ios")], {"k1", "k2", "k3"}),
    ):
        assert keys(warehouse, Selection(tag=tuple(chosen))) == expected
