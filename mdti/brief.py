"""From look-ups to a brief: what to do with the incident, and what to say.

Every decision is made here: severity, status, tags, which actors Copilot is asked about, and the
ids of the comments. The playbook only carries it out. Copilot's answers come later and decide
nothing. The rules are those of design sections 2, 7 and 9.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal
from uuid import UUID, uuid5

from mdti.attribution import ambiguous
from mdti.entities import SEVERITIES
from mdti.incident_models import (
    Brief,
    Comment,
    CopilotPrompt,
    EarlierDescription,
    Exposure,
    HashMatch,
    Incident,
    IncidentStatus,
    Severity,
)
from mdti.models import Actor, Gap, IntelProfile, Lookup
from mdti.render.comment import actor_paragraph, incident_comment
from mdti.render.kql import hunting_queries
from mdti.render.wording import MALICIOUS_SCORE
from mdti.settings import BriefSettings

AMBIGUOUS_TAG = "actor:ambiguous"
MALICIOUS_TAG = "mdti:malicious"
MAX_TAGS = 5
_COMMENTS = UUID("6d647469-0000-5000-8000-636f6d6d656e")
_PROMPT = (
    "Describe the threat actor named {name} for a security analyst who has just found its "
    "infrastructure in an incident: who it is, whom it targets, how it works and what to look for. "
    "Then say what our Threat Analytics report on {name} shows, and which of our devices are "
    "exposed to the vulnerabilities that {name} is known to use."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything that the brief is written from.

    `profiles` and `earlier` are keyed by profile id; `gaps` are those that belong to no look-up.
    """

    incident: Incident
    lookups: tuple[Lookup, ...]
    profiles: Mapping[str, IntelProfile]
    hash_matches: tuple[HashMatch, ...] = ()
    exposure: tuple[Exposure, ...] = ()
    gaps: tuple[Gap, ...] = ()
    earlier: Mapping[str, EarlierDescription]


def write_brief(findings: Findings, *, settings: BriefSettings) -> Brief:
    """Return the brief for an incident.

    A closed incident is left as it is, and so is every incident in observe mode: the comment then
    says what would have been done.
    """
    incident = findings.incident
    mode: Literal["act", "observe"] = "observe" if incident.observe else settings.mode
    actors = merged_actors(findings.lookups, findings.hash_matches, findings.profiles)
    raised = any(a.escalate for a in actors) or any(ambiguous(x.actors) for x in findings.lookups)
    wanted = Brief(
        actors=actors,
        raises=raised,
        severity=_higher(incident.severity, settings.severity) if raised else incident.severity,
        status=_status(incident.status, settings) if raised else incident.status,
        tags=_tags(actors, findings.lookups, raised=raised, prefix=settings.tag_prefix),
        comment=None,
        copilot_prompts=(),
        exposure=findings.exposure,
        hunting_queries=hunting_queries(findings.lookups),
        left_out=incident.left_out,
        hash_matches=findings.hash_matches,
        lookups=findings.lookups,
        gaps=_all_gaps(findings),
        mode=mode,
        subject=_subject(incident),
    )
    acts = mode == "act" and incident.status != "Closed"
    if acts:
        wanted = replace(wanted, copilot_prompts=_prompts(wanted, findings, settings))
    comment = _comment(wanted, findings)
    if acts:
        return replace(wanted, comment=comment)
    return replace(
        wanted,
        raises=False,
        severity=incident.severity,
        status=incident.status,
        tags=(),
        comment=comment,
    )


def merged_actors(
    lookups: Sequence[Lookup],
    hash_matches: Sequence[HashMatch],
    profiles: Mapping[str, IntelProfile],
) -> tuple[Actor, ...]:
    """Return the actors of all look-ups and file hashes, each once, the strongest first.

    An actor keeps its highest score and all its evidence. A file hash that a single actor's
    profile lists is as good as direct evidence; one that several list names them without raising.
    """
    merged: dict[str, Actor] = {}
    for actor in (actor for lookup in lookups for actor in lookup.actors):
        key = actor.profile_id or actor.name
        merged[key] = _joined(merged[key], actor) if key in merged else actor
    for match in hash_matches:
        alone = len(match.actors) == 1
        for ref in match.actors:
            profile = profiles.get(ref.profile_id or "")
            aliases = profile.aliases if profile else ()
            listed = Actor(
                name=ref.name,
                aliases=aliases,
                profile_id=ref.profile_id,
                confidence="high" if alone else "medium",
                score=round(1 / len(match.actors), 4),
                escalate=alone,
                evidence=(),
            )
            key = ref.profile_id or ref.name
            merged[key] = _joined(merged[key], listed) if key in merged else listed
    return tuple(sorted(merged.values(), key=lambda a: (not a.escalate, -a.score, a.name)))


def comment_id(incident_id: str, section: str, findings: Sequence[str]) -> str:
    """Return the id of a comment: the same findings on the same incident get the same one."""
    text = "\n".join((incident_id.lower(), section, *sorted(findings)))
    # JSON may hold half a surrogate pair, which UTF-8 does not.
    return str(uuid5(_COMMENTS, text.encode("utf-8", "backslashreplace").decode()))


def _joined(one: Actor, other: Actor) -> Actor:
    strong, weak = (one, other) if one.score >= other.score else (other, one)
    order = ("low", "medium", "high")
    evidence = dict.fromkeys((*strong.evidence, *weak.evidence))
    return replace(
        strong,
        confidence=max(one.confidence, other.confidence, key=order.index),
        escalate=one.escalate or other.escalate,
        qualifies=one.qualifies or other.qualifies,
        evidence=tuple(sorted(evidence, key=lambda e: (-e.weight, e.hops, e.host))),
    )


def _subject(incident: Incident) -> str:
    number = "" if incident.number is None else str(incident.number)
    return ": ".join(part for part in (number, incident.title) if part)


def _higher(one: Severity, other: Severity) -> Severity:
    return max(one, other, key=SEVERITIES.index)


def _status(status: IncidentStatus, settings: BriefSettings) -> IncidentStatus:
    return "Active" if status == "New" and settings.status == "Active" else status


def _tags(
    actors: Sequence[Actor], lookups: Sequence[Lookup], *, raised: bool, prefix: str
) -> tuple[str, ...]:
    named = [f"{prefix}{a.name}" for a in actors if a.escalate and a.profile_id]
    if named:
        return tuple(named[:MAX_TAGS])
    if raised and not any(actor.escalate for actor in actors):
        return (AMBIGUOUS_TAG,)
    scores = [lookup.reputation.score for lookup in lookups if lookup.reputation]
    if max(scores, default=0) >= MALICIOUS_SCORE:
        return (MALICIOUS_TAG,)
    return ()


def _all_gaps(findings: Findings) -> tuple[Gap, ...]:
    gaps = (*findings.gaps, *(gap for lookup in findings.lookups for gap in lookup.gaps))
    return tuple(dict.fromkeys(gaps))


def _prompts(
    brief: Brief, findings: Findings, settings: BriefSettings
) -> tuple[CopilotPrompt, ...]:
    """Return the questions to Copilot: only about actors that matter and that Microsoft profiles.

    Nothing but the profile's own title enters the fixed text, because everything else that is
    known here was written by somebody who may want to talk to Copilot.
    """
    asked: list[CopilotPrompt] = []
    for actor in brief.actors:
        profile = findings.profiles.get(actor.profile_id or "")
        relevant = actor.escalate or (brief.raises and actor.qualifies)
        if profile is None or not relevant or profile.id in findings.earlier:
            continue
        identifier = comment_id(findings.incident.id, f"actor {profile.id}", ())
        prompt = _PROMPT.format(name=profile.title)
        asked.append(CopilotPrompt(actor.name, identifier, prompt, actor_paragraph(profile)))
    return tuple(asked[: settings.max_prompts])


def _comment(brief: Brief, findings: Findings) -> Comment | None:
    """Return the comment on what was found, or None when there was nothing to look up."""
    incident = findings.incident
    if not incident.hosts and not incident.hashes:
        return None
    section = "brief" if brief.complete or brief.actors else "incomplete"
    found = [f"mode {brief.mode}"]
    found += [f"seed {lookup.seed.value}" for lookup in brief.lookups]
    for actor in brief.actors:
        found.append(f"actor {actor.name} {actor.confidence} {actor.escalate}")
        found += [f"{actor.name} {item.kind} {item.host.value}" for item in actor.evidence]
    found += [f"hash {match.hash.value}" for match in brief.hash_matches]
    return Comment(comment_id(incident.id, section, found), _html(brief, findings))


def _html(brief: Brief, findings: Findings) -> str:
    prompted = {prompt.actor for prompt in brief.copilot_prompts}
    by_id = {actor.profile_id: actor.name for actor in brief.actors if actor.profile_id}
    return incident_comment(
        actors=brief.actors,
        lookups=brief.lookups,
        raises=brief.raises,
        severity=brief.severity,
        mode=brief.mode,
        closed=findings.incident.status == "Closed",
        gaps=brief.gaps,
        left_out=brief.left_out,
        hash_matches=brief.hash_matches,
        exposure=brief.exposure,
        hunting_queries=[query.title for query in brief.hunting_queries],
        profiles={
            name: findings.profiles[profile_id]
            for profile_id, name in by_id.items()
            if profile_id in findings.profiles and name not in prompted
        },
        earlier={
            by_id[profile_id]: description
            for profile_id, description in findings.earlier.items()
            if profile_id in by_id
        },
    )
