"""Whose hosts are ours or trusted."""

import pytest

from mdti.allowlist import Allowlist, suffixes_of
from mdti.errors import SettingError
from mdti.models import Host

ENTRIES = Allowlist.parse("www.contoso.com, *.fabrikam.com\n.adatum.com 20.1.0.0/16,2001:db8::1")


@pytest.mark.parametrize(
    ("host", "entry"),
    [
        (Host("name", "www.contoso.com"), "www.contoso.com"),
        (Host("name", "fabrikam.com"), "*.fabrikam.com"),
        (Host("name", "a.b.fabrikam.com"), "*.fabrikam.com"),
        (Host("name", "mail.adatum.com"), ".adatum.com"),
        (Host("ipv4", "20.1.255.255"), "20.1.0.0/16"),
        (Host("ipv6", "2001:db8::1"), "2001:db8::1"),
    ],
)
def test_a_covered_host_is_answered_with_the_entry_that_covers_it(host: Host, entry: str) -> None:
    assert ENTRIES.entry(host) == entry


@pytest.mark.parametrize(
    "host",
    [
        Host("name", "contoso.com"),
        Host("name", "a.www.contoso.com"),
        Host("name", "notfabrikam.com"),
        Host("ipv4", "20.2.0.0"),
        Host("ipv6", "2001:db8::2"),
    ],
)
def test_a_host_stands_for_itself_alone_and_a_suffix_ends_at_a_dot(host: Host) -> None:
    assert ENTRIES.entry(host) is None


def test_an_empty_setting_covers_nothing() -> None:
    assert Allowlist.parse(" , ").entry(Host("name", "contoso.com")) is None
    assert Allowlist.parse("contoso.com").entry(Host("ipv4", "20.1.0.1")) is None
    assert Allowlist.parse("contoso.com").entry(Host("name", "fabrikam.com")) is None


def test_names_are_compared_in_their_canonical_spelling() -> None:
    allowlist = Allowlist.parse("WWW.Contoso.COM. *.bücher.com")
    assert allowlist.entry(Host("name", "www.contoso.com")) == "WWW.Contoso.COM."
    assert allowlist.entry(Host("name", "a.xn--bcher-kva.com")) == "*.bücher.com"


@pytest.mark.parametrize(
    "entry",
    ["0.0.0.0/0", "20.1.2.3/16", "20.1.0.0/33", "20.1.2.3:443", "com", "*.com", "b_c!.de"],
)
def test_a_wrong_entry_is_refused_by_name(entry: str) -> None:
    with pytest.raises(SettingError, match="LOOKUP_ALLOWLIST") as caught:
        Allowlist.parse(f"contoso.com,{entry}")
    assert f"'{entry}'" in caught.value.message


def test_suffixes_of_a_name_are_the_name_and_all_its_parents() -> None:
    assert suffixes_of("a.b.com") == ("a.b.com", "b.com", "com")
