"""Reads the folder that a Gradio app flags into: `dataset1.csv`, …, or the classic `log.csv`.

How a file becomes rows is left to `gradio_sheets`.
"""

import re
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path, PureWindowsPath
from zoneinfo import ZoneInfo

from data_access.errors import MisreadError
from data_access.importers import Imported, Importer, ImportReport, RefusedError, digest
from data_access.importers.gradio_cells import image_name, undo_guard, undo_json
from data_access.importers.gradio_sheets import (
    USER,
    Columns,
    Row,
    Sheet,
    read_sheet,
    require_columns,
)
from data_access.log import MAX_IMAGE_BYTES, Log
from data_access.progress import Progress, silent
from data_access.records import Feedback, Prediction
from data_access.writer import image_key


@dataclass(frozen=True)
class Options:
    """How to read a folder.

    application_folder: the working directory of the app, which image cells are relative to.
    timezone: of the app's clock; None for this machine's.
    default_flag: of rows without one, such as those of Gradio's single button; None for no flag.
    encoding, delimiter: of the files, where they cannot be found.
    """

    application_folder: Path | None = None
    timezone: tzinfo | None = None
    environment: str = "prod"
    application: str | None = None
    version: str | None = None
    columns: Columns = field(default_factory=Columns)
    default_flag: str | None = None
    encoding: str | None = None
    delimiter: str | None = None


def zone(name: str) -> tzinfo:
    """A time zone by name, such as Europe/Berlin or UTC. Raises MisreadError."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise MisreadError(
            f"{name} is not a time zone: use a name such as Europe/Berlin."
        ) from error


def import_folder(
    log: Log, place: Path, options: Options, progress: Progress = silent
) -> ImportReport:
    """Every row of every .csv file as a record, with feedback where it was flagged.

    place: the folder that the app flags into, or one file in it. A row is a record of its own, as
    each click is a row; the images of equal rows are kept once. A file that cannot be imported is
    reported, and the others are imported. Raises MisreadError where none can be, or a column that
    was named is in none; LogError where the log does not take an object.
    """
    files = _files(place)
    folder = place if place.is_dir() else place.parent
    sheets = [
        read_sheet(
            file, folder, options.columns, options.timezone, options.encoding, options.delimiter
        )
        for file in files
    ]
    require_columns(sheets, options.columns)
    if all(sheet.is_refused for sheet in sheets):
        reasons = "; ".join(str(refused) for sheet in sheets for refused in sheet.refused)
        raise MisreadError(f"Nothing can be imported. {reasons}.")
    total = sum(len(sheet.rows) for sheet in sheets)
    importer = Importer(log)
    done = 0

    def advance(rows: int) -> None:
        nonlocal done
        done += rows
        progress("Importing rows", done, total)

    for sheet in sheets:
        for refused in sheet.refused:
            importer.refuse(refused)
        reader = _Reader(sheet, folder, options)
        for _ in importer.send(sheet.name, sheet.rows, reader.read, advance):
            pass
    importer.report.refused.sort(key=lambda row: (row.file, row.line))
    return importer.report


def _files(place: Path) -> list[Path]:
    """Raises MisreadError."""
    if place.is_file():
        return [place]
    try:
        files = [path for path in place.iterdir() if path.suffix.lower() == ".csv"]
    except OSError as error:
        raise MisreadError(f"{place} cannot be read: {error.strerror}.") from error
    if not files:
        raise MisreadError(
            f"{place} holds no .csv file: name the folder that Gradio flags into, "
            "by default .gradio/flagged below the app's working directory."
        )
    return sorted(files, key=_number)


def _number(path: Path) -> tuple[str, int, str]:
    """dataset2.csv before dataset10.csv."""
    digits = re.search(r"(\d+)$", path.stem)
    return path.stem.rstrip("0123456789"), int(digits[1][:18]) if digits else 0, path.name


class _Reader:
    """Makes events of the rows of one file; safe to use from several threads."""

    def __init__(self, sheet: Sheet, folder: Path, options: Options) -> None:
        self._sheet = sheet
        self._folder = folder.resolve()
        self._options = options
        self._application_folder = (
            None if options.application_folder is None else options.application_folder.resolve()
        )

    def read(self, row: Row) -> Imported:
        """Raises RefusedError or ValidationError."""
        sheet, options = self._sheet, self._options
        image = None if sheet.image is None else self._image(row.cells[sheet.image])
        texts = [undo_json(undo_guard(cell)) for cell in row.cells]
        output = None if sheet.output is None else texts[sheet.output]
        key = None if image is None else image_key(image)
        flag = row.flag if sheet.flag is None else texts[sheet.flag] or None
        flag = flag or options.default_flag
        roles = (sheet.image, sheet.output, sheet.flag)
        tags = {label: texts[i] for i, label in enumerate(sheet.labels) if i not in roles}
        if flag is None and row.username is not None:
            tags[USER] = row.username
        cells = [key if i == sheet.image and key else text for i, text in enumerate(texts)]
        content = (*cells, row.flag, row.username, row.written)
        try:
            record_key = f"gradio-{digest(*content)}"
            prediction = Prediction(
                record_key=record_key,
                timestamp=row.moment,
                environment=options.environment,
                application=options.application,
                version=options.version,
                image=key,
                # a click before any image was given flags nothing that was read
                output_text=(output or None) if image is None else output,
                tags=tags,
            )
        except UnicodeEncodeError as error:
            raise RefusedError("a cell is not UTF-8 text") from error
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
        name = image_name(cell) or undo_guard(cell)
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
                file = place.resolve(strict=True)
                is_file = file.is_file()
            except (OSError, ValueError, RuntimeError):
                continue
            roots = [root for root in (self._folder, self._application_folder) if root is not None]
            if is_file and any(file.is_relative_to(root) for root in roots):
                return file
            outside = outside or is_file
        if outside:
            raise RefusedError(
                f"its image {name[:200]} lies outside the folder and --application-folder"
            )
        raise RefusedError(
            f"its image {name[:200]} is missing; is --application-folder the app's working "
            "directory?"
        )
