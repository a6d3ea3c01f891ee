"""TAXII 2.1: a plain server, and ANY.RUN's feeds with what they add to the standard.

    GET /taxii2/                                      discovery (the plain server)
    GET /api1/collections/
    GET /api1/collections/{id}/objects/?match[type]=indicator&added_after=...&limit=...&next=...

ANY.RUN has its root below `/v1/feeds/taxii2`, takes `modified_after`, hides revoked indicators
unless `match[revoked]` asks for them, and answers `X-TAXII-Date-Modified-Last`. Contract: OASIS
TAXII 2.1, and what clients of ANY.RUN show (contracts, opencti-... 2).
"""

import base64
import hmac
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from mdti.sandbox.wire import Reply, Request, json_reply

MEDIA_TYPE = "application/taxii+json;version=2.1"
ANYRUN_TOKEN = "0123456789abcdef-an-invented-key"  # noqa: S105 - opens nothing but the sandbox
USER, PASSWORD = "reader", "an-invented-password"
COLLECTION = "5a7d0b0e-0000-4000-8000-00000000d001"
ANYRUN_COLLECTIONS = (
    "3dce855a-c044-5d49-9334-533c24678c5a",
    "55cda200-e261-5908-b910-f0e18909ef3d",
    "2e0aa90a-5526-5a43-84ad-3db6f4549a09",
    "05bfa343-e79f-57ec-8677-3122ca33d352",
)
MAX_LIMIT = 10_000

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Held:
    """An object with the time at which the collection got it."""

    added: datetime
    stix: Object

    @property
    def revoked(self) -> bool:
        return self.stix.get("revoked") is True


class Taxii:
    """One API root. `forbidden` answers 403, as to a key without a subscription.

    `clock` gives seconds since 1970. A plain server takes Basic authentication; ANY.RUN its key.
    """

    def __init__(self, *, anyrun: bool = False, clock: Callable[[], float] = time.time) -> None:
        self.name = "anyrun" if anyrun else "taxii"
        self._anyrun = anyrun
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}
        self._session = 0
        self.forbidden = False

    @property
    def collections(self) -> Sequence[str]:
        """The ids of the collections; each holds every object that is published."""
        return ANYRUN_COLLECTIONS if self._anyrun else (COLLECTION,)

    def settings(self, base_url: str) -> Mapping[str, str]:
        """Return the settings of the feed's source."""
        if self._anyrun:
            return {
                "ANYRUN_TAXII_URL": f"{base_url}/v1/feeds/taxii2",
                "ANYRUN_TOKEN": ANYRUN_TOKEN,
            }
        return {
            "TAXII_URL": f"{base_url}/api1",
            "TAXII_COLLECTIONS": COLLECTION,
            "TAXII_USERNAME": USER,
            "TAXII_PASSWORD": PASSWORD,
        }

    def put(self, pattern: str, **fields: Any) -> str:
        """Publish an indicator, or a newer version of it, and return its id."""
        identifier = f"indicator--{uuid5(NAMESPACE_URL, pattern)}"
        return self.put_object({"id": identifier, "pattern": pattern} | fields)

    def put_object(self, fields: Object) -> str:
        """Publish an object or a newer version of it; what an indicator needs is filled in."""
        with self._lock:
            now = self._moment()
            identifier = str(fields.get("id"))
            known = self._held.get(identifier)
            stix: Object = {
                "type": "indicator",
                "spec_version": "2.1",
                "created": known.stix["created"] if known else _iso(now),
                "modified": _iso(now),
                "valid_from": _iso(now),
                "revoked": False,
                "confidence": 100,
                "name": "an invented indicator",
                "labels": ["stealer"],
                "pattern_type": "stix",
            } | fields
            self._held[identifier] = _Held(now, stix)
            return identifier

    def revoke(self, identifier: str) -> None:
        """Publish a version of an object that is revoked."""
        self.put_object(self._held[identifier].stix | {"modified": self._now(), "revoked": True})

    def vanish(self, identifier: str) -> None:
        """Take an object out of the collection; nobody is told."""
        with self._lock:
            del self._held[identifier]

    def expire(self) -> None:
        """Let every `next` that was given be unknown from now on."""
        self._session += 1

    def handle(self, request: Request) -> Reply:
        """Answer a request of the API."""
        verdict = self._judge(request)
        segments = request.segments
        if self._anyrun and segments[:3] == ["v1", "feeds", "taxii2"]:
            segments = segments[3:]
        if verdict != "valid":
            return self._refused(401, "Unauthorized", verdict)
        if self.forbidden:
            return self._refused(403, "No subscription", verdict)
        if not self._anyrun and request.headers.get("accept") not in (MEDIA_TYPE, "*/*"):
            return self._refused(406, "The media type is not acceptable", verdict)
        match request.method, [segment for segment in segments if segment]:
            case "GET", ["taxii2"]:
                root = f"{request.base_url}/api1/"
                return self._json({"title": "Sandbox", "default": root, "api_roots": [root]}, ())
            case "GET", ["api1", "collections"]:
                found = [
                    {"id": one, "title": one, "can_read": True, "can_write": False}
                    for one in self.collections
                ]
                return self._json({"collections": found}, ())
            case "GET", ["api1", "collections", collection, "objects"]:
                if collection in self.collections:
                    return self._objects(request)
        return self._refused(404, "No such resource", verdict)

    def _judge(self, request: Request) -> str:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        right = {"api-key": ANYRUN_TOKEN} if self._anyrun else {"basic": basic}
        wanted = right.get(scheme.lower())
        if wanted is None:
            return "missing"
        return "valid" if hmac.compare_digest(given.encode(), wanted.encode()) else "refused"

    def _objects(self, request: Request) -> Reply:
        limit = min(int(request.option("limit") or MAX_LIMIT), MAX_LIMIT)
        token = request.option("next")
        start = 0
        if token is not None:
            session, _, offset = _decoded(token).partition("/")
            if session != str(self._session) or not offset.isdecimal():
                return self._refused(400, "The value of next is unknown", "valid")
            start = int(offset)
        found = self._selected(request)
        page = found[start : start + limit]
        envelope: Object = {}
        if page:
            envelope["objects"] = [held.stix for held in page]
        if start + limit < len(found):
            offset_token = f"{self._session}/{start + limit}".encode()
            envelope |= {"more": True, "next": base64.urlsafe_b64encode(offset_token).decode()}
        kind = "Modified" if self._anyrun else "Added"
        dates = [_iso(held.added) for held in page]
        headers = [
            (f"X-TAXII-Date-{kind}-{name}", dates[index])
            for name, index in (("First", 0), ("Last", -1))
            if dates
        ]
        return self._json(envelope, tuple(headers))

    def _selected(self, request: Request) -> list[_Held]:
        with self._lock:
            found = list(self._held.values())
        if not self._anyrun:
            after = request.option("added_after")
        else:
            after = request.option("modified_after") or request.option("added_after")
            wanted = request.option("match[revoked]") == "true"
            found = [held for held in found if held.revoked is wanted]
        kind = request.option("match[type]")
        if kind is not None:
            found = [held for held in found if held.stix.get("type") == kind]
        if after is not None:
            start = datetime.fromisoformat(after)
            start = start if start.tzinfo else start.replace(tzinfo=UTC)
            found = [held for held in found if held.added > start]
        return sorted(found, key=lambda held: held.added)

    def _json(self, document: Object, headers: tuple[tuple[str, str], ...]) -> Reply:
        date = ("Date", format_datetime(self._moment(), usegmt=True))
        reply = json_reply(document, headers=(date, *headers), verdict="valid")
        return Reply(
            body=reply.body, content_type=MEDIA_TYPE, headers=reply.headers, verdict="valid"
        )

    def _refused(self, status: int, message: str, verdict: str) -> Reply:
        body = {"message": message} if self._anyrun else {"title": message}
        return json_reply(body, status=status, verdict=verdict)

    def _moment(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def _now(self) -> str:
        return _iso(self._moment())


def _decoded(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token).decode()
    except ValueError:
        return ""


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
