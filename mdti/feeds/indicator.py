"""What a feed carries: one observable with what its source says of it.

A source turns its own objects into these; a destination turns these into its own rows. Neither
knows the other.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

IndicatorKind = Literal["ipv4", "ipv6", "domain", "url", "md5", "sha1", "sha256", "email"]
Tlp = Literal["clear", "green", "amber", "amber+strict", "red"]
Severity = Literal["informational", "low", "medium", "high"]


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What makes two indicators the same row: kind and canonical value."""

    kind: IndicatorKind
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Indicator:
    """One observable and what is said of it.

    `confidence` and `score` are 0 to 100 or None when the source gives none; `modified` orders two
    versions of one indicator, by the source's own clock; `valid_until` is None for no end.
    """

    key: Key
    modified: datetime
    confidence: int | None = None
    score: int | None = None
    severity: Severity | None = None
    title: str = ""
    description: str = ""
    threat_types: tuple[str, ...] = ()
    actors: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    tlp: Tlp | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    link: str | None = None


def worth(indicator: Indicator) -> int | None:
    """Return the confidence, else the score, 0 to 100; None without both."""
    return indicator.score if indicator.confidence is None else indicator.confidence
