"""Counting what a look-up, or the whole process, asked of the APIs."""

import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counters:
    """Requests that were sent and, of these, refused with a wish to wait (429).

    Retries count again, and each part of a batch counts as one.
    """

    requests: int = 0
    throttled: int = 0


class Meter:
    """Counters that several threads may add to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters = Counters()

    def add(self, *, requests: int = 0, throttled: int = 0) -> None:
        """Add to the counters."""
        with self._lock:
            self._counters = Counters(
                self._counters.requests + requests, self._counters.throttled + throttled
            )

    def counters(self) -> Counters:
        """Return the counters as they are at this moment."""
        return self._counters

    @property
    def requests(self) -> int:
        """The number of requests sent."""
        return self._counters.requests

    @property
    def throttled(self) -> int:
        """The number of requests that were refused with a wish to wait."""
        return self._counters.throttled
