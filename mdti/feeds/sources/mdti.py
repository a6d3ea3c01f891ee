"""Microsoft Defender TI's indicators as a source: the table its connector fills in Sentinel.

`ThreatIntelIndicators` only grows: every change of an indicator is a further row, and everything is
written again each 7 to 10 days by a republisher. A read takes one window of ingestion time, by the
service's own clock. A delta passes the republished rows over; a full read needs them, for only with
them does a window of 14 days show everything that lives. A query has no pages, so a window is read
in parts by the hash of the indicator's id, each far below the API's limits, and never cuts the rows
of one indicator apart. Facts: contracts, sentinel-and-defender 1.4 and 3.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from mdti.errors import ApiError, BadAnswer, DeadlineExceeded, Forbidden, Missing, Unauthorized
from mdti.feeds.asking import Asker, Hints, server_time
from mdti.feeds.fields import list_of, object_of, stamp
from mdti.feeds.ports import Batch, Cursor, Phase
from mdti.feeds.sources.mdti_rows import Row, changes_of
from mdti.feeds.values import Values
from mdti.moment import moment_of
from mdti.net.deadline import Deadline
from mdti.net.messages import Request, Response, origin_of
from mdti.net.transport import Transport

SCOPE = "https://api.loganalytics.azure.com/.default"
SYSTEMS = (
    "Microsoft Defender Threat Intelligence",
    "Premium Microsoft Defender Threat Intelligence",
    "Microsoft Emerging Threat Feed",
)
"""What the connectors of Microsoft Defender TI write as `SourceSystem`."""
ROWS = 5_000
"""Rows of one query on average; the API gives 500,000 rows or 100 MB, the transport 32 MB."""
OVERLAP = timedelta(minutes=30)
"""How far behind the last window the next one starts, for rows that were ingested late."""
REACH = timedelta(days=14)
"""How far back everything that lives was certainly written again."""
_MOST_PARTS = 4_096
_SERVER_SECONDS = (
    25  # below the transport's patience, so that the service says what it could not do
)
_HINTS: Hints = {
    Unauthorized: "The token for Log Analytics was refused; LOG_ANALYTICS_ENDPOINT must be the "
    "query API of the cloud that the app's identity belongs to.",
    Forbidden: "Give the app's identity the role Log Analytics Reader on the workspace; a new role "
    "can take an hour to count.",
    Missing: "SENTINEL_WORKSPACE_ID must be the workspace's own id, a GUID.",
}
_COLUMNS = (
    "TimeGenerated, Id, ObservableKey, ObservableValue, Confidence, Created, Modified, ValidFrom, "
    "ValidUntil, IsActive, IsDeleted, Revoked, Tags, "
    'Pattern = iff(isempty(ObservableKey), substring(Pattern, 0, 8192), ""), '
    "Name = tostring(Data.name), Description = substring(tostring(Data.description), 0, 1000), "
    "ThreatTypes = tostring(Data.indicator_types), Labels = tostring(Data.labels), "
    "Tlp = tostring(AdditionalFields.TLPLevel)"
)


@dataclass(frozen=True, slots=True)
class _Window:
    """Rows ingested after `start` and until `end`, in `parts` of which `part` comes next."""

    start: datetime
    end: datetime
    parts: int
    part: int = 0
    snapshot: bool = False

    @classmethod
    def of(cls, cursor: Cursor) -> "_Window | None":
        """Return the window that a cursor stands in, None when it stands between two."""
        start, end = moment_of(cursor.get("start")), moment_of(cursor.get("end"))
        parts, part = cursor.get("parts", ""), cursor.get("part", "")
        if start is None or end is None or not (parts.isdecimal() and part.isdecimal()):
            return None
        return cls(start, end, int(parts), int(part), cursor.get("snapshot") == "yes")

    def cursor(self) -> Cursor:
        """Return where to go on after `part` parts."""
        if self.part >= self.parts and not self.snapshot:
            return {"until": stamp(self.end)}
        known = {"start": stamp(self.start), "end": stamp(self.end)}
        known |= {"parts": str(self.parts), "part": str(self.part)}
        return known | {"snapshot": "yes"} if self.snapshot else known

    @property
    def phase(self) -> Phase:
        """What the batches of this window are."""
        return "snapshot" if self.snapshot else "delta"


class _TooLarge(Exception):
    """An answer was more than the API or the transport gives at once."""


class MdtiSource:
    """The indicators of Microsoft Defender TI in one Sentinel workspace.

    `url` is the root of the Log Analytics query API, `scope` what its tokens are for: the API
    itself unless given, and Microsoft's public one for a `url` on loopback. `workspace_id` is the
    workspace's GUID. `systems` are the values of `SourceSystem` to read.
    """

    name = "mdti"

    def __init__(
        self,
        *,
        url: str,
        workspace_id: str,
        transport: Transport,
        values: Values,
        scope: str | None = None,
        systems: Sequence[str] = SYSTEMS,
        rows: int = ROWS,
    ) -> None:
        self._url = f"{url.rstrip('/')}/v1/workspaces/{quote(workspace_id, safe='')}/query"
        origin = origin_of(url)
        own = SCOPE if origin.loopback else f"https://{origin.name}/.default"
        self._scope = scope or own
        self._asker = Asker(transport, _HINTS)
        self._values = values
        self._systems = ", ".join(json.dumps(system) for system in systems)
        self._rows = rows

    def read(self, cursor: Cursor | None, *, full: bool, deadline: Deadline) -> Iterator[Batch]:
        """Yield one window of changes; see `mdti.feeds.ports.Source.read`."""
        try:
            window = _Window.of(cursor or {})
            if window is None or (full and not window.snapshot):
                since = None if full else moment_of((cursor or {}).get("until"))
                window = self._window(since, deadline)
            yield from self._parts(window, deadline)
        except DeadlineExceeded:
            return

    def _parts(self, window: _Window, deadline: Deadline) -> Iterator[Batch]:
        while window.part < window.parts:
            try:
                rows = self._query(self._part(window), deadline)
            except _TooLarge:
                if window.parts * 2 > _MOST_PARTS:
                    raise BadAnswer(
                        "Log Analytics gave only a part of an answer, however little was asked for."
                    ) from None
                # Begun anew, so that nothing hangs on how the service's hash behaves.
                window = replace(window, parts=window.parts * 2, part=0)
                continue
            window = replace(window, part=window.part + 1)
            yield Batch(changes_of(rows, self._values), window.cursor(), window.phase)
        if window.snapshot:
            yield Batch((), replace(window, snapshot=False).cursor(), "snapshot_end")

    def _window(self, since: datetime | None, deadline: Deadline) -> _Window:
        """Return the window from `since`, or of everything, to the service's present time."""
        snapshot = since is None
        start = f"ago({REACH.days}d)" if since is None else _literal(since - OVERLAP)
        query = f"{self._table(start, 'now()', snapshot)}\n| summarize Rows = count()"
        [row] = self._query(f"{query}\n| extend Now = now()", deadline, one=True)
        now = moment_of(row.get("Now"))
        amount = row.get("Rows")
        if now is None or not isinstance(amount, int):
            raise BadAnswer("Log Analytics did not count the rows as it was asked to.")
        if since is not None and now - since > REACH:
            return self._window(None, deadline)
        begin = now - REACH if since is None else since - OVERLAP
        parts = min(max(1, -(-amount // self._rows)), _MOST_PARTS)
        return _Window(begin, now, parts, snapshot=snapshot)

    def _part(self, window: _Window) -> str:
        table = self._table(_literal(window.start), _literal(window.end), window.snapshot)
        if window.parts > 1:
            table += f"\n| where hash(Id, {window.parts}) == {window.part}"
        return f"{table}\n| project {_COLUMNS}"

    def _table(self, start: str, end: str, republished: bool) -> str:
        table = (
            "ThreatIntelIndicators\n"
            f"| where TimeGenerated > {start} and TimeGenerated <= {end}\n"
            f"| where SourceSystem in ({self._systems})"
        )
        if republished:
            return table
        return f'{table}\n| where LastUpdateMethod != "LogARepublisher"'

    def _query(self, query: str, deadline: Deadline, *, one: bool = False) -> Sequence[Row]:
        """Return the rows of a query's first table; raises `_TooLarge` for a part of them."""
        request = Request(
            self._url,
            method="POST",
            audience=self._scope,
            body=json.dumps({"query": query}).encode(),
            content_type="application/json",
            headers=(("Prefer", f"wait={_SERVER_SECONDS}"),),
            idempotent=True,
        )
        try:
            response = self._asker.ask(request, deadline=deadline)
        except ApiError as error:
            if error.status == 400 and error.hint is None:
                error.hint = (
                    "The workspace may have no ThreatIntelIndicators table: enable Sentinel and "
                    "the data connector 'Microsoft Defender Threat Intelligence'."
                )
            oversize = isinstance(error, BadAnswer) and error.status is None
            if one or not (oversize or error.status == 504):
                raise
            raise _TooLarge from None
        if response.status == 204:  # a workspace that has no data at all
            now = server_time(response)
            return [{"Rows": 0, "Now": now and stamp(now)}] if one else []
        rows = _rows_of(response)
        if one and len(rows) != 1:
            raise BadAnswer(f"{response.api} answered with no single row.", api=response.api)
        return rows


def _rows_of(response: Response) -> Sequence[Row]:
    document = response.json()
    table = next(iter(list_of(object_of(document).get("tables"))), None)
    names = [object_of(one).get("name") for one in list_of(object_of(table).get("columns"))]
    rows = object_of(table).get("rows")
    if object_of(document).get("error"):
        raise _TooLarge
    if not isinstance(rows, list) or not all(isinstance(name, str) for name in names):
        raise BadAnswer(f"{response.api} answered without a table.", api=response.api)
    return [_row(names, row) for row in rows]


def _row(names: Sequence[Any], row: Any) -> Mapping[str, Any]:
    return dict(zip(names, list_of(row), strict=False))


def _literal(moment: datetime) -> str:
    return f"datetime({stamp(moment)})"
