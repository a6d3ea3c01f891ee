"""How often a destination may be called: evenly, a little below what it documents."""

import threading
from collections.abc import Callable
from typing import Final

SHARE: Final = 0.98
"""Of the documented rate; with one call in hand no window of a minute then sees more than it."""


class Pace:
    """A token bucket that holds one token; safe for threads, one per destination and process."""

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
            self._next = self._clock() + self._interval
