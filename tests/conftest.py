"""Fixtures that rooms share."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.azurite.server import Azurite, missing, running
from tests.store.backends import Backend, BlobBackend, FileBackend


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
