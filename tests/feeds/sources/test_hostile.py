"""Whatever a vendor sends as a record, it becomes changes or counted skips, never a crash."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdti.feeds.ports import Change, Remove, Upsert
from mdti.feeds.sources import mdti_rows, opencti_events, stix
from mdti.feeds.sources.sse import Event
from mdti.feeds.sources.threatconnect_objects import Reading, summaries_of
from tests.feeds.rig import NOW, VALUES
from tests.feeds.sources.rig_anomali import AnomaliRig
from tests.feeds.test_fields import JSON

STIX = {
    "type": "indicator",
    "id": "indicator--1",
    "pattern": "[domain-name:value = 'bad.example']",
    "pattern_type": "stix",
    "modified": "2026-11-21T00:00:00Z",
    "revoked": False,
    "confidence": 50,
    "labels": ["a"],
    "hashes": {"MD5": "ab" * 16},
    "value": "bad.example",
    "extensions": {},
    "external_references": [],
    "object_marking_refs": [],
    "valid_until": None,
}
CONNECT = {
    "ownerName": "Owner",
    "type": "Host",
    "hostName": "bad.example",
    "summary": "bad.example",
    "lastModified": "2026-11-21T00:00:00Z",
    "rating": 3.0,
    "threatAssessScore": 500,
    "active": True,
    "tags": {"data": []},
    "webLink": "https://tc.example/",
    "md5": "ab" * 16,
}
ROW = {
    "Id": "one",
    "TimeGenerated": "2026-11-21T00:00:00Z",
    "Modified": "2026-11-21T00:00:00Z",
    "ObservableKey": "domain-name:value",
    "ObservableValue": "bad.example",
    "Pattern": "",
    "Tags": "a,b",
    "Labels": '["c"]',
    "IsActive": True,
    "IsDeleted": False,
    "Revoked": False,
    "ThreatTypes": "",
}


def spoilt(good: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Any JSON, and a good record in which some fields are any JSON."""
    damage = st.dictionaries(st.sampled_from(sorted(good)), JSON, max_size=4)
    return st.one_of(JSON, damage.map(lambda fields: {**good, **fields}))


def check(changes: tuple[Change, ...]) -> None:
    for change in changes:
        assert isinstance(change, Upsert | Remove)
        assert change.source_id
        assert change.version
        reasons = (change.skipped or {}) if isinstance(change, Upsert) else {change.reason: 1}
        assert all(len(reason) < 40 and reason.isprintable() for reason in reasons)


@settings(max_examples=200, deadline=None)
@given(spoilt(STIX))
def test_stix_objects(item: Any) -> None:
    check((stix.change_of(item, values=VALUES),))


@settings(max_examples=200, deadline=None)
@given(spoilt(STIX), st.sampled_from(["create", "update", "merge", "delete", "odd"]), JSON, JSON)
def test_frames_of_a_stream(item: Any, name: str, context: Any, origin: Any) -> None:
    told = {"type": "update", "data": item, "context": context, "origin": origin}
    event = Event(name, json.dumps(told), "5-0")

    check(tuple(opencti_events.changes_of(event, (5, 0), VALUES)))


@settings(max_examples=200, deadline=None)
@given(st.lists(spoilt(CONNECT), max_size=3))
def test_objects_and_deletions_of_threatconnect(rows: list[Any]) -> None:
    reading = Reading(VALUES, 2.0)

    check(reading.changes(rows))
    check(reading.removals(rows, frozenset(), NOW))
    assert all(isinstance(one, str) for one in (*reading.ids(rows), *summaries_of(rows)))


@settings(max_examples=200, deadline=None)
@given(st.lists(spoilt(ROW).filter(lambda row: isinstance(row, dict)), max_size=3))
def test_rows_of_the_table(rows: list[Any]) -> None:
    check(mdti_rows.changes_of(rows, VALUES))


@pytest.mark.parametrize("name", ["id", "update_id", "value", "type", "tags", "meta", "status"])
def test_observables_of_threatstream(name: str) -> None:
    rig = AnomaliRig()
    with rig.running():
        values: list[Any] = [None, -1, 10**30, "x", [], {}, [[{}]], True]
        for number, value in enumerate(values):
            row = rig.rows.put(f"host-{number}.example", itype="mal_domain")
            row[name] = value if name != "update_id" or isinstance(value, int) else 0
        for batch in rig.read({"update_id": "0"}, page=100):
            check(batch.changes)
