"""A feed whose mirror was lost takes nothing back before its source was read to the end again."""

from collections.abc import Callable, Iterator

from mdti.errors import ConnectionFailed
from mdti.feeds.ports import Batch, Cursor
from mdti.net.deadline import Deadline
from tests.feeds.effects import Effects
from tests.feeds.fakes import FakeDestination, FakeSource, Place, filled, wanted

WAITS = "removal waits until taxii-to-defender is read again"


def lose_mirror(place: Place) -> None:
    store = place.store()
    for key in list(store.list_("feeds/mirrors/taxii-to-defender/")):
        store.delete(key)


def cut_off(source: FakeSource) -> Callable[[], None]:
    def cut() -> None:
        source.fails = ConnectionFailed("The connection broke.")

    return cut


class Shallow(FakeSource):
    """A source whose first reading begins at `first`; asked for all, it lists all."""

    first = 0

    def read(self, cursor: Cursor | None, *, full: bool, deadline: Deadline) -> Iterator[Batch]:
        begin = cursor if cursor is not None or full else {"at": str(self.first)}
        yield from super().read(begin, full=full, deadline=deadline)


def test_a_source_that_is_not_read_from_its_beginning_is_then_read_whole(place: Place) -> None:
    source, destination = Shallow(), FakeDestination()
    source.log = filled().log
    place.run(source, destination)
    source.first = 9
    lose_mirror(place)
    report = place.run(source, destination).report
    assert (report.removed, report.unchanged, report.complete) == (0, 10, True)
    place.run(source, destination)
    assert [full for _, full in source.asked] == [False, True, False]


def test_nothing_is_removed_while_the_source_is_away(place: Place) -> None:
    source, destination = filled(), FakeDestination()
    place.run(source, destination)
    lose_mirror(place)
    source.fails = ConnectionFailed("No answer.")
    report = place.run(source, destination).report
    assert len(destination.ours) == 10
    assert isinstance(report.error, ConnectionFailed)
    assert (report.removed, report.skipped) == (0, {WAITS: 10})


def test_what_is_gone_is_removed_once_the_source_was_read_to_its_end(place: Place) -> None:
    source, destination = filled(), FakeDestination()
    place.run(source, destination)
    lose_mirror(place)
    source.remove("object-9")
    source.effects = Effects(at=1, pause=cut_off(source))
    report = place.run(source, destination).report
    assert (report.unchanged, report.skipped) == (4, {WAITS: 6})
    assert len(destination.ours) == 10
    source.fails = None
    report = place.run(source, destination).report
    assert (report.removed, report.skipped, report.complete) == (1, {}, True)
    assert destination.ours == wanted(source)


def test_another_feed_removes_its_own_rows_only_afterwards(place: Place) -> None:
    lost, other, destination = filled(4), filled(6, name="anyrun"), FakeDestination()
    place.run(lost, destination)
    place.run(other, destination)
    lose_mirror(place)
    other.remove("object-5")
    report = place.run(other, destination).report
    assert (report.removed, report.skipped, report.complete) == (0, {WAITS: 1}, True)
    place.run(lost, destination)
    assert destination.ours == wanted(lost, other)


def test_a_feed_that_is_no_longer_read_is_not_waited_for(place: Place) -> None:
    lost, other, destination = filled(4), filled(2, name="anyrun"), FakeDestination()
    place.run(lost, destination)
    place.run(other, destination)
    lose_mirror(place)
    place.time.forward(days=8)
    place.run(other, destination)
    assert destination.ours == wanted(other)


def test_a_feed_that_was_never_read_to_its_end_holds_nothing_up(place: Place) -> None:
    new, other, destination = filled(8), filled(6, name="anyrun"), FakeDestination()
    place.run(other, destination)
    new.effects = Effects(at=1, pause=cut_off(new))
    place.run(new, destination)
    other.remove("object-5")
    assert place.run(other, destination).report.removed == 1


def test_a_rehearsal_does_not_count_what_would_wait(place: Place) -> None:
    source, destination = filled(), FakeDestination()
    place.run(source, destination)
    lose_mirror(place)
    source.fails = ConnectionFailed("No answer.")
    report = place.run(source, destination, dry_run=True).report
    assert (report.removed, report.skipped) == (0, {WAITS: 10})
