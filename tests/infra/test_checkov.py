"""The security rules of checkov, on the resources as they would be deployed.

checkov is large (290 MB with what it needs) and pins what other tools need in other versions, so
it is no part of the development tools: `make test` installs it beside them.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.arm.deployment import Deployment
from tests.arm.template import load
from tests.infra.templates import PLATFORM

SKIPPED: Mapping[str, str] = {
    "CKV_AZURE_13": "authentication is a resource of its own, authsettingsV2, which is tested",
    "CKV_AZURE_17": "callers show a token, not a certificate; the code checks who they are",
    "CKV_AZURE_18": "the version of HTTP is not a setting of Flex Consumption",
    "CKV_AZURE_35": "Flex Consumption reaches storage publicly unless there is a virtual network;"
    " without keys and with roles alone. docs/deploy.md says how to close it",
    "CKV_AZURE_42": "a copy of third parties' keys is no loss; see CKV_AZURE_110",
    "CKV_AZURE_59": "see CKV_AZURE_35",
    "CKV_AZURE_63": "requests are logged to Application Insights",
    "CKV_AZURE_65": "details of errors are for the log, not for callers",
    "CKV_AZURE_66": "request tracing is not there on Linux",
    "CKV_AZURE_67": "see CKV_AZURE_18",
    "CKV_AZURE_78": "Flex Consumption has no FTP; passwords for publishing are switched off",
    "CKV_AZURE_80": "there is no .NET in it",
    "CKV_AZURE_88": "Flex Consumption has no file shares",
    "CKV_AZURE_109": "see CKV_AZURE_35",
    "CKV_AZURE_110": "a choice of the deployer, keyVaultPurgeProtection: it cannot be taken back",
    "CKV_AZURE_189": "see CKV_AZURE_35",
    "CKV_AZURE_206": "state can be had again; replication would cost more and is a choice",
    "CKV_AZURE_212": "Flex Consumption starts instances when they are needed",
    "CKV_AZURE_213": "health checks of the platform are not there on Flex Consumption",
    "CKV_AZURE_222": "playbooks call from addresses of Logic Apps, which are public",
    "CKV_AZURE_225": "zones are a choice of the deployer and of the region",
}
"""Rules that are not followed, and why."""


def test_every_rule_of_checkov_is_followed_or_has_a_reason(tmp_path: Path) -> None:
    checkov = shutil.which("checkov")
    if checkov is None:
        pytest.skip("checkov is not on the path; make test puts it there")
    template = load(PLATFORM)
    # checkov leaves names that are expressions out, and with them what it finds.
    plain = {
        "$schema": template["$schema"],
        "contentVersion": template["contentVersion"],
        "parameters": {},
        "resources": [one.body for one in Deployment(template).everything()],
    }
    (tmp_path / "azuredeploy.json").write_text(json.dumps(plain), "utf-8")
    command = [checkov, "--framework", "arm", "--directory", str(tmp_path), "--skip-download"]
    answer = subprocess.run(
        [*command, "--output", "json", "--compact"], capture_output=True, text=True, check=False
    )
    results = json.loads(answer.stdout)["results"]
    assert len(results["passed_checks"]) > 15, sys.stdout.write(answer.stderr)
    assert {one["check_id"] for one in results["failed_checks"]} == set(SKIPPED)
