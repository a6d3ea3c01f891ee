"""The promises of the feed engine (design, section 8); the sixth is in `test_weather.py`."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdti.errors import ConnectionFailed, LeaseLost, StoreError
from mdti.feeds.indicator import Key
from mdti.feeds.ledger import Ledger
from mdti.feeds.mirror import Mirror
from mdti.feeds.ports import Batch, Change, Limits, Operation, Put, Remove, Upsert
from tests.feeds.effects import Effects, Killed
from tests.feeds.fakes import (
    START,
    Cell,
    FakeDestination,
    FakeSource,
    Place,
    filled,
    ip,
    wanted,
)


def mirrored(place: Place, feed: str, folder: Path) -> tuple[dict[str, str] | None, set[Key]]:
    """Return the cursor and the keys of a mirror as another process finds them."""
    mirror = Mirror(place.store(), feed, folder, lease=None)
    try:
        cursor = mirror.cursor
        return dict(cursor) if cursor else None, {item.key for item in mirror.indicators()}
    finally:
        mirror.close()


def test_i1_a_cursor_is_durable_only_with_every_change_before_it(tmp_path: Path) -> None:
    at, ended = 0, False
    while not ended:
        at += 1
        for when in ("before", "after"):
            place = Place(tmp_path / f"{at}-{when}")
            source, destination = FakeSource(page=1), FakeDestination()
            place.run(source, destination)
            for number in range(8):
                source.put(f"object-{number}", ip(number))
            place.effects = source.effects = Effects(at, "before" if when == "before" else "after")
            try:
                place.run(source, destination)
                ended = True
            except Killed:
                place.restart()
            cursor, keys = mirrored(place, "taxii-to-defender", tmp_path)
            assert keys >= {ip(number).key for number in range(int((cursor or {"at": "0"})["at"]))}
    assert at > 8


def test_i2_the_intent_is_durable_before_the_request(place: Place, tmp_path: Path) -> None:
    source, destination = filled(30), FakeDestination(limits=_limits(parallel=3))
    seen = 0

    def check(operations: Sequence[Operation]) -> None:
        nonlocal seen
        with TemporaryDirectory(dir=tmp_path) as folder:
            ledger = Ledger(place.store(), "defender", Path(folder), lease=None)
            for operation in operations:
                row = ledger.get(operation.key)
                assert row is not None
                assert row.intent == ("put" if isinstance(operation, Put) else "drop")
                seen += 1
            ledger.close()

    destination.before_call = check
    place.run(source, destination)
    source.remove("object-1")
    place.run(source, destination)
    assert seen == 31


def _limits(*, parallel: int = 1) -> Limits:
    return Limits(batch=5, per_minute=60_000, parallel=parallel)


def test_i3_a_row_without_our_mark_is_never_overwritten_nor_deleted(place: Place) -> None:
    source, destination = filled(3), FakeDestination()
    foreign = Cell(None, False, "theirs")
    destination.rows[ip(1).key] = foreign
    report = place.run(source, destination).report
    assert report.skipped == {"row of somebody else": 1}
    source.remove("object-1")
    place.run(source, destination)
    assert destination.rows[ip(1).key] == foreign
    assert destination.wrongs == []


def test_i3_a_row_that_lost_our_mark_is_left_alone(place: Place) -> None:
    source, destination = filled(3), FakeDestination()
    place.run(source, destination)
    taken_over = Cell(None, False, "row-taken-over")
    destination.rows[ip(1).key] = taken_over
    source.remove("object-1")
    place.run(source, destination)
    assert destination.rows[ip(1).key] == taken_over
    assert destination.wrongs == []


def test_i3_a_marked_row_the_ledger_never_heard_of_is_told_and_left_alone(place: Place) -> None:
    source, destination = filled(3), FakeDestination()
    stray = Cell(None, True, "stray")
    destination.rows[ip(77).key] = stray
    report = place.run(source, destination).report
    assert report.skipped == {"marked row unknown to the ledger": 1}
    assert destination.rows[ip(77).key] == stray


def test_i3_a_marked_row_that_is_wanted_is_taken_over_by_its_id(place: Place) -> None:
    source, destination = filled(1), FakeDestination()
    destination.rows[ip(0).key] = Cell(None, True, "from-a-lost-ledger")
    place.run(source, destination)
    (put,) = destination.calls[0]
    assert isinstance(put, Put)
    assert put.remote_id == "from-a-lost-ledger"


def test_i3_a_value_that_another_feed_wants_stays(place: Place) -> None:
    one, other = filled(3, name="taxii"), filled(3, name="anyrun")
    destination = FakeDestination()
    place.run(one, destination)
    place.run(other, destination)
    one.remove("object-1")
    place.run(one, destination)
    assert set(destination.ours) == {ip(0).key, ip(1).key, ip(2).key}
    other.remove("object-1")
    place.run(other, destination)
    assert set(destination.ours) == {ip(0).key, ip(2).key}


def test_i3_a_mirror_that_cannot_be_read_ends_the_apply(place: Place) -> None:
    one, other, destination = filled(3, name="taxii"), filled(6, name="anyrun"), FakeDestination()
    place.run(other, destination)
    store = place.store()
    for key in list(store.list_("feeds/mirrors/anyrun-to-defender/journal/")):
        stored = store.read(key)
        assert stored is not None
        store.write(key, stored.body[:-3])
    report = place.run(one, destination).report
    assert isinstance(report.error, StoreError)
    assert len(destination.ours) == 6


_changes = st.lists(
    st.tuples(st.integers(1, 6), st.booleans()), min_size=1, max_size=8, unique_by=lambda v: v[0]
)


@settings(deadline=None, max_examples=40)
@given(versions=_changes, seed=st.integers(0, 1_000))
def test_i4_an_older_version_never_beats_a_newer_one(
    versions: list[tuple[int, bool]], seed: int
) -> None:
    shuffled = [*versions, *versions]
    random.Random(seed).shuffle(shuffled)
    with TemporaryDirectory() as folder:
        place = Place(Path(folder) / "state")
        store = place.store()
        with store.lease("feeds/leases/feed") as lease:
            mirror = Mirror(store, "feed", Path(folder), lease=lease)
            for number, lives in shuffled:
                batch = Batch((_change(number, lives),), {"at": "1"})
                mirror.write(batch, now=START)
            newest, lives = max(versions)
            keys = [item.key for item in mirror.indicators()]
            assert keys == ([ip(newest).key] if lives else [])
            mirror.close()


def _change(number: int, lives: bool) -> Change:
    version = f"2026-11-2{number}T00:00:00Z"
    return Upsert("object", version, (ip(number),)) if lives else Remove("object", version, "gone")


def test_i5_a_snapshot_removes_what_it_does_not_list(place: Place) -> None:
    source, destination = filled(10), FakeDestination()
    place.run(source, destination)
    del source.log[3]
    place.run(source, destination, full=True)
    assert destination.ours == wanted(source)
    assert len(destination.ours) == 9


def test_i5_a_snapshot_that_was_cut_off_removes_nothing(place: Place) -> None:
    source, destination = filled(10), FakeDestination()
    place.run(source, destination)
    source.log.clear()
    for number in range(9):
        source.put(f"object-{number}", ip(number))
    source.effects = Effects(at=2, pause=lambda: _cut(source))
    report = place.run(source, destination, full=True).report
    assert isinstance(report.error, ConnectionFailed)
    assert len(destination.ours) == 10
    source.fails = None
    place.run(source, destination)
    assert len(destination.ours) == 9


def _cut(source: FakeSource) -> None:
    source.fails = ConnectionFailed("The connection broke.")


@pytest.mark.parametrize("left", [0, 7])
def test_i5_an_empty_snapshot_or_one_that_removes_too_much_removes_nothing(
    place: Place, left: int
) -> None:
    source, destination = filled(10), FakeDestination()
    place.run(source, destination)
    del source.log[left:]
    report = place.run(source, destination, full=True).report
    assert report.error is not None
    assert f"{left} of 10 known objects" in report.error.message
    assert len(destination.ours) == 10


def test_i5_a_snapshot_removes_nothing_older_than_it_reaches_back(
    place: Place, tmp_path: Path
) -> None:
    dates = [f"2026-11-{day:02}T00:00:00Z" for day in range(1, 21)]
    with opened(place, tmp_path / "a") as mirror:
        known = tuple(Upsert(date, date, (ip(n),)) for n, date in enumerate(dates))
        mirror.write(Batch(known, {"at": "1"}), now=START)
        mirror.begin_snapshot()
        end = Batch(known[11:], {"at": "2"}, "snapshot_end", since="2026-11-11T00:00:00Z")
        mirror.write(end, now=START, sweep_percent=20)
        assert (mirror.swept.doomed, mirror.swept.alive, mirror.swept.done) == (1, 10, True)
        assert {item.key for item in mirror.indicators()} == {
            ip(n).key for n in range(20) if n != 10
        }


def test_i5_a_snapshot_may_remove_more_when_told(place: Place) -> None:
    source, destination = filled(10), FakeDestination()
    place.run(source, destination)
    del source.log[3:]
    place.sweep_percent = 80
    place.run(source, destination, full=True)
    assert len(destination.ours) == 3


def test_i7_a_run_that_lost_its_lease_makes_no_further_call(place: Place) -> None:
    source, destination = filled(20), FakeDestination()
    stalled = 0

    def stall(operations: Sequence[Operation]) -> None:
        nonlocal stalled
        destination.before_call = lambda operations: None
        place.time.forward(seconds=61)
        place.run(source, destination)
        stalled = len(destination.calls)

    destination.before_call = stall
    report = place.run(source, destination).report
    assert isinstance(report.error, LeaseLost)
    assert len(destination.calls) == stalled
    assert destination.ours == wanted(source)
    assert place.run(source, destination).report.unchanged == 20


@contextmanager
def opened(place: Place, folder: Path) -> Iterator[Mirror]:
    """Give the mirror as a process has it that holds the feed's lease, and never gives it back."""
    folder.mkdir()
    store = place.store()
    mirror = Mirror(store, "feed", folder, lease=store.lease("feeds/leases/feed"))
    yield mirror
    mirror.close()


def test_i7_what_a_stale_holder_still_writes_is_refused(place: Place, tmp_path: Path) -> None:
    with opened(place, tmp_path / "a") as stale:
        stale.write(Batch((Upsert("one", "1", (ip(1),)),), {"at": "1"}), now=START)
        place.time.forward(seconds=61)
        with opened(place, tmp_path / "b") as fresh:
            fresh.write(Batch((Upsert("two", "1", (ip(2),)),), {"at": "2"}), now=START)
        with pytest.raises(LeaseLost):
            stale.write(Batch((Upsert("three", "1", (ip(3),)),), {"at": "3"}), now=START)
    assert mirrored(place, "feed", tmp_path) == ({"at": "2"}, {ip(1).key, ip(2).key})


def test_i7_an_append_that_lands_late_is_read_by_nobody(place: Place, tmp_path: Path) -> None:
    store = place.store()
    with opened(place, tmp_path / "a") as stale:
        stale.write(Batch((Upsert("one", "1", (ip(1),)),), {"at": "1"}), now=START)
    (segment,) = store.list_("feeds/mirrors/feed/journal/")
    place.time.forward(seconds=61)
    with opened(place, tmp_path / "b") as fresh:
        fresh.write(Batch((Upsert("two", "1", (ip(2),)),), {"at": "2"}), now=START)
    stored = store.read(segment)
    assert stored is not None
    store.append(segment, stored.body)
    assert mirrored(place, "feed", tmp_path) == ({"at": "2"}, {ip(1).key, ip(2).key})


def test_i7_a_mirror_whose_lease_was_lost_is_not_applied(place: Place, tmp_path: Path) -> None:
    counted = Place(tmp_path / "counted")
    counted.run(filled(3), FakeDestination())
    turn = counted.effects.log.index("lease feeds/leases/to-defender") + 1
    source, destination = filled(3), FakeDestination()

    def overtake() -> None:
        place.restart()
        source.remove("object-1")
        place.run(source, destination)

    place.effects = Effects(turn, "before", pause=overtake)
    report = place.run(source, destination).report
    assert isinstance(report.error, LeaseLost)
    assert len(destination.calls) == 1
    assert destination.ours == wanted(source)
