import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from mdti.app import App
from mdti.errors import InputError, MdtiError, NotFound, SettingError
from mdti.job import Job
from mdti.net.transport import Request
from mdti.render.document import brief_document, dump
from mdti.sandbox.faults import Fault
from tests.azurite.server import Azurite
from tests.tenant import SEED, Tenant, brief_of, finding

ROOT = Path(__file__).parents[1]

WATCHED = """
import json, os, sys
seen = []
def watch(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.bind"):
        seen.append([event, str(arguments[1][0]), arguments[1][1]])
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.getnameinfo"):
        seen.append([event, str(arguments[0]), None])
sys.addaudithook(watch)
from mdti.app import App
app = App(os.environ)
asked = json.load(sys.stdin)
lookups = app.look_up(app.parse_lookup({"iocs": asked["iocs"]}))
brief = app.brief(app.parse_incident(asked["incident"]))
app.status()
app.close()
json.dump({"seen": seen, "complete": brief.complete, "lookups": len(lookups)}, sys.stdout)
"""


@pytest.fixture
def issued(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every token that the sandbox hands out."""
    tokens: list[str] = []
    issue = tenant.sandbox.tokens.issue

    def recorded(*args: Any, **options: Any) -> tuple[str, int]:
        made = issue(*args, **options)
        tokens.append(made[0])
        return made

    monkeypatch.setattr(tenant.sandbox.tokens, "issue", recorded)
    return tokens


def job(tenant: Tenant, kind: str, request: Mapping[str, Any]) -> Job:
    return Job("one", kind, request, "running", tenant.now())


def test_making_an_app_asks_nothing_and_needs_no_setting() -> None:
    before = threading.active_count()
    app = App({})
    assert app.settings.graph.endpoint == "https://graph.microsoft.com"
    assert threading.active_count() == before
    app.close()


def test_a_setting_that_is_wrong_stops_only_what_needs_it(tenant: Tenant) -> None:
    app = tenant.app(BRIEF_MODE="maybe")
    assert tenant.look_up_one(app).complete
    with pytest.raises(SettingError, match="BRIEF_MODE must be act or observe"):
        app.parse_incident(tenant.incident("oneActor"))


def test_examples_are_hosts_only_while_graph_is_a_sandbox(tenant: Tenant) -> None:
    with pytest.raises(InputError):
        App({}).parse_lookup({"ioc": SEED})
    assert tenant.app().parse_lookup({"ioc": SEED}).single


@pytest.mark.parametrize(
    "ioc",
    [
        "10.0.0.1",
        "../../../me",
        "x?$select=id",
        "localhost",
        "a\x00b.com",
        "a" * 10_240,
        "",
        7,
        None,
        ["evil.com"],
    ],
    ids=lambda ioc: repr(ioc)[:20],
)
def test_what_is_no_public_host_is_refused_before_any_request(tenant: Tenant, ioc: object) -> None:
    with pytest.raises(InputError) as caught:
        tenant.app().parse_lookup({"ioc": ioc})
    assert len(str(caught.value)) < 300
    assert tenant.sandbox.requests == ()


def test_a_job_gives_the_body_of_the_synchronous_answer(tenant: Tenant) -> None:
    app, body = tenant.app(), tenant.incident("oneActor")
    brief_of(app, body)
    tenant.clock.seconds = 0.0
    status, kind, answer = app.perform(job(tenant, "incident", body))
    assert (status, kind) == (200, "application/json")
    assert json.loads(answer) == json.loads(dump(brief_document(brief_of(app, body))))
    status, _, answer = app.perform(job(tenant, "lookup", {"ioc": SEED}))
    assert json.loads(answer)["ioc"] == {"value": SEED, "kind": "name"}
    with pytest.raises(NotFound):
        app.perform(job(tenant, "other", {}))


def test_state_in_blobs_serves_a_second_process_like_state_in_files(
    tenant: Tenant, azurite: Azurite
) -> None:
    storage = {"AzureWebJobsStorage": azurite.connection_string}
    first = tenant.look_up_one(tenant.app(**storage))
    tenant.sandbox.forget()
    second = tenant.look_up_one(tenant.app(**storage))
    assert finding(first) == finding(second)
    assert first.complete
    assert tenant.sandbox.requests == ()


def test_an_actor_that_nobody_knows_is_not_found(tenant: Tenant) -> None:
    with pytest.raises(NotFound):
        tenant.app().actor("Nobody at all")


def test_closing_gives_the_threads_back(tenant: Tenant) -> None:
    before = set(threading.enumerate())
    app = tenant.app()
    tenant.look_up_one(app)
    port = urlsplit(tenant.sandbox.url).port
    ours = {thread.name for thread in threading.enumerate() if f":{port}" in thread.name}
    assert ours
    app.close()
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not ours & left


def test_nothing_but_graph_and_the_identity_endpoint_is_ever_contacted_or_resolved(
    tenant: Tenant,
) -> None:
    asked = {
        "iocs": [SEED, "198.51.100.23", "2001:db8:23::17", "squall-gate.example"],
        "incident": tenant.incident("invoice"),
    }
    environment = {
        **tenant.sandbox.environment(),
        "MDTI_STATE_DIR": str(tenant.folder / "state"),
        "PYTHONPATH": str(ROOT),
        "HTTPS_PROXY": "http://proxy.example:3128",
        "HTTP_PROXY": "http://proxy.example:3128",
    }
    done = subprocess.run(
        [sys.executable, "-c", WATCHED],
        env=environment,
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    answer = json.loads(done.stdout)
    assert (answer["complete"], answer["lookups"]) == (True, 4)
    port = urlsplit(tenant.sandbox.url).port
    events = {(event, host, number) for event, host, number in answer["seen"]}
    assert ("socket.connect", "127.0.0.1", port) in events
    # urllib3 binds to the IPv6 loopback once, to see whether the machine has IPv6.
    others = {one for one in events if (one[1], one[2]) != ("127.0.0.1", port)}
    assert others <= {("socket.getaddrinfo", "127.0.0.1", None), ("socket.bind", "::1", 0)}


def _scenario(tenant: Tenant) -> Iterator[BaseException]:
    """Do what an app does on good and bad days; yields what it raises."""
    app = tenant.fresh()
    tenant.look_up_one(app)
    brief_of(app, tenant.incident("invoice"))
    app.status()
    tenant.sandbox.tokens.revoke()
    tenant.look_up_one(app, "vault-key.example")
    kinds = ["throttle", "error", "html", "cut", "drop", "expiredToken", "noConsent", "noLicence"]
    for fault in (
        *(Fault(kind=kind, route="* /graph/*") for kind in (*kinds, "gone", "foreignLink", "odd")),
        Fault(kind="error", route="* /identity/*", status=400),
        Fault(kind="html", route="* /identity/*"),
        Fault(kind="cut", route="* /identity/*"),
    ):
        for settings in ({}, {"GRAPH_BATCH": "on"}):
            tenant.faults(fault)
            failing = tenant.fresh(**settings)
            try:
                tenant.look_up_one(failing)
                failing.actors()
            except MdtiError as error:
                yield error
            failing.status()
    tenant.faults()
    misled = tenant.fresh(IDENTITY_HEADER="another header")
    try:
        misled.transport.send(
            Request(f"{tenant.sandbox.graph_url}/v1.0/me", audience="https://other/.default"),
            deadline=misled.deadline(5),
        )
    except MdtiError as error:
        yield error


def _texts(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield from (str(error), repr(error), repr(error.args), repr(vars(error)))
        yield from getattr(error, "__notes__", ())
        error = error.__cause__ or error.__context__


def _shown(record: logging.LogRecord) -> str:
    trouble = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
    return f"{record.getMessage()} {record.args!r} {trouble} {vars(record)!r}"


def test_no_token_or_identity_header_reaches_a_log_an_exception_or_a_repr(
    tenant: Tenant, issued: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    errors = list(_scenario(tenant))
    app = tenant.fresh()
    tenant.look_up_one(app)
    texts = [_shown(record) for record in caplog.records]
    texts += [text for error in errors for text in _texts(error)]
    texts += [json.dumps(error.to_json()) for error in errors if isinstance(error, MdtiError)]
    parts = (app, app.settings, app.settings.graph, *app._parts.values())
    texts += [repr(part) for part in parts]
    assert len(errors) >= 10
    assert len(issued) >= 10
    header = os.environ["IDENTITY_HEADER"]
    signatures = [token.rpartition(".")[2] for token in issued]
    for secret in (header, *issued, *signatures, "Bearer ey"):
        assert not [text[:300] for text in texts if secret in text]
