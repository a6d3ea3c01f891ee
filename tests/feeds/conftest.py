"""What the tests of the feeds share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.feeds.fakes import Place


@pytest.fixture(autouse=True, scope="module")
def disk() -> Iterator[None]:
    """No machine loses its power here, and waiting for the disk is most of a crash test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mdti.store.files.os.fsync", lambda descriptor: None)
        yield


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A store, a clock, and feeds between fakes."""
    return Place(tmp_path / "state")
