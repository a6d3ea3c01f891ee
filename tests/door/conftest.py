from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.door.service import Service, running


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running(tmp_path / "state") as service:
        yield service
