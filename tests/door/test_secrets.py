import gc
import logging
from pathlib import Path

import pytest

from mdti.sandbox.faults import Fault
from mdti.sandbox.identity import Identity
from tests.door.service import LATER, SEED, Service, running

GRAPH = "https://graph.microsoft.com/.default"
KEY = "k3y-0f-the-function"
BEARER = "s3cret-token-of-the-caller"
RUN = "idempotency-0123456789"
HEADERS = {
    **LATER,
    "x-functions-key": KEY,
    "Authorization": f"Bearer {BEARER}",
    "Idempotency-Key": RUN,
    "Cookie": "s3cret-cookie",
}


def is_ours(thing: object) -> bool:
    module = str(type(thing).__module__)
    return module.startswith("mdti.") and not module.startswith("mdti.sandbox")


def rich_scenario(service: Service) -> list[str]:
    """Play good and bad days; return every text that an answer held."""
    texts = [
        service.get("/api/v1/lookups", ioc=SEED, headers=HEADERS).text,
        service.post("/api/v1/lookups", {"ioc": "quillpost.example"}).text,
        service.post("/api/v1/incidents", service.incident("invoice"), headers=HEADERS).text,
        service.get("/api/v1/status", headers=HEADERS).text,
        service.get("/api/v1/lookups", ioc="x\r\ny", code=KEY).text,
    ]
    service.settle()
    for kind in ("expiredToken", "noConsent", "html", "gone"):
        service.sandbox.faults.set([Fault(kind=kind, route="* /graph/*")])
        texts.append(service.post("/api/v1/lookups", {"ioc": f"{kind}.example"}).text)
        texts.append(service.get("/api/v1/status", headers=HEADERS).text)
    service.sandbox.identity.tokens.revoke()
    service.sandbox.faults.set([Fault(kind="error", route="* /identity/*", status=400)])
    texts.append(service.get("/api/v1/status").text)
    service.sandbox.faults.set()
    return texts


def test_no_secret_reaches_a_log_an_answer_or_a_repr(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[str] = []
    make = Identity._token

    def remembered(self: Identity, resource: str) -> tuple[str, int]:
        token, expires = make(self, resource)
        given.append(token)
        return token, expires

    monkeypatch.setattr(Identity, "_token", remembered)
    caplog.set_level(logging.DEBUG)
    with running(tmp_path) as service:
        texts = rich_scenario(service)
        header = service.sandbox.environment()["IDENTITY_HEADER"]
        texts += [repr(thing) for thing in gc.get_objects() if is_ours(thing)]
        records = [
            record.getMessage() + str(record.exc_text or "")
            for record in caplog.records
            if not (record.name.startswith("urllib3") and service.url in record.getMessage())
        ]

    assert len(given) >= 2
    assert any("post_incidents 202" in record for record in records)
    secrets = {header, KEY, BEARER, RUN, "s3cret-cookie", *given}
    secrets |= {part for token in given for part in token.split(".")[1:]}
    for text in (*records, *texts):
        assert not [secret for secret in secrets if secret in text]


def test_a_line_is_written_for_each_request_with_what_finds_it_again(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="mdti.door")
    trace = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    answer = service.post("/api/v1/lookups", {"ioc": SEED}, headers={**LATER, **trace})
    service.settle()
    service.get("/api/v1/lookups", ioc="evil<script>\n.example")

    accepted, done, refused = sorted(record.getMessage() for record in caplog.records)[::-1][:3]
    lines = [record.getMessage() for record in caplog.records]
    job = answer.json()["id"]
    assert len(lines) == 3
    assert any(
        line.startswith("post_lookups 202 in ")
        and f"job={job}" in line
        and "invocation=" in line
        and line.endswith(trace["traceparent"])
        for line in lines
    )
    assert any(line.startswith(f"run_job {job} succeeded in ") for line in lines)
    assert any(line.startswith("get_lookups 400 in ") for line in lines)
    assert not any("script" in line or "\n" in line for line in (accepted, done, refused))


def test_what_a_caller_sends_cannot_forge_a_line(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="mdti.door")

    service.get("/api/v1/jobs/a%0aroot%20logged%20in%1b%5b2J%e2%80%ae" + "x" * 500)

    (line,) = [record.getMessage() for record in caplog.records]
    assert line.isprintable()
    assert len(line) < 300
