"""How events are packed into an object: gzip, lines, or JSON values one after another.

What the values mean is left to `decoding`.
"""

import gzip
import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from data_access.records.models import MAX_OBJECT_BYTES

GZIP = b"\x1f\x8b"
PARQUET = b"PAR1"
GZIP_LAYERS = 3  # a shipper and a store may each add one; more are a bomb
SAMPLE_BYTES = 4096
CONTROL_SHARE = 0.05  # of a sample: text has next to none
BLANK = " \t\r\n\x0b\x0c\x1e\ufeff"  # RFC 7464 begins each text with \x1e
CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\x0c\x1b\x1e"))
SIGNATURES = (
    (0, b"\x89PNG", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"GIF8", "a GIF image"),
    (0, b"II*\0", "a TIFF image"),
    (0, b"MM\0*", "a TIFF image"),
    (8, b"WEBP", "a WebP image"),
    (4, b"ftyp", "a HEIC or AVIF image, or a video"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"7z\xbc\xaf", "a 7-Zip archive"),
    (0, b"\x28\xb5\x2f\xfd", "compressed with Zstandard"),
    (0, b"BZh", "compressed with bzip2"),
    (0, b"\xfd7zXZ", "compressed with xz"),
    (0, b"\x04\x22\x4d\x18", "compressed with LZ4"),
    (0, b"Obj\x01", "an Avro file"),
    (0, b"ARROW1", "an Arrow file"),
    (0, b"SQLite format 3", "an SQLite database"),
)

# what JSON lines never have outside a text: a value behind another, a value that goes on
BEHIND = re.compile(rb"\}[ \t\r\x1e]*\{")
SPREAD = re.compile(rb"\{[ \t\r]*\n")
NEXT_IN_LINE = re.compile(r"\}(?=[ \t\r\x1e]*\{)")
NEXT_LINE = re.compile(r"\n(?=[{\[\x1e])")
DECODER = json.JSONDecoder()

LEFT_OUT = r"/(\.[^/.=][^/=]*|\.\.[^/=]+|_[^/=]*)(/|$)"


@dataclass(frozen=True)
class Broken:
    """A part of an object that is no JSON: why, and its text."""

    reason: str
    text: str


def is_left_out(key: str) -> bool:
    """Whether an object is no part of the log: a name or a folder that begins with `.` or `_`.

    Spark, Hive and macOS keep notes of their own there, such as `_SUCCESS`, `_delta_log/`,
    `.part-0.parquet.crc` and `.DS_Store`. A partition such as `_day=1/` is none of these.
    """
    return re.search(LEFT_OUT, key) is not None


def unpacked(body: bytes, max_bytes: int = MAX_OBJECT_BYTES) -> bytes:
    """Gzip taken off, where there is any, also twice.

    Raises ValueError, or what gzip raises, for a broken one, and past max_bytes.
    """
    for _ in range(GZIP_LAYERS):
        if not body.startswith(GZIP):
            return body
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as stream:
            body = stream.read(max_bytes + 1)
        if len(body) > max_bytes:
            raise ValueError(f"it unpacks to more than {max_bytes:,} bytes")
    if body.startswith(GZIP):
        raise ValueError(f"it is gzipped more than {GZIP_LAYERS} times over")
    return body


def binary_format(body: bytes) -> str | None:
    """What an object is that is no text, as a noun or "compressed with …"; None for text."""
    sample = body[:SAMPLE_BYTES]
    if sample.lstrip(b" \t\r\n\x1e\xef\xbb\xbf")[:1] in (b"{", b"["):
        return None
    for offset, signature, name in SIGNATURES:
        if sample.startswith(signature, offset):
            return name
    controls = len(sample) - len(sample.translate(None, CONTROLS))
    if controls <= CONTROL_SHARE * len(sample):
        return None
    return "UTF-16 text" if sample[:2] in (b"\xff\xfe", b"\xfe\xff") else "binary data"


def json_lines(lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, Any]]:
    """Numbered lines as their values, or Broken; blank ones are left out."""
    for number, line in lines:
        text = line.strip(b" \t\r\n\x0b\x0c\x1e")
        if not text:
            continue
        try:
            yield number, json.loads(text)
        except (ValueError, RecursionError) as error:
            yield number, Broken(not_json(error), text[:1000].decode(errors="replace"))


def is_sequence(body: bytes) -> bool:
    """Whether values may stand behind each other in a line, or go over several.

    A text with a brace in it may look like that too: `json_sequence` reads it all the same.
    """
    return BEHIND.search(body) is not None or SPREAD.search(body) is not None


def json_sequence(body: bytes) -> Iterator[tuple[int, Any]]:
    """Values one after another, each with its line, or the next number where that has been taken.

    Where all values are lines, this gives what `json_lines` does.
    """
    try:
        text, legible = body.decode(), True
    except UnicodeDecodeError:
        text, legible = body.decode(errors="surrogateescape"), False
    position = number = counted = 0
    line = 1
    while True:
        start = position
        while start < len(text) and text[start] in BLANK:
            start += 1
        if start == len(text):
            return
        line += text.count("\n", counted, start)
        counted = start
        number = max(number + 1, line)
        try:
            value, position = DECODER.raw_decode(text, start)
            if not legible:
                text[start:position].encode()
        except (ValueError, RecursionError) as error:
            position = max(position, _next_start(text, start))
            excerpt = text[start : min(position, start + 1000)].rstrip(BLANK)
            value = Broken(not_json(error), excerpt.encode(errors="replace").decode())
        yield number, value


def _next_start(text: str, start: int) -> int:
    """Where a value may begin again behind a broken one that begins at `start`."""
    end = text.find("\n", start)
    end = len(text) if end < 0 else end
    behind = NEXT_IN_LINE.search(text, start, end)
    if behind:
        return behind.end()
    if text[start:end].rstrip()[-1:] in ("{", "[", ","):  # goes on in the next lines
        later = NEXT_LINE.search(text, end)
        return later.end() if later else len(text)
    return end


def not_json(error: Exception) -> str:
    """Why a text is no JSON, in a sentence without its end."""
    if isinstance(error, RecursionError):
        return "not JSON: it is nested too deeply"
    if isinstance(error, UnicodeError):
        return "not JSON: it is not UTF-8"
    if isinstance(error, json.JSONDecodeError):  # without its place, so that reasons can be counted
        return f"not JSON: {error.msg.removesuffix(' starting at')}"
    return f"not JSON: {str(error)[:300]}"
