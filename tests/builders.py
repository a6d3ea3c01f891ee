"""Small builders for tests of the pure rooms: hosts, sightings, a passive DNS in memory, claims."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from mdti.infrastructure import Standing
from mdti.ioc import HostParser
from mdti.models import (
    ActorRef,
    Claim,
    EvidenceKind,
    Gap,
    Host,
    IntelProfile,
    PagingEnd,
    Resolution,
    Resolutions,
    Role,
)
from mdti.pruning import WalkRules

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
"""The time that every question of these tests is about."""

PARSER = HostParser(examples=True)


def host(text: str) -> Host:
    return PARSER.parse(text)


def ago(days: float) -> datetime:
    return AT - timedelta(days=days)


def seen(
    queried: str, answer: str, *, days_ago: tuple[float, float] = (30, 2), kind: str = "A"
) -> Resolution:
    """Return a sighting of `queried` next to `answer`, from and until so many days before `AT`."""
    first, last = days_ago
    return Resolution(host(queried), host(answer), kind, ago(first), ago(last))


def turned(record: Resolution) -> Resolution:
    """Return the same sighting as the other host's passive DNS shows it."""
    return Resolution(record.answer, record.queried, record.record_type, record.first, record.last)


@dataclass(slots=True)
class PassiveDns:
    """A `fetch` in memory; it shows every sighting from both sides and keeps what it was asked."""

    records: Mapping[Host, tuple[Resolution, ...]]
    gaps: Mapping[Host, Gap] = field(default_factory=dict)
    ends: Mapping[Host, PagingEnd] = field(default_factory=dict)
    rounds: list[tuple[Host, ...]] = field(default_factory=list)

    @classmethod
    def of(cls, *sightings: Resolution, **options: Any) -> "PassiveDns":
        records: dict[Host, tuple[Resolution, ...]] = {}
        for record in (*sightings, *map(turned, sightings)):
            records[record.queried] = (*records.get(record.queried, ()), record)
        return cls(records, **options)

    def __call__(self, hosts: Sequence[Host]) -> Mapping[Host, Resolutions | Gap]:
        self.rounds.append(tuple(hosts))
        return {one: self.gaps.get(one) or self._answer(one) for one in hosts}

    def _answer(self, one: Host) -> Resolutions:
        return Resolutions(self.records.get(one, ()), self.ends.get(one, "all"))

    @property
    def asked(self) -> list[Host]:
        return [one for hosts in self.rounds for one in hosts]


def registrable(name: str) -> str:
    """Return the last two labels of a name."""
    return ".".join(name.split(".")[-2:])


def rules(listed: Mapping[str, Role] | None = None, **options: Any) -> WalkRules:
    """Return walk rules under which `listed` is all that public lists know."""
    known = {host(text): Standing(role, "Contoso") for text, role in (listed or {}).items()}
    return WalkRules(classify=known.get, registrable=registrable, **options)


def profile(title: str, *aliases: str, kind: str = "actor", **fields: Any) -> IntelProfile:
    return IntelProfile(
        id=f"{kind}-{title.lower().replace(' ', '-')}",
        kind=kind,
        title=title,
        aliases=aliases,
        **fields,
    )


def actor(title: str) -> ActorRef:
    """Return the actor that `profile(title)` is about."""
    return ActorRef(title, profile(title).id)


def claim(
    who: str, kind: EvidenceKind = "intelProfile", *, text: str = "", naming: int = 1
) -> Claim:
    return Claim(actor(who), kind, text or f"{who} {kind}", naming=naming)


def hosts(texts: Iterable[str]) -> set[Host]:
    return {host(text) for text in texts}
