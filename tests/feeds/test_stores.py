"""A feed over every kind of store: files and blobs."""

from pathlib import Path

import pytest

from mdti.errors import LeaseLost
from mdti.feeds.mirror import Mirror
from mdti.feeds.pace import Pace
from mdti.feeds.policy import Policy
from mdti.feeds.ports import Batch, Limits, Upsert
from mdti.feeds.route import Route, Terms
from mdti.feeds.sync import Feed, Run, Sync
from mdti.net.deadline import Deadline
from mdti.store.base import Store
from tests.feeds.fakes import START, FakeDestination, FakeSource, Time, ip, wanted
from tests.store.backends import Backend


def run(store: Store, source: FakeSource, destination: FakeDestination) -> Run:
    time = Time()
    route = Route(
        destination=destination, ledger="defender", policy=Policy(), terms=Terms(expire_days=30)
    )
    sync = Sync(
        store,
        route_of=lambda name: route,
        pace_of=lambda destination: Pace(60_000, clock=time.clock, sleep=time.sleep),
        now=time.now,
        sleep=time.sleep,
    )
    feed = Feed(name="taxii-to-defender", source=source, route=route)
    return sync.run(feed, deadline=Deadline.after(1_500, clock=time.clock))


def test_a_feed_goes_on_in_another_process(backend: Backend) -> None:
    source, destination = FakeSource(), FakeDestination(limits=Limits(5, 60_000, parallel=3))
    for number in range(30):
        source.put(f"object-{number}", ip(number))
    first = run(backend.store, source, destination).report
    assert (first.error, first.accepted) == (None, 30)
    source.remove("object-3")
    source.put("object-4", ip(4, confidence=99))
    second = run(backend.another(), source, destination).report
    assert (second.error, second.accepted, second.removed) == (None, 1, 1)
    assert destination.ours == wanted(source)


def test_a_snapshot_replaces_the_journal(backend: Backend, tmp_path: Path) -> None:
    store = backend.store
    with store.lease("feeds/leases/feed") as lease:
        mirror = Mirror(store, "feed", tmp_path, lease=lease)
        for number in range(3):
            batch = Batch((Upsert(str(number), "1", (ip(number),)),), {"at": str(number)})
            mirror.write(batch, now=START)
            mirror._file.save()
        mirror.close()
    assert list(store.list_("feeds/mirrors/feed/journal/")) == []
    assert len(list(store.list_("feeds/mirrors/feed/snapshot/"))) == 1
    reader = Mirror(backend.another(), "feed", tmp_path, lease=None)
    assert {item.key for item in reader.indicators()} == {ip(n).key for n in range(3)}
    assert reader.cursor == {"at": "2"}
    reader.close()


def test_a_holder_that_was_replaced_writes_nothing_more(backend: Backend, tmp_path: Path) -> None:
    for name in ("stale", "fresh"):
        (tmp_path / name).mkdir()
    lease = backend.store.lease("feeds/leases/feed")
    stale = Mirror(backend.store, "feed", tmp_path / "stale", lease=lease)
    stale.write(Batch((Upsert("one", "1", (ip(1),)),), {"at": "1"}), now=START)
    backend.end_term("feeds/leases/feed")
    other = backend.another()
    with other.lease("feeds/leases/feed") as taken:
        fresh = Mirror(other, "feed", tmp_path / "fresh", lease=taken)
        fresh.write(Batch((Upsert("two", "1", (ip(2),)),), {"at": "2"}), now=START)
        with pytest.raises(LeaseLost):
            stale.write(Batch((Upsert("three", "1", (ip(3),)),), {"at": "3"}), now=START)
        assert {item.key for item in fresh.indicators()} == {ip(1).key, ip(2).key}
        fresh.close()
    stale.close()
