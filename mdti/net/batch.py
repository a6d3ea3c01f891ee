"""Twenty requests in one: Graph's JSON batching.

The envelope answers 200 even when every part failed, and each part counts against the API's limits
(Microsoft Graph, "Combine multiple requests in one HTTP call using JSON batching"). So a part is
judged on its own, and a part without an answer is a fault, never "not found".
"""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from requests.structures import CaseInsensitiveDict

from mdti.errors import ApiGone, BadAnswer
from mdti.net.answers import Answer, Fault, error_of
from mdti.net.messages import Request, Response

MAX_PARTS = 20
"""The most requests Graph takes in one batch."""

_NO_ENVELOPE = frozenset({400, 404, 405, 410, 413, 415, 501})


@dataclass(frozen=True, slots=True)
class BatchRule:
    """Where batches go: `root` is the versioned root, such as `https://graph.microsoft.com/v1.0`.

    `size` is how many requests go into one, at most 20.
    """

    root: str
    size: int = MAX_PARTS

    def __post_init__(self) -> None:
        if not 1 <= self.size <= MAX_PARTS or self.root.endswith("/"):
            raise ValueError("a batch holds 1 to 20 requests, and its root ends without a slash")

    def takes(self, request: Request) -> bool:
        """Tell whether `request` may travel in a batch: a GET without a body below the root."""
        below = request.url.startswith(f"{self.root}/")
        return below and request.method == "GET" and request.body is None


def pack(rule: BatchRule, parts: Sequence[Request]) -> Request:
    """Return the envelope for `parts`, which share one audience; part n has the id `str(n)`."""
    envelope = {
        "requests": [
            {"id": str(number), "method": "GET", "url": part.url.removeprefix(rule.root)}
            | ({"headers": dict(part.headers)} if part.headers else {})
            for number, part in enumerate(parts)
        ]
    }
    return Request(
        f"{rule.root}/$batch",
        method="POST",
        audience=parts[0].audience,
        body=json.dumps(envelope, separators=(",", ":")).encode(),
        content_type="application/json",
        idempotent=True,
    )


def unpack(
    envelope: Answer | Response | Fault, parts: Sequence[Request], *, api: str
) -> tuple[Answer | Fault, ...]:
    """Return one answer per part, in the order of `parts`; `api` is the host for messages.

    An envelope that failed is everybody's answer, but never one that speaks of a part: an API
    without batches says 404 or 405, and that is no news of the hosts that were asked for.
    """
    if isinstance(envelope, Fault):
        return (envelope,) * len(parts)
    if envelope.status in _NO_ENVELOPE:
        status = envelope.status
        told = Answer(status, envelope.headers, envelope.body)
        gone = ApiGone(
            f"{api} does not take a batch (status {status}).",
            hint="Set GRAPH_BATCH to off.",
            api=api,
            status=status,
            reason=error_of(parts[0], told, api=api).reason,
        )
        return (Fault(gone, passing=False),) * len(parts)
    if envelope.status != 200:
        return (Answer(envelope.status, envelope.headers, envelope.body),) * len(parts)
    answers = _answers(envelope.body)
    missing = Fault(
        BadAnswer(f"{api} left a request of a batch without an answer.", api=api), passing=True
    )
    return tuple(answers.get(str(number), missing) for number in range(len(parts)))


def _answers(body: bytes) -> dict[str, Answer]:
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    found = document.get("responses") if isinstance(document, dict) else None
    answers: dict[str, Answer] = {}
    for entry in found if isinstance(found, list) else []:
        answer = _answer(entry)
        if answer is not None:
            answers.setdefault(str(entry["id"]), answer)
    return answers


def _answer(entry: Any) -> Answer | None:
    if not isinstance(entry, dict) or "id" not in entry:
        return None
    status = entry.get("status")
    if not isinstance(status, int) or not 100 <= status <= 599:
        return None
    headers = entry.get("headers")
    known = headers if isinstance(headers, dict) else {}
    texts = {str(name): str(value) for name, value in known.items()}
    return Answer(status, CaseInsensitiveDict(texts), _body(entry.get("body")))


def _body(body: Any) -> bytes:
    if body is None:
        return b""
    if not isinstance(body, str):
        return json.dumps(body).encode()
    # Graph sends what is not JSON as base64.
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        return body.encode(errors="replace")
