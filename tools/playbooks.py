"""Make the playbooks' files that follow from others, so that nothing is written twice.

    python -m tools.playbooks            write templates and pictures
    python -m tools.playbooks --check    exit 1 when a file is not what would be written

The incident playbook's `azuredeploy.json` is a source: its second template has the same actions
behind an HTTP request trigger. The feed playbooks' templates come from a table in
`tools.feed_playbooks`. A picture shows the steps that reach out or decide, and leaves out
bookkeeping.
"""

import copy
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.feed_playbooks import FEED_PLAYBOOKS, feed_template
from tools.workflow_picture import draw
from tools.writing import write_or_check

LOGICAPPS = Path(__file__).parents[1] / "logicapps"
INCIDENT = "incident-actor-brief"
SOURCE = "azuredeploy.json"
_NAME = "MDTI-Incident-Actor-Brief"
_RULES = ("CreateAutomationRules", "WorkspaceName", "WorkspaceResourceGroup")
_CALLER = (
    "Object id of the identity or person that may start this playbook with a token of Microsoft "
    "Entra ID; a signed address does not open it."
)


def http_template(template: Mapping[str, Any]) -> dict[str, Any]:
    """Return the template with an HTTP request trigger in place of Sentinel's."""
    made: dict[str, Any] = copy.deepcopy(dict(template))
    metadata = made["metadata"]
    metadata["title"] += ", started by an HTTP request"
    metadata["description"] += (
        " This template is for those who start it from elsewhere: the body of the request is what "
        "Sentinel's incident trigger gives."
    )
    metadata["prerequisites"] = [
        text for text in metadata["prerequisites"] if "automation rules" not in text
    ]
    metadata["postDeployment"] = [
        text for text in metadata["postDeployment"] if "CreateAutomationRules" not in text
    ]
    for name in _RULES:
        del made["parameters"][name]
    made["parameters"]["PlaybookName"]["defaultValue"] = f"{_NAME}-Http"
    made["parameters"]["CallerObjectId"] = {
        "type": "string",
        "metadata": {"description": _CALLER},
    }
    made["resources"] = [
        one for one in made["resources"] if one["type"] != "Microsoft.Resources/deployments"
    ]
    workflow = _workflow(made)
    workflow["tags"]["hidden-SentinelTemplateName"] = f"{_NAME}-Http"
    workflow["properties"]["accessControl"] = {
        "triggers": {
            "sasAuthenticationPolicy": {"state": "Disabled"},
            "openAuthenticationPolicies": {
                "policies": {
                    "caller": {
                        "type": "AAD",
                        "claims": [
                            {
                                "name": "iss",
                                "value": "[concat('https://sts.windows.net/', "
                                "subscription().tenantId, '/')]",
                            },
                            {"name": "aud", "value": "[environment().resourceManager]"},
                            {"name": "oid", "value": "[parameters('CallerObjectId')]"},
                        ],
                    }
                }
            },
        }
    }
    workflow["properties"]["definition"]["triggers"] = {
        "manual": {
            "type": "Request",
            "kind": "Http",
            "inputs": {
                "method": "POST",
                "schema": {
                    "type": "object",
                    "required": ["object"],
                    "properties": {
                        "object": {
                            "type": "object",
                            "required": ["id", "name", "properties"],
                            "properties": {
                                "id": {"type": "string"},
                                "name": {"type": "string"},
                                "properties": {"type": "object"},
                            },
                        },
                        "workspaceId": {"type": "string"},
                    },
                },
            },
        }
    }
    return made


def made_files(logicapps: Path) -> dict[Path, str]:
    """Return the files below this folder that follow from others, and what they should hold."""
    return incident_files(logicapps / INCIDENT) | feed_files(logicapps)


def incident_files(folder: Path) -> dict[Path, str]:
    """Return what follows from the incident playbook's template in this folder."""
    template = json.loads((folder / SOURCE).read_text("utf-8"))
    stand_ins = {"Ask_Copilot": template["variables"]["askCopilot"]}
    return {
        folder / "azuredeploy.http.json": _text(http_template(template)),
        folder / "workflow.svg": draw(_definition(template), stand_ins),
    }


def feed_files(logicapps: Path) -> dict[Path, str]:
    """Return the templates and pictures of the feed playbooks."""
    made = {}
    for playbook in FEED_PLAYBOOKS:
        template = feed_template(playbook)
        folder = logicapps / playbook.feed
        made[folder / "azuredeploy.json"] = _text(template)
        made[folder / "workflow.svg"] = draw(_definition(template), {})
    return made


def _text(template: Mapping[str, Any]) -> str:
    return json.dumps(template, indent=2, ensure_ascii=False) + "\n"


def _definition(template: Mapping[str, Any]) -> dict[str, Any]:
    definition: dict[str, Any] = _workflow(template)["properties"]["definition"]
    return definition


def _workflow(template: Mapping[str, Any]) -> dict[str, Any]:
    (found,) = [one for one in template["resources"] if one["type"] == "Microsoft.Logic/workflows"]
    workflow: dict[str, Any] = found
    return workflow


def main() -> int:
    """Write the files, or with `--check` compare them; return the exit code."""
    return write_or_check("tools.playbooks", __doc__, lambda: made_files(LOGICAPPS))


if __name__ == "__main__":
    sys.exit(main())
