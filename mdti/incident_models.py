"""The nouns around an incident and its brief, as frozen values like those of `models`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from mdti.models import Actor, ActorRef, Gap, Host, Lookup

Severity = Literal["Informational", "Low", "Medium", "High"]
IncidentStatus = Literal["New", "Active", "Closed"]


@dataclass(frozen=True, slots=True)
class FileHash:
    """A file hash, lower-case hexadecimal."""

    algorithm: str
    value: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An entity of the incident that was not looked up, and why."""

    kind: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class Incident:
    """What the look-up needs of a Sentinel incident.

    `id` is the ARM resource id. `at` is the time the incident speaks of: its last activity, else
    its creation, else None. `hosts` keeps the order of the entities, without repeats. `observe`
    asks that nothing be changed, whatever the settings say.
    """

    id: str
    number: int | None
    title: str
    severity: Severity
    status: IncidentStatus
    at: datetime | None
    labels: tuple[str, ...]
    hosts: tuple[Host, ...]
    hashes: tuple[FileHash, ...]
    left_out: tuple[LeftOut, ...]
    workspace_id: str = ""
    url: str | None = None
    observe: bool = False


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment to write on the incident; the same findings always get the same id."""

    id: str
    html: str


@dataclass(frozen=True, slots=True)
class CopilotPrompt:
    """A question for Security Copilot about one actor, and what to write if it cannot answer."""

    actor: str
    comment_id: str
    prompt: str
    fallback_html: str


@dataclass(frozen=True, slots=True)
class EarlierDescription:
    """Where and when Copilot was last asked to describe an actor; `incident` as people name it."""

    at: datetime
    incident: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Exposure:
    """Machines of ours that have a vulnerability which an actor is known to use."""

    actor: str
    cve: str
    machines: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HuntingQuery:
    """A ready KQL query for the hosts of the chain."""

    title: str
    kql: str


@dataclass(frozen=True, slots=True)
class HashMatch:
    """A file hash of the incident that an intel profile lists."""

    hash: FileHash
    actors: tuple[ActorRef, ...]


@dataclass(frozen=True, slots=True)
class Brief:
    """What to do with an incident, decided: raise or not, to what, and what to say.

    `severity`, `status` and `tags` are what the incident should have afterwards; in observe mode
    they repeat what it has. `raises` is the JSON field `raise`. `subject` is the incident's number
    and title, as far as they are known, for reports.
    """

    actors: tuple[Actor, ...]
    raises: bool
    severity: Severity
    status: IncidentStatus
    tags: tuple[str, ...]
    comment: Comment | None
    copilot_prompts: tuple[CopilotPrompt, ...]
    exposure: tuple[Exposure, ...]
    hunting_queries: tuple[HuntingQuery, ...]
    left_out: tuple[LeftOut, ...]
    hash_matches: tuple[HashMatch, ...]
    lookups: tuple[Lookup, ...]
    gaps: tuple[Gap, ...]
    mode: Literal["act", "observe"] = "act"
    subject: str = ""

    @property
    def complete(self) -> bool:
        """True when nothing that should have been looked at is missing."""
        return not self.gaps
