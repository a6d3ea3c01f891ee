from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdti.feeds.fields import (
    MAX_WORDS,
    list_of,
    name_of_nameless,
    object_of,
    percent_of,
    stamp,
    text_of,
    tlp_of,
    words_of,
)
from mdti.moment import moment_of

JSON: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=10,
)


def test_text_is_one_line_of_printable_characters() -> None:
    assert text_of(" a\n\tb\x00c \u202e") == "a b c"
    assert text_of("abcdef", limit=3) == "abc"
    assert text_of(5) == ""


def test_words_are_few_and_each_once() -> None:
    assert words_of(["a", 5, "a", "", "b\n"]) == ("a", "b")
    assert len(words_of([str(number) for number in range(500)])) == MAX_WORDS
    assert words_of("abc") == ()


@pytest.mark.parametrize(
    ("value", "percent"),
    [
        (50, 50),
        (49.6, 50),
        (-3, 0),
        (10**400, 100),
        (float("nan"), None),
        (float("inf"), None),
        (True, None),
        ("50", None),
        (None, None),
    ],
)
def test_a_percentage_is_a_number_from_0_to_100(value: object, percent: int | None) -> None:
    assert percent_of(value) == percent


@settings(max_examples=200, deadline=None)
@given(st.lists(st.datetimes(datetime(1, 1, 2), timezones=st.just(UTC)), min_size=2, max_size=2))
def test_stamps_sort_like_the_moments_they_name(moments: list[datetime]) -> None:
    one, other = moments

    assert (stamp(one) < stamp(other)) == (one < other)
    assert moment_of(stamp(one)) == one
    shifted = one.replace(tzinfo=timezone(timedelta(hours=0)))
    assert stamp(shifted) == stamp(one)


def test_the_strictest_marking_counts() -> None:
    amber = "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"
    assert tlp_of("TLP:WHITE", amber, "green", None, "words") == "amber"
    assert tlp_of("tlp:amber+strict", amber) == "amber+strict"
    assert tlp_of() is None


@settings(max_examples=200, deadline=None)
@given(JSON)
def test_any_json_is_read_without_a_crash(value: Any) -> None:
    assert isinstance(text_of(value), str)
    assert isinstance(words_of(value), tuple)
    assert isinstance(name_of_nameless(value), str)
    assert isinstance(object_of(value), dict)
    assert isinstance(list_of(value), list)
    percent_of(value)
    tlp_of(value)
