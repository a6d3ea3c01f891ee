"""Make the workbook and the template that deploys what is in `sentinel/`.

    python -m tools.sentinel_content            write workbook.json and azuredeploy.json
    python -m tools.sentinel_content --check    exit 1 when a file is not what would be written

Sources are the function, the hunting queries (YAML, as in Microsoft's own repository) and the
workbook's queries (KQL); what the workbook shows where is the table below.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from tools.writing import write_or_check

SENTINEL = Path(__file__).parents[1] / "sentinel"
Json = dict[str, Any]

_ARM = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
_WORKBOOK = (
    "https://github.com/Microsoft/Application-Insights-Workbooks/blob/master/schema/workbook.json"
)
_DAY = 86_400_000
_WORKSPACES = "microsoft.operationalinsights/workspaces"
_TITLE = "Threat intelligence feeds: measure, map, hunt"
_ID = "3b0c3a52-6f0e-4a3f-9d57-5f7a3f1f0c21"


@dataclass(frozen=True, slots=True)
class Tile:
    """One query of the workbook: its file, its title, and how it is shown.

    `days` is how far back the tables are read; None: as far as the reader chose.
    """

    query: str
    title: str
    shown: Literal["table", "barchart", "timechart", "piechart", "map"]
    width: int = 50
    days: int | None = 14


MEASURE = (
    Tile("live-by-source-and-kind", "Live indicators by source and kind", "barchart"),
    Tile("arrivals", "Indicators that arrived or changed, by day", "timechart", days=None),
    Tile("confidence", "Confidence of live indicators", "barchart"),
    Tile("expiry", "When live indicators expire", "table"),
    Tile("overlap", "Values that several sources know", "table"),
    Tile("unreadable", "Patterns that nothing can match", "table"),
)
MAP = (
    Tile("actors", "Actors that live indicators belong to", "table"),
    Tile("countries", "Where known addresses are", "map"),
)
HUNT = (
    Tile("seen-addresses", "Known addresses in network sessions", "table", days=90),
    Tile("seen-domains", "Known domains in DNS queries", "table", days=90),
    Tile("seen-sign-ins", "Sign-ins from known addresses", "table", days=90),
    Tile("alerts", "Alerts of the stock rules", "table", days=None),
)
_CHAPTERS = (
    ("Measure", "What the feeds bring, and what of it is new, shared or of no use.", MEASURE),
    ("Map", "Whose infrastructure it is, and where.", MAP),
    (
        "Hunt",
        "What of it was seen in your own logs in the time range above. A source that is never seen "
        "costs more than it gives. The queries in Hunting show each match.",
        HUNT,
    ),
)


def workbook(folder: Path) -> Json:
    """Return the workbook in the form of the workbook gallery."""
    items = [_time_range()]
    for title, about, tiles in _CHAPTERS:
        items.append(
            {"type": 1, "content": {"json": f"## {title}\n{about}"}, "name": f"text {title}"}
        )
        items += [_tile(tile, folder) for tile in tiles]
    return {
        "version": "Notebook/1.0",
        "items": items,
        "fallbackResourceIds": [],
        "$schema": _WORKBOOK,
    }


def _time_range() -> Json:
    choices = [{"durationMs": days * _DAY} for days in (1, 7, 30, 90)]
    return {
        "type": 9,
        "content": {
            "version": "KqlParameterItem/1.0",
            "parameters": [
                {
                    "id": "3b0c3a52-6f0e-4a3f-9d57-5f7a3f1f0c22",
                    "version": "KqlParameterItem/1.0",
                    "name": "TimeRange",
                    "label": "Time range",
                    "type": 4,
                    "isRequired": True,
                    "value": {"durationMs": 30 * _DAY},
                    "typeSettings": {"selectableValues": choices, "allowCustom": True},
                }
            ],
            "style": "pills",
            "queryType": 0,
            "resourceType": _WORKSPACES,
        },
        "name": "parameters",
    }


def _tile(tile: Tile, folder: Path) -> Json:
    if tile.days is None:
        time: Json = {"timeContextFromParameter": "TimeRange"}
    else:
        time = {"timeContext": {"durationMs": tile.days * _DAY}}
    content = {
        "version": "KqlItem/1.0",
        "query": (folder / "workbook" / f"{tile.query}.kql").read_text("utf-8"),
        "size": 0,
        "title": tile.title,
        "showExportToExcel": True,
        "queryType": 0,
        "resourceType": _WORKSPACES,
        "visualization": tile.shown,
        **time,
    }
    if tile.shown == "map":
        content["mapSettings"] = {
            "locInfo": "LatLong",
            "latitude": "Latitude",
            "longitude": "Longitude",
            "labelSettings": "Country",
            "sizeSettings": "Addresses",
            "sizeAggregation": "Sum",
            "legendMetric": "Addresses",
            "legendAggregation": "Sum",
            "itemColorSettings": {
                "type": "heatmap",
                "nodeColorField": "Addresses",
                "colorAggregation": "Sum",
                "heatmapPalette": "greenRed",
            },
        }
    return {"type": 3, "content": content, "customWidth": str(tile.width), "name": tile.query}


def template(folder: Path) -> Json:
    """Return the ARM template of everything: the function, the hunting queries, the workbook."""
    functions = [_load(path) for path in sorted(folder.glob("functions/*.yaml"))]
    queries = [_load(path) for path in sorted(folder.glob("hunting/*.yaml"))]
    return {
        "$schema": _ARM,
        "contentVersion": "1.0.0.0",
        "metadata": {
            "title": "Threat intelligence feeds in Microsoft Sentinel",
            "description": "Hunting queries and a workbook on the table ThreatIntelIndicators, and "
            "the function they share.",
        },
        "parameters": {
            "WorkspaceName": {
                "type": "string",
                "metadata": {
                    "description": "Log Analytics workspace of Sentinel, in this resource group."
                },
            },
            "Location": {
                "type": "string",
                "defaultValue": "[resourceGroup().location]",
                "metadata": {"description": "Region of the workbook."},
            },
        },
        "variables": {"workbook": workbook(folder)},
        "resources": [
            *(_saved(one["id"], _function(one)) for one in functions),
            *(_saved(one["id"], _hunting(one)) for one in queries),
            {
                "type": "Microsoft.Insights/workbooks",
                "apiVersion": "2022-04-01",
                "name": f"[guid(parameters('WorkspaceName'), '{_ID}')]",
                "location": "[parameters('Location')]",
                "kind": "shared",
                "properties": {
                    "displayName": _TITLE,
                    "serializedData": "[string(variables('workbook'))]",
                    "version": "1.0",
                    "category": "sentinel",
                    "sourceId": "[resourceId('Microsoft.OperationalInsights/workspaces', "
                    "parameters('WorkspaceName'))]",
                },
            },
        ],
        "outputs": {},
    }


def _load(path: Path) -> Json:
    document: Json = yaml.safe_load(path.read_text("utf-8"))
    return document


def _saved(name: str, properties: Json) -> Json:
    return {
        "type": "Microsoft.OperationalInsights/workspaces/savedSearches",
        "apiVersion": "2020-08-01",
        "name": f"[concat(parameters('WorkspaceName'), '/{name}')]",
        "properties": {"etag": "*", **properties, "version": 2},
    }


def _function(one: Json) -> Json:
    parameters = [
        f"{given['Name']}:{given['Type']}={given['Default']}" for given in one["FunctionParams"]
    ]
    return {
        "category": one["Category"],
        "displayName": one["Function"]["Title"],
        "query": one["FunctionQuery"],
        "functionAlias": one["FunctionAlias"],
        "functionParameters": ", ".join(parameters),
        "tags": [{"name": "description", "value": one["Description"]}],
    }


def _hunting(one: Json) -> Json:
    tags = {
        "description": " ".join(one["description"].split()),
        "tactics": ",".join(one["tactics"]),
        "techniques": ",".join(one["relevantTechniques"]),
    }
    return {
        "category": "Hunting Queries",
        "displayName": one["name"],
        "query": one["query"],
        "tags": [{"name": name, "value": value} for name, value in tags.items()],
    }


def made_files(folder: Path = SENTINEL) -> dict[Path, str]:
    """Return the files that follow from the sources, and what they should hold."""
    made = {"workbook.json": workbook(folder), "azuredeploy.json": template(folder)}
    return {
        folder / name: json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        for name, document in made.items()
    }


def main() -> int:
    """Write the files, or with `--check` compare them; return the exit code."""
    return write_or_check("tools.sentinel_content", __doc__, made_files)


if __name__ == "__main__":
    sys.exit(main())
