"""The log: objects in an S3 bucket or in a folder of the same shape."""

import os
import re
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import boto3
import botocore.exceptions
import obstore
import pyarrow as pa
import pyarrow.compute as pc
from obstore.exceptions import AlreadyExistsError, BaseError, InvalidPathError

from data_access.errors import ChangedObjectError, LogError
from data_access.log.store_errors import is_missing, is_unreachable, store_failure
from data_access.log.stores import bypass_proxies_on_loopback, is_loopback, open_store

MAX_IMAGE_BYTES = 64 * 1024 * 1024
IMAGE_BACKOFF_SECONDS = 10.0
PUT_ATTEMPTS = 3
FAILURES = (
    BaseError,
    OSError,
    ValueError,
    botocore.exceptions.BotoCoreError,
    botocore.exceptions.ClientError,
)
NO_TEXT = re.compile(r"[\x00-\x1f\x7f\ufffd]")
LISTING = pa.schema(
    [
        ("key", pa.string()),
        ("e_tag", pa.string()),
        ("size", pa.int64()),
        ("last_modified", pa.timestamp("us")),
    ]
)
MISSING_IMAGE = "the image is missing from the log"
DAMAGED_IMAGE = "what came is not the image that its name says, and cannot be read"


class LogObject(NamedTuple):
    """One object of the log as a listing shows it; `key` is relative to the log's root."""

    key: str
    e_tag: str
    size: int
    last_modified: datetime  # UTC, without a zone


class Log:
    """Lists, reads and adds objects below one root; fetches the images that records name."""

    def __init__(
        self,
        uri: str,
        store: Any,
        image_roots: tuple[str, ...] = (),
        conditional_writes: bool = True,
        max_image_bytes: int = MAX_IMAGE_BYTES,
    ) -> None:
        self.uri = uri
        self._max_image_bytes = max_image_bytes
        self._conditional_writes = conditional_writes
        self._store = store
        self.image_roots = image_roots
        self._image_stores: dict[str, Any] = {}
        self._backoffs: dict[int, tuple[float, str]] = {}  # by store: until when, and why

    @classmethod
    def open(
        cls, uri: str, image_roots: tuple[str, ...] = (), conditional_writes: bool = True
    ) -> "Log":
        """Open `s3://bucket/prefix` or a folder; nothing is fetched yet.

        image_roots: `s3://bucket/prefix` places outside the log whose images may be fetched.
        conditional_writes: whether the store knows `If-None-Match`; if not, `put` looks first.
        Raises LogError where the folder does not exist or there are no credentials.
        """
        return cls(uri, open_store(uri), image_roots, conditional_writes)

    @property
    def opened_with(self) -> dict[str, Any]:
        """The arguments of `open` with which another process opens this log; as JSON has them."""
        return {
            "uri": self.uri,
            "image_roots": list(self.image_roots),
            "conditional_writes": self._conditional_writes,
        }

    def list(self, prefix: str) -> list[LogObject]:
        """Every object below a prefix such as `predictions/`, in no particular order.

        Raises LogError where the bucket or the folder is gone or does not answer.
        """
        columns = [column.to_pylist() for column in self.listing(prefix).columns]
        return [LogObject(*row) for row in zip(*columns, strict=True)]

    def listing(self, prefix: str, unreadable: dict[str, str] | None = None) -> pa.Table:
        """The objects below a prefix as a table with LISTING's columns, for when there are many.

        unreadable: takes the sentence for each part of a folder, by its prefix, that cannot be
        listed; without it, such a part raises LogError too. Raises as `list` does.
        """
        if not self.uri.startswith("s3://") and not Path(self.uri).is_dir():
            raise LogError(f"There is no folder {self.uri}.")
        try:
            chunks = obstore.list(self._store, prefix, return_arrow=True)
            return _listing_table(pa.record_batch(chunk) for chunk in chunks)
        except FileNotFoundError as error:
            if self.uri.startswith("s3://") and not is_missing(error):
                raise store_failure(self.uri, error) from error
            return LISTING.empty_table()
        except InvalidPathError:  # obstore does not name the key
            return self._list_any(prefix, unreadable)
        except FAILURES as error:
            if not self.uri.startswith("s3://"):
                return self._list_any(prefix, unreadable)
            raise store_failure(self.uri, error) from error

    def _list_any(self, prefix: str, unreadable: dict[str, str] | None) -> pa.Table:
        """A listing in which keys may be anything; slower, for where obstore refuses a key."""
        parts: dict[str, str] = {}
        try:
            in_bucket = self.uri.startswith("s3://")
            objects = self._list_bucket(prefix) if in_bucket else self._list_folder(prefix, parts)
            table = pa.Table.from_pylist([row._asdict() for row in objects], LISTING)
        except FAILURES as error:
            raise store_failure(self.uri, error) from error
        if parts and unreadable is None:
            raise LogError(next(iter(parts.values())))
        if unreadable is not None:
            unreadable.update(parts)
        return table

    def _list_bucket(self, prefix: str) -> Iterator[LogObject]:
        bucket, _, root = self.uri.removeprefix("s3://").partition("/")
        root = f"{root.rstrip('/')}/" if root else ""
        client = boto3.Session().client("s3")
        for page in client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=f"{root}{prefix}"
        ):
            for entry in page.get("Contents", []):
                yield LogObject(
                    entry["Key"].removeprefix(root),
                    entry["ETag"],
                    entry["Size"],
                    entry["LastModified"].astimezone(UTC).replace(tzinfo=None),
                )

    def _list_folder(self, prefix: str, unreadable: dict[str, str]) -> Iterator[LogObject]:
        """Links are followed, but not to a folder that they lie in."""
        root = Path(self.uri)

        def refuse(path: str | os.PathLike[str], reason: str) -> None:
            key = _key(root, path)
            unreadable[key] = f"{root / key} cannot be listed: {reason}."

        def refuse_folder(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):
                refuse(f"{error.filename}", error.strerror or type(error).__name__)

        for folder, folders, names in os.walk(
            root / prefix, onerror=refuse_folder, followlinks=True
        ):
            above = os.path.realpath(folder) + os.sep
            for name in [*folders]:
                path = Path(folder, name)
                if path.is_symlink() and above.startswith(os.path.realpath(path) + os.sep):
                    folders.remove(name)
                    refuse(path, "it is a link to a folder that it lies in")
            for name in names:
                key = _key(root, Path(folder, name))
                if not is_plain(key):
                    yield LogObject(key, "", 0, datetime.now(UTC).replace(tzinfo=None))
                    continue
                try:
                    yield _log_object(key, obstore.head(self._store, key))
                except FileNotFoundError:
                    continue
                except (BaseError, OSError) as error:
                    unreadable[key] = str(store_failure(f"{self.uri}/{key}", error))

    def get(self, key: str) -> bytes:
        """Raises ChangedObjectError where the object is gone, LogError where it cannot be had."""
        return self.get_tagged(key)[0]

    def get_tagged(self, key: str) -> tuple[bytes, str]:
        """An object's bytes and the e-tag of just these, which a listing before may not have had.

        Raises as `get` does.
        """
        try:
            result = obstore.get(self._store, key)
            body = result.bytes().to_bytes()
            return body, _log_object(key, result.meta).e_tag
        except FAILURES as error:
            raise self._failure(key, error) from error

    def tail(self, key: str, size: int, count: int) -> bytes:
        """The last `count` bytes, or fewer, of an object of `size` bytes. Raises as `get` does."""
        start = max(0, size - count)
        try:
            return obstore.get_range(self._store, key, start=start, end=size).to_bytes()
        except FAILURES as error:
            raise self._failure(key, error) from error

    def is_there(self, key: str) -> bool:
        """Whether an object of this key exists now. Raises LogError where that is uncertain."""
        try:
            obstore.head(self._store, key)
        except FAILURES as error:
            if is_missing(error):
                return False
            raise store_failure(f"{self.uri}/{key}", error) from error
        return True

    def put(self, key: str, body: bytes) -> bool:
        """Add an object that was not there; False where one already is, which is left alone.

        Raises LogError where neither is certain.
        """
        if not self._conditional_writes:
            return not self.is_there(key) and self._put(key, body, "overwrite") is None
        attempts = PUT_ATTEMPTS
        while (conflict := self._put(key, body, "create")) is not None:
            if self.is_there(key):
                return False
            attempts -= 1
            if not attempts:
                raise store_failure(f"{self.uri}/{key}", conflict, "written") from conflict
        return True

    def _put(
        self, key: str, body: bytes, mode: Literal["create", "overwrite"]
    ) -> AlreadyExistsError | None:
        """None once written; the conflict where the object exists or is being written elsewhere."""
        try:
            obstore.put(self._store, key, body, mode=mode)
        except AlreadyExistsError as error:
            return error
        except FAILURES as error:
            raise store_failure(f"{self.uri}/{key}", error, "written") from error
        return None

    def remove(self, key: str) -> None:
        """Delete an object for good; a missing object is no error. Raises LogError."""
        try:
            obstore.delete(self._store, key)
        except FAILURES as error:
            if not is_missing(error):
                raise store_failure(f"{self.uri}/{key}", error, "removed") from error

    def _failure(self, key: str, error: Exception) -> LogError:
        failure = store_failure(f"{self.uri}/{key}", error)
        return ChangedObjectError(str(failure)) if is_missing(error) else failure

    def image(self, name: str) -> bytes:
        """The bytes of an image by `inputs.image`: a key of the log, or an allowed s3:// URI.

        Raises LogError where the image lies outside the log and the allowed roots, is missing,
        or has more than max_image_bytes bytes. A store that does not answer is left alone for
        IMAGE_BACKOFF_SECONDS seconds, so that a page of images does not wait for each of them.
        """
        store, key = self._image_place(name)
        until, reason = self._backoffs.get(id(store), (0.0, ""))
        if time.monotonic() < until:
            raise LogError(reason)
        try:
            result = obstore.get(store, key)
            if result.meta["size"] > self._max_image_bytes:
                raise LogError(
                    f"the image has {result.meta['size']:,} bytes, too many to open",
                    retryable=False,
                )
            return result.bytes().to_bytes()
        except ValueError as error:
            raise LogError("the image's name is no key of an object", retryable=False) from error
        except FAILURES as error:
            if is_missing(error):
                raise LogError(MISSING_IMAGE, retryable=False) from error
            failure = store_failure(name, error)
            if is_unreachable(error):
                self._backoffs[id(store)] = (
                    time.monotonic() + IMAGE_BACKOFF_SECONDS,
                    str(failure),
                )
            raise failure from error

    def _image_place(self, name: str) -> tuple[Any, str]:
        if ".." in re.split(r"[/\\]", name):
            raise LogError(
                "the image's name leaves the log, so it was not fetched", retryable=False
            )
        if name.startswith(f"{self.uri}/"):
            return self._store, name.removeprefix(f"{self.uri}/")
        if not re.match(r"[a-z0-9+.-]+:", name, re.IGNORECASE) and not name.startswith("/"):
            return self._store, name
        for root in self.image_roots:
            if name.startswith(f"{root.rstrip('/')}/"):
                if root not in self._image_stores:
                    self._image_stores[root] = open_store(root.rstrip("/"))
                return self._image_stores[root], name.removeprefix(f"{root.rstrip('/')}/")
        raise LogError(
            "the image lies outside the log and MISREAD_IMAGE_ROOTS, so it was not fetched",
            retryable=False,
        )


def is_plain(key: str) -> bool:
    """Whether such a key can be asked for: no empty, `.` or `..` step, all of it text."""
    return not {"", ".", ".."} & set(key.split("/")) and not NO_TEXT.search(key)


def _key(root: Path, path: str | os.PathLike[str]) -> str:
    """The key of a file or folder below a root, as text."""
    return os.fsencode(Path(path).relative_to(root).as_posix()).decode(errors="replace")


def _log_object(key: str, meta: Any) -> LogObject:
    """meta: an obstore ObjectMeta; where it has no e-tag, the second of the change stands in."""
    moment = meta["last_modified"].astimezone(UTC)
    tag = meta["e_tag"] or str(int(moment.timestamp()))
    return LogObject(key, tag, meta["size"], moment.replace(tzinfo=None))


def _listing_table(chunks: Iterable[pa.RecordBatch]) -> pa.Table:
    """The chunks of an obstore listing as one table, with LISTING's columns."""
    batches = list(chunks)
    if not batches:
        return LISTING.empty_table()
    objects = pa.Table.from_batches(batches)
    moments = objects["last_modified"].cast(pa.timestamp("us"))
    seconds = moments.cast(pa.timestamp("s"), safe=False).cast(pa.int64())
    tags = pc.coalesce(objects["e_tag"], seconds.cast(pa.string()))
    columns = [objects["path"], tags, objects["size"], moments]
    return pa.table(dict(zip(LISTING.names, columns, strict=True))).cast(LISTING)


class UnreachableLog(Log):
    """A log that could not be opened: every request for it says why."""

    def __init__(self, uri: str, sentence: str) -> None:
        super().__init__(uri, None)
        self._sentence = sentence

    def listing(self, prefix: str, unreadable: dict[str, str] | None = None) -> pa.Table:
        raise LogError(self._sentence)

    def get_tagged(self, key: str) -> tuple[bytes, str]:
        raise LogError(self._sentence)

    def tail(self, key: str, size: int, count: int) -> bytes:
        raise LogError(self._sentence)

    def remove(self, key: str) -> None:
        raise LogError(self._sentence)

    def is_there(self, key: str) -> bool:
        raise LogError(self._sentence)

    def put(self, key: str, body: bytes) -> bool:
        raise LogError(self._sentence)

    def image(self, name: str) -> bytes:
        raise LogError(self._sentence)


def create_bucket(uri: str) -> None:
    """Create the bucket of an s3:// URI where it does not exist yet."""
    bucket = uri.removeprefix("s3://").partition("/")[0]
    try:
        client = boto3.Session().client("s3")
        if is_loopback(client.meta.endpoint_url):
            bypass_proxies_on_loopback()
        if bucket not in {existing["Name"] for existing in client.list_buckets()["Buckets"]}:
            client.create_bucket(Bucket=bucket)
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        raise LogError(f"The bucket {bucket} cannot be created: {error}") from error
