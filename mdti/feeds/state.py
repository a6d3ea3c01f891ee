"""A sqlite file that survives its machine: scratch on local disk, durable in the store.

    <prefix>/pointer                which of the following counts; swapped by ETag
    <prefix>/snapshot/<epoch>-<n>   the file as it was, compressed, in parts
    <prefix>/journal/<epoch>-<n>    what was done since, one framed record after another

Every holder of the lease begins an epoch of its own with its first record: it seals the journal it
has read, byte for byte, so that what a holder before it still appends is never read by anybody.
"""

import json
import sqlite3
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from mdti.errors import StoreError
from mdti.store.base import MAX_APPEND, Lease, Store

_PART: Final = 4 * 1024 * 1024
"""Bytes of the file in one part of a snapshot, and of a journal segment before the next begins."""

_MOST_SEGMENTS: Final = 48
_TRIES: Final = 3
_FRAME: Final = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class _Pointer:
    """What counts: a snapshot, the sealed segments with their lengths, and the open epoch."""

    epoch: int = 0
    snapshot: tuple[int, int] | None = None
    sealed: tuple[tuple[str, int], ...] = ()

    def to_bytes(self) -> bytes:
        document = {"epoch": self.epoch, "snapshot": self.snapshot, "sealed": self.sealed}
        return json.dumps(document).encode()

    @classmethod
    def of(cls, body: bytes) -> "_Pointer":
        document = json.loads(body)
        snapshot = document["snapshot"]
        return cls(
            document["epoch"],
            (snapshot[0], snapshot[1]) if snapshot else None,
            tuple((name, length) for name, length in document["sealed"]),
        )


class _Moved(Exception):
    """Something the pointer names is gone: another holder has made a new snapshot."""


class DurableFile:
    """One sqlite file and its journal.

    Without a lease it is read only: records change the local file and are kept nowhere, which is
    what a dry run wants. `replay` applies one record to the database; the same record on the same
    file must always have the same effect.
    """

    def __init__(
        self,
        store: Store,
        prefix: str,
        path: Path,
        *,
        lease: Lease | None,
        schema: str,
        replay: Callable[[sqlite3.Connection, Any], None],
    ) -> None:
        self._store, self._prefix, self._path, self._lease = store, prefix, path, lease
        self._schema, self._replay = schema, replay
        self._pointer, self._etag = _Pointer(), ""
        self._open: list[tuple[str, int]] = []
        self._mine = False
        self._broken = False
        self._snapshot_bytes = 0
        self.database = self._load()

    def close(self) -> None:
        """Forget the local file."""
        self.database.close()
        self._path.unlink(missing_ok=True)

    def record(self, document: Any) -> None:
        """Make a record durable, then apply it.

        When it raises, the record may or may not be durable; nothing more is taken then.
        """
        if self._lease is not None:
            self._append(document, self._lease)
        self._replay(self.database, document)
        self.database.commit()

    @property
    def grown(self) -> bool:
        """True when the journal is worth replacing by a snapshot, and that can be done."""
        if self._lease is None or self._broken:
            return False
        segments = (*self._pointer.sealed, *self._open)
        journal = sum(length for _, length in segments)
        return journal > max(_PART, self._snapshot_bytes // 2) or len(segments) > _MOST_SEGMENTS

    def save(self) -> None:
        """Replace the journal by a snapshot of the file as it is."""
        if self._lease is not None:
            self._save(self._lease)

    def _append(self, document: Any, lease: Lease) -> None:
        if self._broken:
            raise StoreError(f"{self._prefix} may have lost a record; it is read anew next time")
        body = zlib.compress(json.dumps(document, separators=(",", ":")).encode(), 3)
        frame = _FRAME.pack(len(body)) + body
        if len(frame) > MAX_APPEND:
            raise StoreError(f"a record of {len(frame)} bytes is too large for {self._prefix}")
        self._broken = True
        if not self._mine:
            self._begin(lease)
        name, length = self._segment()
        self._store.append(f"{self._prefix}/journal/{name}", frame, lease=lease)
        self._open[-1] = (name, length + len(frame))
        self._broken = False

    def _begin(self, lease: Lease) -> None:
        """Seal what was read and open an epoch that nobody else writes to."""
        sealed = (*self._pointer.sealed, *self._open)
        pointer = replace(self._pointer, epoch=self._pointer.epoch + 1, sealed=sealed)
        self._swap(pointer, lease)
        self._open, self._mine = [], True

    def _segment(self) -> tuple[str, int]:
        if not self._open or self._open[-1][1] >= _PART:
            self._open.append((f"{self._pointer.epoch}-{len(self._open)}", 0))
        return self._open[-1]

    def _swap(self, pointer: _Pointer, lease: Lease) -> None:
        self._etag = self._store.write(
            f"{self._prefix}/pointer",
            pointer.to_bytes(),
            if_match=self._etag or None,
            if_absent=not self._etag,
            lease=lease,
        )
        self._pointer = pointer

    def _save(self, lease: Lease) -> None:
        self._broken = True
        epoch, parts, size = self._pointer.epoch + 1, 0, 0
        with self._path.open("rb") as file:
            while part := file.read(_PART):
                body = zlib.compress(part, 3)
                self._store.write(f"{self._prefix}/snapshot/{epoch}-{parts}", body, lease=lease)
                parts, size = parts + 1, size + len(body)
        self._swap(_Pointer(epoch, (epoch, parts)), lease)
        self._open, self._mine, self._snapshot_bytes = [], True, size
        self._broken = False
        kept = {f"{self._prefix}/snapshot/{epoch}-{number}" for number in range(parts)}
        for folder in ("snapshot", "journal"):
            for key in self._store.list_(f"{self._prefix}/{folder}/"):
                if key not in kept:
                    self._store.delete(key, lease=lease)

    def _load(self) -> sqlite3.Connection:
        for _ in range(_TRIES):
            try:
                return self._read()
            except _Moved:
                continue
            except (zlib.error, struct.error, ValueError, KeyError, sqlite3.Error):
                break
        raise StoreError(
            f"the feed's state in {self._prefix} is damaged or incomplete",
            hint="Restore it from a backup, or delete what begins with that name: the feed then "
            "reads everything again, and takes over wanted rows that carry its mark.",
        )

    def _read(self) -> sqlite3.Connection:
        self._path.unlink(missing_ok=True)
        stored = self._store.read(f"{self._prefix}/pointer")
        self._pointer = _Pointer.of(stored.body) if stored else _Pointer()
        self._etag = stored.etag if stored else ""
        self._open = []
        if self._pointer.snapshot is not None:
            self._restore(*self._pointer.snapshot)
        database = _connect(self._path)
        try:
            database.executescript(self._schema)
            for record in self._journal():
                self._replay(database, record)
            database.commit()
        except BaseException:
            database.close()
            raise
        return database

    def _restore(self, epoch: int, parts: int) -> None:
        self._snapshot_bytes = 0
        with self._path.open("wb") as file:
            for number in range(parts):
                part = self._store.read(f"{self._prefix}/snapshot/{epoch}-{number}")
                if part is None:
                    raise _Moved
                self._snapshot_bytes += len(part.body)
                file.write(zlib.decompress(part.body))

    def _journal(self) -> Iterator[Any]:
        for name, length in self._pointer.sealed:
            stored = self._store.read(f"{self._prefix}/journal/{name}")
            if stored is None or len(stored.body) < length:
                raise _Moved
            yield from _records(stored.body[:length])
        while True:
            name = f"{self._pointer.epoch}-{len(self._open)}"
            stored = self._store.read(f"{self._prefix}/journal/{name}")
            if stored is None:
                return
            self._open.append((name, len(stored.body)))
            yield from _records(stored.body)


def _records(body: bytes) -> Iterator[Any]:
    at = 0
    while at < len(body):
        (length,) = _FRAME.unpack_from(body, at)
        at += _FRAME.size
        yield json.loads(zlib.decompress(body[at : at + length]))
        at += length


def _connect(path: Path) -> sqlite3.Connection:
    """Open a scratch file: after a crash it is made anew, so nothing needs to be flushed."""
    database = sqlite3.connect(path, isolation_level="DEFERRED", check_same_thread=False)
    for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-8192", "temp_store=FILE"):
        database.execute(f"PRAGMA {pragma}")
    return database
