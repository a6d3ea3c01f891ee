import json
from datetime import timedelta
from typing import Any

import pytest
import stix2
from hypothesis import given, settings
from hypothesis import strategies as st

from mdti.errors import BadAnswer, Missing, SettingError
from mdti.feeds.destinations.sentinel import BATCH, Sentinel, refusals_of
from mdti.feeds.destinations.sentinel_objects import created_of, pattern_of
from mdti.feeds.indicator import IndicatorKind, Key, Tlp
from mdti.feeds.patterns import by_grammar
from mdti.feeds.ports import Drop, Put
from mdti.net.messages import Response
from mdti.sandbox.faults import Fault
from mdti.sandbox.sentinelupload import WORKSPACE_ID
from tests.feeds.destinations.rig import NOW, VALUES, domain, drop, indicator, put
from tests.feeds.destinations.rig_sentinel import SOURCE_SYSTEM, SentinelRig

TEN = [domain(number) for number in range(10)]
EVERY_KIND: list[tuple[IndicatorKind, str, str]] = [
    ("ipv4", "198.51.100.23", "[ipv4-addr:value = '198.51.100.23']"),
    ("ipv6", "2001:db8::23", "[ipv6-addr:value = '2001:db8::23']"),
    ("domain", "evil.example", "[domain-name:value = 'evil.example']"),
    ("url", "https://evil.example/it's", r"[url:value = 'https://evil.example/it\'s']"),
    ("email", "x@evil.example", "[email-addr:value = 'x@evil.example']"),
    ("md5", "a" * 32, f"[file:hashes.'MD5' = '{'a' * 32}']"),
    ("sha1", "a" * 40, f"[file:hashes.'SHA-1' = '{'a' * 40}']"),
    ("sha256", "a" * 64, f"[file:hashes.'SHA-256' = '{'a' * 64}']"),
]


def uploaded(rig: SentinelRig) -> list[dict[str, Any]]:
    return [item for (source, _), item in rig.vendor.objects.items() if source == SOURCE_SYSTEM]


def only(rig: SentinelRig) -> dict[str, Any]:
    [item] = uploaded(rig)
    return item


@pytest.mark.parametrize(("kind", "value", "pattern"), EVERY_KIND)
def test_an_indicator_becomes_an_object_that_stix2_takes_and_sentinel_reads(
    sentinel: SentinelRig, kind: IndicatorKind, value: str, pattern: str
) -> None:
    item = indicator(value, kind, link="https://source.example/1", tlp="green")
    assert sentinel.destination().key(item) == item.key

    sentinel.apply(put(item))

    document = only(sentinel)
    assert document["pattern"] == pattern
    parsed = stix2.parse(json.dumps(document), allow_custom=False)
    assert str(parsed["pattern"]) == pattern
    [row] = sentinel.vendor.table
    assert row["ObservableValue"] == value
    assert row["IsActive"] is True


def test_an_object_says_what_the_indicator_does(sentinel: SentinelRig) -> None:
    item = indicator(
        TEN[0],
        title="Beacon",
        description="Case 4711",
        confidence=None,
        score=77,
        tags=("Loader", "loader", "c2"),
        threat_types=("malware",),
        actors=("Made-up Typhoon",),
        tlp="amber",
        valid_from=NOW - timedelta(days=3),
        link="https://source.example/1",
    )

    sentinel.apply(put(item))

    document = only(sentinel)
    assert document["name"] == "Beacon"
    assert document["description"] == "Case 4711"
    assert document["confidence"] == 77
    assert document["labels"] == ["Loader", "c2", "malware", "Made-up Typhoon"]
    assert document["valid_from"] == "2026-11-18T12:00:00.000Z"
    assert document["valid_until"] == "2026-12-21T12:00:00.000Z"
    assert document["object_marking_refs"] == [
        "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"
    ]
    assert document["external_references"] == [
        {"source_name": SOURCE_SYSTEM, "url": "https://source.example/1"}
    ]


@pytest.mark.parametrize(
    ("tlp", "ending"),
    [("clear", "99dc9"), ("green", "41da"), ("amber", "0b82"), ("red", "92d5ed")],
)
def test_every_tlp_has_its_marking(sentinel: SentinelRig, tlp: Tlp, ending: str) -> None:
    sentinel.apply(put(indicator(TEN[0], tlp=tlp)))

    [marking] = only(sentinel)["object_marking_refs"]
    assert marking.endswith(ending)


def test_amber_strict_is_never_shared_wider(sentinel: SentinelRig) -> None:
    sentinel.apply(put(indicator(TEN[0], tlp="amber+strict")))

    assert only(sentinel)["object_marking_refs"][0].endswith("92d5ed")
    assert only(sentinel)["labels"][0] == "tlp:amber+strict"


def test_a_tlp_may_be_given_to_what_has_none(sentinel: SentinelRig) -> None:
    destination = sentinel.destination(default_tlp="green")

    sentinel.apply(put(TEN[0]), put(indicator(TEN[1], tlp="red")), destination=destination)

    by_name = {item["name"]: item["object_marking_refs"][0] for item in uploaded(sentinel)}
    assert by_name[f"about {TEN[0]}"].endswith("41da")
    assert by_name[f"about {TEN[1]}"].endswith("92d5ed")


def test_without_confidence_none_is_made_up(sentinel: SentinelRig) -> None:
    sentinel.apply(put(indicator(TEN[0], confidence=None, score=None)))

    assert "confidence" not in only(sentinel)


@pytest.mark.parametrize("spelling", ["errorMessages", "validationErrorMessages"])
def test_rejections_inside_a_200_are_read_in_both_spellings(
    sentinel: SentinelRig, spelling: Any
) -> None:
    sentinel.vendor.options.spelling = spelling
    bad = indicator(TEN[3], confidence=101)

    outcomes = sentinel.apply(*map(put, TEN[:3]), put(bad), *map(put, TEN[4:]))

    assert outcomes[3].state == "rejected"
    assert "confidence" in outcomes[3].reason
    assert [one.state for one in outcomes].count("accepted") == 9
    assert outcomes[3].remote_id is None


@pytest.mark.parametrize("status", [200, 400])
def test_a_call_of_which_nothing_is_taken_rejects_every_row(
    sentinel: SentinelRig, status: int
) -> None:
    sentinel.vendor.options.all_invalid = status
    bad = [indicator(value, confidence=101) for value in TEN[:3]]

    outcomes = sentinel.apply(put(TEN[9]), *map(put, bad))

    assert [one.state for one in outcomes] == ["accepted", *["rejected"] * 3]


def test_all_bad_in_a_way_that_fails_each_call_is_an_error(sentinel: SentinelRig) -> None:
    sentinel.vendor.options.all_invalid = 400
    bad = [indicator(domain(number), confidence=101) for number in range(60)]

    with pytest.raises(Exception, match="400"):
        sentinel.apply(*map(put, bad))


@pytest.mark.parametrize(
    "body",
    [
        b'{"errors":[{"recordIndex":7,"errorMessages":["x"]}]}',
        b'{"errors":[{"recordIndex":"0","errorMessages":["x"]}]}',
        b'{"errors":[{"errorMessages":["x"]}]}',
        b'{"errors":["x"]}',
        b'{"errors":"x"}',
        b"[]",
        b"accepted",
    ],
)
def test_a_rejection_that_names_no_row_is_no_acceptance(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        refusals_of(Response(200, {}, body, "api"), 1)


def test_a_hundred_objects_are_one_call(sentinel: SentinelRig) -> None:
    assert sentinel.destination().limits.batch == BATCH == 100

    sentinel.apply(*(put(domain(number)) for number in range(BATCH)))

    assert len(sentinel.sandbox.requests) == 1


def test_a_hundred_calls_a_minute_are_not_throttled_and_the_next_one_waits(
    sentinel: SentinelRig,
) -> None:
    destination = sentinel.destination()
    for number in range(100):
        sentinel.apply(put(domain(number)), destination=destination)
    assert {seen.status for seen in sentinel.sandbox.requests} == {200}

    [outcome] = sentinel.apply(put(domain(100)), destination=destination)

    assert outcome.state == "accepted"
    assert len(sentinel.present()) == 101


def test_a_429_without_a_header_is_waited_out(sentinel: SentinelRig) -> None:
    sentinel.vendor.options.retry_after = False
    destination = sentinel.destination()
    for number in range(100):
        sentinel.apply(put(domain(number)), destination=destination)

    [outcome] = sentinel.apply(put(domain(100)), destination=destination)

    assert outcome.state == "accepted"


def test_the_same_row_has_the_same_id_in_every_run_and_another_in_its_next_life(
    sentinel: SentinelRig,
) -> None:
    sentinel.apply(put(TEN[0]))
    sentinel.clock.pass_(days=1)
    sentinel.apply(put(TEN[0]))
    assert len(uploaded(sentinel)) == 1

    sentinel.apply(put(TEN[0], generation=1))

    assert len({item["id"] for item in uploaded(sentinel)}) == 2


def test_another_source_system_has_other_ids(sentinel: SentinelRig) -> None:
    other = Sentinel(
        transport=sentinel.transport,
        values=VALUES,
        workspace_id=WORKSPACE_ID,
        source_system="another feed",
        endpoint=sentinel.sandbox.vendor_url("sentinelupload"),
        now=sentinel.now,
    )

    sentinel.apply(put(TEN[0]))
    sentinel.apply(put(TEN[0]), destination=other)

    assert len({stix_id for _, stix_id in sentinel.vendor.objects}) == 2


def test_created_stays_and_modified_moves_on(sentinel: SentinelRig) -> None:
    [outcome] = sentinel.apply(put(TEN[0]))
    first = dict(only(sentinel))
    sentinel.clock.pass_(days=2)

    [outcome] = sentinel.apply(put(TEN[0], remote_id=outcome.remote_id))
    sentinel.clock.pass_(days=2)
    sentinel.apply(drop(outcome))

    last = only(sentinel)
    assert last["created"] == first["created"] == "2026-11-21T12:00:00.000Z"
    assert first["modified"] < last["modified"]


def test_a_removed_row_is_revoked_and_has_ended(sentinel: SentinelRig) -> None:
    [outcome] = sentinel.apply(put(TEN[0]))
    sentinel.clock.pass_(days=1)

    sentinel.apply(drop(outcome))

    document = only(sentinel)
    assert document["revoked"] is True
    assert document["valid_until"] == "2026-11-22T12:00:00.000Z"
    stix2.parse(json.dumps(document), allow_custom=False)
    assert sentinel.vendor.table[-1]["IsActive"] is False


def test_a_row_can_be_removed_in_the_moment_it_came(sentinel: SentinelRig) -> None:
    [outcome] = sentinel.apply(put(TEN[0]))
    sentinel.apply(drop(outcome))

    assert sentinel.present() == []
    stix2.parse(json.dumps(only(sentinel)), allow_custom=False)


@pytest.mark.parametrize("remote_id", [None, "nonsense", "indicator--1 yesterday"])
def test_a_row_can_be_removed_without_what_the_ledger_kept(
    sentinel: SentinelRig, remote_id: str | None
) -> None:
    sentinel.apply(put(TEN[0]))

    sentinel.apply(Drop(Key("domain", TEN[0]), remote_id))

    assert sentinel.present() == []


def test_a_future_start_is_never_sent(sentinel: SentinelRig) -> None:
    item = indicator(TEN[0], valid_from=NOW + timedelta(days=2), modified=NOW + timedelta(days=1))

    [outcome] = sentinel.apply(put(item))

    assert outcome.state == "accepted"
    assert only(sentinel)["valid_from"] == "2026-11-21T12:00:00.000Z"


def test_without_a_life_of_its_own_a_row_ends_with_its_indicator(sentinel: SentinelRig) -> None:
    destination = sentinel.destination(expire_days=None)
    soon = indicator(TEN[0], valid_until=NOW + timedelta(days=2))

    sentinel.apply(put(soon), put(TEN[1]), destination=destination)

    ends = {item["name"]: item.get("valid_until") for item in uploaded(sentinel)}
    assert ends == {
        f"about {TEN[0]}": "2026-11-23T12:00:00.000Z",
        f"about {TEN[1]}": None,
    }


@pytest.mark.parametrize("name", ["", "  ", "x" * 257, "Microsoft Sentinel", "microsoft sentinel "])
def test_a_source_system_that_is_not_allowed_is_refused(name: str, sentinel: SentinelRig) -> None:
    with pytest.raises(SettingError, match="SENTINEL_SOURCE_SYSTEM"):
        Sentinel(
            transport=sentinel.transport,
            values=VALUES,
            workspace_id=WORKSPACE_ID,
            source_system=name,
        )


@pytest.mark.parametrize("workspace", ["", "law-sec", "/subscriptions/1/workspaces/law"])
def test_a_workspace_must_be_a_guid(sentinel: SentinelRig, workspace: str) -> None:
    with pytest.raises(SettingError, match="SENTINEL_WORKSPACE_ID"):
        sentinel.destination(workspace_id=workspace)


def test_an_unknown_workspace_is_an_error_that_says_what_to_do(sentinel: SentinelRig) -> None:
    destination = sentinel.destination(workspace_id=WORKSPACE_ID.replace("c003", "c004"))

    with pytest.raises(Missing) as caught:
        sentinel.apply(put(TEN[0]), destination=destination)

    assert caught.value.hint is not None
    assert "SENTINEL_WORKSPACE_ID" in caught.value.hint


def test_a_lost_batch_is_pending_and_no_part_of_it_is_taken_for_done(
    sentinel: SentinelRig,
) -> None:
    sentinel.sandbox.faults.set([Fault(kind="error", status=500)])

    outcomes = sentinel.apply(*(put(domain(number)) for number in range(BATCH)))

    assert {outcome.state for outcome in outcomes} == {"pending"}


def test_a_life_of_nothing_is_refused(sentinel: SentinelRig) -> None:
    with pytest.raises(SettingError, match="SENTINEL_EXPIRE_DAYS"):
        sentinel.destination(expire_days=0)


def test_what_the_ledger_kept_is_read_only_for_its_own_row() -> None:
    assert created_of("indicator--1 2026-11-21T12:00:00.000Z", "indicator--1") == NOW
    assert created_of("indicator--1 2026-11-21T12:00:00.000Z", "indicator--2") is None
    assert created_of("indicator--1 yesterday", "indicator--1") is None
    assert created_of(None, "indicator--1") is None


def test_settings_that_shape_rows_change_the_revision(sentinel: SentinelRig) -> None:
    revisions = {
        sentinel.destination().revision,
        sentinel.destination(expire_days=7).revision,
        sentinel.destination(default_tlp="red").revision,
    }

    assert len(revisions) == 3


def test_a_removal_beside_an_addition_is_one_call(sentinel: SentinelRig) -> None:
    [outcome] = sentinel.apply(put(TEN[0]))
    sentinel.sandbox.forget()
    operations: tuple[Put | Drop, ...] = (put(TEN[1]), drop(outcome))

    sentinel.apply(*operations)

    assert len(sentinel.sandbox.requests) == 1
    assert sentinel.present() == [TEN[1]]


@settings(deadline=None, max_examples=200)
@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=60))
def test_no_value_can_leave_its_quotes(value: str) -> None:
    found = by_grammar(pattern_of(Key("url", value)))

    assert found.found == (("url", value),)


def test_an_answer_after_ten_seconds_does_not_hold_up_the_calls_after_it(
    sentinel: SentinelRig,
) -> None:
    limits = sentinel.destination().limits
    assert limits.parallel / limits.per_minute * 60 >= 10
