import re

import pytest

from mdti.exposure import MAX_CVES, cves_in, exposure_query
from mdti.incident_models import Brief
from mdti.sandbox import hunting, triggers
from mdti.sandbox.faults import Fault
from mdti.sandbox.identity import GRAPH
from tests.tenant import Tenant, brief_of

HUNT = "POST */runhuntingquery"
OURS = {"SENTINEL_WORKSPACE_ID": triggers.WORKSPACE_ID}


def exposed(brief: Brief) -> list[tuple[str, str, int]]:
    return [(item.actor, item.cve, item.machines) for item in brief.exposure]


def hunts(tenant: Tenant) -> int:
    return sum(seen.path.lower().endswith("runhuntingquery") for seen in tenant.asked())


def test_cves_are_found_in_any_case_once_newest_first() -> None:
    text = "cve-2021-1234, CVE-2021-1234; (CVE-2024-123456) xCVE-2020-1111 CVE-2023-1 CVE-2022-9999"
    assert cves_in([text]) == ("CVE-2024-123456", "CVE-2022-9999", "CVE-2021-1234")
    assert len(cves_in([f"CVE-2024-{number}" for number in range(1000, 1100)])) == MAX_CVES


def test_the_query_is_bounded_and_holds_nothing_but_cves(tenant: Tenant) -> None:
    query = exposure_query(["CVE-2099-20931", 'x") | union Secrets //'])
    assert '"CVE-2099-20931"' in query
    assert "union" not in query
    assert re.search(r"\| top \d+ by", query)
    (row,) = hunting.run(query, tenant.sandbox.world)["results"]
    assert row["Machines"] == 3


def test_machines_of_our_own_workspace_are_counted_with_one_query(tenant: Tenant) -> None:
    brief = brief_of(tenant.app(**OURS), tenant.incident("threeActors"))
    assert exposed(brief) == [
        ("Copper Mist", "CVE-2099-10417", 1),
        ("Paper Drizzle", "CVE-2099-20931", 3),
        ("Velvet Squall", "CVE-2099-10417", 1),
    ]
    assert brief.exposure[1].examples[0] == "mail-gw-01.corp.lanternfoods.example"
    assert hunts(tenant) == 1


@pytest.mark.parametrize("workspace", ["", "5a7d0b0e-0000-4000-8000-00000000b999"])
def test_incidents_of_other_workspaces_show_no_machine(tenant: Tenant, workspace: str) -> None:
    app = tenant.app(SENTINEL_WORKSPACE_ID=workspace)
    brief = brief_of(app, tenant.incident("oneActor"))
    assert (brief.exposure, hunts(tenant)) == ((), 0)
    assert brief.complete


def test_an_incident_that_does_not_say_its_workspace_shows_no_machine(tenant: Tenant) -> None:
    body = tenant.incident("oneActor")["object"]
    assert brief_of(tenant.app(**OURS), body).exposure == ()


def test_an_incident_without_an_actor_asks_for_no_machine(tenant: Tenant) -> None:
    brief_of(tenant.app(**OURS), tenant.incident("none"))
    assert hunts(tenant) == 0


def test_an_actor_of_low_confidence_asks_for_no_machine(tenant: Tenant) -> None:
    body = tenant.incident("oneActor")
    florist = {"domainName": "village-florist.example"}
    entities = [triggers.entity("DnsResolution", "village-florist.example", florist)]
    body["object"]["properties"]["relatedEntities"] = entities
    brief = brief_of(tenant.app(**OURS), body)
    assert [(actor.name, actor.confidence) for actor in brief.actors] == [
        ("Marble Thunderhead", "low")
    ]
    assert hunts(tenant) == 0


def test_without_the_permission_the_brief_stands(tenant: Tenant) -> None:
    tenant.sandbox.identity.withdraw(GRAPH, "ThreatHunting.Read.All")
    brief = brief_of(tenant.app(**OURS), tenant.incident("oneActor"))
    assert (brief.exposure, brief.tags) == ((), ("Paper Drizzle",))
    assert brief.complete


@pytest.mark.parametrize("kind", ["html", "error", "throttle", "cut"])
def test_a_hunting_query_that_fails_is_a_gap_and_changes_no_decision(
    tenant: Tenant, kind: str
) -> None:
    tenant.faults(Fault(kind=kind, route=HUNT))
    brief = brief_of(tenant.app(**OURS), tenant.incident("oneActor"))
    assert [gap.stage for gap in brief.gaps] == ["exposure"]
    assert (brief.exposure, brief.tags) == ((), ("Paper Drizzle",))


@pytest.mark.parametrize("kind", ["throttle", "error", "drop"])
def test_a_hunting_query_is_asked_again_when_the_service_recovers(
    tenant: Tenant, kind: str
) -> None:
    tenant.faults(Fault(kind=kind, route=HUNT, count=2))
    assert brief_of(tenant.app(**OURS), tenant.incident("oneActor")).exposure
