"""Indicators to the STIX objects that Sentinel's upload API takes (pure).

One comparison in each pattern: of others Sentinel extracts no observable, so nothing would ever
match them. An object's id is UUIDv5 of feed, kind, value and generation, so the same row has the
same id in every run, and one that was revoked comes back under another, as STIX 2.1 wants (3.6).
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from mdti.feeds.destinations.rating import distinct, end_within, sentence, title, zulu
from mdti.feeds.indicator import Indicator, IndicatorKind, Key, Tlp, worth

NAMESPACE: Final = uuid.UUID("0f0d9a4b-6a1f-5d0e-9f0c-4d8d1c6a2b77")
MAX_TEXT: Final = 1_000
"""Characters of a description; the table truncates there."""
MAX_LABELS: Final = 50
_PATHS: Mapping[IndicatorKind, str] = {
    "ipv4": "ipv4-addr:value",
    "ipv6": "ipv6-addr:value",
    "domain": "domain-name:value",
    "url": "url:value",
    "email": "email-addr:value",
    "md5": "file:hashes.'MD5'",
    "sha1": "file:hashes.'SHA-1'",
    "sha256": "file:hashes.'SHA-256'",
}
# The markings that STIX 2.1 fixes (7.2.1.4). It has none for amber+strict, so that travels as red:
# a reader may then share less than allowed, never more.
_MARKINGS: Mapping[Tlp, str] = {
    "clear": "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9",
    "green": "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da",
    "amber": "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82",
    "amber+strict": "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed",
    "red": "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed",
}
_MOMENT = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SentinelObjects:
    """Makes objects for one source system under one set of settings."""

    source_system: str
    expire_days: int | None
    default_tlp: Tlp | None

    def stix_id(self, key: Key, generation: int) -> str:
        """Return the id of a row's object."""
        name = "\n".join((self.source_system, key.kind, key.value, str(generation)))
        return f"indicator--{uuid.uuid5(NAMESPACE, name)}"

    def wanted(
        self,
        key: Key,
        indicator: Indicator,
        *,
        generation: int,
        created: datetime,
        now: datetime,
    ) -> dict[str, Any] | None:
        """Return the object of an indicator; None for one whose time is over."""
        until = indicator.valid_until
        if self.expire_days is not None:
            until = end_within(indicator, now=now, expire_days=self.expire_days)
        if until is not None and until <= now:
            return None
        start = min(indicator.valid_from or indicator.modified, now)
        document: dict[str, Any] = {
            **self._frame(key, generation=generation, created=created, now=now),
            "name": title(indicator)[:MAX_TEXT],
            "description": sentence(indicator)[:MAX_TEXT],
            "indicator_types": ["malicious-activity"],
            "valid_from": _stamp(start),
            "revoked": False,
        }
        confidence = worth(indicator)
        tlp = indicator.tlp or self.default_tlp
        labels = distinct((*indicator.tags, *indicator.threat_types, *indicator.actors))
        if tlp == "amber+strict":
            labels = ("tlp:amber+strict", *labels)
        optional: dict[str, Any] = {
            "valid_until": _stamp(until) if until is not None else None,
            "confidence": confidence,
            "labels": list(labels[:MAX_LABELS]) or None,
            "object_marking_refs": [_MARKINGS[tlp]] if tlp is not None else None,
            "external_references": [{"source_name": self.source_system, "url": indicator.link}]
            if indicator.link
            else None,
        }
        return document | {name: value for name, value in optional.items() if value is not None}

    def revoked(
        self, key: Key, *, generation: int, created: datetime, now: datetime
    ) -> dict[str, Any]:
        """Return the object that withdraws a row; it has ended, too, for readers of dates alone."""
        return {
            **self._frame(key, generation=generation, created=created, now=now),
            "name": key.value[:MAX_TEXT],
            "valid_from": _stamp(created),
            "valid_until": _stamp(max(now, created + _MOMENT)),
            "revoked": True,
        }

    def _frame(
        self, key: Key, *, generation: int, created: datetime, now: datetime
    ) -> dict[str, Any]:
        return {
            "type": "indicator",
            "spec_version": "2.1",
            "id": self.stix_id(key, generation),
            "created": _stamp(created),
            "modified": _stamp(max(now, created)),
            "pattern": pattern_of(key),
            "pattern_type": "stix",
            "pattern_version": "2.1",
        }


def pattern_of(key: Key) -> str:
    """Return the STIX pattern of one observable (STIX 2.1, 9.6: `\\` and `'` are escaped)."""
    escaped = key.value.replace("\\", "\\\\").replace("'", "\\'")
    return f"[{_PATHS[key.kind]} = '{escaped}']"


def remember(stix_id: str, created: datetime) -> str:
    """Return what the ledger keeps of a row: its id, and when it was first uploaded.

    STIX wants `created` to stay the same in every version of an object (2.1, 3.2).
    """
    return f"{stix_id} {_stamp(created)}"


def created_of(remote_id: str | None, stix_id: str) -> datetime | None:
    """Return when a row with this id was first uploaded; None when that is not known."""
    known, _, moment = (remote_id or "").partition(" ")
    if known != stix_id:
        return None
    try:
        return datetime.fromisoformat(moment).astimezone(UTC)
    except ValueError:
        return None


def _stamp(moment: datetime) -> str:
    return zulu(moment, timespec="milliseconds")
