"""The queries that the app writes or its documents give, read by Microsoft's parser."""

import re
from pathlib import Path

import pytest

from mdti.exposure import exposure_query
from mdti.render.kql import hunting_queries
from mdti.sandbox import loganalytics
from mdti.sandbox.host import Sandbox
from mdti.sandbox.wire import Reply, Request, Vendor
from tests.feeds.sources.rig_mdti import MdtiRig
from tests.kusto.parser import missing, read
from tests.render.samples import sample_lookup
from tests.sentinel.tables import TABLES

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

APP_LOGS = {
    "AppTraces": """TimeGenerated: datetime, Message: string, SeverityLevel: int,
        OperationName: string""",
    "AppRequests": """TimeGenerated: datetime, Name: string, ResultCode: string, DurationMs: real,
        Success: bool""",
}


class Listening(loganalytics.LogAnalytics):
    """Log Analytics that remembers what it was asked."""

    asked: list[str]

    def handle(self, request: Request) -> Reply:
        self.asked.append(request.json()["query"])
        return super().handle(request)


class ListeningRig(MdtiRig):
    asked: list[str]

    def vendors(self, sandbox: Sandbox) -> list[Vendor]:
        self.asked = []
        self.vendor = heard = Listening(sandbox.tokens, clock=self.clock)
        heard.asked = self.asked
        return [heard]


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


def test_what_the_feed_asks_of_the_workspace_is_right() -> None:
    with (rig := ListeningRig()).running():
        for number in range(9):
            rig.add(f"host-{number}.example")
        cursor = rig.read()[-1].cursor
        rig.read(cursor)
    readings = read(TABLES, rig.asked)
    assert len(readings) >= 6
    for query, reading in zip(rig.asked, readings, strict=True):
        assert reading.complaints == (), query


def test_the_queries_for_operators_are_right() -> None:
    text = (Path(__file__).parents[2] / "docs" / "operations.md").read_text("utf-8")
    queries = re.findall(r"^```kusto\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(queries) == 3
    for query, reading in zip(queries, read(APP_LOGS, queries), strict=True):
        assert reading.complaints == (), query
