from typing import Any

import pytest

from mdti.sandbox.faults import Fault
from mdti.sandbox.graph import GraphOptions
from mdti.sandbox.identity import GRAPH
from mdti.status import status_document
from tests.tenant import Tenant

TI, HUNTING = "ThreatIntelligence.Read.All", "ThreatHunting.Read.All"
NAMES = (
    "settings",
    "callers",
    "store",
    "token",
    "permission",
    "threatIntelligence",
    "batch",
    "hunting",
    "actorIndex",
    "lists",
    "feeds",
)


def status(tenant: Tenant, *, state: str = "state", **settings: str) -> dict[str, dict[str, Any]]:
    document = status_document(tenant.app(state=state, **settings).status())
    checks = {check["name"]: check for check in document["checks"]}
    assert tuple(checks) == NAMES
    assert document["healthy"] == all(check["state"] != "failed" for check in checks.values())
    for check in checks.values():
        assert check["message"]
        assert check["state"] == "ok" or check["hint"], check
    return checks


def failed(checks: dict[str, dict[str, Any]]) -> set[str]:
    return {name for name, check in checks.items() if check["state"] == "failed"}


def test_a_tenant_in_which_all_is_well_is_said_to_be_well(tenant: Tenant) -> None:
    checks = status(tenant)
    assert {check["state"] for check in checks.values()} == {"ok"}
    assert checks["actorIndex"]["profiles"] == 5
    assert "managed identity" in checks["token"]["message"]


@pytest.mark.parametrize(
    ("kind", "code"),
    [("noLicence", "licenceMissing"), ("noConsent", "consentMissing"), ("gone", "apiGone")],
)
def test_licence_consent_and_api_are_told_apart(tenant: Tenant, kind: str, code: str) -> None:
    tenant.faults(Fault(kind=kind, route="* /graph/*"))
    checks = status(tenant)
    assert failed(checks) == {"threatIntelligence", "actorIndex"}
    assert checks["threatIntelligence"]["code"] == code


def test_an_identity_that_is_broken_fails_what_needs_a_token(tenant: Tenant) -> None:
    tenant.faults(Fault(kind="error", route="* /identity/*", status=400))
    checks = status(tenant)
    assert failed(checks) == {
        "token",
        "permission",
        "threatIntelligence",
        "hunting",
        "actorIndex",
    }
    assert "AZURE_CLIENT_ID" in checks["token"]["hint"]
    assert "could not be asked" in checks["batch"]["message"]


def test_a_permission_that_was_never_granted_says_what_to_grant(tenant: Tenant) -> None:
    tenant.sandbox.identity.withdraw(GRAPH, TI)
    checks = status(tenant)
    assert "was not granted when this token was issued" in checks["permission"]["message"]
    assert "the platform keeps" not in checks["permission"]["message"]
    assert checks["permission"]["hint"] == f"Grant {TI} to the app's identity."
    assert "permission" in failed(checks)


def test_a_permission_that_is_younger_than_the_token_is_told_from_one_that_is_missing(
    tenant: Tenant,
) -> None:
    identity = tenant.sandbox.identity
    identity.withdraw(GRAPH, TI)
    app = tenant.app()
    app.identity.token(f"{GRAPH}/.default")
    identity.grant(GRAPH, TI)
    permission = next(check for check in app.status() if check.name == "permission")
    assert permission.state == "ok"
    assert "the token in use was older; it was renewed" in permission.message


def test_a_token_that_the_platform_keeps_says_when_it_ends(tenant: Tenant) -> None:
    identity = tenant.sandbox.identity
    identity.stale_seconds = 86_400
    identity.withdraw(GRAPH, TI)
    app = tenant.app()
    app.identity.token(f"{GRAPH}/.default")
    identity.grant(GRAPH, TI)
    permission = next(check for check in app.status() if check.name == "permission")
    assert permission.state == "failed"
    assert "the platform keeps a token for up to a day" in permission.message


def test_hunting_is_optional(tenant: Tenant) -> None:
    tenant.sandbox.identity.withdraw(GRAPH, HUNTING)
    checks = status(tenant)
    assert checks["hunting"]["state"] == "warning"
    assert f"grant {HUNTING}" in checks["hunting"]["hint"]
    assert failed(checks) == set()


@pytest.mark.parametrize(("switch", "on"), [("off", False), ("on", True)])
def test_a_batch_is_tried_and_accepted(tenant: Tenant, switch: str, on: bool) -> None:
    batch = status(tenant, GRAPH_BATCH=switch)["batch"]
    assert (batch["state"], batch["switchedOn"]) == ("ok", on)
    assert ("hint" in batch) == (not on)
    assert any(seen.path.endswith("/$batch") for seen in tenant.asked())


@pytest.mark.parametrize(("switch", "state"), [("off", "warning"), ("on", "failed")])
def test_a_batch_that_is_refused_fails_only_who_relies_on_it(
    tenant: Tenant, switch: str, state: str
) -> None:
    tenant.sandbox.graph.options = GraphOptions(batch=False)
    batch = status(tenant, GRAPH_BATCH=switch)["batch"]
    assert (batch["state"], batch["hint"]) == (state, "Keep GRAPH_BATCH off.")
    assert "does not accept batches" in batch["message"]


def test_a_batch_whose_parts_are_refused_is_not_accepted(tenant: Tenant) -> None:
    tenant.app().refresh_index()
    tenant.faults(Fault(kind="error", status=400, route="GET */intelprofiles"))
    batch = status(tenant)["batch"]
    assert batch["message"] == "A request inside a batch was answered with 400."


def test_a_store_that_cannot_be_used_fails_and_costs_the_actor_index(tenant: Tenant) -> None:
    (tenant.folder / "blocked").write_text("not a folder")
    assert failed(status(tenant, state="blocked")) == {"store", "actorIndex", "feeds"}


def test_settings_that_are_wrong_are_all_named(tenant: Tenant) -> None:
    checks = status(tenant, LOOKUP_DEPTH="deep", BRIEF_MODE="@Microsoft.KeyVault(secret)")
    assert failed(checks) == {"settings"}
    assert "LOOKUP_DEPTH must be" in checks["settings"]["message"]
    assert "BRIEF_MODE is an unresolved Key Vault reference" in checks["settings"]["message"]


def test_a_setting_that_a_part_needs_fails_that_part(tenant: Tenant) -> None:
    assert failed(status(tenant, GRAPH_ENDPOINT="http://elsewhere.example")) >= {
        "settings",
        "token",
        "threatIntelligence",
    }


@pytest.mark.parametrize(
    ("callers", "state"), [("", "failed"), ("5a7d0b0e-0000-4000-8000-00000000a003", "ok")]
)
def test_easy_auth_without_callers_admits_nobody_and_says_so(
    tenant: Tenant, callers: str, state: str
) -> None:
    checks = status(tenant, WEBSITE_AUTH_ENABLED="true", MDTI_ALLOWED_CALLERS=callers)
    assert checks["callers"]["state"] == state


def test_failures_without_advice_of_their_own_get_some(tenant: Tenant) -> None:
    tenant.faults(Fault(kind="error", route="GET */reputation"))
    checks = status(tenant)
    assert failed(checks) == {"threatIntelligence"}
    assert checks["threatIntelligence"]["hint"].startswith("Ask again")


def test_an_index_that_could_not_be_read_in_full_is_a_failure(tenant: Tenant) -> None:
    tenant.faults(Fault(kind="html", route="GET */indicators", count=1))
    checks = status(tenant)
    assert failed(checks) == {"actorIndex"}
    assert checks["actorIndex"]["message"] == (
        "The indicators of 1 intel profiles could not be read."
    )
