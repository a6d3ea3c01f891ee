import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
import requests

from mdti.errors import MdtiError
from mdti.jobs import Jobs
from mdti.sandbox.faults import Fault
from mdti.store.files import FileStore
from tests.door.service import LATER, SEED, Service, running

ELEVEN = [f"198.51.100.{number}" for number in range(1, 12)]


def without_cost(document: dict[str, Any]) -> dict[str, Any]:
    for lookup in document.get("lookups", [document]):
        del lookup["stats"], lookup["at"]
    return document


def accepted(service: Service, answer: requests.Response) -> str:
    """Check a 202 and return its Location."""
    assert answer.status_code == 202
    job_id = answer.json()["id"]
    assert answer.json() == {"id": job_id, "status": "queued"}
    assert answer.headers["Location"] == f"{service.url}/api/v1/jobs/{job_id}"
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Preference-Applied"] == "respond-async"
    return answer.headers["Location"]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({"ioc": SEED}, LATER),
        ({"ioc": SEED}, {"Prefer": "wait=10, Respond-Async; x=1"}),
        ({"ioc": SEED, "timeoutSeconds": 91}, {}),
        ({"iocs": [SEED, *ELEVEN[:10]]}, {}),
    ],
)
def test_a_long_look_up_is_answered_later_and_then_as_at_once(
    service: Service, body: dict[str, object], headers: dict[str, str]
) -> None:
    location = accepted(service, service.post("/api/v1/lookups", body, headers=headers))
    service.settle()
    answer = service.session.get(location, timeout=30)

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    at_once = service.app.perform(service.app.jobs.get(location.rpartition("/")[2]))
    assert at_once[0] == 200
    document = answer.json()
    lookups = document.get("lookups", [document])
    assert lookups[0]["ioc"]["value"] == SEED
    assert lookups[0]["actors"][0]["name"] == "Paper Drizzle"


def test_the_later_answer_is_the_answer_of_the_synchronous_call(service: Service) -> None:
    at_once = service.post("/api/v1/lookups", {"ioc": SEED}).json()
    location = service.post("/api/v1/lookups", {"ioc": SEED}, headers=LATER).headers["Location"]
    service.settle()

    later = service.session.get(location, timeout=30).json()

    assert without_cost(later) == without_cost(at_once)


def test_a_get_is_answered_later_too(service: Service) -> None:
    answer = service.get("/api/v1/lookups", headers=LATER, ioc=SEED)
    location = accepted(service, answer)
    service.settle()

    assert service.session.get(location, timeout=30).json()["ioc"]["value"] == SEED


def test_a_page_cannot_be_had_later(service: Service) -> None:
    wish = service.get("/api/v1/lookups", headers=LATER, ioc=SEED, format="html")
    need = service.get("/api/v1/lookups", ioc=SEED, format="html", timeoutSeconds=120)

    assert wish.status_code == 200
    assert need.status_code == 400


def test_an_incident_is_answered_later_when_asked(service: Service) -> None:
    body = service.incident("oneActor")
    location = accepted(service, service.post("/api/v1/incidents", body, headers=LATER))
    service.settle()

    assert service.session.get(location, timeout=30).json()["tags"] == [{"Tag": "Paper Drizzle"}]


def test_an_incident_is_answered_later_when_its_look_up_may_take_long(tmp_path: Path) -> None:
    with running(tmp_path, {"LOOKUP_TIMEOUT_SECONDS": "91"}) as service:
        accepted(service, service.post("/api/v1/incidents", service.incident("oneActor")))
        service.settle()


def test_what_is_wrong_is_told_at_once_and_makes_no_job(service: Service) -> None:
    for path, body in (("lookups", {"ioc": "10.0.0.1"}), ("incidents", {"object": {}})):
        assert service.post(f"/api/v1/{path}", body, headers=LATER).status_code == 400

    assert list(service.app.store.list_("jobs/")) == []


def test_the_same_key_joins_the_job_and_sends_no_second_message(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="mdti.door")
    body, headers = service.incident("oneActor"), {**LATER, "Idempotency-Key": "08585-run"}

    answers = [service.post("/api/v1/incidents", body, headers=headers) for _ in range(3)]
    service.settle()
    answers.append(service.post("/api/v1/incidents", body, headers=headers))
    service.settle()

    assert len({answer.headers["Location"] for answer in answers}) == 1
    assert {answer.status_code for answer in answers} == {202}
    assert answers[-1].json()["status"] == "succeeded"
    lines = [record.getMessage() for record in caplog.records]
    assert sum(line.startswith("run_job ") for line in lines) == 1


def test_another_key_is_another_job(service: Service) -> None:
    first, second = (
        service.post("/api/v1/lookups", {"ioc": SEED}, headers={**LATER, "Idempotency-Key": key})
        for key in ("run-1", "run-2")
    )
    service.settle()

    assert first.headers["Location"] != second.headers["Location"]


def test_the_same_key_for_another_request_is_a_conflict(service: Service) -> None:
    headers = {**LATER, "Idempotency-Key": "run"}
    service.post("/api/v1/lookups", {"ioc": SEED}, headers=headers)

    answer = service.post("/api/v1/lookups", {"ioc": "quillpost.example"}, headers=headers)
    service.settle()

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")


@pytest.mark.parametrize("key", ["", "x" * 256, "two words", "caf\u00e9", "a\tb"])
@pytest.mark.parametrize("path", ["lookups", "incidents"])
def test_a_malformed_key_is_refused(service: Service, path: str, key: str) -> None:
    headers: dict[str, str | bytes] = {**LATER, "Idempotency-Key": key.encode("latin-1")}

    answer = service.session.post(
        f"{service.url}/api/v1/{path}", json={"ioc": SEED}, headers=headers, timeout=30
    )

    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.json()["error"]["message"]


def test_the_longest_key_is_taken(service: Service) -> None:
    headers = {**LATER, "Idempotency-Key": "~" * 255}
    accepted(service, service.post("/api/v1/lookups", {"ioc": SEED}, headers=headers))
    service.settle()


@pytest.mark.parametrize(
    ("hostname", "root"),
    [
        ("app-1.azurewebsites.net", "https://app-1.azurewebsites.net"),
        ("localhost:7071", "http://localhost:7071"),
        ("[::1]:80", "http://[::1]:80"),
    ],
)
def test_location_comes_from_the_settings_and_never_from_a_header(
    service: Service, monkeypatch: pytest.MonkeyPatch, hostname: str, root: str
) -> None:
    monkeypatch.setenv("WEBSITE_HOSTNAME", hostname)
    hostile = {"X-Forwarded-Host": "evil.example", "X-Original-Host": "evil.example"}

    answer = service.post("/api/v1/lookups", {"ioc": SEED}, headers={**LATER, **hostile})
    service.settle()

    assert answer.headers["Location"] == f"{root}/api/v1/jobs/{answer.json()['id']}"


@pytest.mark.parametrize("hostname", ["", "a b", "https://app.example", "x/y", "a\u00e9.example"])
def test_without_a_host_name_there_is_no_job(
    service: Service, monkeypatch: pytest.MonkeyPatch, hostname: str
) -> None:
    monkeypatch.setenv("WEBSITE_HOSTNAME", hostname)

    answer = service.post("/api/v1/lookups", {"ioc": SEED}, headers=LATER)

    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "badSetting")
    assert list(service.app.store.list_("jobs/")) == []


def test_a_job_is_queued_then_running_and_its_caller_is_told_when_to_ask_again(
    tmp_path: Path,
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def sleep(_: float) -> None:
        begun.set()
        assert go_on.wait(30)

    with running(tmp_path, sleep=sleep) as service:
        service.sandbox.faults.set([Fault(kind="latency", route="GET /graph/*")])
        waiting = service.app.jobs.submit("lookup", {"ioc": SEED}).job
        location = service.post("/api/v1/lookups", {"ioc": SEED}, headers=LATER).headers["Location"]
        assert begun.wait(30)

        seen = [
            service.get(f"/api/v1/jobs/{waiting.id}"),
            service.session.get(location, timeout=30),
        ]
        go_on.set()
        service.settle()

        for answer, state in zip(seen, ("queued", "running"), strict=True):
            assert (answer.status_code, answer.json()["status"]) == (202, state)
            assert answer.headers["Location"] == f"{service.url}/api/v1/jobs/{answer.json()['id']}"
            assert int(answer.headers["Retry-After"]) > 0
        assert service.session.get(location, timeout=30).status_code == 200


def test_a_failed_job_is_answered_with_422_and_the_error(service: Service) -> None:
    service.sandbox.faults.set([Fault(kind="noConsent", route="* /graph/*")])
    location = service.post("/api/v1/lookups", {"ioc": SEED}, headers=LATER).headers["Location"]
    service.settle()

    answer = service.session.get(location, timeout=30)

    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "consentMissing")


@pytest.mark.parametrize(
    "job_id",
    ["0b3f4c1e-6f55-4d7e-9a54-3f1d7f0f2a11", "x", "..%2f..%2fx", "%00", "due", "a" * 9_000],
)
def test_an_unknown_job_is_not_found(service: Service, job_id: str) -> None:
    answer = service.get(f"/api/v1/jobs/{job_id}")

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "notFound")


def test_a_job_is_gone_after_a_day(service: Service, tmp_path: Path) -> None:
    def yesterday() -> datetime:
        return datetime.now(UTC) - timedelta(hours=24, seconds=1)

    store = FileStore(tmp_path / "state", clock=yesterday)
    job = Jobs(store, clock=yesterday, new_id=uuid4).submit("lookup", {"ioc": SEED}).job

    answer = service.get(f"/api/v1/jobs/{job.id}")

    assert (answer.status_code, answer.json()["error"]["code"]) == (410, "gone")


def test_a_message_for_a_job_that_is_gone_is_nobodys_loss(service: Service) -> None:
    for job_id in (str(uuid4()), "x", ""):
        assert service.module.door.routes.run_job(job_id) == "notFound"


def test_a_message_whose_job_cannot_be_read_is_not_taken_for_done(service: Service) -> None:
    job = service.app.jobs.submit("lookup", {"ioc": SEED}).job
    service.app.store.write(f"jobs/{job.id}/job", b"s3cret, and no JSON")
    context = SimpleNamespace(
        function_name="run_job",
        invocation_id="1",
        trace_context=SimpleNamespace(trace_parent=""),
    )

    with pytest.raises(MdtiError, match="its log names") as caught:
        service.module.door.work(context, lambda: service.module.door.routes.run_job(job.id))

    assert caught.value.__cause__ is None
