"""What ThreatConnect's records mean: objects to changes, deletions to removals.

A deletion names owner, type and summary but no id, so these make the identity of an object. A file
is one object for each of its hashes: its summary grows with every hash that is learnt, and the
deletion names the last form only.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Any, Literal

from mdti.feeds.fields import (
    EPOCH,
    UNDATED,
    list_of,
    object_of,
    percent_of,
    stamp,
    text_of,
    tlp_of,
    words_of,
)
from mdti.feeds.indicator import Indicator, Key
from mdti.feeds.ports import Change, Remove
from mdti.feeds.sources.building import MAX_ID, skip, unreadable, upsert
from mdti.feeds.values import ValueKind, Values
from mdti.moment import moment_of

Level = Literal["informational", "low", "medium", "high"]

_FIELDS: Mapping[str, tuple[ValueKind, str]] = MappingProxyType(
    {
        "Address": ("host", "ip"),
        "Host": ("domain", "hostName"),
        "URL": ("url", "text"),
        "EmailAddress": ("email", "address"),
    }
)
_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "address": "Address",
        "ip": "Address",
        "ipv4": "Address",
        "ipv6": "Address",
        "host": "Host",
        "hostname": "Host",
        "domain": "Host",
        "url": "URL",
        "file": "File",
        "hash": "File",
        "email": "EmailAddress",
        "emailaddress": "EmailAddress",
    }
)
_OTHER = "other kind of observable"
_HASHES = ("md5", "sha1", "sha256")
# Ratings are skulls, from suspicious (1) to critical (5); 0 means unrated but for the dash.
_LEVELS: tuple[Level, ...] = ("informational", "low", "low", "medium", "high", "high")


@dataclass(frozen=True, slots=True)
class Reading:
    """Reads records under one policy; objects rated below `min_rating` give no indicators."""

    values: Values
    min_rating: float = 0.0

    def changes(self, rows: Iterable[Any]) -> tuple[Change, ...]:
        """Return the changes that a page of objects brings."""
        return tuple(change for row in rows for change in self._changes(row))

    def removals(
        self, rows: Iterable[Any], present: frozenset[str], until: datetime
    ) -> tuple[Change, ...]:
        """Return the removals that deletions mean, at the version `until`.

        An id in `present` was made again since; the changes will bring what it is now.
        """
        changes: list[Change] = []
        for row in rows:
            ids = set(_ids(object_of(row)))
            changes += [Remove(one, stamp(until), "deleted") for one in sorted(ids - present)]
            if not ids:
                changes.append(unreadable(row))
        return tuple(changes)

    def ids(self, rows: Iterable[Any]) -> frozenset[str]:
        """Return the ids of a page of objects."""
        return frozenset(one for row in rows for one in _ids(object_of(row)))

    def _changes(self, row: Any) -> Iterator[Change]:
        item = object_of(row)
        known = False
        for source_id, kind, text in _observables(item):
            known = True
            yield self._change(item, source_id, kind, text)
        if not known:
            ids = list(_ids(item))
            reason = "no value" if text_of(item.get("type")) in _FIELDS else _OTHER
            yield skip(ids[0], _version(item), reason) if ids else unreadable(row)

    def _change(
        self, item: Mapping[str, Any], source_id: str, kind: ValueKind, text: str
    ) -> Change:
        version = _version(item)
        if item.get("active") is False:
            return Remove(source_id, version, "inactive")
        rating = _rating(item)
        if rating is not None and rating < self.min_rating:
            return skip(source_id, version, "rating too low")
        make = partial(_indicator, item, rating)
        return upsert(source_id, version, [(kind, text)], values=self.values, make=make)


def type_of(name: str) -> str:
    """Return ThreatConnect's name of a type; one that is not known here is taken as it is."""
    return _TYPES.get(name.strip().lower(), name.strip())


def summaries_of(rows: Iterable[Any]) -> Sequence[str]:
    """Return the summaries of records, each once."""
    found = dict.fromkeys(text_of(object_of(row).get("summary"), limit=MAX_ID) for row in rows)
    return [summary for summary in found if summary]


def _observables(item: Mapping[str, Any]) -> Iterator[tuple[str, ValueKind, str]]:
    """Yield id, kind and text of each value that an object has."""
    owner, kind = item.get("ownerName"), item.get("type")
    if not isinstance(owner, str) or not isinstance(kind, str):
        return
    if kind == "File":
        parts = [item.get(name) for name in _HASHES]
        texts = [part for part in parts if isinstance(part, str)] or _parts(item)
        for text in texts:
            yield _id(owner, kind, text), "hash", text
    elif kind in _FIELDS:
        form, name = _FIELDS[kind]
        text = item.get(name, item.get("summary"))
        if isinstance(text, str) and text:
            yield _id(owner, kind, text), form, text


def _ids(item: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ids of an object or a deletion."""
    owner, kind, summary = item.get("ownerName"), item.get("type"), item.get("summary")
    found = [one for one, _, _ in _observables(item)]
    if found:
        yield from found
    elif isinstance(owner, str) and isinstance(kind, str) and isinstance(summary, str):
        yield _id(owner, kind, summary)


def _parts(item: Mapping[str, Any]) -> list[str]:
    """Return the hashes in a file's summary, `md5 : sha1 : sha256` with any of them left out."""
    summary = item.get("summary")
    texts = summary.split(" : ") if isinstance(summary, str) else []
    return [text.strip() for text in texts if text.strip()]


def _id(owner: str, kind: str, text: str) -> str:
    shown = text_of(text, limit=2_100)
    # Case tells paths of URLs apart and nothing else.
    return f"{text_of(owner)}/{kind}/{shown if kind == 'URL' else shown.lower()}"


def _version(item: Mapping[str, Any]) -> str:
    moment = moment_of(item.get("lastModified")) or moment_of(item.get("dateAdded"))
    return UNDATED if moment is None else stamp(moment)


def _rating(item: Mapping[str, Any]) -> float | None:
    rating = _number(item.get("rating"))
    return rating if rating is not None and 0 <= rating <= 5 else None


def _indicator(item: Mapping[str, Any], rating: float | None, key: Key) -> Indicator:
    tags = words_of([object_of(tag).get("name") for tag in _data(item, "tags")])
    marks = () if rating is None else (f"tc-rating:{rating:g}",)
    assessed = _number(item.get("threatAssessScore"))
    link = item.get("webLink")
    return Indicator(
        key=key,
        modified=moment_of(item.get("lastModified")) or moment_of(item.get("dateAdded")) or EPOCH,
        confidence=percent_of(item.get("confidence")),
        # Documented from 0 to 1,000.
        score=None if assessed is None else percent_of(assessed / 10),
        severity=None if rating is None else _LEVELS[int(rating)],
        title=text_of(item.get("summary"), limit=200),
        description=text_of(item.get("description")),
        tags=(*tags, *marks),
        tlp=tlp_of(*(object_of(one).get("name") for one in _data(item, "securityLabels"))),
        valid_from=moment_of(item.get("dateAdded")),
        valid_until=moment_of(item.get("externalDateExpires")),
        link=text_of(link, limit=2_000)
        if isinstance(link, str) and link.startswith("https://")
        else None,
    )


def _data(item: Mapping[str, Any], name: str) -> list[Any]:
    return list_of(object_of(item.get(name)).get("data"))[:100]


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value <= 1_000_000 else None
