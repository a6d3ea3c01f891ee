import json
import re
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.arm.template import load
from tests.kusto.parser import Reading, missing, read
from tests.playbooks.definitions import texts_of
from tests.playbooks.deployed import deploy
from tests.sentinel.tables import FUNCTIONS, TABLES
from tools import sentinel_content
from tools.sentinel_content import HUNT, MAP, MEASURE, SENTINEL, made_files

HUNTING = sorted(SENTINEL.glob("hunting/*.yaml"))
TILES = sorted(SENTINEL.glob("workbook/*.kql"))
TACTICS = {
    "Reconnaissance",
    "InitialAccess",
    "Execution",
    "CommandAndControl",
}
ENTITIES = {"Account", "DNS", "FileHash", "Host", "IP", "Mailbox", "URL"}
RETIRED = re.compile(
    r"ThreatIntelligenceIndicator\b|tiIndicators|NetworkSourceIP|ExpirationDateTime"
)
each_query = pytest.mark.parametrize("path", HUNTING, ids=lambda path: path.stem)


def document(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return loaded


def function() -> dict[str, Any]:
    return document(SENTINEL / "functions" / "LiveThreatIndicators.yaml")


def with_functions(query: str) -> str:
    """Put before a query what the workspace gives it."""
    body = function()["FunctionQuery"]
    head = f"{FUNCTIONS}let LiveThreatIndicators = (lookback: timespan = 14d) {{\n{body}}};\n"
    return head + query


@pytest.fixture(scope="module")
def readings() -> Mapping[Path, Reading]:
    """What Microsoft's parser makes of every query."""
    if reason := missing():
        pytest.skip(reason)
    queries = {path: document(path)["query"] for path in HUNTING}
    queries |= {path: path.read_text("utf-8") for path in TILES}
    found = read(TABLES, [with_functions(query) for query in queries.values()])
    return dict(zip(queries, found, strict=True))


@pytest.mark.parametrize("path", [*HUNTING, *TILES], ids=lambda path: path.stem)
def test_a_query_is_right_for_the_tables_it_reads(
    readings: Mapping[Path, Reading], path: Path
) -> None:
    assert readings[path].complaints == ()


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("ThreatIntelIndicators | where NetworkIP == 'x'", "NetworkIP"),
        ("ThreatIntelligenceIndicator | take 1", "ThreatIntelligenceIndicator"),
        ("LiveThreatIndicators() | where Kindly == 'ip'", "Kindly"),
        ("LiveThreatIndicators() | summarize by (Kind", r"Expected: \)"),
        ("ThreatIntelIndicators | where ago(Id) < TimeGenerated", "timespan"),
    ],
    ids=["a column", "a table", "a column of the function", "a bracket", "a type"],
)
def test_the_parser_finds_what_is_wrong(query: str, complaint: str) -> None:
    if reason := missing():
        pytest.skip(reason)
    (reading,) = read(TABLES, [with_functions(query)])
    assert re.search(complaint, " ".join(reading.complaints))


@each_query
def test_entities_are_columns_of_the_result(readings: Mapping[Path, Reading], path: Path) -> None:
    for entity in document(path).get("entityMappings", ()):
        assert entity["entityType"] in ENTITIES
        for field in entity["fieldMappings"]:
            assert field["columnName"] in readings[path].columns


@each_query
def test_a_hunting_query_says_what_it_is_and_what_it_needs(path: Path) -> None:
    one = document(path)
    assert set(one) - {"entityMappings"} == {
        "id",
        "name",
        "description",
        "requiredDataConnectors",
        "tactics",
        "relevantTechniques",
        "query",
        "version",
    }
    assert set(one["tactics"]) <= TACTICS
    assert all(re.fullmatch(r"T\d{4}(\.\d{3})?", name) for name in one["relevantTechniques"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", one["version"])
    needed = {
        name for connector in one["requiredDataConnectors"] for name in connector["dataTypes"]
    }
    tables = {name for name in TABLES if re.search(rf"\b{name}\b", one["query"])}
    assert tables <= needed


def test_ids_are_guids_and_used_once() -> None:
    ids = [document(path)["id"] for path in HUNTING] + [function()["id"]]
    assert len({uuid.UUID(one) for one in ids}) == len(ids)


def test_nothing_reads_what_microsoft_retired() -> None:
    for path in (*HUNTING, *TILES, *made_files(), *SENTINEL.glob("functions/*.yaml")):
        assert not RETIRED.search(path.read_text("utf-8")), path


@pytest.mark.parametrize("path", [*HUNTING, *TILES], ids=lambda path: path.stem)
def test_brackets_and_quotes_are_balanced(path: Path) -> None:
    query = document(path)["query"] if path.suffix == ".yaml" else path.read_text("utf-8")
    bare = re.sub(r"@?\"[^\"\n]*\"|@'[^'\n]*'|//.*", "", query)
    assert '"' not in bare
    assert "'" not in bare
    for opening, closing in ("()", "[]", "{}"):
        assert bare.count(opening) == bare.count(closing)


def test_every_query_of_the_workbook_is_shown_once() -> None:
    shown = [tile.query for tile in (*MEASURE, *MAP, *HUNT)]
    assert sorted(shown) == [path.stem for path in TILES]


def test_what_is_not_limited_in_the_query_is_limited_by_the_workbook() -> None:
    book = json.loads((SENTINEL / "workbook.json").read_text("utf-8"))
    for item in book["items"]:
        if item["type"] == 3:
            assert {"timeContext", "timeContextFromParameter"} & set(item["content"])


def test_a_tile_that_is_a_map_has_the_columns_of_its_places(
    readings: Mapping[Path, Reading],
) -> None:
    book = json.loads((SENTINEL / "workbook.json").read_text("utf-8"))
    (tile,) = [one for one in book["items"] if "mapSettings" in one["content"]]
    settings = tile["content"]["mapSettings"]
    wanted = {settings[name] for name in ("latitude", "longitude", "labelSettings", "sizeSettings")}
    assert wanted <= set(readings[SENTINEL / "workbook" / f"{tile['name']}.kql"].columns)


def test_the_template_deploys_everything() -> None:
    template = load(SENTINEL / "azuredeploy.json")
    resources = deploy(template, {"WorkspaceName": "law-sec"})
    saved = [one for one in resources if one["type"].endswith("/savedSearches")]
    (book,) = [one for one in resources if one["type"] == "Microsoft.Insights/workbooks"]
    assert len(saved) == len(HUNTING) + 1
    assert all(one["name"].startswith("law-sec/") for one in saved)
    written = json.loads(book["properties"]["serializedData"])
    assert written == json.loads((SENTINEL / "workbook.json").read_text("utf-8"))
    assert book["properties"]["sourceId"].endswith("/workspaces/law-sec")
    (live,) = [one for one in saved if "functionAlias" in one["properties"]]
    assert live["properties"]["functionParameters"] == "lookback:timespan=14d"


def test_no_text_of_the_workbook_is_taken_for_an_expression() -> None:
    template = load(SENTINEL / "azuredeploy.json")
    assert not [text for text in texts_of(template["variables"]) if text.startswith("[")]


def test_the_readme_names_every_query_and_tile() -> None:
    readme = (SENTINEL / "README.md").read_text("utf-8")
    for path in HUNTING:
        assert f"(hunting/{path.name})" in readme
    for name, one in load(SENTINEL / "azuredeploy.json")["parameters"].items():
        assert f"`{name}`" in readme, one


def test_made_files_are_what_their_sources_make_of_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sentinel_content", "--check"])
    assert sentinel_content.main() == 0, capsys.readouterr().err
