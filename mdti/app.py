"""The composition root: settings in, everything made once and connected.

The doors - the function app and the command line - call the methods of `App` and nothing else.
Parts are made when they are first needed, so a setting that is wrong stops only what needs it.
"""

import hashlib
import re
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

from mdti.allowlist import Allowlist
from mdti.cache import Memory, StoredLookups
from mdti.client import MdtiClient
from mdti.contract import LookupRequest, lookup_answer, parse_lookup
from mdti.credentials import Identity
from mdti.errors import ApiGone, NotFound
from mdti.feeds.registry import Parts
from mdti.feeds.reputations import asking
from mdti.feeds.service import FeedRequest, Feeds
from mdti.feeds.sync import Run
from mdti.feeds.values import Values
from mdti.graph_api import GraphApi
from mdti.incident import Incidents
from mdti.incident_models import Brief, Incident
from mdti.index import ActorIndexes
from mdti.infrastructure import Infrastructure
from mdti.ioc import HostParser
from mdti.job import Job, Submission
from mdti.jobs import Jobs
from mdti.lookup import Lookups
from mdti.models import IntelProfile, Lookup, LookupOptions
from mdti.net.batch import BatchRule
from mdti.net.deadline import Deadline
from mdti.net.transport import Transport
from mdti.render.document import brief_document, dump
from mdti.settings import LOOKUP_ALLOWLIST, LOOKUP_CONCURRENCY, Settings
from mdti.status import Check, SelfTest
from mdti.store.base import Store

T = TypeVar("T")

INDEX_SECONDS = 600.0
STATUS_SECONDS = 60.0
DEFAULT_STATE = Path.home() / ".mdti"
_CLOSED = ("transport", "identity", "store")


class App:
    """One per process; safe for threads. `close` gives its connections back.

    `now`, `clock` and `sleep` are the time that passes for everything the app does.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self.settings = Settings(environment)
        self._now, self._clock, self._sleep = now, clock, sleep
        self._lock = threading.RLock()
        self._parts: dict[str, Any] = {}

    def parse_lookup(self, body: object) -> LookupRequest:
        """Return the look-up that a JSON body asks for."""
        return parse_lookup(body, parser=self.parser, settings=self.settings.lookup)

    def look_up(self, request: LookupRequest, *, at: datetime | None = None) -> tuple[Lookup, ...]:
        """Look the hosts of a request up, within its time; as of `at`, the present when None."""
        options = request.options
        deadline = self.deadline(options.timeout_seconds)
        return self._lookups.look_up(request.hosts, at=at, options=options, deadline=deadline)

    def parse_incident(self, body: object) -> Incident:
        """Return the incident in a trigger body."""
        return self._incidents.parse(body)

    def brief(self, incident: Incident) -> Brief:
        """Return the brief for an incident, within the time that the settings allow."""
        limits = self.settings.lookup
        options = LookupOptions(
            depth=limits.depth,
            lookback_days=limits.lookback_days,
            max_hosts=limits.max_hosts,
            timeout_seconds=limits.timeout_seconds,
        )
        deadline = self.deadline(options.timeout_seconds)
        return self._incidents.brief(incident, options=options, deadline=deadline)

    def actors(self) -> tuple[IntelProfile, ...]:
        """Return all intel profiles by title; raise why there are none."""
        deadline = self.deadline(self.settings.lookup.timeout_seconds)
        index = self._indexes.current(deadline=deadline)
        if not index.profiles:
            index = self._indexes.refresh(deadline=deadline)
        return tuple(sorted(index.profiles.values(), key=lambda profile: profile.title))

    def actor(self, name: str) -> IntelProfile:
        """Return the intel profile with this title or alias; raise `NotFound`."""
        folded = " ".join(name.casefold().split())
        for profile in self.actors():
            if folded in {known.casefold() for known in (profile.title, *profile.aliases)}:
                return profile
        raise NotFound("No intel profile has this title or alias.")

    def status(self) -> tuple[Check, ...]:
        """Try everything that the app needs."""
        return SelfTest(
            settings=self.settings,
            identity=lambda: self.identity,
            transport=lambda: self.transport,
            client=lambda: self._client,
            store=lambda: self.store,
            indexes=lambda: self._indexes,
            infrastructure=lambda: self._infrastructure,
            feeds=lambda: self._feeds.health(),
            now=self._now,
        ).run(deadline=self.deadline(STATUS_SECONDS))

    def perform(self, job: Job) -> tuple[int, str, bytes]:
        """Do the work of a job; returns status, content type and body of the synchronous answer."""
        if job.kind == "lookup":
            request = self.parse_lookup(job.request)
            document: Mapping[str, Any] = lookup_answer(request, self.look_up(request))
        elif job.kind == "incident":
            document = brief_document(self.brief(self.parse_incident(job.request)))
        elif job.kind == "feed":
            return self._feeds.perform(job)
        else:
            raise NotFound(f"There is no work of the kind '{job.kind}'.")
        return 200, "application/json", dump(document)

    def feeds(self) -> list[dict[str, Any]]:
        """Return every feed, the names of its settings and the report of its last run."""
        return self._feeds.all()

    def feed(self, name: str) -> dict[str, Any]:
        """Return one feed; raise `NotFound`."""
        return self._feeds.describe(name)

    def run_feed(self, request: FeedRequest) -> Run:
        """Run a feed once, for at most 25 minutes."""
        return self._feeds.run(request)

    def submit_feed(
        self, request: FeedRequest, *, idempotency_key: str | None = None
    ) -> Submission:
        """Make a job of a run, or join the one that is under way for the same feed."""
        return self.jobs.submit(
            "feed", request.to_json(), idempotency_key=idempotency_key, only=request.feed
        )

    def follow(self, job: Job) -> Submission | None:
        """Make the job that goes on where a finished run of a feed stopped, if it stopped short."""
        request = self._feeds.following(job) if job.kind == "feed" else None
        return self.submit_feed(request) if request is not None else None

    def refresh_index(self) -> None:
        """Read all intel profiles anew; what the daily timer does."""
        self._indexes.refresh(deadline=self.deadline(INDEX_SECONDS))

    def sweep(self) -> None:
        """Delete look-ups and jobs whose time is over; what the daily timer does."""
        self._stored.sweep()
        self.jobs.sweep()

    def deadline(self, seconds: float) -> Deadline:
        """Return the deadline that ends in `seconds`."""
        return Deadline.after(seconds, clock=self._clock)

    def close(self) -> None:
        """Give back threads and connections."""
        with self._lock:
            for kind in _CLOSED:
                for name in [name for name in self._parts if name.partition(" ")[0] == kind]:
                    self._parts.pop(name).close()
            self._parts.clear()

    @property
    def parser(self) -> HostParser:
        """Text to hosts; hosts for examples only while Graph is a sandbox."""
        return HostParser(examples=self.settings.graph.is_sandbox)

    @property
    def identity(self) -> Identity:
        """Who speaks for the app."""
        return self._part("identity", lambda: Identity(self.settings.environment))

    @property
    def transport(self) -> Transport:
        """The one way out."""
        return self._part("transport", lambda: self._make_transport(self.identity))

    @property
    def store(self) -> Store:
        """Where state is kept."""
        return self._part("store", self._make_store)

    @property
    def jobs(self) -> Jobs:
        """What is answered later."""
        return self._part("jobs", lambda: Jobs(self.store, clock=self._now, new_id=uuid4))

    @property
    def _client(self) -> MdtiClient:
        return self._part("client", self._make_client)

    @property
    def _infrastructure(self) -> Infrastructure:
        return self._part(
            "infrastructure",
            lambda: Infrastructure(allowlist=Allowlist.parse(self.settings.get(LOOKUP_ALLOWLIST))),
        )

    @property
    def _indexes(self) -> ActorIndexes:
        return self._part("indexes", self._make_indexes)

    @property
    def _stored(self) -> StoredLookups:
        return self._part(
            "stored", lambda: StoredLookups(self.store, source=self._source, now=self._now)
        )

    @property
    def _lookups(self) -> Lookups:
        return self._part("lookups", self._make_lookups)

    @property
    def _incidents(self) -> Incidents:
        return self._part("incidents", self._make_incidents)

    @property
    def _feeds(self) -> Feeds:
        return self._part("feeds", self._make_feeds)

    @property
    def _source(self) -> str:
        """Return the Graph root as part of a key, so that two worlds never share what they know."""
        parts = urlsplit(self.settings.graph.root)
        return re.sub(r"[^a-z0-9]+", "-", f"{parts.netloc}{parts.path}".lower()).strip("-")

    def _part(self, name: str, make: Callable[[], T]) -> T:
        with self._lock:
            if name not in self._parts:
                self._parts[name] = make()
            part: T = self._parts[name]
            return part

    def _make_transport(self, identity: Identity) -> Transport:
        graph = self.settings.graph
        return Transport(
            token=identity.token,
            concurrency=self.settings.get(LOOKUP_CONCURRENCY),
            batch=BatchRule(graph.root) if graph.batch else None,
            environ=self.settings.environment,
            clock=self._clock,
            sleep=self._sleep,
        )

    def _make_store(self) -> Store:
        storage = self.settings.storage
        if storage.connection_string:
            from mdti.store.blob import BlobStore

            return BlobStore.from_connection_string(storage.connection_string)
        if storage.blob_url:
            from azure.identity import ManagedIdentityCredential

            from mdti.store.blob import BlobStore

            credential = ManagedIdentityCredential(client_id=storage.client_id or None)
            return BlobStore.from_identity(credential, service_uri=storage.blob_url)
        from mdti.store.files import FileStore

        directory = Path(storage.directory) if storage.directory else DEFAULT_STATE
        return FileStore(directory, clock=self._now)

    def _make_client(self) -> MdtiClient:
        graph = self.settings.graph
        if graph.is_sovereign:
            raise ApiGone(
                f"{graph.endpoint} has no threat intelligence.",
                hint="Microsoft offers it in the global cloud alone: the actor look-up cannot work "
                "here; the feeds that do not need it can.",
            )
        return MdtiClient(GraphApi(self.transport, settings=graph), parser=self.parser)

    def _make_indexes(self) -> ActorIndexes:
        return ActorIndexes(
            self.store, self._client, source=self._source, now=self._now, clock=self._clock
        )

    def _make_lookups(self) -> Lookups:
        return Lookups(
            client=self._client,
            indexes=self._indexes,
            memory=Memory(clock=self._clock),
            stored=self._stored,
            infrastructure=self._infrastructure,
            settings=self.settings.lookup,
            now=self._now,
            clock=self._clock,
        )

    def _make_feeds(self) -> Feeds:
        parts = Parts(
            transport_of=self._transport_of,
            values=Values(self.parser),
            ask=asking(lambda: self._lookups, self.parser),
            now=self._now,
            sleep=self._sleep or time.sleep,
        )
        return Feeds(self.settings.environment, parts, store=self.store, clock=self._clock)

    def _transport_of(self, environment: Mapping[str, str]) -> Transport:
        """Return the app's transport, or another where a feed has credentials of its own."""
        own = {name: value for name, value in environment.items() if name.startswith("AZURE_")}
        known = self.settings.environment
        if all(known.get(name) == value for name, value in own.items()):
            return self.transport
        digest = hashlib.sha256(repr(sorted(own.items())).encode()).hexdigest()
        identity = self._part(f"identity {digest}", lambda: Identity(environment))
        return self._part(f"transport {digest}", lambda: self._make_transport(identity))

    def _make_incidents(self) -> Incidents:
        return Incidents(
            lookups=self._lookups,
            indexes=self._indexes,
            client=self._client,
            store=self.store,
            source=self._source,
            parser=self.parser,
            infrastructure=self._infrastructure,
            settings=self.settings.brief,
            now=self._now,
        )
