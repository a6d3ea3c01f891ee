"""The nouns of a look-up, as frozen values; those of an incident are in `incident_models`.

Times are timezone-aware UTC. Collections are tuples, so a value can be a key, be shared between
threads and be compared byte for byte. Nothing here does any work beyond deriving one fact from
another.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

HostKind = Literal["ipv4", "ipv6", "name"]
EvidenceKind = Literal["intelProfile", "reputationRule", "article", "watchList"]
Confidence = Literal["high", "medium", "low"]
PagingEnd = Literal["all", "hub", "oversize"]
Role = Literal[
    "name",  # an ordinary host name
    "dedicated",  # an address that serves few registrable domains
    "shared",
    "cloud",
    "hub",
    "flux",
    "cdn",
    "hosting",
    "parking",
    "sinkhole",
    "dynamicDns",  # the provider's own name, not a customer's name below it
    "allowlisted",
    "unmeasured",  # an address whose degree was never learned
]


@dataclass(frozen=True, slots=True, order=True)
class Host:
    """A public host: an address or a host name in its one canonical spelling.

    Only `mdti.ioc` makes hosts from text; whoever holds a `Host` may put its value in a path.
    """

    kind: HostKind
    value: str

    @property
    def is_address(self) -> bool:
        """True for IPv4 and IPv6."""
        return self.kind != "name"


@dataclass(frozen=True, slots=True, order=True)
class Resolution:
    """One passive-DNS record as it was asked for: `queried` was seen next to `answer`.

    `first` and `last` bound the time in which it was seen; `record_type` is A, AAAA or CNAME.
    """

    queried: Host
    answer: Host
    record_type: str
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Resolutions:
    """All passive DNS of one host that was read, and why reading ended.

    `all`: every page was read. `hub`: so many neighbours that reading on would not change the
    decision. `oversize`: the record limit. `dropped` counts records that named no public host,
    `swapped` those first seen after their last sighting, `unreadable` those that named nothing.
    """

    records: tuple[Resolution, ...]
    end: PagingEnd
    dropped: int = 0
    swapped: int = 0
    unreadable: int = 0


@dataclass(frozen=True, slots=True, order=True)
class Gap:
    """Something that should have been looked at and was not; an answer with gaps is incomplete."""

    stage: str
    reason: str
    host: Host | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One reason Microsoft gives for a reputation."""

    name: str
    description: str
    severity: str
    url: str | None


@dataclass(frozen=True, slots=True)
class Reputation:
    """Microsoft's judgement of a host: score 0 to 100, its class, and the rules behind it."""

    score: int
    classification: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True, order=True)
class ActorRef:
    """An actor by name, and its intel profile where one is known."""

    name: str
    profile_id: str | None = None


@dataclass(frozen=True, slots=True)
class IntelProfile:
    """What Microsoft publishes about an actor or a tool."""

    id: str
    kind: str
    title: str
    aliases: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    first_active: datetime | None = None
    summary: str = ""
    description: str = ""
    tradecraft: str = ""


@dataclass(frozen=True, slots=True)
class Article:
    """A threat intelligence article; `text` is its summary and body as published."""

    id: str
    title: str
    tags: tuple[str, ...]
    text: str
    updated: datetime | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A source says that a host belongs to an actor.

    `naming` is how many distinct actors the same piece of evidence names: it is shared among them.
    """

    actor: ActorRef
    kind: EvidenceKind
    text: str
    url: str | None = None
    naming: int = 1


@dataclass(frozen=True, slots=True)
class Evidence:
    """A claim with the dated path that leads from the seed to the host it is about."""

    actor: ActorRef
    host: Host
    kind: EvidenceKind
    text: str
    url: str | None
    path: tuple[Resolution, ...]
    naming: int = 1
    weight: float = 0.0

    @property
    def hops(self) -> int:
        """The number of resolutions between the seed and the host."""
        return len(self.path)


@dataclass(frozen=True, slots=True)
class Actor:
    """An actor that the evidence points to, and whether that is enough to escalate."""

    name: str
    aliases: tuple[str, ...]
    profile_id: str | None
    confidence: Confidence
    score: float
    escalate: bool
    evidence: tuple[Evidence, ...]
    qualifies: bool = False
    """Strong enough to escalate but for the margin to the next actor."""


@dataclass(frozen=True, slots=True)
class HostReport:
    """What was learned of one host on the way.

    `degree` is the number of distinct registrable domains of an address, or of distinct addresses
    of a name, inside the look-back; None when it was not measured, and a lower bound when
    `degree_at_least`. `provider` names the CDN, cloud, hoster or list that decided the role.
    """

    host: Host
    hops: int
    role: Role
    degree: int | None
    degree_at_least: bool
    expanded: bool
    reason: str
    provider: str | None = None
    reputation: Reputation | None = None
    last_seen: datetime | None = None


@dataclass(frozen=True, slots=True)
class Stats:
    """What a look-up cost."""

    requests: int = 0
    throttled: int = 0
    cache_hits: int = 0
    elapsed_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Lookup:
    """The answer to one IOC: who, how sure, by which path, and what could not be looked at."""

    seed: Host
    at: datetime
    reputation: Reputation | None
    actors: tuple[Actor, ...]
    hosts: tuple[HostReport, ...]
    resolutions: tuple[Resolution, ...]
    gaps: tuple[Gap, ...]
    stats: Stats

    @property
    def complete(self) -> bool:
        """True when nothing that should have been looked at is missing."""
        return not self.gaps


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupOptions:
    """What a caller may choose for one look-up; times in seconds, 0 days means any age."""

    depth: int
    lookback_days: int
    max_hosts: int
    timeout_seconds: int
