"""A tenant for tests: the sandbox's story, a clock that passes only by sleeping, and apps.

Nothing is replaced inside the apps: they speak HTTP to the sandbox, and get their tokens from its
identity endpoint through azure-identity, which reads that endpoint from the process's environment.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mdti.app import App
from mdti.incident_models import Brief
from mdti.models import Lookup
from mdti.render.document import lookup_document
from mdti.sandbox import triggers
from mdti.sandbox.faults import Fault
from mdti.sandbox.host import Sandbox, Seen

SEED = "telemetry-cache.example"
"""Nobody wrote about it; the server that it shares gives Paper Drizzle away."""


@dataclass
class Hold:
    """A request that is kept waiting: `reached` once it has come, until `released` is set."""

    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)


@dataclass
class Clock:
    """Seconds that pass only while somebody sleeps, and then at once.

    Whoever sleeps for a time that is in `holds` waits for its release instead.
    """

    seconds: float = 0.0
    holds: dict[float, Hold] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        hold = self.holds.get(seconds)
        if hold is not None:
            hold.reached.set()
            assert hold.released.wait(30)
            return
        with self._lock:
            self.seconds += seconds


class Tenant:
    """`sandbox` and `clock` may be changed; every app is closed when the tenant is left."""

    def __init__(self, sandbox: Sandbox, clock: Clock, folder: Path, stack: ExitStack) -> None:
        self.sandbox, self.clock, self.folder, self._stack = sandbox, clock, folder, stack
        self._stores = 0

    def now(self) -> datetime:
        return self.sandbox.world.now + timedelta(seconds=self.clock.seconds)

    def pass_time(self, **time: float) -> None:
        self.clock.sleep(timedelta(**time).total_seconds())

    def app(self, *, state: Path | str = "state", **settings: str) -> App:
        """Return an app as another process would have it: it shares nothing but the store."""
        environment = {
            **self.sandbox.environment(),
            "MDTI_STATE_DIR": str(self.folder / state),
            "LOOKUP_TIMEOUT_SECONDS": "600",
            **settings,
        }
        app = App(environment, now=self.now, clock=self.clock, sleep=self.clock.sleep)
        self._stack.callback(app.close)
        return app

    def fresh(self, **settings: str) -> App:
        """Return an app with an empty store."""
        self._stores += 1
        return self.app(state=f"state{self._stores}", **settings)

    def faults(self, *faults: Fault) -> None:
        self.sandbox.faults.set(faults)

    @contextmanager
    def holding(self, route: str) -> Iterator[Hold]:
        """Keep requests to `route` waiting until the hold is released or left."""
        hold = Hold()
        seconds = 1_000_000.0 + len(self.clock.holds)
        self.clock.holds[seconds] = hold
        self.faults(Fault(kind="latency", route=route, seconds=seconds))
        try:
            yield hold
        finally:
            hold.released.set()
            self.faults()

    def asked(self, vendor: str = "graph") -> tuple[Seen, ...]:
        return tuple(seen for seen in self.sandbox.requests if seen.vendor == vendor)

    def look_up(self, app: App, *iocs: str, **options: int) -> tuple[Lookup, ...]:
        """Look up as of the moment in which the story is told, however long it takes."""
        request = app.parse_lookup({"iocs": list(iocs or [SEED]), **options})
        return app.look_up(request, at=self.sandbox.world.now)

    def look_up_one(self, app: App, ioc: str = SEED, **options: int) -> Lookup:
        (lookup,) = self.look_up(app, ioc, **options)
        return lookup

    def incident(self, name: str) -> dict[str, Any]:
        return triggers.incident(name, self.sandbox.world.now)


@contextmanager
def tenant_in(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Tenant]:
    clock = Clock()
    with ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox(sleep=clock.sleep))
        for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):
            patch.setenv(name, sandbox.environment()[name])
        yield Tenant(sandbox, clock, folder, stack)


def escalated(lookup: Lookup) -> list[str]:
    return [actor.name for actor in lookup.actors if actor.escalate]


def stages(lookup: Lookup) -> set[str]:
    return {gap.stage for gap in lookup.gaps}


def finding(lookup: Lookup) -> str:
    """Return the look-up as JSON without what it cost."""
    document = {name: value for name, value in lookup_document(lookup).items() if name != "stats"}
    return json.dumps(document, indent=1)


def brief_of(app: App, body: object) -> Brief:
    return app.brief(app.parse_incident(body))
