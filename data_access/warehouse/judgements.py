"""Tables of what people judged: made of `annotations` whenever these change.

`reviews` has every review that was not undone; of one person's reviews of a record the newest
`counts`. `verdicts` is one row per judged record: the decision, or else what all reviewers agree on
(NULL, and no modes, where they do not). `drawn` has the records of all draws, `merged` the failure
modes that others took over; reviews and verdicts name those others.
"""

import duckdb
import pyarrow as pa

from data_access.records import DECISION, DRAW, MODE, REVIEW, UNDO
from data_access.sql import declared

LIST = pa.list_(pa.string())
JUDGED = {
    "reviews": pa.schema(
        {
            "review_key": pa.string(),
            "record_key": pa.string(),
            "timestamp": pa.timestamp("us"),
            "actor": pa.string(),  # empty where it is not known
            "verdict": pa.string(),
            "modes": LIST,
            "correction": pa.string(),
            "queue": pa.string(),
            "draw": pa.string(),
            "batch": pa.string(),
            "counts": pa.bool_(),
        }
    ),
    "verdicts": pa.schema(
        {
            "record_key": pa.string(),
            "verdict": pa.string(),
            "modes": LIST,
            "correction": pa.string(),
            "reviews": pa.int64(),
            "disputed": pa.bool_(),
            "decided": pa.bool_(),
        }
    ),
    "drawn": pa.schema(
        {
            "draw": pa.string(),
            "place": pa.int64(),
            "record_key": pa.string(),
            "stratum": pa.string(),
            "population": pa.int64(),
            "probability": pa.float64(),
        }
    ),
    "merged": pa.schema({"mode": pa.string(), "target": pa.string()}),
}

EVENTS = """
create or replace temp table judged as
select annotation_key, timestamp, kind, name, coalesce(actor, '') as actor, payload
from annotations
where kind in (?, ?, ?, ?, ?)
qualify row_number() over (
    partition by kind, annotation_key order by origin, line, object_key
) = 1
"""
MERGES = """
select name, merges
from (
    select name, timestamp, annotation_key, json_extract_string(payload, '$.merged_into') as merges
    from judged
    where kind = ? and json_exists(payload, '$.merged_into')
)
qualify row_number() over (partition by name order by timestamp desc, annotation_key desc) = 1
"""
JUDGEMENT = """'{"verdict": "VARCHAR", "modes": ["VARCHAR"], "correction": "VARCHAR",
    "queue": "VARCHAR", "draw": "VARCHAR", "batch": "VARCHAR"}'"""
PARSED = f"""
create or replace temp table parsed as
select
    annotation_key, timestamp, kind, name, actor, payload is null as removed,
    part.* exclude (modes),
    list_sort(list_distinct(list_transform(
        coalesce(part.modes, []), lambda mode: coalesce(targets[mode], mode)
    ))) as modes
from (
    select *, json_transform(payload, {JUDGEMENT}) as part from judged where kind in (?, ?)
), (select map(coalesce(list(mode), []), coalesce(list(target), [])) as targets from merged)
"""
REVIEWS = """
create or replace table reviews as
with undone as (
    select name
    from judged
    where kind = ?
    qualify row_number() over (partition by name order by timestamp desc, annotation_key desc) = 1
    and payload is not null
),
standing as (
    select *
    from parsed
    where kind = ?
    and annotation_key not in (from undone)
    and (batch is null or batch not in (from undone))
)
select
    annotation_key as review_key, name as record_key, timestamp, actor, verdict, modes,
    correction, queue, draw, batch,
    row_number() over (
        partition by name, actor order by timestamp desc, annotation_key desc
    ) = 1 as counts
from standing
qualify not removed
order by record_key, timestamp
"""
VERDICTS = """
create or replace table verdicts as
with agreed as (
    select
        record_key,
        count(*) as reviews,
        count(distinct verdict) > 1
            or count(distinct modes) > 1 as disputed,
        if(count(distinct verdict) = 1, any_value(verdict), null) as verdict,
        flatten(list(modes)) as named,
        if(count(distinct correction) = 1, any_value(correction), null) as correction
    from reviews
    where counts
    group by record_key
),
decisions as (
    select name as record_key, verdict, modes, correction
    from parsed
    where kind = ?
    qualify row_number() over (partition by name order by timestamp desc, annotation_key desc) = 1
    and not removed
)
select
    record_key,
    if(decisions.verdict is null, agreed.verdict, decisions.verdict) as verdict,
    if(
        decisions.verdict is null,
        list_sort(list_filter(
            list_distinct(named),
            lambda mode: len(list_filter(named, lambda other: other = mode)) = reviews
        )),
        decisions.modes
    ) as modes,
    if(decisions.verdict is null, agreed.correction, decisions.correction) as correction,
    coalesce(reviews, 0) as reviews,
    coalesce(disputed, false) and decisions.verdict is null as disputed,
    decisions.verdict is not null as decided
from agreed
full join decisions using (record_key)
order by record_key
"""
DRAWN = """
create or replace table drawn as
with newest as (
    select name, payload
    from judged
    where kind = ?
    qualify row_number() over (partition by name order by timestamp desc, annotation_key desc) = 1
    and payload is not null
)
select
    name as draw,
    unnest(range(len(records))) as place,
    unnest(records, recursive := true)
from (
    select
        name,
        json_transform(payload, '{"records": [
            {"record_key": "VARCHAR", "stratum": "VARCHAR", "population": "BIGINT",
             "probability": "DOUBLE"}
        ]}').records as records
    from newest
)
"""


def create_judged(cursor: duckdb.DuckDBPyConnection) -> None:
    """Those of the tables that are missing, empty."""
    for name, schema in JUDGED.items():
        cursor.execute(f"create table if not exists {name} ({declared(schema)})")


def rewrite_judged(cursor: duckdb.DuckDBPyConnection) -> None:
    """Make the tables anew, in the transaction that changes `annotations`."""
    cursor.execute(EVENTS, [MODE, REVIEW, DECISION, DRAW, UNDO])
    merges = dict(cursor.execute(MERGES, [MODE]).fetchall())
    targets = {mode: target for mode in merges if (target := merge_target(mode, merges)) != mode}
    cursor.register("incoming", pa.table([list(targets), list(targets.values())], JUDGED["merged"]))
    cursor.execute("create or replace table merged as from incoming")
    cursor.unregister("incoming")
    cursor.execute(PARSED, [REVIEW, DECISION])
    cursor.execute(REVIEWS, [UNDO, REVIEW])
    cursor.execute(VERDICTS, [DECISION])
    cursor.execute(DRAWN, [DRAW])
    for table in ("judged", "parsed"):
        cursor.execute(f"drop table {table}")


def merge_target(mode: str, merges: dict[str, str | None]) -> str:
    """The mode that took another one over, after all merges; itself where there was none.

    merges: by mode, what it was merged into. Of two that were merged into each other the lesser id
    stays.
    """
    chain = [mode]
    while target := merges.get(chain[-1]):
        if target in chain:
            return min(chain[chain.index(target) :])
        chain.append(target)
    return chain[-1]
