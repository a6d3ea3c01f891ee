"""ThreatConnect's API v3: indicators by TQL, deletions, signatures checked over the exact bytes.

    GET /api/v3/indicators?tql=...&sorting=lastModified%20ASC&resultStart=0&resultLimit=100
    GET /api/v3/indicators/deleted?owner=...&deletedSince=...

Contract: ThreatConnect developer documentation, REST API v3 (contracts, opencti-... 4). Only active
indicators are listed unless TQL asks for `indicatorActive`; `rating` and `confidence` are absent
when unset; links are spelt as the server likes and have to be signed again.
"""

import base64
import hashlib
import hmac
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlencode

from mdti.sandbox.wire import Reply, Request, json_reply

ACCESS_ID = "10000000000000000001"
SECRET_KEY = "an-invented-secret-of-the-sandbox"  # noqa: S105 - opens nothing but the sandbox
TOKEN = "APP-an-invented-token-of-the-sandbox"  # noqa: S105 - opens nothing but the sandbox
OWNER = "Common Community"
MAX_LIMIT = 10_000
_SKEW = 300.0
_FIELDS = {"Address": "ip", "Host": "hostName", "URL": "text", "EmailAddress": "address"}
_CLAUSE = re.compile(
    r"""(\w+)\s+(EQ|GEQ|IN)\s+(\((?:[^"')]|"(?:[^"\\]|\\.)*")*\)|'[^']*'|"(?:[^"\\]|\\.)*"|\w+)""",
    re.IGNORECASE,
)
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|\b(true|false)\b', re.IGNORECASE)

Row = dict[str, Any]


class BadTql(Exception):
    """A query that cannot be read."""


class ThreatConnect:
    """One instance with the indicators of some owners.

    `clock` gives seconds since 1970. `forbidden` refuses the API user, who has no role then.
    """

    name = "threatconnect"

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._rows: dict[int, Row] = {}
        self._deleted: list[tuple[datetime, Row]] = []
        self._serial = 4_000
        self.forbidden = False

    def settings(self, base_url: str) -> Mapping[str, str]:
        """Return the settings of the feed's source."""
        return {
            "THREATCONNECT_URL": f"{base_url}/api",
            "THREATCONNECT_ACCESS_ID": ACCESS_ID,
            "THREATCONNECT_SECRET_KEY": SECRET_KEY,
            "THREATCONNECT_OWNERS": OWNER,
        }

    def put(self, kind: str, value: str, *, owner: str = OWNER, **fields: Any) -> int:
        """Add an indicator and return its id; `fields` are those of a record, `None` leaves out.

        A file is given as `sha256`, or by the fields `md5`, `sha1` and `sha256`.
        """
        with self._lock:
            self._serial += 1
            now = self._now()
            row: Row = {
                "id": self._serial,
                "dateAdded": now,
                "lastModified": now,
                "ownerId": 3,
                "ownerName": owner,
                "webLink": f"https://threatconnect.example/#/details/{self._serial}/overview",
                "type": kind,
                "summary": value,
                "rating": 4.0,
                "confidence": 85,
                "description": "An invented indicator.",
                "privateFlag": False,
                "active": True,
                "activeLocked": False,
                "tags": {"data": [{"id": 7, "name": "loader"}]},
                "securityLabels": {"data": [{"name": "TLP:AMBER"}]},
            }
            if kind in _FIELDS:
                row[_FIELDS[kind]] = value
            row |= {"sha256": value} if kind == "File" and len(value) == 64 else {}
            row |= fields
            self._rows[self._serial] = {name: one for name, one in row.items() if one is not None}
            return self._serial

    def change(self, identifier: int, **fields: Any) -> None:
        """Change fields of an indicator; it is modified now unless `fields` say otherwise."""
        with self._lock:
            self._rows[identifier] |= {"lastModified": self._now()} | fields

    def delete(self, identifier: int) -> None:
        """Delete an indicator; only its owner, type and summary are remembered."""
        with self._lock:
            row = self._rows.pop(identifier)
            kept = {name: row[name] for name in ("ownerName", "type", "summary")}
            self._deleted.append((self._moment(), kept | {"dateAdded": self._now()}))

    def handle(self, request: Request) -> Reply:
        """Answer a request of the API."""
        verdict = self._judge(request)
        date = (("Date", format_datetime(self._moment(), usegmt=True)),)
        if verdict != "valid":
            return _refused(401, "Access denied", date, verdict)
        if self.forbidden:
            return _refused(403, "Not permitted", date, verdict)
        try:
            match request.method, [segment.lower() for segment in request.segments]:
                case "GET", ["api", "v3", "indicators"]:
                    return json_reply(self._list(request), headers=date, verdict=verdict)
                case "GET", ["api", "v3", "indicators", "deleted"]:
                    return json_reply(self._list_deleted(request), headers=date, verdict=verdict)
                case _:
                    return _refused(404, "No such resource", date, verdict)
        except (BadTql, ValueError) as error:
            return _refused(400, str(error), date, verdict)

    def _judge(self, request: Request) -> str:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme == "TC-Token":
            return "valid" if hmac.compare_digest(given, TOKEN) else "refused"
        stamp = request.headers.get("timestamp", "")
        access_id, _, signature = given.partition(":")
        if scheme != "TC" or access_id != ACCESS_ID or not stamp.isdecimal():
            return "missing"
        if abs(int(stamp) - self._clock()) > _SKEW:
            return "skewed"
        # Over the bytes as they came, which is why an unencoded or re-encoded query fails.
        message = f"{request.target}:{request.method}:{stamp}".encode()
        digest = hmac.new(SECRET_KEY.encode(), message, hashlib.sha256).digest()
        right = base64.b64encode(digest).decode()
        return "valid" if hmac.compare_digest(signature, right) else "badSignature"

    def _list(self, request: Request) -> Row:
        with self._lock:
            rows = [dict(row) for row in self._rows.values()]
        rows = _select(request.option("tql") or "", rows)
        order = request.option("sorting") or ""
        if order == "lastModified ASC":
            rows.sort(key=lambda row: str(row.get("lastModified", "")))
        elif order:
            raise BadTql("The sorting is not understood")
        return self._paged(request, rows)

    def _list_deleted(self, request: Request) -> Row:
        owner, since = request.option("owner"), request.option("deletedSince")
        start = datetime.fromisoformat(since) if since else datetime(1970, 1, 1, tzinfo=UTC)
        with self._lock:
            rows = [
                row
                for moment, row in self._deleted
                if moment >= start and (owner is None or row["ownerName"] == owner)
            ]
        page = self._paged(request, rows)
        return page | {"count": len(rows)}

    def _paged(self, request: Request, rows: Sequence[Row]) -> Row:
        start = int(request.option("resultStart") or 0)
        limit = int(request.option("resultLimit") or 100)
        if not 1 <= limit <= MAX_LIMIT or start < 0:
            raise BadTql("The value for resultLimit is out of range")
        page: Row = {"data": rows[start : start + limit], "status": "Success"}
        if start + limit < len(rows):
            options = [
                (name, str(start + limit) if name == "resultStart" else value)
                for name, value in request.query
            ]
            page["next"] = f"{request.base_url}{request.path}?{urlencode(options)}"
        return page

    def _moment(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def _now(self) -> str:
        return self._moment().strftime("%Y-%m-%dT%H:%M:%SZ")


def _select(query: str, rows: Sequence[Row]) -> list[Row]:
    """Return the rows that a TQL query means: clauses joined by AND."""
    clauses = _CLAUSE.findall(query)
    rest = _CLAUSE.sub("", query).replace("AND", "").strip()
    if rest or (query and not clauses):
        raise BadTql("The TQL query is not valid")
    if not any(name == "indicatorActive" for name, _, _ in clauses):
        rows = [row for row in rows if row.get("active")]
    for name, operator, operand in clauses:
        rows = [row for row in rows if _holds(name, operator.upper(), operand, row)]
    return list(rows)


def _holds(name: str, operator: str, operand: str, row: Row) -> bool:
    words = [re.sub(r"\\(.)", r"\1", text) or flag for text, flag in _WORD.findall(operand)]
    match name, operator:
        case "ownerName", "EQ" | "IN":
            return row["ownerName"] in words
        case "typeName", "EQ" | "IN":
            return row["type"] in words
        case "summary", "EQ" | "IN":
            return str(row["summary"]).lower() in {word.lower() for word in words}
        case "indicatorActive", "EQ" | "IN":
            return str(row.get("active")).lower() in {word.lower() for word in words}
        case "lastModified", "GEQ":
            return str(row.get("lastModified", "9")) >= operand.strip("'").replace(" ", "T") + "Z"
        case _:
            raise BadTql(f"The TQL keyword {name[:40]} is not valid here")


def _refused(status: int, message: str, date: tuple[tuple[str, str], ...], verdict: str) -> Reply:
    body = {"status": "Failure", "message": message}
    return json_reply(body, status=status, headers=date, verdict=verdict)
