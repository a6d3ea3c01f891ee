"""Bodies of Microsoft Graph's threat intelligence, to the nouns of the field.

Every field may be missing, null or of a kind that is not documented; what cannot be understood is
counted or left out, never guessed. Shapes: contracts/graph-threat-intelligence.md 1.5 to 1.7.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mdti.errors import BadAnswer
from mdti.incident_models import FileHash
from mdti.ioc import HostParser, file_hash_of
from mdti.models import (
    Article,
    Host,
    IntelProfile,
    PagingEnd,
    Reputation,
    Resolution,
    Resolutions,
    Rule,
)
from mdti.moment import moment_of
from mdti.pruning import RECORD_TYPES


@dataclass(frozen=True, slots=True)
class Indicator:
    """A host or a file hash that an intel profile lists, with the time it was seen."""

    artifact: Host | FileHash
    source: str
    first: datetime | None
    last: datetime | None


def reputation_of(body: object) -> Reputation:
    """Return a reputation; raise `BadAnswer` when the body has no score."""
    score = _get(body, "score")
    if not _is_number(score):
        raise BadAnswer("A reputation came without a score.")
    rules = _get(body, "rules")
    return Reputation(
        score=max(0, min(100, int(score))),
        classification=_text(_get(body, "classification")) or "unknown",
        rules=tuple(map(_rule, rules)) if isinstance(rules, list) else (),
    )


def _rule(body: object) -> Rule:
    description = _get(body, "description")
    if isinstance(description, list):
        description = ", ".join(_texts(description))
    return Rule(
        name=_text(_get(body, "name")),
        description=_text(description),
        severity=_text(_get(body, "severity")) or "unknown",
        url=_text(_get(body, "relatedDetailsUrl")) or None,
    )


def resolutions_of(
    host: Host, records: Iterable[object], *, parser: HostParser, end: PagingEnd = "all"
) -> Resolutions:
    """Return the passive DNS of `host` from the records of both directions.

    A record without a last sighting was last seen when it was collected. Records that name nothing
    or have no usable time are unreadable; those that name no public host are dropped; those whose
    first sighting lies after their last are swapped: all are counted. Equal records count once.
    """
    kept: set[Resolution] = set()
    dropped = swapped = unreadable = 0
    for record in records:
        kind = _text(_get(record, "recordType")).upper()
        if kind not in RECORD_TYPES:
            continue
        artifact = _get(record, "artifact")
        collected = moment_of(_get(record, "collectedDateTime"))
        last = moment_of(_get(record, "lastSeenDateTime")) or collected
        first = moment_of(_get(record, "firstSeenDateTime")) or last
        if not _artifact_text(artifact) or first is None or last is None:
            unreadable += 1
            continue
        answer = _artifact_host(artifact, parser)
        if answer is None or answer == host:
            dropped += 1
            continue
        if first > last:
            first, last = last, first
            swapped += 1
        kept.add(Resolution(host, answer, kind, first, last))
    return Resolutions(tuple(sorted(kept)), end, dropped, swapped, unreadable)


def profile_of(body: object) -> IntelProfile | None:
    """Return an intel profile, or None when it has no id or no title."""
    identifier, title = _text(_get(body, "id")), _text(_get(body, "title"))
    if not identifier or not title:
        return None
    origins = _get(body, "countriesOrRegionsOfOrigin")
    return IntelProfile(
        id=identifier,
        kind=_text(_get(body, "kind")) or "unknown",
        title=" ".join(title.split()),
        aliases=tuple(" ".join(alias.split()) for alias in _texts(_get(body, "aliases"))),
        origins=tuple(
            filter(None, (_text(_get(origin, "label")) for origin in origins))
            if isinstance(origins, list)
            else ()
        ),
        targets=_texts(_get(body, "targets")),
        first_active=moment_of(_get(body, "firstActiveDateTime")),
        summary=_content(_get(body, "summary")),
        description=_content(_get(body, "description")),
        tradecraft=_content(_get(body, "tradecraft")),
    )


def article_of(body: object) -> Article:
    """Return an article; raise `BadAnswer` when it has no id."""
    identifier = _text(_get(body, "id"))
    if not identifier:
        raise BadAnswer("An article came without an id.")
    return Article(
        id=identifier,
        title=_text(_get(body, "title")),
        tags=_texts(_get(body, "tags")),
        text="\n".join((_content(_get(body, "summary")), _content(_get(body, "body")))).strip(),
        updated=moment_of(_get(body, "lastUpdatedDateTime")),
    )


def indicator_of(body: object, *, parser: HostParser) -> Indicator | None:
    """Return an indicator of an intel profile, or None when its artifact is of no kind we use."""
    artifact = _get(body, "artifact")
    file_hash = file_hash_of(_text(_get(artifact, "value")))
    found: Host | FileHash | None = file_hash or _artifact_host(artifact, parser)
    if found is None:
        return None
    return Indicator(
        found,
        _text(_get(body, "source")) or "unknown",
        moment_of(_get(body, "firstSeenDateTime")),
        moment_of(_get(body, "lastSeenDateTime")),
    )


def _artifact_host(artifact: object, parser: HostParser) -> Host | None:
    """Return the artifact's host; its value decides the kind, since the type may be missing."""
    return parser.parse_or_none(_artifact_text(artifact))


def _artifact_text(artifact: object) -> str:
    return _text(_get(artifact, "id")) or _text(_get(artifact, "value"))


def _content(value: object) -> str:
    return _text(_get(value, "content"))


def _texts(value: object) -> tuple[str, ...]:
    return tuple(filter(None, map(_text, value))) if isinstance(value, list) else ()


def _get(body: object, name: str) -> Any:
    return body.get(name) if isinstance(body, Mapping) else None


def _is_number(value: object) -> bool:
    """True for a JSON number; `NaN` and `Infinity`, which Python reads as well, are none."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""
