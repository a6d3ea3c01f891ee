"""Defender for Endpoint's indicators API, with and without `/v1.0` in the path.

    GET    /api/indicators                  OData: $filter, $top up to 10,000, $skip, nextLink
    POST   /api/indicators                  create or update one
    POST   /api/indicators/import           up to 500; each row has its own result
    POST   /api/indicators/BatchDelete      up to 500 ids; one unknown id fails them all
    DELETE /api/indicators/{id}

With the role `Ti.ReadWrite` an application sees its own rows only, with `Ti.ReadWrite.All` all of
the tenant. An option without `$` is ignored: `filter=` lists everything. Contract:
sentinel-and-defender 2 and 8.
"""

import json
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mdti.sandbox.identity import CLIENT_ID, Tokens, Verdict
from mdti.sandbox.indicators import Indicators, Refused, Row, filtered
from mdti.sandbox.window import Window
from mdti.sandbox.wire import Reply, Request, json_reply

AUDIENCE = "https://api.securitycenter.microsoft.com"
MAX_BATCH = 500
MAX_PAGE = 10_000
IMPORTS_PER_MINUTE = 30
_OPTIONS = frozenset({"$filter", "$top", "$skip", "$skiptoken"})
_CORRELATION = "9b0f6a1e-1c1b-4f8f-9d3e-2a7d0a9c5e44"


@dataclass(slots=True, kw_only=True)
class DefenderOptions:
    """What the documents leave open; may change while the sandbox runs.

    `next_link` is whether a full page links to the next one. `refused` are values that fail by
    themselves, `poison` those that fail a whole call with 400. `half_deleted` makes a BatchDelete
    with an unknown id remove the known ones. `enabled` is whether the tenant has the feature.
    `shuffled` answers an import out of order. `audience` is the cloud's.
    """

    page_size: int = MAX_PAGE
    next_link: bool = True
    refused: set[str] = field(default_factory=set)
    poison: set[str] = field(default_factory=set)
    half_deleted: bool = False
    enabled: bool = True
    shuffled: bool = False
    retry_after: bool = True
    audience: str = AUDIENCE


class _Error(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class _Limited(Exception):
    def __init__(self, wait: float) -> None:
        super().__init__()
        self.wait = wait


class Defender:
    """The indicators API of one tenant; `indicators` holds every row, also other people's."""

    name = "defender"

    def __init__(
        self, tokens: Tokens, *, options: DefenderOptions | None = None, scale: float = 1.0
    ) -> None:
        self._tokens = tokens
        self.options = options or DefenderOptions()
        self.indicators = Indicators(clock=tokens.clock)
        self._lock = threading.RLock()
        minute, hour = 60.0, 3_600.0
        self._limits = {
            "import": [Window(IMPORTS_PER_MINUTE, minute, clock=tokens.clock, scale=scale)],
            "BatchDelete": [
                Window(30, minute, clock=tokens.clock, scale=scale),
                Window(1_500, hour, clock=tokens.clock, scale=scale),
            ],
            "one": [
                Window(100, minute, clock=tokens.clock, scale=scale),
                Window(1_500, hour, clock=tokens.clock, scale=scale),
            ],
        }

    def settings(self, base_url: str) -> Mapping[str, str]:
        """Return the settings that point the app here."""
        return {"DEFENDER_ENDPOINT": base_url, "DEFENDER_SCOPE": f"{AUDIENCE}/.default"}

    def add(self, value: str, kind: str, *, creator: str = "analyst", **fields: Any) -> Row:
        """Add a row as somebody else does, such as an analyst in the portal."""
        given = {
            "indicatorValue": value,
            "indicatorType": kind,
            "action": "Block",
            "title": value,
            "description": value,
            **fields,
        }
        return self.indicators.put(given, creator=creator)

    def handle(self, request: Request) -> Reply:
        """Answer one request."""
        verdict = self._tokens.judge(request.headers.get("authorization"), self.options.audience)
        if verdict.word != "valid":
            return _failure(401, "Unauthorized", "The token is not valid.", verdict.word)
        if not verdict.roles & {"Ti.ReadWrite", "Ti.ReadWrite.All"}:
            return _failure(403, "Forbidden", "The application role is missing.", "valid")
        if not self.options.enabled:
            return _failure(403, "DisabledFeature", "The feature is off.", "valid")
        try:
            with self._lock:
                return self._answer(request, verdict)
        except _Limited as limited:
            seconds = str(math.ceil(limited.wait))
            headers = (("Retry-After", seconds),) if self.options.retry_after else ()
            return _failure(429, "TooManyRequests", "Too many requests.", "valid", headers)
        except _Error as error:
            return _failure(error.status, error.code, str(error), "valid")
        except Refused as refused:
            return _failure(400, refused.code, str(refused), "valid")
        except (KeyError, TypeError, ValueError, AttributeError):
            return _failure(400, "InvalidRequestBody", "Request body is incorrect", "valid")

    def _answer(self, request: Request, verdict: Verdict) -> Reply:
        segments = [segment for segment in request.segments if segment]
        if segments[1:2] == ["v1.0"]:
            del segments[1]
        creator = str(verdict.claims.get("appid", CLIENT_ID))
        everything = "Ti.ReadWrite.All" in verdict.roles
        match request.method, segments:
            case "GET", ["api", "indicators"]:
                self._count("one", creator)
                return _json(self._page(request, self._visible(creator, everything)))
            case "POST", ["api", "indicators"]:
                self._count("one", creator)
                row = self.indicators.put(request.json(), creator=creator, everything=everything)
                context = f"{request.base_url}/api/$metadata#Indicators/$entity"
                return _json({"@odata.context": context, **row})
            case "POST", ["api", "indicators", "import"]:
                self._count("import", creator)
                return _json(self._import(request.json(), creator, everything))
            case "POST", ["api", "indicators", "BatchDelete"]:
                self._count("BatchDelete", creator)
                visible = {row["id"] for row in self._visible(creator, everything)}
                self._batch_delete(request.json(), visible)
                return Reply(status=204, verdict="valid")
            case "DELETE", ["api", "indicators", number]:
                self._count("one", creator)
                if number not in {row["id"] for row in self._visible(creator, everything)}:
                    raise _Error(404, "ResourceNotFound", "The indicator does not exist.")
                self.indicators.remove(number)
                return Reply(status=204, verdict="valid")
            case _:
                raise _Error(404, "NotFound", "No such resource.")

    def _count(self, limit: str, caller: str) -> None:
        for window in self._limits[limit]:
            wait = window.take(caller)
            if wait is not None:
                raise _Limited(wait)

    def _visible(self, creator: str, everything: bool) -> list[Row]:
        rows = self.indicators.rows()
        return [row for row in rows if everything or row["createdBy"] == creator]

    def _page(self, request: Request, rows: Sequence[Row]) -> dict[str, Any]:
        options = dict(request.query)
        unknown = [name for name in options if name.startswith("$") and name not in _OPTIONS]
        if unknown:
            raise _Error(400, "ODataError", "The query specified in the URI is not valid.")
        try:
            found = filtered(rows, options.get("$filter", ""))
            skip = int(options.get("$skip", "0"))
            top = min(int(options.get("$top", str(MAX_PAGE))), self.options.page_size)
        except ValueError as error:
            raise _Error(400, "ODataError", str(error)) from error
        page: dict[str, Any] = {
            "@odata.context": f"{request.base_url}/api/$metadata#Indicators",
            "value": found[skip : skip + top],
        }
        if skip + top < len(found) and self.options.next_link:
            page["@odata.nextLink"] = (
                f"{request.base_url}{request.path}?$skip={skip + top}&$top={top}"
            )
        return page

    def _import(self, body: Any, creator: str, everything: bool) -> dict[str, Any]:
        items = body["Indicators"]
        if not items:
            raise _Error(400, "InvalidRequestBody", "Request body is incorrect")
        if len(items) > MAX_BATCH:
            raise _Error(400, "MaximumBatchSizeExceeded", "The batch is too large.")
        if any(item.get("indicatorValue") in self.options.poison for item in items):
            raise _Error(400, "BadRequest", "The request is invalid.")
        results = [self._import_one(item, creator, everything) for item in items]
        return {"value": results[::-1] if self.options.shuffled else results}

    def _import_one(self, item: Any, creator: str, everything: bool) -> dict[str, Any]:
        shown = {"indicator": item.get("indicatorValue")}
        try:
            if item.get("indicatorValue") in self.options.refused:
                raise Refused("InvalidInput", "The value is not supported.")
            row = self.indicators.put(item, creator=creator, everything=everything)
        except Refused as refused:
            return {"id": None, **shown, "isFailed": True, "failureReason": str(refused)}
        return {"id": row["id"], **shown, "isFailed": False, "failureReason": None}

    def _batch_delete(self, body: Any, visible: set[str]) -> None:
        ids = body["IndicatorIds"]
        if not ids or len(ids) > MAX_BATCH:
            raise _Error(400, "BadRequest", "IndicatorIds must have 1 to 500 ids.")
        if not all(isinstance(one, str) and one.isdecimal() for one in ids):
            raise _Error(400, "BadRequest", "An id is malformed.")
        known = [one for one in dict.fromkeys(ids) if one in visible]
        missing = len(known) < len(set(ids))
        if not missing or self.options.half_deleted:
            for one in known:
                self.indicators.remove(one)
        if missing:
            raise _Error(404, "ResourceNotFound", "An indicator does not exist.")


def _failure(
    status: int,
    code: str,
    message: str,
    verdict: str,
    headers: tuple[tuple[str, str], ...] = (),
) -> Reply:
    document = {"error": {"code": code, "message": message, "target": _CORRELATION}}
    return json_reply(document, status=status, headers=headers, verdict=verdict)


def _json(document: Mapping[str, Any]) -> Reply:
    kind = "application/json; odata.metadata=minimal; odata.streaming=true; charset=utf-8"
    body = json.dumps(document, separators=(",", ":")).encode()
    return Reply(body=body, content_type=kind, verdict="valid")
