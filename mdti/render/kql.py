"""Ready KQL that hunts the hosts of the chains in a tenant's own logs.

Each query runs in Log Analytics and in Defender's advanced hunting, and fixes its own time window.
Values are hosts that `mdti.ioc` made, as quoted
literals; no other outside text comes near a query.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from mdti.incident_models import HuntingQuery
from mdti.models import Host, Lookup
from mdti.pruning import STOP_ROLES
from mdti.render.document import time_text
from mdti.render.escape import kql_string
from mdti.render.wording import MALICIOUS_SCORE, plural, ranked

MAX_HOSTS: Final = 200
"""Hosts in one query; the nearest to the evidence come first."""

MAX_LOOKBACK: Final = timedelta(days=30)
"""Advanced hunting keeps 30 days."""

# Flux names are not followed, and still are the actor's own: they are worth hunting.
_NOT_HUNTED = STOP_ROLES - {"flux"}


def hunting_queries(lookups: Sequence[Lookup]) -> tuple[HuntingQuery, ...]:
    """Return the queries for the hosts that link the seeds to actors, seeds included.

    A look-up without an actor adds its seed only when its reputation is malicious. Hubs, CDNs,
    hosting, parking, sinkholes and allow-listed hosts are left out: half the tenant talks to them.
    The window opens with the earliest resolution of a path, at most 30 days before the look-up,
    and stays open. No host worth hunting: no query.
    """
    hosts = list(dict.fromkeys(host for lookup in lookups for host in _hosts(lookup)))
    if not hosts:
        return ()
    kept = hosts[:MAX_HOSTS]
    left = len(hosts) - len(kept)
    names = [host.value for host in kept if not host.is_address]
    addresses = [host.value for host in kept if host.is_address]
    head = [f"// {plural(len(kept), 'host')} of the chain; {left} more not included."]
    if names:
        head.append(f"let names = {_dynamic(names)};")
    if addresses:
        head.append(f"let addresses = {_dynamic(addresses)};")
    start = min(_start(lookup) for lookup in lookups if _hosts(lookup))
    return tuple(
        HuntingQuery(
            table.title,
            "\n".join([*head, *_body(table, start, names=bool(names), addresses=bool(addresses))])
            + "\n",
        )
        for table in _TABLES
    )


@dataclass(frozen=True, slots=True)
class _Table:
    """A log table: its time, the tests for names and for addresses, the columns worth showing."""

    title: str
    name: str
    time: str
    name_tests: tuple[str, ...]
    address_tests: tuple[str, ...]
    shown: str


_TABLES = (
    _Table(
        title="Devices that reached hosts of the chain (DeviceNetworkEvents)",
        name="DeviceNetworkEvents",
        # The column is called Timestamp in advanced hunting and TimeGenerated in Log Analytics.
        time='column_ifexists("TimeGenerated", column_ifexists("Timestamp", now()))',
        name_tests=("RemoteUrl has_any (names)",),
        address_tests=("RemoteIP in (addresses)", "RemoteUrl has_any (addresses)"),
        shown="DeviceName, RemoteIP, RemoteUrl, InitiatingProcessFileName, ActionType",
    ),
    _Table(
        title="Firewall and proxy traffic with hosts of the chain (CommonSecurityLog)",
        name="CommonSecurityLog",
        time="TimeGenerated",
        name_tests=("DestinationHostName has_any (names)", "RequestURL has_any (names)"),
        address_tests=(
            "DestinationIP in (addresses)",
            "SourceIP in (addresses)",
            "RequestURL has_any (addresses)",
        ),
        shown="SourceIP, DestinationIP, DestinationHostName, RequestURL, DeviceVendor",
    ),
    _Table(
        title="DNS look-ups of hosts of the chain (DnsEvents)",
        name="DnsEvents",
        time="TimeGenerated",
        name_tests=("Name has_any (names)",),
        address_tests=("IPAddresses has_any (addresses)",),
        shown="Computer, ClientIP, Name, IPAddresses",
    ),
)


def _body(table: _Table, start: datetime, *, names: bool, addresses: bool) -> list[str]:
    tests = [
        *(table.name_tests if names else ()),
        *(table.address_tests if addresses else ()),
    ]
    return [
        table.name,
        f"| extend At = {table.time}",
        f"| where At >= datetime({time_text(start)})",
        "| where " + "\n    or ".join(tests),
        f"| summarize Events = count(), First = min(At), Last = max(At) by {table.shown}",
        "| order by Last desc",
    ]


def _dynamic(values: Sequence[str]) -> str:
    return f"dynamic([{', '.join(map(kql_string, values))}])"


def _hosts(lookup: Lookup) -> list[Host]:
    roles = {report.host: report.role for report in lookup.hosts}
    evidence = ranked(item for actor in lookup.actors for item in actor.evidence)
    malicious = lookup.reputation is not None and lookup.reputation.score >= MALICIOUS_SCORE
    chain = [lookup.seed] if evidence or malicious else []
    for item in evidence:
        chain.append(item.host)
        chain.extend(host for step in item.path for host in (step.queried, step.answer))
    return [host for host in chain if roles.get(host) not in _NOT_HUNTED]


def _start(lookup: Lookup) -> datetime:
    firsts = [
        step.first for actor in lookup.actors for item in actor.evidence for step in item.path
    ]
    earliest = lookup.at - MAX_LOOKBACK
    return max(earliest, min(firsts, default=earliest))
