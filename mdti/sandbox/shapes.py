"""Facts of the world to the JSON bodies of Graph's threat intelligence.

Shapes follow the samples of the reference pages and the v1.0 schema. Oddities that were seen in
the field are dealt out by a checksum of the record's own id, so they are the same in every run:
0, 2, 3 or 7 fractional digits in a time, and `@odata.type` values in another case or left out.
"""

import base64
import re
import uuid
import zlib
from datetime import datetime
from ipaddress import ip_address, ip_network
from typing import Any

from mdti.sandbox.world import (
    Article,
    HostFacts,
    Indicator,
    Profile,
    Record,
    Vulnerability,
)

Body = dict[str, Any]
_TYPE = "#microsoft.graph.security."
_COMPLEX = "microsoft.graph.security."
_SPACE = uuid.UUID("6f0f6c1e-2a57-5c2e-b7d4-0b4b1a1f5a10")
_FRACTIONS = ("", ".00", ".000", ".0000000")


def host(facts: HostFacts) -> Body:
    """Return a `hostname` or an `ipAddress`."""
    seen = {
        "id": facts.value,
        "firstSeenDateTime": stamp(facts.first, facts.value),
        "lastSeenDateTime": stamp(facts.last, facts.value + "l"),
    }
    if not is_address(facts.value):
        owned = {"registrar": "Example Registrar, Inc.", "registrant": facts.owner}
        return {"@odata.type": f"{_TYPE}hostname", **seen, **owned}
    prefix = 24 if ip_address(facts.value).version == 4 else 48
    return {
        "@odata.type": f"{_TYPE}ipAddress",
        **seen,
        "countryOrRegion": facts.country,
        "hostingProvider": facts.owner,
        "netblock": str(ip_network(f"{facts.value}/{prefix}", strict=False)),
        "autonomousSystem": {
            "name": "EXAMPLE-AS",
            "number": 64500,
            "organization": facts.owner,
            "value": "AS64500",
        },
    }


def reputation(value: str, facts: HostFacts | None) -> Body:
    """Return a `hostReputation`; a host that was never judged is unknown, 0, without rules."""
    score = facts.score if facts is not None and facts.score is not None else 0
    return {
        "@odata.type": f"{_TYPE}hostReputation",
        "id": _guid(value),
        "classification": (facts.classification if facts else None) or _class_of(score),
        "score": score,
        "rules": [
            {
                "name": rule.name,
                "description": rule.description,
                "severity": rule.severity,
                "relatedDetailsUrl": rule.url,
            }
            for rule in (facts.rules if facts else ())
        ],
    }


def passive_dns(record: Record, *, queried: str, odd_types: bool) -> Body:
    """Return a `passiveDnsRecord` as seen from the queried side."""
    reverse = queried != record.name
    artifact = record.name if reverse else record.answer
    identifier = _base64(f"{queried}$${artifact}$${str(reverse).lower()}")
    return {
        "@odata.type": f"{_TYPE}passiveDnsRecord",
        "id": identifier,
        "firstSeenDateTime": stamp(record.first, identifier),
        "lastSeenDateTime": None if record.last is None else stamp(record.last, identifier + "l"),
        "collectedDateTime": stamp(record.collected, identifier + "c"),
        "recordType": record.record_type,
        "parentHost": {"id": queried},
        "artifact": _host_stub(artifact, identifier, odd_types=odd_types),
    }


def profile(value: Profile) -> Body:
    """Return an `intelligenceProfile`."""
    return {
        "@odata.type": f"{_TYPE}intelligenceProfile",
        "id": value.id,
        "kind": value.kind,
        "title": value.title,
        "firstActiveDateTime": stamp(value.first_active, ""),
        "aliases": list(value.aliases),
        "targets": list(value.targets),
        "countriesOrRegionsOfOrigin": [
            {
                "@odata.type": f"{_COMPLEX}intelligenceProfileCountryOrRegionOfOrigin",
                "label": label,
                "code": code,
            }
            for code, label in value.origins
        ],
        "summary": _formatted(value.summary, "text"),
        "description": _formatted(value.description, "markdown"),
        "tradecraft": _formatted(value.tradecraft, "markdown"),
    }


def profile_indicator(holder: str, value: Indicator, *, odd_types: bool) -> Body:
    """Return an `intelligenceProfileIndicator`."""
    identifier = _guid(f"{holder} {value.artifact}")
    last = None if value.last is None else stamp(value.last, identifier + "l")
    return {
        "@odata.type": f"{_TYPE}intelligenceProfileIndicator",
        "id": identifier,
        "source": value.source,
        "firstSeenDateTime": stamp(value.first, identifier),
        "lastSeenDateTime": last,
        "artifact": _artifact(value, identifier, odd_types=odd_types),
    }


def article(value: Article) -> Body:
    """Return an `article`."""
    created = stamp(value.created, value.id)
    return {
        "id": value.id,
        "createdDateTime": created,
        "lastUpdatedDateTime": created,
        "title": value.title,
        "summary": {"content": value.summary, "format": "markdown"},
        "isFeatured": False,
        "body": {"content": value.body, "format": "markdown"},
        "tags": list(value.tags),
        "imageUrl": None,
    }


def article_indicator(value: Indicator, *, odd_types: bool) -> Body:
    """Return an `articleIndicator`."""
    return {
        "@odata.type": f"{_TYPE}articleIndicator",
        "id": _base64(value.artifact),
        "source": value.source,
        "artifact": _artifact(value, value.artifact, odd_types=odd_types),
    }


def vulnerability(value: Vulnerability) -> Body:
    """Return a `vulnerability`."""
    published = stamp(value.published, value.id)
    summary = {"score": value.score, "severity": value.severity, "vectorString": "CVSS:3.1/AV:N"}
    return {
        "@odata.type": f"{_TYPE}vulnerability",
        "id": value.id,
        "severity": value.severity,
        "priorityScore": round(value.score * 10),
        "cvss2Summary": summary | {"vectorString": "AV:N/AC:L/Au:N"},
        "cvss3Summary": summary,
        "activeExploitsObserved": True,
        "exploitsAvailable": True,
        "hasChatter": False,
        "exploits": [],
        "references": [{"name": value.id, "url": f"https://cve.example/{value.id}"}],
        "commonWeaknessEnumerationIds": ["CWE-78"],
        "description": _formatted(value.description, "text"),
        "remediation": None,
        "publishedDateTime": published,
        "createdDateTime": published,
        "lastModifiedDateTime": published,
    }


def stamp(when: datetime, salt: str) -> str:
    """Return a time with `Z` and as many fractional digits as the salt deals out."""
    fraction = _FRACTIONS[zlib.crc32(salt.encode()) % len(_FRACTIONS)]
    return f"{when:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def is_address(value: str) -> bool:
    """Tell an address from a name."""
    return ":" in value or re.fullmatch(r"[\d.]+", value) is not None


def _class_of(score: int) -> str:
    """Return the class of a score, by the brackets of Defender's entity page."""
    brackets = ((75, "malicious"), (50, "suspicious"), (25, "neutral"), (0, "unknown"))
    return next(name for least, name in brackets if score >= least)


def _host_stub(value: str, salt: str, *, odd_types: bool) -> Body:
    kind = "ipAddress" if is_address(value) else "hostname"
    draw = zlib.crc32(f"type {salt}".encode()) % 10 if odd_types else None
    if draw == 0:
        return {"id": value}
    if draw == 1:
        kind = "ipaddress" if kind == "ipAddress" else "hostName"
    return {"@odata.type": f"{_TYPE}{kind}", "id": value}


def _artifact(value: Indicator, salt: str, *, odd_types: bool) -> Body:
    if value.kind in ("hostname", "ipAddress"):
        return _host_stub(value.artifact, salt, odd_types=odd_types)
    return {
        "@odata.type": f"{_TYPE}unclassifiedArtifact",
        "id": _base64(value.artifact),
        "kind": value.kind,
        "value": value.artifact,
    }


def _formatted(content: str, form: str) -> Body:
    return {"@odata.type": f"{_COMPLEX}formattedContent", "content": content, "format": form}


def _guid(text: str) -> str:
    return str(uuid.uuid5(_SPACE, text))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
