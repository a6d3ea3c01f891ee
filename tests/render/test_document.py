"""JSON documents: the names of the contract, fixed bytes, and an exact way back."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdti.errors import InputError
from mdti.models import Gap, Lookup
from mdti.render.document import (
    actor_document,
    brief_document,
    dump,
    lookup_document,
    lookup_from_document,
)
from tests.render.samples import (
    HOSTILE,
    PROFILE_ID,
    empty_lookup,
    host,
    hostile_lookup,
    sample_brief,
    sample_lookup,
    sample_profile,
)

TIMES = st.datetimes(
    min_value=datetime(1980, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)
)


def back(lookup: Lookup) -> Lookup:
    return lookup_from_document(json.loads(dump(lookup_document(lookup))))


@pytest.mark.parametrize("lookup", [sample_lookup(), empty_lookup()])
def test_a_look_up_comes_back_equal(lookup: Lookup) -> None:
    assert back(lookup) == lookup


@settings(deadline=None, max_examples=60)
@given(st.text() | st.sampled_from(HOSTILE), TIMES, st.floats(0, 1), st.none() | st.text())
def test_any_text_time_and_score_come_back_equal(
    text: str, moment: datetime, score: float, url: str | None
) -> None:
    lookup = hostile_lookup(text)
    evidence = replace(lookup.actors[0].evidence[0], url=url, weight=score)
    actor = replace(lookup.actors[0], score=score, evidence=(evidence,))
    lookup = replace(lookup, at=moment, actors=(actor,), gaps=(Gap(text, text),))
    assert back(lookup) == lookup


def test_times_are_utc_with_z() -> None:
    moment = datetime(2026, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    document = lookup_document(replace(empty_lookup(), at=moment))
    assert document["at"] == "2025-12-31T23:30:00Z"


def test_the_names_are_those_of_the_contract_in_their_order() -> None:
    document = lookup_document(sample_lookup())
    assert list(document) == [
        "ioc",
        "at",
        "reputation",
        "actors",
        "hosts",
        "resolutions",
        "complete",
        "gaps",
        "stats",
    ]
    evidence = document["actors"][0]["evidence"][0]
    assert {"host", "kind", "text", "url", "hops", "weight", "naming", "path"} <= set(evidence)
    assert list(evidence["path"][0]) == ["from", "to", "recordType", "firstSeen", "lastSeen"]
    assert document["complete"] is False
    assert list(document["stats"]) == ["requests", "throttled", "cacheHits", "elapsedSeconds"]


def test_a_brief_has_the_names_the_playbook_reads() -> None:
    document = brief_document(sample_brief())
    assert list(document) == [
        "actors",
        "raise",
        "severity",
        "status",
        "tags",
        "comment",
        "copilotPrompts",
        "exposure",
        "huntingQueries",
        "leftOut",
        "hashMatches",
        "complete",
        "gaps",
        "lookups",
        "mode",
    ]
    assert document["tags"] == [{"Tag": "Example Blizzard"}]
    assert list(document["copilotPrompts"][0]) == ["actor", "commentId", "prompt", "fallbackHtml"]
    assert brief_document(replace(sample_brief(), comment=None))["comment"] is None


def test_an_actor_links_its_profile() -> None:
    document = actor_document(sample_profile())
    assert document["url"] == f"https://security.microsoft.com/intel-profiles/{PROFILE_ID}"
    assert document["firstActive"] == "2020-02-24T00:00:00Z"
    assert actor_document(replace(sample_profile(), first_active=None))["firstActive"] is None


def test_bytes_are_ascii_and_pretty_on_request() -> None:
    document = {"a": "\u202e\ud800"}
    assert dump(document) == b'{"a":"\\u202e\\ud800"}'
    assert dump(document, pretty=True).startswith(b'{\n  "a"')
    assert json.loads(dump(document)) == document


@pytest.mark.parametrize(
    "change",
    [
        {"ioc": None},
        {"ioc": {"value": "../../me"}},
        {"ioc": {"value": "Login-Update.example"}},
        {"ioc": {"value": 7}},
        {"ioc": {"value": ["a.example"]}},
        {"at": "2026-11-21T03:04:05"},
        {"at": "yesterday"},
        {"at": 5},
        {"stats": {}},
        {"gaps": 5},
        {"actors": [{}]},
    ],
)
def test_anything_else_is_refused(change: dict[str, Any]) -> None:
    document = lookup_document(sample_lookup()) | change
    with pytest.raises(InputError):
        lookup_from_document(document)


def test_a_gap_names_its_host_or_none() -> None:
    gaps = (Gap("actorIndex", "48 hours old"), Gap("reputation", "503", host("a.example")))
    documents = lookup_document(replace(empty_lookup(), gaps=gaps))["gaps"]
    assert [item["host"] for item in documents] == [None, "a.example"]
