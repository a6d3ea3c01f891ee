"""The forms that a setting's value may have."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdti.setting import choice, endpoint, flag, guids, is_loopback, number, text, whole, words

GUID = "5b1f8a30-0000-4000-8000-00000000000a"


def test_text_has_no_white_space_around_it_and_words_none_that_are_empty() -> None:
    assert text("  a b ") == "a b"
    assert words(" a , b c,, ") == ("a", "b c")
    assert words("") == ()


def test_guids_may_be_separated_in_any_usual_way_and_become_lower_case() -> None:
    assert guids("") == ()
    assert guids(f"{GUID.upper()}, {GUID};{GUID}\n{GUID}") == (GUID,) * 4


@pytest.mark.parametrize("value", ["x", GUID[:-1], f"{{{GUID}}}", f"{GUID}x", "*"])
def test_what_is_no_guid_is_refused(value: str) -> None:
    with pytest.raises(ValueError):
        guids(f"{GUID},{value}")


@pytest.mark.parametrize(
    ("value", "yes"),
    [("true", True), (" On ", True), ("1", True), ("FALSE", False), ("off", False), ("0", False)],
)
def test_a_flag_is_yes_or_no(value: str, yes: bool) -> None:
    assert flag(value) is yes


@pytest.mark.parametrize("value", ["", "yes", "2", "truee"])
def test_any_other_flag_is_refused(value: str) -> None:
    with pytest.raises(ValueError):
        flag(value)


@settings(max_examples=60, deadline=None)
@given(value=st.integers(-20, 20))
def test_a_whole_number_lies_between_its_limits(value: int) -> None:
    form = whole(-3, 12)
    if -3 <= value <= 12:
        assert form(f" {value} ") == value
    else:
        with pytest.raises(ValueError):
            form(str(value))


@pytest.mark.parametrize("value", ["", "1.0", "ten", "1e1"])
def test_what_is_no_whole_number_is_refused(value: str) -> None:
    with pytest.raises(ValueError):
        whole(0, 100)(value)


def test_a_choice_matches_whatever_its_case_and_is_returned_as_it_was_named() -> None:
    assert choice("Active", "keep")(" ACTIVE ") == "Active"
    with pytest.raises(ValueError):
        choice("Active", "keep")("Closed")


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("https://graph.microsoft.com/", "https://graph.microsoft.com"),
        (" https://graph.microsoft.com//", "https://graph.microsoft.com"),
        ("https://host:8443/base", "https://host:8443/base"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://localhost:1", "http://localhost:1"),
    ],
)
def test_an_endpoint_is_a_root_without_a_slash_at_its_end(value: str, url: str) -> None:
    assert endpoint(value) == url


@pytest.mark.parametrize(
    "value",
    [
        "",
        "graph.microsoft.com",
        "http://graph.microsoft.com",
        "http://127.0.0.1.evil.com",
        "http://localhost.evil.com",
        "ftp://127.0.0.1",
        "https://",
        "https:///path",
        "https://user@graph.microsoft.com",
        "https://:word@graph.microsoft.com",
        "https://user:word@graph.microsoft.com",
        "https://@graph.microsoft.com",
        "https://graph.microsoft.com?x=1",
        "https://graph.microsoft.com?",
        "https://graph.microsoft.com#x",
        "https://graph.microsoft.com#",
        "https://graph.microsoft.com:port",
        "https://graph.microsoft.com:99999",
        "https://graph.microsoft.com\\@evil.com",
        "https://graph micro.com",
        "https://graph.microsoft.com\nevil.com",
        "https://[::1",
    ],
)
def test_a_url_that_is_no_root_or_neither_https_nor_loopback_is_refused(value: str) -> None:
    with pytest.raises(ValueError):
        endpoint(value)


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.9.9.9/x", True),
        ("http://[::1]/x", True),
        ("http://localhost/x", True),
        ("http://localhost.evil.com/x", False),
        ("http://128.0.0.1/x", False),
        ("not a url", False),
    ],
)
def test_loopback_is_this_machine_alone(url: str, loopback: bool) -> None:
    assert is_loopback(url) is loopback


def test_a_number_says_in_words_what_it_takes() -> None:
    made = number("N", 5, 1, 1_000, "About.")
    assert (made.default, made.form) == ("5", "a whole number from 1 to 1,000")
    assert made.parse("1000") == 1_000
