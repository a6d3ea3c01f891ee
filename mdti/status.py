"""The self-test: does each thing the app needs work, and what to do where it does not."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from mdti.client import MdtiClient
from mdti.credentials import Identity
from mdti.errors import ApiError, MdtiError, SettingError, StoreError
from mdti.feeds.health import Health
from mdti.graph_api import HUNTING_PERMISSION, PERMISSION
from mdti.index import ActorIndexes
from mdti.infrastructure import Infrastructure
from mdti.ioc import HostParser
from mdti.net.batch import BatchRule, pack, unpack
from mdti.net.deadline import Deadline
from mdti.net.transport import Request, Transport
from mdti.settings import ALLOWED_CALLERS, SETTINGS, GraphSettings, Settings
from mdti.store.base import Store

State = Literal["ok", "warning", "failed"]

_PROBE_HOST = "microsoft.com"
_PROBE_KEY = "status/probe"
_ROLE_DELAY = "the platform keeps a token for up to a day; wait, or assign another identity"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried: what came of it, and what to do about it."""

    name: str
    state: State
    message: str
    hint: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the check as the HTTP contract shows it."""
        document = {"name": self.name, "state": self.state, "message": self.message}
        if self.hint:
            document["hint"] = self.hint
        return document | dict(self.facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTest:
    """Everything the self-test looks at; each part is made when it is needed.

    A part that cannot even be made raises the `MdtiError` that says why.
    """

    settings: Settings
    identity: Callable[[], Identity]
    transport: Callable[[], Transport]
    client: Callable[[], MdtiClient]
    store: Callable[[], Store]
    indexes: Callable[[], ActorIndexes]
    infrastructure: Callable[[], Infrastructure]
    feeds: Callable[[], Mapping[str, Health]]
    now: Callable[[], datetime]

    def run(self, *, deadline: Deadline) -> tuple[Check, ...]:
        """Try everything and return what came of it, in the order in which things depend."""
        checks = (
            ("settings", self._settings),
            ("callers", self._callers),
            ("store", self._store),
            ("token", self._token),
            ("permission", self._permission),
            ("threatIntelligence", lambda: self._threat_intelligence(deadline)),
            ("batch", lambda: self._batch(deadline)),
            ("hunting", self._hunting),
            ("actorIndex", lambda: self._index(deadline)),
            ("lists", self._lists),
        )
        return (*(_tried(name, check) for name, check in checks), *self._feeds())

    def _settings(self) -> Check:
        wrong = []
        for setting in SETTINGS:
            try:
                self.settings.get(setting)
            except MdtiError as error:
                wrong.append(error.message)
        if wrong:
            return Check("settings", "failed", " ".join(wrong), "Correct the app settings.")
        return Check("settings", "ok", f"{len(SETTINGS)} settings can be read.")

    def _callers(self) -> Check:
        if self.settings.raw("WEBSITE_AUTH_ENABLED").lower() != "true":
            return Check("callers", "ok", "Easy Auth is off: every route needs a function key.")
        count = len(self.settings.get(ALLOWED_CALLERS))
        if count:
            return Check("callers", "ok", f"Easy Auth is on and admits {count} callers.")
        hint = "Put the object ids of the playbooks' identity and of others into it."
        return Check("callers", "failed", "MDTI_ALLOWED_CALLERS is empty: nobody may call.", hint)

    def _store(self) -> Check:
        store = self.store()
        store.write(_PROBE_KEY, b"probe")
        store.read(_PROBE_KEY)
        store.delete(_PROBE_KEY)
        return Check("store", "ok", "State can be written, read and deleted.")

    def _token(self) -> Check:
        identity = self.identity()
        identity.token(self._graph.audience)
        return Check("token", "ok", f"Graph tokens come from the {identity.source}.")

    def _permission(self) -> Check:
        """Tell "not granted" from "granted, but this token is older"."""
        identity, scope = self.identity(), self._graph.audience
        before = identity.claims(scope)
        if PERMISSION in _roles(before):
            return Check("permission", "ok", f"{PERMISSION} is granted.")
        identity.token(scope, True)
        after = identity.claims(scope)
        if PERMISSION in _roles(after):
            message = f"{PERMISSION} is granted, but the token in use was older; it was renewed."
            return Check("permission", "ok", message)
        issued, until = _moment(after, "iat"), _moment(after, "exp")
        message = f"{PERMISSION} was not granted when this token was issued ({issued})."
        if dict(before) == dict(after):
            message += f" If it was granted since, {_ROLE_DELAY}: it ends {until}."
        return Check("permission", "failed", message, f"Grant {PERMISSION} to the app's identity.")

    def _threat_intelligence(self, deadline: Deadline) -> Check:
        client = self.client()
        error = client.absence(deadline=deadline)
        if error is not None:
            raise error
        host = HostParser().parse(_PROBE_HOST)
        answer = client.reputations([host], deadline=deadline)[host]
        if isinstance(answer, MdtiError):
            raise answer
        return Check("threatIntelligence", "ok", "Intel profiles and reputations can be read.")

    def _batch(self, deadline: Deadline) -> Check:
        rule = BatchRule(self._graph.root)
        url = f"{self._graph.root}/security/threatIntelligence/intelProfiles?$top=1"
        parts = [Request(url, audience=self._graph.audience)]
        facts = {"switchedOn": self._graph.batch}
        try:
            envelope = self.transport().send(pack(rule, parts), deadline=deadline)
        except MdtiError as error:
            said = "does not accept batches" if _is_answer(error) else "could not be asked"
            message = f"The tenant {said}: {error.message}"
            return Check("batch", _refused(self._graph), message, "Keep GRAPH_BATCH off.", facts)
        (part,) = unpack(envelope, parts, api=envelope.api)
        status = getattr(part, "status", None)
        if status == 200:
            hint = "" if self._graph.batch else "GRAPH_BATCH may be switched on."
            return Check("batch", "ok", "The tenant accepts batches.", hint, facts)
        message = f"A request inside a batch was answered with {status}."
        return Check("batch", _refused(self._graph), message, "Keep GRAPH_BATCH off.", facts)

    def _hunting(self) -> Check:
        if HUNTING_PERMISSION in _roles(self.identity().claims(self._graph.audience)):
            return Check("hunting", "ok", f"{HUNTING_PERMISSION} is granted.")
        hint = f"Optional: grant {HUNTING_PERMISSION} to see exposed machines in the brief."
        return Check("hunting", "warning", f"{HUNTING_PERMISSION} is not granted.", hint)

    def _index(self, deadline: Deadline) -> Check:
        index = self.indexes().current(deadline=deadline)
        gap = index.gap(self.now())
        facts = {"profiles": len(index.profiles), "artifacts": len(index.rows)}
        if gap is not None:
            hint = "It is read anew with the next look-up; see the checks above for the cause."
            return Check("actorIndex", "failed", f"{gap.reason}.".capitalize(), hint, facts)
        message = f"The intel profiles were read {index.built.isoformat(timespec='seconds')}."
        return Check("actorIndex", "ok", message, facts=facts)

    def _lists(self) -> Check:
        lists = self.infrastructure()
        date = lists.snapshot.isoformat()
        message = f"Public lists of infrastructure are of {date} ({lists.source})."
        return Check("lists", "ok", message)

    def _feeds(self) -> tuple[Check, ...]:
        """One check for each feed that is set up or has run; no feed costs the others theirs."""
        try:
            feeds = self.feeds()
        except MdtiError as error:
            return (_failure("feeds", error),)
        return tuple(
            Check(f"feed {name}", health.state, health.message, health.hint, health.facts)
            for name, health in feeds.items()
        ) or (Check("feeds", "ok", "No feed is set up."),)

    @property
    def _graph(self) -> GraphSettings:
        return self.settings.graph


def status_document(checks: tuple[Check, ...]) -> dict[str, Any]:
    """Return the self-test as the HTTP contract shows it; it is well when nothing has failed."""
    healthy = not any(check.state == "failed" for check in checks)
    return {"healthy": healthy, "checks": [check.to_json() for check in checks]}


def _tried(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except MdtiError as error:
        return _failure(name, error)


def _failure(name: str, error: MdtiError) -> Check:
    return Check(name, "failed", error.message, _advice(error), {"code": error.code})


def _advice(error: MdtiError) -> str:
    if error.hint:
        return error.hint
    if isinstance(error, SettingError):
        return "Correct the app setting."
    if isinstance(error, StoreError):
        return "Check the storage, and what the app's identity may do there."
    return "Ask again in some minutes; a failure that stays is one for Microsoft's support."


def _refused(graph: GraphSettings) -> State:
    return "failed" if graph.batch else "warning"


def _is_answer(error: MdtiError) -> bool:
    """True when the error says something about batches, and not about identity or an outage."""
    return isinstance(error, ApiError) and (error.status or 0) in {400, 403, 404, 405, 501}


def _roles(claims: Mapping[str, Any]) -> tuple[str, ...]:
    roles = claims.get("roles")
    return tuple(map(str, roles)) if isinstance(roles, list) else ()


def _moment(claims: Mapping[str, Any], name: str) -> str:
    seconds = claims.get(name)
    if not isinstance(seconds, int | float):
        return "at an unknown time"
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
