"""Feeds over HTTP: listed, shown, and run as jobs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from mdti.feeds.names import PRESETS, feed_names
from mdti.sandbox.feeds import vendors
from tests.door.service import Service, load, running


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running(tmp_path / "state", vendors=vendors) as service:
        yield service


def run(service: Service, feed: str, body: dict[str, Any] | None = None) -> requests.Response:
    accepted = service.post(f"/api/v1/feeds/{feed}/runs", body or {})
    assert accepted.status_code == 202, accepted.text
    assert accepted.headers["Location"].startswith(service.url)
    service.settle()
    return service.session.get(accepted.headers["Location"], timeout=30)


@pytest.mark.parametrize("feed", PRESETS)
def test_a_feed_is_run_and_its_report_is_the_jobs_answer(service: Service, feed: str) -> None:
    answer = run(service, feed)
    report = answer.json()
    assert answer.status_code == 200
    assert (report["feed"], report["error"], report["complete"]) == (feed, None, True)
    assert report["accepted"] >= 3
    assert service.get(f"/api/v1/feeds/{feed}").json()["lastRun"] == report


def test_threatstream_is_tagged_over_http(service: Service) -> None:
    answer = run(service, "anomali-to-anomali")
    report = answer.json()
    assert (answer.status_code, report["complete"], report["accepted"]) == (200, True, 2)
    assert run(service, "anomali-to-anomali").json()["unchanged"] == 2


def test_a_feed_that_is_not_switched_on_is_422_and_says_what_to_set(tmp_path: Path) -> None:
    settings = {"THREATSTREAM_ENRICH": "false"}
    with running(tmp_path / "state", settings, vendors=vendors) as service:
        answer = run(service, "anomali-to-anomali")
        assert service.get("/api/v1/feeds/anomali-to-anomali").status_code == 200
    assert answer.status_code == 422
    assert answer.json()["error"]["details"]["hint"] == "Set THREATSTREAM_ENRICH to true."


def test_feeds_are_listed(service: Service) -> None:
    feeds = service.get("/api/v1/feeds").json()["feeds"]
    assert [feed["name"] for feed in feeds[:4]] == list(PRESETS)
    assert all(feed["lastRun"] is None for feed in feeds)


def test_a_run_without_a_body_is_taken(service: Service) -> None:
    answer = service.session.post(f"{service.url}/api/v1/feeds/{PRESETS[3]}/runs", timeout=30)
    assert answer.status_code == 202
    service.settle()


def test_a_dry_run_changes_nothing(service: Service) -> None:
    report = run(service, "anyrun-to-defender", {"dryRun": True, "depthDays": 3}).json()
    assert report["accepted"] == 5
    assert service.get("/api/v1/feeds/anyrun-to-defender").json()["lastRun"] is None


def test_a_run_that_failed_is_422_with_its_report(tmp_path: Path) -> None:
    settings = {"ANYRUN_TOKEN": "wrong"}
    with running(tmp_path / "state", settings, vendors=vendors) as service:
        answer = run(service, "anyrun-to-defender")
    assert answer.status_code == 422
    assert answer.json()["feed"] == "anyrun-to-defender"
    assert answer.json()["error"]["code"] == "identityRefused"


@pytest.mark.parametrize("feed", ["mdti-to-sentinel", "nope"])
def test_what_is_no_feed_is_404(service: Service, feed: str) -> None:
    assert service.get(f"/api/v1/feeds/{feed}").status_code == 404
    assert service.post(f"/api/v1/feeds/{feed}/runs", {}).status_code == 404


@pytest.mark.parametrize("body", [{"depthDays": 0}, {"full": "yes"}, {"x": 1}, []])
def test_a_wrong_body_is_400_and_makes_no_job(service: Service, body: object) -> None:
    assert service.post("/api/v1/feeds/anyrun-to-defender/runs", body).status_code == 400


def test_a_timer_makes_a_job_and_joins_one_that_is_under_way(service: Service) -> None:
    messages: list[str] = []

    class Queue:
        def set(self, message: str) -> None:
            messages.append(message)

    routes = service.module.door.routes
    first = routes.run_feed("anyrun-to-defender", Queue())
    assert first == f"{messages[0]} queued"
    assert routes.run_feed("anyrun-to-defender", Queue()) == first
    assert len(messages) == 1


def test_every_feed_has_a_timer_and_few_begin_at_once() -> None:
    timers = load().FEED_TIMERS
    assert set(timers) == set(feed_names())
    hourly = [schedule.split()[1] for schedule in timers.values() if "/5" not in schedule]
    assert len(set(hourly)) == len(hourly)
