"""Objects below a prefix that are only ever added to, each fetched once and kept in memory."""

import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from data_access.errors import LogError
from data_access.log.log import Log

Key = TypeVar("Key")
Value = TypeVar("Value")

FETCHERS = 16


class Additions(Generic[Key, Value]):
    """What the objects below some prefixes say, by prefix. Threads may share it.

    version: grows whenever there is more. problems: by key, why an object could not be read.
    """

    def __init__(
        self,
        log: Log,
        parse: Callable[[bytes], Mapping[Key, Value]],
        contents: str,
        max_bytes: int,
    ) -> None:
        """parse: raises whatever it likes for bytes that are not of `contents`, such as
        "readings". max_bytes: larger objects are not fetched.
        """
        self.version = 0
        self.problems: dict[str, str] = {}
        self._log = log
        self._parse = parse
        self._contents = contents
        self._max_bytes = max_bytes
        self._seen: set[str] = set()
        self._known: dict[str, dict[Key, Value]] = {}
        self._looking = threading.Lock()

    def below(self, prefix: str) -> dict[Key, Value]:
        """What is known so far; not to be changed."""
        return self._known.get(prefix, {})

    def refresh(self, prefixes: Collection[str]) -> None:
        """Read the objects that are new. Raises LogError where the log cannot be listed."""
        with self._looking, ThreadPoolExecutor(FETCHERS) as pool:
            for prefix in prefixes:
                new = [
                    listed.key
                    for listed in self._log.list(prefix)
                    if listed.key not in self._seen and listed.size <= self._max_bytes
                ]
                read = list(pool.map(self._read, sorted(new)))
                if any(read):
                    merged = dict(self.below(prefix))
                    for values in read:
                        merged = {**values, **merged}  # of two values the first one stays
                    self._known[prefix] = merged
                    self.version += 1

    def _read(self, key: str) -> Mapping[Key, Value]:
        try:
            values = self._parse(self._log.get(key))
        except LogError:
            return {}  # tried again the next time
        except Exception as error:  # pyarrow raises many kinds on hostile bytes
            self.problems[key] = f"{key} is not a file of {self._contents}: {str(error)[:200]}"
            values = {}
        self._seen.add(key)
        return values
