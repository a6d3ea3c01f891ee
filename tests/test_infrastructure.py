"""What is publicly known of a host, and which registrable domain a name belongs to."""

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdti.allowlist import Allowlist
from mdti.errors import SettingError
from mdti.infrastructure import Infrastructure, Ranges, Standing, parse_lists, read_date, read_lists
from mdti.models import Host

SMALL = """# snapshot: 2026-01-02
# source: a package 1.0
[sinkhole networks] Sinkholes (sinkholes 1)
198.51.100.7/32
[cdn networks] Edge (edge 1)
198.51.100.0/30
2001:db8::/32
[parking names] Parking (parking 1)
park.example
[dynamicDns names] Dynamic (dynamic 1)
dyn.example
customers.park.example
"""


@pytest.fixture(scope="module")
def shipped() -> Infrastructure:
    return Infrastructure()


@pytest.mark.parametrize(
    ("address", "role", "provider"),
    [
        ("104.16.0.0", "cdn", "Cloudflare"),
        ("2606:4700::1", "cdn", "Cloudflare"),
        ("103.11.223.9", "cdn", "Akamai"),
        ("103.244.50.9", "cdn", "Fastly"),
        ("103.66.28.9", "cdn", "StackPath"),
        ("104.129.192.9", "cdn", "Zscaler"),
        ("1.178.1.9", "cloud", "Amazon Web Services"),
        ("102.133.0.9", "cloud", "Microsoft Azure"),
        ("104.154.113.9", "cloud", "Google Cloud"),
        ("137.74.180.117", "hosting", "OVH shared hosting"),
        ("103.120.80.111", "parking", "MISP parking list"),
        ("143.215.130.255", "sinkhole", "MISP sinkhole list"),
    ],
)
def test_the_shipped_lists_know_an_address_of_each_kind(
    shipped: Infrastructure, address: str, role: str, provider: str
) -> None:
    host = Host("ipv6" if ":" in address else "ipv4", address)
    standing = shipped.standing(host)
    assert standing is not None
    assert (standing.role, standing.provider) == (role, provider)


def test_a_sinkhole_inside_a_cdn_is_a_sinkhole(shipped: Infrastructure) -> None:
    sinkhole = shipped.standing(Host("ipv4", "104.21.27.14"))
    neighbour = shipped.standing(Host("ipv4", "104.21.27.15"))
    assert sinkhole == Standing("sinkhole", "MISP sinkhole list")
    assert neighbour == Standing("cdn", "Cloudflare")


def test_an_address_on_no_list_has_no_standing(shipped: Infrastructure) -> None:
    assert shipped.standing(Host("ipv4", "198.51.100.1")) is None
    assert shipped.standing(Host("ipv4", "0.0.0.0")) is None
    assert shipped.standing(Host("ipv6", "2001:db8::1")) is None


def test_a_parking_service_stands_for_the_names_below_it(shipped: Infrastructure) -> None:
    for name in ("parkingcrew.net", "ns1.parkingcrew.net"):
        standing = shipped.standing(Host("name", name))
        assert standing == Standing("parking", "MISP parking name server list")
    assert shipped.standing(Host("name", "notparkingcrew.net")) is None


def test_the_longest_listed_name_decides() -> None:
    lists = parse_lists(
        SMALL.replace("[dynamicDns", "[sinkhole names] S (s 1)\nx.park.example\n[dynamicDns")
    )
    assert lists.names["x.park.example"].role == "sinkhole"
    assert lists.names["park.example"].role == "parking"


@pytest.mark.parametrize("name", ["duckdns.org", "github.io", "co.uk", "wordpress.com"])
def test_the_name_of_a_provider_or_a_public_suffix_is_dynamic_dns(
    shipped: Infrastructure, name: str
) -> None:
    standing = shipped.standing(Host("name", name))
    assert standing is not None
    assert standing.role == "dynamicDns"
    assert shipped.registrable(name) == name


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("a.duckdns.org", "a.duckdns.org"),
        ("x.b.duckdns.org", "b.duckdns.org"),
        ("www.evil.co.uk", "evil.co.uk"),
        ("www.evil.github.io", "evil.github.io"),
        ("evil.wordpress.com", "evil.wordpress.com"),
        ("www.evil.example", "evil.example"),
        ("evil.example", "evil.example"),
    ],
)
def test_a_customer_of_a_suffix_is_a_registrable_domain_without_standing(
    shipped: Infrastructure, name: str, domain: str
) -> None:
    assert shipped.registrable(name) == domain
    assert shipped.standing(Host("name", name)) is None


def test_the_allow_list_goes_before_every_list() -> None:
    ours = Infrastructure(allowlist=Allowlist.parse("104.16.0.0/13, *.duckdns.org"))
    assert ours.standing(Host("ipv4", "104.16.1.1")) == Standing("allowlisted", "104.16.0.0/13")
    assert ours.standing(Host("name", "duckdns.org")) == Standing("allowlisted", "*.duckdns.org")


def test_the_snapshot_tells_its_date_and_its_source(shipped: Infrastructure) -> None:
    assert shipped.snapshot >= date(2025, 12, 23)
    assert "pymispwarninglists" in shipped.source
    assert "CC0" in shipped.source


def test_a_snapshot_in_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "lists.txt"
    path.write_text(SMALL, encoding="utf-8")
    small = Infrastructure(path=path)
    assert small.snapshot == date(2026, 1, 2)
    assert small.source == "a package 1.0"
    assert small.standing(Host("ipv4", "198.51.100.7")) == Standing("sinkhole", "Sinkholes")
    assert small.standing(Host("ipv4", "198.51.100.4")) is None
    assert small.standing(Host("name", "x.park.example")) == Standing("parking", "Parking")
    assert small.registrable("a.b.customers.park.example") == "b.customers.park.example"


def test_without_its_snapshot_every_question_fails(tmp_path: Path) -> None:
    blind = Infrastructure(path=tmp_path / "lists.txt")
    for ask in (
        lambda: blind.standing(Host("ipv4", "104.16.0.0")),
        lambda: blind.registrable("www.evil.co.uk"),
        lambda: blind.snapshot,
    ):
        with pytest.raises(SettingError, match="missing"):
            ask()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "198.51.100.0/30\n",
        SMALL.replace("2026-01-02", "yesterday"),
        SMALL.replace("[cdn ", "[edge "),
        SMALL.replace("198.51.100.0/30", "198.51.100/30"),
        SMALL.replace("198.51.100.0/30", "198.51.100.0"),
        SMALL[: SMALL.index("[dynamicDns")],
    ],
)
def test_a_damaged_snapshot_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "lists.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingError, match="damaged"):
        read_lists(path)


def test_the_date_is_known_without_reading_the_lists(tmp_path: Path) -> None:
    path = tmp_path / "lists.txt"
    path.write_text(SMALL[: SMALL.index("[")], encoding="utf-8")
    assert Infrastructure(path=path).snapshot == date(2026, 1, 2)
    path.with_suffix(".bad").write_text("# snapshot: yesterday\n", encoding="utf-8")
    with pytest.raises(SettingError, match="damaged"):
        read_date(path.with_suffix(".bad"))


_boundaries = st.lists(st.integers(0, 300), unique=True, max_size=24).map(sorted)


@given(_boundaries, st.integers(-1, 301))
@settings(deadline=None, max_examples=200)
def test_bisection_agrees_with_a_linear_scan(boundaries: list[int], address: int) -> None:
    pairs = zip(boundaries[::2], boundaries[1::2], strict=False)
    ranges = [(first, last, Standing("cdn", str(first))) for first, last in pairs]
    scanned = [standing for first, last, standing in ranges if first <= address <= last]
    assert Ranges.of(reversed(ranges)).find(address) == (scanned[0] if scanned else None)


def test_importing_the_module_reads_neither_the_lists_nor_the_public_suffixes() -> None:
    check = (
        "import sys, mdti.infrastructure as i; "
        "assert 'publicsuffixlist' not in sys.modules; "
        "assert i.read_lists.cache_info().currsize == 0"
    )
    subprocess.run([sys.executable, "-c", check], check=True)
