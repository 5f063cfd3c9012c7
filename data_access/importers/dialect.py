"""CSV dialects: the encoding, the delimiter and the quotes of a file, found or named.

What the columns mean is left to the importers.
"""

import codecs
import csv
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from data_access.errors import MisreadError

BYTE_ORDER_MARKS = (  # UTF-32's begins as UTF-16's does
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
DELIMITERS = (",", ";", "\t", "|")
DELIMITER_NAMES = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|"}
QUOTES = ('"', "'")  # Gradio 2 quoted with '
NOT_TEXT = "a cell is not {}: name the file's encoding with --encoding, such as cp1252"


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written. encoding: UTF-8 unless a byte order mark or the user says so."""

    encoding: str = "utf-8-sig"
    delimiter: str = ","
    quote: str = '"'

    @property
    def not_text(self) -> str:
        """Why a cell whose bytes are not in this encoding is refused."""
        return NOT_TEXT.format(self.encoding.removesuffix("-sig").upper())


def encoding_named(name: str) -> str:
    """A text encoding as Python calls it. Raises MisreadError."""
    try:
        codec = codecs.lookup(name)
        "".encode(codec.name)
    except (LookupError, ValueError) as error:
        raise MisreadError(f"{name} is not an encoding: use a name such as cp1252.") from error
    return "utf-8-sig" if codec.name == "utf-8" else codec.name


def delimiter_named(name: str) -> str:
    """One character, given as itself or by name. Raises MisreadError."""
    delimiter = DELIMITER_NAMES.get(name.lower(), name)
    if len(delimiter) != 1 or delimiter in "\r\n\"'":
        raise MisreadError(f"{name} is not a delimiter: use one character, or tab.")
    return delimiter


def find_dialect(
    file: Path,
    is_header: Callable[[list[str]], bool],
    encoding: str | None = None,
    delimiter: str | None = None,
) -> Dialect | None:
    """The dialect in which the first line is a header; None where there is none.

    encoding, delimiter: as the user names them. Raises MisreadError for unknown names, OSError.
    """
    with file.open("rb") as opened:
        start = opened.read(4)
    marked = next((name for mark, name in BYTE_ORDER_MARKS if start.startswith(mark)), "utf-8-sig")
    encoding = marked if encoding is None else encoding_named(encoding)
    delimiters = DELIMITERS if delimiter is None else (delimiter_named(delimiter),)
    for quote in QUOTES:
        for character in delimiters:
            dialect = Dialect(encoding, character, quote)
            try:
                _, _, header = next(read_csv(file, dialect))
            except (StopIteration, csv.Error, UnicodeError):
                continue
            if is_header(header):
                return dialect
    return None


def read_csv(file: Path, dialect: Dialect) -> Iterator[tuple[int, int, list[str]]]:
    """First line, last line (from 1) and cells of each row.

    Bytes that are not in the encoding become lone surrogates, which no record may hold. Raises
    OSError, csv.Error and UnicodeError.
    """
    csv.field_size_limit(sys.maxsize)
    with file.open(encoding=dialect.encoding, errors="surrogateescape", newline="") as opened:
        reader = csv.reader(opened, delimiter=dialect.delimiter, quotechar=dialect.quote)
        first = 1
        for cells in reader:
            yield first, reader.line_num, cells
            first = reader.line_num + 1
