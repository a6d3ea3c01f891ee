"""What to do about one row: compare what is wanted with what the ledger says was sent.

    supersedes: which of two versions of a source object stays
    decide(row, want) -> put | drop | unchanged | refused | nothing

Everything is level-triggered: a decision rests on what is, never on what happened since.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from mdti.feeds.indicator import Indicator, Key

Intent = Literal["", "put", "drop"]
Decision = Literal["put", "drop", "unchanged", "refused", "nothing"]

NEWCOMER_LEAD: Final = 5
"""How much higher a newcomer's score must be to replace a row that is already there."""

RENEWAL_SHARE: Final = 3
"""A row is renewed when less than one part in this many of its life is left."""

_NUMBERS: Final = re.compile(r"\d+(?:-\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What the ledger knows of one row of a destination.

    `held`: it is there, or may be. `intent` is what was begun and whose end is not known.
    `sent` and `refused` are fingerprints of what the destination took and refused last.
    `generation` counts how often the row was removed. Times are seconds since 1970.
    """

    key: Key
    held: bool = False
    intent: Intent = ""
    generation: int = 0
    remote_id: str | None = None
    sent: int | None = None
    refused: int | None = None
    reason: str = ""
    sent_at: int | None = None
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class Want:
    """What the feeds want of one row; `waiting` when that cannot be decided for now."""

    fingerprint: int
    valid_until: int | None = None
    waiting: bool = False


def decide(row: Row | None, want: Want | None, *, now: int, expire_days: int | None) -> Decision:
    """Return what is to be done about a row; None for one not known, or not wanted.

    A removal that was begun is ended before anything else: its end decides the generation.
    """
    if row is not None and row.intent == "drop":
        return "nothing"
    if row is None:
        return "nothing" if want is None or want.waiting else "put"
    if want is None:
        return "drop" if row.held else "nothing"
    if want.waiting:
        return "nothing"
    if row.intent:
        return "put"
    if row.refused == want.fingerprint:
        return "refused"
    if not row.held or row.sent != want.fingerprint:
        return "put"
    return "put" if _renewal_due(row, want, now, expire_days) else "unchanged"


def expiry(valid_until: int | None, *, now: int, expire_days: int | None) -> int | None:
    """Return when a row that is sent at `now` ends: with its indicator or after `expire_days`."""
    if expire_days is None:
        return valid_until
    latest = now + int(timedelta(days=expire_days).total_seconds())
    return latest if valid_until is None else min(valid_until, latest)


def _renewal_due(row: Row, want: Want, now: int, expire_days: int | None) -> bool:
    if expire_days is None or row.expires_at is None or row.sent_at is None:
        return False
    later = expiry(want.valid_until, now=now, expire_days=expire_days)
    left, life = row.expires_at - now, row.expires_at - row.sent_at
    return left * RENEWAL_SHARE < life and (later is None or later > row.expires_at)


def rank(indicator: Indicator) -> int:
    """Return what decides who gets a place: the score, else the confidence, else 0."""
    if indicator.score is not None:
        return indicator.score
    return indicator.confidence or 0


def place(rank: int, *, incumbent: bool) -> int:
    """Return the number that places are given by, highest first.

    It lies between the ranks, so that a newcomer whose lead is exact passes an incumbent.
    """
    return 2 * rank + (2 * NEWCOMER_LEAD - 1 if incumbent else 0)


def fingerprint(payload: bytes, *, revision: str) -> int:
    """Return 64 bits that change with the indicator and with the settings that shape its row."""
    digest = hashlib.blake2b(revision.encode() + b"\0" + payload, digest_size=8)
    return int.from_bytes(digest.digest(), "big", signed=True)


def supersedes(
    version: str, before: str, *, removes: bool, removed_before: bool, snapshot: bool
) -> bool:
    """Return whether a change at `version` may replace what is known at version `before`.

    Of two changes of one version a removal wins, so that a duplicate brings nothing back; a
    snapshot lists what exists, so there the object does.
    """
    new, old = version_order(version), version_order(before)
    if new != old:
        return new > old
    return removes or not removed_before or snapshot


def version_order(version: str) -> tuple[int, tuple[int, ...], str]:
    """Return what versions are ordered by: numbers, then times, then anything else as text."""
    if _NUMBERS.fullmatch(version):
        return 0, tuple(int(part) for part in version.split("-")), ""
    try:
        moment = datetime.fromisoformat(version)
    except ValueError:
        return 2, (), version
    return 1, (microseconds(moment),), ""


def microseconds(moment: datetime) -> int:
    """Return a time as microseconds since 1970; one without a zone is UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
