"""Indicators to ThreatStream's observables and back (pure; contracts: opencti-... 3).

A `Shape` is what is said of an observable. An import session says one thing of all its values, so
indicators travel together when their shapes are equal; ends of life are cut to the hour for that.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final, Literal
from urllib.parse import urlencode

from mdti.feeds.destinations.rating import distinct, end_within, severity_of, zulu
from mdti.feeds.indicator import Indicator, IndicatorKind, Key, Tlp, worth
from mdti.feeds.values import Values

MAX_TAGS: Final = 20
DEFAULT_CONFIDENCE: Final = 50
SUSPICIOUS_BELOW: Final = 50
"""Confidence under which an observable is called suspicious rather than malicious."""

Flavour = Literal["mal", "c2", "phish", "suspicious"]
_Family = Literal["ip", "ipv6", "domain", "url", "md5", "email"]

_FAMILIES: Mapping[IndicatorKind, _Family] = {
    "ipv4": "ip",
    "ipv6": "ipv6",
    "domain": "domain",
    "url": "url",
    "md5": "md5",
    "sha1": "md5",
    "sha256": "md5",
    "email": "email",
}
# What an organisation does not know becomes a false positive, so only itypes are used that were
# seen in lists of others: none but the neutral one for IPv6 and hashes, no c2 for mail.
_ITYPES: Mapping[_Family, Mapping[Flavour, str]] = {
    "ip": {"mal": "mal_ip", "c2": "c2_ip", "phish": "phish_ip", "suspicious": "suspicious_ip"},
    "ipv6": {},
    "domain": {
        "mal": "mal_domain",
        "c2": "c2_domain",
        "phish": "phish_domain",
        "suspicious": "suspicious_domain",
    },
    "url": {"mal": "mal_url", "c2": "c2_url", "phish": "phish_url", "suspicious": "suspicious_url"},
    "md5": {},
    "email": {"mal": "mal_email", "phish": "phish_email", "suspicious": "suspicious_email"},
}
_FIELDS: Mapping[_Family, str] = {
    "ip": "srcip",
    "ipv6": "srcip",
    "domain": "domain",
    "url": "url",
    "md5": "md5",
    "email": "email",
}
_THREAT_TYPES: Mapping[Flavour, str] = {
    "mal": "malware",
    "c2": "c2",
    "phish": "phish",
    "suspicious": "suspicious",
}
_C2: Final = re.compile(r"\bc2\b|\bc&c\b|command.?and.?control|\bbotnet\b", re.IGNORECASE)
_PHISH: Final = re.compile(r"phish", re.IGNORECASE)
_READ_KINDS: Mapping[str, Literal["host", "url", "hash", "email"]] = {
    "ip": "host",
    "ipv6": "host",
    "domain": "host",
    "url": "url",
    "md5": "hash",
    "email": "email",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What is said of an observable; `expires` is ISO 8601 without a zone."""

    itype: str
    threat_type: str
    confidence: int
    severity: str
    tlp: Tlp | None
    expires: str
    tags: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that tell shapes apart, whenever their rows end."""
        said = {**asdict(self), "expires": ""}
        return blake2b(json.dumps(said).encode(), digest_size=4).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """A row of ThreatStream as it was read; `ours` when it carries our mark and may be changed.

    Names of tags are without case; `tag_ids` has those of tags that can be told by an id.
    """

    key: Key
    id: str
    ours: bool
    editable: bool
    status: str
    update_id: int
    itype: str
    confidence: int | None
    severity: str
    tlp: str | None
    expires: str
    tags: frozenset[str]
    tag_ids: tuple[tuple[str, str], ...] = ()

    def says(self, shape: Shape) -> bool:
        """Tell whether the row is active and says what the shape does."""
        return (
            self.status == "active"
            and self.itype == shape.itype
            and self.confidence == shape.confidence
            and self.severity == shape.severity
            and (shape.tlp is None or same_tlp(self.tlp, shape.tlp))
            and self.expires[:16] == shape.expires[:16]
            and {tag.casefold() for tag in shape.tags} <= self.tags
        )


def same_tlp(found: str | None, wanted: Tlp) -> bool:
    """Tell whether ThreatStream's word for a TLP is ours; `white` is the older name of `clear`."""
    return ("clear" if found == "white" else found) == wanted


def shape_of(
    key: Key, indicator: Indicator, *, mark: str, expire_days: int, now: datetime
) -> Shape | None:
    """Return what to say of an indicator; None when its time is over."""
    until = end_within(indicator, now=now, expire_days=expire_days)
    hour = until.replace(minute=0, second=0, microsecond=0)
    until = hour if hour > now else until
    if until <= now:
        return None
    confidence = worth(indicator)
    flavour = _flavour(indicator, confidence)
    family = _FAMILIES[key.kind]
    words = (mark, *indicator.actors, *indicator.threat_types, *indicator.tags)
    return Shape(
        itype=_ITYPES[family].get(flavour, f"mal_{family}"),
        threat_type=_THREAT_TYPES[flavour],
        confidence=DEFAULT_CONFIDENCE if confidence is None else confidence,
        severity=_severity(indicator),
        tlp=indicator.tlp,
        expires=zulu(until).rstrip("Z"),
        tags=distinct(words)[:MAX_TAGS],
    )


def observed_of(row: Mapping[str, Any], *, values: Values, mark: str) -> Observed | None:
    """Return a row that was read; None for one that no indicator becomes."""
    kind = _READ_KINDS.get(str(row.get("type")))
    key = values.key(kind, row.get("value")) if kind else None
    number, meta = row.get("id"), row.get("meta")
    if not isinstance(key, Key) or isinstance(number, bool) or not isinstance(number, int):
        return None
    tags = frozenset(_tag_names(row.get("tags")))
    editable = row.get("is_editable") is True
    reported, update = row.get("source_reported_confidence"), row.get("update_id")
    severity = meta.get("severity") if isinstance(meta, dict) else None
    return Observed(
        key=key,
        id=str(number),
        ours=editable and mark.casefold() in tags,
        editable=editable,
        status=str(row.get("status")),
        update_id=update if isinstance(update, int) else 0,
        itype=str(row.get("itype")),
        confidence=reported if isinstance(reported, int) else None,
        severity=str(severity),
        tlp=row.get("tlp") if isinstance(row.get("tlp"), str) else None,
        expires=str(row.get("expiration_ts")),
        tags=tags,
        tag_ids=tuple(_tag_ids(row.get("tags"))),
    )


def object_body(key: Key, shape: Shape) -> dict[str, Any]:
    """Return an object of an import without approval; only fields that are documented there."""
    return {
        _FIELDS[_FAMILIES[key.kind]]: key.value,
        "itype": shape.itype,
        "confidence": shape.confidence,
        "severity": shape.severity,
        "classification": "private",
        "tags": tag_bodies(shape),
    }


def meta_body(expires: str) -> dict[str, Any]:
    """Return what an import without approval says of all its objects.

    The weight keeps our confidence from being recomputed; names need not resolve any more.
    """
    return {
        "classification": "private",
        "allow_unresolved": True,
        "source_confidence_weight": 100,
        "expiration_ts": expires,
    }


def form_body(keys: Sequence[Key], shape: Shape, *, notes: str) -> bytes:
    """Return the form of an import session for values of one shape.

    The session sorts values by their looks, so each mapping that may be needed is given.
    """
    form = {
        "datatext": "\n".join(key.value for key in keys),
        "classification": "private",
        "confidence": str(shape.confidence),
        "source_confidence_weight": "100",
        "severity": shape.severity,
        "threat_type": shape.threat_type,
        "expiration_ts": shape.expires,
        "tags": json.dumps(tag_bodies(shape)),
        "default_state": "active",
        # A comma would divide them: some clients send a list of tags here.
        "notes": notes.replace(",", ""),
    }
    if shape.tlp is not None:
        form["tlp"] = shape.tlp
    families = {_FAMILIES[key.kind] for key in keys}
    # The documented mapping of addresses is `ip_mapping`; whether IPv6 has one of its own is not.
    for family in sorted(families | ({"ip"} if "ipv6" in families else set())):
        form[f"{family}_mapping"] = shape.itype
    return urlencode(form).encode()


def change_body(shape: Shape) -> dict[str, Any]:
    """Return what makes a row that is there say what the shape does, but for its tags."""
    body: dict[str, Any] = {
        "status": "active",
        "itype": shape.itype,
        "confidence": shape.confidence,
        "severity": shape.severity,
        "expiration_ts": shape.expires,
    }
    return body | ({"tlp": shape.tlp} if shape.tlp else {})


def tag_bodies(shape: Shape) -> list[dict[str, str]]:
    """Return a shape's tags as imports take them."""
    return [{"name": tag, "tlp": shape.tlp or "amber"} for tag in shape.tags]


def pattern_of(values: Iterable[str]) -> str:
    """Return a regular expression that matches exactly these values.

    Every character that is no letter or digit is escaped, which reads the same in all dialects.
    """
    escaped = (re.sub(r"([^0-9A-Za-z])", r"\\\1", value) for value in values)
    return f"({'|'.join(escaped)})"


def _flavour(indicator: Indicator, confidence: int | None) -> Flavour:
    words = " ".join((*indicator.threat_types, *indicator.tags))
    if _C2.search(words):
        return "c2"
    if _PHISH.search(words):
        return "phish"
    return "suspicious" if confidence is not None and confidence < SUSPICIOUS_BELOW else "mal"


def _severity(indicator: Indicator) -> str:
    severity = severity_of(indicator)
    return "low" if severity == "informational" else severity


def _tag_names(tags: object) -> Iterable[str]:
    found = tags if isinstance(tags, list) else []
    names = (tag.get("name") for tag in found if isinstance(tag, dict))
    return (name.casefold() for name in names if isinstance(name, str))


def _tag_ids(tags: object) -> Iterable[tuple[str, str]]:
    for tag in tags if isinstance(tags, list) else []:
        name, number = (tag.get("name"), tag.get("id")) if isinstance(tag, dict) else (None, None)
        if isinstance(name, str) and isinstance(number, str) and number:
            yield name.casefold(), number
