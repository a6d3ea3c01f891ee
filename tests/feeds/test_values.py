import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdti.feeds.indicator import Key
from mdti.feeds.values import MAX_URL, Refused, ValueKind, Values
from mdti.ioc import HostParser

VALUES = Values(HostParser())
SHA256 = "ab" * 32
KINDS: tuple[ValueKind, ...] = (
    "ipv4",
    "ipv6",
    "domain",
    "host",
    "url",
    "email",
    "md5",
    "sha1",
    "sha256",
    "hash",
)


@pytest.mark.parametrize(
    ("kind", "text", "key"),
    [
        ("ipv4", "1.2.3.4", Key("ipv4", "1.2.3.4")),
        ("host", "1.2.3.4/32", Key("ipv4", "1.2.3.4")),
        ("host", "1[.]2[.]3[.]4", Key("ipv4", "1.2.3.4")),
        ("ipv6", "2606:4700:0:0:0:0:0:1111", Key("ipv6", "2606:4700::1111")),
        ("ipv6", "2606:4700::1111/128", Key("ipv6", "2606:4700::1111")),
        ("domain", " EVIL.com. ", Key("domain", "evil.com")),
        ("domain", "1.2.3.4", Key("ipv4", "1.2.3.4")),
        ("ipv4", "evil.com", Key("domain", "evil.com")),
        ("domain", "bücher.com", Key("domain", "xn--bcher-kva.com")),
        ("url", "HTTP://Evil.com:80", Key("url", "http://evil.com/")),
        ("url", "hxxps://evil[.]com/a b?q=%7e%c3#x", Key("url", "https://evil.com/a%20b?q=~%C3")),
        ("url", "https://evil.com:8443/%zz", Key("url", "https://evil.com:8443/%25zz")),
        ("url", "http://[2606:4700::0:1111]/", Key("url", "http://[2606:4700::1111]/")),
        ("url", "ftp://evil.com/x", Key("url", "ftp://evil.com/x")),
        ("url", "http://evil.com/Ä", Key("url", "http://evil.com/%C3%84")),
        ("email", "Boss@Evil.com", Key("email", "boss@evil.com")),
        ("md5", "0A" * 16, Key("md5", "0a" * 16)),
        ("hash", "0a" * 20, Key("sha1", "0a" * 20)),
        ("sha256", SHA256.upper(), Key("sha256", SHA256)),
    ],
)
def test_a_value_has_one_form(kind: ValueKind, text: str, key: Key) -> None:
    assert VALUES.key(kind, text) == key
    assert VALUES.key(key.kind, key.value) == key


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        ("host", None, "not text"),
        ("host", 7, "not text"),
        ("host", "  ", "empty value"),
        ("host", "a\nb.com", "control characters"),
        ("url", "http://evil.com/\ud800", "control characters"),
        ("host", "*.evil.com", "wildcard"),
        ("host", "1.2.3.0/24", "network"),
        ("host", "evil.com/path", "not a host"),
        ("host", "http://evil.com/", "not a host"),
        ("host", "user@evil.com", "not a host"),
        ("host", "evil.com:443", "not a host"),
        ("host", "localhost", "not a host"),
        ("host", "server.corp", "not a public host"),
        ("host", "10.0.0.1", "not a public host"),
        ("host", "::1", "not a public host"),
        ("host", "192.0.2.1", "not a public host"),
        ("host", "x" * 3_000, "value too long"),
        ("url", "evil.com/a", "not a URL"),
        ("url", "javascript:alert(1)", "not a URL"),
        ("url", "http://", "not a URL"),
        ("url", "http://evil.com:99999/", "not a URL"),
        ("url", "http://[::1", "not a URL"),
        ("url", "http://*.evil.com/", "wildcard"),
        ("url", "http://user:pw@evil.com/", "URL with a user"),
        ("url", "http://10.0.0.1/", "not a public host"),
        ("url", "http://evil.com/" + "a" * MAX_URL, "value too long"),
        ("url", "http://evil.com/" + "ä" * 500, "value too long"),
        ("email", "nobody", "not a mail address"),
        ("email", "a@b@evil.com", "not a mail address"),
        ("email", "a@1.2.3.4", "not a mail address"),
        ("email", "a@server.corp", "not a public host"),
        ("md5", "z" * 32, "not a hash"),
        ("md5", SHA256, "hash of another kind"),
        ("hash", "ab" * 64, "not a hash"),
        ("hash", "d41d8cd98f00b204e9800998ecf8427e", "hash of the empty file"),
    ],
)
def test_what_is_no_value_is_refused_with_a_reason(
    kind: ValueKind, text: object, reason: str
) -> None:
    assert VALUES.key(kind, text) == Refused(reason)


def test_examples_are_values_only_where_hosts_admit_them() -> None:
    assert Values(HostParser(examples=True)).key("host", "192.0.2.1") == Key("ipv4", "192.0.2.1")


@settings(max_examples=400, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    text=st.one_of(
        st.text(max_size=60),
        st.builds("http://evil.com{}".format, st.text(max_size=40)),
        st.from_regex(r"(https?|ftp)://[a-z0-9.\[\]:%-]{1,30}(/[ -~]{0,30})?", fullmatch=True),
        st.from_regex(r"[a-z0-9.:/*-]{1,40}", fullmatch=True),
        st.from_regex(r"[a-z+.]{1,9}@[a-z.]{1,20}", fullmatch=True),
    ),
)
def test_any_text_is_a_canonical_value_or_refused(kind: ValueKind, text: str) -> None:
    key = VALUES.key(kind, text)

    if isinstance(key, Key):
        assert VALUES.key(key.kind, key.value) == key
        assert key.value.isascii()
        assert key.value.isprintable()
        assert " " not in key.value
