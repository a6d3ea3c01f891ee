import platform

import pytest

from tests.playbooks import demo
from tests.playbooks.engine import Engine


def test_the_demo_says_what_the_playbook_did(engine: Engine) -> None:
    lines: list[str] = []
    assert demo.main(lines.append) == 0
    text = "\n".join(lines)
    assert "severity Medium, status New, tags none, comments 0" in text
    assert "hands the incident to the function app" in text
    assert "severity High, status Active, tag Paper Drizzle" in text
    assert "asks Security Copilot" in text
    assert "The run succeeded" in text
    assert "severity High, status Active, tags Paper Drizzle, comments 2" in text


def test_without_the_engine_the_demo_says_why_and_fails_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    lines: list[str] = []
    assert demo.main(lines.append) == 0
    assert lines[0].startswith("The playbook is not played: ")
