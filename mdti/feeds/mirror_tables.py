"""The tables of a mirror, and how a record changes them.

The same record on the same tables always has the same effect: so a mirror is what its records make
of it, wherever they are read again.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from mdti.feeds.plan import supersedes, version_order

_ALIVE, _REMOVED, _SWEPT = 0, 1, 2
SAME: Final = 0
"""Stands in a record for the indicators of an object that is as it was."""

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS object(
  id INTEGER PRIMARY KEY, source_id TEXT UNIQUE NOT NULL, version TEXT NOT NULL,
  gone INTEGER NOT NULL, seen INTEGER NOT NULL, at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS indicator(
  id INTEGER PRIMARY KEY, object INTEGER NOT NULL, kind TEXT NOT NULL, value TEXT NOT NULL,
  modified INTEGER NOT NULL, payload BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS of_object ON indicator(object);
CREATE TABLE IF NOT EXISTS reputation(
  kind TEXT, value TEXT, score INTEGER NOT NULL, rules TEXT NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY(kind, value)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
"""


def replay(database: sqlite3.Connection, record: Mapping[str, Any]) -> None:
    """Change the tables as a record says."""
    if "changes" in record:
        number = record["number"]
        for source_id, version, indicators in record["changes"]:
            if indicators == SAME:
                database.execute("UPDATE object SET seen=? WHERE source_id=?", (number, source_id))
                continue
            _change(database, source_id, version, indicators, record, number)
        if "cursor" in record:
            _set_meta(database, "cursor", json.dumps(record["cursor"]))
            if record["snapshot"]:
                _set_meta(database, "snapshot", str(number))
                _set_meta(database, "open", "1")
        if "sweep" in record:
            _end(database, number, record["sweep"], record.get("since", ""))
            _set_meta(database, "full_at", str(record["at"]))
    elif "whole" in record:
        _set_meta(database, "whole", "1")
    elif "floor" in record:
        _set_meta(database, "floor", json.dumps(record["floor"]))
    else:
        database.executemany(
            "INSERT OR REPLACE INTO reputation VALUES(?,?,?,?,?)",
            (
                (kind, value, score, json.dumps(rules), record["at"])
                for kind, value, score, rules in record["reputations"]
            ),
        )


def _change(
    database: sqlite3.Connection,
    source_id: str,
    version: str,
    indicators: Sequence[Sequence[Any]] | None,
    record: Mapping[str, Any],
    number: int,
) -> None:
    known = database.execute(
        "SELECT id, version, gone FROM object WHERE source_id=?", (source_id,)
    ).fetchone()
    gone = _ALIVE if indicators is not None else _REMOVED
    if known is None:
        inserted = database.execute(
            "INSERT INTO object(source_id, version, gone, seen, at) VALUES(?,?,?,?,?)",
            (source_id, version, gone, number, record["at"]),
        )
        _insert(database, int(inserted.lastrowid or 0), indicators or ())
        return
    identifier, before, gone_before = known
    wins = supersedes(
        version,
        before,
        removes=indicators is None,
        removed_before=gone_before == _REMOVED,
        snapshot=bool(record["snapshot"]),
    )
    if not wins:
        if indicators is not None:
            # An older version still says that the object exists, so a snapshot has seen it.
            database.execute("UPDATE object SET seen=? WHERE id=?", (number, identifier))
        return
    database.execute(
        "UPDATE object SET version=?, gone=?, seen=?, at=? WHERE id=?",
        (version, gone, number, record["at"], identifier),
    )
    database.execute("DELETE FROM indicator WHERE object=?", (identifier,))
    _insert(database, identifier, indicators or ())


def _insert(
    database: sqlite3.Connection, identifier: int, indicators: Iterable[Sequence[Any]]
) -> None:
    database.executemany(
        "INSERT INTO indicator(object, kind, value, modified, payload) VALUES(?,?,?,?,?)",
        (
            (identifier, kind, value, modified, payload.encode("ascii"))
            for kind, value, modified, payload in indicators
        ),
    )


def _end(database: sqlite3.Connection, number: int, most_percent: int, since: str) -> None:
    """Remove what the snapshot did not list, unless that is everything or too much of it.

    What is older than the snapshot reached back could not be listed: it stays, and counts for
    nothing. What a later snapshot listed that was given up with its first page was seen, too.
    """
    earliest = version_order(since) if since else None
    database.create_function(
        "judged", 1, lambda version: earliest is None or version_order(version) >= earliest
    )
    (kept,) = database.execute(
        "SELECT count(*) FROM object WHERE gone=0 AND seen>=?", (number,)
    ).fetchone()
    (doomed,) = database.execute(
        "SELECT count(*) FROM object WHERE gone=0 AND seen<? AND judged(version)", (number,)
    ).fetchone()
    alive = kept + doomed
    done = doomed == 0 or (kept > 0 and doomed * 100 <= alive * most_percent)
    if done and doomed:
        database.execute(
            "UPDATE object SET gone=? WHERE gone=0 AND seen<? AND judged(version)",
            (_SWEPT, number),
        )
        database.execute(
            "DELETE FROM indicator WHERE object IN (SELECT id FROM object WHERE gone=?)", (_SWEPT,)
        )
    _set_meta(database, "swept", json.dumps([doomed, alive, done]))
    _set_meta(database, "open", "0")


def prune(database: sqlite3.Connection, before: int) -> None:
    """Forget objects that were removed before a time in seconds since 1970.

    Only a snapshot of the file follows, so no replay depends on it.
    """
    database.execute("DELETE FROM object WHERE gone<>0 AND at<?", (before,))
    database.commit()


def meta(database: sqlite3.Connection, name: str) -> str | None:
    """Return what is kept under a name, None when there is nothing."""
    row = database.execute("SELECT value FROM meta WHERE name=?", (name,)).fetchone()
    return row[0] if row else None


def _set_meta(database: sqlite3.Connection, name: str, value: str) -> None:
    database.execute("INSERT OR REPLACE INTO meta VALUES(?,?)", (name, value))
