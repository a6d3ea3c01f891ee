"""HTTP to other people's APIs: one transport per process, one lane of threads per API host.

A request that fails is asked again here and nowhere else: after a fresh token (401, once), after
the pause the API wants (429, 503 with `Retry-After`), or after a short back-off (5xx, a broken
connection), the last only when it may be repeated and while the host's retry quota lasts.
"""

import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from random import Random

from mdti.errors import DeadlineExceeded, MdtiError
from mdti.net.batch import BatchRule
from mdti.net.deadline import Deadline
from mdti.net.delivery import Call, Delivery, Finished, RetryRules, Task
from mdti.net.gate import GateRules
from mdti.net.lane import Lane
from mdti.net.messages import Origin, Request, Response, origin_of
from mdti.net.meter import Counters, Meter
from mdti.net.tokens import Tokens, TokenSource
from mdti.net.wire import Wire, ca_bundle

__all__ = ["Request", "Response", "Transport"]

_LONGEST_WAIT = 3_600.0  # seconds; queues refuse to wait for infinity


class Transport:
    """Sends requests to any number of APIs, never faster than each allows.

    `token(scope, renew)` gives bearer tokens. Each host gets `concurrency` threads and connections,
    made at its first request and kept. `batch` turns GETs below its root into batches. `retries`
    bounds the repetitions of one request after faults, `backoff` seconds doubled each time, at most
    `backoff_max`. `connect_timeout` and `read_timeout` are seconds, cut to what the deadline
    leaves; `max_bytes` bounds a decoded body. `proxy` is the only way to a proxy; `environ` is read
    for the path of a company's certificate authorities alone (see `mdti.net.wire`). `sleep` is
    called for every pause; None waits until the transport closes at most.
    """

    def __init__(
        self,
        *,
        token: TokenSource,
        concurrency: int = 32,
        batch: BatchRule | None = None,
        retries: int = 3,
        backoff: float = 0.5,
        backoff_max: float = 8.0,
        connect_timeout: float = 10.0,
        read_timeout: float = 30.0,
        max_bytes: int = 32 * 1024 * 1024,
        proxy: str | None = None,
        environ: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
        random: Random | None = None,
    ) -> None:
        self._closing = threading.Event()
        self._random = random or Random()
        self._delivery = Delivery(
            Tokens(token),
            batch=batch,
            rules=RetryRules(retries=retries, backoff=backoff, backoff_max=backoff_max),
            sleep=sleep or self._closing.wait,
            random=self._random,
        )
        self._concurrency = concurrency
        self._batch = batch
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._max_bytes = max_bytes
        self._proxy = proxy
        self._environ = environ
        self._clock = clock
        self._sleep = sleep or self._closing.wait
        self._totals = Meter()
        self._opening = threading.Lock()
        self._lanes: dict[Origin, Lane] = {}

    def send(self, request: Request, *, deadline: Deadline, meter: Meter | None = None) -> Response:
        """Send one request and return its answer, of status 200 to 299.

        Raises the subclass of `ApiError` that the outcome means, `DeadlineExceeded`,
        `IdentityError` without a token, or `SettingError` for an address that may not be used.
        """
        [(_, outcome)] = self.map([request], deadline=deadline, meter=meter)
        if isinstance(outcome, MdtiError):
            raise outcome
        return outcome

    def map(
        self, requests: Iterable[Request], *, deadline: Deadline, meter: Meter | None = None
    ) -> Iterator[Finished]:
        """Send many requests and yield `(index, answer or error)` as they finish.

        Every index comes exactly once, in any order; what cannot be done by `deadline` comes as an
        error. `requests` is read only as fast as the work goes, nothing is sent before the first
        item is asked for, and work not yet sent is dropped when the caller stops iterating.
        `meter` counts this call's requests only.
        """
        meters = (self._totals,) if meter is None else (self._totals, meter)
        call = Call(deadline, meters, self._closing)
        units = self._units(Task(index, request) for index, request in enumerate(requests))
        waiting: set[int] = set()
        running = True
        try:
            while running or waiting:
                while running and len(waiting) < self._window:
                    unit = next(units, None)
                    if unit is None:
                        running = False
                        break
                    waiting.update(task.index for task in unit)
                    self._start(unit, call)
                for index, outcome in self._collect(call, waiting):
                    waiting.discard(index)
                    yield index, outcome
        finally:
            call.given_up.set()

    def meter(self) -> Meter:
        """Return counters for one look-up, to be handed to `send` and `map`."""
        return Meter()

    def counters(self) -> Counters:
        """Return what this process has sent through this transport so far."""
        return self._totals.counters()

    def close(self) -> None:
        """End every pause, wait for requests under way, and close all connections."""
        self._closing.set()
        with self._opening:
            lanes = tuple(self._lanes.values())
        for lane in lanes:
            lane.close()

    @property
    def _window(self) -> int:
        # Twice the threads, so none idles while the caller deals with an answer.
        return 2 * self._concurrency * (self._batch.size if self._batch else 1)

    def _units(self, tasks: Iterator[Task]) -> Iterator[list[Task]]:
        """Group what may travel together: requests of one batch, or one alone."""
        unit: list[Task] = []
        for task in tasks:
            if self._batch is None or not self._batch.takes(task.request):
                yield [task]
                continue
            full = len(unit) == self._batch.size
            if unit and (full or unit[0].request.audience != task.request.audience):
                yield unit
                unit = []
            unit.append(task)
        if unit:
            yield unit

    def _start(self, unit: list[Task], call: Call) -> None:
        if call.deadline.expired:
            call.fail(unit, DeadlineExceeded("No time is left."))
            return
        lane: Lane | None = None
        sound: list[Task] = []
        for task in unit:
            try:
                lane = self._lane(origin_of(task.request.url))
            except MdtiError as error:
                call.fail([task], error)
                continue
            sound.append(task)
        if lane is not None:
            lane.submit(partial(self._delivery.run, lane, sound, call))

    def _collect(self, call: Call, waiting: set[int]) -> list[Finished]:
        """Return the next outcome, or an error for all that waits when time is up."""
        if not waiting:
            return []
        try:
            done = call.done.get(timeout=min(call.deadline.remaining(), _LONGEST_WAIT))
        except queue.Empty:
            if not call.deadline.expired:
                return []
            return [(index, DeadlineExceeded("No time is left.")) for index in sorted(waiting)]
        if isinstance(done, Exception):
            raise done
        return [done] if done[0] in waiting else []

    def _lane(self, origin: Origin) -> Lane:
        with self._opening:
            lane = self._lanes.get(origin)
            if lane is None:
                lane = self._lanes[origin] = self._open(origin)
            return lane

    def _open(self, origin: Origin) -> Lane:
        wire = Wire(
            origin,
            connections=self._concurrency,
            connect_timeout=self._connect_timeout,
            read_timeout=self._read_timeout,
            max_bytes=self._max_bytes,
            proxy=self._proxy,
            ca_path=ca_bundle(self._environ),
        )
        places = self._concurrency
        return Lane(
            wire,
            GateRules(start=places, minimum=min(2, places), maximum=places),
            name=origin.name,
            clock=self._clock,
            sleep=self._sleep,
            random=self._random.random,
            closing=self._closing,
        )
