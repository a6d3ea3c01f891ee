"""The queries that the app itself writes, read by Microsoft's parser."""

import pytest

from mdti.exposure import exposure_query
from mdti.render.kql import hunting_queries
from tests.kusto.parser import missing, read
from tests.render.samples import sample_lookup

DEVICES = """DeviceName: string, DeviceId: string, RemoteIP: string, RemoteUrl: string,
    InitiatingProcessFileName: string, ActionType: string"""
LOG_ANALYTICS = {
    "DeviceNetworkEvents": f"TimeGenerated: datetime, {DEVICES}",
    "CommonSecurityLog": """TimeGenerated: datetime, SourceIP: string, DestinationIP: string,
        DestinationHostName: string, RequestURL: string, DeviceVendor: string""",
    "DnsEvents": """TimeGenerated: datetime, Computer: string, ClientIP: string, Name: string,
        IPAddresses: string""",
}
ADVANCED_HUNTING = LOG_ANALYTICS | {
    "DeviceNetworkEvents": f"Timestamp: datetime, {DEVICES}",
    "DeviceTvmSoftwareVulnerabilities": """DeviceId: string, DeviceName: string, CveId: string,
        SoftwareName: string""",
}


@pytest.fixture(autouse=True)
def parser() -> None:
    if reason := missing():
        pytest.skip(reason)


@pytest.mark.parametrize("tables", [LOG_ANALYTICS, ADVANCED_HUNTING], ids=["logs", "hunting"])
def test_the_briefs_hunting_queries_are_right_in_both_portals(tables: dict[str, str]) -> None:
    queries = [query.kql for query in hunting_queries([sample_lookup()])]
    assert queries
    for query, reading in zip(queries, read(tables, queries), strict=True):
        assert reading.complaints == (), query


def test_the_query_for_exposed_machines_is_right() -> None:
    (reading,) = read(ADVANCED_HUNTING, [exposure_query(["CVE-2026-0001", "CVE-2026-0002"])])
    assert (reading.complaints, reading.columns) == ((), ("CveId", "Machines", "Examples"))
