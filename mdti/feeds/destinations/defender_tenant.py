"""What a tenant's Defender holds, as far as it was read, and what we changed since."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from mdti.feeds.indicator import Key

_LISTED_WITHIN: Final = timedelta(minutes=10)
"""How long a row of ours may be missing in a list after it was accepted."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One row; `ours` when it carries our mark."""

    key: Key
    remote_id: str
    ours: bool


class Tenant:
    """The rows as they were at `at`; `size` counts also those that no indicator becomes.

    A tenant holds at most 15,000 rows, so they all fit into memory.
    """

    def __init__(self, at: datetime) -> None:
        self.at = at
        self.loaded = False
        self.size = 0
        self._rows: dict[str, Listed] = {}
        self._places: dict[Key, set[str]] = {}
        self._added: dict[str, datetime] = {}

    def rows(self) -> Iterator[Listed]:
        """Yield every row."""
        yield from tuple(self._rows.values())

    def ours(self, key: Key) -> tuple[str, ...]:
        """Return the ids of our rows with a value."""
        return self._ids(key, ours=True)

    def foreign(self, key: Key) -> tuple[str, ...]:
        """Return the ids of other people's rows with a value."""
        return self._ids(key, ours=False)

    def knows(self, remote_id: str) -> bool:
        """Tell whether a row with this id was listed or accepted."""
        return remote_id in self._rows

    def count(self) -> None:
        """Count one more row."""
        self.size += 1

    def put(self, key: Key, remote_id: str, *, ours: bool) -> None:
        """Take over a row that was listed."""
        self._rows[remote_id] = Listed(key, remote_id, ours)
        self._places.setdefault(key, set()).add(remote_id)

    def add(self, key: Key, remote_id: str, *, now: datetime) -> None:
        """Take over a row of ours that was accepted."""
        self._added[remote_id] = now
        if remote_id not in self._rows:
            self.count()
        self.put(key, remote_id, ours=True)

    def forget(self, ids: Iterable[str]) -> None:
        """Forget rows that were deleted."""
        for remote_id in ids:
            row = self._rows.pop(remote_id, None)
            self._added.pop(remote_id, None)
            if row is not None:
                self._places[row.key].discard(remote_id)
                self.size -= 1

    def unlisted(self, ids: Iterable[str]) -> list[str]:
        """Return which of these ids were accepted after the list was read, or are not in it."""
        return [remote_id for remote_id in ids if remote_id in self._added]

    def merged(self, before: "Tenant") -> "Tenant":
        """Return this list with what was accepted lately and may not be listed yet."""
        for remote_id, moment in before._added.items():
            if remote_id in self._rows or self.at - moment >= _LISTED_WITHIN:
                continue
            self.add(before._rows[remote_id].key, remote_id, now=moment)
        return self

    def _ids(self, key: Key, *, ours: bool) -> tuple[str, ...]:
        places = tuple(self._places.get(key, ()))
        rows = (self._rows.get(place) for place in places)
        return tuple(row.remote_id for row in rows if row is not None and row.ours == ours)
