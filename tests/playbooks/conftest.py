"""Fixtures of the playbook tests: one engine for all of them, and stages to play on."""

import os
from collections.abc import Iterator

import pytest

from tests.playbooks.engine import Engine, availability
from tests.playbooks.scene import Scene
from tests.playbooks.snippets import Stubs
from tests.playbooks.stub import Answer, Stub


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """Microsoft's engine; skipped where it cannot exist, demanded where it can and CI is set."""
    verdict, reason = availability(os.environ)
    if verdict == "fail":
        pytest.fail(reason)
    if verdict == "skip":
        pytest.skip(reason)
    with Engine() as running:
        yield running


@pytest.fixture
def scene(engine: Engine) -> Iterator[Scene]:
    """An incident, and a function app whose answers the test writes."""
    one = Scene(engine)
    with one.place.sandbox:
        yield one
    one.stub.close()


@pytest.fixture
def stub() -> Iterator[Stubs]:
    """Start servers that answer from a script."""
    started: list[Stub] = []

    def start(script: dict[str, list[Answer]]) -> Stub:
        started.append(Stub(script))
        return started[-1]

    yield start
    for one in started:
        one.close()
