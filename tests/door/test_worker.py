"""The same functions on Microsoft's own worker library, which finds, checks and calls them."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mdti.feeds.names import feed_names
from tests.door.service import LATER, ROOT, SEED, Service, running
from tests.door.worker import Message, Worker

if sys.version_info < (3, 13):
    pytest.skip("azure-functions-runtime needs Python 3.13", allow_module_level=True)
pytest.importorskip("azure_functions_runtime")

NAMES = {
    "post_lookups",
    "get_lookups",
    "post_incidents",
    "get_job",
    "get_actors",
    "get_actor",
    "get_status",
    "get_health",
    "get_openapi",
    "legacy",
    "run_job",
    "daily",
    "get_feeds",
    "get_feed",
    "post_feed_run",
    *(feed.replace("-", "_") for feed in feed_names()),
}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running(tmp_path) as service:
        yield service


@pytest.fixture
def worker(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    monkeypatch.delitem(sys.modules, "function_app", raising=False)
    yield Worker(ROOT)
    sys.modules["function_app"].door.close()


def test_the_worker_finds_every_function(worker: Worker) -> None:
    assert set(worker.functions) == NAMES
    routes = [json.loads(raw) for raw in worker.functions["get_job"].raw_bindings]
    assert routes[0]["route"] == "v1/jobs/{id}"


def test_the_worker_answers_a_look_up(worker: Worker) -> None:
    answer, whole = worker.http("post_lookups", method="POST", body={"ioc": SEED})

    assert answer.status_code == "200"
    assert {k.lower(): v for k, v in answer.headers.items()}["content-type"] == "application/json"
    assert json.loads(answer.body.bytes)["actors"][0]["name"] == "Paper Drizzle"
    assert whole.output_data == []


def test_the_worker_sends_a_job_to_the_queue_runs_it_and_gives_its_answer(worker: Worker) -> None:
    accepted, whole = worker.http("post_lookups", method="POST", headers=LATER, body={"ioc": SEED})
    (sent,) = whole.output_data
    job_id = json.loads(accepted.body.bytes)["id"]
    assert accepted.status_code == "202"
    assert (sent.name, sent.data.string) == ("queue", job_id)

    metadata = {
        "Id": "1",
        "DequeueCount": "1",
        "ExpirationTime": "2026-11-28T12:00:00+00:00",
        "InsertionTime": "2026-11-21T12:00:00+00:00",
        "NextVisibleTime": "2026-11-21T12:10:00+00:00",
        "PopReceipt": "x",
    }
    worker.call("run_job", metadata, message=Message(string=sent.data.string))
    answer, _ = worker.http("get_job", params={"id": job_id})

    assert answer.status_code == "200"
    assert json.loads(answer.body.bytes)["ioc"]["value"] == SEED


def test_the_worker_answers_a_page_with_its_charset(worker: Worker) -> None:
    answer, _ = worker.http("get_lookups", query={"ioc": SEED, "format": "html"})

    headers = {name.lower(): value for name, value in answer.headers.items()}
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert "content-security-policy" in headers


def test_the_worker_runs_the_timer(worker: Worker, service: Service) -> None:
    timer = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": None, "IsPastDue": False}
    worker.call("daily", timer=Message(json=json.dumps(timer)))

    assert any("intelProfiles" in seen.path for seen in service.sandbox.requests)
    assert os.environ["IDENTITY_ENDPOINT"].startswith(service.sandbox.url)
