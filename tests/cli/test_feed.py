"""`mdti feed`, against the vendors of the sandbox."""

import json
import os
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import pytest

from mdti.app import App
from mdti.cli import main
from mdti.console import Console
from mdti.feeding import FOLLOW_SECONDS, run_feed
from mdti.sandbox.feeds import vendors
from mdti.sandbox.host import Sandbox
from mdti.sandbox.threatstream import ThreatStream
from mdti.sandbox.wire import Vendor

Out = pytest.CaptureFixture[str]


@pytest.fixture
def built() -> list[Vendor]:
    """The vendors of the sandbox, once it runs."""
    return []


@pytest.fixture
def sandbox(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, built: list[Vendor]
) -> Iterator[Sandbox]:
    def build(sandbox: Sandbox) -> list[Vendor]:
        built.extend(vendors(sandbox))
        return built

    with Sandbox(vendors=build) as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("MDTI_STATE_DIR", str(tmp_path / "state"))
        yield running


def test_a_run_shows_what_it_did_and_the_list_remembers_it(sandbox: Sandbox, capsys: Out) -> None:
    assert main(["feed", "run", "anyrun-to-defender"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("anyrun-to-defender: complete\n")
    assert "  accepted                 5\n" in shown
    assert main(["feed", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 17
    assert "complete, 5 accepted, 0 removed" in lines[3]
    assert lines[0].endswith("never run")


def test_a_run_is_given_as_json_too(sandbox: Sandbox, capsys: Out) -> None:
    assert main(["feed", "run", "taxii-to-sentinel", "--dry-run", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["accepted"] == 5
    assert main(["feed", "list", "--format", "json"]) == 0
    feeds = json.loads(capsys.readouterr().out)["feeds"]
    assert all(feed["lastRun"] is None for feed in feeds)


def test_a_run_that_failed_ends_with_1_and_says_what_to_do(
    sandbox: Sandbox, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANYRUN_TOKEN", "wrong")
    assert main(["feed", "run", "anyrun-to-defender"]) == 1
    shown = capsys.readouterr()
    assert "anyrun-to-defender: failed" in shown.out
    assert "Check ANYRUN_TOKEN" in shown.err


def test_a_run_that_left_something_undecided_ends_with_3(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEED_MAX_REPUTATIONS", "1")
    assert main(["feed", "run", "mdti-to-anomali"]) == 3


def test_a_run_whose_rows_await_approval_is_done_and_shows_them(
    sandbox: Sandbox, built: list[Vendor], capsys: Out
) -> None:
    (stream,) = [one for one in built if isinstance(one, ThreatStream)]
    stream.options.approval = "manual"
    assert main(["feed", "run", "mdti-to-anomali"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("mdti-to-anomali: complete\n")
    assert "  awaitingApproval         3\n" in shown
    assert main(["feed", "list"]) == 0
    assert "complete, 0 accepted, 0 removed, 3 awaiting approval" in capsys.readouterr().out


def test_threatstream_is_tagged_in_the_sandbox_and_refused_where_it_is_not_switched_on(
    sandbox: Sandbox, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["feed", "run", "anomali-to-anomali", "--sandbox"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("anomali-to-anomali: complete\n")
    assert "  accepted                 2\n" in shown
    monkeypatch.setenv("THREATSTREAM_ENRICH", "false")
    assert main(["feed", "run", "anomali-to-anomali"]) == 1
    assert "Set THREATSTREAM_ENRICH to true." in capsys.readouterr().err


def test_what_is_no_feed_ends_with_1(sandbox: Sandbox, capsys: Out) -> None:
    assert main(["feed", "run", "mdti-to-sentinel"]) == 1
    assert "There is no feed of the name" in capsys.readouterr().err


def test_a_feed_that_is_followed_is_run_again_and_again(sandbox: Sandbox, capsys: Out) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    options = Namespace(
        name="taxii-to-defender",
        depth_days=None,
        min_score=None,
        dry_run=False,
        full=False,
        follow=True,
    )
    app = App(dict(os.environ), sleep=lambda seconds: None)
    with pytest.raises(KeyboardInterrupt):
        run_feed(options, Console(), app, sleep=sleep)
    app.close()
    assert pauses == [FOLLOW_SECONDS] * 3
    told = capsys.readouterr().err.splitlines()
    assert "5 read, 5 accepted" in told[0]
    assert "0 accepted, 5 unchanged" in told[1]
    assert len(told) == 2
