"""What becomes a host, and everything that never does."""

from ipaddress import ip_address
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mdti.errors import InputError
from mdti.ioc import MAX_TEXT, HostParser, refang
from mdti.models import Host

PUBLIC = HostParser()
EXAMPLES = HostParser(examples=True)


# --- what is accepted -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("evil.com", Host("name", "evil.com")),
        ("  WWW.Evil.COM.  ", Host("name", "www.evil.com")),
        ("_dmarc.evil.com", Host("name", "_dmarc.evil.com")),
        ("a-b.evil.co.uk", Host("name", "a-b.evil.co.uk")),
        ("8.8.8.8", Host("ipv4", "8.8.8.8")),
        ("2606:4700:4700:0:0:0:0:1111", Host("ipv6", "2606:4700:4700::1111")),
        ("[2606:4700:4700::1111]", Host("ipv6", "2606:4700:4700::1111")),
        ("[2606:4700:4700::1111]:443", Host("ipv6", "2606:4700:4700::1111")),
        ("::ffff:8.8.8.8", Host("ipv4", "8.8.8.8")),
        ("2002:808:808::1", Host("ipv6", "2002:808:808::1")),
        ("64:ff9b::808:808", Host("ipv4", "8.8.8.8")),
        ("evil.com:8443", Host("name", "evil.com")),
        ("8.8.8.8:53", Host("ipv4", "8.8.8.8")),
        ("evil.com/a/b?c=d#e", Host("name", "evil.com")),
        ("evil.com?c=d", Host("name", "evil.com")),
        ("evil.com:8080/path", Host("name", "evil.com")),
        ("8.8.8.8/index.html", Host("ipv4", "8.8.8.8")),
        ("https://evil.com/a/../b", Host("name", "evil.com")),
        ("HTTPS://user:word@Evil.com:8443/a#b", Host("name", "evil.com")),
        ("ftp://evil.com", Host("name", "evil.com")),
        ("http://[2606:4700:4700::1111]:80/a", Host("ipv6", "2606:4700:4700::1111")),
        ("http://[::ffff:8.8.8.8]/", Host("ipv4", "8.8.8.8")),
    ],
)
def test_an_address_a_name_or_a_url_becomes_one_host_in_its_canonical_spelling(
    text: str, host: Host
) -> None:
    assert PUBLIC.parse(text) == host
    assert PUBLIC.parse_or_none(text) == host


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("straße.de", "xn--strae-oqa.de"),
        ("strasse.de", "strasse.de"),
        ("BÜCHER.example.com", "xn--bcher-kva.example.com"),
        ("bücher。com", "xn--bcher-kva.com"),
        ("evil\uff0ecom", "evil.com"),
        ("\uff45\uff56\uff49\uff4c.com", "evil.com"),
        ("faß.de", "xn--fa-hia.de"),
        ("βόλος.com", "xn--nxasmm1c.com"),
        ("http://bücher.com/straße", "xn--bcher-kva.com"),
    ],
)
def test_names_are_written_as_idna_2008_and_uts_46_write_them(text: str, name: str) -> None:
    assert PUBLIC.parse(text) == Host("name", name)


@pytest.mark.parametrize(
    ("defanged", "plain"),
    [
        ("evil[.]com", "evil.com"),
        ("evil[dot]com", "evil.com"),
        ("evil(dot)com", "evil.com"),
        ("evil(.)com", "evil.com"),
        ("evil{.}com", "evil.com"),
        ("evil [ DOT ] com", "evil . com"),
        ("hxxp://evil[.]com/a", "http://evil.com/a"),
        ("hXXps://evil[.]com", "https://evil.com"),
        ("h**p://evil.com", "http://evil.com"),
        ("hxxps[:]//evil.com", "https://evil.com"),
        ("hxxps[://]evil.com", "https://evil.com"),
        ("fxp://evil.com", "ftp://evil.com"),
        ("8[.]8[.]8[.]8", "8.8.8.8"),
        ("2606[:]4700[:]4700[:][:]1111", "2606:4700:4700::1111"),
        ("https://evil[.]com:8443/x", "https://evil.com:8443/x"),
    ],
)
def test_defanged_text_is_what_it_was_before(defanged: str, plain: str) -> None:
    assert refang(defanged).lower() == plain
    assert PUBLIC.parse_or_none(defanged) == PUBLIC.parse_or_none(plain)


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "../../../me",
        "%2e%2e/",
        "%2e%2e/%2e%2e/me",
        "a/b",
        "x?$select=",
        "x#",
        "..;/",
        "a.b/..;/me",
        "evil.com/../../me",
        "evil.com\\..\\me",
        "evil.com/a\\b",
        "evil\r\n.com",
        "evil.com\r\nX-Header: 1/",
        "evil\x00.com",
        "evil\x7f.com",
        "[::1]",
        "x" * 10_240,
        "",
        "   ",
        ".",
        "...",
        "evil..com",
        ".evil.com",
        "-evil.com",
        "evil-.com",
        "evil com.com",
        "evil.com, good.com",
        "evil.com good.com",
        "evil%2ecom",
        "evil.com%00",
        "user@evil.com",
        "'evil.com'",
        'evil.com"',
        "<evil.com>",
        "evil.com:port",
        "evil.com:123456",
        "http://",
        "http:///etc/passwd",
        "http://[::1",
        "http://[evil.com]/",
        "[8.8.8.8]x",
        "[evil",
        "javascript:alert(1)",
        "C:\\Windows\\evil.com",
        f"{'a' * 64}.com",
        f"{'a.' * 127}com",
        "evil\u2028.com",
        "evil.\ud800com",
        "\u200b.com",
        "xn--a\u0301.com\u0000",
        "http://evil.com\\@good.com/",
    ],
)
def test_what_is_not_one_host_is_refused(text: str) -> None:
    for parser in (PUBLIC, EXAMPLES):
        with pytest.raises(InputError):
            parser.parse(text)
        assert parser.parse_or_none(text) is None


@pytest.mark.parametrize("value", [None, 1, 1.5, True, [], {}, ["evil.com"], b"evil.com"])
def test_what_is_not_text_is_refused_by_its_type(value: object) -> None:
    with pytest.raises(InputError, match=f"not {type(value).__name__}"):
        PUBLIC.parse(value)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("127.0.0.1", "loopback"),
        ("::1", "loopback"),
        ("169.254.169.254", "link-local"),
        ("fe80::1", "link-local"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("100.64.0.1", "carrier-grade NAT"),
        ("100.127.255.255", "carrier-grade NAT"),
        ("10.1.2.3", "private"),
        ("172.16.0.1", "private"),
        ("192.168.1.1", "private"),
        ("fc00::1", "private"),
        ("240.0.0.1", "private|reserved"),
        ("255.255.255.255", "private|reserved"),
        ("::127.0.0.1", "private|reserved"),
        ("fec0::1", "private|reserved"),
        ("4000::1", "reserved"),
        ("::ffff:10.0.0.1", "private"),
        ("::ffff:169.254.169.254", "link-local"),
        ("::ffff:127.0.0.1", "loopback"),
        ("64:ff9b::a00:1", "private"),
        ("64:ff9b::7f00:1", "loopback"),
        ("2002:a00:1::", "10.0.0.1"),
        ("2002:7f00:1::1", "127.0.0.1"),
        ("2002:c0a8:101::1", "192.168.1.1"),
    ],
)
def test_an_address_that_nobody_outside_can_own_is_refused_with_the_reason(
    address: str, reason: str
) -> None:
    for text in (address, f"https://[{address}]/a" if ":" in address else f"https://{address}/a"):
        for parser in (PUBLIC, EXAMPLES):
            with pytest.raises(InputError, match=reason):
                parser.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "localhost",
        "a.localhost",
        "host",
        "printer.local",
        "a.internal",
        "router.lan",
        "dc1.corp",
        "nas.home",
        "nas.home.arpa",
        "a.localdomain",
        "a.intranet",
        "1.0.168.192.in-addr.arpa",
        "8.b.d.0.ip6.arpa",
        "abc.onion",
        "PRINTER.LOCAL.",
        "https://wiki.corp/page",
        "printer。local",
    ],
)
def test_a_single_label_and_an_internal_name_are_refused(text: str) -> None:
    for parser in (PUBLIC, EXAMPLES):
        assert parser.parse_or_none(text) is None


@pytest.mark.parametrize(
    "text",
    ["127.1", "0x7f.1", "0x7f000001", "2130706433", "1.2.3", "010.8.8.8", "1.2.3.4.5", "a.0x1f",
     "8.8.8.256", "\uff18.\uff18.\uff18.\uff18"],
)  # fmt: skip
def test_other_spellings_of_addresses_are_neither_addresses_nor_names(text: str) -> None:
    assert PUBLIC.parse_or_none(text) is None


@pytest.mark.parametrize("text", ["8.8.8.0/24", "8.8.8.8/32", "1.2.3.4/0"])
def test_a_network_is_not_a_host(text: str) -> None:
    with pytest.raises(InputError, match="network"):
        PUBLIC.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "192.0.2.1",
        "198.51.100.7",
        "203.0.113.255",
        "198.18.0.1",
        "198.19.255.255",
        "2001:db8::1",
        "3fff::1",
        "evil.example",
        "a.b.test",
        "x.invalid",
        "::ffff:192.0.2.1",
        "https://evil.example/a",
    ],
)
def test_what_is_reserved_for_examples_is_accepted_only_where_examples_are(text: str) -> None:
    with pytest.raises(InputError, match="reserved for"):
        PUBLIC.parse(text)
    assert EXAMPLES.parse(text).value


def test_a_refusal_shows_at_most_eighty_printable_characters_of_hostile_text() -> None:
    for text in ("\u202e" + "x" * 100 + " y", "<b>" + "ü" * 200 + "\ud800.com"):
        with pytest.raises(InputError) as caught:
            PUBLIC.parse(text)
        assert caught.value.message.isascii()
        assert caught.value.message.isprintable()
        assert len(caught.value.message) < 160


def test_text_of_more_than_the_limit_is_refused_unread() -> None:
    longest = "https://evil.com/".ljust(MAX_TEXT, "a")
    assert PUBLIC.parse(longest) == Host("name", "evil.com")
    with pytest.raises(InputError, match="2,048"):
        PUBLIC.parse(longest + "a")


# --- whatever is thrown at it ---------------------------------------------------------------------

LABEL = st.from_regex(r"[a-z0-9_]([a-z0-9_-]{0,8}[a-z0-9_])?", fullmatch=True)
NAMES = st.tuples(st.lists(LABEL, min_size=1, max_size=4), st.sampled_from(("com", "net", "de")))
PIECES = st.sampled_from(
    ("evil", ".", "com", "/", "..", "%2e", "\\", "@", ":", "[", "]", "http://", "hxxp", "?", "#",
     ";", "\u3002", "ß", "8.8.8.8", "::1", " ", "\t", "\x00", "xn--", "_", "-", "1", "\u202e")
)  # fmt: skip
HOSTILE = st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=9).map("".join))


@settings(max_examples=500, deadline=None)
@given(text=HOSTILE)
@example("evil.com")
@example("2606:4700::1")
def test_every_text_is_refused_or_becomes_a_safe_host_that_parses_to_itself(text: str) -> None:
    for parser in (PUBLIC, EXAMPLES):
        host = parser.parse_or_none(text)
        if host is None:
            continue
        assert parser.parse(host.value) == host
        assert not set("/?#%\\@;[]") & set(host.value)
        assert ".." not in host.value
        assert host.value.isascii()
        assert host.value.isprintable()
        assert " " not in host.value
        assert host.value == host.value.lower()
        if host.kind == "name":
            assert quote(host.value, safe="") == host.value
        else:
            assert ip_address(host.value).version == (4 if host.kind == "ipv4" else 6)


@settings(max_examples=150, deadline=None)
@given(name=NAMES, path=st.text(alphabet="abc/?=&", max_size=8), defang=st.booleans())
def test_a_name_is_the_same_host_by_itself_in_a_url_and_defanged(
    name: tuple[list[str], str], path: str, defang: bool
) -> None:
    plain = ".".join((*name[0], name[1]))
    host = PUBLIC.parse(plain)
    shown = plain.replace(".", "[.]") if defang else plain
    assert host == Host("name", plain)
    for text in (shown, shown.upper(), f"{shown}.", f"hxxps://{shown}/{path}", f"{shown}:443"):
        assert PUBLIC.parse(text) == host


@settings(max_examples=150, deadline=None)
@given(address=st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_an_address_is_accepted_only_when_it_is_global(address: object) -> None:
    found = PUBLIC.parse_or_none(str(address))
    if found is not None:
        accepted = ip_address(found.value)
        accepted = getattr(accepted, "sixtofour", None) or accepted
        assert accepted.is_global
        assert not accepted.is_multicast


@settings(max_examples=100, deadline=None)
@given(inner=st.ip_addresses(v=4))
def test_an_address_inside_another_is_judged_as_what_it_stands_for(inner: object) -> None:
    direct = PUBLIC.parse_or_none(str(inner))
    packed = int(ip_address(str(inner)))
    for prefix in (0xFFFF << 32, 0x64_FF9B << 96):
        assert (
            PUBLIC.parse_or_none(str(ip_address((prefix | packed).to_bytes(16, "big")))) == direct
        )
