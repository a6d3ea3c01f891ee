"""Make what follows from the incident playbook's template, so that nothing is written twice.

    python -m tools.playbooks            write azuredeploy.http.json and workflow.svg
    python -m tools.playbooks --check    exit 1 when a file is not what would be written

`azuredeploy.json` is the source. The second template has the same actions behind an HTTP request
trigger; the picture shows the steps that reach out or decide, and leaves out bookkeeping.
"""

import argparse
import copy
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.workflow_picture import draw

FOLDER = Path(__file__).parents[1] / "logicapps" / "incident-actor-brief"
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


def made_files() -> dict[Path, str]:
    """Return the files that follow from the source, and what they should hold."""
    template = json.loads((FOLDER / SOURCE).read_text("utf-8"))
    second = json.dumps(http_template(template), indent=2, ensure_ascii=False) + "\n"
    definition = _workflow(template)["properties"]["definition"]
    variables = template["variables"]
    return {
        FOLDER / "azuredeploy.http.json": second,
        FOLDER / "workflow.svg": draw(definition, {"Ask_Copilot": variables["askCopilot"]}),
    }


def _workflow(template: Mapping[str, Any]) -> dict[str, Any]:
    (found,) = [one for one in template["resources"] if one["type"] == "Microsoft.Logic/workflows"]
    workflow: dict[str, Any] = found
    return workflow


def main() -> int:
    """Write the files, or with `--check` compare them; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args().check
    stale = False
    for path, text in made_files().items():
        if not check:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text("utf-8") != text:
            stale = True
            sys.stderr.write(f"{path.name} is not what {SOURCE} makes of it\n")
    return int(stale)


if __name__ == "__main__":
    sys.exit(main())
