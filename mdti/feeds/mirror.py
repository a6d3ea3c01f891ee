"""A feed's mirror: every object of its source with all its indicators, and the cursor after them.

A batch and its cursor are one record, so the cursor is durable only together with every change at
or before it. A batch that is too large for one record is split, and the last part has the cursor.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from mdti.feeds.indicator import Indicator, Key
from mdti.feeds.mirror_tables import SAME, SCHEMA, meta, prune, replay
from mdti.feeds.payload import decode, encode
from mdti.feeds.plan import microseconds
from mdti.feeds.policy import SCORED_KINDS, Reputation
from mdti.feeds.ports import Batch, Change, Cursor, Upsert
from mdti.feeds.state import DurableFile
from mdti.store.base import Lease, Store

REMEMBERED: Final = timedelta(days=30)
"""How long a removed object is told from one never seen, and an expired one kept."""

_RECORD_BYTES: Final = 2 * 1024 * 1024
_OBJECT_BYTES: Final = 2 * 1024 * 1024
"""Most bytes of one object; ten thousand indicators of ordinary length."""

_SELECT: Final = (
    "SELECT i.id, i.kind, i.value, i.modified, i.payload, r.score, r.rules FROM indicator i"
    " LEFT JOIN reputation r ON r.kind=i.kind AND r.value=i.value"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Mirrored:
    """One indicator as the mirror holds it; `ref` finds it again while the mirror is open."""

    ref: int
    key: Key
    modified: int
    payload: bytes
    reputation: Reputation | None

    @property
    def indicator(self) -> Indicator:
        """The indicator itself."""
        return decode(self.payload, self.key, _EPOCH + timedelta(microseconds=self.modified))


@dataclass(frozen=True, slots=True)
class Sweep:
    """What the end of a snapshot means: objects it did not list, of how many, and if they went."""

    doomed: int
    alive: int
    done: bool


class Mirror:
    """The mirror of one feed; read only without a lease."""

    def __init__(self, store: Store, feed: str, folder: Path, *, lease: Lease | None) -> None:
        self.feed = feed
        self._file = DurableFile(
            store,
            f"feeds/mirrors/{feed}",
            folder / f"mirror-{feed}.db",
            lease=lease,
            schema=SCHEMA,
            replay=replay,
        )
        self._database = self._file.database
        self._begins = False

    def close(self) -> None:
        """Forget the local copy."""
        self._file.close()

    @property
    def cursor(self) -> Cursor | None:
        """Where the source is to be read on, None at the very beginning."""
        text = meta(self._database, "cursor")
        cursor: Mapping[str, str] | None = json.loads(text) if text else None
        return cursor

    @property
    def in_snapshot(self) -> bool:
        """True while a snapshot has begun and its last page was not seen."""
        return meta(self._database, "open") == "1"

    @property
    def whole(self) -> bool:
        """True once the source was read to its end."""
        return meta(self._database, "whole") == "1"

    def note_end(self) -> None:
        """Keep that the source was read to its end."""
        if not self.whole:
            self._file.record({"whole": True})

    @property
    def snapshots(self) -> int:
        """How many snapshots have begun so far, of each of which the first batch was kept."""
        return int(meta(self._database, "snapshot") or 0)

    @property
    def last_full(self) -> datetime | None:
        """When a reading of everything ended last, None when none has."""
        at = meta(self._database, "full_at")
        return datetime.fromtimestamp(int(at), UTC) if at else None

    def begin_snapshot(self) -> None:
        """Take the next batch for the first of a snapshot, which begins when it is kept.

        Until then an unfinished one goes on from its own cursor.
        """
        self._begins = True

    def write(self, batch: Batch, *, now: datetime, sweep_percent: int = 0) -> int:
        """Keep a batch and its cursor; return how many indicators were of objects too large.

        At the end of a snapshot what it did not list goes in the same record, unless it listed
        nothing or more than `sweep_percent` of all objects would go; `swept` tells.
        """
        snapshot = batch.phase != "delta"
        number = self.snapshots + int(self._begins)
        head = {"at": int(now.timestamp()), "snapshot": snapshot, "number": number}
        part: list[Any] = []
        size = lost = 0
        met: set[str] = set()
        for change in batch.changes:
            entry, length = _entry(change)
            if change.source_id not in met and _is_known(self._database, entry):
                # Sources repeat themselves; only a snapshot needs to remember that it did.
                entry, length = [change.source_id, change.version, SAME], 64
            met.add(change.source_id)
            if entry[2] == SAME and not snapshot:
                continue
            if length > _OBJECT_BYTES and isinstance(change, Upsert):
                lost += len(change.indicators)
                entry, length = [change.source_id, change.version, []], 64
            if part and size + length > _RECORD_BYTES:
                self._file.record({"changes": part, **head})
                part, size = [], 0
            part.append(entry)
            size += length
        last = {"changes": part, **head, "cursor": dict(batch.cursor)}
        if batch.phase == "snapshot_end":
            last |= {"sweep": sweep_percent, "since": batch.since}
        self._file.record(last)
        self._begins = False
        return lost

    @property
    def swept(self) -> Sweep:
        """What the end of the last snapshot meant."""
        return Sweep(*json.loads(meta(self._database, "swept") or "[0, 0, true]"))

    def compact(self, *, now: datetime) -> None:
        """Make a snapshot of the mirror when its journal has grown."""
        if self._file.grown:
            prune(self._database, int((now - REMEMBERED).timestamp()))
            self._file.save()

    def unscored(self, *, before: datetime) -> Iterator[Mirrored]:
        """Yield hosts without a reputation, then those whose reputation is older than `before`."""
        marks = ",".join("?" * len(SCORED_KINDS))
        rows = self._database.execute(
            f"{_SELECT} WHERE i.kind IN ({marks}) AND coalesce(r.at, 0) < ?"
            " ORDER BY coalesce(r.at, 0), i.id",
            (*sorted(SCORED_KINDS), int(before.timestamp())),
        )
        return (_mirrored(row) for row in rows)

    def keep_reputations(self, found: Mapping[Key, Reputation], *, now: datetime) -> None:
        """Keep what Microsoft says of hosts."""
        entries = [
            [key.kind, key.value, reputation.score, list(reputation.rules)]
            for key, reputation in found.items()
        ]
        self._file.record({"reputations": entries, "at": int(now.timestamp())})

    def floor(self, default: int | None) -> int | None:
        """Return the floor of reputation of the feed's last run, or `default` before the first."""
        text = meta(self._database, "floor")
        return default if text is None else json.loads(text)

    def keep_floor(self, floor: int | None) -> None:
        """Keep the floor of reputation of this run, so that applies of other feeds agree on it."""
        if self.floor(None) != floor:
            self._file.record({"floor": floor})

    def indicators(self) -> Iterator[Mirrored]:
        """Yield every indicator of every living object."""
        return (_mirrored(row) for row in self._database.execute(_SELECT))

    def get(self, ref: int) -> Mirrored:
        """Return one indicator that `indicators` gave."""
        return _mirrored(self._database.execute(f"{_SELECT} WHERE i.id=?", (ref,)).fetchone())


def _mirrored(row: Sequence[Any]) -> Mirrored:
    ref, kind, value, modified, payload, score, rules = row
    reputation = None if score is None else Reputation(score, tuple(json.loads(rules)))
    return Mirrored(ref, Key(kind, value), modified, payload, reputation)


def _entry(change: Change) -> tuple[list[Any], int]:
    if not isinstance(change, Upsert):
        return [change.source_id, change.version, None], len(change.source_id) + 64
    indicators = [_indicator(indicator) for indicator in change.indicators]
    size = 64 + len(change.source_id) + sum(len(item[1]) + len(item[3]) + 32 for item in indicators)
    return [change.source_id, change.version, indicators], size


def _indicator(indicator: Indicator) -> list[Any]:
    payload = encode(indicator).decode("ascii")
    return [indicator.key.kind, indicator.key.value, microseconds(indicator.modified), payload]


def _is_known(database: sqlite3.Connection, entry: Sequence[Any]) -> bool:
    """Return whether the object lives in the mirror, exactly as this entry describes it."""
    source_id, version, indicators = entry
    found = database.execute(
        "SELECT id FROM object WHERE source_id=? AND version=? AND gone=0", (source_id, version)
    ).fetchone()
    if found is None or not indicators:
        return False
    rows = database.execute(
        "SELECT kind, value, modified, payload FROM indicator WHERE object=? ORDER BY id", found
    )
    known = [[kind, value, modified, bytes(body).decode()] for kind, value, modified, body in rows]
    return known == list(indicators)
