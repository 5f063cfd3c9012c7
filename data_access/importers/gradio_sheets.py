"""One file of flags as Gradio writes it: which cells of a row are what, and which columns.

Source: gradio/flagging.py of 5.50 and 6.31 (CSVLogger, ClassicCSVLogger), and of 2.x, which
quoted with '.
"""

import csv
import re
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from pathlib import Path

from data_access.errors import MisreadError
from data_access.importers import Refused, RefusedError
from data_access.importers.dialect import Dialect, find_dialect, read_csv
from data_access.importers.gradio_cells import image_name, local_moment, undo_guard

NOT_IN_FOLDERS = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f`$!{}]')
FLAG, USER, TIME = "flag", "username", "timestamp"


@dataclass(frozen=True)
class Columns:
    """Names of columns; None to find them. One counts in the files that have it."""

    image: str | None = None
    output: str | None = None
    flag: str = FLAG


@dataclass
class Row:
    """One row, its cells told apart; `moment` is in UTC."""

    cells: list[str]
    flag: str | None
    username: str | None
    written: str
    moment: datetime


@dataclass
class Sheet:
    """One file: the labels of its components, and its rows by line (from 1).

    names: of all its columns, the labels first.
    image, output, flag: positions among the labels; None where there is no such column.
    """

    name: str
    names: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    rows: list[tuple[int, Row]] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    image: int | None = None
    output: int | None = None
    flag: int | None = None

    @property
    def is_refused(self) -> bool:
        """Whether it was refused as a whole."""
        return any(refused.line == 0 for refused in self.refused)


def read_sheet(
    file: Path,
    folder: Path,
    columns: Columns,
    timezone: tzinfo | None,
    encoding: str | None,
    delimiter: str | None,
) -> Sheet:
    """A file that cannot be read as a whole is a sheet without rows, with the reason in `refused`.

    Raises MisreadError for an encoding or a delimiter that does not exist.
    """
    sheet = Sheet(file.name)
    try:
        if file.stat().st_size == 0:
            return sheet
        dialect = find_dialect(file, _is_header, encoding, delimiter)
        if dialect is None:
            raise RefusedError(
                f"its first line does not end in “{TIME}”, so it is not a log of flags with a "
                "header; --delimiter and --encoding say how to read it"
            )
        _read_rows(sheet, file, dialect, columns, timezone)
        _find_columns(sheet, folder, columns)
    except RefusedError as error:
        reason = str(error)
    except (OSError, RuntimeError) as error:
        reason = f"it cannot be read: {error}"
    else:
        return sheet
    return Sheet(file.name, sheet.names, sheet.labels, refused=[Refused(file.name, 0, reason)])


def _is_header(names: list[str]) -> bool:
    return bool(names) and _label(names[-1]) == TIME


def _label(name: str) -> str:
    return undo_guard(undo_guard(name))


def _read_rows(
    sheet: Sheet, file: Path, dialect: Dialect, columns: Columns, timezone: tzinfo | None
) -> None:
    lines = read_csv(file, dialect)
    _, header_end, header = next(lines)
    sheet.names = [_label(name) for name in header]
    layout = _Layout.of(sheet.names, columns.flag, file.name == "log.csv")
    sheet.labels = _unique_labels(sheet.names[: layout.components])
    rows: list[tuple[int, int, list[str]]] = []
    try:
        rows.extend(lines)
    except (OSError, csv.Error, UnicodeError) as error:
        last = rows[-1][1] if rows else header_end
        reason = f"the file cannot be read from here on: {error}"
        sheet.refused.append(Refused(file.name, last + 1, reason))
    layout.learn_flags([cells for _, _, cells in rows])
    before: datetime | None = None
    for first, last, cells in rows:
        if not cells:
            continue
        try:
            row = layout.place(cells, timezone, before)
            _check_text(cells, dialect)
        except RefusedError as error:
            where = f" (its cells reach to line {last})" if last > first else ""
            sheet.refused.append(Refused(file.name, first, f"{error}{where}"))
            continue
        before = row.moment
        sheet.rows.append((first, row))


def _check_text(cells: list[str], dialect: Dialect) -> None:
    try:
        "".join(cells).encode()
    except UnicodeEncodeError as error:
        raise RefusedError(dialect.not_text) from error


@dataclass
class _Layout:
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
    def of(cls, names: list[str], flag_column: str, classic: bool) -> "_Layout":
        extras = names[:-1]
        has_user = extras[-1:] == [USER]
        extras = extras[: len(extras) - has_user]
        has_flag = extras[-1:] in ([FLAG], [flag_column])
        return cls(len(extras) - has_flag, has_flag, has_user, classic)

    def learn_flags(self, rows: list[list[str]]) -> None:
        """Labels of the rows that have all their cells, to know one elsewhere."""
        whole = self.components + self.has_flag + self.has_user + 1
        if self.has_flag:
            seen = {undo_guard(row[self.components]) for row in rows if len(row) == whole}
            self.flags = frozenset(seen - {""})

    def place(self, cells: list[str], timezone: tzinfo | None, before: datetime | None) -> Row:
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
        return Row(cells[: self.components], flag, user or None, cells[-1], moment)

    def _flag_and_user(self, extras: list[str]) -> tuple[str | None, str | None]:
        if len(extras) == 2:
            return extras[0], extras[1]
        if not extras:
            return None, None
        if self.has_user and not (self.has_flag and extras[0] in self.flags):
            return None, extras[0]
        return extras[0], None


def _find_columns(sheet: Sheet, folder: Path, columns: Columns) -> None:
    """Set `image`, `output` and `flag`. Raises RefusedError where they are ambiguous."""
    if not sheet.rows:
        return
    labels = range(len(sheet.labels))
    sheet.flag = _position(sheet, columns.flag)
    sheet.image = _position(sheet, columns.image)
    if sheet.image is None:
        images = [i for i in labels if _has_folder(folder, sheet.labels[i])] or [
            i for i in labels if any(image_name(row.cells[i]) for _, row in sheet.rows)
        ]
        if len(images) > 1:
            raise RefusedError(_ambiguous(sheet, images, "hold images", "--image-column"))
        sheet.image = images[0] if images else None
    sheet.output = _position(sheet, columns.output)
    if sheet.output is None:
        texts = [i for i in labels if i not in (sheet.image, sheet.flag)]
        named = [i for i in texts if sheet.labels[i].lower() == "output"]
        if len(named) != 1 and len(texts) > 1:
            raise RefusedError(_ambiguous(sheet, texts, "may be the output", "--output-column"))
        sheet.output = next(iter(named or texts), None)


def _unique_labels(labels: list[str]) -> list[str]:
    """Components may have the same label: the second is called `label (2)`."""
    return [
        label if label not in labels[:i] else f"{label} ({labels[: i + 1].count(label)})"
        for i, label in enumerate(labels)
    ]


def _has_folder(folder: Path, label: str) -> bool:
    """Whether Gradio made a folder for the files of a component."""
    name = NOT_IN_FOLDERS.sub("", label).rstrip(" .")
    try:
        return bool(name) and (folder / name).is_dir()
    except OSError:  # a link that loops, or a folder that may not be entered
        return False


def _position(sheet: Sheet, column: str | None) -> int | None:
    return sheet.labels.index(column) if column in sheet.labels else None


def _ambiguous(sheet: Sheet, positions: list[int], what: str, option: str) -> str:
    labels = ", ".join(sheet.labels[i] for i in positions)
    return f"several columns {what}: {labels}; name one with {option}"


def require_columns(sheets: list[Sheet], columns: Columns) -> None:
    """Raises MisreadError for a named column that no file has."""
    labels = list(dict.fromkeys(label for sheet in sheets for label in sheet.labels))
    flags = {FLAG, *(name for sheet in sheets for name in sheet.names)}
    for option, name, names in (
        ("--image-column", columns.image, labels),
        ("--output-column", columns.output, labels),
        ("--flag-column", columns.flag, flags),
    ):
        if name is not None and labels and name not in names:
            raise MisreadError(
                f"No file has a column {name} ({option}); the components are {', '.join(labels)}."
            )
