"""How often a destination may be called: evenly, a little below what it documents.

The generic cell rate algorithm: calls have places on a grid, and one that is late may be followed
by others sooner, up to `SLACK` seconds behind the grid. The numbers fit together: so many late
calls, those that were longer on their way and the grid of any minute are at most what is allowed in
it.
"""

import threading
from collections.abc import Callable
from typing import Final

SHARE: Final = 0.97
"""Of the documented rate."""

ON_THE_WAY: Final = 0.6
"""Seconds that one call may be longer on its way than another: it opens a connection, say."""

SLACK: Final = 60.0 * (1 / SHARE - 1) - ON_THE_WAY
"""Seconds that the grid may be behind: any 60 s see at most 60 s + SLACK + ON_THE_WAY of it."""


class Pace:
    """When calls may be made; safe for threads, one per destination and process."""

    def __init__(
        self,
        per_minute: float,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], object],
    ) -> None:
        self._interval = 60.0 / (per_minute * SHARE)
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._next: float | None = None

    @property
    def delay(self) -> float:
        """Seconds until the next call may be made."""
        return 0.0 if self._next is None else max(0.0, self._next - self._clock())

    def wait(self) -> None:
        """Sleep until the next call may be made, and take its place."""
        with self._lock:
            if delay := self.delay:
                self._sleep(delay)
            now = self._clock()
            behind = now - SLACK
            place = now if self._next is None else max(self._next, behind)
            self._next = place + self._interval
