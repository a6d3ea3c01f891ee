import json
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from tests.door.service import SEED, Service, running

BAD_IOCS = [
    "",
    " ",
    "10.0.0.1",
    "127.0.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "224.0.0.1",
    "::1",
    "fe80::1",
    "fc00::1",
    "localhost",
    "intranet",
    "printer.local",
    "dc01.corp",
    "../../../me",
    "x/../../me",
    "x?$select=id",
    "x%2f..%2fme",
    "x/%2e%2e/me",
    "a.example\\..\\me",
    "a\r\nHost: evil.example",
    "a\x00.example",
    "1.2.3.4/24",
    "a" * 10_000,
    "-" * 200,
]
BAD_TYPES: list[object] = [None, 1, 1.5, True, [], {}, ["a.example"], [None]]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One for all: what is refused leaves nothing behind."""
    with running(tmp_path_factory.mktemp("state")) as service:
        yield service


@pytest.fixture(autouse=True)
def _nothing_was_asked(service: Service) -> None:
    service.sandbox.forget()


def reason(answer_text: str) -> str:
    error = json.loads(answer_text)["error"]
    assert set(error) == {"code", "message", "details"}
    return str(error["message"])


@pytest.mark.parametrize("ioc", BAD_IOCS)
def test_what_is_no_public_host_is_refused_before_a_request_leaves(
    service: Service, ioc: str
) -> None:
    got = service.get("/api/v1/lookups", ioc=ioc)
    posted = service.post("/api/v1/lookups", {"iocs": [SEED, ioc]})

    assert (got.status_code, posted.status_code) == (400, 400)
    assert 0 < len(reason(got.text)) < 300
    assert "\n" not in reason(got.text)
    assert service.sandbox.requests == ()


@pytest.mark.parametrize("value", BAD_TYPES)
def test_an_ioc_of_a_wrong_type_is_refused(service: Service, value: object) -> None:
    assert service.post("/api/v1/lookups", {"ioc": value}).status_code == 400
    assert service.post("/api/v1/lookups", {"iocs": [value]}).status_code == 400


@pytest.mark.parametrize("body", [None, 1, "x", [], [SEED], {}, {"IOC": SEED}, {"iocs": SEED}])
def test_a_body_of_a_wrong_shape_is_refused(service: Service, body: object) -> None:
    for path in ("/api/v1/lookups", "/api/v1/incidents"):
        answer = service.send(path, json.dumps(body).encode())
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "badRequest")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe{}",
        b'{"ioc": "caf\xe9.example"}',
        b"{",
        b'{"ioc": NaN}',
        b"[" * 100_000,
        b"1" * 10_000,
        b"ioc=a.example",
        b"\xef\xbb\xbf{}",
    ],
)
def test_what_is_not_json_in_utf_8_is_refused(service: Service, body: bytes) -> None:
    for path in ("/api/v1/lookups", "/api/v1/incidents"):
        assert service.send(path, body).status_code == 400


@pytest.mark.parametrize(
    "options",
    [
        {"depth": -1},
        {"depth": 4},
        {"depth": "2"},
        {"depth": True},
        {"lookbackDays": 1.5},
        {"maxHosts": 0},
        {"timeoutSeconds": 601},
        {"timeoutSeconds": None},
        {"dept": 1},
        {"iocs": [SEED]},
    ],
)
def test_a_wrong_option_is_refused(service: Service, options: dict[str, object]) -> None:
    assert service.post("/api/v1/lookups", {"ioc": SEED, **options}).status_code == 400


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"ioc": SEED, "format": "pdf"},
        {"ioc": SEED, "depth": "two"},
        {"ioc": SEED, "depth": "-1"},
        {"ioc": SEED, "depth": "9" * 400},
        {"ioc": SEED, "timeoutSeconds": "\u0663"},
        {"ioc": SEED, "dept": "1"},
        {"format": "json"},
    ],
)
def test_a_wrong_query_is_refused(service: Service, query: dict[str, str]) -> None:
    address = f"/api/v1/lookups?{urlencode(query)}"

    assert service.get(address).status_code == 400


def test_a_parameter_given_twice_is_refused(service: Service) -> None:
    assert service.get(f"/api/v1/lookups?ioc={SEED}&ioc={SEED}").status_code == 400


def test_a_hundred_iocs_are_taken_and_one_more_is_too_many(service: Service) -> None:
    iocs = [f"198.51.100.{number}" for number in range(101)]

    taken = service.post("/api/v1/lookups", {"iocs": iocs[:100]})
    refused = service.post("/api/v1/lookups", {"iocs": iocs})
    service.settle()

    assert taken.status_code == 202
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "tooLarge")


def test_a_body_above_one_mebibyte_is_too_large(service: Service) -> None:
    padding = b" " * (1024 * 1024 - len(b'{"ioc": 1}'))

    for path in ("/api/v1/lookups", "/api/v1/incidents"):
        assert service.send(path, b'{"ioc": 1}' + padding).status_code == 400
        assert service.send(path, b'{"ioc": 1} ' + padding).status_code == 413


@pytest.mark.parametrize(
    "incident",
    [
        {"object": None},
        {"object": {"id": 1, "properties": {}}},
        {"object": {"id": "", "properties": {}}},
        {"object": {"id": "x" * 2_000, "properties": {}}},
        {"object": {"id": "x", "properties": []}},
        {"properties": {}},
    ],
)
def test_what_is_no_incident_is_refused(service: Service, incident: object) -> None:
    assert service.post("/api/v1/incidents", incident).status_code == 400


def test_entities_that_are_none_are_left_out_with_the_reason(service: Service) -> None:
    body = service.incident("oneActor")
    entities: list[object] = [
        None,
        1,
        "x",
        [],
        {"kind": 7},
        {"kind": "Ip", "properties": {"address": 5}},
    ]
    body["object"]["properties"]["relatedEntities"] += entities

    brief = service.post("/api/v1/incidents", body).json()

    assert brief["raise"] is True
    assert len(brief["leftOut"]) >= 2


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/api"),
        ("GET", "/api/v1/lookup"),
        ("GET", "/api/v1/jobs/"),
        ("GET", "/api/v1/jobs/a/b"),
        ("DELETE", "/api/v1/lookups"),
        ("HEAD", "/api/health"),
        ("GET", "/admin/host/status"),
    ],
)
def test_there_is_nothing_else(service: Service, method: str, path: str) -> None:
    assert service.session.request(method, f"{service.url}{path}", timeout=30).status_code == 404
