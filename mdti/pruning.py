"""What the walk knows and decides of a single host: its role, its degree, and where to stop.

A role comes from public lists first (CDN, parking, sinkhole, bulk hosting, dynamic DNS, cloud) and
from the number of neighbours second. Sources of the rules: design section 7; the pruning methods
compared in contracts/anchors.md A.4.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from mdti.infrastructure import Standing
from mdti.models import Host, Resolution, Resolutions, Role

STOP_ROLES: frozenset[Role] = frozenset(
    {"hub", "flux", "cdn", "hosting", "parking", "sinkhole", "dynamicDns", "allowlisted"}
)
"""Roles whose hosts are named, not followed, and carry no attribution."""

RECORD_TYPES = frozenset({"A", "AAAA", "CNAME"})
BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkRules:
    """How far to walk and what to stop at.

    `classify` says what public lists know of a host; `registrable` maps a name to its registrable
    domain. `lookback_days` applies to the edges of the seed and to degrees; 0 means all of time.
    """

    classify: Callable[[Host], Standing | None]
    registrable: Callable[[str], str]
    depth: int = 2
    lookback_days: int = 365
    max_hosts: int = 250
    hub_degree: int = 100
    dedicated_degree: int = 10
    flux_addresses: int = 40
    overlap_slack: timedelta = timedelta(days=7)
    fold_subdomains: int = 20
    round_size: int = 16


@dataclass(frozen=True, slots=True)
class Node:
    """What the walk learned of one host, whichever seed it was reached from."""

    host: Host
    role: Role
    provider: str | None = None
    cloud: bool = False
    degree: int | None = None
    degree_at_least: bool = False
    expanded: bool = False
    reason: str = ""
    last_seen: datetime | None = None

    @property
    def factor(self) -> float:
        """How much of an attribution survives this host: R of design section 7."""
        if self.role in STOP_ROLES:
            return 0.0
        if not self.host.is_address:
            return 1.0
        sharing = 1.0 if self.dedicated else 0.5
        return sharing * (0.7 if self.cloud else 1.0)

    @property
    def dedicated(self) -> bool:
        """True for an address that serves few registrable domains."""
        return self.role in ("dedicated", "cloud")


def usable(records: Iterable[Resolution], at: datetime) -> tuple[Resolution, ...]:
    """Return the records that were known at `at`, clipped to it, without repeats, in one order."""
    kept = {
        record if record.last <= at else replace(record, last=at)
        for record in records
        if record.record_type in RECORD_TYPES and record.first <= at
    }
    return tuple(sorted(kept))


def degree(host: Host, edges: Iterable[Resolution], *, at: datetime, rules: WalkRules) -> int:
    """Count the registrable domains of an address, or the addresses of a name, in the look-back."""
    since = lookback_start(at, rules)
    recent = (edge for edge in edges if edge.last >= since)
    if host.is_address:
        return len({_domain(edge.answer, rules) for edge in recent})
    return len({edge.answer for edge in recent if edge.answer.is_address})


def _domain(host: Host, rules: WalkRules) -> Host:
    """Return the registrable domain of a name; an address stands for itself."""
    return host if host.is_address else Host("name", rules.registrable(host.value))


def degree_limit(host: Host, rules: WalkRules) -> int:
    """Return the degree above which a host is a hub (an address) or flux (a name)."""
    return rules.hub_degree if host.is_address else rules.flux_addresses


def folded(
    host: Host, edges: tuple[Resolution, ...], *, rules: WalkRules
) -> tuple[tuple[Resolution, ...], dict[Host, int]]:
    """Fold the many subdomains that one domain has at an address into that domain.

    Returns the edges, and for each domain that stands for its subdomains their number. A wildcard
    zone would otherwise fill the walk with names that all say the same.
    """
    if not host.is_address:
        return edges, {}
    domains = {edge: _domain(edge.answer, rules) for edge in edges}
    below: dict[Host, set[Host]] = {}
    for edge, domain in domains.items():
        below.setdefault(domain, set()).add(edge.answer)
    many = {d: len(names) for d, names in below.items() if len(names) > rules.fold_subdomains}
    if not many:
        return edges, {}
    kept = {replace(e, answer=domains[e]) if domains[e] in many else e for e in edges}
    return tuple(sorted(kept)), many


def lookback_start(at: datetime, rules: WalkRules) -> datetime:
    """Return the time before which an edge of the seed is too old to follow."""
    lookback = timedelta(days=rules.lookback_days)
    return at - lookback if rules.lookback_days and at - BEGINNING > lookback else BEGINNING


def unread(host: Host, standing: Standing | None) -> Node:
    """Return what is known of a host before its passive DNS was read."""
    if standing is None:
        return Node(host, "unmeasured" if host.is_address else "name")
    if standing.role == "cloud":
        role: Role = "unmeasured" if host.is_address else "name"
        return Node(host, role, standing.provider, cloud=True)
    return Node(host, standing.role, standing.provider)


def measured(
    node: Node, answer: Resolutions, edges: tuple[Resolution, ...], at: datetime, rules: WalkRules
) -> Node:
    """Return the node with the role that its passive DNS gives it.

    Above the limit no degree is exact: how many more neighbours were read depends on the pages.
    """
    limit = degree_limit(node.host, rules)
    count = degree(node.host, edges, at=at, rules=rules)
    overfull = answer.end != "all" or count > limit
    role: Role = node.role
    if overfull:
        role = "hub" if node.host.is_address else "flux"
    elif node.host.is_address:
        role = (
            "shared" if count > rules.dedicated_degree else "cloud" if node.cloud else "dedicated"
        )
    return replace(
        node,
        role=role,
        degree=min(count, limit + 1),
        degree_at_least=overfull,
        expanded=not overfull,
        last_seen=max((edge.last for edge in edges), default=None),
    )


def explained(node: Node, *, folds: int = 0) -> Node:
    """Return the node with the reason why it was not followed, where there is one to give."""
    if folds and not node.reason:
        return replace(node, reason=f"stands for {folds} names below it")
    if node.reason or node.expanded:
        return node
    count = f"{'at least ' if node.degree_at_least else ''}{node.degree or 0:,}"
    reasons: dict[Role, str] = {
        "hub": f"{count} registrable domains: too many to mean anything",
        "flux": f"{count} addresses: too many to mean anything",
        "cdn": "its customers have nothing to do with each other",
        "hosting": "its customers have nothing to do with each other",
        "parking": "parked names have nothing to do with each other",
        "sinkhole": "in the hands of defenders",
        "dynamicDns": "its customers have nothing to do with each other",
        "allowlisted": "ours or trusted",
    }
    return replace(node, reason=reasons.get(node.role, "last hop"))
