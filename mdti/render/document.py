"""Look-ups, briefs and profiles as JSON documents: the HTTP contract's shapes.

Field names are camelCase, times ISO 8601 in UTC with `Z`, and keys stand in one fixed order, so
the same value always gives the same bytes. Texts and URLs are what the source said, unescaped: a
document is for machines, and whoever shows it must escape it.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeVar

from mdti.errors import InputError
from mdti.incident_models import Brief
from mdti.ioc import HostParser
from mdti.models import (
    Actor,
    ActorRef,
    Evidence,
    Gap,
    Host,
    HostReport,
    IntelProfile,
    Lookup,
    Reputation,
    Resolution,
    Rule,
    Stats,
)
from mdti.render.escape import profile_link

Document = dict[str, Any]
Read = TypeVar("Read")

# A stored look-up may come from the sandbox, whose hosts are documentation names and ranges.
_PARSER = HostParser(examples=True)


def dump(document: Mapping[str, Any], *, pretty: bool = False) -> bytes:
    """Return the document as JSON, compact or indented by two.

    Everything beyond ASCII is escaped: lone surrogates survive, and no bidi control reaches a
    terminal that shows the bytes.
    """
    style: Document = {"indent": 2} if pretty else {"separators": (",", ":")}
    return json.dumps(document, ensure_ascii=True, allow_nan=False, **style).encode("ascii")


def lookup_document(lookup: Lookup) -> Document:
    """Return a look-up as the HTTP contract shows it."""
    return {
        "ioc": {"value": lookup.seed.value, "kind": lookup.seed.kind},
        "at": time_text(lookup.at),
        "reputation": _reputation(lookup.reputation),
        "actors": [_actor(actor) for actor in lookup.actors],
        "hosts": [_host_report(report) for report in lookup.hosts],
        "resolutions": [_resolution(resolution) for resolution in lookup.resolutions],
        "complete": lookup.complete,
        "gaps": [_gap(gap) for gap in lookup.gaps],
        "stats": {
            "requests": lookup.stats.requests,
            "throttled": lookup.stats.throttled,
            "cacheHits": lookup.stats.cache_hits,
            "elapsedSeconds": lookup.stats.elapsed_seconds,
        },
    }


def brief_document(brief: Brief) -> Document:
    """Return a brief as the HTTP contract shows it; the playbook reads it by these names."""
    return {
        "actors": [_actor(actor) for actor in brief.actors],
        "raise": brief.raises,
        "severity": brief.severity,
        "status": brief.status,
        "tags": [{"Tag": tag} for tag in brief.tags],
        "comment": brief.comment and {"id": brief.comment.id, "html": brief.comment.html},
        "copilotPrompts": [
            {
                "actor": prompt.actor,
                "commentId": prompt.comment_id,
                "prompt": prompt.prompt,
                "fallbackHtml": prompt.fallback_html,
            }
            for prompt in brief.copilot_prompts
        ],
        "exposure": [
            {
                "actor": exposure.actor,
                "cve": exposure.cve,
                "machines": exposure.machines,
                "examples": list(exposure.examples),
            }
            for exposure in brief.exposure
        ],
        "huntingQueries": [
            {"title": query.title, "kql": query.kql} for query in brief.hunting_queries
        ],
        "leftOut": [
            {"kind": left.kind, "value": left.value, "reason": left.reason}
            for left in brief.left_out
        ],
        "hashMatches": [
            {
                "hash": {"algorithm": match.hash.algorithm, "value": match.hash.value},
                "actors": [
                    {"name": actor.name, "profileId": actor.profile_id} for actor in match.actors
                ],
            }
            for match in brief.hash_matches
        ],
        "complete": brief.complete,
        "gaps": [_gap(gap) for gap in brief.gaps],
        "lookups": [lookup_document(lookup) for lookup in brief.lookups],
        "mode": brief.mode,
    }


def actor_document(profile: IntelProfile) -> Document:
    """Return an intel profile as the HTTP contract shows it."""
    return {
        "name": profile.title,
        "aliases": list(profile.aliases),
        "profileId": profile.id,
        "kind": profile.kind,
        "origins": list(profile.origins),
        "targets": list(profile.targets),
        "firstActive": profile.first_active and time_text(profile.first_active),
        "summary": profile.summary,
        "description": profile.description,
        "tradecraft": profile.tradecraft,
        "url": profile_link(profile.id),
    }


def lookup_from_document(document: Mapping[str, Any]) -> Lookup:
    """Return the look-up that `lookup_document` wrote, equal to it in every field.

    Raises `InputError` for everything else, also for a host that is not in canonical spelling.
    """
    try:
        return _read_lookup(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError("This is not a look-up document.") from error


def time_text(moment: datetime) -> str:
    """Return a time as ISO 8601 in UTC: `2026-03-07T13:19:35Z`."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _reputation(reputation: Reputation | None) -> Document | None:
    if reputation is None:
        return None
    return {
        "score": reputation.score,
        "classification": reputation.classification,
        "rules": [
            {
                "name": rule.name,
                "description": rule.description,
                "severity": rule.severity,
                "url": rule.url,
            }
            for rule in reputation.rules
        ],
    }


def _actor(actor: Actor) -> Document:
    return {
        "name": actor.name,
        "aliases": list(actor.aliases),
        "profileId": actor.profile_id,
        "confidence": actor.confidence,
        "score": actor.score,
        "escalate": actor.escalate,
        "qualifies": actor.qualifies,
        "evidence": [_evidence(evidence) for evidence in actor.evidence],
    }


def _evidence(evidence: Evidence) -> Document:
    return {
        "actor": {"name": evidence.actor.name, "profileId": evidence.actor.profile_id},
        "host": evidence.host.value,
        "kind": evidence.kind,
        "text": evidence.text,
        "url": evidence.url,
        "hops": evidence.hops,
        "weight": evidence.weight,
        "naming": evidence.naming,
        "path": [_resolution(resolution) for resolution in evidence.path],
    }


def _host_report(report: HostReport) -> Document:
    return {
        "value": report.host.value,
        "kind": report.host.kind,
        "hops": report.hops,
        "role": report.role,
        "degree": report.degree,
        "degreeAtLeast": report.degree_at_least,
        "expanded": report.expanded,
        "reason": report.reason,
        "provider": report.provider,
        "lastSeen": report.last_seen and time_text(report.last_seen),
        "reputation": _reputation(report.reputation),
    }


def _resolution(resolution: Resolution) -> Document:
    return {
        "from": resolution.queried.value,
        "to": resolution.answer.value,
        "recordType": resolution.record_type,
        "firstSeen": time_text(resolution.first),
        "lastSeen": time_text(resolution.last),
    }


def _gap(gap: Gap) -> Document:
    return {"host": gap.host and gap.host.value, "stage": gap.stage, "reason": gap.reason}


def _read_lookup(document: Mapping[str, Any]) -> Lookup:
    stats = document["stats"]
    return Lookup(
        seed=_read_host(document["ioc"]["value"]),
        at=_read_time(document["at"]),
        reputation=_optional(document["reputation"], _read_reputation),
        actors=tuple(map(_read_actor, document["actors"])),
        hosts=tuple(map(_read_host_report, document["hosts"])),
        resolutions=tuple(map(_read_resolution, document["resolutions"])),
        gaps=tuple(
            Gap(gap["stage"], gap["reason"], _optional(gap["host"], _read_host))
            for gap in document["gaps"]
        ),
        stats=Stats(
            requests=stats["requests"],
            throttled=stats["throttled"],
            cache_hits=stats["cacheHits"],
            elapsed_seconds=stats["elapsedSeconds"],
        ),
    )


def _optional(value: Any, read: Callable[[Any], Read]) -> Read | None:
    return None if value is None else read(value)


@lru_cache(maxsize=4_096)
def _read_host(text: str) -> Host:
    host = _PARSER.parse(text)
    if host.value != text:
        raise InputError("A host of the document is not in canonical spelling.")
    return host


def _read_time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise InputError("A time of the document has no zone.")
    return moment.astimezone(UTC)


def _read_resolution(document: Mapping[str, Any]) -> Resolution:
    return Resolution(
        queried=_read_host(document["from"]),
        answer=_read_host(document["to"]),
        record_type=document["recordType"],
        first=_read_time(document["firstSeen"]),
        last=_read_time(document["lastSeen"]),
    )


def _read_reputation(document: Mapping[str, Any]) -> Reputation:
    return Reputation(
        score=document["score"],
        classification=document["classification"],
        rules=tuple(
            Rule(rule["name"], rule["description"], rule["severity"], rule["url"])
            for rule in document["rules"]
        ),
    )


def _read_actor(document: Mapping[str, Any]) -> Actor:
    return Actor(
        name=document["name"],
        aliases=tuple(document["aliases"]),
        profile_id=document["profileId"],
        confidence=document["confidence"],
        score=document["score"],
        escalate=document["escalate"],
        evidence=tuple(map(_read_evidence, document["evidence"])),
        qualifies=document["qualifies"],
    )


def _read_evidence(document: Mapping[str, Any]) -> Evidence:
    return Evidence(
        actor=ActorRef(document["actor"]["name"], document["actor"]["profileId"]),
        host=_read_host(document["host"]),
        kind=document["kind"],
        text=document["text"],
        url=document["url"],
        path=tuple(map(_read_resolution, document["path"])),
        naming=document["naming"],
        weight=document["weight"],
    )


def _read_host_report(document: Mapping[str, Any]) -> HostReport:
    return HostReport(
        host=_read_host(document["value"]),
        hops=document["hops"],
        role=document["role"],
        degree=document["degree"],
        degree_at_least=document["degreeAtLeast"],
        expanded=document["expanded"],
        reason=document["reason"],
        provider=document["provider"],
        reputation=_optional(document["reputation"], _read_reputation),
        last_seen=_optional(document["lastSeen"], _read_time),
    )
