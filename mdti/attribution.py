"""From claims about hosts to actors: how strong, and whether strong enough to escalate.

Naming an actor and raising an incident are two decisions. The rules are those of design section 7
("Score", "Naming an actor and raising an incident"); each constant names its part of them.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from mdti.chain import Graph, Path, hop_factor, is_former
from mdti.models import (
    Actor,
    ActorRef,
    Article,
    Claim,
    Confidence,
    Evidence,
    EvidenceKind,
    Host,
    Rule,
)
from mdti.naming import ActorNames
from mdti.pruning import STOP_ROLES

STRENGTH: Mapping[EvidenceKind, float] = {
    "intelProfile": 1.0,
    "reputationRule": 0.9,
    "watchList": 0.8,
    "article": 0.4,
}
"""B: how much a source of that kind is worth."""

ESCALATE_SCORE = 0.4
ESCALATE_MARGIN = 2.0
HIGH_SCORE = 0.7
DIRECT_WITHIN = timedelta(days=180)
DIRECT_KINDS = frozenset({"intelProfile", "reputationRule"})
FORMER_FACTOR = 0.1
"""An address changes hands: who left it that long ago is named, and escalates nobody."""

CLOSE_FACTOR = 0.5
"""Names behind an address that leaves no more than this are too many and too weak to ask about."""

NOT_DIRECT_ROLES = frozenset({"shared", *STOP_ROLES}) - {"flux"}
"""What is said of such a host need not be about the one who uses it; flux is its owner's choice."""

_ARTICLE_LINK = re.compile(r"/articles?/([0-9a-fA-F]{8})\b")
DEFAULT_ACTOR_RULES = ("Cyber Threat Intelligence",)


@dataclass(frozen=True, slots=True)
class _Weighed:
    """One actor's evidence, and what it adds up to before the actors are compared.

    `lone_address` tells that it rests on nothing but what is said of one address, which may have
    been said of an earlier tenant.
    """

    actor: ActorRef
    evidence: tuple[Evidence, ...]
    score: float
    groups: int
    dedicated: bool
    lone_address: bool
    direct: bool


def rule_claims(
    rules: Iterable[Rule],
    articles: Mapping[str, Article],
    names: ActorNames,
    *,
    actor_rules: Sequence[str] = DEFAULT_ACTOR_RULES,
) -> tuple[Claim, ...]:
    """Return what the rules of one reputation say about who owns the host.

    A rule named in `actor_rules` holds names of actors and nothing else; any other rule may name
    one in its text; an article linked by a rule counts by its title and tags. `articles` maps the
    id of an article to the article, for those that could be read.
    """
    expected = {name.casefold() for name in actor_rules}
    claims: dict[tuple[ActorRef, EvidenceKind, str], Claim] = {}

    def add(actors: Sequence[ActorRef], kind: EvidenceKind, text: str, url: str | None) -> None:
        for actor in actors:
            claims.setdefault(
                (actor, kind, text), Claim(actor, kind, text, url, naming=len(actors))
            )

    for rule in rules:
        if rule.name.casefold() in expected:
            add(names.listed_in(rule.description), "reputationRule", rule.description, rule.url)
            continue
        if "watchlist" in rule.name.casefold():
            add(names.named_in(rule.description), "watchList", rule.description, rule.url)
        for article_id in article_ids(rule.url or "", rule.description):
            article = articles.get(article_id)
            title = article.title if article else rule.description
            tags = article.tags if article else ()
            add(names.known_in(" | ".join((title, *tags))), "article", title, rule.url)
    return tuple(claims.values())


def article_ids(*texts: str) -> tuple[str, ...]:
    """Return the ids of the articles that links in `texts` point to."""
    found = _ARTICLE_LINK.findall(" ".join(texts))
    return tuple(dict.fromkeys(article_id.lower() for article_id in found))


def attribute(
    graph: Graph,
    seed: Host,
    claims: Mapping[Host, Sequence[Claim]],
    *,
    names: ActorNames,
    registrable: Callable[[str], str],
) -> tuple[Actor, ...]:
    """Return the actors that the claims about the hosts reached from `seed` point to.

    Strongest first; among equals by name. An actor whose every claim is about a host that cannot
    carry attribution is not named.
    """
    evidence: dict[ActorRef, list[Evidence]] = {}
    for host, paths in graph.paths[seed].items():
        for claim in claims.get(host, ()):
            found = _evidence(graph, host, paths, claim)
            if found.weight > 0:
                evidence.setdefault(claim.actor, []).append(found)
    weighed = [_weigh(graph, seed, actor, found, registrable) for actor, found in evidence.items()]
    weighed.sort(key=lambda actor: (-actor.score, actor.actor.name))
    chosen = _escalated(weighed)
    return tuple(_actor(actor, names, escalate=actor.actor in chosen) for actor in weighed)


def worth_asking(graph: Graph) -> frozenset[Host]:
    """Return the hosts whose reputation may matter: the seeds, and what is closely tied to them.

    Names behind a shared address are checked against the actor index, which costs nothing. Asking
    for the reputation of each as well took 3.7 times the requests (95th percentile) for less than
    0.2 points of coverage: `python -m tests.bench.accuracy`.
    """
    close = set()
    for paths in graph.paths.values():
        for host, ways in paths.items():
            if any(_path_factor(graph, path[:-1]) > CLOSE_FACTOR for path in ways if path):
                close.add(host)
    return frozenset(close | set(graph.paths))


def ambiguous(actors: Sequence[Actor]) -> bool:
    """True when several actors are strong enough to escalate and too close to tell apart."""
    return not any(a.escalate for a in actors) and sum(a.qualifies for a in actors) > 1


def _evidence(graph: Graph, host: Host, paths: Sequence[Path], claim: Claim) -> Evidence:
    """Return the claim with the path over which it weighs most; among equals the first."""
    path = max(paths, key=lambda path: hop_factor(len(path)) * _path_factor(graph, path))
    strength = STRENGTH[claim.kind] / max(claim.naming, 1)
    weight = strength * hop_factor(len(path)) * _path_factor(graph, path)
    return Evidence(
        claim.actor, host, claim.kind, claim.text, claim.url, path, claim.naming, round(weight, 4)
    )


def _path_factor(graph: Graph, path: Path) -> float:
    """Return R: what the hosts of the path, the seed apart, leave of an attribution."""
    factor = FORMER_FACTOR if is_former(path, graph.at) else 1.0
    for edge in path:
        factor *= graph.nodes[edge.answer].factor
    return factor


def _weigh(
    graph: Graph,
    seed: Host,
    actor: ActorRef,
    evidence: Iterable[Evidence],
    registrable: Callable[[str], str],
) -> _Weighed:
    ordered = tuple(sorted(evidence, key=lambda e: (-e.weight, e.hops, e.host, e.kind, e.text)))
    groups: dict[str, float] = {}
    for item in ordered:
        host = item.host
        group = host.value if host.is_address else registrable(host.value)
        groups[group] = max(groups.get(group, 0.0), item.weight)
    doubt = 1.0
    for _, weight in sorted(groups.items()):
        doubt *= 1.0 - weight
    return _Weighed(
        actor,
        ordered,
        score=round(1.0 - doubt, 4),
        groups=len(groups),
        dedicated=any(_on_dedicated(graph, seed, item) for item in ordered),
        lone_address=all(item.hops > 0 and item.host.is_address for item in ordered),
        direct=any(item.hops == 0 and item.kind in DIRECT_KINDS for item in ordered)
        and _speaks_for_itself(graph, seed),
    )


def _on_dedicated(graph: Graph, seed: Host, evidence: Evidence) -> bool:
    """True when the addresses that tie the evidence to the seed, or are it, serve few others.

    What is said of an address itself may have been said of an earlier tenant. It counts only if
    somebody besides the seed was there at the same time: an address that is left to a single name
    is as likely one that the actor has given up.
    """
    hosts = [seed, *(edge.answer for edge in evidence.path)]
    nodes = [graph.nodes[host] for host in hosts]
    alone = evidence.host.is_address and not _has_company(graph, seed, evidence.host)
    if evidence.path and alone:
        return False
    return all(
        node.dedicated if node.host.is_address else node.role not in STOP_ROLES for node in nodes
    )


def _has_company(graph: Graph, seed: Host, address: Host) -> bool:
    """True when a path from the seed goes on through `address`."""
    return any(
        edge.queried == address
        for paths in graph.paths[seed].values()
        for path in paths
        for edge in path
    )


def _speaks_for_itself(graph: Graph, seed: Host) -> bool:
    """True when what is said of the seed is about its present owner alone."""
    node = graph.nodes[seed]
    if node.role in NOT_DIRECT_ROLES or node.last_seen is None:
        return False
    return graph.at - node.last_seen <= DIRECT_WITHIN


def _qualifies(actor: _Weighed) -> bool:
    return actor.score >= ESCALATE_SCORE and (actor.groups >= 2 or actor.dedicated)


def _stands_out(actor: _Weighed, others: Sequence[_Weighed]) -> bool:
    """True when no other actor comes near; a lone address bears no other actor at all."""
    if actor.lone_address and actor.groups == 1:
        return not others
    return actor.score >= ESCALATE_MARGIN * max((other.score for other in others), default=0.0)


def _escalated(weighed: Sequence[_Weighed]) -> frozenset[ActorRef]:
    """Return the actors to escalate; `weighed` is sorted, strongest first."""
    direct = frozenset(actor.actor for actor in weighed if actor.direct)
    if direct or not weighed:
        return direct
    top, *others = weighed
    chosen = _qualifies(top) and _stands_out(top, others)
    return frozenset({top.actor}) if chosen else frozenset()


def _actor(weighed: _Weighed, names: ActorNames, *, escalate: bool) -> Actor:
    profile = names.profiles.get(weighed.actor.profile_id or "")
    confidence: Confidence = "low"
    if weighed.direct or weighed.score >= HIGH_SCORE:
        confidence = "high"
    elif weighed.score >= ESCALATE_SCORE:
        confidence = "medium"
    return Actor(
        weighed.actor.name,
        profile.aliases if profile else (),
        weighed.actor.profile_id,
        confidence,
        weighed.score,
        escalate,
        weighed.evidence,
        qualifies=weighed.direct or _qualifies(weighed),
    )
