"""One engine for all tests of the playbooks."""

import os
from collections.abc import Iterator

import pytest

from tests.playbooks.engine import Engine, availability


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
