"""Opening images: damaged metadata, formats, depths, and the limit on open ones."""

import io
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from data_access.images import (
    OPEN_AT_ONCE,
    UnreadableImageError,
    displayable,
    greyscale,
    on_white,
    open_image,
    opened,
)
from recognizer.preprocessing import to_gray
from serving import statistics
from tests.samples import picture, png

TILES = np.random.default_rng(5).integers(0, 255, (20, 30), dtype=np.uint8)
PATTERN = Image.fromarray(np.kron(TILES, np.ones((8, 8), np.uint8)))
SIDEWAYS = 6  # an EXIF orientation: held upright, photographed lying


def encoded(image: Image.Image, format_: str, **options: Any) -> bytes:
    body = io.BytesIO()
    image.save(body, format_, **options)
    return body.getvalue()


def oriented() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = SIDEWAYS
    return exif


def chunk(kind: bytes, data: bytes, damaged: bool = False) -> bytes:
    checksum = zlib.crc32(kind + data) ^ damaged
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def with_chunk(inserted: bytes, body: bytes | None = None) -> bytes:
    body = body or png(PATTERN)
    after_header = 8 + 25
    return body[:after_header] + inserted + body[after_header:]


def with_segment(marker: int, data: bytes, body: bytes | None = None) -> bytes:
    body = body or encoded(PATTERN, "JPEG")
    return body[:2] + bytes((0xFF, marker)) + struct.pack(">H", len(data) + 2) + data + body[2:]


PROFILE = b"profile\0\0" + zlib.compress(bytes(2_000_000))
LONG_TEXT = b"comment\0\0" + zlib.compress(bytes(2_000_000))
DAMAGED = {
    "EXIF of a PNG": with_chunk(chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff")),
    "EXIF that is not EXIF": with_chunk(chunk(b"eXIf", b"nothing of the kind")),
    "raw profile of a PNG": with_chunk(
        chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n  4\nzz"))
    ),
    "checksum of a text": with_chunk(chunk(b"tEXt", b"Title\0A title", damaged=True)),
    "checksum of a time": with_chunk(chunk(b"tIME", bytes(7), damaged=True)),
    "short resolution": with_chunk(chunk(b"pHYs", b"\0")),
    "large ICC profile": with_chunk(chunk(b"iCCP", PROFILE)),
    "large compressed text": with_chunk(chunk(b"zTXt", LONG_TEXT)),
    "no end of a PNG": png(PATTERN)[:-12],
    "EXIF of a JPEG": with_segment(0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff"),
    "EXIF that ends early": with_segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\x09\0\x12\x01"),
    "XMP": with_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta \xff\xfe tiff:Orient"),
    "ICC profile of a JPEG": with_segment(0xE2, b"ICC_PROFILE\0\x01\x09" + bytes(20)),
    "Photoshop's segment": with_segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04\xff"),
    "a segment longer than it says": with_segment(0xE5, b"abc").replace(b"abc", b"abcdefgh"),
    "no end marker": encoded(PATTERN, "JPEG")[:-2],
    "half an end marker": encoded(PATTERN, "JPEG")[:-1],
    "no end marker, progressive": encoded(PATTERN, "JPEG", progressive=True)[:-2],
    "EXIF of a WebP": encoded(
        PATTERN, "WEBP", lossless=True, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"
    ),
}


@pytest.mark.parametrize("body", DAMAGED.values(), ids=DAMAGED)
def test_damaged_metadata_does_not_cost_the_pixels(body: bytes) -> None:
    image = open_image(body)
    assert image.size == PATTERN.size
    difference = greyscale(image).astype(int) - np.asarray(PATTERN)
    assert abs(difference).mean() < 4  # JPEG's own
    assert to_gray(image).shape == greyscale(image).shape
    displayable(image).copy().save(io.BytesIO(), "PNG")


@pytest.mark.parametrize(
    "body",
    [
        with_chunk(chunk(b"tEXt", b"Title\0A title", damaged=True), png(PATTERN, exif=oriented())),
        encoded(PATTERN, "JPEG", exif=oriented())[:-2],
        with_segment(0xE2, b"ICC_PROFILE\0", encoded(PATTERN, "JPEG", exif=oriented())),
    ],
)
def test_sound_exif_turns_an_image_whatever_else_is_damaged(body: bytes) -> None:
    upright = open_image(body)
    assert upright.size == PATTERN.size[::-1]
    assert to_gray(upright).shape == PATTERN.size  # it is not turned twice


def test_transparency_stays_when_other_chunks_are_dropped() -> None:
    clear = png(Image.new("P", (4, 4), 0), transparency=0)
    damaged = with_chunk(chunk(b"tIME", bytes(7), damaged=True), clear)
    assert greyscale(open_image(damaged)).mean() == 255


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"optimize": True}])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
def test_a_jpeg_that_lacks_pixels_is_refused(options: dict[str, bool], share: float) -> None:
    body = encoded(PATTERN, "JPEG", quality=90, **options)
    with pytest.raises(UnreadableImageError):
        open_image(body[: int(len(body) * share)])


@pytest.mark.parametrize(
    "body",
    [
        png(PATTERN)[:400],
        with_chunk(b"", png(PATTERN)).replace(b"IDAT\x78", b"IDAT\x00", 1),
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xe0\xff\xff",
        b"\x89PNG\r\n\x1a\n",
    ],
)
def test_damaged_pixels_are_refused(body: bytes) -> None:
    with pytest.raises(UnreadableImageError, match="not an image that can be read"):
        open_image(body)


def test_a_bomb_is_refused_with_and_without_damaged_metadata() -> None:
    bomb = png(Image.new("1", (30_000, 30_000)))
    damaged = with_chunk(chunk(b"tIME", bytes(7), damaged=True), bomb)
    for body in (bomb, damaged):
        with pytest.raises(UnreadableImageError, match=r"too large|too many pixels"):
            open_image(body)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40), "a HEIC photo: convert it"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(40), "a HEIC photo: convert it"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj", "a PDF: convert it to PNG or JPEG"),
        (b"\xef\xbb\xbf%PDF-1.4", "a PDF: convert it to PNG or JPEG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not an image that can be read"),
    ],
)
def test_formats_that_are_not_read_are_named(body: bytes, sentence: str) -> None:
    with pytest.raises(UnreadableImageError, match=sentence):
        open_image(body)


def test_avif_is_read() -> None:
    assert features.check("avif")
    levels = greyscale(open_image(encoded(PATTERN.convert("RGB"), "AVIF", quality=90)))
    assert levels.mean() == pytest.approx(np.asarray(PATTERN).mean(), abs=1)


LEVELS = np.asarray(PATTERN)
DEPTHS = {
    "16 bits": png(Image.fromarray(LEVELS.astype(np.uint16) * 257)),
    "16 bits, big-endian TIFF": encoded(
        Image.fromarray((LEVELS.astype(np.uint16) * 257).astype(">u2")), "TIFF"
    ),
    "32 bits": encoded(Image.fromarray(LEVELS.astype(np.int32) * 257), "TIFF"),
    "float": encoded(Image.fromarray(LEVELS.astype(np.float32)), "TIFF"),
    "float to 65535": encoded(Image.fromarray(LEVELS.astype(np.float32) * 257), "TIFF"),
    "8 bits": png(PATTERN),
}


@pytest.mark.parametrize("body", DEPTHS.values(), ids=DEPTHS)
def test_every_depth_has_one_mean_for_serving_projections_and_recognizer(body: bytes) -> None:
    image = open_image(body)
    levels = greyscale(image)
    assert levels.mean() == pytest.approx(LEVELS.mean(), abs=0.51)
    assert statistics(levels)["image_mean"] == pytest.approx(levels.mean(), abs=0.01)
    assert to_gray(image).mean() == pytest.approx(levels.mean(), abs=0.51)
    assert np.asarray(displayable(image).convert("L")).mean() == pytest.approx(levels.mean())


def test_levels_that_are_not_numbers_are_black_or_white() -> None:
    levels = np.array([[np.nan, np.inf], [-np.inf, 255]], np.float32)
    image = open_image(encoded(Image.fromarray(levels), "TIFF"))
    assert greyscale(image).tolist() == [[0, 255], [0, 255]]


def test_a_deep_image_with_a_transparent_level_can_be_shown() -> None:
    deep = png(Image.new("I;16", (4, 4), 65535), transparency=0)
    assert on_white(open_image(deep)).mode == "L"


def test_a_process_holds_four_images_open() -> None:
    held, most, lock = 0, 0, threading.Lock()
    everybody = threading.Barrier(OPEN_AT_ONCE)

    def work(number: int) -> None:
        nonlocal held, most
        with opened(picture()):
            with lock:
                held += 1
                most = max(most, held)
            everybody.wait(timeout=20)
            with lock:
                held -= 1

    with ThreadPoolExecutor(4 * OPEN_AT_ONCE) as pool:
        list(pool.map(work, range(4 * OPEN_AT_ONCE)))
    assert most == OPEN_AT_ONCE


def test_an_image_that_cannot_be_opened_gives_its_place_back() -> None:
    for _ in range(3 * OPEN_AT_ONCE):
        with pytest.raises(UnreadableImageError), opened(b"not an image"):
            pass
    with opened(picture()) as image:
        assert image.size == (24, 16)
