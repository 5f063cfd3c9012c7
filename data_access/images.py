"""Opening images: the one place where bytes become pixels, for sync, scoring, serving and pages.

What is computed from pixels is left to `projections.image`.
"""

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
from PIL import Image, ImageOps

MAX_PIXELS = 50_000_000
OPEN_AT_ONCE = 4  # a large image takes hundreds of megabytes
# not EPS, which Pillow would have Ghostscript run
FORMATS = (
    "PNG", "JPEG", "TIFF", "WEBP", "AVIF", "GIF", "BMP", "DIB", "PPM", "JPEG2000", "ICO"
)  # fmt: skip
UNREADABLE = "the bytes are not an image that can be read"

_open_images = threading.Semaphore(OPEN_AT_ONCE)


class UnreadableImageError(ValueError):
    """The bytes are not an image, or one too large to open; the message says which."""


def open_image(body: bytes) -> Image.Image:
    """Decode an image, turned upright by its EXIF orientation.

    Damaged metadata is ignored where the pixels are whole. An image over MAX_PIXELS is refused
    before its pixels are decoded. Raises UnreadableImageError.
    """
    for candidate in _candidates(body):
        try:
            return _decoded(candidate)
        except UnreadableImageError:
            raise
        except Image.DecompressionBombError as error:
            raise UnreadableImageError("an image of too many pixels") from error
        except Exception:  # Pillow's decoders raise many kinds on hostile bytes
            continue
    raise UnreadableImageError(_reason(body))


@contextmanager
def opened(body: bytes) -> Iterator[Image.Image]:
    """As `open_image`, for work on many images: a process holds at most OPEN_AT_ONCE of them."""
    with _open_images:
        yield open_image(body)


def on_white(image: Image.Image) -> Image.Image:
    """The image in 8 bits a channel and without transparency, its transparent parts white.

    16-bit, 32-bit and float levels count from 0 to 65535 where one is over 255, else from 0 to 255.
    """
    if image.mode.startswith(("I", "F")):
        levels = np.nan_to_num(np.asarray(image, np.float64), posinf=255.0, neginf=0.0)
        white = 65535.0 if levels.max(initial=0.0) > 255 else 255.0
        return Image.fromarray(np.clip(levels * (255.0 / white), 0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(ground, image).convert("RGB")
    return image


def greyscale(image: Image.Image) -> np.ndarray:
    """Grey levels 0 to 255, shape (height, width), uint8, as of `on_white`.

    Raises UnreadableImageError.
    """
    try:
        return np.asarray(on_white(image).convert("L"))
    except ValueError as error:  # Pillow has no way from LAB, for one
        raise UnreadableImageError(f"an image in {image.mode} has no grey levels") from error


def displayable(image: Image.Image) -> Image.Image:
    """The image in mode L or RGB, as people see it: what PNG, browsers and Pillow's tools take.

    Raises UnreadableImageError.
    """
    image = on_white(image)
    if image.mode in ("L", "RGB"):
        return image
    if image.mode in ("P", "CMYK", "YCbCr", "HSV"):
        return image.convert("RGB")
    return Image.fromarray(greyscale(image))


def _decoded(body: bytes) -> Image.Image:
    """Raises UnreadableImageError for too many pixels, otherwise whatever Pillow raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large images and of damaged metadata
        image = Image.open(io.BytesIO(body), formats=FORMATS)
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise UnreadableImageError(f"an image of {width:,} × {height:,} pixels is too large")
        image.load()
        with suppress(Exception):  # damaged EXIF tells no orientation
            ImageOps.exif_transpose(image, in_place=True)  # would copy an image that stays as it is
    for name in ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"):
        image.info.pop(name, None)  # nobody turns it again, or fails to
    return image


def _candidates(body: bytes) -> Iterator[bytes]:
    """The bytes as they are, then as they would be without what may be damaged beside pixels."""
    yield body
    if body.startswith(PNG):
        yield _png_of_pixels(body)
    elif body.startswith(JPEG):
        bare = _jpeg_of_pixels(body)
        yield bare
        if _is_complete(bare):
            yield bare.rstrip(b"\xff") + END_OF_IMAGE


PNG = b"\x89PNG\r\n\x1a\n"
PNG_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")


def _png_of_pixels(body: bytes) -> bytes:
    """A PNG without its ancillary chunks, but for transparency and sound EXIF."""
    kept = [PNG]
    position = len(PNG)
    while position + 12 <= len(body):
        length, kind = struct.unpack_from(">I4s", body, position)
        end = position + 12 + length
        chunk = body[position:end]
        sound = chunk[-4:] == struct.pack(">I", zlib.crc32(chunk[4:-4]))
        if kind in PNG_CHUNKS or (kind == b"eXIf" and sound):
            kept.append(chunk)
        position = end
    return b"".join(kept)


JPEG = b"\xff\xd8\xff"
END_OF_IMAGE = b"\xff\xd9"
START_OF_SCAN = 0xDA
JPEG_METADATA = frozenset({*range(0xE2, 0xEE), 0xEF, 0xFE})  # not JFIF, EXIF, Adobe's colours
ENTROPY = bytes(range(1, 255)) * 4  # coded pixels that no image has where its own end


def _jpeg_of_pixels(body: bytes) -> bytes:
    """A JPEG without comments and application segments, but for JFIF, EXIF and Adobe's colours."""
    kept = [body[:2]]
    position = 2
    while (position := body.find(b"\xff", position)) >= 0 and position + 4 <= len(body):
        marker = body[position + 1]
        if marker in (0x00, 0xFF):
            position += 1
            continue
        if marker == START_OF_SCAN:
            kept.append(body[position:])
            break
        end = position + 2 + int.from_bytes(body[position + 2 : position + 4])
        if marker not in JPEG_METADATA:
            kept.append(body[position:end])
        position = end
    return b"".join(kept)


def _is_complete(body: bytes) -> bool:
    """Whether a JPEG lacks no pixels, only its end marker.

    Coded pixels after the last one are ignored; where some are missing, they would be shown.
    """
    scan = body.rstrip(b"\xff")
    try:
        ended, extended = (
            _decoded(scan + more + END_OF_IMAGE).tobytes() for more in (b"", ENTROPY)
        )
    except Exception:  # not a JPEG at all
        return False
    return ended == extended


HEIC_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
)


def _reason(body: bytes) -> str:
    if b"%PDF-" in body[:1024]:
        return "a PDF: convert it to PNG or JPEG"
    if body[4:8] == b"ftyp" and body[8:12] in HEIC_BRANDS:
        return "a HEIC photo: convert it to PNG or JPEG"
    return UNREADABLE
