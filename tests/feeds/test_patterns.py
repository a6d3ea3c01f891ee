import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdti.feeds.patterns import MAX_PATTERN, Observables, by_grammar, kind_of, observables
from mdti.feeds.values import ValueKind


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("[ipv4-addr:value = '192.0.2.1']", [("host", "192.0.2.1")]),
        ("[ipv6-addr:value='2001:db8::1']", [("host", "2001:db8::1")]),
        ("[domain-name:value='x']", [("host", "x")]),
        ("[hostname:value = 'bad.example']", [("host", "bad.example")]),
        (r"[url:value = 'http://x/\'a\\b']", [("url", r"http://x/'a\b")]),
        ("[email-addr:value = 'a@b.example']", [("email", "a@b.example")]),
        ("[file:hashes.MD5 = 'aa']", [("md5", "aa")]),
        ("[file:hashes.'SHA-256' = 'bb']", [("sha256", "bb")]),
        ("[file:hashes.'SHA1' = 'cc']", [("sha1", "cc")]),
        ("[file:hashes['SHA-1'] = 'cc']", None),
        (
            "[url:value IN ('a', 'b') OR domain-name:value = 'c']",
            [("url", "a"), ("url", "b"), ("host", "c")],
        ),
        ("[url:value = 'a'] OR ([url:value = 'b'])", [("url", "a"), ("url", "b")]),
        ("[url:value = 'a' OR url:value = 'a']", [("url", "a")]),
        (
            "[network-traffic:dst_ref.type = 'ipv4-addr' "
            "AND network-traffic:dst_ref.value = '192.0.2.7']",
            [("host", "192.0.2.7")],
        ),
    ],
)
def test_a_pattern_names_its_observables(
    pattern: str, found: list[tuple[ValueKind, str]] | None
) -> None:
    if found is None:  # an index is no key; the standard has keys of dictionaries after a dot
        assert observables(pattern).skipped == {"pattern cannot be parsed": 1}
        return
    assert observables(pattern) == Observables(tuple(found))


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (None, "no pattern"),
        ("", "pattern cannot be parsed"),
        ("no pattern", "pattern cannot be parsed"),
        ("[url:value = 'a' AND domain-name:value = 'b']", "pattern with AND"),
        ("[url:value = 'a'] AND [url:value = 'b']", "pattern with AND"),
        (
            "[network-traffic:dst_ref.value = '192.0.2.7' AND network-traffic:dst_port = 443]",
            "pattern with AND",
        ),
        ("[file:name = 'x' AND file:hashes.MD5 = 'y']", "pattern with AND"),
        ("[url:value = 'a'] FOLLOWEDBY [url:value = 'b']", "pattern with FOLLOWEDBY"),
        ("[url:value NOT = 'a']", "pattern with NOT"),
        ("[url:value != 'a']", "pattern with NOT"),
        ("[url:value NOT IN ('a')]", "pattern with NOT"),
        ("[url:value LIKE 'a%']", "pattern with LIKE"),
        ("[url:value MATCHES 'a.*']", "pattern with MATCHES"),
        ("[ipv4-addr:value ISSUBSET '192.0.2.0/24']", "network"),
        ("[ipv4-addr:value ISSUPERSET '192.0.2.0/24']", "pattern with ISSUPERSET"),
        ("[EXISTS url:value]", "pattern with EXISTS"),
        ("[url:value > 'a']", "pattern compares by order"),
        ("[url:value = 'a'] REPEATS 5 TIMES", "pattern with a qualifier"),
        ("[url:value = 'a'] WITHIN 5 SECONDS", "pattern with a qualifier"),
        (
            "[url:value = 'a'] START t'2026-01-01T00:00:00Z' STOP t'2026-02-01T00:00:00Z'",
            "pattern with a qualifier",
        ),
        ("[file:name = 'a.exe']", "other kind of observable"),
        ("[url:value = '" + "a" * MAX_PATTERN + "']", "pattern too long"),
        ("[" + "(" * 40 + "url:value = 'a'" + ")" * 40 + "]", "pattern too deep"),
    ],
)
def test_a_pattern_that_means_more_than_one_value_is_refused(pattern: object, reason: str) -> None:
    assert observables(pattern) == Observables(skipped={reason: 1})


def test_what_a_feed_cannot_carry_is_counted_and_the_rest_is_kept() -> None:
    named = observables("[file:name = 'a.exe' OR url:value = 'b' OR file:size = 5]")

    assert named.found == (("url", "b"),)
    assert named.skipped == {"other kind of observable": 2}


PATHS = st.sampled_from(
    ["ipv4-addr:value", "url:value", "file:hashes.MD5", "file:hashes.'SHA-256'", "file:name", "a:b"]
)


@settings(max_examples=150, deadline=None)
@given(path=PATHS, text=st.text(max_size=20), space=st.sampled_from(["", " ", "  "]))
def test_the_short_way_reads_as_the_grammar_does(path: str, text: str, space: str) -> None:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    pattern = f"[{space}{path}{space}={space}'{escaped}'{space}]"

    assert observables(pattern) == by_grammar(pattern)
    kind = kind_of(path)
    assert observables(pattern).found == (() if kind is None else ((kind, text),))


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="[]()':=ANDORINabc .\\-1t<>!", max_size=60))
def test_no_text_crashes_the_parser(text: str) -> None:
    observables(text)
    observables(f"[{text}]")


def test_the_grammar_is_loaded_only_when_it_is_needed() -> None:
    code = (
        "import sys; from mdti.feeds.patterns import observables; "
        "observables(\"[url:value = 'a']\"); "
        "sys.exit(any(name.startswith(('antlr4', 'stix2patterns')) for name in sys.modules))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
