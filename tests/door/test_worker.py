"""The same functions on Microsoft's own worker library, which finds, checks and calls them."""

import asyncio
import importlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.door.service import LATER, ROOT, SEED, Service, running

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
}


class Message(SimpleNamespace):
    """A message of the host's protocol: fields, of which at most one is set in a choice."""

    def WhichOneof(self, _: str) -> str | None:  # noqa: N802
        return next((name for name, value in vars(self).items() if value is not None), None)


class Protocol:
    """Makes messages of any kind, as the generated module of the worker does."""

    class BindingInfo(Message):
        undefined = 0
        out = 1
        inout = 2

    class StatusResult(Message):
        Failure = 0
        Success = 1

    def __getattr__(self, name: str) -> type[Message]:
        return type(name, (Message,), {})


class Worker:
    """Speaks to the worker library as the Functions host does."""

    def __init__(self) -> None:
        self._library = importlib.import_module("azure_functions_runtime")
        started = self._ask(
            "worker_init_request",
            Message(capabilities={}, function_app_directory=str(ROOT)),
        )
        assert started.result.status == Protocol.StatusResult.Success, started.result
        found = self._ask("functions_metadata_request", Message()).function_metadata_results
        self.functions = {function.name: function for function in found}

    def call(self, name: str, metadata: Mapping[str, str] | None = None, **inputs: Message) -> Any:
        request = Message(
            invocation_id="1f2e3d4c",
            function_id=self.functions[name].function_id,
            input_data=[Message(name=key, data=value) for key, value in inputs.items()],
            trigger_metadata={key: Message(string=v) for key, v in (metadata or {}).items()},
            trace_context=Message(trace_parent="00-aa-bb-01", trace_state="", attributes={}),
            retry_context=Message(retry_count=0, max_retry_count=0, exception=None),
        )
        for given in request.input_data:
            given.WhichOneof = lambda _: "data"
        answer = self._ask("invocation_request", request)
        assert answer.result.status == Protocol.StatusResult.Success, answer.result
        return answer

    def http(
        self,
        name: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        body: object = None,
    ) -> tuple[Any, Any]:
        """Call an HTTP function; return its HTTP answer and the whole answer of the worker."""
        http = Message(
            method=method,
            url=f"https://app.example/{name}",
            headers=headers or {},
            query=query or {},
            params=params or {},
            body=Message(bytes=json.dumps(body).encode() if body else b""),
        )
        answer = self.call(name, req=Message(http=http))
        return answer.return_value.http, answer

    def _ask(self, event: str, request: Message) -> Any:
        envelope = Message(
            request=Message(**{event: request}),
            properties={"host": "127.0.0.1", "protos": Protocol()},
        )
        return asyncio.run(getattr(self._library, event)(envelope))


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running(tmp_path) as service:
        yield service


@pytest.fixture
def worker(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    monkeypatch.delitem(sys.modules, "function_app", raising=False)
    yield Worker()
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
