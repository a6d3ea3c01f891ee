"""How many requests may be under way to one API, and when: a state machine without I/O.

The gate holds no thread, clock or randomness. Whoever sends asks `enter` with the time, and reports
the outcome to `leave`. Two rules shape it: everybody waits while the API asks for a pause, and the
number in flight falls once for all requests that were under way together, however many of them
were refused. Graph counts refused calls against the quota, so asking again early costs twice.
"""

import math
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["served", "refused", "broken"]


@dataclass(frozen=True, slots=True)
class Pass:
    """Leave to send one request; hand it back to `Gate.leave`.

    `cohort` counts the reductions before it was given: only a pass of the current cohort can
    cause another one.
    """

    cohort: int


@dataclass(frozen=True, slots=True)
class Wait:
    """No leave yet: the API asked for a pause until `until`, or all places are taken (None)."""

    until: float | None


@dataclass(frozen=True, slots=True)
class TooLong:
    """The API asked for a pause of `seconds` more, which is longer than the caller can wait."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRules:
    """The gate's numbers; `tests/bench/throttle.py` measures what they give.

    Seconds throughout. `start`, `minimum` and `maximum` bound the requests in flight. Until the API
    has refused a request, each one served adds a place; afterwards one is added when as many as
    there are places were served and `growth` seconds have passed since the last change. Without a
    `Retry-After` the pause is `backoff` doubled per refusal in a row, at most `backoff_max`, of
    which jitter takes up to half; with one, up to `herd` is added. `quota` is what retries of
    faults may spend: one each, and a served request returns `refund`.
    """

    start: int
    minimum: int
    maximum: int
    growth: float = 0.7
    backoff: float = 1.0
    backoff_max: float = 30.0
    herd: float = 0.05
    quota: float = 50.0
    refund: float = 0.1

    def __post_init__(self) -> None:
        if not 1 <= self.minimum <= self.start <= self.maximum:
            raise ValueError("a gate needs 1 <= minimum <= start <= maximum")


class Gate:
    """The throttle of one API host; not thread-safe, its owner holds a lock around each call."""

    def __init__(self, rules: GateRules) -> None:
        self._rules = rules
        self._limit = rules.start
        self._in_flight = 0
        self._cohort = 0
        self._served = 0
        self._changed = 0.0
        self._refusals = 0
        self._paused_until = 0.0
        self._quota = rules.quota

    @property
    def limit(self) -> int:
        """The number of requests that may be in flight."""
        return self._limit

    @property
    def in_flight(self) -> int:
        """The number of passes that were given and not handed back."""
        return self._in_flight

    def enter(self, now: float, *, patience: float = math.inf) -> Pass | Wait | TooLong:
        """Give a pass, or say what to wait for, or that `patience` seconds will not do."""
        pause = self._paused_until - now
        if pause > patience:
            return TooLong(pause)
        if pause > 0.0:
            return Wait(self._paused_until)
        if self._in_flight >= self._limit:
            return Wait(None)
        self._in_flight += 1
        return Pass(self._cohort)

    def leave(
        self,
        given: Pass,
        outcome: Outcome,
        *,
        now: float,
        retry_after: float | None = None,
        jitter: float = 0.0,
    ) -> None:
        """Take a pass back with what became of the request.

        `served`: the API answered, whatever it said. `refused`: it asked for a pause, of
        `retry_after` seconds if it said so (zero and less say nothing). `broken`: no usable answer,
        which says nothing about the rate. `jitter` is a random number in [0, 1).
        """
        self._in_flight -= 1
        if outcome == "served":
            self._grow(given, now)
        if outcome == "refused":
            self._shrink(given, now)
            pause = self._pause(retry_after, jitter)
            self._paused_until = max(self._paused_until, now + pause)

    def may_retry(self) -> bool:
        """Spend one retry of a fault; False when the quota is used up, so an outage stays small."""
        if self._quota < 1.0:
            return False
        self._quota -= 1.0
        return True

    def _grow(self, given: Pass, now: float) -> None:
        self._refusals = 0
        self._quota = min(self._rules.quota, self._quota + self._rules.refund)
        if given.cohort != self._cohort or self._limit >= self._rules.maximum:
            return
        self._served += 1
        if self._cohort == 0:
            self._limit += 1
            return
        if self._served >= self._limit and now - self._changed >= self._rules.growth:
            self._served = 0
            self._changed = now
            self._limit += 1

    def _shrink(self, given: Pass, now: float) -> None:
        if given.cohort != self._cohort:
            return
        self._cohort += 1
        self._served = 0
        self._changed = now
        self._refusals += 1
        self._limit = max(self._rules.minimum, self._limit // 2)

    def _pause(self, retry_after: float | None, jitter: float) -> float:
        if retry_after is not None and retry_after > 0.0:
            return retry_after + self._rules.herd * jitter
        doubled = self._rules.backoff * 2.0 ** min(self._refusals - 1, 16)
        return min(doubled, self._rules.backoff_max) * (1.0 - jitter / 2.0)
