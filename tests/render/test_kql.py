"""Hunting queries: the chain's hosts, quoted, bounded, in the right columns."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from mdti.render.kql import MAX_HOSTS, hunting_queries
from tests.render.samples import (
    NOW,
    SEED,
    blizzard,
    empty_lookup,
    evidence,
    host,
    report,
    sample_lookup,
    seen,
)

COLUMNS = {
    "DeviceNetworkEvents": {"RemoteIP", "RemoteUrl"},
    "CommonSecurityLog": {"DestinationIP", "SourceIP", "DestinationHostName", "RequestURL"},
    "DnsEvents": {"Name", "IPAddresses"},
}


def literals(kql: str) -> set[str]:
    return {
        value
        for line in re.findall(r"dynamic\((\[.*\])\)", kql)
        for value in re.findall(r'"([^"]*)"', line)
    }


@pytest.mark.parametrize("table", COLUMNS)
def test_each_table_is_asked_by_its_own_columns(table: str) -> None:
    queries = {query.kql.split("\n")[3]: query for query in hunting_queries([sample_lookup()])}
    kql = queries[table].kql
    assert set(re.findall(r"(\w+) (?:in|has_any) \(", kql)) == COLUMNS[table]
    assert table in queries[table].title


def test_the_seed_the_paths_and_the_evidence_are_hunted_and_shared_infrastructure_is_not() -> None:
    hunted = literals(hunting_queries([sample_lookup()])[0].kql)
    assert {SEED, "203.0.113.10", "cdn-telemetry.test", "198.51.100.77"} <= hunted
    stops = {"198.51.100.200", "edge.cdn-provider.invalid", "192.0.2.15", "203.0.113.99"}
    assert not stops & hunted
    assert "node00.test" not in hunted


def test_an_allowlisted_host_on_a_path_is_left_out() -> None:
    lookup = sample_lookup()
    hosts = (report("203.0.113.10", 1, "allowlisted"), *lookup.hosts[2:])
    hunted = literals(hunting_queries([replace(lookup, hosts=hosts)])[0].kql)
    assert "203.0.113.10" not in hunted


def test_nothing_found_is_nothing_to_hunt_unless_the_seed_is_malicious() -> None:
    assert hunting_queries([empty_lookup()]) == ()
    malicious = replace(sample_lookup(), actors=())
    kql = hunting_queries([malicious, empty_lookup()])[2].kql
    assert literals(kql) == {SEED}
    assert "addresses" not in kql


def test_the_number_of_hosts_is_bounded_and_the_rest_is_said() -> None:
    paths = [
        seen(SEED, f"10{number % 9}.{number}.test", "2026-08-01", "2026-09-01")
        for number in range(300)
    ]
    items = [replace(evidence(), host=step.answer, path=(step,)) for step in paths]
    kql = hunting_queries([replace(sample_lookup(), actors=(blizzard(*items),))])[0].kql
    assert len(literals(kql)) == MAX_HOSTS
    assert f"{301 - MAX_HOSTS} more not included" in kql
    assert SEED in literals(kql)


def test_the_window_covers_the_paths_up_to_thirty_days() -> None:
    recent = seen(SEED, "203.0.113.10", "2026-11-11", "2026-11-20")
    item = replace(evidence(), host=host("203.0.113.10"), path=(recent,))
    kql = hunting_queries([replace(sample_lookup(), actors=(blizzard(item),))])[1].kql
    assert "TimeGenerated" in kql
    assert "datetime(2026-11-11T00:00:00Z)" in kql
    kql = hunting_queries([sample_lookup()])[1].kql
    assert f"datetime({(NOW - timedelta(days=30)).isoformat().replace('+00:00', 'Z')})" in kql


def test_addresses_alone_need_no_list_of_names() -> None:
    lookup = replace(
        sample_lookup(), seed=host("203.0.113.10"), actors=(), hosts=(), resolutions=()
    )
    kql = hunting_queries([lookup])[0].kql
    assert literals(kql) == {"203.0.113.10"}
    assert "names" not in kql
