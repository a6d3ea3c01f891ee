"""What is decided about a row, and which version of an object stays."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from mdti.feeds.plan import (
    Decision,
    Row,
    Want,
    decide,
    expiry,
    fingerprint,
    microseconds,
    place,
    rank,
    supersedes,
    version_order,
)
from tests.feeds.fakes import ip

KEY = ip(1).key
NOW = 1_000_000
DAY = 86_400
WANT = Want(7)


@pytest.mark.parametrize(
    ("row", "want", "decision"),
    [
        (None, None, "nothing"),
        (None, WANT, "put"),
        (None, Want(7, waiting=True), "nothing"),
        (Row(key=KEY), None, "nothing"),
        (Row(key=KEY), WANT, "put"),
        (Row(key=KEY, held=True, sent=7), None, "drop"),
        (Row(key=KEY, held=True, sent=7), WANT, "unchanged"),
        (Row(key=KEY, held=True, sent=6), WANT, "put"),
        (Row(key=KEY, held=True), WANT, "put"),
        (Row(key=KEY, held=True, sent=7), Want(8, waiting=True), "nothing"),
        (Row(key=KEY, held=True, intent="put"), WANT, "put"),
        (Row(key=KEY, held=True, intent="put"), None, "drop"),
        (Row(key=KEY, held=True, intent="drop"), WANT, "nothing"),
        (Row(key=KEY, held=True, intent="drop"), None, "nothing"),
        (Row(key=KEY, refused=7), WANT, "refused"),
        (Row(key=KEY, refused=6), WANT, "put"),
        (Row(key=KEY, held=True, sent=6, refused=7), WANT, "refused"),
    ],
)
def test_a_row_is_compared_with_what_is_wanted(
    row: Row | None, want: Want | None, decision: Decision
) -> None:
    assert decide(row, want, now=NOW, expire_days=None) == decision


@pytest.mark.parametrize(
    ("left", "valid_until", "expire_days", "decision"),
    [
        (11, None, 30, "unchanged"),
        (10, None, 30, "unchanged"),
        (9, None, 30, "put"),
        (-1, None, 30, "put"),
        (9, NOW + 9 * DAY, 30, "unchanged"),
        (9, NOW + 20 * DAY, 30, "put"),
        (9, None, None, "unchanged"),
    ],
)
def test_a_row_is_renewed_when_less_than_a_third_of_its_life_is_left_and_that_helps(
    left: int, valid_until: int | None, expire_days: int | None, decision: Decision
) -> None:
    ends = NOW + left * DAY
    row = Row(key=KEY, held=True, sent=7, sent_at=ends - 30 * DAY, expires_at=ends)
    want = Want(7, valid_until)
    assert decide(row, want, now=NOW, expire_days=expire_days) == decision


def test_a_row_ends_with_its_indicator_or_its_days() -> None:
    assert expiry(None, now=NOW, expire_days=None) is None
    assert expiry(5, now=NOW, expire_days=None) == 5
    assert expiry(None, now=NOW, expire_days=2) == NOW + 2 * DAY
    assert expiry(NOW + DAY, now=NOW, expire_days=2) == NOW + DAY
    assert expiry(NOW + 9 * DAY, now=NOW, expire_days=2) == NOW + 2 * DAY


@pytest.mark.parametrize(
    ("removes", "removed_before", "snapshot", "wins"),
    [
        (False, False, False, True),
        (True, False, False, True),
        (True, True, False, True),
        (False, True, False, False),
        (False, True, True, True),
    ],
)
def test_of_one_version_a_removal_wins_unless_a_snapshot_lists_the_object(
    removes: bool, removed_before: bool, snapshot: bool, wins: bool
) -> None:
    assert wins == supersedes(
        "3", "3", removes=removes, removed_before=removed_before, snapshot=snapshot
    )


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("9", "10"),
        ("1795242605400-2", "1795242605400-10"),
        ("2026-11-21T05:00:00Z", "2026-11-21T05:00:00.5Z"),
        ("2026-11-21T05:00:00.9Z", "2026-11-21T06:00:00.000Z"),
        ("2026-11-21T05:00:00+02:00", "2026-11-21T04:00:00Z"),
        ("2026-11-21T05:00:00", "2026-11-21T05:00:01Z"),
        ("a", "b"),
    ],
)
def test_versions_are_ordered_by_what_they_mean(older: str, newer: str) -> None:
    assert version_order(older) < version_order(newer)
    assert not supersedes(older, newer, removes=True, removed_before=False, snapshot=True)
    assert supersedes(newer, older, removes=False, removed_before=True, snapshot=False)


def test_an_exact_lead_passes_an_incumbent_and_less_does_not() -> None:
    assert place(85, incumbent=False) > place(80, incumbent=True)
    assert place(84, incumbent=False) < place(80, incumbent=True)
    assert place(80, incumbent=True) > place(80, incumbent=False)


def test_the_rank_is_the_score_or_else_the_confidence() -> None:
    assert rank(ip(1, score=10, confidence=90)) == 10
    assert rank(ip(1, score=0, confidence=90)) == 0
    assert rank(ip(1, confidence=90)) == 90
    assert rank(ip(1, confidence=None)) == 0


def test_a_fingerprint_changes_with_the_settings_that_shape_a_row() -> None:
    marks = {fingerprint(b"{}", revision=revision) for revision in ("", "a", "b", "b" * 200)}
    assert len(marks) == 4
    assert fingerprint(b"{}", revision="a") == fingerprint(b"{}", revision="a")
    assert all(-(2**63) <= mark < 2**63 for mark in marks)


def test_a_long_revision_counts_to_its_end() -> None:
    assert fingerprint(b"", revision="x" * 100 + "a") != fingerprint(b"", revision="x" * 100 + "b")


def test_a_time_without_a_zone_is_utc() -> None:
    moment = datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert microseconds(moment.replace(tzinfo=None)) == microseconds(moment)
    assert microseconds(moment.astimezone(timezone(timedelta(hours=5)))) == microseconds(moment)
