"""The sandbox as the benchmarks use it: in a process of its own, and controlled over HTTP.

`python -m tests.bench.sandbox LATENCY NAMES` serves a world of one fact: NAMES names resolved to
the address `SEED` in the last year, and every 50th of them carries an actor rule. It is for
benchmarks that need many hosts in one hop; the others run `python -m mdti.sandbox`: the story.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

from mdti.sandbox.faults import Fault, Faults
from mdti.sandbox.graph import GraphOptions
from mdti.sandbox.host import Sandbox
from mdti.sandbox.odata import Paging
from mdti.sandbox.world import ACTOR_RULE, World

ROOT = Path(__file__).parents[2]
SEED = "198.18.0.1"
EVERY = 50
"""One name of so many is an actor's."""


@dataclass(frozen=True, slots=True)
class Place:
    """A sandbox in another process: the app settings that point to it, and its controls."""

    environment: dict[str, str]

    @property
    def root(self) -> str:
        return self.environment["GRAPH_ENDPOINT"].removesuffix("/graph")

    def paths(self) -> list[str]:
        """Return the path of every request to Graph so far."""
        seen = _control("GET", f"{self.root}/_sandbox/requests")["requests"]
        return [one["path"] for one in seen if one["vendor"] == "graph"]

    def forget(self) -> None:
        _control("DELETE", f"{self.root}/_sandbox/requests")

    def fault(self, *faults: dict[str, Any]) -> None:
        """Put these faults in force besides the latency that the sandbox was started with."""
        in_force = _control("GET", f"{self.root}/_sandbox/faults")["faults"]
        latency = [fault for fault in in_force if fault["kind"] == "latency"]
        document = {"faults": [*latency, *faults]}
        _control("PUT", f"{self.root}/_sandbox/faults", json=document)


@contextmanager
def story(latency: float) -> Iterator[Place]:
    """Serve the story, each answer `latency` seconds late."""
    with _running(["mdti.sandbox", "--port", "0", "--json", "--latency", str(latency)]) as place:
        yield place


@contextmanager
def fan(latency: float, names: int) -> Iterator[Place]:
    """Serve the world of one fact."""
    with _running(["tests.bench.sandbox", str(latency), str(names)]) as place:
        yield place


@contextmanager
def pointed_at(environment: dict[str, str]) -> Iterator[None]:
    """Let this process's environment name the identity endpoint, where azure-identity looks."""
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _running(module: Sequence[str]) -> Iterator[Place]:
    command = [sys.executable, "-m", *module]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            place = Place(json.loads(process.stdout.readline()))
            with pointed_at(place.environment):
                yield place
        finally:
            process.kill()


def _control(method: str, url: str, **options: Any) -> dict[str, Any]:
    with requests.Session() as session:
        session.trust_env = False
        answer = session.request(method, url, timeout=60, **options)
    answer.raise_for_status()
    document: dict[str, Any] = answer.json() if answer.content else {}
    return document


def _world(names: int) -> World:
    world = World(datetime.now(UTC))
    for number in range(names):
        name = f"host-{number}.example"
        world.resolution(name, SEED, 300, 0)
        if number % EVERY == 0:
            world.rule(name, ACTOR_RULE, f"Actor {number // EVERY}")
    return world


def main(latency: str, names: str) -> None:
    """Serve until killed; print the settings first."""
    slow = Faults([Fault(kind="latency", route="* /graph/*", seconds=float(latency))])
    options = GraphOptions(paging=Paging(page_size=1_000))
    with Sandbox(_world(int(names)), faults=slow, graph=options) as sandbox:
        print(json.dumps(sandbox.environment()), flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
