"""Sentinel's upload API for STIX objects, and the table its indicators end up in.

    POST /workspaces/{workspaceId}/threat-intelligence-stix-objects:upload
         ?api-version=2024-02-01-preview    {"sourcesystem": ..., "stixobjects": [up to 100]}

200 with an empty body means that all was taken; 200 with `errors` names the objects that were not,
by index. An object is known by source system and id, and an older `modified` is ignored. `table` is
append-only, as `ThreatIntelIndicators` is. Contract: sentinel-and-defender 1 and 8.
"""

import base64
import json
import math
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from mdti.sandbox.identity import Tokens
from mdti.sandbox.window import Window
from mdti.sandbox.wire import Reply, Request, error_reply, json_reply

AUDIENCES = ("https://management.azure.com", "https://management.core.windows.net")
API_VERSION = "2024-02-01-preview"
WORKSPACE_ID = "5a7d0b0e-0000-4000-8000-00000000c003"
MAX_OBJECTS = 100
CALLS_PER_MINUTE = 100
MAX_SOURCE_SYSTEM = 256
RESERVED = "Microsoft Sentinel"
TYPES = frozenset({"indicator", "attack-pattern", "threat-actor", "identity", "relationship"})
_OPERATION = "threat-intelligence-stix-objects:upload"
_REQUIRED = ("id", "type", "created", "modified")
_OF_INDICATORS = ("pattern", "pattern_type", "valid_from")
_SIMPLE = re.compile(r"\[([a-z0-9-]+:[\w.'-]+) = '((?:[^'\\]|\\.)*)'\]")
_LIFTED = frozenset(
    {"id", "pattern", "confidence", "created", "modified", "valid_from", "valid_until", "revoked"}
)

Object = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class UploadOptions:
    """What the documents leave open; may change while the sandbox runs.

    `spelling` is the name of the message list in `errors`: the page has one, the spec another.
    `all_invalid` is the status when no object of a call is taken. `refused` are values of which no
    indicator is taken. `readers` are applications that
    hold no writing role on the workspace.
    """

    spelling: Literal["errorMessages", "validationErrorMessages"] = "errorMessages"
    all_invalid: int = 200
    retry_after: bool = True
    refused: set[str] = field(default_factory=set)
    readers: set[str] = field(default_factory=set)


class SentinelUpload:
    """The upload API of one workspace; `objects` holds the newest version of each object."""

    name = "sentinelupload"

    def __init__(
        self, tokens: Tokens, *, options: UploadOptions | None = None, scale: float = 1.0
    ) -> None:
        self._tokens = tokens
        self.options = options or UploadOptions()
        self.objects: dict[tuple[str, str], Object] = {}
        self.table: list[dict[str, Any]] = []
        self._limit = Window(CALLS_PER_MINUTE, 60, clock=tokens.clock, scale=scale)
        self._lock = threading.RLock()

    def settings(self, base_url: str) -> Mapping[str, str]:
        """Return the settings that point the app at this workspace."""
        return {"SENTINEL_WORKSPACE_ID": WORKSPACE_ID, "SENTINEL_TI_ENDPOINT": base_url}

    def active(self, source_system: str | None = None) -> dict[str, Object]:
        """Return the indicators that match things now, by observable value.

        Revoked ones and those past `valid_until` do not.
        """
        now = self._now()
        with self._lock:
            return {
                _observable(item)[1]: item
                for (source, _), item in self.objects.items()
                if source_system in {None, source}
                and item["type"] == "indicator"
                and not item.get("revoked", False)
                and item.get("valid_until", "9999") > now
            }

    def republish(self) -> None:
        """Write every row of the table once more, as the service does every 7 to 10 days."""
        with self._lock:
            newest = {row["Id"]: row for row in self.table}
            for row in newest.values():
                again = {"TimeGenerated": self._now(), "LastUpdateMethod": "LogARepublisher"}
                self.table.append(row | again)

    def handle(self, request: Request) -> Reply:
        """Answer one request."""
        verdict = self._tokens.judge(request.headers.get("authorization"), *AUDIENCES)
        if verdict.word != "valid":
            return _failure(401, "Unauthorized", "The token is not valid.", verdict.word)
        caller = str(verdict.claims.get("appid", ""))
        wait = self._limit.take(caller)
        if wait is not None:
            return self._throttled(wait)
        match request.method, [segment for segment in request.segments if segment]:
            case "POST", ["workspaces", workspace, operation] if operation == _OPERATION:
                return self._upload(request, workspace.strip("{}"), caller)
            case _:
                return _failure(404, "NotFound", "No such resource.", "valid")

    def _throttled(self, wait: float) -> Reply:
        seconds = math.ceil(wait)
        document = {
            "statusCode": 429,
            "message": f"Rate limit is exceeded. Try again in {seconds} seconds.",
        }
        headers = (("Retry-After", str(seconds)),) if self.options.retry_after else ()
        return json_reply(document, status=429, headers=headers, verdict="valid")

    def _upload(self, request: Request, workspace: str, caller: str) -> Reply:
        if workspace.lower() != WORKSPACE_ID:
            return _failure(404, "WorkspaceNotFound", "The workspace does not exist.", "valid")
        if caller in self.options.readers:
            return _failure(403, "AuthorizationFailed", "The role is missing.", "valid")
        if request.option("api-version") != API_VERSION:
            return _failure(400, "BadRequest", "The api-version is not supported.", "valid")
        try:
            document = request.json()
            source, objects = document["sourcesystem"], document["stixobjects"]
            fits = isinstance(source, str) and isinstance(objects, list)
        except (KeyError, TypeError, ValueError):
            fits = False
        if not fits or not source or len(source) > MAX_SOURCE_SYSTEM or source == RESERVED:
            return _failure(400, "BadRequest", "sourcesystem or stixobjects is wrong.", "valid")
        if len(objects) > MAX_OBJECTS:
            return _failure(400, "BadRequest", "Too many objects in one request.", "valid")
        with self._lock:
            errors = [
                {"recordIndex": index, self.options.spelling: words}
                for index, item in enumerate(objects)
                if (words := self._take(source, item))
            ]
        if not errors:
            return Reply(verdict="valid")
        status = self.options.all_invalid if len(errors) == len(objects) else 200
        if status != 200:
            return _failure(status, "BadRequest", "No object is valid.", "valid")
        return json_reply({"errors": errors}, verdict="valid")

    def _take(self, source: str, item: Any) -> list[str]:
        """Store an object; return what is wrong with it."""
        words = _complaints(item)
        if words:
            return words
        if _observable(item)[1] in self.options.refused:
            return ["Error for Property=pattern: Invalid pattern."]
        known = self.objects.get((source, item["id"]))
        if known is not None and item["modified"] < known["modified"]:
            return []
        if known is not None and known.get("revoked", False):
            return []  # STIX 2.1, 3.6: an object that was revoked gets no new version
        self.objects[source, item["id"]] = item
        if item["type"] == "indicator":
            self.table.append(self._row(source, item))
        return []

    def _row(self, source: str, item: Object) -> dict[str, Any]:
        now = self._now()
        key, value = _observable(item)
        until = item.get("valid_until")
        revoked = bool(item.get("revoked", False))
        return {
            "TimeGenerated": now,
            "Id": f"{base64.b64encode(source.encode()).decode()}---{item['id']}",
            "SourceSystem": source,
            "ObservableKey": key,
            "ObservableValue": value,
            "Pattern": item["pattern"],
            "Confidence": item.get("confidence"),
            "Created": item["created"],
            "Modified": item["modified"],
            "ValidFrom": item["valid_from"],
            "ValidUntil": until,
            "IsActive": not revoked and (until is None or until > now),
            "IsDeleted": False,
            "Revoked": revoked,
            "Tags": ",".join(item.get("labels", ())),
            "Data": json.dumps({k: _cut(v) for k, v in item.items() if k not in _LIFTED}),
            "LastUpdateMethod": "UploadAPI",
            "WorkspaceId": WORKSPACE_ID,
        }

    def _now(self) -> str:
        moment = datetime.fromtimestamp(self._tokens.clock(), UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _complaints(item: Any) -> list[str]:
    if not isinstance(item, dict):
        return ["Error: the record is not an object."]
    kind = item.get("type")
    required = (*_REQUIRED, *(_OF_INDICATORS if kind == "indicator" else ()))
    words = [
        f"Error for Property={name}: Required property is missing. Actual value: NULL."
        for name in required
        if not item.get(name)
    ]
    if words:
        return words
    if kind not in TYPES:
        return [f"Error for Property=type: Object type {kind} is not supported."]
    if not re.fullmatch(rf"{kind}--[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}", item["id"]):
        return ["Error for Property=id: Invalid id."]
    if item.get("valid_until") and item["valid_until"] <= item.get("valid_from", ""):
        return ["Error for Property=valid_until: must be later than valid_from."]
    confidence = item.get("confidence", 0)
    if (
        isinstance(confidence, bool)
        or not isinstance(confidence, int)
        or not 0 <= confidence <= 100
    ):
        return ["Error for Property=confidence: must be 0 to 100."]
    return []


def _observable(item: Object) -> tuple[str, str]:
    """Return the two sides of a pattern with one comparison; of any other nothing is extracted."""
    found = _SIMPLE.fullmatch(item.get("pattern", ""))
    if found is None:
        return "", ""
    return found[1], re.sub(r"\\(.)", r"\1", found[2])


def _cut(value: Any) -> Any:
    return value[:1_000] if isinstance(value, str) else value


def _failure(status: int, code: str, message: str, verdict: str) -> Reply:
    headers = (("x-ms-error-code", code),)
    return error_reply(status, code, message, headers=headers, verdict=verdict)
