from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from mdti.sandbox.host import Sandbox
from mdti.sandbox.identity import GRAPH

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


@dataclass
class Clock:
    """Seconds since 1970 that pass only when told, and the sleeps that were asked for."""

    seconds: float = NOW.timestamp()
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class Caller:
    """Speaks to a sandbox with the app's token."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.session = requests.Session()
        self.session.trust_env = False
        self.token, _ = sandbox.tokens.issue(
            GRAPH, ["ThreatIntelligence.Read.All", "ThreatHunting.Read.All"]
        )

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def get(self, path: str, *, version: str = "v1.0") -> requests.Response:
        """GET a path below threatIntelligence, or an absolute URL as a nextLink gives it."""
        root = f"{self.sandbox.graph_url}/{version}/security/threatIntelligence"
        url = path if path.startswith("http") else f"{root}{path}"
        return self.session.get(url, headers=self.headers, timeout=10)

    def post(self, path: str, document: object) -> requests.Response:
        url = f"{self.sandbox.graph_url}/v1.0{path}"
        return self.session.post(url, headers=self.headers, json=document, timeout=10)

    def pages(self, path: str) -> list[dict[str, Any]]:
        """Follow every nextLink and return the pages."""
        pages = [self.get(path).json()]
        while "@odata.nextLink" in pages[-1]:
            pages.append(self.get(pages[-1]["@odata.nextLink"]).json())
        return pages

    def records(self, path: str) -> list[dict[str, Any]]:
        return [row for page in self.pages(path) for row in page["value"]]

    def artifacts(self, path: str) -> list[str]:
        return [row["artifact"]["id"] for row in self.records(path)]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> Iterator[Sandbox]:
    with Sandbox(clock=clock, sleep=clock.sleep) as running:
        yield running


@pytest.fixture
def caller(sandbox: Sandbox) -> Iterator[Caller]:
    caller = Caller(sandbox)
    with caller.session:
        yield caller
