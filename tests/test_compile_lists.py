"""The shipped snapshot is what the compiler makes of the package it names."""

import importlib.metadata
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdti.infrastructure import SNAPSHOT, read_lists
from tools.compile_lists import PACKAGE, TARGET, compile_lists, list_date, main, names, without


def test_the_shipped_snapshot_equals_a_fresh_compile_of_the_same_package() -> None:
    installed = f"{PACKAGE} {importlib.metadata.version(PACKAGE)}"
    shipped = read_lists(SNAPSHOT).source.partition(",")[0]
    if shipped != installed:
        pytest.skip(f"the snapshot was made from {shipped}, installed is {installed}")
    assert SNAPSHOT.read_text(encoding="utf-8") == compile_lists()
    assert TARGET.samefile(SNAPSHOT)


def test_the_snapshot_is_small_enough_to_travel_with_the_code() -> None:
    assert SNAPSHOT.stat().st_size < 1_000_000


def test_check_says_whether_the_file_is_what_would_be_made(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    target = tmp_path_factory.mktemp("data") / "data" / "lists.txt"
    monkeypatch.setattr("tools.compile_lists.TARGET", target)
    monkeypatch.setattr("tools.compile_lists.compile_lists", lambda: "# a snapshot\n")
    assert main(["--check"]) == 1
    assert main([]) == 0
    assert main(["--check"]) == 0
    assert "up to date" in capsys.readouterr().out


def test_names_lose_their_dots_and_case_and_whoever_is_a_suffix() -> None:
    entries = [".B.example", "a.example.", "host.example", "no dots", "single"]
    assert names(entries, suffixes={"host.example"}) == ["a.example", "b.example"]


def test_only_versions_that_are_dates_date_a_list() -> None:
    assert str(list_date(20251223)) == "2025-12-23"
    assert list_date(2) is None
    assert list_date("25121022") is None


def _networks(base: str, bits: int) -> st.SearchStrategy[IPv4Network | IPv6Network]:
    first = ip_address(base)
    return st.builds(
        lambda offset, size: ip_network(f"{first + (offset >> size << size)}/{bits - size}"),
        st.integers(0, 63),
        st.integers(0, 5),
    )


@pytest.mark.parametrize(("base", "bits"), [("198.51.100.0", 32), ("2001:db8::", 128)])
@given(data=st.data())
@settings(deadline=None, max_examples=100)
def test_what_is_left_of_a_list_agrees_with_a_linear_scan(
    base: str, bits: int, data: st.DataObject
) -> None:
    several = st.lists(_networks(base, bits), max_size=8)
    wanted, taken = data.draw(several), data.draw(several)
    left = without(wanted, taken)
    for offset in range(-1, 65):
        address = ip_address(base) + offset
        expected = any(address in n for n in wanted) and not any(address in n for n in taken)
        assert sum(address in network for network in left) == int(expected)
