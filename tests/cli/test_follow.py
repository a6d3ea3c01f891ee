"""`mdti feed run --follow`: what a container runs for months."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from mdti.app import App
from mdti.console import Console
from mdti.errors import LeaseLost, SettingError
from mdti.feeding import FOLLOW_SECONDS, LONGEST_SECONDS, run_feed
from mdti.sandbox.faults import Fault, Faults
from mdti.sandbox.feeds import vendors
from mdti.sandbox.host import Sandbox
from mdti.store.files import FileStore

Out = pytest.CaptureFixture[str]
REFUSED = [Fault(kind="error", route="* /defender/*", status=400)]


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Sandbox]:
    with Sandbox(vendors=vendors, sleep=lambda seconds: None) as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("MDTI_STATE_DIR", str(tmp_path / "state"))
        yield running


class Pauses:
    """Notes every pause; does what was planned in it, and ends the process after `most`."""

    def __init__(self, most: int, plan: dict[int, Callable[[], object]] | None = None) -> None:
        self.most, self.plan = most, plan or {}
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self.plan.get(len(self.seconds), lambda: None)()
        if len(self.seconds) == self.most:
            raise KeyboardInterrupt


def follow(
    pauses: Pauses,
    *,
    full: bool = False,
    feed: str = "anyrun-to-defender",
    clock: Callable[[], float] = time.monotonic,
) -> None:
    options = Namespace(
        name=feed, depth_days=None, min_score=None, dry_run=False, full=full, follow=True
    )
    app = App(dict(os.environ), sleep=lambda seconds: None, clock=clock)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_feed(options, Console(), app, sleep=pauses, random=Random(1))
    finally:
        app.close()


def openings(sandbox: Sandbox) -> list[str]:
    """Return how each reading of the stream began: anew, or where another one stopped."""
    asked = [seen for seen in sandbox.requests if seen.vendor == "opencti"]
    return ["on" if "from" in seen.query else "anew" for seen in asked]


def test_a_full_reading_that_succeeded_is_not_repeated_because_sending_failed(
    sandbox: Sandbox, capsys: Out
) -> None:
    follow(Pauses(1), feed="opencti-to-defender")
    sandbox.forget()
    sandbox.faults.set(REFUSED)
    follow(Pauses(3), full=True, feed="opencti-to-defender")
    assert capsys.readouterr().err.count("failed") == 3
    assert openings(sandbox).count("anew") == 1


def test_a_full_reading_that_could_not_begin_is_tried_again_as_a_full_one(
    sandbox: Sandbox,
) -> None:
    follow(Pauses(1), feed="opencti-to-defender")
    sandbox.forget()
    sandbox.faults.set([Fault(kind="error", route="* /opencti/*", status=401)])
    follow(Pauses(4, {2: sandbox.faults.set}), full=True, feed="opencti-to-defender")
    assert openings(sandbox)[:3] == ["anew"] * 3
    assert set(openings(sandbox)[3:]) == {"on"}


def test_a_full_reading_that_had_no_time_to_begin_is_tried_again(sandbox: Sandbox) -> None:
    def clock() -> float:
        return 800.0 if openings(sandbox) else 0.0  # beyond what is left for reading

    follow(Pauses(1), feed="opencti-to-defender")
    sandbox.forget()
    follow(Pauses(2), full=True, feed="opencti-to-defender", clock=clock)
    assert openings(sandbox)[:2] == ["anew", "anew"]


def test_pauses_grow_while_runs_fail_and_are_bounded_and_uneven(sandbox: Sandbox) -> None:
    sandbox.faults.set(REFUSED)
    pauses = Pauses(10, {9: sandbox.faults.set})
    follow(pauses)
    *failed, last = pauses.seconds
    for number, seconds in enumerate(failed, start=1):
        longest = min(FOLLOW_SECONDS * 2**number, LONGEST_SECONDS)
        assert longest / 2 <= seconds <= longest
    assert len(set(failed)) == len(failed)
    assert last == FOLLOW_SECONDS


def test_runs_that_do_nothing_are_told_once_an_hour(sandbox: Sandbox, capsys: Out) -> None:
    follow(Pauses(6))
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_a_store_that_is_away_or_a_feed_that_is_running_does_not_end_it(
    sandbox: Sandbox, capsys: Out, tmp_path: Path
) -> None:
    lease = files(tmp_path / "state").lease("feeds/leases/anyrun-to-defender")
    follow(Pauses(2, {1: lease.release}))
    told = capsys.readouterr().err
    assert "is running already" in told
    assert "5 accepted" in told


def test_a_setting_that_is_wrong_ends_it(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANYRUN_TOKEN", "")
    options = Namespace(
        name="anyrun-to-defender",
        depth_days=None,
        min_score=None,
        dry_run=False,
        full=False,
        follow=True,
    )
    app = App(dict(os.environ))
    with pytest.raises(SettingError):
        run_feed(options, Console(), app, sleep=Pauses(1))
    app.close()


@contextmanager
def followed(sandbox: Sandbox, state: Path) -> Iterator[subprocess.Popen[str]]:
    settings = {**os.environ, **sandbox.environment(), "MDTI_STATE_DIR": str(state)}
    command = [sys.executable, "-m", "mdti", "feed", "run", "anyrun-to-defender", "--follow"]
    with subprocess.Popen(
        command, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def held(state: Path) -> list[str]:
    """Return the leases of feeds that cannot be taken."""
    store, found = files(state), []
    for name in ("anyrun-to-defender", "to-defender"):
        try:
            store.lease(f"feeds/leases/{name}").release()
        except LeaseLost:
            found.append(name)
    return found


def files(state: Path) -> FileStore:
    return FileStore(state, clock=lambda: datetime.now(UTC))


def test_docker_stop_ends_it_between_two_runs(sandbox: Sandbox, tmp_path: Path) -> None:
    with followed(sandbox, tmp_path) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert re.match(r"\d{4}-\d\d-\d\dT[\d:]+Z anyrun-to-defender: complete, 5 read", line)
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=20)
    assert (process.returncode, rest) == (143, "")
    assert held(tmp_path) == []


@contextmanager
def holding(route: str) -> Iterator[tuple[Sandbox, threading.Event, threading.Event]]:
    """A sandbox that keeps requests waiting: set once one has come, and until set."""
    arrived, release = threading.Event(), threading.Event()

    def hold(seconds: float) -> None:
        arrived.set()
        release.wait(60)

    faults = Faults([Fault(kind="latency", route=route, seconds=60)])
    with Sandbox(vendors=vendors, faults=faults, sleep=hold) as sandbox:
        yield sandbox, arrived, release
        release.set()


def test_docker_stop_ends_it_within_a_run_and_gives_the_leases_back(tmp_path: Path) -> None:
    with (
        holding("GET /defender/*") as (sandbox, arrived, _),
        followed(sandbox, tmp_path) as process,
    ):
        assert arrived.wait(60)
        assert held(tmp_path) == ["anyrun-to-defender", "to-defender"]
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=9)
        assert held(tmp_path) == []
    assert process.returncode == 143


def test_leases_are_not_given_back_while_a_change_is_under_way(tmp_path: Path) -> None:
    with (
        holding("POST /defender/*") as (sandbox, arrived, release),
        followed(sandbox, tmp_path) as process,
    ):
        assert arrived.wait(60)
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
        assert held(tmp_path) == ["anyrun-to-defender", "to-defender"]
        release.set()
        process.communicate(timeout=20)
    assert process.returncode == 143
    assert held(tmp_path) == []
