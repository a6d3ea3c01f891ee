"""One line on a terminal that says what is being done and how far it is."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self, TextIO

from mdti.errors import MdtiError
from mdti.net.meter import Counters

INTERVAL = 0.2
"""Seconds between two looks at the counters."""

_ERASE = "\r\x1b[K"


class Progress(AbstractContextManager["Progress"]):
    """Rewrites one line of `stream` while it is open, and leaves nothing behind.

    `counters` gives what was sent so far in this process; what was sent before is not shown. `wait`
    pauses for some seconds and returns True once the line is no longer wanted.
    """

    def __init__(
        self,
        stream: TextIO,
        label: str,
        counters: Callable[[], Counters],
        *,
        width: int = 80,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        self._stream, self._label, self._counters = stream, label, counters
        self._width, self._clock = width, clock
        self._closing = threading.Event()
        self._wait = wait or self._closing.wait
        self._thread = threading.Thread(target=self._run, daemon=True, name="progress")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        started = self._clock()
        try:
            before = self._counters()
        except MdtiError:
            return  # a wrong setting: the command itself is about to say so
        while not self._wait(INTERVAL):
            spent = progress_line(self._label, before, self._counters(), self._clock() - started)
            self._stream.write(_ERASE + spent[: self._width - 1])
            self._stream.flush()
        self._stream.write(_ERASE)
        self._stream.flush()


def progress_line(label: str, before: Counters, now: Counters, seconds: float) -> str:
    """Return `Looking up 3 hosts: 120 requests, 4 throttled, 2.1 s`."""
    requests = now.requests - before.requests
    throttled = now.throttled - before.throttled
    waiting = f", {throttled:,} throttled" if throttled else ""
    plural = "" if requests == 1 else "s"
    return f"{label}: {requests:,} request{plural}{waiting}, {seconds:.1f} s"
