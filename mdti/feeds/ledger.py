"""A destination's ledger: what we sent there, and what of it is to be changed.

Records are whole rows as they are afterwards, so that replaying one twice changes nothing. What
the feeds want, what the destination lists and what is to be done are temporary tables beside it.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from mdti.feeds.indicator import Key
from mdti.feeds.plan import NEWCOMER_LEAD, Decision, Row, Want, decide
from mdti.feeds.ports import Owned
from mdti.feeds.state import DurableFile
from mdti.store.base import Lease, Store

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS row(
  kind TEXT, value TEXT, held INTEGER NOT NULL, intent TEXT NOT NULL, generation INTEGER NOT NULL,
  remote_id TEXT, sent INTEGER, refused INTEGER, reason TEXT NOT NULL, sent_at INTEGER,
  expires_at INTEGER, PRIMARY KEY(kind, value)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS contributor(feed TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_WORK: Final = """
PRAGMA temp.cache_size=-4096;
CREATE TEMP TABLE want(
  kind TEXT, value TEXT, waiting INTEGER, rank INTEGER, modified INTEGER, fingerprint INTEGER,
  until INTEGER, mirror INTEGER, ref INTEGER, admitted INTEGER DEFAULT 1,
  PRIMARY KEY(kind, value)) WITHOUT ROWID;
CREATE TEMP TABLE listed(
  kind TEXT, value TEXT, remote_id TEXT, ours INTEGER, PRIMARY KEY(kind, value)) WITHOUT ROWID;
CREATE TEMP TABLE todo(
  id INTEGER PRIMARY KEY, what TEXT, kind TEXT, value TEXT, rank INTEGER, held INTEGER,
  mirror INTEGER);
CREATE INDEX temp.todo_order ON todo(what, held, mirror, rank DESC, id);
"""
_PAGE: Final = 2_000


@dataclass(frozen=True, slots=True)
class Wish:
    """What one mirror wants of one row; of several for one row the highest wins."""

    key: Key
    waiting: bool
    rank: int
    modified: int
    fingerprint: int
    valid_until: int | None
    mirror: int
    ref: int


@dataclass(frozen=True, slots=True)
class Task:
    """One row to be put, with where what is wanted comes from."""

    row: Row
    mirror: int
    ref: int
    fingerprint: int
    valid_until: int | None


class Ledger:
    """The ledger of one destination; read only without a lease."""

    def __init__(self, store: Store, name: str, folder: Path, *, lease: Lease | None) -> None:
        self._file = DurableFile(
            store,
            f"feeds/ledgers/{name}",
            folder / f"ledger-{name}.db",
            lease=lease,
            schema=_SCHEMA,
            replay=_replay,
        )
        self._database = self._file.database
        self._database.executescript(_WORK)

    def close(self) -> None:
        """Forget the local copy."""
        self._file.close()

    def compact(self) -> None:
        """Make a snapshot of the ledger when its journal has grown."""
        if self._file.grown:
            self._file.save()

    def write(self, rows: Sequence[Row]) -> None:
        """Make rows durable as they are."""
        for start in range(0, len(rows), _PAGE):
            self._file.record([_tuple(row) for row in rows[start : start + _PAGE]])

    @property
    def contributors(self) -> frozenset[str]:
        """The feeds whose rows may be here, since their sources were once read to the end."""
        return frozenset(feed for (feed,) in self._database.execute("SELECT feed FROM contributor"))

    def add_contributor(self, feed: str) -> None:
        """Keep that rows of a feed may be here from now on."""
        if feed not in self.contributors:
            self._file.record({"contributor": feed})

    def get(self, key: Key) -> Row | None:
        """Return what is known of a row."""
        found = self._database.execute(
            "SELECT * FROM row WHERE kind=? AND value=?", (key.kind, key.value)
        ).fetchone()
        return _row(found) if found else None

    def rows(self) -> Iterator[Row]:
        """Yield all rows by key."""
        for found in self._database.execute("SELECT * FROM row"):
            yield _row(found)

    @property
    def held(self) -> int:
        """How many rows are there, or may be."""
        return self._count("SELECT count(*) FROM row WHERE held=1")

    def wish(self, wishes: Iterable[Wish]) -> None:
        """Add to what is wanted."""
        self._database.executemany(
            "INSERT INTO want(kind, value, waiting, rank, modified, fingerprint, until, mirror,"
            " ref) VALUES(?,?,?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET"
            " waiting=excluded.waiting, rank=excluded.rank, modified=excluded.modified,"
            " fingerprint=excluded.fingerprint, until=excluded.until, mirror=excluded.mirror,"
            " ref=excluded.ref"
            " WHERE (-excluded.waiting, excluded.rank, excluded.modified, excluded.fingerprint)"
            " > (-waiting, rank, modified, fingerprint)",
            (_tuple(wish) for wish in wishes),
        )
        self._database.commit()

    def heal(self, listing: Iterable[Owned]) -> tuple[int, int]:
        """Believe the destination about what is there.

        Returns how many wanted rows are somebody else's (no longer wanted then), and how many rows
        carry our mark that the ledger has never heard of (left alone unless wanted).
        """
        self._database.executemany(
            "INSERT OR REPLACE INTO listed VALUES(?,?,?,?)",
            ((row.key.kind, row.key.value, row.remote_id, int(row.ours)) for row in listing),
        )
        for page in self._pages(
            "SELECT r.*, l.remote_id, l.ours FROM row r"
            " LEFT JOIN listed l ON l.kind=r.kind AND l.value=r.value"
            " WHERE r.held <> coalesce(l.ours, 0)"
            " OR r.held=1 AND r.remote_id IS NOT l.remote_id"
        ):
            rows = [(_row(found), _healed(_row(found), found[-2], found[-1])) for found in page]
            self.write([after for before, after in rows if after != before])
        foreign = self._database.execute(
            "DELETE FROM want WHERE (kind, value) IN (SELECT kind, value FROM listed WHERE ours=0)"
        ).rowcount
        unknown = self._count(
            "SELECT count(*) FROM listed l WHERE ours=1 AND NOT EXISTS"
            " (SELECT 1 FROM row r WHERE r.kind=l.kind AND r.value=l.value)"
            " AND NOT EXISTS (SELECT 1 FROM want w WHERE w.kind=l.kind AND w.value=l.value)"
        )
        self._database.commit()
        return foreign, unknown

    def admit(self, capacity: int | None) -> int:
        """Give the places to the highest ranks; return how many wanted rows get none."""
        if capacity is None:
            return 0
        self._database.execute("UPDATE want SET admitted=0")
        self._database.execute(
            "UPDATE want SET admitted=1 WHERE (kind, value) IN ("
            " SELECT w.kind, w.value FROM want w"
            " LEFT JOIN row r ON r.kind=w.kind AND r.value=w.value"
            " WHERE (w.waiting=0 OR r.held=1)"
            " AND (coalesce(r.held, 0)=1 OR r.refused IS NULL OR r.refused<>w.fingerprint)"
            " ORDER BY 2*w.rank + coalesce(r.held, 0)*? DESC,"
            " w.modified DESC, w.kind, w.value LIMIT ?)",
            (2 * NEWCOMER_LEAD - 1, capacity),
        )
        self._database.commit()
        return self._count(
            "SELECT count(*) FROM want w LEFT JOIN row r ON r.kind=w.kind AND r.value=w.value"
            " WHERE w.admitted=0 AND w.waiting=0"
            " AND (coalesce(r.held, 0)=1 OR r.refused IS NULL OR r.refused<>w.fingerprint)"
        )

    def plan(self, *, now: int, expire_days: Sequence[int | None]) -> dict[Decision, int]:
        """Decide about every row; return how many there are of each decision.

        `expire_days` are those of the mirrors, in the order of their numbers.
        """
        counts: dict[Decision, int] = {}
        self._database.execute("DELETE FROM todo")
        joined = (
            "SELECT r.*, w.fingerprint, w.until, w.waiting, w.rank, w.admitted, w.mirror"
            " FROM row r LEFT JOIN want w ON w.kind=r.kind AND w.value=r.value UNION ALL"
            " SELECT w.kind, w.value, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,"
            " w.fingerprint, w.until, w.waiting, w.rank, w.admitted, w.mirror FROM want w"
            " WHERE NOT EXISTS (SELECT 1 FROM row r WHERE r.kind=w.kind AND r.value=w.value)"
        )
        for page in self._pages(joined):
            todo = []
            for found in page:
                row = _row(found) if found[2] is not None else None
                mark, until, waiting, rank, admitted, mirror = found[-6:]
                # A waiting row is never evicted: what it is worth is not known.
                wanted = mark is not None and (admitted or waiting)
                want = Want(mark, until, bool(waiting)) if wanted else None
                days = expire_days[mirror or 0]
                decision = decide(row, want, now=now, expire_days=days)
                counts[decision] = counts.get(decision, 0) + 1
                if decision in ("put", "drop"):
                    held = int(row is not None and row.held)
                    todo.append((decision, found[0], found[1], rank or 0, held, mirror))
            self._database.executemany(
                "INSERT INTO todo(what, kind, value, rank, held, mirror) VALUES(?,?,?,?,?,?)", todo
            )
        self._database.commit()
        return counts

    def unfinished(self) -> list[Row]:
        """Return the rows whose removal was begun and whose end is not known."""
        found = self._database.execute("SELECT * FROM row WHERE intent='drop'")
        return [_row(row) for row in found]

    def puts(self, mirror: int, *, most: int, new: bool) -> list[Task]:
        """Take up to `most` rows of a mirror off the plan, highest rank first; `new`: not held."""
        found = self._database.execute(
            "SELECT t.id, t.kind, t.value, l.remote_id, w.mirror, w.ref, w.fingerprint, w.until"
            " FROM todo t JOIN want w ON w.kind=t.kind AND w.value=t.value"
            " LEFT JOIN listed l ON l.kind=t.kind AND l.value=t.value"
            " WHERE t.what='put' AND t.held=? AND t.mirror=? ORDER BY t.rank DESC, t.id LIMIT ?",
            (int(not new), mirror, most),
        ).fetchall()
        self._done([row[0] for row in found])
        tasks = []
        for _, kind, value, remote_id, *rest in found:
            key = Key(kind, value)
            tasks.append(Task(self.get(key) or Row(key=key, remote_id=remote_id), *rest))
        return tasks

    def drops(self, *, most: int) -> list[Row]:
        """Take up to `most` rows to be removed off the plan."""
        found = self._database.execute(
            "SELECT id, kind, value FROM todo WHERE what='drop' ORDER BY id LIMIT ?", (most,)
        ).fetchall()
        self._done([row[0] for row in found])
        rows = (self.get(Key(kind, value)) for _, kind, value in found)
        return [row for row in rows if row is not None]

    def withhold_drops(self) -> int:
        """Take all rows to be removed off the plan; return how many."""
        count = self._database.execute("DELETE FROM todo WHERE what='drop'").rowcount
        self._database.commit()
        return count

    @property
    def remaining(self) -> int:
        """How many rows of the plan were not taken off."""
        return self._count("SELECT count(*) FROM todo")

    def refused(self, *, most: int) -> list[tuple[str, str]]:
        """Return values that the destination refuses as they are wanted, and why."""
        found = self._database.execute(
            "SELECT r.value, r.reason FROM row r JOIN want w ON w.kind=r.kind AND w.value=r.value"
            " WHERE r.refused=w.fingerprint AND w.waiting=0 ORDER BY r.kind, r.value LIMIT ?",
            (most,),
        )
        return [(value, reason) for value, reason in found]

    def waiting(self) -> int:
        """Return how many rows wait for an answer without which nothing can be decided."""
        return self._count("SELECT count(*) FROM want WHERE waiting=1")

    def _done(self, ids: Sequence[int]) -> None:
        self._database.executemany("DELETE FROM todo WHERE id=?", ((one,) for one in ids))
        self._database.commit()

    def _count(self, query: str) -> int:
        (count,) = self._database.execute(query).fetchone()
        return int(count)

    def _pages(self, query: str) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows of a query in lists; a copy, so that tables may change meanwhile."""
        self._database.execute(f"CREATE TEMP TABLE page AS {query}")
        try:
            last = 0
            while True:
                found = self._database.execute(
                    "SELECT rowid, * FROM page WHERE rowid>? ORDER BY rowid LIMIT ?", (last, _PAGE)
                ).fetchall()
                if not found:
                    return
                last = found[-1][0]
                yield [row[1:] for row in found]
        finally:
            self._database.execute("DROP TABLE page")


def _replay(
    database: sqlite3.Connection, record: Sequence[Sequence[Any]] | Mapping[str, str]
) -> None:
    if isinstance(record, Mapping):
        database.execute("INSERT OR IGNORE INTO contributor VALUES(?)", (record["contributor"],))
        return
    database.executemany(f"INSERT OR REPLACE INTO row VALUES({','.join('?' * 11)})", record)


def _tuple(one: Row | Wish) -> tuple[Any, ...]:
    key, flag, *rest = (getattr(one, name) for name in one.__slots__)
    return (key.kind, key.value, int(flag), *rest)


def _row(found: Sequence[Any]) -> Row:
    kind, value, held, intent, generation, remote_id, sent, refused, reason, at, until = found[:11]
    return Row(
        key=Key(kind, value),
        held=bool(held),
        intent=intent,
        generation=generation,
        remote_id=remote_id,
        sent=sent,
        refused=refused,
        reason=reason,
        sent_at=at,
        expires_at=until,
    )


def _healed(row: Row, remote_id: str | None, ours: int | None) -> Row:
    """Return the row as the destination lists it; `ours` is None when it is not listed."""
    if ours:
        return replace(row, held=True, remote_id=remote_id, sent=row.sent if row.held else None)
    if ours is None and row.intent == "put" and row.remote_id is not None:
        # The destination has it under way: what it named is asked about again.
        return row
    # What vanished while it was being removed was removed, and its next life is another.
    generation = row.generation + int(row.intent == "drop")
    return replace(row, held=False, intent="", generation=generation, remote_id=None, sent=None)
