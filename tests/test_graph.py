"""Bodies of Microsoft's threat intelligence: as documented, and as they must not be."""

import random
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdti.errors import BadAnswer
from mdti.graph import (
    Indicator,
    article_of,
    indicator_of,
    profile_of,
    reputation_of,
    resolutions_of,
)
from mdti.incident_models import FileHash
from mdti.ioc import HostParser
from mdti.models import Article, Host, IntelProfile, Reputation, Resolution, Rule
from tests.builders import host

PARSER = HostParser(examples=True)
SEED = host("seed.example")


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def record(artifact: object = "203.0.113.1", **fields: object) -> dict[str, Any]:
    return {
        "id": "r",
        "firstSeenDateTime": "2026-01-01T00:00:00Z",
        "lastSeenDateTime": "2026-02-01T00:00:00.000Z",
        "collectedDateTime": "2026-03-01T00:00:00Z",
        "recordType": "A",
        "parentHost": {"id": "seed.example"},
        "artifact": {"@odata.type": "#microsoft.graph.security.ipAddress", "id": artifact},
        **fields,
    }


# --- reputations ----------------------------------------------------------------------------------


def test_a_reputation_keeps_its_score_its_class_and_its_rules() -> None:
    body = {
        "id": "MDYyZmUuY29t",
        "score": 100,
        "classification": "malicious",
        "rules": [
            {
                "name": " Intel Article ",
                "description": "DEV-1101",
                "severity": "high",
                "relatedDetailsUrl": "https://ti.defender.microsoft.com/article/e0c5c210",
            },
            {"name": "Names", "description": ["ACTINIUM", "IRIDIUM", 7], "relatedDetailsUrl": None},
            {},
            None,
        ],
    }
    url = "https://ti.defender.microsoft.com/article/e0c5c210"
    nothing = Rule("", "", "unknown", None)
    assert reputation_of(body) == Reputation(
        100,
        "malicious",
        (
            Rule("Intel Article", "DEV-1101", "high", url),
            Rule("Names", "ACTINIUM, IRIDIUM", "unknown", None),
            nothing,
            nothing,
        ),
    )


@pytest.mark.parametrize(("score", "kept"), [(0, 0), (74.9, 74), (-5, 0), (1_000, 100)])
def test_a_score_is_a_whole_number_from_0_to_100(score: float, kept: int) -> None:
    assert reputation_of({"score": score, "rules": "none"}) == Reputation(kept, "unknown", ())


@pytest.mark.parametrize(
    "body",
    [None, [], "x", {}, {"score": None}, {"score": "100"}, {"score": True},
     {"score": float("nan")}, {"score": float("inf")}, {"score": float("-inf")}],
)  # fmt: skip
def test_a_reputation_without_a_score_is_a_bad_answer(body: object) -> None:
    with pytest.raises(BadAnswer, match="score"):
        reputation_of(body)


# --- passive DNS ----------------------------------------------------------------------------------


def test_a_record_becomes_a_dated_resolution() -> None:
    found = resolutions_of(SEED, [record()], parser=PARSER)
    assert found.records == (
        Resolution(SEED, host("203.0.113.1"), "A", day("2026-01-01"), day("2026-02-01")),
    )
    assert (found.end, found.dropped, found.swapped) == ("all", 0, 0)


@pytest.mark.parametrize("missing", [None, "", "0001-01-01T00:00:00Z", "soon", 7])
def test_a_record_without_a_last_sighting_was_last_seen_when_it_was_collected(
    missing: object,
) -> None:
    (found,) = resolutions_of(SEED, [record(lastSeenDateTime=missing)], parser=PARSER).records
    assert (found.first, found.last) == (day("2026-01-01"), day("2026-03-01"))


def test_a_record_without_a_first_sighting_was_seen_once() -> None:
    (found,) = resolutions_of(SEED, [record(firstSeenDateTime=None)], parser=PARSER).records
    assert found.first == found.last == day("2026-02-01")


def test_a_record_that_ends_before_it_begins_is_turned_and_counted() -> None:
    turned = record(firstSeenDateTime="2026-02-01", lastSeenDateTime="2026-01-01")
    found = resolutions_of(SEED, [turned], parser=PARSER)
    assert (found.records[0].first, found.records[0].last) == (day("2026-01-01"), day("2026-02-01"))
    assert found.swapped == 1


@pytest.mark.parametrize(
    "wrong",
    [record("10.0.0.1"), record("../../../me"), record("localhost"), record("SEED.example.")],
)
def test_a_record_that_names_no_other_public_host_is_dropped_and_counted(
    wrong: dict[str, Any],
) -> None:
    found = resolutions_of(SEED, [wrong, record()], parser=PARSER, end="hub")
    assert len(found.records) == 1
    assert (found.end, found.dropped, found.unreadable) == ("hub", 1, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        record(None),
        record(7),
        {**record(), "artifact": None},
        {**record(), "artifact": "203.0.113.1"},
        record(firstSeenDateTime=None, lastSeenDateTime=None, collectedDateTime=None),
        record(firstSeenDateTime="x", lastSeenDateTime="0001-01-01T00:00:00+14:00",
               collectedDateTime="9999-12-31T23:59:59-14:00"),
    ],
)  # fmt: skip
def test_a_record_that_names_nothing_or_no_time_is_unreadable_and_counted(
    wrong: dict[str, Any],
) -> None:
    found = resolutions_of(SEED, [wrong, record()], parser=PARSER)
    assert len(found.records) == 1
    assert (found.dropped, found.unreadable) == (0, 1)


@pytest.mark.parametrize("kind", ["NS", "MX", "SOA", "TXT", "unknownFutureValue", "", None, 7])
def test_other_record_types_are_passed_over(kind: object) -> None:
    found = resolutions_of(SEED, [record(recordType=kind)], parser=PARSER)
    assert (found.records, found.dropped) == ((), 0)


def test_an_artifact_may_be_given_by_value_and_its_kind_is_its_values() -> None:
    by_value = record()
    by_value["artifact"] = {"@odata.type": "#microsoft.graph.security.hostname", "value": "8.8.8.8"}
    (found,) = resolutions_of(SEED, [by_value, None, 7], parser=PARSER).records
    assert (found.answer.kind, found.record_type) == ("ipv4", "A")


@settings(max_examples=60, deadline=None)
@given(order=st.randoms(use_true_random=False))
def test_shuffled_and_repeated_records_give_the_same_resolutions(order: random.Random) -> None:
    bodies = [record(f"203.0.113.{n}") for n in range(9)] + [
        record("b.example", recordType="cname")
    ]
    once = resolutions_of(SEED, bodies, parser=PARSER)
    assert resolutions_of(SEED, order.sample(bodies * 2, 20), parser=PARSER) == once
    assert list(once.records) == sorted(once.records)


# --- profiles, articles, indicators ---------------------------------------------------------------


def test_a_profile_keeps_what_the_brief_needs() -> None:
    body = {
        "id": "9b01de37",
        "kind": "actor",
        "title": " Aqua  Blizzard ",
        "aliases": ["ACTINIUM", " DEV -0157", "", None],
        "countriesOrRegionsOfOrigin": [{"label": "Russia", "code": "RU"}, {"code": "X"}, None],
        "targets": ["Government", 7],
        "firstActiveDateTime": "2013-01-01T00:00:00Z",
        "summary": {"content": "Short.", "format": "markdown"},
        "description": {"content": "Long."},
        "tradecraft": None,
    }
    assert profile_of(body) == IntelProfile(
        id="9b01de37",
        kind="actor",
        title="Aqua Blizzard",
        aliases=("ACTINIUM", "DEV -0157"),
        origins=("Russia",),
        targets=("Government",),
        first_active=day("2013-01-01"),
        summary="Short.",
        description="Long.",
    )


@pytest.mark.parametrize("body", [None, {}, {"id": "x"}, {"title": "x"}, {"id": 7, "title": "x"}])
def test_a_profile_without_id_or_title_is_none(body: object) -> None:
    assert profile_of(body) is None


def test_a_profile_of_two_fields_is_enough() -> None:
    assert profile_of({"id": "x", "title": "T"}) == IntelProfile("x", "unknown", "T")


def test_an_article_keeps_title_tags_and_text() -> None:
    body = {
        "id": "e0c5c210",
        "title": "NakedPages",
        "tags": ["IRIDIUM", "T1546.008", None],
        "summary": {"content": "S"},
        "body": {"content": "B"},
        "lastUpdatedDateTime": "2026-01-01T00:00:00Z",
    }
    expected = Article(
        "e0c5c210", "NakedPages", ("IRIDIUM", "T1546.008"), "S\nB", day("2026-01-01")
    )
    assert article_of(body) == expected
    assert article_of({"id": "x"}) == Article("x", "", (), "")


def test_an_article_without_an_id_is_a_bad_answer() -> None:
    with pytest.raises(BadAnswer, match="id"):
        article_of({"title": "x"})


@pytest.mark.parametrize(
    ("artifact", "found"),
    [
        ({"id": "evil.example"}, host("evil.example")),
        ({"value": "203.0.113.9"}, host("203.0.113.9")),
        ({"value": "A" * 64}, FileHash("SHA256", "a" * 64)),
        ({"value": "a" * 40, "id": "x"}, FileHash("SHA1", "a" * 40)),
        ({"value": "a" * 32}, FileHash("MD5", "a" * 32)),
    ],
)
def test_an_indicator_is_a_host_or_a_file_hash(artifact: object, found: Host | FileHash) -> None:
    body = {"artifact": artifact, "source": "microsoft", "firstSeenDateTime": "2026-01-01"}
    assert indicator_of(body, parser=PARSER) == Indicator(
        found, "microsoft", day("2026-01-01"), None
    )


@pytest.mark.parametrize(
    "artifact", [None, {}, {"value": "g" * 32}, {"id": "10.0.0.1"}, {"id": "CN=x"}, {"id": 7}, "x"]
)
def test_an_indicator_of_another_kind_is_none(artifact: object) -> None:
    assert indicator_of({"artifact": artifact}, parser=PARSER) is None


# --- whatever arrives -----------------------------------------------------------------------------

KEYS = st.sampled_from(
    ("id", "score", "classification", "rules", "description", "artifact", "value", "recordType",
     "firstSeenDateTime", "lastSeenDateTime", "title", "aliases", "tags", "summary", "content",
     "countriesOrRegionsOfOrigin", "label", "targets", "kind")
)  # fmt: skip
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12),
    st.sampled_from(("A", "evil.example", "203.0.113.1", "0001-01-01T00:00:00+14:00")),
)  # fmt: skip
JSON = st.recursive(
    VALUES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=6)),
    max_leaves=20,
)


@settings(max_examples=250, deadline=None)
@given(body=JSON)
def test_any_json_is_understood_left_out_or_a_bad_answer(body: object) -> None:
    for read in (reputation_of, article_of):
        try:
            read(body)
        except BadAnswer:
            continue
    profile_of(body)
    indicator_of(body, parser=PARSER)
    many = body if isinstance(body, list) else [body]
    for found in resolutions_of(SEED, many, parser=PARSER).records:
        assert PARSER.parse(found.answer.value) == found.answer
