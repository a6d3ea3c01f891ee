"""A small tenant behind a fake `az`, in which the script and the documents' commands are run."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mdti.graph_api import HUNTING_PERMISSION, PERMISSION
from tests.infra.fake_az import FakeAz
from tests.infra.templates import INFRA, ROOT

SCRIPT = INFRA / "grant.sh"
SUBSCRIPTION = "5a7d0b0e-0000-4000-8000-00000000c001"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-mdti"
SOC = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-soc"
WORKSPACE = f"{SOC}/providers/Microsoft.OperationalInsights/workspaces/soc"
IDENTITIES = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
GRAPH_APP = "00000003-0000-0000-c000-000000000000"
DEFENDER_APP = "fc780465-2017-40d4-a0c5-307022471b92"
SENTINEL_APP = "98785600-1bb7-4fb9-b9fa-19afe2c8a360"

OWNERS = ("app", "playbooks")


def api(app_id: str, *roles: str) -> dict[str, Any]:
    shown = [
        {"id": f"role-{name}", "value": name, "allowedMemberTypes": ["Application"]}
        for name in roles
    ]
    person = {"id": "role-delegated", "value": roles[0], "allowedMemberTypes": ["User"]}
    return {"id": f"sp-{app_id}", "appRoles": [person, *shown]}


def workflow(name: str, identity: str = "mdti-playbooks") -> dict[str, Any]:
    return {
        "id": f"{GROUP}/providers/Microsoft.Logic/workflows/{name}",
        "tags": {"hidden-SentinelTemplateName": name},
        "identity": {"userAssignedIdentities": {f"{IDENTITIES}/{identity}": {}}},
        "properties": {"state": "Disabled"},
    }


def tenant_state(**changes: Any) -> dict[str, Any]:
    """Return a tenant in which the platform and the incident playbook are deployed."""
    return {
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
        "broken": [],
        "lag": 0,
    } | changes


class Tenant:
    """A small tenant behind a fake `az`, and commands run in it."""

    def __init__(self, folder: Path, az: FakeAz) -> None:
        self._folder = folder
        self._az = az
        az.install(folder)
        (folder / "python3").symlink_to(sys.executable)

    @property
    def state(self) -> dict[str, Any]:
        return self._az.state

    @property
    def calls(self) -> list[tuple[bool, list[str]]]:
        """Every call of the last command, and whether it changes something."""
        return self._az.calls

    @property
    def changes(self) -> list[list[str]]:
        return [arguments for change, arguments in self.calls if change]

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
        self._az.calls.clear()
        path = os.pathsep.join([str(self._folder), os.environ["PATH"]])
        return subprocess.run(
            command,
            env={"PATH": path, "GRANT_WAIT_SECONDS": "0", "TMPDIR": str(self._folder)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


Tenants = Callable[..., Tenant]
