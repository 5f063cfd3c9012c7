"""The questions of `data_access.queries`, answered as one would in a notebook.

Each function starts from all records in memory and applies the selection itself. Knows nothing
of the warehouse.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial.distance import jensenshannon
from scipy.stats import false_discovery_control, ks_2samp, mannwhitneyu

from data_access.projections.table import ERROR_RATE
from data_access.selection import Selection
from data_access.statistics.bins import Bins

FLAGS = ("incorrect", "offensive", "other")
ENTROPY = "entropy(outputs.output_text)"
IMAGE_MEAN = "greyscale_image_mean(inputs.image)"
OFFSETS = {"week": "7D", "day": "1D"}


@dataclass(frozen=True)
class Frames:
    """All records, oldest first, indexed by record_key, and all feedback.

    Environments, versions and images are categoricals, times datetime64, flags one boolean
    column each (`flag.incorrect`, and `flagged` for any).
    """

    records: pd.DataFrame
    feedback: pd.DataFrame


def frames(records: pd.DataFrame, feedback: pd.DataFrame) -> Frames:
    """From the warehouse's own tables; this preparation is not measured."""
    flags = records.pop("feedback.flags").map(frozenset)
    columns = {
        f"flag.{flag}": flags.map(lambda labels, flag=flag: flag in labels) for flag in FLAGS
    }
    categories = dict.fromkeys(("application", "environment", "version", "image_hash"), "category")
    records = records.astype(categories).assign(**columns, flagged=flags.map(len) > 0)
    records = records.sort_values(["timestamp", "record_key"])
    return Frames(
        records.set_index("record_key", drop=False).rename_axis(index="key"),
        feedback.astype({"flag": "category", "user": "category"}),
    )


def select(records: pd.DataFrame, selection: Selection) -> pd.DataFrame:
    mask = np.ones(len(records), dtype=bool)
    if selection.environment:
        mask &= records["environment"].isin(selection.environment)
    if selection.since is not None:
        mask &= records["timestamp"] >= selection.since.replace(tzinfo=None)
    if selection.until is not None:
        mask &= records["timestamp"] < selection.until.replace(tzinfo=None)
    selected = records[mask]
    if selection.each_image_once:
        flagged_first = selected.sort_values("flagged", ascending=False, kind="stable")
        selected = flagged_first.drop_duplicates("image_hash")
    if selection.text:
        texts = selected["outputs.output_text"]
        selected = selected[texts.str.contains(selection.text, case=False, regex=False, na=False)]
    return selected


def coverage(frames: Frames, selection: Selection) -> list[int]:
    selected = select(frames.records, selection)
    text_waits = selected["outputs.output_text"].notna() & selected[ENTROPY].isna()
    has_image = selected["inputs.image"].notna()
    readable = selected["image_failure"].isna()
    return [
        len(selected),
        int(selected["flagged"].sum()),
        int((text_waits | (has_image & selected[IMAGE_MEAN].isna() & readable)).sum()),
        int(selected["image_hash"].nunique()),
        int((~has_image).sum()),
        int((~readable).sum()),
    ]


def share_changes(
    frames: Frames, recent: Selection, before: Selection, baseline: Selection
) -> list[list[int]]:
    """For each share: how many, of how many, and the same in the window before."""
    low = select(frames.records, baseline)[ENTROPY].quantile(0.05)
    sides = []
    for side in (recent, before):
        selected = select(frames.records, side)
        counts = [int(selected[column].sum()) for column in ("flagged", *_flag_columns())]
        sides.append([*counts, int((selected[ENTROPY] < low).sum()), len(selected)])
    return [
        [count, sides[0][-1], earlier, sides[1][-1]]
        for count, earlier in zip(sides[0][:-1], sides[1][:-1], strict=True)
    ]


def _flag_columns() -> list[str]:
    return [f"flag.{flag}" for flag in FLAGS]


def flag_trend(frames: Frames, selection: Selection, bucket: str) -> pd.DataFrame:
    """Index bucket; columns predictions and one for each flag."""
    selected = select(frames.records, selection)
    start = selected["timestamp"].dt.floor("D")
    if bucket == "week":
        start -= pd.to_timedelta(start.dt.dayofweek, unit="D")
    counted = selected.groupby(start)[_flag_columns()].sum()
    predictions = selected.groupby(start).size()
    days = pd.date_range(predictions.index.min(), predictions.index.max(), freq=OFFSETS[bucket])
    return counted.assign(predictions=predictions).reindex(days, fill_value=0)


def newest_flags(
    frames: Frames, selection: Selection, count: int
) -> list[tuple[str, pd.Timestamp]]:
    flagged = frames.feedback[frames.feedback["flag"].notna()]
    newest = flagged.groupby("record_key")["timestamp"].max().rename("flagged_at")
    flagged_records = select(frames.records, selection).join(newest, how="inner")
    shown = flagged_records.sort_values(["flagged_at", "record_key"], ascending=[False, True]).head(
        count
    )
    return list(zip(shown["record_key"], shown["flagged_at"], strict=True))


@dataclass(frozen=True)
class Compared:
    """One projection of a selection and its baseline."""

    counts: np.ndarray
    baseline_counts: np.ndarray
    ks: float
    p: float
    effect: float
    jensen_shannon: float
    mean: float
    baseline_mean: float


def drift(
    frames: Frames, selection: Selection, baseline: Selection, bins: dict[str, Bins]
) -> pd.DataFrame:
    """A row for each projection: the fields of `Compared`, and `p_corrected`."""
    columns = list(bins)
    selected = select(frames.records, selection)[columns]
    other = select(frames.records, baseline)[columns]
    compared = [
        _compare(selected[name].dropna().to_numpy(), other[name].dropna().to_numpy(), bins[name])
        for name in columns
    ]
    table = pd.DataFrame([vars(row) for row in compared], index=columns)
    return table.assign(p_corrected=false_discovery_control(table["p"]))


def _compare(values: np.ndarray, baseline: np.ndarray, bins: Bins) -> Compared:
    edges = np.array([-np.inf, *bins.edges[1:-1], np.inf])
    counts, baseline_counts = (np.histogram(side, edges)[0] for side in (values, baseline))
    kolmogorov_smirnov = ks_2samp(values, baseline, method="asymp")
    with np.errstate(invalid="ignore"):  # of its p-value where all values are equal
        ranks = mannwhitneyu(values, baseline, method="asymptotic").statistic
    return Compared(
        counts=counts,
        baseline_counts=baseline_counts,
        ks=float(kolmogorov_smirnov.statistic),
        p=float(kolmogorov_smirnov.pvalue),
        effect=float(2 * ranks / (len(values) * len(baseline)) - 1),
        jensen_shannon=float(jensenshannon(counts, baseline_counts, base=2)) ** 2,
        mean=float(values.mean()),
        baseline_mean=float(baseline.mean()),
    )


def moves(
    frames: Frames, recent: Selection, before: Selection, bins: dict[str, Bins], count: int
) -> tuple[list[str], pd.DataFrame]:
    """The projections that changed most, and their means by day over both windows."""
    table = drift(frames, recent, before, bins)
    changed = table[(table["p_corrected"] < 0.05) & (table["effect"].abs() >= 0.147)]
    names = list(changed.sort_values("effect", key=lambda effect: -effect.abs()).index[:count])
    both = pd.concat([select(frames.records, side) for side in (before, recent)])
    return names, both.groupby(both["timestamp"].dt.floor("D"))[names].mean()


def cases_page(
    frames: Frames, selection: Selection, sort: str, page: int, size: int
) -> tuple[int, list[str], list[int]]:
    """How many there are, the keys of a page, highest first, and the reports of their images."""
    selected = select(frames.records, selection)
    first = page * size
    if page == 0 and sort == "timestamp":
        rows = selected.nlargest(size, "timestamp")
    else:
        order = selected.sort_values([sort, "record_key"], ascending=[False, True])
        rows = order.iloc[first : first + size]
    everything = Selection(environment=selection.environment, text=selection.text)
    each = select(frames.records, everything) if selection.each_image_once else selected
    reports = each.loc[each["image_hash"].isin(rows["image_hash"]), "image_hash"].value_counts()
    return len(selected), list(rows["record_key"]), [int(reports[i]) for i in rows["image_hash"]]


def search(frames: Frames, selection: Selection, text: str) -> list[tuple[str, str, int]]:
    """Kind, value and number of selected records of each meaning that a word has."""
    everything, feedback = frames.records, frames.feedback
    selected = select(everything, selection)

    def contains(texts: pd.Series) -> pd.Series:
        found: pd.Series = texts.astype(object).str.contains(
            text, case=False, regex=False, na=False
        )
        return found

    def of_feedback(mask: pd.Series) -> int:
        return int(selected["record_key"].isin(feedback.loc[mask, "record_key"]).sum())

    keys = everything.loc[everything["record_key"].str.startswith(text), "record_key"]
    users = feedback.loc[contains(feedback["user"])].groupby("user", observed=True)["record_key"]
    counts = users.nunique().rename("records").reset_index()
    names = counts.sort_values(["records", "user"], ascending=[False, True])["user"].head(3)
    meanings = [
        *(("record", key, 1) for key in sorted(keys)[:3]),
        *(("user", name, of_feedback(feedback["user"] == name)) for name in names),
        ("output", text, int(contains(selected["outputs.output_text"]).sum())),
        ("truth", text, of_feedback(contains(feedback["ground_truth_string"]))),
        ("comment", text, of_feedback(contains(feedback["comment"]))),
        ("image", text, int(contains(selected["inputs.image"]).sum())),
    ]
    return [meaning for meaning in meanings if meaning[2]]


def versions(frames: Frames, selection: Selection, projection: str) -> pd.DataFrame:
    """A row for each version: records, flagged, error (mean) and median of a projection."""
    grouped = select(frames.records, selection).groupby("version", observed=True)
    table: pd.DataFrame = grouped.agg(
        records=("record_key", "size"),
        flagged=("flagged", "sum"),
        error=(ERROR_RATE, "mean"),
        median=(projection, "median"),
    )
    return table


def case(frames: Frames, record_key: str) -> tuple[dict[str, Any], int, int]:
    """The record, how many pieces of feedback it has, and how many records show its image."""
    record = frames.records.loc[record_key]
    feedback = frames.feedback[frames.feedback["record_key"] == record_key].sort_values("timestamp")
    same = int((frames.records["image_hash"] == record["image_hash"]).sum())
    return {str(name): value for name, value in record.items()}, len(feedback), same


def neighbours(
    frames: Frames, selection: Selection, sort: str, record_key: str
) -> tuple[int, int, str, str]:
    """Place from 0, of how many, and the keys before and after, highest first."""
    selected = select(frames.records, selection)
    order = selected.sort_values([sort, "record_key"], ascending=[False, True])["record_key"]
    place = int(np.flatnonzero(order.to_numpy() == record_key)[0])
    return place, len(order), str(order.iloc[place - 1]), str(order.iloc[place + 1])


def places(
    frames: Frames, baseline: Selection, record: dict[str, Any], bins: dict[str, Bins]
) -> list[tuple[np.ndarray, float]]:
    """For each projection the baseline's histogram, and the share of it above the record."""
    selected = select(frames.records, baseline)
    positions = []
    for name, held_bins in bins.items():
        values = selected[name].dropna().to_numpy()
        edges = np.array([-np.inf, *held_bins.edges[1:-1], np.inf])
        value = record[name]
        above = float((values > value).mean()) if value is not None else np.nan
        positions.append((np.histogram(values, edges)[0], above))
    return positions
