"""Leases are renewed while a slow call lasts, and two feeds take turns at one destination."""

import threading

import pytest

from mdti.errors import LeaseLost, StoreError
from mdti.feeds.hold import held
from mdti.store.files import FileLease
from tests.feeds.effects import Effects, NumberedStore
from tests.feeds.fakes import FakeDestination, FakeSource, Place, ip, wanted


class Beats:
    """Lets a lease be renewed so many times, each after 50 s of the place's time."""

    def __init__(self, place: Place, count: int) -> None:
        self.place, self.left = place, count
        self.done = threading.Event()

    def __call__(self, over: threading.Event, seconds: float) -> bool:
        if self.left == 0:
            self.done.set()
            return over.wait()
        self.left -= 1
        self.place.time.forward(seconds=50)
        return False


def test_a_lease_outlives_its_term_while_its_holder_works(place: Place) -> None:
    store, beats = place.store(), Beats(place, 3)
    with held(store, "feeds/leases/feed", wait=beats) as lease:
        assert beats.done.wait(30)
        lease.check()
    with held(store, "feeds/leases/feed", wait=Beats(place, 0)):
        pass


class Failing(NumberedStore):
    """A store whose leases cannot be renewed for a while."""

    failures = 2

    def _renew(self, lease: FileLease) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreError("no answer")
        super()._renew(lease)


def test_a_renewal_that_fails_is_tried_again(place: Place) -> None:
    store = Failing(place.root, clock=place.time.now, effects=Effects())
    beats = Beats(place, 3)
    with held(store, "feeds/leases/feed", wait=beats) as lease:
        assert beats.done.wait(30)
        lease.check()


def test_a_lease_that_somebody_took_is_not_renewed(place: Place) -> None:
    store = place.store()
    with held(store, "feeds/leases/feed", wait=lambda over, seconds: over.wait()) as lease:
        place.time.forward(seconds=61)
        with store.lease("feeds/leases/feed"), pytest.raises(LeaseLost):
            lease.renew()


def test_a_feed_waits_for_another_that_writes_to_the_same_place(place: Place) -> None:
    source, destination = FakeSource(), FakeDestination()
    source.put("one", ip(1))
    other = place.store().lease("feeds/leases/to-defender")
    report = place.run(source, destination).report
    assert place.time.slept >= 60
    assert report.accepted == 1
    assert destination.ours == wanted(source)
    with pytest.raises(LeaseLost):
        other.renew()


def test_a_feed_whose_turn_does_not_come_says_that_there_is_more(place: Place) -> None:
    source, destination = FakeSource(), FakeDestination()
    source.put("one", ip(1))
    place.store().lease("feeds/leases/to-defender")
    run = place.run(source, destination, seconds=90)
    assert run.again
    assert not run.report.complete
    assert destination.calls == []
    assert place.run(source, destination).report.accepted == 1
