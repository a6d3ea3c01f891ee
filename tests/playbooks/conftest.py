"""One engine for all tests of the playbooks."""

import os
from collections.abc import Iterator

import pytest

from tests.playbooks.engine import Engine, impossible, missing


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """Microsoft's engine; skipped where it cannot exist, demanded where it can and CI is set."""
    reason = impossible()
    if reason:
        pytest.skip(reason)
    reason = missing()
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    with Engine() as running:
        yield running
