import json
from pathlib import Path

import pytest

from mdti.sandbox.faults import Fault
from tests.door.service import SEED, Service, running


def test_one_ioc_is_answered_with_a_look_up(service: Service) -> None:
    answer = service.post("/api/v1/lookups", {"ioc": "hxxps://telemetry-cache[.]example/x"})

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    lookup = answer.json()
    assert lookup["ioc"] == {"value": SEED, "kind": "name"}
    assert [actor["name"] for actor in lookup["actors"]] == ["Paper Drizzle"]
    assert lookup["complete"] is True


def test_several_iocs_are_answered_with_a_list_in_their_order(service: Service) -> None:
    iocs = ["weather-today.example", SEED, "198.51.100.23"]

    lookups = service.post("/api/v1/lookups", {"iocs": iocs}).json()["lookups"]

    assert [lookup["ioc"]["value"] for lookup in lookups] == iocs


def test_a_list_of_one_is_answered_with_a_list(service: Service) -> None:
    assert len(service.post("/api/v1/lookups", {"iocs": [SEED]}).json()["lookups"]) == 1


def test_get_and_post_answer_alike(service: Service) -> None:
    posted = service.post("/api/v1/lookups", {"ioc": SEED, "depth": 1}).json()
    got = service.get("/api/v1/lookups", ioc=SEED, depth=1).json()

    for lookup in (posted, got):
        del lookup["stats"], lookup["at"]
    assert got == posted


def test_options_in_the_query_count(service: Service) -> None:
    lookup = service.get(
        "/api/v1/lookups", ioc=SEED, depth=0, lookbackDays=0, maxHosts=5, timeoutSeconds=20
    ).json()

    assert {host["hops"] for host in lookup["hosts"]} == {0}


def test_a_function_key_in_the_query_is_not_taken_for_an_option(service: Service) -> None:
    assert service.get("/api/v1/lookups", ioc=SEED, code="k", clientId="c").status_code == 200


@pytest.mark.parametrize(
    ("form", "content_type", "opens_with"),
    [
        ("json", "application/json", "{"),
        ("html", "text/html; charset=utf-8", "<!DOCTYPE html>"),
        ("markdown", "text/markdown; charset=utf-8", "#"),
        ("stix", "application/stix+json;version=2.1", "{"),
    ],
)
def test_a_look_up_comes_in_the_format_asked_for(
    service: Service, form: str, content_type: str, opens_with: str
) -> None:
    answer = service.get("/api/v1/lookups", ioc=SEED, format=form)

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, content_type)
    assert answer.text.startswith(opens_with)
    assert "Paper Drizzle" in answer.text


def test_a_page_may_load_and_run_nothing_but_its_own_style(service: Service) -> None:
    answer = service.get("/api/v1/lookups", ioc=SEED, format="html")

    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert policy.partition(";")[0] in answer.text
    assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_an_incident_is_answered_with_a_brief(service: Service) -> None:
    brief = service.post("/api/v1/incidents", service.incident("oneActor")).json()

    assert (brief["raise"], brief["severity"], brief["status"]) == (True, "High", "Active")
    assert brief["tags"] == [{"Tag": "Paper Drizzle"}]
    assert brief["copilotPrompts"][0]["actor"] == "Paper Drizzle"


def test_an_incident_without_its_envelope_is_understood(service: Service) -> None:
    body = service.incident("private")["object"]

    assert service.post("/api/v1/incidents", body).json()["raise"] is False


def test_all_intel_profiles_are_listed_and_each_is_found_by_title_or_alias(
    service: Service,
) -> None:
    actors = service.get("/api/v1/actors").json()["actors"]
    assert {"Paper Drizzle", "Velvet Squall"} <= {actor["name"] for actor in actors}

    for name in ("Paper%20Drizzle", "paper%20drizzle", "DEV-9301"):
        assert service.get(f"/api/v1/actors/{name}").json()["name"] == "Paper Drizzle"


@pytest.mark.parametrize("name", ["Nobody", "..%2f..%2fme", "%00", "%ff", "x" * 10_000])
def test_an_unknown_actor_is_not_found(service: Service, name: str) -> None:
    answer = service.get(f"/api/v1/actors/{name}")

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "notFound")


def test_the_self_test_names_what_to_do(service: Service) -> None:
    assert service.get("/api/v1/status").json()["healthy"] is True

    service.sandbox.faults.set([Fault(kind="noConsent", route="GET /graph/*")])
    status = service.get("/api/v1/status")

    assert status.status_code == 200
    assert status.json()["healthy"] is False
    failed = next(c for c in status.json()["checks"] if c["name"] == "threatIntelligence")
    assert failed["code"] == "consentMissing"
    assert failed["hint"]


def test_health_says_nothing_else_and_starts_nothing(service: Service) -> None:
    assert service.get("/api/health").json() == {"status": "ok"}
    assert service.sandbox.requests == ()


@pytest.mark.parametrize("path", ["/api/health", "/api/v1/actors", "/api/v1/lookups?ioc=10.0.0.1"])
def test_every_answer_is_kept_by_no_cache_and_guessed_at_by_no_browser(
    service: Service, path: str
) -> None:
    headers = service.get(path).headers

    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "ETag" not in headers


@pytest.mark.parametrize(
    ("kind", "code"), [("noConsent", "consentMissing"), ("expiredToken", "identityRefused")]
)
def test_what_keeps_graph_from_answering_is_told_apart(
    service: Service, kind: str, code: str
) -> None:
    service.sandbox.faults.set([Fault(kind=kind, route="* /graph/*")])

    answer = service.post("/api/v1/lookups", {"ioc": SEED})

    assert answer.status_code == 502
    error = answer.json()["error"]
    assert error["code"] == code
    assert error["details"]["api"].startswith("127.0.0.1")


def test_a_broken_identity_is_told(service: Service) -> None:
    service.sandbox.faults.set([Fault(kind="gone", route="* /identity/*")])

    answer = service.get("/api/v1/actors")

    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "identityUnavailable")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"LOOKUP_DEPTH": "deep"}, "LOOKUP_DEPTH"),
        ({"GRAPH_ENDPOINT": "http://graph.example"}, "GRAPH_ENDPOINT"),
        ({"LOOKUP_ALLOWLIST": "@Microsoft.KeyVault(x)"}, "LOOKUP_ALLOWLIST"),
    ],
)
def test_a_wrong_setting_is_named_and_stops_only_what_needs_it(
    tmp_path: Path, settings: dict[str, str], named: str
) -> None:
    with running(tmp_path, settings) as service:
        answer = service.post("/api/v1/lookups", {"ioc": SEED})

        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "badSetting")
        assert named in answer.json()["error"]["message"]
        assert service.get("/api/health").status_code == 200
        assert service.get("/api/openapi.json").status_code == 200


def test_an_unforeseen_error_is_told_without_its_message(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    job = service.app.jobs.submit("lookup", {"ioc": SEED}).job
    service.app.store.write(f"jobs/{job.id}/job", b"s3cret, and no JSON")

    answer = service.get(f"/api/v1/jobs/{job.id}")

    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internalError")
    assert "get_job failed: JSONDecodeError" in caplog.text
    assert "s3cret" not in answer.text + caplog.text
    assert "Expecting value: line" not in answer.text + caplog.text


def test_the_legacy_route_is_off_unless_told(service: Service) -> None:
    assert service.get("/api/MDTIActor", item=SEED).status_code == 404


def test_the_legacy_route_answers_as_the_predecessor_did(tmp_path: Path) -> None:
    with running(tmp_path, {"LEGACY_ROUTE": "true"}) as service:
        got = service.get("/api/mdtiactor", item=SEED)
        posted = service.post("/api/MDTIActor", {"item": SEED})

        assert got.headers["Content-Type"] == "text/plain; charset=utf-8"
        rows = json.loads(got.text)
        assert "Paper Drizzle, invoice-inkwell.example" in rows
        assert len(set(rows)) == len(rows)
        assert posted.text == got.text
        assert service.get("/api/MDTIActor", item="weather-today.example").text == "[]"


def test_the_legacy_route_refuses_what_names_no_host(tmp_path: Path) -> None:
    with running(tmp_path, {"LEGACY_ROUTE": "true"}) as service:
        assert service.get("/api/MDTIActor").status_code == 400
        assert service.get("/api/MDTIActor", item="x/../me").status_code == 400
        assert service.post("/api/MDTIActor", [1]).status_code == 400
        assert service.post("/api/MDTIActor", {"item": 1}).status_code == 400


def test_the_legacy_route_never_gives_an_empty_list_for_what_it_could_not_see(
    tmp_path: Path,
) -> None:
    with running(tmp_path, {"LEGACY_ROUTE": "true"}) as service:
        service.get("/api/v1/actors")
        service.sandbox.faults.set([Fault(kind="html", route="*passiveDns*")])

        answer = service.get("/api/MDTIActor", item="weather-today.example")

        assert answer.status_code == 502
        assert "incomplete" in answer.json()["error"]["message"]


def test_the_daily_timer_deletes_what_is_over_and_reads_the_profiles(service: Service) -> None:
    service.get("/api/health")
    service.sandbox.forget()

    assert service.module.door.routes.daily() == "done"

    assert any("intelProfiles" in seen.path for seen in service.sandbox.requests)


def test_importing_and_starting_asks_nobody_for_a_token(service: Service) -> None:
    service.get("/api/health")
    service.get("/api/openapi.json")
    service.get("/api/v1/lookups", ioc="127.0.0.1")

    assert service.sandbox.requests == ()
