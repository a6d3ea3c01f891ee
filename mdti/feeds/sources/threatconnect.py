"""ThreatConnect as a source: API v3, changes by `lastModified`, inactive and deleted ones removed.

A read asks first for what was deleted, then for what changed. Changes come in the order of
`lastModified` and the next page starts at the last time seen, not at an offset, so that an object
which changes meanwhile pushes no other one off the page; only within one second the server's own
`next` is followed. Facts: contracts, opencti-anyrun-anomali-threatconnect 4.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from mdti.errors import (
    BadAnswer,
    DeadlineExceeded,
    Forbidden,
    MdtiError,
    SettingError,
    Unauthorized,
)
from mdti.feeds.asking import Asker, Hints, Now, document_of, server_time, utc_now
from mdti.feeds.fields import EPOCH, object_of, stamp
from mdti.feeds.ports import Batch, Change, Cursor, Phase
from mdti.feeds.sources.threatconnect_objects import Reading, summaries_of, type_of
from mdti.feeds.values import Values
from mdti.moment import moment_of
from mdti.net.deadline import Deadline
from mdti.net.messages import Request, origin_of
from mdti.net.transport import Transport

PAGE = 1_000
"""Objects in one page; the API takes up to 10,000, and long answers time out."""
OVERLAP = timedelta(minutes=5)
"""How far behind the last time seen a read starts, for objects that became visible late."""
_SIGNATURE_AGE = timedelta(minutes=4)  # the server refuses signatures older than 5
_CHECKED_AT_ONCE = 50
_QUERY_BYTES = 4_000
_HINTS: Hints = {
    Unauthorized: "Check THREATCONNECT_ACCESS_ID and THREATCONNECT_SECRET_KEY (or the token), and "
    "that this machine's clock is right: signatures older than 5 minutes are refused.",
    Forbidden: "Give the API user a role that may read the owners in THREATCONNECT_OWNERS.",
}


@dataclass(frozen=True, slots=True)
class HmacKey:
    """An API user's key pair; requests are signed with it."""

    access_id: str
    secret: str = field(repr=False)

    def headers(self, url: str, method: str, now: datetime) -> tuple[tuple[str, str], ...]:
        """Return the headers that sign a request: path and query exactly as they are sent."""
        parts = urlsplit(url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        seconds = str(int(now.timestamp()))
        message = f"{target}:{method}:{seconds}".encode()
        digest = hmac.new(self.secret.encode(), message, hashlib.sha256).digest()
        signature = base64.b64encode(digest).decode("ascii")
        return ("Timestamp", seconds), ("Authorization", f"TC {self.access_id}:{signature}")


@dataclass(frozen=True, slots=True)
class ApiToken:
    """An API token; sent as it is, so it needs no clock."""

    token: str = field(repr=False)

    def headers(self, url: str, method: str, now: datetime) -> tuple[tuple[str, str], ...]:  # noqa: ARG002 - one form for both kinds of credentials
        """Return the header that carries the token."""
        return (("Authorization", f"TC-Token {self.token}"),)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a read stands: objects up to `modified` and deletions up to `deleted` are known.

    `snapshot` is true while everything is being listed.
    """

    modified: datetime
    deleted: datetime
    snapshot: bool = False

    @classmethod
    def of(cls, cursor: Cursor | None) -> "_Place | None":
        """Return the place that a cursor names, None when it names none."""
        modified = moment_of((cursor or {}).get("modified"))
        deleted = moment_of((cursor or {}).get("deleted"))
        if modified is None or deleted is None:
            return None
        return cls(modified, deleted, (cursor or {}).get("snapshot") == "yes")

    def cursor(self) -> Cursor:
        """Return the place as the engine keeps it."""
        known = {"modified": stamp(self.modified), "deleted": stamp(self.deleted)}
        return known | {"snapshot": "yes"} if self.snapshot else known

    @property
    def phase(self) -> Phase:
        """What the batches of this read are."""
        return "snapshot" if self.snapshot else "delta"


@dataclass(frozen=True, slots=True)
class _Page:
    """One page of records, the link to the next, and the server's time when it was made."""

    rows: Sequence[Any]
    link: str | None
    at: datetime

    def newest(self) -> datetime:
        """Return the last `lastModified`; a time that lies in the server's future counts as now."""
        times = [moment_of(object_of(row).get("lastModified")) for row in self.rows]
        return min(max((time for time in times if time is not None), default=EPOCH), self.at)


class ThreatConnectSource:
    """Indicators of some owners of a ThreatConnect instance.

    `url` is the root of the API, with or without its last segment `api`. `owners` are names as
    ThreatConnect spells them, `types` too or as people call them, such as `IPv4`. Without a cursor
    a read starts `depth_days` back; None reads everything, as `full` does. Objects rated below
    `min_rating` (0 to 5) give no indicators. `now` signs requests and dates the first read;
    everything else goes by the server's time.
    """

    name = "threatconnect"

    def __init__(
        self,
        *,
        url: str,
        credentials: HmacKey | ApiToken,
        owners: Sequence[str],
        transport: Transport,
        values: Values,
        types: Sequence[str] = ("Address", "Host", "URL", "File", "EmailAddress"),
        depth_days: int | None = 1,
        min_rating: float = 0.0,
        page: int = PAGE,
        now: Now = utc_now,
    ) -> None:
        if not owners or not types:
            raise SettingError("THREATCONNECT_OWNERS and THREATCONNECT_TYPES must not be empty.")
        root = url.rstrip("/")
        self._root = root if root.endswith("/api") else f"{root}/api"
        self._credentials = credentials
        self._owners = tuple(owners)
        self._types = tuple(dict.fromkeys(type_of(name) for name in types))
        self._asker = Asker(transport, _HINTS)
        self._reading = Reading(values, min_rating)
        self._depth_days = depth_days
        self._page_size = page
        self._now = now

    def read(self, cursor: Cursor | None, *, full: bool, deadline: Deadline) -> Iterator[Batch]:
        """Yield deletions, then changes; see `mdti.feeds.ports.Source.read`."""
        try:
            yield from self._read(_Place.of(cursor), full=full, deadline=deadline)
        except DeadlineExceeded:
            return

    def _read(self, place: _Place | None, *, full: bool, deadline: Deadline) -> Iterator[Batch]:
        fresh = place is None or (full and not place.snapshot)
        if place is None or fresh:
            place = self._beginning(full=full)
        elif not place.snapshot:
            removals, until = self._deleted(place.deleted - OVERLAP, deadline)
            place = replace(place, deleted=until)
            yield Batch(removals, place.cursor())
        start = place.modified - (timedelta() if place.snapshot or fresh else OVERLAP)
        for page in self._changed(start, deadline):
            if fresh:  # nothing that was deleted earlier can be known to anybody here
                place, fresh = replace(place, deleted=page.at), False
            place = replace(place, modified=max(place.modified, page.newest()))
            yield Batch(self._reading.changes(page.rows), place.cursor(), place.phase)
        if place.snapshot:
            yield Batch((), replace(place, snapshot=False).cursor(), "snapshot_end")

    def _beginning(self, *, full: bool) -> _Place:
        now = self._now()
        if full or self._depth_days is None:
            return _Place(EPOCH, now, snapshot=True)
        return _Place(now - timedelta(days=self._depth_days), now)

    def _changed(self, since: datetime, deadline: Deadline) -> Iterator[_Page]:
        """Yield pages of everything modified at `since` or later, oldest first."""
        again = True
        while again:
            again = False
            for page in self._pages(self._changes_url(since), deadline):
                yield page
                if page.link is not None and page.newest() > since:
                    since, again = page.newest(), True
                    break

    def _pages(self, url: str, deadline: Deadline) -> Iterator[_Page]:
        """Yield a page and those that it leads to; raises `BadAnswer` when they form a circle."""
        link: str | None = url
        visited: set[str] = set()
        while link is not None:
            if link in visited:
                raise BadAnswer("ThreatConnect linked the pages of a list in a circle.")
            visited.add(link)
            page = self._page(link, deadline)
            yield page
            link = page.link

    def _deleted(self, since: datetime, deadline: Deadline) -> tuple[tuple[Change, ...], datetime]:
        """Return what was deleted since a time and is not there again, and until when."""
        pages = [
            page
            for owner in self._owners
            for page in self._pages(self._deleted_url(owner, since), deadline)
        ]
        until = min(page.at for page in pages)
        rows = [row for page in pages for row in page.rows if _type(row) in self._types]
        present = self._present(summaries_of(rows), deadline)
        return self._reading.removals(rows, present, until), until

    def _present(self, summaries: Sequence[str], deadline: Deadline) -> frozenset[str]:
        """Return the ids of objects that exist among these summaries.

        A deletion names no id and no version, so one that was made again looks deleted as well.
        """
        found: set[str] = set()
        for some in _groups(summaries):
            url = self._list_url(f"summary IN ({_quoted(some)})")
            for page in self._pages(url, deadline):
                found |= self._reading.ids(page.rows)
        return frozenset(found)

    def _deleted_url(self, owner: str, since: datetime) -> str:
        options = [("owner", owner), ("deletedSince", f"{since:%Y-%m-%dT%H:%M:%SZ}")]
        return self._url("/v3/indicators/deleted", options)

    def _changes_url(self, since: datetime) -> str:
        return self._list_url(f"lastModified GEQ '{since:%Y-%m-%d %H:%M:%S}'")

    def _list_url(self, condition: str) -> str:
        query = (
            f"ownerName IN ({_quoted(self._owners)}) AND typeName IN ({_quoted(self._types)}) "
            f"AND indicatorActive IN (true, false) AND {condition}"
        )
        options = [("tql", query), ("fields", "tags"), ("fields", "securityLabels")]
        options += [("fields", "threatAssess"), ("sorting", "lastModified ASC")]
        return self._url("/v3/indicators", options)

    def _url(self, path: str, options: Sequence[tuple[str, str]]) -> str:
        paging = [("resultStart", "0"), ("resultLimit", str(self._page_size))]
        return f"{self._root}{path}?{_query([*options, *paging])}"

    def _page(self, url: str, deadline: Deadline) -> _Page:
        signed = self._now()
        try:
            response = self._asker.ask(self._request(url, signed), deadline=deadline)
        except Unauthorized:
            # A pause that the server asked for may have outlived the signature.
            if self._now() - signed < _SIGNATURE_AGE:
                raise
            response = self._asker.ask(self._request(url, self._now()), deadline=deadline)
        document = document_of(response)
        rows = document.get("data")
        if not isinstance(rows, list):
            raise BadAnswer(f"{response.api} answered without a list of data.", api=response.api)
        link = self._next(url, document.get("next"), rows, response.api)
        return _Page(rows, link, server_time(response) or self._now())

    def _request(self, url: str, now: datetime) -> Request:
        return Request(url, headers=self._credentials.headers(url, "GET", now))

    def _next(self, url: str, link: object, rows: Sequence[Any], api: str) -> str | None:
        """Return the next page's URL, its query spelt as ours are, so that what is signed is sent.

        Only the query of a link is used, and only when it leads back to the same list.
        """
        if not link or not rows:
            return None
        try:
            parts = urlsplit(link) if isinstance(link, str) and link.isprintable() else None
            same = parts is not None and origin_of(parts.geturl()) == origin_of(url)
            query = parse_qsl(parts.query, keep_blank_values=True) if parts and same else []
        except (MdtiError, ValueError):
            parts, query = None, []
        here = urlsplit(url)
        if parts is None or not query or parts.path != here.path:
            raise BadAnswer(f"{api} linked the next page of a list to another place.", api=api)
        return f"{here.scheme}://{here.netloc}{here.path}?{_query(query)}"


def _query(options: Sequence[tuple[str, str]]) -> str:
    """Return a query of unreserved characters and escapes alone, which no library re-encodes."""
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in options)


def _quoted(words: Sequence[str]) -> str:
    """Return words as a TQL list; quotes, back-ticks and backslashes are escaped."""
    escaped = ("".join(f"\\{one}" if one in "\\\"'`" else one for one in word) for word in words)
    return ", ".join(f'"{word}"' for word in escaped)


def _groups(words: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield words in groups that fit into one query; servers refuse addresses beyond 8 KiB."""
    group: list[str] = []
    length = 0
    for word in words:
        size = len(quote(word, safe=""))
        if group and (length + size > _QUERY_BYTES or len(group) >= _CHECKED_AT_ONCE):
            yield group
            group, length = [], 0
        group.append(word)
        length += size
    if group:
        yield group


def _type(row: object) -> object:
    return object_of(row).get("type")
