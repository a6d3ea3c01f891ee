"""What the results of an import mean, whatever the service sends."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdti.feeds.destinations.defender_import import ImportRow, judge_import
from mdti.feeds.indicator import Key

TAKEN = {"isFailed": False, "failureReason": None}
FULL = {"id": None, "isFailed": True, "failureReason": "no place is left"}
BAD = {"id": None, "isFailed": True, "failureReason": "not a value"}


def row(number: int, *, new: bool = True) -> ImportRow:
    value = f"host-{number}.example"
    return ImportRow(key=Key("domain", value), new=new, body={"indicatorValue": value})


def result(number: int, said: Mapping[str, Any]) -> dict[str, Any]:
    return {"indicator": f"host-{number}.example", "id": str(number), **said}


def judged(*said: Mapping[str, Any], old: int = 0, full: bool = False) -> list[str]:
    """Return the states; the first `old` rows are there already."""
    rows = [row(number, new=number >= old) for number in range(len(said))]
    results = [result(number, one) for number, one in enumerate(said)]
    return [outcome.state for outcome in judge_import(rows, results, full=full)]


def test_rows_that_fail_alike_up_to_the_last_met_a_full_tenant() -> None:
    assert judged(TAKEN, TAKEN, FULL, FULL) == ["accepted"] * 2 + ["over_cap"] * 2


def test_a_tenant_that_was_full_before_is_full() -> None:
    assert judged(FULL, FULL, FULL) == ["over_cap"] * 3


def test_rows_that_fail_among_others_are_bad() -> None:
    assert judged(BAD, TAKEN, BAD, TAKEN) == ["rejected", "accepted"] * 2


def test_bad_rows_before_the_cap_are_not_over_it() -> None:
    assert judged(BAD, TAKEN, BAD, FULL, FULL) == [
        "rejected",
        "accepted",
        "rejected",
        "over_cap",
        "over_cap",
    ]


def test_one_row_that_fails_last_is_undecided() -> None:
    assert judged(TAKEN, FULL) == ["accepted", "pending"]
    assert judged(FULL) == ["pending"]


def test_rows_that_are_there_take_no_place() -> None:
    assert judged(TAKEN, BAD, FULL, FULL, old=2) == [
        "accepted",
        "rejected",
        "over_cap",
        "over_cap",
    ]
    assert judged(BAD, BAD, old=2) == ["rejected"] * 2


def test_in_a_tenant_that_is_known_to_be_full_every_new_row_that_fails_is_over_cap() -> None:
    assert judged(BAD, FULL, TAKEN, FULL, old=1, full=True) == [
        "rejected",
        "over_cap",
        "accepted",
        "over_cap",
    ]


@pytest.mark.parametrize("results", [[], [{}], [{"indicator": "host-0.example"}], [{"id": 1}]])
def test_a_row_without_a_result_is_pending(results: list[dict[str, Any]]) -> None:
    [outcome] = judge_import([row(0)], results, full=False)

    assert outcome.state == "pending"


def test_refusals_keep_the_services_words() -> None:
    [first, _] = judge_import([row(0), row(1)], [result(0, BAD), result(1, TAKEN)], full=False)

    assert first.reason == "not a value"


def test_a_refusal_without_words_has_some() -> None:
    wordless = {"isFailed": True, "failureReason": None}
    [first, _] = judge_import([row(0), row(1)], [result(0, wordless), result(1, TAKEN)], full=False)

    assert first.state == "rejected"
    assert first.reason


_SAID = st.one_of(
    st.sampled_from([TAKEN, FULL, BAD]),
    st.dictionaries(
        st.sampled_from(["id", "indicator", "isFailed", "failureReason"]),
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3)),
    ),
)


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.tuples(_SAID, st.booleans()), max_size=8),
    st.lists(_SAID, max_size=3),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_every_row_has_one_outcome_and_only_a_stated_success_is_one(
    said: list[tuple[dict[str, Any], bool]], more: list[dict[str, Any]], full: bool, random: Any
) -> None:
    rows = [row(number, new=new) for number, (_, new) in enumerate(said)]
    results = [result(number, one) for number, (one, _) in enumerate(said)] + more
    random.shuffle(results)

    outcomes = judge_import(rows, results, full=full)

    assert [outcome.key for outcome in outcomes] == [one.key for one in rows]
    stated = sum(one.get("isFailed") is False for one in results)
    assert sum(outcome.state == "accepted" for outcome in outcomes) <= stated
    for outcome, one in zip(outcomes, rows, strict=True):
        if outcome.state == "over_cap":
            assert one.new
