import os
import re
from pathlib import Path

import pytest

from mdti.cli import main


def test_the_demo_tells_one_incident_from_story_to_cache(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOOKUP_DEPTH", "0")  # the demo is the same for everybody
    assert main(["demo"]) == 0
    shown = capsys.readouterr()
    story, *sections = re.split(r"\n\n(?=.+\n─+\n)", shown.out)
    titles = [section.partition("\n")[0] for section in sections]

    assert story.count(". ") == 2
    assert titles == [
        "The brief, as an analyst reads it",
        "What changes on incident #4711",
        "The report for people",
        "Asked again",
        "Try next",
    ]
    brief, changes, report, again, following = sections
    assert "ESCALATE: severity High, status Active, tags Paper Drizzle" in brief
    assert "CVE-2099-20931, used by Paper Drizzle: 3 machines" in brief
    assert "severity  Medium → High" in changes
    assert "status    New → Active" in changes
    assert "tags      + Paper Drizzle" in changes
    assert f"Wrote {tmp_path / 'report.html'}: open it in a browser." in report
    assert "<svg" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "\n0 requests instead of " in again
    assert len(re.findall(r"^\S*(?:mdti|python\S* -m mdti) ", following, re.MULTILINE)) == 3
    assert shown.err == ""
    assert "MDTI_STATE_DIR" not in os.environ


def test_what_the_demo_suggests_can_be_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lookup", "orchard-bakery.example", "--sandbox"]) == 0
    assert "no actor found" in capsys.readouterr().out
