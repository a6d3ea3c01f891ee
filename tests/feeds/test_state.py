"""What survives the machine: journals, snapshots, and the mirror and ledger made of them."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from mdti.errors import StoreError
from mdti.feeds.indicator import Indicator
from mdti.feeds.ledger import Ledger
from mdti.feeds.mirror import Mirror
from mdti.feeds.plan import Row
from mdti.feeds.policy import Reputation
from mdti.feeds.ports import Batch, Upsert
from mdti.store.base import Store
from tests.feeds.fakes import START, Place, ip


@contextmanager
def mirror(store: Store, *, write: bool = True) -> Iterator[Mirror]:
    with TemporaryDirectory() as folder:
        if not write:
            opened = Mirror(store, "feed", Path(folder), lease=None)
            yield opened
            opened.close()
            return
        with store.lease("feeds/leases/feed") as lease:
            opened = Mirror(store, "feed", Path(folder), lease=lease)
            yield opened
            opened.close()


def batch(*upserts: Upsert, at: int = 1) -> Batch:
    return Batch(upserts, {"at": str(at)})


def journal(store: Store) -> int:
    total = 0
    for key in store.list_("feeds/mirrors/feed/journal/"):
        stored = store.read(key)
        total += len(stored.body) if stored else 0
    return total


def contents(opened: Mirror) -> list[Indicator]:
    return sorted((item.indicator for item in opened.indicators()), key=lambda one: one.key)


def test_everything_of_an_indicator_survives(place: Place) -> None:
    whole = ip(
        1,
        confidence=0,
        score=100,
        severity="high",
        title="Züge \u2028 \x1b[31m 'quoted'",
        description="d" * 5_000,
        threat_types=("c2", "phish"),
        actors=("Paper Drizzle",),
        tags=("a", "b"),
        tlp="amber+strict",
        valid_from=START,
        valid_until=START + timedelta(days=1, microseconds=5),
        link="https://example.com/a?b=c",
    )
    store = place.store()
    with mirror(store) as opened:
        opened.write(batch(Upsert("one", "1", (whole,))), now=START)
    with mirror(store, write=False) as opened:
        assert contents(opened) == [whole]


def test_reputations_survive(place: Place) -> None:
    store = place.store()
    with mirror(store) as opened:
        opened.write(batch(Upsert("one", "1", (ip(1), ip(2)))), now=START)
        opened.keep_reputations({ip(1).key: Reputation(90, ("Rule",))}, now=START)
        week_later = START + timedelta(days=8)
        assert [item.key for item in opened.unscored(before=START)] == [ip(2).key]
        assert [item.key for item in opened.unscored(before=week_later)] == [ip(2).key, ip(1).key]
    with mirror(store, write=False) as opened:
        assert {item.key: item.reputation for item in opened.indicators()} == {
            ip(1).key: Reputation(90, ("Rule",)),
            ip(2).key: None,
        }


def test_a_journal_that_has_grown_becomes_a_snapshot_in_parts(place: Place) -> None:
    store = place.store()
    die = random.Random(1)
    with mirror(store) as opened:
        for number in range(400):
            text = die.randbytes(15_000).hex()
            opened.write(
                batch(Upsert(str(number), "1", (ip(number, description=text),)), at=number),
                now=START,
            )
        before = contents(opened)
        opened.compact(now=START)
    parts = list(store.list_("feeds/mirrors/feed/snapshot/"))
    assert len(parts) > 1
    sizes = [len(found.body) for key in parts if (found := store.read(key)) is not None]
    assert max(sizes) <= 4 * 1024 * 1024 + 4_096
    assert list(store.list_("feeds/mirrors/feed/journal/")) == []
    with mirror(store, write=False) as opened:
        assert contents(opened) == before
        assert opened.cursor == {"at": "399"}


def test_many_short_runs_become_a_snapshot(place: Place) -> None:
    store = place.store()
    for number in range(60):
        with mirror(store) as opened:
            opened.write(batch(Upsert(str(number), "1", (ip(number),)), at=number), now=START)
            opened.compact(now=START)
    assert len(list(store.list_("feeds/mirrors/feed/snapshot/"))) == 1
    assert len(list(store.list_("feeds/mirrors/feed/journal/"))) < 50
    with mirror(store, write=False) as opened:
        assert len(contents(opened)) == 60


def test_a_reader_meets_a_whole_state_while_a_writer_replaces_it(place: Place) -> None:
    store = place.store()
    with mirror(store) as opened:
        opened.write(batch(Upsert("one", "1", (ip(1),))), now=START)
        opened._file.save()
        opened.write(batch(Upsert("two", "1", (ip(2),)), at=2), now=START)
        with mirror(store, write=False) as reader:
            assert len(contents(reader)) == 2
        opened._file.save()
        with mirror(store, write=False) as reader:
            assert len(contents(reader)) == 2


@pytest.mark.parametrize("folder", ["snapshot", "journal"])
def test_a_part_that_is_missing_is_an_error_and_not_an_empty_feed(
    place: Place, folder: str
) -> None:
    store = place.store()
    with mirror(store) as opened:
        opened.write(batch(Upsert("one", "1", (ip(1),))), now=START)
        if folder == "snapshot":
            opened._file.save()
    with mirror(store) as opened:
        opened.write(batch(Upsert("two", "1", (ip(2),)), at=2), now=START)
    first = next(store.list_(f"feeds/mirrors/feed/{folder}/"))
    store.delete(first)
    with pytest.raises(StoreError, match="damaged or incomplete"), mirror(store, write=False):
        pass


def test_what_a_source_repeats_unchanged_is_not_written_again(place: Place) -> None:
    store = place.store()
    upserts = tuple(Upsert(str(number), "1", (ip(number),)) for number in range(200))
    with mirror(store) as opened:
        opened.write(batch(*upserts), now=START)
        before = journal(store)
        opened.write(batch(*upserts, at=2), now=START)
        assert journal(store) - before < 200
        assert opened.cursor == {"at": "2"}


def test_an_object_too_large_to_keep_is_counted_and_no_crash(place: Place) -> None:
    huge = Upsert("huge", "1", tuple(ip(n, description="x" * 900) for n in range(3_000)))
    with mirror(place.store()) as opened:
        assert opened.write(batch(huge, Upsert("one", "1", (ip(1),))), now=START) == 3_000
        assert [item.key for item in opened.indicators()] == [ip(1).key]


def test_removed_objects_are_forgotten_after_a_month(place: Place) -> None:
    store = place.store()
    source_ids = "SELECT source_id FROM object"
    with mirror(store) as opened:
        opened.write(batch(Upsert("one", "1", (ip(1),)), Upsert("two", "1", ())), now=START)
        opened._database.execute("UPDATE object SET gone=1 WHERE source_id='two'")
        for number in range(60):
            opened._file._open.append((f"x-{number}", 1))
        opened.compact(now=START + timedelta(days=31))
        assert [row[0] for row in opened._database.execute(source_ids)] == ["one"]


def test_rows_of_a_ledger_survive_whole(place: Place, tmp_path: Path) -> None:
    store = place.store()
    row = Row(
        key=ip(1).key,
        held=True,
        intent="put",
        generation=3,
        remote_id="r",
        sent=-(2**63),
        refused=2**63 - 1,
        reason="no",
        sent_at=1,
        expires_at=2,
    )
    with store.lease("feeds/leases/to-defender") as lease:
        ledger = Ledger(store, "defender", tmp_path, lease=lease)
        ledger.write([row])
        ledger.close()
    ledger = Ledger(store, "defender", tmp_path, lease=None)
    assert list(ledger.rows()) == [row]
    assert ledger.held == 1
    ledger.close()
