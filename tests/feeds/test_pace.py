"""Calls are paced: never more in a minute than allowed, and nearly as many."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mdti.feeds.pace import Pace
from tests.feeds.fakes import Time


@settings(deadline=None, max_examples=100)
@given(
    per_minute=st.sampled_from((6, 30, 100, 1_000)),
    latencies=st.lists(st.floats(0.0, 8.0), min_size=1, max_size=20),
)
def test_no_minute_sees_more_calls_than_are_allowed(
    per_minute: int, latencies: list[float]
) -> None:
    time = Time()
    pace = Pace(per_minute, clock=time.clock, sleep=time.sleep)
    calls: list[float] = []
    for number in range(3 * per_minute):
        pace.wait()
        calls.append(time.clock())
        # Most answers are fast, some are late, so that the pace has something to catch up.
        if number % 7 == 0:
            time.sleep(latencies[number % len(latencies)])
    busiest = max(sum(start <= call < start + 60 for call in calls) for start in calls)
    assert busiest <= per_minute


@settings(deadline=None, max_examples=50)
@given(
    per_minute=st.sampled_from((30, 100)),
    on_the_way=st.lists(st.floats(0.0, 0.5), min_size=1, max_size=20),
)
def test_no_minute_sees_more_calls_when_some_are_longer_on_their_way(
    per_minute: int, on_the_way: list[float]
) -> None:
    time = Time()
    pace = Pace(per_minute, clock=time.clock, sleep=time.sleep)
    pace.wait()
    time.sleep(30.0)  # the pace has all that it can catch up
    arrivals: list[float] = []
    for number in range(2 * per_minute):
        pace.wait()
        arrivals.append(time.clock() + on_the_way[number % len(on_the_way)])
    busiest = max(sum(start <= one < start + 60 for one in arrivals) for start in arrivals)
    assert busiest <= per_minute


def test_late_answers_within_the_slack_cost_nothing() -> None:
    time = Time()
    pace = Pace(100, clock=time.clock, sleep=time.sleep)
    for number in range(200):
        pace.wait()
        time.sleep(1.5 if number % 10 == 0 else 0.1)
    assert 200 / time.clock() * 60 >= 95


def test_the_first_call_does_not_wait() -> None:
    time = Time()
    Pace(1, clock=time.clock, sleep=time.sleep).wait()
    assert time.slept == 0
