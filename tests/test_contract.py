"""What a request may ask, and whether the answer comes at once or later."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdti.contract import (
    MAX_IOCS,
    LookupRequest,
    lookup_answer,
    parse_lookup,
    parse_options,
    query_options,
    wants_later,
)
from mdti.errors import InputError, TooManyItems
from mdti.ioc import HostParser
from mdti.models import LookupOptions
from mdti.settings import Settings
from tests.builders import host
from tests.render.samples import empty_lookup

PARSER = HostParser(examples=True)
DEFAULTS = Settings({}).lookup
USUAL = LookupOptions(depth=2, lookback_days=365, max_hosts=250, timeout_seconds=90)
NAMES = [f"h{number}.example" for number in range(MAX_IOCS + 1)]


def parsed(body: object) -> LookupRequest:
    return parse_lookup(body, parser=PARSER, settings=DEFAULTS)


def test_one_ioc_is_looked_up_as_the_settings_say() -> None:
    request = parsed({"ioc": "hxxps://evil[.]example/a"})
    assert request == LookupRequest((host("evil.example"),), True, USUAL)
    assert not request.takes_long


def test_several_iocs_are_looked_up_in_their_order_and_each_host_once() -> None:
    request = parsed({"iocs": ["b.example", "a.example", "https://b.example/"]})
    assert request == LookupRequest((host("b.example"), host("a.example")), False, USUAL)


def test_options_go_before_settings() -> None:
    body = {"depth": 0, "lookbackDays": 0, "maxHosts": 7, "timeoutSeconds": 600}
    assert parsed({"ioc": "a.example", **body}).options == LookupOptions(
        depth=0, lookback_days=0, max_hosts=7, timeout_seconds=600
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (None, "JSON object"),
        ([], "JSON object"),
        ("evil.example", "JSON object"),
        ({}, "either `ioc` or `iocs`"),
        ({"ioc": "a.example", "iocs": ["b.example"]}, "either `ioc` or `iocs`"),
        ({"iocs": "a.example"}, "list of at least one"),
        ({"iocs": []}, "list of at least one"),
        ({"iocs": {"0": "a.example"}}, "list of at least one"),
        ({"ioc": None}, "must be text"),
        ({"ioc": ["a.example"]}, "must be text"),
        ({"iocs": ["a.example", 7]}, "must be text"),
        ({"ioc": "10.0.0.1"}, "private"),
        ({"iocs": ["a.example", "../../../me"]}, "neither"),
        ({"ioc": "a.example", "depht": 1}, "Unknown field: 'depht'"),
        ({"ioc": "a.example", "\u202e" * 99: 1}, "Unknown field"),
        ({"ioc": "a.example", 7: 1}, "Unknown field: '7'"),
    ],
)
def test_a_wrong_body_is_refused_with_what_is_wrong(body: object, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        parsed(body)
    assert caught.value.http_status == 400
    assert caught.value.message.isascii()


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("depth", 0, 3), ("lookbackDays", 0, 36_500), ("maxHosts", 1, 5_000),
     ("timeoutSeconds", 1, 600)],
)  # fmt: skip
def test_an_option_is_a_whole_number_between_its_limits(name: str, low: int, high: int) -> None:
    for value in (low, high):
        assert parsed({"ioc": "a.example", name: value})
    wrong_values: tuple[object, ...] = (low - 1, high + 1, "2", 2.0, None, True, [], {})
    for wrong in wrong_values:
        with pytest.raises(InputError, match=f"`{name}` must be a whole number from"):
            parsed({"ioc": "a.example", name: wrong})


def test_more_iocs_than_one_request_may_carry_are_refused_before_any_is_read() -> None:
    assert len(parsed({"iocs": NAMES[:MAX_IOCS]}).hosts) == MAX_IOCS
    with pytest.raises(TooManyItems, match="101") as caught:
        parsed({"iocs": [None] * 101})
    assert caught.value.http_status == 413


@pytest.mark.parametrize(
    ("body", "later"),
    [
        ({"iocs": NAMES[:10]}, False),
        ({"iocs": NAMES[:11]}, True),
        ({"ioc": "a.example", "timeoutSeconds": 90}, False),
        ({"ioc": "a.example", "timeoutSeconds": 91}, True),
    ],
)
def test_more_than_ten_iocs_or_ninety_seconds_are_answered_later(
    body: dict[str, Any], later: bool
) -> None:
    assert parsed(body).takes_long is later


@pytest.mark.parametrize(
    ("prefer", "later"),
    [
        (None, False),
        ("", False),
        ("respond-async", True),
        ("return=minimal, Respond-Async; wait=10", True),
        ("respond-asynchronously", False),
        ("wait=10", False),
    ],
)
def test_a_caller_may_prefer_the_answer_later(prefer: str | None, later: bool) -> None:
    assert wants_later(prefer) is later


def test_a_query_strings_options_are_those_of_the_body() -> None:
    assert query_options({"depth": "1", "maxHosts": "20", "ioc": "x", "format": "json"}) == {
        "depth": 1,
        "maxHosts": 20,
    }
    assert parse_options(query_options({}), settings=DEFAULTS) == USUAL


@pytest.mark.parametrize("value", ["", "-1", "1.0", " 1", "1_0", "\u0663", "9" * 7])
def test_a_query_strings_option_that_is_no_whole_number_is_refused(value: str) -> None:
    with pytest.raises(InputError, match="`depth`"):
        query_options({"depth": value})


def test_the_answer_to_one_is_a_look_up_and_to_several_a_list_of_them() -> None:
    lookup = empty_lookup()
    one = LookupRequest((lookup.seed,), True, USUAL)
    document = lookup_answer(one, [lookup])
    assert document["ioc"] == {"value": "quiet.example", "kind": "name"}
    several = lookup_answer(replace(one, single=False), [lookup, lookup])
    assert several == {"lookups": [document, document]}


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True),
    single=st.booleans(),
    depth=st.integers(0, 3),
    seconds=st.integers(1, 600),
)
def test_a_request_written_for_a_job_is_read_as_the_same_request(
    names: list[str], single: bool, depth: int, seconds: int
) -> None:
    asked = {"ioc": names[0]} if single else {"iocs": names}
    request = parsed({**asked, "depth": depth, "timeoutSeconds": seconds})
    assert parsed(request.to_json()) == request


@settings(max_examples=150, deadline=None)
@given(
    body=st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(st.sampled_from(("ioc", "iocs", "depth", "x")), inner, max_size=3),
        ),
        max_leaves=9,
    )
)
def test_any_json_is_a_request_or_an_input_error(body: object) -> None:
    try:
        request = parsed(body)
    except InputError:
        return
    assert 1 <= len(request.hosts) <= MAX_IOCS
