"""Anomali ThreatStream as a source: observables in the order of their updates.

Every change of an observable gives it a larger `update_id`, which orders pages, marks where a read
ended and serves as the version. What was made inactive or a false positive comes as a change; what
was deleted shows only in a full read. Facts: contracts, opencti-anyrun-anomali-threatconnect 3.5.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

from mdti.errors import BadAnswer, DeadlineExceeded, Forbidden, Missing, Unauthorized
from mdti.feeds.asking import Asker, Hints, document_of
from mdti.feeds.fields import EPOCH, list_of, object_of, percent_of, text_of, tlp_of, words_of
from mdti.feeds.indicator import Indicator, Key, Severity
from mdti.feeds.ports import Batch, Change, Cursor, Phase, Remove
from mdti.feeds.sources.building import skip, unreadable, upsert
from mdti.feeds.values import ValueKind, Values
from mdti.moment import moment_of
from mdti.net.deadline import Deadline
from mdti.net.messages import Request
from mdti.net.transport import Transport

PAGE = 1_000
"""Most observables of one page."""
_HINTS: Hints = {
    Unauthorized: "Check THREATSTREAM_USERNAME and THREATSTREAM_API_KEY.",
    Forbidden: "The ThreatStream user must be allowed to read intelligence through the API.",
    Missing: "THREATSTREAM_URL must be the root of the API, such as https://api.threatstream.com.",
}
_KINDS: Mapping[str, ValueKind] = MappingProxyType(
    {"ip": "host", "ipv6": "host", "domain": "host", "url": "url", "email": "email", "md5": "hash"}
)
_SEVERITIES: Mapping[str, Severity] = MappingProxyType(
    {"low": "low", "medium": "medium", "high": "high", "very-high": "high"}
)
_NEVER = 9_000  # years; what ThreatStream writes for an observable without an end


class AnomaliSource:
    """The observables that one user of ThreatStream can see.

    With `bare_without`, a tag, it yields hosts alone, with nothing that anybody says of them, and
    leaves out those that we imported under that tag: what their reputation is asked by. A tag that
    somebody adds then changes nothing.
    """

    name = "anomali"

    def __init__(
        self,
        *,
        url: str,
        username: str,
        api_key: str,
        transport: Transport,
        values: Values,
        page: int = PAGE,
        bare_without: str | None = None,
    ) -> None:
        self._url = f"{url.rstrip('/')}/api/v2/intelligence/"
        self._headers = (("Authorization", f"apikey {username}:{api_key}"),)
        self._asker = Asker(transport, _HINTS)
        self._values = values
        self._page_size = page
        self._bare_without = bare_without

    def read(self, cursor: Cursor | None, *, full: bool, deadline: Deadline) -> Iterator[Batch]:
        """Yield pages of observables; see `mdti.feeds.ports.Source.read`."""
        known = dict(cursor or {})
        if not known.get("update_id", "").isdecimal() or (full and "snapshot" not in known):
            known = {"update_id": "0", "snapshot": "yes"}
        phase: Phase = "snapshot" if "snapshot" in known else "delta"
        try:
            for changes, last in self._pages(int(known["update_id"]), phase, deadline):
                known["update_id"] = str(last)
                yield Batch(changes, dict(known), phase)
        except DeadlineExceeded:
            return
        if phase == "snapshot":
            yield Batch((), {"update_id": known["update_id"]}, "snapshot_end")

    def _pages(
        self, last: int, phase: Phase, deadline: Deadline
    ) -> Iterator[tuple[tuple[Change, ...], int]]:
        """Yield changes with the largest `update_id` so far, page by page."""
        more = True
        while more:
            rows, linked = self._page(last, phase, deadline)
            numbers = [_number(object_of(row).get("update_id")) for row in rows]
            following = max([last, *(number for number in numbers if number is not None)])
            more = linked or len(rows) >= self._page_size
            if more and following <= last:
                raise BadAnswer("ThreatStream led the pages of a list in a circle.")
            last = following
            yield tuple(self._change(row) for row in rows), last

    def _page(self, after: int, phase: Phase, deadline: Deadline) -> tuple[list[Any], bool]:
        options = {"update_id__gt": after, "order_by": "update_id", "limit": self._page_size}
        query = urlencode(options | ({"status": "active"} if phase == "snapshot" else {}))
        request = Request(f"{self._url}?{query}", headers=self._headers)
        response = self._asker.ask(request, deadline=deadline)
        document = document_of(response)
        rows = document.get("objects")
        if not isinstance(rows, list):
            raise BadAnswer(f"{response.api} answered without objects.", api=response.api)
        return rows, bool(rows) and bool(object_of(document.get("meta")).get("next"))

    def _change(self, row: Any) -> Change:
        item = object_of(row)
        number, update = _number(item.get("id")), _number(item.get("update_id"))
        if number is None or update is None:
            return unreadable(row)
        source_id, version = str(number), str(update)
        status = item.get("status")
        if status != "active":
            return Remove(
                source_id, version, "false positive" if status == "falsepos" else "inactive"
            )
        kind = _KINDS.get(text_of(item.get("type")))
        if kind is None:
            return skip(source_id, version, "other kind of observable")
        make = partial(_indicator, item)
        if self._bare_without is not None:
            if kind != "host":
                return skip(source_id, version, "no reputation for this kind")
            names = {tag.casefold() for tag in _tags(item)}
            if item.get("is_editable") is True and self._bare_without.casefold() in names:
                return skip(source_id, version, "imported by us")
            make = partial(_bare, item)
        found: list[tuple[ValueKind, object]] = [(kind, item.get("value"))]
        return upsert(source_id, version, found, values=self._values, make=make)


def _bare(item: Mapping[str, Any], key: Key) -> Indicator:
    # Not `modified_ts`, which our own tags move: of several observables the latest one stays so.
    created = moment_of(item.get("created_ts"))
    return Indicator(
        key=key, modified=created or EPOCH, valid_from=created, valid_until=_until(item)
    )


def _indicator(item: Mapping[str, Any], key: Key) -> Indicator:
    return Indicator(
        key=key,
        modified=moment_of(item.get("modified_ts")) or EPOCH,
        confidence=percent_of(item.get("confidence")),
        score=percent_of(item.get("threatscore")) or None,
        severity=_SEVERITIES.get(text_of(object_of(item.get("meta")).get("severity"))),
        title=key.value[:200],
        threat_types=words_of([item.get("threat_type"), item.get("itype")]),
        tags=_tags(item),
        tlp=tlp_of(item.get("tlp")),
        valid_from=moment_of(item.get("created_ts")),
        valid_until=_until(item),
    )


def _tags(item: Mapping[str, Any]) -> tuple[str, ...]:
    return words_of([object_of(tag).get("name") for tag in list_of(item.get("tags"))[:200]])


def _until(item: Mapping[str, Any]) -> datetime | None:
    until = moment_of(item.get("expiration_ts"))
    return None if until is None or until.year >= _NEVER else until


def _number(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 10**15:
        return None
    return value
