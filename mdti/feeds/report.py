"""What one run of a feed did, as its job answers it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from mdti.errors import MdtiError
from mdti.job import iso

MOST_REJECTED: Final = 1_000
"""Rejected values that a report lists; what is beyond is counted among the skipped."""

UNLISTED: Final = "not listed by the last full reading, and too many to remove"
"""Why what a source may have deleted is still there; told by every run until it is decided."""

COUNTS: Final = (
    "read",
    "accepted",
    "unchanged",
    "removed",
    "pending",
    "awaitingApproval",
    "overCap",
)
"""The names of a report's counts that are a number each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run: what was read, and what became of everything that is wanted.

    `read` counts objects of the source, everything else rows of the destination. `complete` is
    false when something remains to be read, sent or decided; `error` is what only a person mends.
    What was sent and awaits a person's approval at the destination leaves a run complete.
    """

    feed: str
    started: datetime
    finished: datetime
    read: int = 0
    accepted: int = 0
    unchanged: int = 0
    removed: int = 0
    skipped: Mapping[str, int]
    rejected: tuple[tuple[str, str], ...] = ()
    pending: int = 0
    awaiting_approval: int = 0
    over_cap: int = 0
    cursor: Mapping[str, str] | None = None
    complete: bool = True
    error: MdtiError | None = None

    @property
    def line(self) -> str:
        """The run in one line for logs: numbers and our own words, no value and no reason."""
        document = self.to_json()
        counts = {name: document[name] for name in COUNTS}
        counts |= {"skipped": sum(self.skipped.values()), "rejected": len(self.rejected)}
        state = "complete" if self.complete else "incomplete"
        if self.error is not None:
            state = f"failed ({self.error.code})"
        return f"{self.feed}: {state}, {', '.join(f'{n} {name}' for name, n in counts.items())}"

    def to_json(self) -> dict[str, Any]:
        """Return the report as the HTTP contract shows it."""
        return {
            "feed": self.feed,
            "started": iso(self.started),
            "finished": iso(self.finished),
            "read": self.read,
            "accepted": self.accepted,
            "unchanged": self.unchanged,
            "removed": self.removed,
            "skipped": dict(sorted(self.skipped.items())),
            "rejected": [{"value": value, "reason": reason} for value, reason in self.rejected],
            "pending": self.pending,
            "awaitingApproval": self.awaiting_approval,
            "overCap": self.over_cap,
            "cursor": dict(self.cursor) if self.cursor is not None else None,
            "complete": self.complete,
            "error": self.error.to_json()["error"] if self.error else None,
        }


@dataclass(slots=True)
class Tally:
    """A run's counts while it runs; `remaining` is what there was no time for."""

    read: int = 0
    accepted: int = 0
    unchanged: int = 0
    removed: int = 0
    pending: int = 0
    awaiting_approval: int = 0
    over_cap: int = 0
    remaining: bool = False
    skipped: Counter[str] = field(default_factory=Counter)
    rejected: dict[str, str] = field(default_factory=dict)
    error: MdtiError | None = None

    def reject(self, value: str, reason: str) -> None:
        """Note that the destination refused a value."""
        if value in self.rejected or len(self.rejected) < MOST_REJECTED:
            self.rejected[value] = reason
        else:
            self.skipped["rejected beyond the list"] += 1

    def fail(self, error: MdtiError) -> None:
        """Note the first error; later ones often follow from it."""
        self.error = self.error or error

    def report(
        self,
        *,
        feed: str,
        started: datetime,
        finished: datetime,
        cursor: Mapping[str, str] | None,
    ) -> Report:
        """Return the report of the run that ends."""
        return Report(
            feed=feed,
            started=started,
            finished=finished,
            read=self.read,
            accepted=self.accepted,
            unchanged=self.unchanged,
            removed=self.removed,
            skipped=dict(self.skipped),
            rejected=tuple(self.rejected.items()),
            pending=self.pending,
            awaiting_approval=self.awaiting_approval,
            over_cap=self.over_cap,
            cursor=cursor,
            complete=self.error is None and not self.remaining and self.pending == 0,
            error=self.error,
        )
