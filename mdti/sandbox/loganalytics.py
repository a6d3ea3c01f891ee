"""The Log Analytics query API over one table, `ThreatIntelIndicators`.

    POST /v1/workspaces/{workspaceId}/query      {"query": "ThreatIntelIndicators | where ..."}

The table only grows: every change of an indicator is a further row, and `republish` writes all of
it again. A small part of KQL is understood, enough to read the table by windows and parts; anything
else is refused as the service refuses it. Beyond its limits the service answers 200 with a part of
the rows and an error. Contract: sentinel-and-defender 1.4, 3.2 and 8.
"""

import base64
import re
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from mdti.sandbox.identity import Tokens
from mdti.sandbox.sentinelupload import WORKSPACE_ID
from mdti.sandbox.wire import Reply, Request, error_reply, json_reply

AUDIENCES = ("https://api.loganalytics.azure.com", "https://api.loganalytics.io")
TABLE = "ThreatIntelIndicators"
SYSTEM = "Microsoft Defender Threat Intelligence"
REPUBLISHER = "LogARepublisher"

Row = dict[str, Any]

_WINDOW = re.compile(r"TimeGenerated > (\S+) and TimeGenerated <= (\S+)")
_AMONG = re.compile(r"(\w+) in \((.*)\)")
_NOT = re.compile(r'(\w+) != "([^"]*)"')
_PART = re.compile(r"hash\((\w+), (\d+)\) == (\d+)")
_ASSIGNED = re.compile(r"(?:(\w+) = )?(.+)", re.DOTALL)
_INNER = re.compile(r"tostring\((\w+)\.(\w+)\)")
_CUT = re.compile(r"substring\((.+), 0, (\d+)\)")
_IF_EMPTY = re.compile(r'iff\(isempty\((\w+)\), (.+), ""\)')


class BadQuery(Exception):
    """A query that cannot be read."""


@dataclass(slots=True, kw_only=True)
class QueryOptions:
    """What the service allows; may change while the sandbox runs. `readable`: the role is given."""

    readable: bool = True
    most_rows: int = 500_000
    empty: bool = False


class LogAnalytics:
    """One workspace. `clock` gives seconds since 1970; `uploaded` are rows of another vendor."""

    name = "loganalytics"

    def __init__(
        self,
        tokens: Tokens,
        *,
        options: QueryOptions | None = None,
        clock: Callable[[], float] = time.time,
        uploaded: Callable[[], Iterable[Row]] = tuple,
    ) -> None:
        self.options = options or QueryOptions()
        self._tokens = tokens
        self._clock = clock
        self._uploaded = uploaded
        self._lock = threading.Lock()
        self._rows: list[Row] = []

    def settings(self, base_url: str) -> Mapping[str, str]:
        """Return the settings of the feed's source."""
        return {"LOG_ANALYTICS_ENDPOINT": base_url, "SENTINEL_WORKSPACE_ID": WORKSPACE_ID}

    def put(self, *observables: tuple[str, str], name: str | None = None, **columns: Any) -> str:
        """Write one version of an indicator, a row for each observable, and return its `Id`.

        `observables` are keys and values, such as `("domain-name:value", "bad.example")`. The
        indicator is known by `name`, or by its first observable.
        """
        stix = f"indicator--{uuid5(NAMESPACE_URL, name or repr(observables[:1]))}"
        identifier = f"{base64.b64encode(SYSTEM.encode()).decode()}---{stix}"
        now = self._now()
        pattern = " OR ".join(f"{key} = '{value}'" for key, value in observables)
        shared: Row = {
            "TimeGenerated": now,
            "Id": identifier,
            "SourceSystem": SYSTEM,
            "Pattern": f"[{pattern}]",
            "Confidence": 80,
            "Created": now,
            "Modified": now,
            "ValidFrom": now,
            "ValidUntil": None,
            "IsActive": True,
            "IsDeleted": False,
            "Revoked": False,
            "Tags": "activitygroup:storm-9301,type:domain",
            "Data": {"id": stix, "name": "an invented indicator", "labels": ["loader"]},
            "AdditionalFields": {"TLPLevel": "Amber"},
            "LastUpdateMethod": "ApiUpload",
        }
        rows = [
            shared | {"ObservableKey": key, "ObservableValue": value} | columns
            for key, value in observables
        ]
        with self._lock:
            self._rows += rows
        return identifier

    def withdraw(self, identifier: str) -> None:
        """Write that an indicator is deleted."""
        with self._lock:
            last = [row for row in self._rows if row["Id"] == identifier][-1]
            self._rows.append(
                last | {"TimeGenerated": self._now(), "IsDeleted": True, "IsActive": False}
            )

    def republish(self, *, but: Sequence[str] = ()) -> None:
        """Write everything that lives again, as each 7 to 10 days; `but` are ids to leave out."""
        now = self._now()
        with self._lock:
            newest: dict[str, str] = {}
            for row in self._rows:
                identifier = row["Id"]
                newest[identifier] = max(newest.get(identifier, ""), row["TimeGenerated"])
            self._rows += [
                row | {"TimeGenerated": now, "LastUpdateMethod": REPUBLISHER}
                for row in self._rows
                if row["TimeGenerated"] == newest[row["Id"]]
                and row["IsActive"]
                and row["Id"] not in but
            ]

    def handle(self, request: Request) -> Reply:
        """Answer a query."""
        judged = self._tokens.judge(request.headers.get("authorization"), *AUDIENCES)
        if judged.word != "valid":
            code = "InvalidAuthenticationTokenAudience"
            status = 403 if judged.word == "wrongAudience" else 401
            code = code if status == 403 else "AuthenticationFailed"
            return error_reply(status, code, "The token is not accepted.", verdict=judged.word)
        if not self.options.readable:
            message = "The provided credentials have insufficient access."
            return error_reply(403, "InsufficientAccessError", message, verdict="valid")
        match request.method, request.segments:
            case "POST", ["v1", "workspaces", workspace, "query"] if workspace == WORKSPACE_ID:
                return self._query(request)
        return error_reply(404, "PathNotFoundError", "The path does not exist.", verdict="valid")

    def _query(self, request: Request) -> Reply:
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return Reply(body=b"", verdict="valid")
        if self.options.empty:
            now = datetime.fromtimestamp(self._clock(), UTC)
            date = ("Date", format_datetime(now, usegmt=True))
            return Reply(status=204, headers=(date,), verdict="valid")
        with self._lock:
            rows = [*self._rows, *self._uploaded()]
        try:
            rows = self._run(str(request.json()["query"]), rows)
        except (BadQuery, KeyError, TypeError, ValueError) as error:
            return error_reply(400, "BadArgumentError", str(error), verdict="valid")
        document: Row = {"tables": [_table(rows[: self.options.most_rows])]}
        if len(rows) > self.options.most_rows:
            code = {"code": "E_QUERY_RESULT_SET_TOO_LARGE"}
            document["error"] = {"code": "PartialError", "message": "A part.", "innererror": code}
        return json_reply(document, verdict="valid")

    def _run(self, query: str, rows: list[Row]) -> list[Row]:
        table, *steps = [step.strip() for step in query.split("\n| ")]
        if table != TABLE:
            raise BadQuery(f"Failed to resolve table or column expression named '{table[:60]}'")
        for step in steps:
            verb, _, rest = step.partition(" ")
            match verb:
                case "where":
                    rows = [row for row in rows if self._holds(rest, row)]
                case "project":
                    names = _arguments(rest)
                    rows = [dict(_value(name, row) for name in names) for row in rows]
                case "summarize" if rest == "Rows = count()":
                    rows = [{"Rows": len(rows)}]
                case "extend" if rest == "Now = now()":
                    rows = [row | {"Now": self._now()} for row in rows]
                case _:
                    raise BadQuery(f"Syntax error near '{step[:60]}'")
        return rows

    def _holds(self, condition: str, row: Row) -> bool:
        if found := _WINDOW.fullmatch(condition):
            moment = datetime.fromisoformat(str(row["TimeGenerated"]))
            return self._time(found[1]) < moment <= self._time(found[2])
        if found := _AMONG.fullmatch(condition):
            return str(row.get(found[1], "")) in re.findall(r'"([^"]*)"', found[2])
        if found := _NOT.fullmatch(condition):
            return str(row.get(found[1], "")) != found[2]
        if found := _PART.fullmatch(condition):
            digest = zlib.crc32(str(row.get(found[1], "")).encode())
            return digest % int(found[2]) == int(found[3])
        raise BadQuery(f"Syntax error near '{condition[:60]}'")

    def _time(self, text: str) -> datetime:
        now = datetime.fromtimestamp(self._clock(), UTC)
        if text == "now()":
            return now
        if found := re.fullmatch(r"ago\((\d+)d\)", text):
            return now - timedelta(days=int(found[1]))
        if found := re.fullmatch(r"datetime\((.+)\)", text):
            return datetime.fromisoformat(found[1])
        raise BadQuery(f"Syntax error near '{text[:60]}'")

    def _now(self) -> str:
        # Kusto counts in tenths of a microsecond.
        now = datetime.fromtimestamp(self._clock(), UTC)
        return now.strftime("%Y-%m-%dT%H:%M:%S.%f0Z")


def _arguments(text: str) -> list[str]:
    """Return the parts between those commas that stand in no parentheses."""
    parts, depth = [""], 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _value(assignment: str, row: Row) -> tuple[str, Any]:
    found = _ASSIGNED.fullmatch(assignment)
    if found is None:
        raise BadQuery(f"Syntax error near '{assignment[:60]}'")
    return found[1] or found[2], _evaluated(found[2], row)


def _evaluated(expression: str, row: Row) -> Any:
    if found := _IF_EMPTY.fullmatch(expression):
        return "" if row.get(found[1]) else _evaluated(found[2], row)
    if found := _CUT.fullmatch(expression):
        value = _evaluated(found[1], row)
        return "" if value is None else str(value)[: int(found[2])]
    if found := _INNER.fullmatch(expression):
        value = row.get(found[1], {}).get(found[2])
        return "" if value is None else value if isinstance(value, str) else _json(value)
    if re.fullmatch(r"\w+", expression):
        return row.get(expression)
    raise BadQuery(f"Syntax error near '{expression[:60]}'")


def _json(value: object) -> str:
    return json_reply(value).body.decode()


def _table(rows: Sequence[Row]) -> Row:
    names = list(rows[0]) if rows else []
    columns = [{"name": name, "type": _type(rows[0][name])} for name in names]
    return {
        "name": "PrimaryResult",
        "columns": columns,
        "rows": [[row[name] for name in names] for row in rows],
    }


def _type(value: object) -> str:
    names = {bool: "bool", int: "int", dict: "dynamic", list: "dynamic"}
    return names.get(type(value), "string")
