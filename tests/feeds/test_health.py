"""The feeds in the self-test: one check each, by settings and by the last run's report."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mdti.app import App
from mdti.feeds.health import DESTINATION_SIGNS, SOURCE_SIGNS, is_begun, is_expected
from mdti.feeds.names import DESTINATIONS, ENRICHMENT, PRESETS, SOURCES, feed_names
from mdti.feeds.report import UNLISTED
from mdti.feeds.service import FeedRequest
from mdti.feeds.sync import STILL_READ
from mdti.sandbox.faults import Fault
from mdti.sandbox.feeds import vendors
from mdti.sandbox.host import Sandbox
from mdti.status import status_document

Checks = dict[str, dict[str, Any]]
FEED = "anyrun-to-defender"


class World:
    """A sandbox with the vendors of feeds, a store, and time that passes when told."""

    def __init__(self, sandbox: Sandbox, folder: Path, stack: ExitStack) -> None:
        self.sandbox, self._folder, self._stack = sandbox, folder, stack
        self.late = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.late

    def app(self, *, only: str = "", **settings: str) -> App:
        """Return an app; `only` are the beginnings of the settings of vendors that it has."""
        known = self.sandbox.environment()
        if only:
            kept = ("GRAPH_", "IDENTITY_", "AZURE_", "LOG_", "DEFENDER_", *only.split())
            known = {name: value for name, value in known.items() if name.startswith(kept)}
        state = {"MDTI_STATE_DIR": str(self._folder / "state")}
        app = App({**known, **state, **settings}, now=self.now, sleep=lambda seconds: None)
        self._stack.callback(app.close)
        return app

    def checks(self, app: App) -> Checks:
        document = status_document(app.status())
        checks = {check["name"]: check for check in document["checks"]}
        for check in checks.values():
            assert check["state"] == "ok" or check["hint"], check
        return {name: check for name, check in checks.items() if name.startswith("feed")}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox(vendors=vendors))
        for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):
            monkeypatch.setenv(name, sandbox.environment()[name])
        yield World(sandbox, tmp_path, stack)


def test_two_vendors_that_are_set_up_are_not_sixteen_feeds(world: World) -> None:
    assert set(world.checks(world.app(only="OPENCTI_ CONNECTOR_ ANYRUN_"))) == {
        "feed opencti-to-defender",
        "feed anyrun-to-defender",
    }


def test_a_workspace_alone_sets_no_feed_up(world: World) -> None:
    check = world.checks(world.app(only="SENTINEL_"))["feeds"]
    assert (check["state"], check["message"]) == ("ok", "No feed is set up.")


def test_a_feed_that_is_set_up_and_never_ran_says_how_to_run_it(world: World) -> None:
    check = world.checks(world.app())[f"feed {FEED}"]
    assert (check["state"], check["message"]) == ("warning", "It is set up and has never run.")
    assert f"`mdti feed run {FEED}`" in check["hint"]


def test_a_feed_that_is_well_says_when_it_ran_and_what_it_did(world: World) -> None:
    app = world.app(only="ANYRUN_")
    app.run_feed(FeedRequest(feed=FEED))
    (check,) = world.checks(app).values()
    assert check["state"] == "ok"
    assert check["message"] == f"Its last run finished {check['finished'][:19]}Z."
    assert (check["read"], check["accepted"], check["rejected"], check["pending"]) == (5, 5, 0, 0)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ANYRUN_TOKEN", "@Microsoft.KeyVault(SecretUri=https://v.example/s)", "unresolved"),
        ("ANYRUN_TAXII_URL", "http://elsewhere.example", "ANYRUN_TAXII_URL must be"),
        ("ANYRUN_DEPTH_DAYS", "many", "ANYRUN_DEPTH_DAYS must be"),
        ("ANYRUN_TO_DEFENDER_FEED_MIN_CONFIDENCE", "high", "FEED_MIN_CONFIDENCE must be"),
        ("DEFENDER_ACTION", "Allowed", "DEFENDER_ACTION"),
    ],
)
def test_a_setting_that_a_feed_cannot_use_is_named(
    world: World, name: str, value: str, words: str
) -> None:
    check = world.checks(world.app(**{name: value}))[f"feed {FEED}"]
    assert (check["state"], check["code"]) == ("failed", "badSetting")
    assert words in check["message"]
    assert "v.example" not in json.dumps(check)


def test_a_feed_that_is_set_up_by_half_names_what_is_missing(world: World) -> None:
    checks = world.checks(world.app(only="THREATCONNECT_"))
    check = checks["feed threatconnect-to-sentinel"]
    assert check["message"] == "SENTINEL_WORKSPACE_ID is missing."
    checks = world.checks(world.app(only="OPENCTI_"))
    check = checks["feed opencti-to-defender"]
    assert check["message"] == "CONNECTOR_LIVE_STREAM_ID is missing."


def test_a_config_file_that_is_not_there_is_named(world: World, tmp_path: Path) -> None:
    app = world.app(only="SENTINEL_", OPENCTI_CONFIG=str(tmp_path / "none.yml"))
    assert "OPENCTI_CONFIG" in world.checks(app)["feed opencti-to-defender"]["message"]


def test_a_run_that_failed_is_told_with_its_time_and_what_to_do(world: World) -> None:
    report = world.app(ANYRUN_TOKEN="wrong").run_feed(FeedRequest(feed=FEED)).report
    assert report.error is not None
    check = world.checks(world.app())[f"feed {FEED}"]
    assert (check["state"], check["code"]) == ("failed", report.error.code)
    assert check["message"].startswith(
        f"Its last run, {report.finished:%Y-%m-%dT%H:%M:%SZ}, failed"
    )
    assert check["hint"] == report.error.hint
    assert "wrong" not in json.dumps(check)


def test_a_run_that_failed_without_advice_gets_some(world: World) -> None:
    world.sandbox.faults.set([Fault(kind="error", route="* /anyrun/*", status=400)])
    world.app().run_feed(FeedRequest(feed=FEED))
    check = world.checks(world.app())[f"feed {FEED}"]
    assert check["state"] == "failed"
    assert check["hint"]


def test_rows_that_wait_are_a_warning(world: World) -> None:
    app = world.app(FEED_MAX_REPUTATIONS="1")
    app.run_feed(FeedRequest(feed="mdti-to-anomali"))
    check = world.checks(app)["feed mdti-to-anomali"]
    assert (check["state"], check["pending"]) == ("warning", 3)
    assert "left 3 rows pending" in check["message"]


def test_objects_that_a_full_reading_did_not_list_are_a_warning(world: World) -> None:
    app = world.app()
    app.run_feed(FeedRequest(feed=FEED))
    report = app.feed(FEED)["lastRun"] | {"skipped": {UNLISTED: 3}}
    app.store.write(f"feeds/runs/{FEED}", json.dumps(report).encode())
    check = world.checks(app)[f"feed {FEED}"]
    assert check["state"] == "warning"
    assert "did not list 3 objects" in check["message"]


def test_rows_that_await_approval_are_told_and_no_fault(world: World) -> None:
    app = world.app()
    app.run_feed(FeedRequest(feed=FEED))
    report = app.feed(FEED)["lastRun"] | {"awaitingApproval": 1_234}
    app.store.write(f"feeds/runs/{FEED}", json.dumps(report).encode())
    check = world.checks(app)[f"feed {FEED}"]
    assert (check["state"], check["awaitingApproval"]) == ("ok", 1_234)
    assert "1,234 rows await approval" in check["message"]


@pytest.mark.parametrize(("hours", "state"), [(23, "ok"), (25, "warning")])
def test_a_run_that_stopped_short_is_well_until_nobody_goes_on(
    world: World, hours: int, state: str
) -> None:
    app = world.app()
    app.run_feed(FeedRequest(feed=FEED))
    report = app.feed(FEED)["lastRun"] | {"complete": False}
    app.store.write(f"feeds/runs/{FEED}", json.dumps(report).encode())
    world.late = timedelta(hours=hours)
    check = world.checks(app)[f"feed {FEED}"]
    assert check["state"] == state
    assert "stopped short" in check["message"]


@pytest.mark.parametrize(("days", "state"), [(6, "ok"), (8, "warning")])
def test_a_feed_that_has_not_run_for_longer_than_the_engine_waits_is_a_warning(
    world: World, days: int, state: str
) -> None:
    assert timedelta(days=6) < STILL_READ < timedelta(days=8)
    app = world.app()
    app.run_feed(FeedRequest(feed=FEED))
    world.late = timedelta(days=days)
    check = world.checks(app)[f"feed {FEED}"]
    assert check["state"] == state
    assert ("not renewed any more" in check["message"]) == (state == "warning")


def test_a_feed_whose_settings_were_removed_fails_for_a_week_and_is_then_off(world: World) -> None:
    world.app().run_feed(FeedRequest(feed=FEED))
    app = world.app(only="TAXII_")
    check = world.checks(app)[f"feed {FEED}"]
    assert (check["state"], check["message"]) == ("failed", "ANYRUN_TOKEN is missing.")
    world.late = timedelta(days=8)
    check = world.checks(app)[f"feed {FEED}"]
    assert check["state"] == "ok"
    assert check["message"].startswith("It is switched off")


def test_another_pair_is_spoken_of_once_it_ran_or_has_a_setting_of_its_own(world: World) -> None:
    app = world.app(only="TAXII_")
    assert set(world.checks(app)) == {"feeds"}
    named = world.app(only="TAXII_", TAXII_TO_DEFENDER_FEED_MIN_CONFIDENCE="75")
    assert set(world.checks(named)) == {"feed taxii-to-defender"}
    app.run_feed(FeedRequest(feed="taxii-to-defender"))
    assert set(world.checks(app)) == {"feed taxii-to-defender"}


def test_a_report_that_cannot_be_read_costs_no_other_feed_its_check(world: World) -> None:
    app = world.app(only="ANYRUN_ OPENCTI_ CONNECTOR_")
    app.run_feed(FeedRequest(feed=FEED))
    app.store.write("feeds/runs/opencti-to-defender", b'{"finished": "soon"}')
    checks = world.checks(app)
    assert checks["feed opencti-to-defender"]["state"] == "failed"
    assert checks[f"feed {FEED}"]["state"] == "ok"


def test_a_store_that_is_away_is_one_failed_check(world: World, tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("not a folder")
    check = world.checks(world.app(MDTI_STATE_DIR=str(tmp_path / "blocked")))["feeds"]
    assert (check["state"], check["code"]) == ("failed", "storeUnavailable")


def test_no_vendor_is_asked(world: World) -> None:
    world.checks(world.app())
    assert {seen.vendor for seen in world.sandbox.requests} <= {"graph", "identity"}


def test_the_signs_of_every_end_are_settings_that_its_vendor_in_the_sandbox_names(
    world: World,
) -> None:
    environment = world.sandbox.environment()
    assert (set(SOURCE_SIGNS), set(DESTINATION_SIGNS)) == (set(SOURCES), set(DESTINATIONS))
    for feed in feed_names():
        assert is_begun(feed, environment), feed
        assert not is_begun(feed, {}), feed
        assert is_expected(feed, environment) == (feed in (*PRESETS, ENRICHMENT)), feed


def test_the_enrichment_is_spoken_of_where_it_is_switched_on(world: World) -> None:
    name = f"feed {ENRICHMENT}"
    off = {"THREATSTREAM_ENRICH": "false"}
    assert name not in world.checks(world.app(**off))
    on = world.app()
    assert world.checks(on)[name]["state"] == "warning"
    on.run_feed(FeedRequest(feed=ENRICHMENT))
    assert world.checks(on)[name]["state"] == "ok"
    check = world.checks(world.app(**off))[name]
    assert check["state"] == "ok"
    assert check["message"].startswith("It is switched off")
