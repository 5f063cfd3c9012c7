"""Reads the folder that a Gradio app flags into: `dataset1.csv`, …, or the classic `log.csv`.

Source: gradio/flagging.py of 5.50 and 6.31 (CSVLogger, ClassicCSVLogger) and its
utils.sanitize_value_for_csv, which wrote what is undone here.
"""

import csv
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path, PureWindowsPath
from zoneinfo import ZoneInfo

from data_access.errors import MisreadError
from data_access.importers import (
    Imported,
    Importing,
    ImportReport,
    Refused,
    RefusedError,
    digest,
)
from data_access.log import MAX_IMAGE_BYTES, Log
from data_access.progress import Progress, silent
from data_access.records import Feedback, Prediction
from data_access.writer import image_key

GUARDED_STARTS = ("=", "+", "-", "@", "\t", "\n")
GUARDED_PARTS = (",=", ",+", ",-", ",@", ",\t", ",\n")
PICTURE = re.compile(r"[/\\].+\.(png|jpe?g|webp|avif|gif|bmp|tiff?)$", re.IGNORECASE)
NOT_IN_FOLDERS = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f`$!{}]')
FLAG, WHO, WHEN = "flag", "username", "timestamp"


@dataclass(frozen=True)
class Options:
    """How to read a folder.

    application_folder: the working directory of the app, which image cells are relative to.
    timezone: of the app's clock; None for this machine's.
    image_column, output_column: names of columns; None to find them.
    """

    application_folder: Path | None = None
    timezone: tzinfo | None = None
    environment: str = "prod"
    application: str | None = None
    version: str | None = None
    image_column: str | None = None
    output_column: str | None = None
    flag_column: str = FLAG


def zone(name: str) -> tzinfo:
    """A time zone by name, such as Europe/Berlin or UTC. Raises MisreadError."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise MisreadError(f"{name} is no time zone: use a name such as Europe/Berlin.") from error


def import_folder(
    log: Log, folder: Path, options: Options, progress: Progress = silent
) -> ImportReport:
    """Every row of every .csv file in the folder as a record, with feedback where it was flagged.

    A row is a record of its own, as each click is a row; the images of equal rows are kept once.
    Raises MisreadError where the folder has no such file or lacks a column that was named, and
    LogError where the log does not take an object.
    """
    try:
        files = sorted((p for p in folder.iterdir() if p.suffix.lower() == ".csv"), key=_number)
    except OSError as error:
        raise MisreadError(f"{folder} cannot be read: {error.strerror}.") from error
    if not files:
        raise MisreadError(
            f"{folder} holds no .csv file: name the folder that Gradio flags into, "
            "by default .gradio/flagged below the app's working directory."
        )
    sheets = [_read_sheet(path, folder, options) for path in files]
    total = sum(len(sheet.rows) for sheet in sheets)
    importing = Importing(log)
    done = 0

    def moved_on(rows: int) -> None:
        nonlocal done
        done += rows
        progress("Importing rows", done, total)

    for sheet in sheets:
        for refused in sheet.refused:
            importing.refuse(refused)
        reader = _Reader(sheet, folder, options)
        for _ in importing.send(sheet.name, sheet.rows, reader.read, moved_on):
            pass
    importing.report.refused.sort(key=lambda row: (row.file, row.line))
    return importing.report


def _number(path: Path) -> tuple[str, int, str]:
    """dataset2.csv before dataset10.csv."""
    digits = re.search(r"(\d+)$", path.stem)
    return path.stem.rstrip("0123456789"), int(digits[1][:18]) if digits else 0, path.name


@dataclass
class _Row:
    """One row, its cells told apart; `moment` is in UTC."""

    cells: list[str]
    flag: str | None
    username: str | None
    written: str
    moment: datetime


@dataclass
class _Sheet:
    """One file: the labels of its components, and its rows by line (from 1)."""

    name: str
    labels: list[str]
    rows: list[tuple[int, _Row]]
    refused: list[Refused]
    image: int | None = None
    output: int | None = None


def _read_sheet(path: Path, folder: Path, options: Options) -> _Sheet:
    sheet = _Sheet(path.name, [], [], [])
    lines = _csv_lines(path)
    try:
        header = next(lines, None)
    except (OSError, csv.Error) as error:
        raise MisreadError(f"{path} cannot be read: {error}.") from error
    if header is None:
        return sheet
    names = [undo_guard(undo_guard(name)) for name in header[2]]
    if not names or names[-1] != WHEN:
        reason = f"its first line does not end in “{WHEN}”, so it is no log of flags with a header"
        sheet.refused.append(Refused(path.name, 0, reason))
        return sheet
    classic = path.name == "log.csv"
    placing = _Placing.of(names, options.flag_column, classic)
    sheet.labels = _told_apart(names[: placing.components])
    if options.flag_column not in (FLAG, *names):
        raise MisreadError(_lacks(sheet, options.flag_column, "--flag-column"))
    found: list[tuple[int, int, list[str]]] = []
    try:
        found.extend(lines)
    except (OSError, csv.Error) as error:
        last = found[-1][1] if found else 1
        reason = f"the file cannot be read from here on: {error}"
        sheet.refused.append(Refused(path.name, last + 1, reason))
    placing.learn_flags([cells for _, _, cells in found])
    before: datetime | None = None
    for first, last, cells in found:
        if not cells:
            continue
        try:
            row = placing.place(cells, options.timezone, before)
        except RefusedError as error:
            where = f" (its cells reach to line {last})" if last > first else ""
            sheet.refused.append(Refused(path.name, first, f"{error}{where}"))
            continue
        before = row.moment
        sheet.rows.append((first, row))
    _find_columns(sheet, folder, options)
    return sheet


def _csv_lines(path: Path) -> Iterator[tuple[int, int, list[str]]]:
    """First line, last line (from 1) and cells of each row; bytes that are no UTF-8 stay visible
    as lone surrogates, which no record may hold.
    """
    csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file)
        first = 1
        for cells in reader:
            yield first, reader.line_num, cells
            first = reader.line_num + 1


@dataclass
class _Placing:
    """What the cells of a row are, where rows differ in length from their header.

    Gradio makes the header at the first click, and writes a flag only where the button has a
    value: so between the components and the time at the end there may be a flag or none.
    """

    components: int
    has_flag: bool
    has_user: bool
    classic: bool
    flags: frozenset[str] = frozenset()

    @classmethod
    def of(cls, names: list[str], flag_column: str, classic: bool) -> "_Placing":
        extras = names[:-1]
        has_user = extras[-1:] == [WHO]
        extras = extras[: len(extras) - has_user]
        has_flag = extras[-1:] in ([FLAG], [flag_column])
        return cls(len(extras) - has_flag, has_flag, has_user, classic)

    def learn_flags(self, rows: list[list[str]]) -> None:
        """Labels of the rows that have all their cells, to know one elsewhere."""
        whole = self.components + self.has_flag + self.has_user + 1
        if self.has_flag:
            seen = {undo_guard(row[self.components]) for row in rows if len(row) == whole}
            self.flags = frozenset(seen - {""})

    def place(self, cells: list[str], timezone: tzinfo | None, before: datetime | None) -> _Row:
        """Raises RefusedError."""
        extras = [undo_guard(cell) for cell in cells[self.components : -1]]
        whole = self.components + self.has_flag + self.has_user + 1
        # the classic logger keeps its header when the app's components change
        strange = self.classic and len(cells) != whole and not set(extras) & self.flags
        if len(cells) <= self.components or len(extras) > 2 or strange:
            raise RefusedError(f"{len(cells)} cells where the header has {whole}")
        moment = local_moment(cells[-1], timezone, before)
        flag, user = self._flag_and_user(extras)
        # ClassicCSVLogger writes the word None for a button without a value
        flag = None if not flag or (self.classic and flag == "None") else flag
        return _Row(cells[: self.components], flag, user or None, cells[-1], moment)

    def _flag_and_user(self, extras: list[str]) -> tuple[str | None, str | None]:
        if len(extras) == 2:
            return extras[0], extras[1]
        if not extras:
            return None, None
        if self.has_user and not (self.has_flag and extras[0] in self.flags):
            return None, extras[0]
        return extras[0], None


def local_moment(text: str, timezone: tzinfo | None, before: datetime | None = None) -> datetime:
    """A time as Gradio writes it, by the app's clock, in UTC.

    Of the two meanings of a time in the hour that a clock repeats in autumn, the second is
    taken where the first would lie before the row above. Raises RefusedError.
    """
    try:
        naive = datetime.fromisoformat(text.strip())
        moment = _to_utc(naive, timezone)
        if naive.tzinfo is None and before is not None and moment < before:
            later = _to_utc(naive.replace(fold=1), timezone)
            moment = later if later >= before else moment
    except (ValueError, OverflowError) as error:
        raise RefusedError(f"the last cell, “{text[:40]}”, is no time") from error
    return moment


def _to_utc(moment: datetime, timezone: tzinfo | None) -> datetime:
    if moment.tzinfo is None and timezone is not None:
        moment = moment.replace(tzinfo=timezone)
    return moment.astimezone(UTC)


def undo_guard(cell: str) -> str:
    """The text before Gradio put a ' in front of what a spreadsheet would run."""
    text = cell[1:]
    if cell.startswith("'") and (
        text.startswith(GUARDED_STARTS) or any(part in text for part in GUARDED_PARTS)
    ):
        return text
    return cell


def undo_json(text: str) -> str:
    """Text that looks like JSON, with its letters back; Gradio writes é as \\u00e9.

    White space and number formats of the original are not in the file.
    """
    if not text.startswith(("{", "[")):
        return text
    try:
        held = json.loads(text)
        if json.dumps(held) != text:
            return text
        restored = json.dumps(held, ensure_ascii=False)
        restored.encode()
    except (ValueError, RecursionError):
        return text
    return restored


def _find_columns(sheet: _Sheet, folder: Path, options: Options) -> None:
    """Set `image` and `output`. Raises MisreadError where that cannot be told."""
    if not sheet.rows:
        return
    if options.image_column is not None:
        sheet.image = _named(sheet, options.image_column, "--image-column")
    else:
        columns = range(len(sheet.labels))
        pictures = [i for i in columns if _has_folder(folder, sheet.labels[i])] or [
            i for i in columns if any(_image_name(row.cells[i]) for _, row in sheet.rows)
        ]
        if len(pictures) > 1:
            raise MisreadError(_choose(sheet, pictures, "hold images", "--image-column"))
        sheet.image = pictures[0] if pictures else None
    if options.output_column is not None:
        sheet.output = _named(sheet, options.output_column, "--output-column")
        return
    others = (sheet.image, _position(sheet, options.flag_column))
    texts = [i for i in range(len(sheet.labels)) if i not in others]
    named = [i for i in texts if sheet.labels[i].lower() == "output"]
    if len(named) != 1 and len(texts) > 1:
        raise MisreadError(_choose(sheet, texts, "may be the output", "--output-column"))
    sheet.output = next(iter(named or texts), None)


def _told_apart(labels: list[str]) -> list[str]:
    """Components may have the same label: the second is called `label (2)`."""
    return [
        label if label not in labels[:i] else f"{label} ({labels[: i + 1].count(label)})"
        for i, label in enumerate(labels)
    ]


def _has_folder(folder: Path, label: str) -> bool:
    """Whether Gradio made a folder for the files of a component."""
    name = NOT_IN_FOLDERS.sub("", label).rstrip(" .")
    return bool(name) and (folder / name).is_dir()


def _position(sheet: _Sheet, column: str) -> int | None:
    return sheet.labels.index(column) if column in sheet.labels else None


def _named(sheet: _Sheet, column: str, option: str) -> int:
    found = _position(sheet, column)
    if found is None:
        raise MisreadError(_lacks(sheet, column, option))
    return found


def _lacks(sheet: _Sheet, column: str, option: str) -> str:
    have = ", ".join(sheet.labels)
    return f"{sheet.name} has no column {column} ({option}); its components are {have}."


def _choose(sheet: _Sheet, columns: list[int], what: str, option: str) -> str:
    labels = ", ".join(sheet.labels[i] for i in columns)
    return f"Several columns of {sheet.name} {what}: {labels}. Name one with {option}."


def _image_name(cell: str) -> str | None:
    """The path in an image cell: plain, or inside the JSON that some components write."""
    cell = undo_guard(cell)
    if cell.startswith("{"):
        try:
            held = json.loads(cell)
        except (ValueError, RecursionError):
            return None
        for name in ("path", "composite", "background"):
            inner = held.get(name)
            inner = inner.get("path") if isinstance(inner, dict) else inner
            if isinstance(inner, str):
                return inner
        return None
    return cell if PICTURE.search(cell) and "\n" not in cell else None


class _Reader:
    """Makes events of the rows of one file; safe to use from several threads."""

    def __init__(self, sheet: _Sheet, folder: Path, options: Options) -> None:
        self._sheet = sheet
        self._folder = folder.resolve()
        self._options = options
        self._application_folder = (
            None if options.application_folder is None else options.application_folder.resolve()
        )

    def read(self, row: _Row) -> Imported:
        """Raises RefusedError or ValidationError."""
        sheet, options = self._sheet, self._options
        image = None if sheet.image is None else self._image(row.cells[sheet.image])
        texts = [undo_json(undo_guard(cell)) for cell in row.cells]
        output = None if sheet.output is None else texts[sheet.output]
        named = None if image is None else image_key(image)
        verdict = _position(sheet, options.flag_column)
        flag = row.flag if verdict is None else texts[verdict] or None
        roles = (sheet.image, sheet.output, verdict)
        tags = {label: texts[i] for i, label in enumerate(sheet.labels) if i not in roles}
        if flag is None and row.username is not None:
            tags[WHO] = row.username
        cells = [named if i == sheet.image and named else text for i, text in enumerate(texts)]
        content = (*cells, row.flag, row.username, row.written)
        try:
            record_key = f"gradio-{digest(*content)}"
            prediction = Prediction(
                record_key=record_key,
                timestamp=row.moment,
                environment=options.environment,
                application=options.application,
                version=options.version,
                image=named,
                # a click before any image was given flags nothing that was read
                output_text=(output or None) if image is None else output,
                tags=tags,
            )
        except UnicodeEncodeError as error:
            raise RefusedError("a cell is no UTF-8 text") from error
        feedback = None
        if flag is not None:
            feedback = Feedback(
                feedback_key=f"{record_key}-flag",
                record_key=record_key,
                timestamp=row.moment,
                flag=flag,
                user=row.username,
            )
        return Imported(prediction, feedback, image)

    def _image(self, cell: str) -> bytes | None:
        """The bytes of an image cell; None where it is empty. Raises RefusedError."""
        if not undo_guard(cell) or cell == "null":
            return None
        name = _image_name(cell) or undo_guard(cell)
        path = self._find(name)
        try:
            if path.stat().st_size > MAX_IMAGE_BYTES:
                raise RefusedError(f"its image {name[:200]} is too large to be opened")
            return path.read_bytes()
        except OSError as error:
            reason = f"its image {name[:200]} cannot be read: {error.strerror}"
            raise RefusedError(reason) from error

    def _find(self, name: str) -> Path:
        """The file of an image cell, which the app wrote relative to its own working directory.

        The folder may have been moved: then the file lies in it by the end of its path. No
        other file of this machine is read, whatever the cell says.
        """
        parts = [part for part in PureWindowsPath(name).parts if part not in ("/", "\\")]
        places = [] if self._application_folder is None else [self._application_folder / name]
        places += [Path(name), *(self._folder.joinpath(*parts[i:]) for i in range(len(parts)))]
        outside = False
        for place in places:
            try:
                found = place.resolve(strict=True)
                is_file = found.is_file()
            except (OSError, ValueError, RuntimeError):
                continue
            roots = [root for root in (self._folder, self._application_folder) if root is not None]
            if is_file and any(found.is_relative_to(root) for root in roots):
                return found
            outside = outside or is_file
        if outside:
            raise RefusedError(
                f"its image {name[:200]} lies outside the folder and --application-folder"
            )
        raise RefusedError(
            f"its image {name[:200]} is missing; is --application-folder the app's working "
            "directory?"
        )
