"""OpenCTI's live stream: server-sent events, heartbeats, filter exits, recovery from the database.

    GET /stream/{id}?from=...&recover=...      text/event-stream

Contract: OpenCTI's streaming reference and server (contracts, opencti-... 1). The stream passes
objects whose score is at least `min_score`. Before the first object on a connection comes its
author as a `create` with the same id, whatever `no-dependencies` says. Bad tokens, unknown streams
and missing rights are all answered 401.
"""

import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from mdti.sandbox.wire import Reply, Request

TOKEN = "5a7d0b0e-0000-4000-8000-00000000c001"  # noqa: S105 - opens nothing but the sandbox
STREAM_ID = "5a7d0b0e-0000-4000-8000-00000000c0de"
EXTENSION = "extension-definition--ea279b3e-5c71-4632-ac08-831c66a786ba"
AUTHOR = "identity--5a7d0b0e-0000-4000-8000-00000000c0a0"

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Event:
    """One entry of the stream; `name` is None for what the filter removes."""

    position: tuple[int, int]
    name: str | None
    document: Object


class OpenCti:
    """One platform with one live stream.

    `clock` gives seconds since 1970, `heartbeat` is the seconds between two of them. `forbidden`
    takes the user's right away, `stopped` stops the stream, `break_after` closes each of the next
    connections after so many frames, in the middle of one, and is then used up.
    """

    name = "opencti"

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        heartbeat: float = 5.0,
        min_score: int = 20,
    ) -> None:
        self._clock = clock
        self._heartbeat = heartbeat
        self._min_score = min_score
        self._changed = threading.Condition()
        self._objects: dict[str, Object] = {}
        self._events: list[_Event] = []
        self.forbidden = False
        self.stopped = False
        self.break_after: list[int] = []
        with self._changed:
            self._append(None, {"type": "update", "data": {"type": "identity", "id": AUTHOR}})

    def settings(self, base_url: str) -> Mapping[str, str]:
        """Return the settings of the feed's source."""
        return {
            "OPENCTI_URL": base_url,
            "OPENCTI_TOKEN": TOKEN,
            "CONNECTOR_LIVE_STREAM_ID": STREAM_ID,
        }

    def put(self, pattern: str, *, score: int | None = 80, **fields: Any) -> str:
        """Create or update the indicator of a pattern and return its id."""
        identifier = f"indicator--{uuid5(NAMESPACE_URL, pattern)}"
        return self.put_object({"id": identifier, "pattern": pattern} | fields, score=score)

    def put_object(self, fields: Object, *, score: int | None = 80) -> str:
        """Create or update an object; what an indicator needs is filled in."""
        with self._changed:
            now = _iso(self._milliseconds())
            identifier = str(fields["id"])
            before = self._objects.get(identifier)
            created = before["created"] if before else now
            stix: Object = {
                "type": "indicator",
                "spec_version": "2.1",
                "created": created,
                "modified": now,
                "revoked": False,
                "confidence": 85,
                "name": "an invented indicator",
                "pattern_type": "stix",
                "valid_from": created,
                "labels": ["loader"],
                "indicator_types": ["malicious-activity"],
                "extensions": {EXTENSION: {"created_at": created, "updated_at": now}},
            } | fields
            if score is not None:
                stix["extensions"][EXTENSION]["score"] = score
            matched = before is not None and self._matches(before)
            name = ("update" if matched else "create") if self._matches(stix) else None
            name = "delete" if matched and name is None else name
            inner = "create" if before is None else "update"
            self._objects[identifier] = stix
            self._append(name, {"type": inner, "data": stix})
            return identifier

    def delete(self, identifier: str) -> None:
        """Delete an object."""
        with self._changed:
            stix = self._objects.pop(identifier)
            name = "delete" if self._matches(stix) else None
            self._append(name, {"type": "delete", "data": stix})

    def merge(self, identifier: str, into: str) -> None:
        """Merge one object into another; the stream tells of the other alone."""
        with self._changed:
            source = self._objects.pop(identifier)
            document = {"type": "merge", "data": self._objects[into]}
            self._append("merge", document | {"context": {"sources": [source]}})

    def vanish(self, identifier: str) -> None:
        """Let an object be gone without an event, as after events were trimmed."""
        with self._changed:
            del self._objects[identifier]

    def emit(self, name: str, data: str) -> None:
        """Send a frame of any kind, for what later versions may send."""
        with self._changed:
            self._append(name, {"raw": data})

    def trim(self) -> None:
        """Forget all events but the last."""
        with self._changed:
            del self._events[:-1]

    def handle(self, request: Request) -> Reply:
        """Answer a request for the stream."""
        match request.method, request.segments:
            case "GET", ["stream", identifier]:
                pass
            case _:
                return Reply(status=404)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        right = scheme == "Bearer" and hmac.compare_digest(token.encode(), TOKEN.encode())
        if not right or identifier != STREAM_ID or self.forbidden:
            return Reply(status=401, verdict="valid" if right else "refused")
        if self.stopped:
            return Reply(status=410, verdict="valid")
        return self._stream(request)

    def _stream(self, request: Request) -> Reply:
        start = request.option("from") or request.headers.get("last-event-id")
        recover = request.option("recover") or request.headers.get("recover")
        if recover is not None and start is None:
            return Reply(status=500, verdict="valid")
        deletes = (request.headers.get("listen-delete") or "true") != "false"
        frames = self._frames(_position(start), None if recover is None else _ms(recover), deletes)
        limit = self.break_after.pop(0) if self.break_after else None
        return Reply(
            content_type="text/event-stream; charset=utf-8",
            stream=frames if limit is None else _broken(frames, limit),
            verdict="valid",
        )

    def _frames(
        self, start: tuple[int, int] | None, recover: int | None, deletes: bool
    ) -> Iterator[bytes]:
        with self._changed:
            first, last = self._events[0].position, self._events[-1].position
            objects = sorted(self._objects.values(), key=_updated)
        yield _connected(first, last, len(self._events))
        yield b": ping\n\n"
        at = last if start is None else start
        greeted = False
        if recover is not None:
            for stix in objects:
                updated = _updated(stix)
                if not at[0] <= updated <= recover or not self._matches(stix):
                    continue
                at = (updated, 0)
                if not greeted:
                    yield _author(at)
                    greeted = True
                origin = {"referer": "init"}
                yield _frame("create", {"type": "create", "origin": origin, "data": stix}, at)
            at = (recover, 0)
        beat = start is not None
        for _ in range(17_280):  # heartbeats of one day, after which a session ends
            with self._changed:
                events = [event for event in self._events if event.position > at]
            for event in events:
                at = event.position
                beat = True
                if event.name is None or (event.name == "delete" and not deletes):
                    continue
                if not greeted:
                    yield _author(at)
                    greeted = True
                yield _frame(event.name, event.document, at)
            yield _frame("heartbeat", _iso(at[0]), at) if beat else b": ping\n\n"
            with self._changed:
                self._changed.wait(self._heartbeat)

    def _append(self, name: str | None, document: Object) -> None:
        now = self._milliseconds()
        last = self._events[-1].position if self._events else (0, 0)
        position = (now, 0) if now > last[0] else (last[0], last[1] + 1)
        self._events.append(_Event(position, name, json.loads(json.dumps(document))))
        self._changed.notify_all()

    def _matches(self, stix: Object) -> bool:
        score = stix.get("extensions", {}).get(EXTENSION, {}).get("score")
        return score is None or score >= self._min_score

    def _milliseconds(self) -> int:
        return int(self._clock() * 1000)


def _connected(first: tuple[int, int], last: tuple[int, int], size: int) -> bytes:
    told = {
        "firstEventId": f"{first[0]}-{first[1]}",
        "lastEventId": f"{last[0]}-{last[1]}",
        "firstEventDate": _iso(first[0]),
        "lastEventDate": _iso(last[0]),
        "streamSize": size,
        "connectionId": "5a7d0b0e-0000-4000-8000-00000000c0ff",
    }
    return f"event: connected\ndata: {json.dumps(told)}\n\n".encode()


def _author(position: tuple[int, int]) -> bytes:
    author = {"id": AUTHOR, "type": "identity", "name": "An invented author"}
    document = {"type": "create", "origin": {"referer": "dependencies"}, "data": author}
    return _frame("create", document, position)


def _frame(name: str, document: object, position: tuple[int, int]) -> bytes:
    raw = document.get("raw") if isinstance(document, dict) else None
    data = raw if isinstance(raw, str) else json.dumps(document)
    return f"id: {position[0]}-{position[1]}\nevent: {name}\ndata: {data}\n\n".encode()


def _broken(frames: Iterator[bytes], limit: int) -> Iterator[bytes]:
    for number, frame in enumerate(frames):
        if number == limit:
            yield frame[: len(frame) // 2]
            return
        yield frame


def _updated(stix: Object) -> int:
    return _ms(str(stix.get("extensions", {}).get(EXTENSION, {}).get("updated_at", "")))


def _position(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    milliseconds, _, count = text.partition("-")
    return int(milliseconds), int(count or 0)


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def _iso(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
