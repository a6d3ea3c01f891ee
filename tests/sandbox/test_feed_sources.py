"""The vendors that feeds read, against the sample bodies of their documents."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from mdti.sandbox import loganalytics, opencti, taxii, threatconnect
from mdti.sandbox.host import Sandbox
from mdti.sandbox.sentinelupload import WORKSPACE_ID
from tests.sandbox.conftest import Clock
from tests.sandbox.samples import shape

THREATCONNECT = json.loads("""{
    "id": 4001, "dateAdded": "2026-11-01T10:00:00Z", "lastModified": "2026-11-21T05:00:00Z",
    "ownerId": 3, "ownerName": "Acme Intel", "webLink": "https://tc.example/#/details/4001",
    "type": "Address", "ip": "192.0.2.10", "summary": "192.0.2.10",
    "rating": 4.0, "confidence": 85, "description": "Loader C2", "privateFlag": false,
    "active": true, "activeLocked": false,
    "tags": {"data": [{"id": 7, "name": "loader"}]},
    "securityLabels": {"data": [{"name": "TLP:AMBER"}]}
}""")
DELETED = {
    "ownerName": "Acme Intel",
    "dateAdded": "2026-11-21T05:00:00Z",
    "type": "Address",
    "summary": "192.0.2.10",
}
TAXII = json.loads("""{
    "type": "indicator", "spec_version": "2.1",
    "id": "indicator--7d1f3a52-3b3c-5b7e-8f39-0a5f2f0e9c11",
    "created": "2026-11-18T10:00:00.000Z", "modified": "2026-11-21T05:00:00.000Z",
    "valid_from": "2026-11-18T10:00:00.000Z", "revoked": false, "confidence": 100,
    "name": "192.0.2.10", "labels": ["stealer"],
    "pattern": "[ipv4-addr:value = '192.0.2.10']", "pattern_type": "stix"
}""")
CONNECTED = json.loads("""{
    "firstEventId": "1792000000000-0", "lastEventId": "1795242600123-1",
    "firstEventDate": "2026-10-14T17:46:40.000Z", "lastEventDate": "2026-11-21T06:30:00.123Z",
    "streamSize": 1843201, "connectionId": "0b5e9d3e-7d0b-4a3e-9c58-2a3c6b1f7a01"
}""")


class Vendors:
    """A sandbox with the vendors that feeds read, and a session to ask them."""

    def __init__(self, clock: Clock) -> None:
        self.connect = threatconnect.ThreatConnect(clock=clock)
        self.platform = opencti.OpenCti(clock=clock, heartbeat=0.01)
        self.feeds = taxii.Taxii(anyrun=True, clock=clock)
        self.plain = taxii.Taxii(clock=clock)
        self.workspace: loganalytics.LogAnalytics
        self.clock = clock
        self.sandbox = Sandbox(vendors=self._vendors, clock=clock, sleep=clock.sleep)
        self.session = requests.Session()
        self.session.trust_env = False

    def _vendors(self, sandbox: Sandbox) -> list[Any]:
        self.workspace = loganalytics.LogAnalytics(sandbox.tokens, clock=self.clock)
        return [self.connect, self.platform, self.feeds, self.plain, self.workspace]

    def get(self, path: str, authorization: str, **headers: str) -> requests.Response:
        known = {"Authorization": authorization} | headers
        return self.session.get(f"{self.sandbox.url}{path}", headers=known, timeout=10)

    def query(self, text: str, *, audience: str = loganalytics.AUDIENCES[0]) -> requests.Response:
        token, _ = self.sandbox.tokens.issue(audience, [])
        return self.session.post(
            f"{self.sandbox.url}/loganalytics/v1/workspaces/{WORKSPACE_ID}/query",
            headers={"Authorization": f"Bearer {token}"},
            json={"query": text},
            timeout=10,
        )


@pytest.fixture
def vendors(clock: Clock) -> Iterator[Vendors]:
    vendors = Vendors(clock)
    with vendors.sandbox, vendors.session:
        yield vendors


TC = f"TC-Token {threatconnect.TOKEN}"
KEY = f"API-KEY {taxii.ANYRUN_TOKEN}"
BASIC = f"Basic {base64.b64encode(f'{taxii.USER}:{taxii.PASSWORD}'.encode()).decode()}"


def test_threatconnect_lists_objects_as_documented(vendors: Vendors) -> None:
    vendors.connect.put("Address", "192.0.2.10")
    answer = vendors.get("/threatconnect/api/v3/indicators?fields=tags", TC).json()

    assert shape(answer) == shape({"data": [THREATCONNECT], "status": "Success"})


def test_threatconnect_lists_deletions_without_an_id(vendors: Vendors) -> None:
    vendors.connect.delete(vendors.connect.put("Address", "192.0.2.10"))
    answer = vendors.get("/threatconnect/api/v3/indicators/deleted", TC).json()

    assert shape(answer) == shape({"data": [DELETED], "count": 1, "status": "Success"})


def test_threatconnect_hides_inactive_objects_unless_asked(vendors: Vendors) -> None:
    vendors.connect.put("Address", "192.0.2.10", active=False)
    path = "/threatconnect/api/v3/indicators"

    assert vendors.get(path, TC).json()["data"] == []
    asked = vendors.get(f"{path}?tql=indicatorActive%20EQ%20false", TC).json()
    assert len(asked["data"]) == 1


@pytest.mark.parametrize(
    ("path", "authorization", "status"),
    [
        ("indicators", "", 401),
        ("indicators", "TC-Token wrong", 401),
        ("indicators", f"TC {threatconnect.ACCESS_ID}:x", 401),
        ("victims", TC, 404),
        ("indicators?tql=nonsense", TC, 400),
        ("indicators?tql=rating%20EQ%203", TC, 400),
        ("indicators?sorting=rating%20ASC", TC, 400),
        ("indicators?resultLimit=10001", TC, 400),
        ("indicators?resultLimit=many", TC, 400),
    ],
)
def test_threatconnect_refuses_what_it_cannot_read(
    vendors: Vendors, path: str, authorization: str, status: int
) -> None:
    vendors.connect.put("Host", "host.example")
    answer = vendors.get(f"/threatconnect/api/v3/{path}", authorization)

    assert (answer.status_code, answer.json()["status"]) == (status, "Failure")


def test_anyrun_lists_objects_as_clients_read_them(vendors: Vendors) -> None:
    vendors.feeds.put("[ipv4-addr:value = '192.0.2.10']")
    vendors.feeds.put("[ipv4-addr:value = '192.0.2.11']")
    root = f"/anyrun/v1/feeds/taxii2/api1/collections/{taxii.ANYRUN_COLLECTIONS[1]}/objects/"
    answer = vendors.get(f"{root}?limit=1", KEY)

    assert shape(answer.json()) == shape({"more": True, "next": "eyJ2", "objects": [TAXII]})
    assert answer.headers["X-TAXII-Date-Modified-Last"].endswith("Z")
    assert vendors.get(f"{root}?modified_after=2026-11-21 11:00:00", KEY).json()["objects"]
    assert vendors.get(f"{root}?modified_after=2026-11-22", KEY).json() == {}


def test_anyrun_hides_revoked_objects_unless_asked(vendors: Vendors) -> None:
    vendors.feeds.revoke(vendors.feeds.put("[ipv4-addr:value = '192.0.2.10']"))
    root = f"/anyrun/v1/feeds/taxii2/api1/collections/{taxii.ANYRUN_COLLECTIONS[0]}/objects/"

    assert vendors.get(root, KEY).json() == {}
    assert len(vendors.get(f"{root}?match[revoked]=true", KEY).json()["objects"]) == 1


@pytest.mark.parametrize(
    ("path", "authorization", "accept", "status"),
    [
        ("/anyrun/v1/feeds/taxii2/api1/collections/", "API-KEY wrong", "*/*", 401),
        ("/anyrun/v1/feeds/taxii2/api1/collections/unknown/objects/", KEY, "*/*", 404),
        ("/anyrun/v1/feeds/taxii2/api1/collections/", KEY, "*/*", 200),
        ("/taxii/taxii2/", BASIC, taxii.MEDIA_TYPE, 200),
        ("/taxii/taxii2/", BASIC, "text/html", 406),
        ("/taxii/taxii2/", KEY, taxii.MEDIA_TYPE, 401),
        (f"/taxii/api1/collections/{taxii.COLLECTION}/objects/?next=x", BASIC, "*/*", 400),
    ],
)
def test_taxii_statuses(
    vendors: Vendors, path: str, authorization: str, accept: str, status: int
) -> None:
    assert vendors.get(path, authorization, Accept=accept).status_code == status


def test_opencti_introduces_itself_and_beats(vendors: Vendors) -> None:
    path = f"/opencti/stream/{opencti.STREAM_ID}?from=0-0"
    known = {"Authorization": f"Bearer {opencti.TOKEN}"}
    url = f"{vendors.sandbox.url}{path}"
    with vendors.session.get(url, headers=known, stream=True, timeout=10) as answer:
        lines = answer.iter_lines()
        frame = [next(lines) for _ in range(3)]
        rest = [next(lines) for _ in range(5)]

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert frame[0] == b"event: connected"
    assert shape(json.loads(frame[1].removeprefix(b"data: "))) == shape(CONNECTED)
    assert b"event: heartbeat" in rest


@pytest.mark.parametrize(
    ("path", "authorization", "status"),
    [
        (f"/opencti/stream/{opencti.STREAM_ID}", "", 401),
        ("/opencti/stream/unknown", f"Bearer {opencti.TOKEN}", 401),
        ("/opencti/graphql", f"Bearer {opencti.TOKEN}", 404),
        (
            f"/opencti/stream/{opencti.STREAM_ID}?recover=2026-11-21T00:00:00Z",
            f"Bearer {opencti.TOKEN}",
            500,
        ),
    ],
)
def test_opencti_statuses(vendors: Vendors, path: str, authorization: str, status: int) -> None:
    assert vendors.get(path, authorization).status_code == status


def test_log_analytics_answers_with_a_table(vendors: Vendors) -> None:
    vendors.workspace.put(("domain-name:value", "bad.example"))
    answer = vendors.query("ThreatIntelIndicators\n| project TimeGenerated, ObservableValue").json()

    [table] = answer["tables"]
    assert table["name"] == "PrimaryResult"
    assert [column["name"] for column in table["columns"]] == ["TimeGenerated", "ObservableValue"]
    assert table["rows"][0][1] == "bad.example"


def test_log_analytics_gives_a_part_and_an_error_beyond_its_limits(vendors: Vendors) -> None:
    for number in range(3):
        vendors.workspace.put(("domain-name:value", f"host-{number}.example"))
    vendors.workspace.options.most_rows = 2

    answer = vendors.query("ThreatIntelIndicators\n| project Id")

    assert answer.status_code == 200
    assert len(answer.json()["tables"][0]["rows"]) == 2
    assert answer.json()["error"]["code"] == "PartialError"


@pytest.mark.parametrize(
    "query",
    [
        "SecretTable",
        "ThreatIntelIndicators\n| evaluate x()",
        "ThreatIntelIndicators\n| where Id startswith 'x'",
        "ThreatIntelIndicators\n| where TimeGenerated > x and TimeGenerated <= now()",
        "ThreatIntelIndicators\n| project strcat(Id, Id)",
    ],
)
def test_log_analytics_refuses_what_it_cannot_read(vendors: Vendors, query: str) -> None:
    vendors.workspace.put(("domain-name:value", "bad.example"))
    answer = vendors.query(query)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BadArgumentError")


def test_log_analytics_tells_tokens_apart(vendors: Vendors) -> None:
    assert (
        vendors.query("ThreatIntelIndicators", audience="https://graph.microsoft.com").status_code
        == 403
    )
    url = f"{vendors.sandbox.url}/loganalytics/v1/workspaces/{WORKSPACE_ID}/query"
    assert vendors.session.post(url, json={"query": "x"}, timeout=10).status_code == 401
    token, _ = vendors.sandbox.tokens.issue(loganalytics.AUDIENCES[0], [])
    headers = {"Authorization": f"Bearer {token}"}
    without_type = vendors.session.post(url, data=b"{}", headers=headers, timeout=10)
    assert (without_type.status_code, without_type.content) == (200, b"")
    other = url.replace(WORKSPACE_ID, "another")
    assert vendors.session.post(other, json={}, headers=headers, timeout=10).status_code == 404
