from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import azure.functions as func
import pytest

from mdti.door import PRINCIPAL, Door
from tests.door.service import SEED, Service, load, running

PLAYBOOK = "0a1b2c3d-0000-4000-8000-0000000000aa"
ANALYST = "0a1b2c3d-0000-4000-8000-0000000000bb"
GUARDED = [
    ("GET", "/api/v1/lookups?ioc=" + SEED),
    ("POST", "/api/v1/lookups"),
    ("POST", "/api/v1/incidents"),
    ("GET", "/api/v1/jobs/0b3f4c1e-6f55-4d7e-9a54-3f1d7f0f2a11"),
    ("GET", "/api/v1/actors"),
    ("GET", "/api/v1/actors/x"),
    ("GET", "/api/v1/status"),
    ("GET", "/api/openapi.json"),
]


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Service]:
    settings = {
        "WEBSITE_AUTH_ENABLED": "True",
        "MDTI_ALLOWED_CALLERS": f"{PLAYBOOK}, {ANALYST.upper()}",
    }
    with running(tmp_path, settings) as service:
        yield service


def call(service: Service, method: str, path: str, caller: str | None) -> tuple[int, str]:
    headers = {} if caller is None else {PRINCIPAL: caller}
    answer = service.session.request(method, service.url + path, headers=headers, timeout=30)
    return answer.status_code, answer.headers.get("WWW-Authenticate", "")


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_with_easy_auth_on_only_listed_callers_are_answered(
    guarded: Service, method: str, path: str
) -> None:
    assert call(guarded, method, path, None) == (401, "Bearer")
    assert call(guarded, method, path, "") == (401, "Bearer")
    assert call(guarded, method, path, str(uuid4())) == (403, "")
    assert call(guarded, method, path, f"{PLAYBOOK},{PLAYBOOK}") == (403, "")
    assert call(guarded, method, path, PLAYBOOK)[0] not in (401, 403)
    assert call(guarded, method, path, ANALYST)[0] not in (401, 403)


def test_a_refused_caller_learns_nothing_and_starts_nothing(guarded: Service) -> None:
    answer = guarded.post("/api/v1/lookups", {"ioc": "10.0.0.1"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")
    assert guarded.sandbox.requests == ()


def test_health_is_open(guarded: Service) -> None:
    assert call(guarded, "GET", "/api/health", None)[0] == 200


@pytest.mark.parametrize("listed", ["", " ", ","])
def test_an_empty_list_refuses_everybody(tmp_path: Path, listed: str) -> None:
    settings = {"WEBSITE_AUTH_ENABLED": "true", "MDTI_ALLOWED_CALLERS": listed}
    with running(tmp_path, settings) as service:
        assert call(service, "GET", "/api/v1/actors", PLAYBOOK)[0] == 403
        assert call(service, "GET", "/api/v1/actors", "")[0] == 401


def test_a_list_that_cannot_be_read_admits_nobody(tmp_path: Path) -> None:
    settings = {"WEBSITE_AUTH_ENABLED": "true", "MDTI_ALLOWED_CALLERS": f"{PLAYBOOK}, everybody"}
    with running(tmp_path, settings) as service:
        assert call(service, "GET", "/api/v1/actors", PLAYBOOK)[0] == 503
        assert call(service, "GET", "/api/v1/actors", "everybody")[0] == 503


def levels() -> dict[str, func.AuthLevel]:
    return {
        function.get_function_name(): function.get_trigger().auth_level
        for function in load().app.get_functions()
        if function.get_trigger().type == "httpTrigger"
    }


def test_without_easy_auth_every_route_but_health_needs_a_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("WEBSITE_AUTH_ENABLED", raising=False)
    found = levels()

    assert found.pop("get_health") is func.AuthLevel.ANONYMOUS
    assert set(found.values()) == {func.AuthLevel.FUNCTION}


def test_with_easy_auth_only_the_legacy_route_needs_a_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WEBSITE_AUTH_ENABLED", "True")
    found = levels()

    assert found.pop("legacy") is func.AuthLevel.FUNCTION
    assert set(found.values()) == {func.AuthLevel.ANONYMOUS}


@pytest.mark.parametrize("value", ["", "false", "False", "0", "yes"])
def test_anything_but_true_keeps_the_keys(value: str) -> None:
    assert Door({"WEBSITE_AUTH_ENABLED": value}).level is func.AuthLevel.FUNCTION


def test_easy_auth_switched_off_later_does_not_open_the_door(
    guarded: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBSITE_AUTH_ENABLED", "false")

    assert call(guarded, "GET", "/api/v1/actors", None)[0] == 401
