"""The feeds as the app runs them, against the sandbox's vendors."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from mdti.app import App
from mdti.errors import InputError, MdtiError, NotFound, SettingError
from mdti.feeds.names import PRESETS, feed_names
from mdti.feeds.service import FeedRequest, parse_feed
from mdti.feeds.settings import environment_of
from mdti.sandbox.feeds import vendors
from mdti.sandbox.host import Sandbox


class Late:
    """A clock on which 24 minutes are over once the sandbox was asked twice for objects."""

    def __init__(self) -> None:
        self.sandbox: Sandbox | None = None

    def __call__(self) -> float:
        if self.sandbox is None:
            return 0.0
        asked = sum("objects" in seen.path for seen in self.sandbox.requests)
        return 1_450.0 if asked > 1 else 0.0


@contextmanager
def running(
    state: Path,
    settings: Mapping[str, str] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[App]:
    with ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox(vendors=vendors))
        if isinstance(clock, Late):
            clock.sandbox = sandbox
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name in [name for name in os.environ if name.startswith(("AZURE", "AzureWebJobs"))]:
            patch.delenv(name)
        environment = {**sandbox.environment(), "MDTI_STATE_DIR": str(state), **(settings or {})}
        for name, value in environment.items():
            patch.setenv(name, value)
        app = App(dict(os.environ), sleep=lambda seconds: None, clock=clock)
        stack.callback(app.close)
        yield app


DIRECT = {"THREATSTREAM_APPROVAL": "direct", "FEED_MIN_CONFIDENCE": "0"}


@pytest.mark.parametrize("feed", [name for name in feed_names() if not name.startswith("anomali")])
def test_every_source_reaches_every_destination(tmp_path: Path, feed: str) -> None:
    with running(tmp_path, DIRECT) as app:
        report = app.run_feed(FeedRequest(feed=feed)).report
        assert report.error is None, report.error
        assert report.read >= 5
        assert report.accepted >= 3
        again = app.run_feed(FeedRequest(feed=feed)).report
        assert (again.accepted, again.removed) == (0, 0)
        assert again.unchanged == report.accepted
        assert app.feed(feed)["lastRun"] == again.to_json()


@pytest.mark.parametrize("destination", ["defender", "sentinel"])
def test_what_threatstream_holds_reaches_the_others(tmp_path: Path, destination: str) -> None:
    with running(tmp_path, DIRECT) as app:
        app.run_feed(FeedRequest(feed="mdti-to-anomali"))
        report = app.run_feed(FeedRequest(feed=f"anomali-to-{destination}")).report
        assert report.error is None
        assert report.accepted >= 3


def test_only_hosts_of_a_bad_reputation_reach_threatstream(tmp_path: Path) -> None:
    with running(tmp_path, DIRECT) as app:
        report = app.run_feed(FeedRequest(feed="mdti-to-anomali")).report
        assert report.skipped.get("reputation too low", 0) + report.accepted == 5


def test_the_floor_of_a_run_holds_until_the_feed_runs_with_another(tmp_path: Path) -> None:
    with running(tmp_path, DIRECT) as app:
        lax = app.run_feed(FeedRequest(feed="mdti-to-anomali", min_score=0)).report
        assert lax.error is None
        assert "reputation too low" not in lax.skipped
        other = app.run_feed(FeedRequest(feed="taxii-to-anomali")).report
        assert (other.error, other.removed) == (None, 0)
        strict = app.run_feed(FeedRequest(feed="mdti-to-anomali", min_score=100)).report
        assert strict.removed > 0
        again = app.run_feed(FeedRequest(feed="mdti-to-anomali")).report
        assert 0 < again.accepted <= strict.removed


def test_a_host_beyond_the_budget_of_reputations_is_pending_and_never_sent(tmp_path: Path) -> None:
    with running(tmp_path, {**DIRECT, "FEED_MAX_REPUTATIONS": "1"}) as app:
        first = app.run_feed(FeedRequest(feed="mdti-to-anomali")).report
        assert first.pending == 3
        assert not first.complete
        for _ in range(3):
            last = app.run_feed(FeedRequest(feed="mdti-to-anomali")).report
        assert last.pending == 0


def test_a_missing_setting_is_named(tmp_path: Path) -> None:
    with (
        running(tmp_path, {"ANYRUN_TOKEN": ""}) as app,
        pytest.raises(SettingError, match="ANYRUN_TOKEN is missing"),
    ):
        app.run_feed(FeedRequest(feed="anyrun-to-defender"))


def test_a_wrong_setting_of_another_feed_into_the_place_names_that_feed(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        assert app.run_feed(FeedRequest(feed="taxii-to-defender")).report.error is None
    wrong = {"TAXII_TO_DEFENDER_FEED_MIN_CONFIDENCE": "much"}
    with running(tmp_path, wrong) as app:
        error = app.run_feed(FeedRequest(feed="anyrun-to-defender")).report.error
    assert isinstance(error, SettingError)
    assert error.message.startswith("taxii-to-defender goes to the same place")
    assert "FEED_MIN_CONFIDENCE" in error.message


def test_the_source_system_is_frozen_after_the_first_run(tmp_path: Path) -> None:
    feed = FeedRequest(feed="taxii-to-sentinel")
    with running(tmp_path) as app:
        assert app.run_feed(feed).report.error is None
    with running(tmp_path, {"SENTINEL_SOURCE_SYSTEM": "Another name"}) as app:
        error = app.run_feed(feed).report.error
        assert isinstance(error, SettingError)
        assert "Another name" in error.message


def test_a_job_answers_with_the_report_also_when_the_run_failed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(tmp_path, {"THREATCONNECT_SECRET_KEY": "wrong"}) as app:
        job = app.submit_feed(FeedRequest(feed="threatconnect-to-sentinel")).job
        done = app.jobs.run(job.id, app.perform)
        assert done.state == "failed"
        body = app.jobs.result(done)
        assert body is not None
        assert b'"feed": "threatconnect-to-sentinel"' in body
        assert b"wrong" not in body
        assert "feed threatconnect-to-sentinel: failed (identityRefused), 0 read" in caplog.text
        assert "wrong" not in caplog.text
        assert app.follow(done) is None


def test_a_run_that_stops_short_is_followed_by_another(tmp_path: Path) -> None:
    clock = Late()
    with running(tmp_path, clock=clock) as app:
        job = app.submit_feed(FeedRequest(feed="anyrun-to-defender", full=True)).job
        done = app.jobs.run(job.id, app.perform)
        following = app.follow(done)
        assert following is not None
        assert following.enqueue
        assert following.job.request["full"] is False
        assert app.follow(done) is None
        clock.sandbox = None
        last = app.jobs.run(following.job.id, app.perform)
        assert last.state == "succeeded"
        assert app.follow(last) is None
        report = app.feed("anyrun-to-defender")["lastRun"]
        assert report["complete"]
        assert report["accepted"] + report["unchanged"] == 5


def test_a_second_run_of_a_feed_joins_the_first(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        first = app.submit_feed(FeedRequest(feed="taxii-to-defender"))
        second = app.submit_feed(FeedRequest(feed="taxii-to-defender", full=True))
        assert second.joined
        assert second.job.id == first.job.id


def test_all_feeds_are_listed_with_the_names_of_their_settings(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        feeds = {feed["name"]: feed for feed in app.feeds()}
    assert tuple(feeds)[:4] == PRESETS
    assert len(feeds) == 17
    assert set(feeds["anomali-to-anomali"]["settings"]) == {
        "FEED_SWEEP_PERCENT",
        "FEED_FULL_DAYS",
        "FEED_MAX_REPUTATIONS",
        "THREATSTREAM_URL",
        "THREATSTREAM_USERNAME",
        "THREATSTREAM_API_KEY",
        "THREATSTREAM_MIN_SCORE",
        "THREATSTREAM_ENRICH",
    }
    assert "THREATSTREAM_ENRICH" not in feeds["mdti-to-anomali"]["settings"]
    assert "THREATSTREAM_MIN_SCORE" in feeds["mdti-to-anomali"]["settings"]
    assert feeds["taxii-to-defender"]["lastRun"] is None


@pytest.mark.parametrize(
    "name",
    ["mdti-to-sentinel", "defender-to-defender", "taxii", "taxii-to-", "../x", "a-to-b-to-c"],
)
def test_what_is_no_feed_is_not_found(name: str) -> None:
    with pytest.raises(NotFound):
        parse_feed(name, {})


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {"x": 1},
        {"depthDays": 0},
        {"depthDays": True},
        {"depthDays": "1"},
        {"full": 1},
        {"minScore": 101},
    ],
)
def test_a_body_that_is_no_request_is_refused(body: Any) -> None:
    with pytest.raises(InputError):
        parse_feed("taxii-to-defender", body)


def test_a_setting_may_be_given_for_one_feed_alone() -> None:
    environment = {"FEED_MIN_CONFIDENCE": "50", "ANYRUN_TO_DEFENDER_FEED_MIN_CONFIDENCE": "75"}
    assert environment_of("anyrun-to-defender", environment)["FEED_MIN_CONFIDENCE"] == "75"
    assert environment_of("taxii-to-defender", environment)["FEED_MIN_CONFIDENCE"] == "50"


def test_the_connectors_own_names_count_for_its_feed_alone(tmp_path: Path) -> None:
    config = tmp_path / "config.yml"
    config.write_text(
        "opencti:\n  url: https://cti.example\nconnector:\n  live_stream_listen_delete: false\n"
        "microsoft_defender_intel:\n  action: Block\n  expire_time: 7\n  tenant_id: theirs\n"
        "  base_url: https://api-gcc.securitycenter.microsoft.us\n"
    )
    environment = {"OPENCTI_CONFIG": str(config), "OPENCTI_URL": "https://wins.example"}
    known = environment_of("opencti-to-defender", environment)
    assert known["OPENCTI_URL"] == "https://wins.example"
    assert known["CONNECTOR_LIVE_STREAM_LISTEN_DELETE"] == "false"
    assert (known["DEFENDER_ACTION"], known["DEFENDER_EXPIRE_DAYS"]) == ("Block", "7")
    assert known["DEFENDER_SCOPE"] == "https://api-gcc.securitycenter.microsoft.us/.default"
    assert known["AZURE_TENANT_ID"] == "theirs"
    other = environment_of("opencti-to-defender", {**environment, "AZURE_CLIENT_ID": "ours"})
    assert (other["AZURE_CLIENT_ID"], other.get("AZURE_TENANT_ID")) == ("ours", None)
    on_azure = {**environment, "IDENTITY_ENDPOINT": "http://localhost/msi"}
    assert "AZURE_TENANT_ID" not in environment_of("opencti-to-defender", on_azure)
    assert "DEFENDER_ACTION" not in environment_of("anyrun-to-defender", environment)


def test_a_config_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(MdtiError, match="OPENCTI_CONFIG"):
        environment_of("opencti-to-defender", {"OPENCTI_CONFIG": str(tmp_path / "none.yml")})
