"""OpenCTI as a source: a live stream, drained as far as it went when it was opened.

A run opens the stream where the last one ended, reads to the last event there was at that moment
and leaves, so it needs no process that never ends. The stream forgets old events. A cursor from
before its first event, like no cursor at all, means that the platform's database is replayed as a
snapshot first: that alone shows what was deleted meanwhile.
Facts: contracts, opencti-anyrun-anomali-threatconnect 1.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from random import Random
from urllib.parse import quote

from mdti.errors import (
    ApiError,
    ApiGone,
    BadAnswer,
    ConnectionFailed,
    DeadlineExceeded,
    Forbidden,
    MdtiError,
    Missing,
    Unauthorized,
)
from mdti.feeds.asking import Hints, explained
from mdti.feeds.ports import Batch, Cursor, Phase
from mdti.feeds.sources.opencti_events import (
    BEGINNING,
    Drain,
    Position,
    Reach,
    position_of,
    reach_of,
    shown,
)
from mdti.feeds.sources.sse import Event, events_of
from mdti.feeds.values import Values
from mdti.net.deadline import Deadline
from mdti.net.messages import Request
from mdti.net.stream import stream

SILENCE = 15.0
"""Seconds without a byte after which the stream is opened anew: three heartbeats."""
_ATTEMPTS = 4
_FINAL = (Unauthorized, Forbidden, ApiGone, Missing)
_ACCESS = (
    "Check OPENCTI_TOKEN and CONNECTOR_LIVE_STREAM_ID; the token's user needs the capability "
    "'Access data sharing' and must be a member if the stream is restricted."
)
_HINTS: Hints = {
    Unauthorized: _ACCESS,
    Forbidden: _ACCESS,
    Missing: "OPENCTI_URL must be the address of the platform, with its base path if it has one.",
    ApiGone: "The stream is stopped; start it in OpenCTI under Data sharing, Live streams.",
}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a read stands: everything at or before `at` is known.

    While everything is being listed, `until` is where the snapshot ends, and the database is
    replayed up to the millisecond before it.
    """

    at: Position
    until: Position | None = None

    @classmethod
    def of(cls, cursor: Cursor | None) -> "_Place | None":
        """Return the place that a cursor names, None when it names none."""
        at = position_of((cursor or {}).get("id"))
        return None if at is None else cls(at, position_of((cursor or {}).get("until")))

    def cursor(self) -> Cursor:
        """Return the place as the engine keeps it."""
        known = {"id": shown(self.at)}
        return known if self.until is None else known | {"until": shown(self.until)}

    @property
    def phase(self) -> Phase:
        """What the batches of this read are."""
        return "delta" if self.until is None else "snapshot"

    @property
    def replayed_until(self) -> int | None:
        """The millisecond up to which the database is still to be replayed.

        One before the last event, so that the stream itself has an event left to end with.
        """
        if self.until is None or self.at[0] >= self.until[0] - 1:
            return None
        return self.until[0] - 1


class OpenCtiSource:
    """The indicators and observables of one live stream.

    `url` is the root of the platform, `stream_id` the stream's id; a public stream needs no
    `token`. `batch` is about how many changes come at once, `silence` how many seconds without a
    byte are taken for a broken connection. `sleep` is called before the stream is opened again.
    """

    name = "opencti"

    def __init__(
        self,
        *,
        url: str,
        token: str,
        stream_id: str,
        values: Values,
        listen_delete: bool = True,
        no_dependencies: bool = True,
        batch: int = 500,
        silence: float = SILENCE,
        proxy: str | None = None,
        sleep: Callable[[float], object] | None = None,
        random: Random | None = None,
    ) -> None:
        self._url = f"{url.rstrip('/')}/stream/{quote(stream_id, safe='')}"
        self._headers = [
            ("listen-delete", str(listen_delete).lower()),
            ("no-dependencies", str(no_dependencies).lower()),
        ]
        if token:
            self._headers.append(("Authorization", f"Bearer {token}"))
        self._values = values
        self._batch = batch
        self._silence = silence
        self._proxy = proxy
        self._sleep = sleep or threading.Event().wait
        self._random = random or Random()

    def read(self, cursor: Cursor | None, *, full: bool, deadline: Deadline) -> Iterator[Batch]:
        """Yield what the stream holds beyond the cursor; see `mdti.feeds.ports.Source.read`."""
        place = _Place.of(cursor)
        if place is not None and full and place.until is None:
            place = None
        run = _Run(place, self._values)
        failures = 0
        while not run.done:
            before = run.drain.at
            try:
                yield from self._follow(run, deadline)
            except DeadlineExceeded:
                yield from run.batches(1)
                return
            except MdtiError as error:
                failures = failures + 1 if run.drain.at == before else 1
                run.broke()
                self._pause(error, failures, deadline)

    def _follow(self, run: "_Run", deadline: Deadline) -> Iterator[Batch]:
        """Read one connection as far as it goes or is needed."""
        with self._opened(run.place, deadline) as events:
            reach = next((told for event in events if (told := reach_of(event))), None)
            if reach is None:
                raise BadAnswer("The stream of OpenCTI did not say how far it reaches.")
            if not run.settle(reach):
                return
            if run.done:
                yield from run.batches(0)
                return
            for event in events:
                run.drain.feed(event)
                yield from run.batches(self._batch)
                if run.done:
                    return
        raise ConnectionFailed("The stream of OpenCTI ended before its last event.")

    @contextmanager
    def _opened(self, place: _Place | None, deadline: Deadline) -> Iterator[Iterator[Event]]:
        options = []
        if place is not None:
            options.append(f"from={shown(place.at)}")
            if place.replayed_until is not None:
                moment = datetime.fromtimestamp(place.replayed_until / 1000, UTC)
                iso = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
                options.append(f"recover={quote(iso, safe='')}")
        url = f"{self._url}?{'&'.join(options)}" if options else self._url
        opened = stream(
            Request(url, headers=tuple(self._headers)),
            media_type="text/event-stream",
            deadline=deadline,
            silence=self._silence,
            proxy=self._proxy,
        )
        with opened as pieces:
            yield events_of(pieces.body)

    def _pause(self, error: MdtiError, failures: int, deadline: Deadline) -> None:
        """Wait before the next attempt; raise the error where none will help."""
        asked = error.retry_after if isinstance(error, ApiError) else None
        wait = asked or min(2.0**failures, 30.0) * (1.0 - self._random.random() / 2.0)
        hopeless = isinstance(error, _FINAL) or not isinstance(error, ApiError)
        if hopeless or failures >= _ATTEMPTS or wait >= deadline.remaining():
            raise explained(error, _HINTS)
        self._sleep(wait)


class _Run:
    """One read: where it stands, where it ends, and what it has gathered."""

    def __init__(self, place: _Place | None, values: Values) -> None:
        self.place = place
        self.drain = Drain(values, BEGINNING if place is None else place.at)
        self._end = None if place is None else place.until
        self._yielded = self.drain.at
        self._over = False

    @property
    def done(self) -> bool:
        """True when everything up to the end was handed over."""
        return self._over

    def settle(self, reach: Reach) -> bool:
        """Fix where the read ends; False when the stream has to be opened at another place.

        Raises `BadAnswer` when the stream does not say how far it reaches.
        """
        if reach.first is None or reach.last is None or reach.last < reach.first:
            raise BadAnswer("The stream of OpenCTI did not say how far it reaches.")
        # A place beyond the last event means that the platform was set back.
        if self.place is None or not reach.first <= self._needed() <= reach.last:
            self._restart(_Place(BEGINNING, reach.last))
            return False
        if self._end is None:
            self._end = reach.last
        self._over = self.drain.at >= self._end
        return True

    def batches(self, size: int) -> Iterator[Batch]:
        """Yield what has been gathered once it is enough, or the end is reached."""
        if self.place is None or self._end is None:
            return
        over = self.drain.at >= self._end
        moved = self.drain.at > self._yielded
        if over or len(self.drain.changes) >= size:
            self.place = replace(self.place, at=self.drain.at)
            changes = self.drain.take()
            if changes or moved:
                self._yielded = self.drain.at
                yield Batch(changes, self.place.cursor(), self.place.phase)
        if over and self.place.until is not None:
            self.place = replace(self.place, until=None)
            yield Batch((), self.place.cursor(), "snapshot_end")
        self._over = over

    def broke(self) -> None:
        """Prepare to open the stream again after the last complete position."""
        self.drain.drop()
        if self.place is not None:
            self.place = replace(self.place, at=self.drain.at)

    def _needed(self) -> Position:
        """Return the event that the stream must still hold for nothing to be missed."""
        if self.place is not None and self.place.until is not None:
            return self.place.until
        return self.drain.at

    def _restart(self, place: _Place) -> None:
        self.place = place
        self._end = place.until
        self.drain = Drain(self.drain.values, place.at)
        self._yielded = place.at
