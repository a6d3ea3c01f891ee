"""The main job: a Sentinel incident in, a brief out."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mdti.attribution import article_ids
from mdti.brief import Findings, merged_actors, write_brief
from mdti.client import MdtiClient
from mdti.entities import parse_incident
from mdti.errors import MdtiError, StoreError
from mdti.exposure import cves_in, find_exposure
from mdti.incident_models import Brief, EarlierDescription, Exposure, HashMatch, Incident
from mdti.index import ActorIndex, ActorIndexes
from mdti.infrastructure import Infrastructure
from mdti.ioc import HostParser
from mdti.lookup import Lookups
from mdti.models import Actor, Article, Gap, Host, IntelProfile, Lookup, LookupOptions
from mdti.net.deadline import Deadline
from mdti.settings import BriefSettings
from mdti.store.base import Store

MAX_EXPOSED_ACTORS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Incidents:
    """Answers incidents; one per process, safe for threads."""

    lookups: Lookups
    indexes: ActorIndexes
    client: MdtiClient
    store: Store
    source: str
    parser: HostParser
    infrastructure: Infrastructure
    settings: BriefSettings
    now: Callable[[], datetime]

    def parse(self, body: object) -> Incident:
        """Return the incident in a trigger body; raise `InputError` when there is none."""
        return parse_incident(
            body,
            parser=self.parser,
            lookup_host_entities=self.settings.lookup_host_entities,
            allowlisted=self._allowlisted,
        )

    def brief(self, incident: Incident, *, options: LookupOptions, deadline: Deadline) -> Brief:
        """Return the brief for an incident; raise when Graph as a whole cannot be used."""
        lookups: tuple[Lookup, ...] = ()
        if incident.hosts:
            lookups = self.lookups.look_up(
                incident.hosts, at=incident.at, options=options, deadline=deadline
            )
        index = self.indexes.current(deadline=deadline)
        matches = tuple(
            HashMatch(file_hash, owners)
            for file_hash in incident.hashes
            if (owners := index.owners(file_hash))
        )
        gaps = self._index_gaps(incident, index)
        actors = merged_actors(lookups, matches, index.profiles)
        exposure, gap = self._exposure(incident, actors, index.profiles, deadline)
        earlier = self._earlier(actors, incident)
        brief = write_brief(
            Findings(
                incident=incident,
                lookups=lookups,
                profiles=index.profiles,
                hash_matches=matches,
                exposure=exposure,
                gaps=(*gaps, *((gap,) if gap else ())),
                earlier=earlier,
            ),
            settings=self.settings,
        )
        self._remember(brief, incident)
        return brief

    def _allowlisted(self, host: Host) -> str | None:
        standing = self.infrastructure.standing(host)
        return standing.provider if standing and standing.role == "allowlisted" else None

    def _index_gaps(self, incident: Incident, index: ActorIndex) -> tuple[Gap, ...]:
        """Return what keeps file hashes from being answered; look-ups say it for themselves."""
        gap = index.gap(self.now()) if incident.hashes else None
        return (gap,) if gap else ()

    def _exposure(
        self,
        incident: Incident,
        actors: Sequence[Actor],
        profiles: Mapping[str, IntelProfile],
        deadline: Deadline,
    ) -> tuple[tuple[Exposure, ...], Gap | None]:
        """Return exposed machines, for an open incident of the workspace that is ours."""
        ours = bool(incident.workspace_id) and incident.workspace_id == self.settings.workspace_id
        if not ours or incident.status == "Closed":
            return (), None
        cves: dict[str, tuple[str, ...]] = {}
        for actor in actors[:MAX_EXPOSED_ACTORS]:
            profile = profiles.get(actor.profile_id or "")
            if profile is None or actor.confidence == "low":
                continue
            texts = [profile.summary, profile.description, profile.tradecraft]
            texts += [a.text for a in self._articles(actor, deadline)]
            cves[actor.name] = cves_in(texts)
        return find_exposure(self.client, cves, deadline=deadline)

    def _articles(self, actor: Actor, deadline: Deadline) -> Sequence[Article]:
        """Return the articles that the actor's evidence links to; they are in memory by now."""
        links = [item.url for item in actor.evidence if item.kind == "article" and item.url]
        ids = dict.fromkeys(i for link in links for i in article_ids(link))
        answers = self.lookups.articles(tuple(ids), deadline=deadline)
        return [answer for answer in answers.values() if not isinstance(answer, MdtiError)]

    def _earlier(
        self, actors: Sequence[Actor], incident: Incident
    ) -> Mapping[str, EarlierDescription]:
        """Return where else Copilot was asked about each actor lately.

        The incident itself does not count: run again, its playbook finds its own comments and asks
        once more where Copilot did not answer. A store that fails says none.
        """
        found: dict[str, EarlierDescription] = {}
        oldest = self.now() - timedelta(days=self.settings.reuse_days)
        with contextlib.suppress(StoreError):
            for profile_id in filter(None, (actor.profile_id for actor in actors)):
                stored = self.store.read(self._key(profile_id))
                if stored is None:
                    continue
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    document = json.loads(stored.body)
                    at = datetime.fromisoformat(document["at"])
                    if at > oldest and document["incident"] != _shown(incident):
                        where = (document["incident"], document["url"])
                        found[profile_id] = EarlierDescription(at, *where)
        return found

    def _remember(self, brief: Brief, incident: Incident) -> None:
        ids = {actor.name: actor.profile_id for actor in brief.actors}
        number = _shown(incident)
        with contextlib.suppress(StoreError):
            for prompt in brief.copilot_prompts:
                document = {"at": self.now().isoformat(), "incident": number, "url": incident.url}
                key = self._key(ids[prompt.actor] or "")
                self.store.write(key, json.dumps(document).encode())

    def _key(self, profile_id: str) -> str:
        digest = hashlib.sha256(f"{self.source} {profile_id}".encode()).hexdigest()
        return f"described/{digest}.json"


def _shown(incident: Incident) -> str:
    return f"#{incident.number}" if incident.number is not None else incident.title
