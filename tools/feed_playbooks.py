"""The templates of the feed playbooks: one workflow, and a table of what the feeds differ in."""

from dataclasses import dataclass
from typing import Any

from tools.feed_workflow import Json, feed_definition

_DEPLOYMENT = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"


@dataclass(frozen=True, slots=True)
class FeedPlaybook:
    """What one feed's playbook does not share with the others.

    `hours` is the interval it starts with, `depth` the days it reads back at first, where the
    source is read by date, `score` the floor of reputation, where the feed has one. `approved`: a
    person at the destination may have to approve rows.
    """

    feed: str
    name: str
    source: str
    destination: str
    needs: str
    look: str
    hours: int
    depth: int | None = None
    score: int | None = None
    approved: bool = False


FEED_PLAYBOOKS = (
    FeedPlaybook(
        feed="mdti-to-anomali",
        name="MDTI-To-Anomali",
        source="Microsoft Defender Threat Intelligence",
        destination="Anomali ThreatStream",
        needs="Log Analytics Reader for the app's identity on the Sentinel workspace with the "
        "Microsoft Defender Threat Intelligence connector, and an API key of ThreatStream.",
        look="In ThreatStream: the observables with the tag mdti-actor-lookup.",
        hours=1,
        score=75,
        approved=True,
    ),
    FeedPlaybook(
        feed="threatconnect-to-sentinel",
        name="ThreatConnect-To-Sentinel",
        source="ThreatConnect",
        destination="Microsoft Sentinel",
        needs="Microsoft Sentinel Contributor for the app's identity on the workspace, and an API "
        "user of ThreatConnect.",
        look="In the workspace: the table ThreatIntelIndicators, or the workbook in sentinel/.",
        hours=1,
        depth=1,
    ),
    FeedPlaybook(
        feed="opencti-to-defender",
        name="OpenCTI-To-Defender",
        source="OpenCTI",
        destination="Microsoft Defender for Endpoint",
        needs="Ti.ReadWrite of WindowsDefenderATP for the app's identity, and a token and a live "
        "stream of OpenCTI.",
        look="In the Defender portal: Settings, Endpoints, Indicators.",
        hours=1,
    ),
    FeedPlaybook(
        feed="anyrun-to-defender",
        name="ANYRUN-To-Defender",
        source="ANY.RUN TI Feeds",
        destination="Microsoft Defender for Endpoint",
        needs="Ti.ReadWrite of WindowsDefenderATP for the app's identity, and a token for ANY.RUN "
        "TI Feeds.",
        look="In the Defender portal: Settings, Endpoints, Indicators.",
        hours=2,
        depth=30,
    ),
)


def feed_template(playbook: FeedPlaybook) -> Json:
    """Return the ARM template of one feed's playbook."""
    own = (("feedFetchDepth", "depthDays", playbook.depth), ("Scoring", "minScore", playbook.score))
    numbers = {name: asked for name, asked, value in own if value is not None}
    definition = feed_definition(playbook.feed, numbers=numbers, approved=playbook.approved)
    return {
        "$schema": _DEPLOYMENT,
        "contentVersion": "1.0.0.0",
        "metadata": _metadata(playbook),
        "parameters": _parameters(playbook),
        "resources": [
            {
                "type": "Microsoft.Logic/workflows",
                "apiVersion": "2019-05-01",
                "name": "[parameters('PlaybookName')]",
                "location": "[parameters('Location')]",
                "tags": {
                    "LogicAppsCategory": "security",
                    "hidden-SentinelTemplateName": playbook.name,
                    "hidden-SentinelTemplateVersion": "1.0",
                },
                "identity": {
                    "type": "UserAssigned",
                    "userAssignedIdentities": {"[parameters('IdentityResourceId')]": {}},
                },
                "properties": {
                    "state": "[parameters('PlaybookState')]",
                    "definition": definition,
                    "parameters": {
                        name: {"value": f"[parameters('{name}')]"}
                        for name in definition["parameters"]
                    },
                },
            }
        ],
        "outputs": {
            "playbookResourceId": {
                "type": "string",
                "value": "[resourceId('Microsoft.Logic/workflows', parameters('PlaybookName'))]",
            }
        },
    }


def _metadata(playbook: FeedPlaybook) -> Json:
    title = f"{playbook.source} to {playbook.destination}"
    return {
        "title": title,
        "description": "Every few hours this playbook has the MDTI Actor Lookup app carry what "
        f"changed in {playbook.source} to {playbook.destination}, waits for it, and keeps its "
        "report in the run history. A run that failed or is incomplete is a failed run.",
        "prerequisites": [
            "The MDTI Actor Lookup function app, deployed and granted its permissions "
            "(infra/azuredeploy.json and infra/grant.sh).",
            "The playbooks' user-assigned identity, which that deployment creates.",
            playbook.needs,
        ],
        "postDeployment": [
            "With PlaybookState Disabled: enable the Logic App once everything is granted.",
            "Run the trigger once and read the action Report in the run history.",
            playbook.look,
        ],
        "prerequisitesDeployTemplateFile": "../../infra/azuredeploy.json",
        "lastUpdateTime": "2026-11-21T00:00:00.000Z",
        "entities": [],
        "tags": ["Threat Intelligence", "Sync"],
        "support": {"tier": "community"},
        "author": {"name": "MDTI Actor Lookup"},
        "releaseNotes": [{"version": "1.0.0", "title": title, "notes": ["First version."]}],
    }


def _parameters(playbook: FeedPlaybook) -> Json:
    parameters = {
        "PlaybookName": _parameter("string", "Name of the Logic App.", playbook.name),
        "Location": _parameter("string", "Region of the Logic App.", "[resourceGroup().location]"),
        "IdentityResourceId": _parameter(
            "string",
            "Resource id of the playbooks' user-assigned identity, a caller that the function app "
            "knows.",
        ),
        "FunctionBaseUrl": _parameter(
            "string",
            "Address of the function app, such as https://contoso-mdti.azurewebsites.net, without "
            "a slash at the end.",
        ),
        "FunctionAudience": _parameter(
            "string",
            "Audience that the function app's authentication accepts; an output of its deployment.",
        ),
        "PlaybookState": _parameter(
            "string",
            "Disabled until everything is granted: an identity that asks for a token too early "
            "keeps one without its roles for up to a day.",
            "Disabled",
            allowedValues=["Disabled", "Enabled"],
        ),
        "intervalRecurrence": _parameter(
            "int",
            "Hours from one run to the next.",
            playbook.hours,
            minValue=1,
            maxValue=500,
        ),
    }
    if playbook.depth is not None:
        parameters["feedFetchDepth"] = _parameter(
            "int",
            "Days to read back where there is no earlier run to go on from.",
            playbook.depth,
            minValue=1,
            maxValue=3650,
        )
    if playbook.score is not None:
        parameters["Scoring"] = _parameter(
            "int",
            "Lowest reputation at Microsoft of an address or a domain that is sent.",
            playbook.score,
            minValue=0,
            maxValue=100,
        )
    return parameters | {
        "DryRun": _parameter(
            "bool", f"Report what would be done, and leave {playbook.destination} alone.", False
        ),
        "Full": _parameter(
            "bool",
            "Read the whole source at every run instead of what changed, to find what was deleted "
            "unsaid.",
            False,
        ),
        "PollMode": _parameter(
            "string",
            "How the end of a run is waited for: auto lets Logic Apps follow the Location header, "
            "until is a loop in the workflow.",
            "auto",
            allowedValues=["auto", "until"],
        ),
    }


def _parameter(kind: str, description: str, default: Any = None, **limits: Any) -> Json:
    given = {} if default is None else {"defaultValue": default}
    return {"type": kind, **given, **limits, "metadata": {"description": description}}
