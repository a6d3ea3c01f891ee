"""JSON batching: up to twenty requests in one, each answered, counted and refused on its own.

Contract: Graph `concepts/json-batching`. Answers come in reverse, since no order is promised.
"""

import base64
import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from mdti.sandbox.wire import Reply, Request, error_reply, json_reply

MAX_PARTS = 20


def answer_batch(envelope: Request, version: str) -> Reply:
    """Return the answers to all parts in one body, or 400 when the envelope is malformed."""
    try:
        parts = [_part(item, envelope, version) for item in envelope.json()["requests"]]
    except (KeyError, TypeError, ValueError, AttributeError):
        return error_reply(400, "BadRequest", "Invalid batch payload format.")
    if not 0 < len(parts) <= MAX_PARTS:
        message = f"Number of batch request steps exceeds the maximum value of {MAX_PARTS}."
        return error_reply(400, "MaximumValueExceeded", message)
    if len({identifier for identifier, _ in parts}) < len(parts):
        return error_reply(400, "BadRequest", "Request id has to be unique.")
    replies = [(identifier, envelope.forward(part)) for identifier, part in reversed(parts)]
    answered = json_reply({"responses": [_response(*reply) for reply in replies]})
    # The service runs the parts side by side, so the slowest decides.
    return replace(answered, latency=max(reply.latency for _, reply in replies))


def _part(item: dict[str, Any], envelope: Request, version: str) -> tuple[str, Request]:
    target = urlsplit(item["url"])
    if "$batch" in target.path.lower():
        raise ValueError("a batch inside a batch")
    headers = {name.lower(): str(value) for name, value in item.get("headers", {}).items()}
    body = item.get("body")
    part = replace(
        envelope,
        method=str(item["method"]).upper(),
        path=f"/{version}/{target.path.lstrip('/')}",
        query=tuple(parse_qsl(target.query, keep_blank_values=True)),
        headers={"authorization": envelope.headers.get("authorization", ""), **headers},
        body=b"" if body is None else json.dumps(body).encode(),
    )
    return str(item["id"]), part


def _response(identifier: str, reply: Reply) -> dict[str, Any]:
    headers = dict(reply.headers)
    body: Any = None
    if reply.body:
        headers["Content-Type"] = reply.content_type
        body = base64.b64encode(reply.body).decode()
        if reply.content_type == "application/json":
            body = json.loads(reply.body)
    return {"id": identifier, "status": reply.status, "headers": headers, "body": body}
