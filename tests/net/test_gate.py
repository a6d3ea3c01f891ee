import heapq
import math
from itertools import count
from random import Random

import pytest
from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mdti.net.gate import Gate, GateRules, Outcome, Pass, TooLong, Wait

RULES = GateRules(start=8, minimum=2, maximum=16)


def enter(gate: Gate, now: float) -> Pass:
    given = gate.enter(now)
    assert isinstance(given, Pass)
    return given


def test_no_more_are_in_flight_than_the_limit() -> None:
    gate = Gate(RULES)
    passes = [enter(gate, 0.0) for _ in range(8)]
    assert gate.enter(0.0) == Wait(None)
    gate.leave(passes[0], "broken", now=0.1)
    assert isinstance(gate.enter(0.1), Pass)


def test_the_limit_doubles_per_full_cohort_until_the_first_refusal() -> None:
    gate = Gate(GateRules(start=4, minimum=2, maximum=32))
    limits = []
    for moment in range(4):
        for given in [enter(gate, moment) for _ in range(gate.limit)]:
            gate.leave(given, "served", now=moment + 0.5)
        limits.append(gate.limit)
    assert limits == [8, 16, 32, 32]


def test_a_cohort_of_refusals_halves_the_limit_once() -> None:
    gate = Gate(RULES)
    for given in [enter(gate, 0.0) for _ in range(8)]:
        gate.leave(given, "refused", now=0.1, retry_after=1.0)
    assert gate.limit == 4


def test_each_later_cohort_halves_it_again_down_to_the_minimum() -> None:
    gate = Gate(RULES)
    now = 0.0
    limits = []
    for _ in range(4):
        gate.leave(enter(gate, now), "refused", now=now, retry_after=1.0)
        limits.append(gate.limit)
        now += 2.0
    assert limits == [4, 2, 2, 2]


def test_after_a_refusal_a_place_is_added_only_after_a_cohort_and_a_while() -> None:
    gate = Gate(RULES)
    gate.leave(enter(gate, 0.0), "refused", now=0.0, retry_after=1.0)
    for _ in range(20):
        gate.leave(enter(gate, 1.5), "served", now=0.5)
    assert gate.limit == 4
    gate.leave(enter(gate, 1.5), "served", now=1.6)
    assert gate.limit == 5
    gate.leave(enter(gate, 9.0), "served", now=9.0)
    assert gate.limit == 5


def test_what_was_sent_before_a_reduction_does_not_raise_the_limit_again() -> None:
    gate = Gate(RULES)
    old = [enter(gate, 0.0) for _ in range(8)]
    gate.leave(old[0], "refused", now=0.1, retry_after=1.0)
    for given in old[1:]:
        gate.leave(given, "served", now=5.0)
    assert gate.limit == 4


def test_a_refusal_pauses_everybody_until_retry_after() -> None:
    gate = Gate(RULES)
    gate.leave(enter(gate, 0.0), "refused", now=10.0, retry_after=7.0, jitter=0.0)
    assert gate.enter(16.9) == Wait(17.0)
    assert isinstance(gate.enter(17.0), Pass)


def test_a_shorter_pause_does_not_cut_a_longer_one() -> None:
    gate = Gate(RULES)
    first, second = enter(gate, 0.0), enter(gate, 0.0)
    gate.leave(first, "refused", now=0.0, retry_after=9.0)
    gate.leave(second, "refused", now=0.0, retry_after=1.0)
    assert gate.enter(5.0) == Wait(9.0)


def test_a_pause_longer_than_the_caller_can_wait_is_refused_at_once() -> None:
    gate = Gate(RULES)
    gate.leave(enter(gate, 0.0), "refused", now=0.0, retry_after=300.0)
    assert gate.enter(100.0, patience=90.0) == TooLong(200.0)
    assert gate.enter(100.0, patience=200.0) == Wait(300.0)


@pytest.mark.parametrize("said", [None, 0.0, -1.0])
def test_without_a_usable_retry_after_the_pause_doubles_and_is_bounded(said: float | None) -> None:
    gate = Gate(RULES)
    now = 0.0
    pauses = []
    for _ in range(8):
        gate.leave(enter(gate, now), "refused", now=now, retry_after=said, jitter=0.0)
        paused = gate.enter(now)
        assert isinstance(paused, Wait)
        assert paused.until is not None
        pauses.append(paused.until - now)
        now = paused.until
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_jitter_shortens_a_back_off_and_lengthens_a_stated_pause() -> None:
    for said, expected in ((None, 0.5), (4.0, 4.05)):
        gate = Gate(RULES)
        gate.leave(enter(gate, 0.0), "refused", now=0.0, retry_after=said, jitter=1.0)
        assert gate.enter(0.0) == Wait(expected)


def test_an_answer_that_broke_says_nothing_about_the_rate() -> None:
    gate = Gate(RULES)
    gate.leave(enter(gate, 0.0), "broken", now=0.0)
    assert gate.limit == 8
    assert isinstance(gate.enter(0.0), Pass)


def test_an_outage_gets_no_more_retries_than_the_quota() -> None:
    gate = Gate(RULES)
    assert sum(gate.may_retry() for _ in range(1_000)) == 50


def test_served_requests_pay_the_quota_back() -> None:
    gate = Gate(GateRules(start=8, minimum=2, maximum=16, quota=1.0, refund=0.5))
    assert gate.may_retry()
    assert not gate.may_retry()
    for _ in range(2):
        gate.leave(enter(gate, 0.0), "served", now=0.0)
    assert gate.may_retry()
    assert not gate.may_retry()


@pytest.mark.parametrize("numbers", [(0, 0, 4), (4, 5, 8), (9, 1, 8)])
def test_impossible_limits_are_refused(numbers: tuple[int, int, int]) -> None:
    start, minimum, maximum = numbers
    with pytest.raises(ValueError, match="minimum"):
        GateRules(start=start, minimum=minimum, maximum=maximum)


class GateMachine(RuleBasedStateMachine):
    """Any order of arrivals, outcomes and waits keeps the gate's promises."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate(RULES)
        self.now = 0.0
        self.paused_until = 0.0
        self.passes: list[Pass] = []
        self.retries = 0
        self.served = 0

    @rule(seconds=st.floats(0.0, 40.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(patience=st.floats(0.0, 60.0))
    def somebody_arrives(self, patience: float) -> None:
        before = self.gate.in_flight
        answer = self.gate.enter(self.now, patience=patience)
        if isinstance(answer, Pass):
            assert self.now >= self.paused_until
            assert before < self.gate.limit
            self.passes.append(answer)
        elif isinstance(answer, TooLong):
            assert answer.seconds > patience
        elif answer.until is None:
            assert before >= self.gate.limit
        else:
            assert self.now < answer.until <= self.now + patience

    @precondition(lambda self: self.passes)
    @rule(
        data=st.data(),
        outcome=st.sampled_from(["served", "refused", "broken"]),
        retry_after=st.none() | st.floats(-5.0, 20.0),
        jitter=st.floats(0.0, 1.0, exclude_max=True),
    )
    def one_comes_back(
        self, data: st.DataObject, outcome: Outcome, retry_after: float | None, jitter: float
    ) -> None:
        given = self.passes.pop(data.draw(st.integers(0, len(self.passes) - 1)))
        before = self.gate.limit
        self.gate.leave(given, outcome, now=self.now, retry_after=retry_after, jitter=jitter)
        if outcome == "served":
            self.served += 1
            assert before <= self.gate.limit <= before + 1
        elif outcome == "broken":
            assert self.gate.limit == before
        else:
            assert self.gate.limit in (before, max(RULES.minimum, before // 2))
            if retry_after is not None and retry_after > 0.0:
                self.paused_until = max(self.paused_until, self.now + retry_after)

    @rule()
    def a_fault_is_retried(self) -> None:
        assume(self.retries < 200)
        self.retries += self.gate.may_retry()
        assert self.retries <= RULES.quota + RULES.refund * self.served + 1e-6

    @invariant()
    def the_books_are_straight(self) -> None:
        assert self.gate.in_flight == len(self.passes)
        assert RULES.minimum <= self.gate.limit <= RULES.maximum


GateMachine.TestCase.settings = settings(deadline=None, max_examples=60, stateful_step_count=40)
TestGateMachine = GateMachine.TestCase


@pytest.mark.parametrize("latency", [0.04, 0.05, 0.08, 0.1, 0.15, 0.2])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_throttling_server_is_used_to_nine_tenths_with_few_refusals(
    latency: float, seed: int
) -> None:
    """The throttled benchmark in simulated time: 1,000 requests, 50/s, refusals cost half."""
    seconds, refused = simulate(latency, Random(seed))
    assert seconds / 19.0 <= 1.10
    assert refused <= 50


def simulate(latency: float, random: Random) -> tuple[float, int]:
    """Return the seconds that 32 senders take, and the refusals they meet."""
    gate = Gate(GateRules(start=32, minimum=2, maximum=32))
    tokens, filled, todo, done, refused, now = 50.0, 0.0, 1_000, 0, 0, 0.0
    order = count()
    events: list[tuple[float, int, Pass | None, float | None]] = []
    idle = 0
    for _ in range(32):
        heapq.heappush(events, (0.0, next(order), None, None))
    while done < 1_000:
        now, _, given, wait = heapq.heappop(events)
        if given is not None:
            outcome: Outcome = "served" if wait is None else "refused"
            gate.leave(given, outcome, now=now, retry_after=wait, jitter=random.random())
            done += wait is None
            refused += wait is not None
            todo += wait is not None
            for _ in range(idle + 1):
                heapq.heappush(events, (now, next(order), None, None))
            idle = 0
            continue
        if not todo:
            continue
        answer = gate.enter(now)
        if isinstance(answer, Pass):
            todo -= 1
            tokens, filled = min(50.0, tokens + (now - filled) * 50.0), now
            fits = tokens >= 1.0
            tokens -= 1.0 if fits else 0.5
            wait = None if fits else max(1.0, math.ceil((1.0 - tokens) / 50.0))
            taken = latency * random.uniform(0.9, 1.1) if fits else 0.016
            heapq.heappush(events, (now + taken, next(order), answer, wait))
        elif isinstance(answer, Wait) and answer.until is not None:
            heapq.heappush(events, (answer.until, next(order), None, None))
        else:
            idle += 1
    return now, refused
