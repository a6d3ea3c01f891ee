"""What was asked before: a bounded memory of this process, and look-ups kept in the store.

Errors and incomplete answers are never kept, so a failure is asked again.
"""

import contextlib
import hashlib
import itertools
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Generic, TypeVar, cast

from mdti.errors import DeadlineExceeded, MdtiError, StoreError
from mdti.models import Host, Lookup
from mdti.net.deadline import Deadline
from mdti.render.document import lookup_document, lookup_from_document
from mdti.store.base import Store

V = TypeVar("V")

MEMORY_BYTES = 64 * 1024 * 1024
REPUTATION_SECONDS = 6 * 3_600.0
PASSIVE_DNS_SECONDS = 24 * 3_600.0
ARTICLE_SECONDS = 24 * 3_600.0
LOOKUP_LIFETIME = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class _Entry:
    value: object
    size: int
    expires: float


class Memory:
    """A least-recently-used memory bounded by bytes, and the flights of what is being fetched.

    Safe for threads. Two look-ups that want the same thing at the same time ask for it once: the
    second waits, in its own thread, for the first.
    """

    def __init__(self, *, clock: Callable[[], float], max_bytes: int = MEMORY_BYTES) -> None:
        self._clock = clock
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[tuple[str, Any], _Entry] = OrderedDict()
        self._bytes = 0
        self._flights: dict[tuple[str, Any], Future[object]] = {}

    @property
    def size(self) -> int:
        """The estimated bytes that are held."""
        return self._bytes

    def shelf(self, kind: str, *, seconds: float, sized: Callable[[V], int]) -> "Shelf[V]":
        """Return the part of the memory for one kind of value.

        A value lives for `seconds`; `sized` estimates its bytes.
        """
        return Shelf(self, kind, seconds, sized)

    def _get(self, key: tuple[str, Any]) -> _Entry | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.expires <= self._clock():
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry

    def _put(self, key: tuple[str, Any], value: object, size: int, seconds: float) -> None:
        self._drop(key)
        if size > self._max_bytes:
            return
        self._entries[key] = _Entry(value, size, self._clock() + seconds)
        self._bytes += size
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: tuple[str, Any]) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry.size


@dataclass(frozen=True, slots=True)
class Answers(Generic[V]):
    """What was asked for, by key, and how many of the answers were there already."""

    found: Mapping[Any, V | MdtiError]
    hits: int


class Shelf(Generic[V]):
    """One kind of value in a `Memory`."""

    def __init__(
        self, memory: Memory, kind: str, seconds: float, sized: Callable[[V], int]
    ) -> None:
        self._memory, self._kind, self._seconds, self._sized = memory, kind, seconds, sized

    def get_all(
        self,
        keys: Iterable[Any],
        fetch: Callable[[Sequence[Any]], Mapping[Any, V | MdtiError]],
        *,
        deadline: Deadline,
    ) -> Answers[V]:
        """Return a value or an error for each of `keys`, fetching those that are not there.

        `fetch` is called in this thread with what nobody else is fetching, and once more for what
        somebody else failed to fetch.
        """
        found: dict[Any, V | MdtiError] = {}
        others: dict[Any, Future[object]] = {}
        mine: dict[Any, Future[object]] = {}
        memory = self._memory
        with memory._lock:
            for key in dict.fromkeys(keys):
                entry = memory._get((self._kind, key))
                if entry is not None:
                    found[key] = cast(V, entry.value)
                elif (flight := memory._flights.get((self._kind, key))) is not None:
                    others[key] = flight
                else:
                    mine[key] = memory._flights[self._kind, key] = Future()
        hits = len(found)
        found |= self._fetch(mine, fetch)
        for key, flight in others.items():
            found[key] = self._wait(flight, deadline)
        failed = [key for key in others if isinstance(found[key], MdtiError)]
        if failed and not deadline.expired:
            found |= self.get_all(failed, fetch, deadline=deadline).found
        return Answers(found, hits + len(others) - len(failed))

    def _fetch(
        self,
        mine: Mapping[Any, Future[object]],
        fetch: Callable[[Sequence[Any]], Mapping[Any, V | MdtiError]],
    ) -> Mapping[Any, V | MdtiError]:
        if not mine:
            return {}
        fetched: Mapping[Any, V | MdtiError] = {}
        try:
            fetched = fetch(tuple(mine))
            return fetched
        finally:
            memory = self._memory
            with memory._lock:
                for key, value in fetched.items():
                    if not isinstance(value, MdtiError):
                        memory._put((self._kind, key), value, self._sized(value), self._seconds)
                for key in mine:
                    del memory._flights[self._kind, key]
            failure = DeadlineExceeded("Another look-up that asked for the same thing failed.")
            for key, flight in mine.items():
                flight.set_result(fetched.get(key, failure))

    def _wait(self, flight: Future[object], deadline: Deadline) -> V | MdtiError:
        try:
            return cast("V | MdtiError", flight.result(timeout=deadline.remaining()))
        except FutureTimeout:
            return DeadlineExceeded("The time was over while another look-up asked the same.")


class StoredLookups:
    """Complete look-ups in the store, for an hour; a store that fails costs time, not answers.

    `source` tells where they come from: what one Graph says is no answer for another.
    """

    def __init__(self, store: Store, *, source: str, now: Callable[[], datetime]) -> None:
        self._store, self._source, self._now = store, source, now

    def _key(self, day: date, seed: Host, version: str) -> str:
        digest = hashlib.sha256(f"{self._source} {seed.kind} {seed.value} {version}".encode())
        return f"{_folder(day)}{digest.hexdigest()}.json"

    def read_all(
        self, seeds: Sequence[Host], version: str, *, deadline: Deadline
    ) -> dict[Host, Lookup]:
        """Return the look-ups of `seeds` that were made under `version` and are fresh enough.

        A store that has failed once is not waited for again, and neither is one when time is up.
        """
        found = {}
        with contextlib.suppress(StoreError):
            for seed in seeds:
                if deadline.expired:
                    break
                lookup = self._read(seed, version)
                if lookup is not None:
                    found[seed] = lookup
        return found

    def _read(self, seed: Host, version: str) -> Lookup | None:
        now = self._now()
        for day in sorted({now.date(), (now - LOOKUP_LIFETIME).date()}, reverse=True):
            stored = self._store.read(self._key(day, seed, version))
            if stored is not None:
                return _fresh(stored.body, now)
        return None

    def write_all(self, lookups: Iterable[Lookup], version: str) -> None:
        """Keep those of `lookups` that are complete, until the store fails."""
        now = self._now()
        with contextlib.suppress(StoreError):
            for lookup in lookups:
                if not lookup.complete:
                    continue
                document = {"made": now.isoformat(), "lookup": lookup_document(lookup)}
                body = json.dumps(document, ensure_ascii=False).encode()
                self._store.write(self._key(now.date(), lookup.seed, version), body)

    def sweep(self, *, most: int = 10_000) -> int:
        """Delete look-ups of past days, at most `most`; return how many were deleted."""
        kept = {
            _folder(day) for day in (self._now().date(), (self._now() - LOOKUP_LIFETIME).date())
        }
        old = (key for key in self._store.list_("lookups/") if not key.startswith(tuple(kept)))
        doomed = list(itertools.islice(old, most))
        for key in doomed:
            self._store.delete(key)
        return len(doomed)


def _fresh(body: bytes, now: datetime) -> Lookup | None:
    try:
        document = json.loads(body)
        made = datetime.fromisoformat(document["made"])
        if not timedelta() <= now - made < LOOKUP_LIFETIME:
            return None
        return lookup_from_document(document["lookup"])
    except (ValueError, KeyError, TypeError):
        return None


def _folder(day: date) -> str:
    return f"lookups/{day.isoformat()}/"
