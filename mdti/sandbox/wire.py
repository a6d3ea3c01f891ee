"""HTTP as the sandbox's vendors see it: a request, a reply, and what a vendor is."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import unquote

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request to a vendor.

    `path` starts with a slash, lies below the vendor's prefix and is still percent-encoded;
    `query` is decoded and keeps its order; header names are lower-case. `target` is path and query
    exactly as sent, with the vendor's prefix, for those who sign it. `base_url` is the
    vendor's root as callers know it, for links in answers. `forward` sends another request to the
    same vendor through the same faults, limits and log, as the parts of a batch need it.
    """

    method: str
    path: str
    base_url: str
    forward: "Callable[[Request], Reply]"
    query: Headers = ()
    target: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def segments(self) -> list[str]:
        """The decoded segments of the path."""
        return [unquote(segment) for segment in self.path.split("/")[1:]]

    def option(self, name: str) -> str | None:
        """Return the last value of a query option, its name compared without case, or None."""
        wanted = name.lower()
        values = [value for key, value in self.query if key.lower() == wanted]
        return values[-1] if values else None

    def json(self) -> Any:
        """Return the body read as JSON; raises `ValueError` when it is none."""
        return json.loads(self.body.decode("utf-8"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a vendor answers.

    `verdict` is what the vendor thought of the caller's credentials; the log shows it in their
    place. `stream` replaces `body` by pieces that are sent as they come (chunked), for event
    streams. The last three are damage done on the way: seconds before the first byte, seconds
    over which the body is spread, and how many bytes of it are sent before the connection breaks.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: Headers = ()
    verdict: str = ""
    stream: Iterable[bytes] | None = None
    latency: float = 0.0
    trickle: float = 0.0
    cut_at: int | None = None


class Vendor(Protocol):
    """One outside service: it owns the paths below `/{name}/` and tells the app how to find it."""

    @property
    def name(self) -> str:
        """The first segment of the vendor's paths."""

    def handle(self, request: Request) -> Reply:
        """Answer one request; called from many threads at once."""

    def settings(self, base_url: str) -> Mapping[str, str]:
        """Return the app settings that point the app at this vendor under `base_url`."""


def json_reply(
    document: object, *, status: int = 200, headers: Headers = (), verdict: str = ""
) -> Reply:
    """Return a reply with a JSON body."""
    body = json.dumps(document, separators=(",", ":")).encode()
    return Reply(status=status, body=body, headers=headers, verdict=verdict)


def error_reply(
    status: int, code: str, message: str, *, headers: Headers = (), verdict: str = ""
) -> Reply:
    """Return an error in the shape that Graph, ARM and Defender share."""
    inner = {
        "date": "2026-01-01T00:00:00",
        "request-id": "00000000-0000-0000-0000-000000000000",
        "client-request-id": "00000000-0000-0000-0000-000000000000",
    }
    document = {"error": {"code": code, "message": message, "innerError": inner}}
    return json_reply(document, status=status, headers=headers, verdict=verdict)
