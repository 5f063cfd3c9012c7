"""The log: objects in an S3 bucket or in a folder of the same shape.

boto3 resolves sessions, profiles, endpoints and credentials; obstore moves the bytes.
"""

import contextlib
import os
import re
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import botocore.exceptions
import obstore
import pyarrow as pa
import pyarrow.compute as pc
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    InvalidPathError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import LocalStore, S3Store

from data_access.errors import ChangedObjectError, LogError

MAX_IMAGE_BYTES = 64 * 1024 * 1024
IMAGE_BACKOFF_SECONDS = 10.0
SILENT = re.compile(r"error sending request|\bconnect|timed? ?out|\bdns\b", re.IGNORECASE)
DENIED = re.compile(r"\b403\b|Forbidden|AccessDenied|SignatureDoesNotMatch|InvalidAccessKey")
ANSWERED = re.compile(r"non-2xx status code: (\d+)")
LASTING = re.compile(r"\b400\b")  # such as a key that is too long
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

    def __init__(self, uri: str, store: Any, image_roots: tuple[str, ...] = ()) -> None:
        self.uri = uri
        self._store = store
        self.image_roots = image_roots
        self._image_stores: dict[str, Any] = {}
        self._backoffs: dict[int, tuple[float, str]] = {}  # by store: until when, and why

    @classmethod
    def open(cls, uri: str, image_roots: tuple[str, ...] = ()) -> "Log":
        """Open `s3://bucket/prefix` or a folder; nothing is fetched yet.

        image_roots: `s3://bucket/prefix` places outside the log whose images may be fetched.
        Raises LogError where the folder does not exist or no credentials are found.
        """
        return cls(uri, _store(uri), image_roots)

    def list(self, prefix: str) -> list[LogObject]:
        """Every object below a prefix such as `predictions/`, in no particular order.

        Raises LogError where the bucket or the folder is gone or does not answer.
        """
        columns = [column.to_pylist() for column in self.listing(prefix).columns]
        return [LogObject(*row) for row in zip(*columns, strict=True)]

    def listing(self, prefix: str) -> pa.Table:
        """The same as a table of LISTING's columns, for when there are many.

        Raises as `list` does.
        """
        if not self.uri.startswith("s3://") and not Path(self.uri).is_dir():
            raise LogError(f"There is no folder {self.uri}.")
        try:
            chunks = obstore.list(self._store, prefix, return_arrow=True)
            return _listing_table(pa.record_batch(chunk) for chunk in chunks)
        except FileNotFoundError:
            return LISTING.empty_table()
        except InvalidPathError:  # which of them it is, it does not say
            return self._list_any(prefix)
        except (BaseError, OSError, ValueError) as error:
            raise LogError(_sentence(self.uri, error)) from error

    def _list_any(self, prefix: str) -> pa.Table:
        """A listing in which keys may be anything, slower: for where obstore refuses one."""
        try:
            in_bucket = self.uri.startswith("s3://")
            found = self._list_bucket(prefix) if in_bucket else self._list_folder(prefix)
            return pa.Table.from_pylist([one._asdict() for one in found], LISTING)
        except (
            botocore.exceptions.BotoCoreError,
            botocore.exceptions.ClientError,
            BaseError,
            OSError,
        ) as error:
            raise LogError(_sentence(self.uri, error)) from error

    def _list_bucket(self, prefix: str) -> Iterator[LogObject]:
        bucket, _, root = self.uri.removeprefix("s3://").partition("/")
        root = f"{root.rstrip('/')}/" if root else ""
        client = boto3.Session().client("s3")
        for page in client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=f"{root}{prefix}"
        ):
            for found in page.get("Contents", []):
                yield LogObject(
                    found["Key"].removeprefix(root),
                    found["ETag"],
                    found["Size"],
                    found["LastModified"].astimezone(UTC).replace(tzinfo=None),
                )

    def _list_folder(self, prefix: str) -> Iterator[LogObject]:
        root = Path(self.uri)
        for folder, _, names in os.walk(root / prefix):
            for name in names:
                written = os.fsencode(Path(folder, name).relative_to(root).as_posix())
                key = written.decode(errors="replace")
                if is_plain(key):
                    with contextlib.suppress(FileNotFoundError):
                        yield _log_object(key, obstore.head(self._store, key))
                else:
                    yield LogObject(key, "", 0, datetime.now(UTC).replace(tzinfo=None))

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
        except FileNotFoundError as error:
            raise ChangedObjectError(_sentence(f"{self.uri}/{key}", error)) from error
        except (BaseError, OSError, ValueError) as error:
            raise LogError(_sentence(f"{self.uri}/{key}", error)) from error

    def tail(self, key: str, size: int, count: int) -> bytes:
        """The last `count` bytes, or fewer, of an object of `size` bytes. Raises as `get` does."""
        start = max(0, size - count)
        try:
            return obstore.get_range(self._store, key, start=start, end=size).to_bytes()
        except FileNotFoundError as error:
            raise ChangedObjectError(_sentence(f"{self.uri}/{key}", error)) from error
        except (BaseError, OSError, ValueError) as error:
            raise LogError(_sentence(f"{self.uri}/{key}", error)) from error

    def is_there(self, key: str) -> bool:
        """Whether there is an object of this key now. Raises LogError where that cannot be told."""
        try:
            obstore.head(self._store, key)
        except FileNotFoundError:
            return False
        except (BaseError, OSError, ValueError) as error:
            raise LogError(_sentence(f"{self.uri}/{key}", error)) from error
        return True

    def put(self, key: str, body: bytes) -> bool:
        """Add an object that was not there; False where one already is, which is left alone."""
        try:
            obstore.put(self._store, key, body, mode="create")
        except AlreadyExistsError:
            return False
        except (BaseError, OSError, ValueError) as error:
            told = _sentence(f"{self.uri}/{key}", error)
            raise LogError(told.replace(" cannot be read", " cannot be written")) from error
        return True

    def remove(self, key: str) -> None:
        """Delete an object for good; one that is gone already is no error. Raises LogError."""
        try:
            obstore.delete(self._store, key)
        except FileNotFoundError:
            return
        except (BaseError, OSError, ValueError) as error:
            raise LogError(_sentence(f"{self.uri}/{key}", error)) from error

    def image(self, name: str) -> bytes:
        """The bytes of an image by `inputs.image`: a key of the log, or an allowed s3:// URI.

        Raises LogError where the image lies outside the log and the allowed roots, is missing,
        or has more than MAX_IMAGE_BYTES bytes. A store that does not answer is left alone for
        IMAGE_BACKOFF_SECONDS seconds, so that a page of images does not wait for each of them.
        """
        store, key = self._image_place(name)
        until, reason = self._backoffs.get(id(store), (0.0, ""))
        if time.monotonic() < until:
            raise LogError(reason)
        try:
            result = obstore.get(store, key)
            if result.meta["size"] > MAX_IMAGE_BYTES:
                raise LogError(
                    f"the image has {result.meta['size']:,} bytes, too many to open",
                    retryable=False,
                )
            return result.bytes().to_bytes()
        except FileNotFoundError as error:
            raise LogError(MISSING_IMAGE, retryable=False) from error
        except ValueError as error:
            raise LogError("the image's name is no key of an object", retryable=False) from error
        except (BaseError, OSError) as error:
            sentence = _sentence(name, error)
            if _is_silent(error):
                self._backoffs[id(store)] = (time.monotonic() + IMAGE_BACKOFF_SECONDS, sentence)
            raise LogError(sentence, retryable=_is_retryable(error)) from error

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
                    self._image_stores[root] = _store(root.rstrip("/"))
                return self._image_stores[root], name.removeprefix(f"{root.rstrip('/')}/")
        raise LogError(
            "the image lies outside the log and MISREAD_IMAGE_ROOTS, so it was not fetched",
            retryable=False,
        )


def is_plain(key: str) -> bool:
    """Whether such a key can be asked for: no empty, `.` or `..` step, all of it text."""
    return not {"", ".", ".."} & set(key.split("/")) and not NO_TEXT.search(key)


def _log_object(key: str, meta: Any) -> LogObject:
    """From what obstore tells of an object; one without an e-tag has its second as one."""
    moment = meta["last_modified"].astimezone(UTC)
    tag = meta["e_tag"] or str(int(moment.timestamp()))
    return LogObject(key, tag, meta["size"], moment.replace(tzinfo=None))


def _listing_table(chunks: Iterable[pa.RecordBatch]) -> pa.Table:
    """The same of many, with LISTING's columns."""
    batches = list(chunks)
    if not batches:
        return LISTING.empty_table()
    found = pa.Table.from_batches(batches)
    moments = found["last_modified"].cast(pa.timestamp("us"))
    seconds = moments.cast(pa.timestamp("s"), safe=False).cast(pa.int64())
    tags = pc.coalesce(found["e_tag"], seconds.cast(pa.string()))
    columns = [found["path"], tags, found["size"], moments]
    return pa.table(dict(zip(LISTING.names, columns, strict=True))).cast(LISTING)


class UnreachableLog(Log):
    """A log that could not be opened: every request for it says why."""

    def __init__(self, uri: str, sentence: str) -> None:
        super().__init__(uri, None)
        self._sentence = sentence

    def listing(self, prefix: str) -> pa.Table:
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
    client = boto3.Session().client("s3")
    try:
        if bucket not in {found["Name"] for found in client.list_buckets()["Buckets"]}:
            client.create_bucket(Bucket=bucket)
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        raise LogError(f"The bucket {bucket} cannot be created: {error}") from error


def _store(uri: str) -> Any:
    if not uri.startswith("s3://"):
        folder = Path(uri)
        if not folder.is_dir():
            raise LogError(f"There is no folder {folder}.")
        return LocalStore(folder)
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if {".", ".."} & set(prefix.split("/")):
        raise LogError(f"{uri} is no place in a bucket: use s3://bucket/prefix.")
    if not re.fullmatch(r"[A-Za-z0-9._-]+", bucket):
        raise LogError(f"{uri} names no bucket: use s3://bucket/prefix.")
    try:
        session = boto3.Session()
        client = session.client("s3", region_name=session.region_name or "us-east-1")
        credentials = Boto3CredentialProvider(session)
    except (botocore.exceptions.BotoCoreError, ValueError) as error:
        raise LogError(
            f"No AWS credentials for {uri}: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
            f"AWS_SECRET_ACCESS_KEY ({error})."
        ) from error
    endpoint, region = client.meta.endpoint_url, client.meta.region_name
    usual = endpoint in ("https://s3.amazonaws.com", f"https://s3.{region}.amazonaws.com")
    return S3Store(
        bucket,
        prefix=prefix or None,
        region=region,
        **({} if usual else {"endpoint": endpoint}),
        virtual_hosted_style_request=usual and "." not in bucket,
        credential_provider=credentials,
        client_options={
            "allow_http": endpoint.startswith("http://"),
            "connect_timeout": "5s",
            "timeout": "60s",
        },
        retry_config={"max_retries": 4, "retry_timeout": timedelta(seconds=20)},
    )


def _sentence(place: str, error: Exception) -> str:
    """One sentence for what an object store said, which is often a page of XML."""
    if isinstance(error, FileNotFoundError):
        return f"{place} is not there (any more)."
    text = _said(error)
    if "RequestTimeTooSkewed" in text:
        return f"{place} cannot be had: the clock of this machine is off by minutes; set it right."
    if isinstance(error, PermissionDeniedError | UnauthenticatedError | PermissionError):
        return f"Access to {place} is denied: check the credentials and the bucket's policy."
    if _is_silent(error):
        return f"{place} does not answer: is the store up, and its address right?"
    if DENIED.search(text):
        return f"Access to {place} is denied: check the credentials and the bucket's policy."
    if "NoSuchBucket" in text:
        return f"There is no bucket for {place}."
    if re.search(r"\b301\b|PermanentRedirect|AuthorizationHeaderMalformed", text):
        return f"The bucket of {place} is in another region: set AWS_REGION to it."
    if answered := ANSWERED.search(text):
        return f"{place} cannot be read now: the store answers with error {answered[1]}."
    return f"{place} cannot be read: {text.splitlines()[0][:200]}"


def _said(error: Exception) -> str:
    """What a client says of an error, without the settings it repeats."""
    text = str(error).partition("\n\nDebug source:")[0]
    return re.sub(r"max_retries: \d+, retry_timeout: \S+", "", text)


def _is_silent(error: Exception) -> bool:
    """Whether the store did not answer at all."""
    text = _said(error)
    return bool(SILENT.search(text)) and not ANSWERED.search(text)


def _is_retryable(error: Exception) -> bool:
    """Whether the same request may well succeed later: all but what it is itself at fault for."""
    return not LASTING.search(_said(error))
