"""ThreatStream's observables: rows, and the list resource with its filters and pages.

A page has at most 1,000 rows, 20 unless told. `meta.next` leads on by `update_id__gt` when the
order is `update_id`, else by `search_after`; it is a path without host, as the service sends it.
Filters: `type`, `itype`, `status`, `value`, `tags.name`, `feed_id`, `id` (a list with commas means
any of them), `value__regexp`, and `confidence`, `modified_ts`, `created_ts`, `update_id` with
`__gt`, `__gte`, `__lt`, `__lte`. Other options are ignored.
"""

import re
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlencode

from mdti.sandbox.wire import Request

Row = dict[str, Any]

MAX_PAGE = 1_000
DEFAULT_PAGE = 20
DEFAULT_EXPIRY = timedelta(days=90)
_FLAVOURS = {
    "ip": ("mal", "c2", "phish", "suspicious", "apt", "bot", "scan", "spam", "tor"),
    "ipv6": ("mal", "c2", "phish", "suspicious"),
    "domain": ("mal", "c2", "phish", "suspicious", "apt", "compromised", "dyn"),
    "url": ("mal", "c2", "phish", "suspicious", "apt", "compromised"),
    "email": ("mal", "phish", "suspicious", "apt"),
    "md5": ("mal", "apt"),
}
ITYPES = frozenset(f"{word}_{kind}" for kind, words in _FLAVOURS.items() for word in words)
"""Every itype this organisation knows; any other makes a false positive."""

_HASHES = {32: "MD5", 40: "SHA1", 64: "SHA256"}
_LISTS = ("type", "itype", "status", "value", "feed_id", "id")
_COMPARED = re.compile(r"(confidence|modified_ts|created_ts|update_id|id)__(gte?|lte?)")
_SPACE = uuid.UUID("5a7d0b0e-0000-4000-8000-00000000d001")


class BadFilter(Exception):
    """An option that cannot be read."""


def kind_of(value: str) -> str:
    """Return ThreatStream's `type` of a value: ip, ipv6, domain, url, email, md5 (any hash)."""
    try:
        return "ip" if ip_address(value).version == 4 else "ipv6"
    except ValueError:
        pass
    if "://" in value:
        return "url"
    if "@" in value:
        return "email"
    return "md5" if len(value) in _HASHES and re.fullmatch("[0-9a-fA-F]+", value) else "domain"


class Observables:
    """All rows that an organisation can see, its own and other organisations'."""

    def __init__(self, *, clock: Callable[[], float], organisation: int, owner: str) -> None:
        self._clock = clock
        self._organisation = organisation
        self._owner = owner
        self._lock = threading.RLock()
        self._rows: dict[int, Row] = {}
        self._places: dict[tuple[int, str], int] = {}
        self._updates = 7_300_000_000

    def rows(self) -> list[Row]:
        """Return all rows by id; those whose time is over are inactive from then on."""
        with self._lock:
            now = _stamp(self._clock())
            for row in self._rows.values():
                if row["status"] == "active" and row["expiration_ts"] <= now:
                    self._touch(row, status="inactive")
            return [dict(row) for row in self._rows.values()]

    def get(self, number: int) -> Row | None:
        """Return one row."""
        return self._rows.get(number)

    def named(self, value: str) -> list[Row]:
        """Return the rows with a value, of every organisation."""
        return [row for row in self.rows() if row["value"] == value]

    def put(
        self,
        value: str,
        *,
        itype: str,
        confidence: int = 50,
        reported: int | None = None,
        severity: str = "low",
        public: bool = False,
        tlp: str | None = None,
        tags: Sequence[Mapping[str, str]] = (),
        expires: str | None = None,
        status: str = "active",
        session: int | None = None,
        organisation: int | None = None,
    ) -> Row:
        """Create the row of a value, or change it: one organisation has one row of a value.

        `expires` is ISO 8601 without a zone, as the service takes it; None means 90 days.
        """
        owner = organisation or self._organisation
        with self._lock:
            number = self._places.get((owner, value))
            if number is None:
                row = self._new(value, owner)
                number = row["id"]
                self._rows[number] = row
                self._places[owner, value] = number
            row = self._rows[number]
            until = _moment(expires) if expires else self._clock() + DEFAULT_EXPIRY.total_seconds()
            self._tag(row, tags)
            self._touch(
                row,
                itype=itype,
                threat_type={"c2": "c2", "phish": "phish"}.get(itype.partition("_")[0], "malware"),
                confidence=confidence,
                source_reported_confidence=confidence if reported is None else reported,
                status=status,
                is_public=public,
                tlp=tlp or row["tlp"],
                meta={**row["meta"], "severity": severity},
                expiration_ts=_stamp(until),
                import_session_id=session,
            )
            return row

    def change(self, number: int, **fields: Any) -> Row:
        """Change fields of a row; `tags` are added, `severity` lies in its `meta`."""
        with self._lock:
            row = self._rows[number]
            self._tag(row, fields.pop("tags", ()))
            if "severity" in fields:
                fields["meta"] = {**row["meta"], "severity": fields.pop("severity")}
            if "expiration_ts" in fields:
                fields["expiration_ts"] = _stamp(_moment(fields["expiration_ts"]))
            self._touch(row, **fields)
            return row

    def untag(self, number: int, tag: str) -> bool:
        """Remove a tag by its id; False when the row has none of that id."""
        with self._lock:
            row = self._rows[number]
            kept = [one for one in row["tags"] if one["id"] != tag]
            if len(kept) == len(row["tags"]):
                return False
            self._touch(row, tags=kept)
            return True

    def delete(self, number: int) -> None:
        """Remove a row."""
        with self._lock:
            row = self._rows.pop(number)
            del self._places[row["owner_organization_id"], row["value"]]

    def _new(self, value: str, owner: int) -> Row:
        kind = kind_of(value)
        number = 900_000_001 + self._updates - 7_300_000_000
        return {
            "id": number,
            "uuid": str(uuid.uuid5(_SPACE, f"{owner} {value}")),
            "value": value,
            "ip": value if kind in {"ip", "ipv6"} else None,
            "type": kind,
            "subtype": _HASHES[len(value)] if kind == "md5" else None,
            "retina_confidence": -1,
            "threatscore": 0,
            "is_anonymous": False,
            "is_editable": owner == self._organisation,
            "tlp": None,
            "tags": [],
            "meta": {"severity": "low", "detail2": "imported by user 42", "maltype": ""},
            "created_ts": _stamp(self._clock()),
            "source": self._owner if owner == self._organisation else "analyst@partner.example",
            "feed_id": 0,
            "owner_organization_id": owner,
            "trusted_circle_ids": [],
            "workgroups": [],
            "resource_uri": f"/api/v2/intelligence/{number}/",
        }

    def _touch(self, row: Row, **fields: Any) -> None:
        self._updates += 1
        row.update(fields, update_id=self._updates, modified_ts=_stamp(self._clock()))

    def _tag(self, row: Row, tags: Sequence[Mapping[str, str]]) -> None:
        known = {tag["name"] for tag in row["tags"]}
        for tag in tags:
            name = tag["name"]
            if name not in known:
                known.add(name)
                mark = uuid.uuid5(_SPACE, name).hex[:12]
                row["tags"] = [*row["tags"], {"id": mark, **tag}]


def page(rows: Sequence[Row], request: Request) -> dict[str, Any]:
    """Return one page of the rows that a request asks for; raises `BadFilter`."""
    options = dict(request.query)
    limit = min(_number(options, "limit", DEFAULT_PAGE), MAX_PAGE)
    found = [row for row in rows if _fits(row, options)]
    order = options.get("order_by", "id")
    name = order.removeprefix("-")
    if found and name not in found[0]:
        raise BadFilter(f"order_by {name}")
    found.sort(key=lambda row: (row[name], row["id"]), reverse=order.startswith("-"))
    total = len(found)
    after = options.get("search_after")
    if after is not None:
        places = [place for place, row in enumerate(found) if str(row["id"]) == after]
        found = found[places[0] + 1 :] if places else []
    found = found[_number(options, "offset", 0) :]
    shown = found[:limit]
    following = _next(request, shown[-1], order) if len(found) > limit else None
    meta = {"total_count": total, "limit": limit, "offset": 0, "took": 12, "next": following}
    return {"meta": meta, "objects": shown}


def _next(request: Request, last: Row, order: str) -> str:
    paging = {"update_id__gt", "search_after", "offset"}
    if order != "update_id":
        paging.discard("update_id__gt")
    kept = [(name, value) for name, value in request.query if name not in paging]
    if order == "update_id":
        kept.append(("update_id__gt", str(last["update_id"])))
    else:
        kept.append(("search_after", str(last["id"])))
    return f"{request.path}?{urlencode(kept)}"


def _fits(row: Row, options: Mapping[str, str]) -> bool:
    for name, wanted in options.items():
        if name in _LISTS and str(row[name]) not in {wanted, *wanted.split(",")}:
            return False
        if name == "tags.name" and wanted not in {tag["name"] for tag in row["tags"]}:
            return False
        if name == "value__regexp" and not _matches(wanted, row["value"]):
            return False
        compared = _COMPARED.fullmatch(name)
        if compared is not None and not _compares(row[compared[1]], compared[2], wanted):
            return False
    return True


def _matches(pattern: str, value: str) -> bool:
    try:
        return re.fullmatch(pattern, value) is not None
    except re.error as error:
        raise BadFilter(f"value__regexp: {error}") from error


def _compares(have: Any, how: str, wanted: str) -> bool:
    try:
        want: Any = int(wanted) if isinstance(have, int) else _stamp(_moment(wanted))
    except ValueError as error:
        raise BadFilter(f"{wanted!r} cannot be compared") from error
    match how:
        case "gt":
            return bool(have > want)
        case "gte":
            return bool(have >= want)
        case "lt":
            return bool(have < want)
        case _:
            return bool(have <= want)


def _number(options: Mapping[str, str], name: str, default: int) -> int:
    text = options.get(name, str(default))
    if not text.isascii() or not text.isdecimal():
        raise BadFilter(name)
    return int(text)


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _moment(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
