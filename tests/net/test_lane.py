import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mdti.errors import ConnectionFailed, DeadlineExceeded, MdtiError
from mdti.net.deadline import Deadline
from mdti.net.gate import GateRules, Pass
from mdti.net.lane import Lane
from mdti.net.messages import origin_of
from mdti.net.wire import Wire
from tests.net.rude import Clock


@contextmanager
def lane(
    clock: Clock,
    closing: threading.Event | None = None,
    sleep: Callable[[float], object] | None = None,
) -> Iterator[Lane]:
    """A lane with one place that nothing is sent through."""
    wire = Wire(
        origin_of("https://api.example"),
        connections=1,
        connect_timeout=1.0,
        read_timeout=1.0,
        max_bytes=1,
        proxy=None,
        ca_path=None,
    )
    made = Lane(
        wire,
        GateRules(start=1, minimum=1, maximum=1),
        name="api.example",
        clock=clock,
        sleep=sleep or clock.sleep,
        random=lambda: 0.0,
        closing=closing or threading.Event(),
    )
    yield made
    made.close()


def enter(lane: Lane, clock: Clock) -> Pass:
    given = lane.enter(Deadline.after(60.0, clock=clock))
    assert isinstance(given, Pass)
    return given


def test_a_pause_is_slept_before_a_place_is_given() -> None:
    clock = Clock()
    with lane(clock) as it:
        it.leave(enter(it, clock), "refused", retry_after=5.0)
        enter(it, clock)
    assert clock.slept == [5.0]


def test_a_transport_that_closes_during_a_pause_ends_the_wait() -> None:
    clock = Clock()
    closing = threading.Event()
    with lane(clock, closing, lambda seconds: closing.set()) as it:
        it.leave(enter(it, clock), "refused", retry_after=5.0)
        assert isinstance(it.enter(Deadline.after(60.0, clock=clock)), ConnectionFailed)


def test_without_a_place_and_without_time_it_gives_up() -> None:
    clock = Clock()
    with lane(clock) as it:
        enter(it, clock)
        assert isinstance(it.enter(Deadline.after(0.0, clock=clock)), DeadlineExceeded)


def test_a_place_that_is_given_back_goes_to_somebody_who_waits() -> None:
    clock = Clock()
    asked = threading.Event()

    class Asking(Clock):
        def __call__(self) -> float:
            asked.set()
            return self.now

    results: list[Pass | MdtiError] = []
    with lane(clock) as it:
        first = enter(it, clock)
        deadline = Deadline.after(60.0, clock=Asking())
        asked.clear()
        thread = threading.Thread(target=lambda: results.append(it.enter(deadline)))
        thread.start()
        asked.wait(30)
        it.leave(first, "served")
        thread.join(30)
        assert [type(result) for result in results] == [Pass]
