"""What the reports say, in words: one way of putting each finding for every human output.

Sentences carry hosts already defanged, other outside text as it came: the renderer passes each
through its own escaper. Nothing here says that a host *is* an actor's: it is linked, by a path
that was seen between two days.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from mdti.incident_models import Brief
from mdti.models import (
    Actor,
    Evidence,
    EvidenceKind,
    Gap,
    Host,
    HostReport,
    Lookup,
    Resolution,
    Role,
)
from mdti.pruning import STOP_ROLES
from mdti.render.escape import defang_host

MALICIOUS_SCORE: Final = 75
"""Reputation from which Microsoft calls a host malicious (design section 7)."""

SUSPICIOUS_SCORE: Final = 50
"""Reputation from which Microsoft calls a host suspicious, by the brackets of Defender's page."""

ROLE_WORDS: Final[dict[Role, str]] = {
    "name": "host name",
    "dedicated": "dedicated address",
    "shared": "shared address",
    "cloud": "cloud address",
    "hub": "hub",
    "flux": "fast-flux name",
    "cdn": "CDN",
    "hosting": "bulk hosting",
    "parking": "parking",
    "sinkhole": "sinkhole",
    "dynamicDns": "dynamic DNS provider",
    "allowlisted": "on our allowlist",
    "unmeasured": "not measured",
}

_CLAIMS: Final[dict[EvidenceKind, str]] = {
    "intelProfile": "indicator in the actor's intel profile",
    "reputationRule": "named by a reputation rule",
    "article": "named in a linked article",
    "watchList": "named on a watch list",
}


def day(moment: datetime) -> str:
    """Return the UTC day: `2026-03-07`."""
    return moment.astimezone(UTC).date().isoformat()


def minute(moment: datetime) -> str:
    """Return the UTC minute: `2026-03-07 13:19 UTC`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def seen(resolution: Resolution) -> str:
    """Return the days between which a resolution was seen."""
    first, last = day(resolution.first), day(resolution.last)
    return first if first == last else f"{first} to {last}"


def plural(count: int, one: str, many: str | None = None) -> str:
    """Return `1 host`, `2 hosts`, `1,000 hosts`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def costs(lookups: Iterable[Lookup]) -> list[str]:
    """Return what the look-ups cost; those that were made together cost something once."""
    calls = dict.fromkeys((lookup.stats, minute(lookup.at)) for lookup in lookups)
    return [
        f"{plural(stats.requests, 'request')}, {plural(stats.cache_hits, 'answer')} from the cache,"
        f" {stats.throttled:,} throttled, {stats.elapsed_seconds:.1f} s; as of {at}"
        for stats, at in calls
    ]


def claim(kind: EvidenceKind) -> str:
    """Return in words what kind of evidence it is."""
    return _CLAIMS[kind]


def strongest(actor: Actor) -> Evidence | None:
    """Return the evidence with the highest weight; the shorter path decides a draw."""
    return min(actor.evidence, key=_strength, default=None)


def ranked(evidence: Iterable[Evidence]) -> list[Evidence]:
    """Return evidence with the strongest first."""
    return sorted(evidence, key=_strength)


def remark(evidence: Evidence) -> str:
    """Return what the source says, but for an actor's name alone."""
    return "" if evidence.text == evidence.actor.name else evidence.text


def by_path(evidence: Iterable[Evidence]) -> list[list[Evidence]]:
    """Return evidence in groups that share host and path, in the order of their first."""
    groups: dict[tuple[Host, tuple[Resolution, ...]], list[Evidence]] = {}
    for item in evidence:
        groups.setdefault((item.host, item.path), []).append(item)
    return list(groups.values())


def path(evidence: Evidence) -> str:
    """Return the dated path: `a[.]example → 203[.]0[.]113[.]10 (A, 2026-01-01 to 2026-03-07)`."""
    if not evidence.path:
        return f"{defang_host(evidence.host)} itself"
    steps = [
        f"→ {defang_host(step.answer)} ({step.record_type}, {seen(step)})" for step in evidence.path
    ]
    return " ".join([defang_host(evidence.path[0].queried), *steps])


def linked(actor: Actor) -> str:
    """Return how an actor is linked, by its strongest evidence.

    `a[.]example linked through 203[.]0[.]113[.]10 (1 hop of passive DNS) to Example Blizzard`
    """
    best = strongest(actor)
    if best is None:
        return f"linked through evidence that is not listed to {actor.name}"
    if not best.path:
        return f"{defang_host(best.host)} linked directly ({claim(best.kind)}) to {actor.name}"
    seed, way = defang_host(best.path[0].queried), defang_host(best.host)
    hops = plural(best.hops, "hop")
    return f"{seed} linked through {way} ({hops} of passive DNS) to {actor.name}"


def sureness(actor: Actor) -> str:
    """Return `high confidence, score 0.93`."""
    return f"{actor.confidence} confidence, score {actor.score:.2f}"


def heading(brief: Brief) -> str:
    """Return what a report on a brief is called; outside text, to be escaped."""
    return f"Incident {brief.subject}" if brief.subject else "Incident brief"


def verdict(lookup: Lookup) -> str:
    """Return the finding of one look-up in one sentence, without the actors' names."""
    seed = defang_host(lookup.seed)
    if lookup.actors:
        named = sum(actor.escalate for actor in lookup.actors)
        found = plural(len(lookup.actors), "actor")
        count = "" if named == len(lookup.actors) == 1 else f"{named or 'none'} "
        return f"{seed}: linked to {found}, {count}strong enough to escalate."
    if not lookup.complete:
        return f"{seed}: no actor found so far, but not everything could be looked at."
    return f"{seed}: no actor found. {checked((lookup,))}"


def checked(lookups: Sequence[Lookup]) -> str:
    """Return what was looked at, for an answer without an actor."""
    hosts = len({report.host for lookup in lookups for report in lookup.hosts})
    resolutions = len({record for lookup in lookups for record in lookup.resolutions})
    return (
        f"Checked: {plural(hosts, 'host')} and {plural(resolutions, 'resolution')}"
        " against intel profiles, reputation rules and articles."
    )


def role(report: HostReport) -> str:
    """Return the role in words, with the provider or list that decided it."""
    words = ROLE_WORDS[report.role]
    return f"{words} ({report.provider})" if report.provider else words


def degree(report: HostReport) -> str:
    """Return how many neighbours a host has: `12 domains`, `at least 101 domains`, or nothing."""
    if not report.degree:  # a name that is only an alias has no address of its own
        return ""
    noun = ("domain", "domains") if report.host.is_address else ("address", "addresses")
    count = plural(report.degree, *noun)
    return f"at least {count}" if report.degree_at_least else count


def not_followed(lookups: Iterable[Lookup]) -> list[HostReport]:
    """Return the hosts at which the walk stopped on purpose, nearest first, each once."""
    stops = {
        report.host: report
        for lookup in lookups
        for report in lookup.hosts
        if report.role in STOP_ROLES and not report.expanded
    }
    return sorted(stops.values(), key=lambda report: (report.hops, report.host))


def gap(item: Gap) -> str:
    """Return what could not be looked at: `reputation of a[.]example: reason`."""
    where = f"{item.stage} of {defang_host(item.host)}" if item.host else item.stage
    return f"{where}: {item.reason}"


def _strength(evidence: Evidence) -> tuple[float, int, str, str]:
    return (-evidence.weight, evidence.hops, evidence.host.value, evidence.text)
