"""Documented limits of the form "so many calls in so many seconds", as vendors count them."""

import threading
from collections import deque
from collections.abc import Callable


class Window:
    """A sliding window per caller; a refused call is not counted.

    `scale` makes sandbox time pass faster for benchmarks: with 60 a minute lasts a second.
    """

    def __init__(
        self, calls: int, seconds: float, *, clock: Callable[[], float], scale: float = 1.0
    ) -> None:
        self.calls = calls
        self.seconds = seconds
        self.scale = scale
        self._clock = clock
        self._lock = threading.Lock()
        self._taken: dict[str, deque[float]] = {}

    def take(self, caller: str = "") -> float | None:
        """Count a call; returns None when it may pass, else the seconds until one may."""
        with self._lock:
            now = self._clock()
            taken = self._taken.setdefault(caller, deque())
            length = self.seconds / self.scale
            while taken and taken[0] <= now - length:
                taken.popleft()
            if len(taken) >= self.calls:
                return taken[0] + length - now
            taken.append(now)
            return None
