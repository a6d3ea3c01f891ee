"""Sentinel's upload API against the contract's samples (sentinel-and-defender 1)."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from mdti.sandbox.host import Sandbox
from mdti.sandbox.identity import CLIENT_ID, GRAPH
from mdti.sandbox.sentinelupload import AUDIENCES, WORKSPACE_ID, SentinelUpload
from tests.sandbox.conftest import Clock

# The request of the contract, in 1.1.
SAMPLE: dict[str, Any] = {
    "type": "indicator",
    "spec_version": "2.1",
    "id": "indicator--6f0c8a5e-6a0b-5f3e-8f59-2b6a51a9c001",
    "created": "2026-11-20T08:00:00.000Z",
    "modified": "2026-11-21T06:15:00.000Z",
    "name": "198.51.100.23",
    "description": "Beacon endpoint, case 4711",
    "indicator_types": ["malicious-activity"],
    "pattern": "[ipv4-addr:value = '198.51.100.23']",
    "pattern_type": "stix",
    "pattern_version": "2.1",
    "valid_from": "2026-11-20T08:00:00.000Z",
    "valid_until": "2026-12-20T08:00:00.000Z",
    "confidence": 80,
    "revoked": False,
    "labels": ["threatconnect", "c2"],
    "object_marking_refs": ["marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da"],
    "external_references": [{"source_name": "ThreatConnect", "external_id": "1234567"}],
}


class Caller:
    def __init__(self, sandbox: Sandbox, vendor: SentinelUpload) -> None:
        self.sandbox, self.vendor = sandbox, vendor
        self.session = requests.Session()
        self.session.trust_env = False
        self.audience = AUDIENCES[0]

    def upload(
        self,
        *objects: object,
        source: object = "ThreatConnect - Contoso Org",
        workspace: str = WORKSPACE_ID,
        version: str = "2024-02-01-preview",
    ) -> requests.Response:
        token, _ = self.sandbox.tokens.issue(self.audience, [])
        root = self.sandbox.vendor_url("sentinelupload")
        path = f"/workspaces/{workspace}/threat-intelligence-stix-objects:upload"
        return self.session.post(
            f"{root}{path}?api-version={version}",
            json={"sourcesystem": source, "stixobjects": list(objects)},
            headers={"Authorization": f"Bearer {token}"},
            timeout=10,
        )


@pytest.fixture
def caller(clock: Clock) -> Iterator[Caller]:
    made: list[SentinelUpload] = []

    def vendors(sandbox: Sandbox) -> list[SentinelUpload]:
        made.append(SentinelUpload(sandbox.tokens))
        return made

    with Sandbox(vendors=vendors, clock=clock, sleep=clock.sleep) as sandbox:
        caller = Caller(sandbox, made[0])
        with caller.session:
            yield caller


def test_the_sample_is_taken_with_an_empty_answer_and_becomes_a_row(caller: Caller) -> None:
    answer = caller.upload(SAMPLE)

    assert (answer.status_code, answer.content) == (200, b"")
    [row] = caller.vendor.table
    assert row["Id"] == (
        "VGhyZWF0Q29ubmVjdCAtIENvbnRvc28gT3Jn---indicator--6f0c8a5e-6a0b-5f3e-8f59-2b6a51a9c001"
    )
    assert (row["ObservableKey"], row["ObservableValue"]) == ("ipv4-addr:value", "198.51.100.23")
    assert row["Tags"] == "threatconnect,c2"
    assert row["IsActive"] is True
    assert '"pattern"' not in row["Data"]


def test_rejections_are_named_by_index_in_a_200(caller: Caller) -> None:
    nameless = {name: value for name, value in SAMPLE.items() if name != "id"}

    answer = caller.upload(SAMPLE, SAMPLE, SAMPLE, nameless)

    assert answer.status_code == 200
    assert answer.json() == {
        "errors": [
            {
                "recordIndex": 3,
                "errorMessages": [
                    "Error for Property=id: Required property is missing. Actual value: NULL."
                ],
            }
        ]
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"pattern": ""},
        {"valid_from": None},
        {"valid_until": "2026-11-20T08:00:00.000Z"},
        {"confidence": 101},
        {"confidence": "high"},
        {"type": "malware"},
        {"id": "indicator--1"},
    ],
)
def test_objects_that_break_a_rule_are_rejected(caller: Caller, fields: dict[str, Any]) -> None:
    assert [one["recordIndex"] for one in caller.upload(SAMPLE | fields).json()["errors"]] == [0]
    assert caller.vendor.objects == {}


def test_what_is_no_object_is_rejected(caller: Caller) -> None:
    assert caller.upload("x").json()["errors"][0]["recordIndex"] == 0


def test_a_compound_pattern_is_taken_and_nothing_is_extracted(caller: Caller) -> None:
    pattern = "[file:name = 'x' AND file:hashes.'MD5' = 'y']"

    assert caller.upload(SAMPLE | {"pattern": pattern}).content == b""
    [row] = caller.vendor.table
    assert (row["ObservableKey"], row["ObservableValue"]) == ("", "")


def test_escaped_characters_are_read(caller: Caller) -> None:
    caller.upload(SAMPLE | {"pattern": r"[url:value = 'https://e.example/it\'s\\']"})

    assert caller.vendor.table[0]["ObservableValue"] == "https://e.example/it's\\"


def test_long_texts_are_cut_in_the_table(caller: Caller) -> None:
    caller.upload(SAMPLE | {"description": "x" * 3_000})

    assert "x" * 1_000 in caller.vendor.table[0]["Data"]
    assert "x" * 1_001 not in caller.vendor.table[0]["Data"]


@pytest.mark.parametrize("source", ["", "Microsoft Sentinel", "x" * 257, 7, None])
def test_a_source_system_must_be_ones_own(caller: Caller, source: object) -> None:
    assert caller.upload(SAMPLE, source=source).status_code == 400


def test_more_than_a_hundred_objects_are_refused(caller: Caller) -> None:
    assert caller.upload(*[SAMPLE] * 101).status_code == 400
    assert caller.upload(*[SAMPLE] * 100).status_code == 200


def test_a_version_replaces_an_older_one_and_not_a_newer(caller: Caller) -> None:
    caller.upload(SAMPLE | {"confidence": 10})
    caller.upload(SAMPLE | {"modified": "2026-11-21T06:14:00.000Z", "confidence": 20})
    [kept] = caller.vendor.objects.values()
    assert kept["confidence"] == 10

    caller.upload(SAMPLE | {"modified": "2026-11-21T06:16:00.000Z", "confidence": 30})
    [kept] = caller.vendor.objects.values()
    assert kept["confidence"] == 30


def test_another_source_system_is_another_object(caller: Caller) -> None:
    caller.upload(SAMPLE)
    caller.upload(SAMPLE, source="another")

    assert len(caller.vendor.objects) == 2


def test_a_revoked_object_is_not_active_and_never_comes_back(caller: Caller) -> None:
    caller.upload(SAMPLE)
    assert list(caller.vendor.active()) == ["198.51.100.23"]
    caller.upload(SAMPLE | {"revoked": True, "modified": "2026-11-21T07:00:00.000Z"})
    assert caller.vendor.active() == {}

    caller.upload(SAMPLE | {"modified": "2026-11-21T08:00:00.000Z"})

    assert caller.vendor.active() == {}


def test_other_types_are_taken_without_a_row(caller: Caller) -> None:
    actor = {
        "type": "threat-actor",
        "id": "threat-actor--6f0c8a5e-6a0b-5f3e-8f59-2b6a51a9c001",
        "created": "2026-11-20T08:00:00.000Z",
        "modified": "2026-11-20T08:00:00.000Z",
        "name": "Made-up Typhoon",
    }

    assert caller.upload(actor).content == b""
    assert caller.vendor.table == []


def test_everything_is_written_again_now_and_then(caller: Caller) -> None:
    caller.upload(SAMPLE)
    caller.upload(SAMPLE | {"modified": "2026-11-21T07:00:00.000Z"})

    caller.vendor.republish()

    assert [row["LastUpdateMethod"] for row in caller.vendor.table] == [
        "UploadAPI",
        "UploadAPI",
        "LogARepublisher",
    ]


def test_a_hundred_calls_a_minute_then_429_in_its_own_shape(caller: Caller, clock: Clock) -> None:
    for _ in range(100):
        assert caller.upload(SAMPLE).status_code == 200
    clock.seconds += 33
    answer = caller.upload(SAMPLE)
    assert answer.status_code == 429
    assert answer.json() == {
        "statusCode": 429,
        "message": "Rate limit is exceeded. Try again in 27 seconds.",
    }
    assert answer.headers["Retry-After"] == "27"

    clock.seconds += 27
    assert caller.upload(SAMPLE).status_code == 200


def test_who_may_not_write_or_asks_elsewhere_is_refused(caller: Caller) -> None:
    assert (
        caller.upload(SAMPLE, workspace="5a7d0b0e-0000-4000-8000-00000000c009").status_code == 404
    )
    assert caller.upload(SAMPLE, workspace=f"%7B{WORKSPACE_ID}%7D").status_code == 200
    assert caller.upload(SAMPLE, version="2022-07-01").status_code == 400
    caller.vendor.options.readers.add(CLIENT_ID)
    refused = caller.upload(SAMPLE)
    assert (refused.status_code, refused.headers["x-ms-error-code"]) == (403, "AuthorizationFailed")
    caller.audience = GRAPH
    assert caller.upload(SAMPLE).status_code == 401


def test_other_resources_and_bodies_are_refused(caller: Caller) -> None:
    token, _ = caller.sandbox.tokens.issue(AUDIENCES[1], [])
    root = caller.sandbox.vendor_url("sentinelupload")
    headers = {"Authorization": f"Bearer {token}"}
    path = f"/workspaces/{WORKSPACE_ID}/threat-intelligence-stix-objects:upload"
    version = "?api-version=2024-02-01-preview"

    assert caller.session.get(f"{root}{path}", headers=headers, timeout=10).status_code == 404
    for body in (b"", b"[]", b'{"sourcesystem":"x"}', b'{"sourcesystem":"x","stixobjects":1}'):
        answer = caller.session.post(
            f"{root}{path}{version}", data=body, headers=headers, timeout=10
        )
        assert answer.status_code == 400
