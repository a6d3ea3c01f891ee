"""Fixtures that rooms share."""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings

from tests.azurite.server import Azurite, missing, running
from tests.store.backends import Backend, BlobBackend, FileBackend
from tests.tenant import Tenant, tenant_in

# What decides over a change must give the same answer twice, also on a slow machine.
settings.register_profile("ci", derandomize=True, suppress_health_check=[HealthCheck.too_slow])
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    if reason := missing():
        pytest.skip(reason)
    with running(tmp_path_factory.mktemp("azurite")) as server:
        yield server


@pytest.fixture(params=["files", "azurite"])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Every kind of store, each test with an empty one."""
    made: Backend
    if request.param == "files":
        made = FileBackend(request.getfixturevalue("tmp_path") / "state")
    else:
        made = BlobBackend(request.getfixturevalue("azurite"), f"test-{uuid4()}")
    yield made
    made.close()


@pytest.fixture
def tenant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tenant]:
    """The sandbox's story with an identity that may read it, and a folder for state."""
    with tenant_in(tmp_path, monkeypatch) as tenant:
        yield tenant
