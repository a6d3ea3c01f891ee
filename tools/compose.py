"""Compose the playbooks' templates, so that nothing is written twice.

    python -m tools.compose            write infra/playbooks.json and infra/playbooks.bicep
    python -m tools.compose --check    exit 1 when a file is not what would be written

Both deploy any of the templates in `logicapps/`: the first by their public address, for the button,
the second from this folder, for `azd`. What a template asks for and the function app knows is
taken from there; its other parameters become parameters of the composition.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tools.links import read_address
from tools.writing import write_or_check

ROOT = Path(__file__).parents[1]
PLAYBOOKS: Mapping[str, bool] = {
    "incident-actor-brief": True,
    "mdti-to-anomali": False,
    "threatconnect-to-sentinel": False,
    "opencti-to-defender": False,
    "anyrun-to-defender": False,
}
"""Every playbook by its folder in `logicapps/`, and whether the button has it ticked."""

COMMON = ("Location", "IdentityResourceId", "FunctionBaseUrl", "FunctionAudience")
"""What every playbook asks for, and the composition knows."""

STATE = "PlaybookState"
"""Whether a workflow is on; a template without it waits for the rule that starts it."""

LEFT_OUT = ("PlaybookName", "CreateAutomationRules", "WorkspaceName", "WorkspaceResourceGroup")
"""What has a default, or is done by `infra/grant.sh` once everything is granted."""

_SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
_SITE = "2024-11-01"


def camel(folder: str, parameter: str = "") -> str:
    """Return the name in the composition: of a playbook, or of one of its parameters."""
    first, *rest = folder.split("-")
    return (
        first + "".join(word.capitalize() for word in rest) + parameter[:1].upper() + parameter[1:]
    )


def own_parameters(template: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield what is a playbook's own: its parameters but the common ones and those left out."""
    for name, one in template["parameters"].items():
        if name not in (*COMMON, *LEFT_OUT, STATE):
            yield name, one


def load_playbooks() -> dict[str, dict[str, Any]]:
    """Return the playbooks' templates by folder."""
    return {
        name: json.loads((ROOT / "logicapps" / name / "azuredeploy.json").read_text("utf-8"))
        for name in PLAYBOOKS
    }


def arm_template(templates: Mapping[str, Mapping[str, Any]], raw: str) -> dict[str, Any]:
    """Return the template of the button; `raw` is where the playbooks' templates can be read."""
    return {
        "$schema": _SCHEMA,
        "contentVersion": "1.0.0.0",
        "metadata": {
            "title": "MDTI Actor Lookup: the playbooks",
            "description": "Deploys the playbooks of your choice; each is a template of its own. "
            "None of them runs until infra/grant.sh --enable --attach.",
            "prerequisites": [
                "The function app of azuredeploy.json, in this subscription.",
                "Logic App Contributor on this resource group, Reader on the function app, and "
                "Managed Identity Operator on the playbooks' identity.",
            ],
            "postDeployment": [
                "Run infra/grant.sh --enable --attach: when all is granted it turns the playbooks "
                "on and has Sentinel start the one for incidents.",
                "For Security Copilot: open the API connection whose name begins with "
                "securitycopilot, choose Edit API connection, Authorize, Save.",
            ],
        },
        "parameters": _arm_parameters(templates, raw),
        "variables": {
            "site": "[resourceId(parameters('functionAppResourceGroup'), 'Microsoft.Web/sites', "
            "parameters('functionAppName'))]"
        },
        "resources": [_arm_deployment(name, one) for name, one in templates.items()],
        "outputs": {},
    }


def _arm_parameters(
    templates: Mapping[str, Mapping[str, Any]], raw: str
) -> dict[str, dict[str, Any]]:
    parameters = {
        "functionAppName": _text("Name of the function app; an output of its deployment."),
        "functionAppResourceGroup": _text("Its resource group.", "[resourceGroup().name]"),
        "location": _text("Region of the playbooks.", "[resourceGroup().location]"),
    }
    if any(STATE in template["parameters"] for template in templates.values()):
        parameters["playbookState"] = _text(
            "Disabled until infra/grant.sh --enable; Enabled to deploy over playbooks that run.",
            "Disabled",
        ) | {"allowedValues": ["Disabled", "Enabled"]}
    for folder, template in templates.items():
        parameters[camel(folder)] = {
            "type": "bool",
            "defaultValue": PLAYBOOKS[folder],
            "metadata": {"description": f"Deploy: {template['metadata']['title']}."},
        }
        for name, one in own_parameters(template):
            parameters[camel(folder, name)] = dict(one)
    parameters["templateBaseUri"] = _text(
        "Where Azure can read the folder logicapps/, without a slash at the end.", raw
    )
    return parameters


def _arm_deployment(folder: str, template: Mapping[str, Any]) -> dict[str, Any]:
    full = f"reference(variables('site'), '{_SITE}', 'Full').tags"
    known = {
        "Location": "[parameters('location')]",
        "IdentityResourceId": f"[{full}['mdti-playbook-identity']]",
        "FunctionBaseUrl": f"[concat('https://', reference(variables('site'), '{_SITE}')"
        ".defaultHostName)]",
        "FunctionAudience": f"[{full}['mdti-function-audience']]",
    }
    if STATE in template["parameters"]:
        known[STATE] = "[parameters('playbookState')]"
    for name, _ in own_parameters(template):
        known[name] = f"[parameters('{camel(folder, name)}')]"
    return {
        "type": "Microsoft.Resources/deployments",
        "condition": f"[parameters('{camel(folder)}')]",
        "apiVersion": "2022-09-01",
        "name": f"mdti-{folder}",
        "properties": {
            "mode": "Incremental",
            "templateLink": {
                "uri": f"[concat(parameters('templateBaseUri'), '/logicapps/{folder}/"
                "azuredeploy.json')]",
                "contentVersion": template["contentVersion"],
            },
            "parameters": {name: {"value": value} for name, value in known.items()},
        },
    }


def _text(description: str, default: str | None = None) -> dict[str, Any]:
    parameter: dict[str, Any] = {"type": "string"}
    if default is not None:
        parameter["defaultValue"] = default
    return parameter | {"metadata": {"description": description}}


def bicep_file(templates: Iterable[str]) -> str:
    """Return the same composition for `azd`, as modules of this folder."""
    lines = [
        "// Written by `python -m tools.compose`.",
        "targetScope = 'resourceGroup'",
        "",
        "@description('Region of the playbooks.')",
        "param location string = resourceGroup().location",
        "",
        "@description('Resource id of the identity of the playbooks.')",
        "param identityResourceId string",
        "",
        "@description('Address of the function app.')",
        "param functionBaseUrl string",
        "",
        "@description('Audience that the authentication of the function app accepts.')",
        "param functionAudience string",
        "",
        "@description('Which playbooks to deploy: names of folders in logicapps/.')",
        "param chosen array",
    ]
    for folder in templates:
        lines += [
            "",
            f"module {camel(folder)} '../logicapps/{folder}/azuredeploy.json' = "
            f"if (contains(chosen, '{folder}')) {{",
            f"  name: 'mdti-{folder}'",
            "  params: {",
            *(f"    {name}: {name[0].lower()}{name[1:]}" for name in COMMON),
            "  }",
            "}",
        ]
    return "\n".join(lines) + "\n"


def made_files() -> dict[Path, str]:
    """Return the composed files and what they should hold."""
    templates = load_playbooks()
    template = arm_template(templates, read_address().raw)
    return {
        ROOT / "infra" / "playbooks.json": json.dumps(template, indent=2, ensure_ascii=False)
        + "\n",
        ROOT / "infra" / "playbooks.bicep": bicep_file(templates),
    }


def main() -> int:
    """Write the files, or with `--check` compare them; return the exit code."""
    return write_or_check("tools.compose", __doc__, made_files)


if __name__ == "__main__":
    sys.exit(main())
