import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mdti.sandbox import triggers
from mdti.sandbox.host import Sandbox


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Sandbox]:
    """A sandbox that this process and its children are pointed at."""
    with Sandbox() as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("MDTI_STATE_DIR", str(tmp_path / "state"))
        yield running


@pytest.fixture
def incident(sandbox: Sandbox, tmp_path: Path) -> Path:
    path = tmp_path / "incident.json"
    path.write_text(json.dumps(triggers.incident("invoice", sandbox.world.now)))
    return path
