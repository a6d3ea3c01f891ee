"""The facts a sandbox answers from, and the words to build a world of your own.

    world = World(now)
    world.resolution("beacon.example", "198.51.100.23", first=40, last=2)
    world.rule("beacon.example", "Cyber Threat Intelligence", "Paper Drizzle")
    drizzle = world.profile("Paper Drizzle", aliases=("DEV-9301",))
    world.indicator(drizzle, "beacon.example")

A moment is a datetime, or a number of days before the world's `now`; times are whole seconds, UTC.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

Moment = datetime | float

ACTOR_RULE = "Cyber Threat Intelligence"
ARTICLE_RULE = "Microsoft Defender Threat Intelligence Intel Article"
WATCH_LIST_RULE = "Microsoft Blocklist (WatchList)"


@dataclass(frozen=True, slots=True)
class Record:
    """One passive-DNS fact: `name` was seen resolving to `answer`; `last` None: not told."""

    name: str
    answer: str
    record_type: str
    first: datetime
    last: datetime | None
    collected: datetime


@dataclass(frozen=True, slots=True)
class Rule:
    """One reason for a host's reputation."""

    name: str
    description: str
    severity: str
    url: str | None


@dataclass(slots=True)
class HostFacts:
    """What is known of one host; score None: never judged."""

    value: str
    first: datetime
    last: datetime
    owner: str = "Example Organization"
    country: str = "XX"
    score: int | None = None
    classification: str | None = None
    rules: list[Rule] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Indicator:
    """An artifact that belongs to a profile or an article.

    `kind` is `hostname`, `ipAddress`, or the kind of an unclassified artifact such as `sha256`.
    """

    artifact: str
    kind: str
    source: str
    first: datetime
    last: datetime | None


@dataclass(frozen=True, slots=True)
class Profile:
    """An intel profile: an actor or a tool. `origins` are (code, label) pairs."""

    id: str
    kind: str
    title: str
    aliases: tuple[str, ...]
    origins: tuple[tuple[str, str], ...]
    targets: tuple[str, ...]
    first_active: datetime
    summary: str
    description: str
    tradecraft: str
    indicators: list[Indicator] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Article:
    """A published article."""

    id: str
    title: str
    tags: tuple[str, ...]
    summary: str
    body: str
    created: datetime
    indicators: list[Indicator] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Vulnerability:
    """A CVE; `machines` are the names of the tenant's devices that have it."""

    id: str
    severity: str
    score: float
    description: str
    vendor: str
    software: str
    machines: tuple[str, ...]
    published: datetime


class World:
    """All facts, found by host, profile, article or CVE."""

    def __init__(self, now: datetime) -> None:
        self.now = now.astimezone(UTC).replace(microsecond=0)
        self.hosts: dict[str, HostFacts] = {}
        self.profiles: dict[str, Profile] = {}
        self.articles: dict[str, Article] = {}
        self.vulnerabilities: dict[str, Vulnerability] = {}
        self._answers: defaultdict[str, list[Record]] = defaultdict(list)
        self._askers: defaultdict[str, list[Record]] = defaultdict(list)

    def at(self, moment: Moment) -> datetime:
        """Return a moment as a time."""
        if isinstance(moment, datetime):
            return moment.astimezone(UTC).replace(microsecond=0)
        return (self.now - timedelta(days=moment)).replace(microsecond=0)

    def host(
        self,
        value: str,
        *,
        first: Moment = 1000.0,
        last: Moment = 0.0,
        owner: str | None = None,
        country: str | None = None,
    ) -> HostFacts:
        """Make a host known, or widen the time in which a known one was seen."""
        key = spelling(value)
        begin, end = self.at(first), self.at(last)
        facts = self.hosts.setdefault(key, HostFacts(key, begin, end))
        facts.first, facts.last = min(facts.first, begin), max(facts.last, end)
        facts.owner = facts.owner if owner is None else owner
        facts.country = facts.country if country is None else country
        return facts

    def resolution(
        self,
        name: str,
        answer: str,
        first: Moment = 365.0,
        last: Moment | None = 0.0,
        record_type: str | None = None,
        *,
        collected: Moment | None = None,
    ) -> None:
        """Let `name` resolve to `answer` between two moments.

        The record type follows from the answer unless it is given. `last=None` leaves the last
        sighting out; `collected` is then what a reader has, the last sighting unless given.
        """
        key, target = spelling(name), spelling(answer)
        end = None if last is None else self.at(last)
        seen = self.at(collected) if collected is not None else end or self.now
        record = Record(key, target, record_type or _type_of(target), self.at(first), end, seen)
        self._answers[key].append(record)
        self._askers[target].append(record)
        for value in (key, target):
            self.host(value, first=first, last=seen)

    def reputation(self, host: str, score: int, classification: str | None = None) -> None:
        """Give a host a score from 0 to 100; its class follows the documented brackets."""
        facts = self._facts(host)
        facts.score = score
        facts.classification = classification

    def rule(
        self,
        host: str,
        name: str,
        description: str,
        *,
        severity: str = "high",
        url: str | None = None,
    ) -> None:
        """Add a reason to a host's reputation; a host never scored before scores 100."""
        facts = self._facts(host)
        facts.rules.append(Rule(name, description, severity, url))
        if facts.score is None:
            facts.score = 100

    def article_rule(self, host: str, article: Article) -> None:
        """Add the rule that links a host to an article."""
        url = f"https://ti.defender.microsoft.com/article/{article.id}"
        self.rule(host, ARTICLE_RULE, article.title, url=url)

    def profile(
        self,
        title: str,
        *,
        kind: str = "actor",
        aliases: Sequence[str] = (),
        origins: Sequence[tuple[str, str]] = (("XX", "Exampleland"),),
        targets: Sequence[str] = (),
        first_active: Moment = 1500.0,
        summary: str = "",
        description: str = "",
        tradecraft: str = "",
    ) -> Profile:
        """Publish an intel profile; its id follows from its title."""
        identifier = hashlib.sha256(f"profile {title}".encode()).hexdigest()
        profile = Profile(
            identifier,
            kind,
            title,
            tuple(aliases),
            tuple(origins),
            tuple(targets),
            self.at(first_active),
            summary,
            description,
            tradecraft,
        )
        self.profiles[identifier] = profile
        return profile

    def article(
        self,
        title: str,
        *,
        tags: Sequence[str] = (),
        summary: str = "",
        body: str = "",
        created: Moment = 30.0,
    ) -> Article:
        """Publish an article; its id follows from its title."""
        identifier = hashlib.sha256(f"article {title}".encode()).hexdigest()[:8]
        article = Article(identifier, title, tuple(tags), summary, body, self.at(created))
        self.articles[identifier] = article
        return article

    def indicator(
        self,
        holder: Profile | Article,
        artifact: str,
        *,
        kind: str | None = None,
        first: Moment = 365.0,
        last: Moment | None = None,
        source: str = "microsoft",
    ) -> None:
        """Name an artifact as an indicator of a profile or an article."""
        known = kind or ("ipAddress" if _is_address(artifact) else "hostname")
        host = known in ("hostname", "ipAddress")
        value = spelling(artifact) if host else artifact
        end = None if last is None else self.at(last)
        holder.indicators.append(Indicator(value, known, source, self.at(first), end))
        if host:
            self.host(value, first=first)

    def vulnerability(
        self,
        cve: str,
        *,
        score: float = 9.8,
        severity: str = "critical",
        description: str = "",
        vendor: str = "examplesoft",
        software: str = "example_gateway",
        machines: Sequence[str] = (),
        published: Moment = 200.0,
    ) -> None:
        """Publish a CVE and name the tenant's machines that have it."""
        when = self.at(published)
        self.vulnerabilities[cve.upper()] = Vulnerability(
            cve.upper(), severity, score, description, vendor, software, tuple(machines), when
        )

    def answers(self, host: str) -> Sequence[Record]:
        """Return the records in which a name is the one that was asked for."""
        return self._answers.get(spelling(host), ())

    def askers(self, host: str) -> Sequence[Record]:
        """Return the records in which a host is the answer."""
        return self._askers.get(spelling(host), ())

    def _facts(self, host: str) -> HostFacts:
        return self.hosts.get(spelling(host)) or self.host(host)


def spelling(host: str) -> str:
    """Return the spelling under which a host is filed: lower case, IPv6 compressed."""
    try:
        return ip_address(host).compressed
    except ValueError:
        return host.lower().rstrip(".")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _type_of(answer: str) -> str:
    if not _is_address(answer):
        return "CNAME"
    return "AAAA" if ":" in answer else "A"
