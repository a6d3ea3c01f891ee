"""Two feeds into one destination: what both want, what one gives up, and who gets a place."""

import pytest

from mdti.feeds.ports import Drop, Put
from mdti.feeds.route import Terms
from tests.feeds.fakes import Cell, FakeDestination, FakeSource, Place, ip, wanted

revoking = pytest.mark.parametrize("revokes", [False, True], ids=["listable", "revoking"])


@revoking
def test_a_shared_value_is_one_row_with_what_the_surer_feed_says(
    place: Place, revokes: bool
) -> None:
    one, other = FakeSource("taxii"), FakeSource("anyrun")
    destination = FakeDestination(revokes=revokes, listable=not revokes)
    one.put("object", ip(1, confidence=40))
    other.put("object", ip(1, confidence=90))
    for source in (one, other, one):
        place.run(source, destination)
    assert destination.ours == {ip(1).key: ip(1, confidence=90)}
    assert [type(call[0]) for call in destination.calls] == [Put, Put]


@revoking
def test_a_removal_by_one_leaves_the_row_to_the_other(place: Place, revokes: bool) -> None:
    one, other = FakeSource("taxii"), FakeSource("anyrun")
    destination = FakeDestination(revokes=revokes, listable=not revokes)
    one.put("object", ip(1, confidence=90))
    other.put("object", ip(1, confidence=40))
    for source in (one, other):
        place.run(source, destination)
    one.remove("object")
    place.run(one, destination)
    assert destination.ours == {ip(1).key: ip(1, confidence=40)}
    assert not any(isinstance(call[0], Drop) for call in destination.calls)
    other.remove("object")
    place.run(other, destination)
    assert destination.ours == {}


@revoking
def test_places_go_to_the_highest_of_both_feeds(place: Place, revokes: bool) -> None:
    place.terms = Terms(capacity=3)
    one, other = FakeSource("taxii"), FakeSource("anyrun")
    destination = FakeDestination(revokes=revokes, listable=not revokes)
    for number, confidence in enumerate((50, 60, 70)):
        one.put(f"object-{number}", ip(number, confidence=confidence))
    place.run(one, destination)
    other.put("near", ip(8, confidence=54))
    other.put("far", ip(9, confidence=95))
    report = place.run(other, destination).report
    assert set(destination.ours) == {ip(1).key, ip(2).key, ip(9).key}
    assert (report.accepted, report.removed, report.over_cap) == (1, 1, 2)
    one.remove("object-1")
    place.run(one, destination)
    assert set(destination.ours) == {ip(8).key, ip(2).key, ip(9).key}
    assert destination.wrongs == []


def test_a_foreign_row_that_both_feeds_want_is_touched_by_neither(place: Place) -> None:
    one, other, destination = FakeSource("taxii"), FakeSource("anyrun"), FakeDestination()
    foreign = destination.rows[ip(1).key] = Cell(None, False, "theirs")
    for source in (one, other):
        source.put("shared", ip(1))
        source.put("own", ip(2))
        report = place.run(source, destination).report
        assert report.skipped == {"row of somebody else": 1}
    for source in (one, other):
        source.remove("shared")
        place.run(source, destination)
    assert destination.rows[ip(1).key] == foreign
    assert destination.ours == wanted(one, other)
    assert destination.wrongs == []
