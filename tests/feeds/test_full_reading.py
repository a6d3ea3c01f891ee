"""A full reading that ends before its first page is kept has not begun."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mdti.errors import ConnectionFailed
from mdti.feeds.ports import Batch, Cursor
from mdti.feeds.report import UNLISTED
from mdti.feeds.route import Terms
from mdti.feeds.service import FeedRequest
from mdti.net.deadline import Deadline
from tests.feeds.effects import Effects, Killed
from tests.feeds.fakes import FakeDestination, FakeSource, Place, filled, wanted


def cut_off(place: Place, source: FakeSource, destination: FakeDestination, at: int) -> bool:
    """Begin a full reading in a process that ends after so many effects; False when it did not."""
    place.effects = Effects(at=at, when="after")
    try:
        place.run(source, destination, full=True)
    except Killed:
        return True
    finally:
        place.restart()
    return False


def test_a_feed_is_complete_again_wherever_a_full_reading_ended(tmp_path: Path) -> None:
    for at in range(1, 100):
        place, source, destination = Place(tmp_path / str(at)), filled(5, page=2), FakeDestination()
        place.run(source, destination)
        if not cut_off(place, source, destination, at):
            break
        reports = [place.run(source, destination).report for _ in range(2)]
        assert reports[-1].complete, at
        assert destination.ours == wanted(source)
    assert at > 5


@pytest.mark.parametrize("first", range(1, 12))
def test_a_second_full_reading_that_ended_at_once_removes_nothing_of_the_first(
    tmp_path: Path, first: int
) -> None:
    for second in range(1, 8):
        place = Place(tmp_path / str(second))
        source, destination = filled(20, page=2), FakeDestination()
        place.run(source, destination)
        cut_off(place, source, destination, first)
        cut_off(place, source, destination, second)
        for _ in range(2):
            report = place.run(source, destination).report
            assert (report.error, report.removed) == (None, 0), (first, second)
        assert destination.ours == wanted(source)


def test_everything_is_read_anew_after_so_many_days(place: Place) -> None:
    source, destination = filled(10), FakeDestination()
    place.full_days = 7
    for _ in range(2):
        place.run(source, destination)
    del source.log[3]
    place.time.forward(days=6)
    place.run(source, destination)
    assert len(destination.ours) == 10
    place.time.forward(days=1)
    place.run(source, destination)
    assert destination.ours == wanted(source)
    place.run(source, destination)
    assert [full for _, full in source.asked] == [False, False, False, True, False]


def test_a_refused_sweep_is_told_until_it_is_decided(place: Place) -> None:
    source, destination = filled(10), FakeDestination()
    place.run(source, destination)
    del source.log[3:]
    for full in (True, False):
        report = place.run(source, destination, full=full).report
        assert report.skipped == {UNLISTED: 7}
    assert len(destination.ours) == 10
    place.sweep_percent = 70
    assert place.run(source, destination, full=True).report.skipped == {}
    assert destination.ours == wanted(source)


def test_a_full_reading_that_was_cut_off_goes_on_and_does_not_begin_anew(place: Place) -> None:
    source, destination = filled(10), FakeDestination()
    place.full_days = 7
    place.run(source, destination)
    place.time.forward(days=7)
    source.effects = Effects(at=1, pause=lambda: _cut(source))
    place.run(source, destination)
    source.fails = None
    place.run(source, destination)
    assert [full for _, full in source.asked] == [False, True, False]
    assert place.run(source, destination).report.complete


class Slow(FakeSource):
    """A source that answers when there is no time left."""

    place: Place

    def read(self, cursor: Cursor | None, *, full: bool, deadline: Deadline) -> Iterator[Batch]:
        self.place.time.sleep(deadline.remaining())
        return iter(())


def test_a_full_reading_that_had_no_time_to_begin_is_still_asked_for(place: Place) -> None:
    source, slow, destination = filled(10), Slow(), FakeDestination()
    place.run(source, destination)
    slow.place = place
    place.terms = Terms(revision="other")
    request = FeedRequest(feed="taxii-to-defender", full=True)
    late = place.run(slow, destination, full=True)
    assert late.again
    assert request.following(late).full
    assert not request.following(place.run(source, destination, full=True)).full


def _cut(source: FakeSource) -> None:
    source.fails = ConnectionFailed("The connection broke.")
