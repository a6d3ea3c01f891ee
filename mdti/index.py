"""The actor index: every intel profile and all its indicators, kept in our own store.

The profiles are a few hundred lists, so a daily copy answers "which actor lists this host or this
file hash" without a request. Each copy is a blob of its own; one pointer, swapped by ETag, names
the current one; whoever writes holds a lease. A copy that is missing, partial or older than 48
hours is a gap in every look-up, never "no actor".
"""

import contextlib
import gzip
import json
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from mdti.client import MdtiClient
from mdti.errors import MdtiError, StoreError
from mdti.graph import Indicator
from mdti.incident_models import FileHash
from mdti.models import ActorRef, Claim, Gap, Host, IntelProfile
from mdti.naming import ActorNames
from mdti.net.deadline import Deadline
from mdti.net.meter import Meter
from mdti.store.base import Store

MAX_AGE = timedelta(hours=48)
RELOAD_SECONDS = 300.0
"""How long a process trusts that the pointer has not moved."""

RETRY_SECONDS = (60.0, 3_600.0)
"""How long look-ups leave Graph alone after a copy could not be made; doubled up to the second."""

_SHARE = 0.5
"""Most of a look-up's time that may go into making a copy."""

_KEPT_COPIES = 2
_FORMAT = 1


@dataclass(frozen=True)
class ActorIndex:
    """One copy of the intel profiles and their indicators.

    `rows` are (artifact, profile ids) sorted by artifact, an artifact being a host's value or a
    hash in lower case; membership is a bisection.
    """

    version: str
    built: datetime
    profiles: Mapping[str, IntelProfile]
    rows: Sequence[tuple[str, tuple[str, ...]]]
    failed: tuple[str, ...] = ()
    _artifacts: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_artifacts", tuple(artifact for artifact, _ in self.rows))

    @classmethod
    def of(
        cls,
        profiles: Iterable[IntelProfile],
        indicators: Mapping[str, Iterable[Indicator]],
        *,
        built: datetime,
        failed: Sequence[str] = (),
    ) -> "ActorIndex":
        """Return the index of `profiles`, whose `indicators` are keyed by profile id."""
        owners: dict[str, set[str]] = {}
        for profile_id, listed in indicators.items():
            for indicator in listed:
                owners.setdefault(indicator.artifact.value, set()).add(profile_id)
        rows = tuple((artifact, tuple(sorted(ids))) for artifact, ids in sorted(owners.items()))
        version = built.strftime("%Y%m%dt%H%M%S%fz")
        return cls(version, built, {p.id: p for p in profiles}, rows, tuple(sorted(failed)))

    @cached_property
    def names(self) -> ActorNames:
        """Which actor each name means."""
        return ActorNames(self.profiles)

    def claims(self, host: Host) -> tuple[Claim, ...]:
        """Return one claim for each actor whose profile lists the host."""
        actors = self._actors(host.value)
        return tuple(
            Claim(
                actor,
                "intelProfile",
                actor.name,
                f"https://security.microsoft.com/intel-profiles/{actor.profile_id}",
            )
            for actor in actors
        )

    def owners(self, file_hash: FileHash) -> tuple[ActorRef, ...]:
        """Return the actors whose profiles list the file hash."""
        return self._actors(file_hash.value)

    def gap(self, now: datetime) -> Gap | None:
        """Return what is wrong with this copy as a gap, or None when it may be trusted."""
        if self.version == EMPTY.version:
            return Gap("actorIndex", "the intel profiles could not be read")
        age = now - self.built
        if age > MAX_AGE:
            return Gap("actorIndex", f"the intel profiles were last read {age.days} days ago")
        if self.failed:
            count = len(self.failed)
            return Gap("actorIndex", f"the indicators of {count} intel profiles could not be read")
        return None

    def _actors(self, artifact: str) -> tuple[ActorRef, ...]:
        at = bisect_left(self._artifacts, artifact)
        if at == len(self._artifacts) or self._artifacts[at] != artifact:
            return ()
        owners = (self.profiles[profile_id] for profile_id in self.rows[at][1])
        return tuple(sorted(ActorRef(p.title, p.id) for p in owners if p.kind == "actor"))

    def to_bytes(self) -> bytes:
        """Return the copy as it is stored: JSON, compressed."""
        document = {
            "format": _FORMAT,
            "version": self.version,
            "built": self.built.isoformat(),
            "failed": self.failed,
            "profiles": [_profile_document(profile) for profile in self.profiles.values()],
            "rows": self.rows,
        }
        return gzip.compress(json.dumps(document, ensure_ascii=False).encode(), 6, mtime=0)

    @classmethod
    def from_bytes(cls, body: bytes) -> "ActorIndex":
        """Return the copy that `to_bytes` wrote; raise `StoreError` when it cannot be read."""
        try:
            document = json.loads(gzip.decompress(body))
            if document["format"] != _FORMAT:
                raise StoreError("The stored actor index has another format.")
            profiles = [_profile_from(entry) for entry in document["profiles"]]
            return cls(
                document["version"],
                datetime.fromisoformat(document["built"]),
                {profile.id: profile for profile in profiles},
                tuple((artifact, tuple(ids)) for artifact, ids in document["rows"]),
                tuple(document["failed"]),
            )
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise StoreError("The stored actor index cannot be read.") from error


EMPTY = ActorIndex("none", datetime.min.replace(tzinfo=UTC), {}, ())


class ActorIndexes:
    """Reads the current copy from the store, and makes the next one from Graph.

    `source` tells which Graph, so that two of them never share a copy.
    """

    def __init__(
        self,
        store: Store,
        client: MdtiClient,
        *,
        source: str,
        now: Callable[[], datetime],
        clock: Callable[[], float],
    ) -> None:
        self._store, self._client, self._now, self._clock = store, client, now, clock
        self._folder = f"actor-index/{source}"
        self._pointer = f"{self._folder}/current.json"
        self._lock = threading.Lock()
        self._current: ActorIndex | None = None
        self._checked = self._retry_at = float("-inf")
        self._failures = 0

    def current(self, *, deadline: Deadline, meter: Meter | None = None) -> ActorIndex:
        """Return the current copy; one that is missing, partial or too old is made anew.

        That takes at most half of the time, which belongs to the look-up. Never raises: what is
        wrong with the copy is said by its `gap`, or by its being `EMPTY`.
        """
        limit = Deadline.after(deadline.remaining() * _SHARE, clock=self._clock)
        if not self._lock.acquire(timeout=limit.remaining()):
            return self._current or EMPTY
        try:
            return self._sound(limit, meter)
        finally:
            self._lock.release()

    def refresh(self, *, deadline: Deadline) -> ActorIndex:
        """Read all profiles from Graph and make their copy the current one.

        Raises what Graph or the store raises; `LeaseLost` when somebody else is at it. A partial
        copy never replaces one that misses no more and is still young enough.
        """
        with self._lock:
            return self._refresh(deadline, None)

    def _sound(self, deadline: Deadline, meter: Meter | None) -> ActorIndex:
        """Return the copy that is there if nothing is wrong with it, else the best to be had."""
        index = self._loaded() or EMPTY
        if index.gap(self._now()) is None or deadline.expired:
            return index
        if self._clock() < self._retry_at:
            return index
        with contextlib.suppress(MdtiError):
            index = self._refresh(deadline, meter)
        if index.gap(self._now()) is None:
            self._failures = 0
        else:
            first, most = RETRY_SECONDS
            self._retry_at = self._clock() + min(first * 2.0 ** min(self._failures, 16), most)
            self._failures += 1
        return index

    def _loaded(self) -> ActorIndex | None:
        if self._current is not None and self._clock() - self._checked < RELOAD_SECONDS:
            return self._current
        with contextlib.suppress(StoreError, ValueError, KeyError, TypeError):
            pointer = self._store.read(self._pointer)
            if pointer is None:
                return self._current
            version = json.loads(pointer.body)["version"]
            if self._current is None or self._current.version != version:
                stored = self._store.read(self._copy_key(version))
                if stored is not None:
                    self._current = ActorIndex.from_bytes(stored.body)
            self._checked = self._clock()
        return self._current

    def _refresh(self, deadline: Deadline, meter: Meter | None) -> ActorIndex:
        with self._store.lease(self._folder) as lease:
            previous = self._store.read(self._pointer)
            index = self._read(deadline, meter)
            if index.failed and previous is not None and not self._missing_less(index):
                raise StoreError("The intel profiles could only be read in part; the copy stays.")
            self._store.write(self._copy_key(index.version), index.to_bytes(), lease=lease)
            pointer = json.dumps({"version": index.version}).encode()
            etag = previous.etag if previous else None
            self._store.write(
                self._pointer, pointer, if_match=etag, if_absent=previous is None, lease=lease
            )
            self._current, self._checked = index, self._clock()
            self._sweep()
        return index

    def _missing_less(self, index: ActorIndex) -> bool:
        """True when the copy that is there misses more than `index`, or is too old."""
        current = self._loaded()
        if current is None or self._now() - current.built > MAX_AGE:
            return True
        return len(index.failed) < len(current.failed)

    def _read(self, deadline: Deadline, meter: Meter | None) -> ActorIndex:
        profiles = self._client.intel_profiles(deadline=deadline, meter=meter)
        ids = list(dict.fromkeys(profile.id for profile in profiles))
        answers = self._client.profile_indicators(ids, deadline=deadline, meter=meter)
        indicators = {k: v for k, v in answers.items() if not isinstance(v, MdtiError)}
        failed = [key for key, answer in answers.items() if isinstance(answer, MdtiError)]
        return ActorIndex.of(profiles, indicators, built=self._now(), failed=failed)

    def _copy_key(self, version: str) -> str:
        return f"{self._folder}/{version}.json.gz"

    def _sweep(self) -> None:
        """Delete all copies but the newest; their keys sort by time."""
        with contextlib.suppress(StoreError):
            copies = [key for key in self._store.list_(f"{self._folder}/") if key != self._pointer]
            for key in sorted(copies)[:-_KEPT_COPIES]:
                self._store.delete(key)


def _profile_document(profile: IntelProfile) -> dict[str, Any]:
    document = asdict(profile)
    document["first_active"] = profile.first_active and profile.first_active.isoformat()
    return document


def _profile_from(document: Mapping[str, Any]) -> IntelProfile:
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in document.items()
    }
    first = fields.pop("first_active")
    moment = datetime.fromisoformat(first) if first else None
    return IntelProfile(**fields, first_active=moment)
