import re
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.arm.template import load
from tests.playbooks.definitions import (
    LOGICAPPS,
    TEMPLATES,
    actions_of,
    arm_names,
    deployed,
    template_name,
    texts_of,
)
from tests.playbooks.deployed import deploy
from tests.playbooks.engine import Engine, EngineRefused
from tests.playbooks.wire import Retry, seconds_of

API_VERSIONS = {
    "Microsoft.Web/connections": "2016-06-01",
    "Microsoft.Logic/workflows": "2019-05-01",
    "Microsoft.Resources/deployments": "2022-09-01",
    "Microsoft.SecurityInsights/automationRules": "2025-06-01",
}
CONNECTORS = {
    ("azuresentinel", "put", "/Incidents"),
    ("azuresentinel", "post", "/Incidents/Comment"),
    ("securitycopilot", "post", "/process-prompt"),
}
INCIDENT_API = "2025-09-01"
HOSTS = {
    "schema.management.azure.com",
    "sts.windows.net",
    "contoso-mdti.azurewebsites.net",
}
SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
METADATA = {
    "title",
    "description",
    "prerequisites",
    "postDeployment",
    "prerequisitesDeployTemplateFile",
    "lastUpdateTime",
    "entities",
    "tags",
    "support",
    "author",
    "releaseNotes",
}

each_template = pytest.mark.parametrize("path", TEMPLATES, ids=template_name)


@each_template
def test_a_template_is_strict_json_with_complete_metadata(path: Path) -> None:
    raw = path.read_bytes()
    assert not raw.startswith(b"\xef\xbb\xbf")
    assert b"\t" not in raw
    template = load(path)
    assert template["$schema"] == SCHEMA
    assert template["contentVersion"] == "1.0.0.0"
    assert set(template["metadata"]) == METADATA
    first = path.parent / template["metadata"]["prerequisitesDeployTemplateFile"]
    assert first.resolve() == LOGICAPPS.parent / "infra" / "azuredeploy.json"


@each_template
def test_every_parameter_is_described_and_used_and_every_variable_too(path: Path) -> None:
    template = load(path)
    body = {key: value for key, value in template.items() if key != "metadata"}
    for one in template["parameters"].values():
        assert one["metadata"]["description"].endswith(".")
    # A nested deployment has parameters of its own.
    nested = [one["properties"].pop("template") for one in _nested(body)]
    for scope in (body, *nested):
        assert arm_names(scope, "parameters") == set(scope.get("parameters", {}))
        assert arm_names(scope, "variables") == set(scope.get("variables", {}))


def _nested(template: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in template["resources"] if "template" in one.get("properties", {})]


@each_template
def test_numbers_have_limits_that_their_defaults_keep(path: Path) -> None:
    for name, one in load(path)["parameters"].items():
        if one["type"] == "int":
            assert one["minValue"] <= one["defaultValue"] <= one["maxValue"], name


@each_template
def test_nothing_in_a_template_is_secret_or_of_a_real_tenant(path: Path) -> None:
    template = load(path)
    for name, one in template["parameters"].items():
        secret = re.search(r"key|secret|password|token", name, re.IGNORECASE)
        assert not secret or one["type"].lower().startswith("secure"), name
    for text in texts_of(template):
        assert not re.search(r"listkeys|[?&](?:code|sig)=|hidden-SentinelWorkspaceId", text, re.I)
        assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-", text, re.I), text
        for host in re.findall(r"https?://([\w.-]+)", text):
            assert host in HOSTS, text


@each_template
def test_resources_have_the_one_api_version_of_the_table(path: Path) -> None:
    template = load(path)
    for one in template["resources"]:
        assert one["apiVersion"] == API_VERSIONS[one["type"]]
        for inner in one["properties"].get("template", {}).get("resources", ()):
            assert inner["apiVersion"] == API_VERSIONS[inner["type"]]


@each_template
def test_a_workflow_depends_on_the_connections_it_uses(path: Path) -> None:
    template = load(path)
    names = {one["name"] for one in template["resources"]}
    (workflow,) = [one for one in template["resources"] if "definition" in one["properties"]]
    for target in workflow.get("dependsOn", ()):
        assert any(name.strip("[]") in target for name in names), target


@each_template
def test_the_engine_accepts_the_definition(engine: Engine, path: Path) -> None:
    for choice in _choices(path):
        workflow = deployed(path, **choice)
        engine.validate(workflow.definition, workflow.parameters)


def _choices(path: Path) -> list[dict[str, Any]]:
    switches = [
        name for name, one in load(path)["parameters"].items() if one["type"].lower() == "bool"
    ]
    return [dict.fromkeys(switches, value) for value in (False, True)]


@each_template
def test_every_function_is_one_the_engine_knows(engine: Engine, path: Path) -> None:
    for choice in _choices(path):
        for name in {call.name for call in engine.calls(deployed(path, **choice).definition)}:
            with pytest.raises(EngineRefused) as refused:
                engine.evaluate(f"@{name}(1, 2, 3, 4, 5, 6, 7, 8, 9)?['x']['y']['z']", {})
            assert "not defined or not valid" not in str(refused.value), name


@each_template
def test_workflow_parameters_and_variables_are_declared_given_and_used(
    engine: Engine, path: Path
) -> None:
    for choice in _choices(path):
        workflow = deployed(path, **choice)
        declared = set(workflow.definition["parameters"])
        calls = engine.calls(workflow.definition)
        assert {call.arguments[0] for call in calls if call.name == "parameters"} == declared
        assert set(workflow.parameters) == declared
        variables = {
            one["name"]
            for _, action in actions_of(workflow.definition)
            if action["type"] == "InitializeVariable"
            for one in action["inputs"]["variables"]
        }
        assert {call.arguments[0] for call in calls if call.name == "variables"} == variables


@each_template
def test_times_retries_and_loops_are_within_what_logic_apps_allow(path: Path) -> None:
    for choice in _choices(path):
        for name, action in actions_of(deployed(path, **choice).definition):
            policy = action.get("inputs", {}) if isinstance(action.get("inputs"), dict) else {}
            if "retryPolicy" in policy:
                delays = Retry.of(policy["retryPolicy"]).delays
                assert len(delays) <= 90, name
                assert all(5 <= delay <= 86_400 for delay in delays), name
                assert sum(delays) < seconds_of(action["limit"]["timeout"]), name
            if action["type"] == "Until":
                assert 1 <= action["limit"]["count"] <= 5_000, name
                assert seconds_of(action["limit"]["timeout"]) > 0, name
            if action["type"] == "Foreach":
                repetitions = action["runtimeConfiguration"]["concurrency"]["repetitions"]
                assert 1 <= repetitions <= 50, name
            if action["type"] == "Terminate":
                assert action["inputs"]["runStatus"] in {"Succeeded", "Failed", "Cancelled"}


@each_template
def test_http_actions_use_the_identity_a_time_limit_retries_and_secured_inputs(
    path: Path,
) -> None:
    for _, action in actions_of(deployed(path).definition):
        if action["type"] != "Http":
            continue
        inputs = action["inputs"]
        assert inputs["authentication"]["type"] == "ManagedServiceIdentity"
        assert inputs["authentication"]["identity"].startswith("https://identityresourceid.")
        assert {"retryPolicy", "method", "uri"} <= set(inputs)
        assert action["runtimeConfiguration"]["secureData"]["properties"] == ["inputs"]
        assert "timeout" in action["limit"]
        if "ResourceManager" in inputs["uri"]:
            assert inputs["queries"] == {"api-version": INCIDENT_API}


@each_template
def test_action_names_are_unique_and_short(path: Path) -> None:
    names = [name for name, _ in actions_of(deployed(path).definition)]
    assert len(set(names)) == len(names)
    assert max(map(len, names)) <= 80


@each_template
def test_connector_calls_are_those_of_the_table(path: Path) -> None:
    for choice in _choices(path):
        workflow = deployed(path, **choice)
        for name, action in actions_of(workflow.definition):
            if action["type"] != "ApiConnection":
                continue
            inputs = action["inputs"]
            connection = re.fullmatch(
                r"@parameters\('\$connections'\)\['(\w+)'\]\['connectionId'\]",
                inputs["host"]["connection"]["name"],
            )
            assert connection, name
            assert (connection[1], inputs["method"], inputs["path"]) in CONNECTORS, name
            assert connection[1] in workflow.parameters["$connections"], name


@each_template
def test_connections_use_the_identity_where_the_connector_allows_it(path: Path) -> None:
    for choice in _choices(path):
        workflow = deployed(path, **choice)
        connections = workflow.parameters.get("$connections", {})
        sentinel = connections.get("azuresentinel")
        if sentinel:
            authentication = sentinel["connectionProperties"]["authentication"]
            assert authentication["type"] == "ManagedServiceIdentity"
        assert set(connections) <= {"azuresentinel", "securitycopilot"}


@each_template
def test_the_readme_explains_every_parameter(path: Path) -> None:
    readme = (path.parent / "README.md").read_text("utf-8")
    for name in load(path)["parameters"]:
        assert f"`{name}`" in readme, name


@each_template
def test_the_readme_names_only_actions_that_exist(path: Path) -> None:
    names = {name for name, _ in actions_of(deployed(path).definition)}
    readme = (path.parent / "README.md").read_text("utf-8")
    named = set(re.findall(r"`([A-Z][a-z]+(?:_[A-Za-z]+)+)`", readme))
    assert named <= names, named - names


INCIDENT = LOGICAPPS / "incident-actor-brief" / "azuredeploy.json"
GIVEN = {
    "IdentityResourceId": "/identity",
    "FunctionBaseUrl": "https://mdti.example",
    "FunctionAudience": "api://mdti",
}


def test_without_copilot_nothing_of_it_is_deployed() -> None:
    resources = deploy(load(INCIDENT), GIVEN | {"UseCopilot": False})
    assert not [text for text in texts_of(resources) if "securitycopilot" in text.split()]
    assert "Microsoft.Web/connections" in {one["type"] for one in resources}
    assert len([one for one in resources if one["type"] == "Microsoft.Web/connections"]) == 1


def test_with_copilot_its_connection_waits_for_a_person() -> None:
    resources = deploy(load(INCIDENT), GIVEN | {"UseCopilot": True})
    (connection,) = [one for one in resources if one["name"].startswith("securitycopilot")]
    assert "parameterValueType" not in connection["properties"]
    assert connection["properties"]["api"]["id"].endswith("/managedApis/securitycopilot")


def test_automation_rules_are_created_only_if_wanted() -> None:
    types = {one["type"] for one in deploy(load(INCIDENT), GIVEN)}
    assert types == {"Microsoft.Web/connections", "Microsoft.Logic/workflows"}


def test_automation_rules_cannot_be_started_by_our_own_writing() -> None:
    given = GIVEN | {"CreateAutomationRules": True, "WorkspaceName": "law"}
    rules = [
        one["properties"]
        for one in deploy(load(INCIDENT), given)
        if one["type"] == "Microsoft.SecurityInsights/automationRules"
    ]
    created, updated = (one["triggeringLogic"] for one in rules)
    not_closed = {
        "conditionType": "Property",
        "conditionProperties": {
            "propertyName": "IncidentStatus",
            "operator": "NotEquals",
            "propertyValues": ["Closed"],
        },
    }
    alerts_added = {
        "conditionType": "PropertyArrayChanged",
        "conditionProperties": {"arrayType": "Alerts", "changeType": "Added"},
    }
    assert (created["triggersWhen"], created["conditions"]) == ("Created", [not_closed])
    assert (updated["triggersWhen"], updated["conditions"]) == (
        "Updated",
        [alerts_added, not_closed],
    )
    for one in rules:
        (action,) = one["actions"]
        playbook = action["actionConfiguration"]["logicAppResourceId"]
        assert playbook.endswith("/MDTI-Incident-Actor-Brief")


def test_automation_rules_have_a_name_of_their_own_in_the_workspaces_group() -> None:
    given = GIVEN | {
        "CreateAutomationRules": True,
        "WorkspaceName": "law",
        "WorkspaceResourceGroup": "rg-sec",
    }
    resources = deploy(load(INCIDENT), given)
    (shell,) = [one for one in resources if one["type"] == "Microsoft.Resources/deployments"]
    assert shell["resourceGroup"] == "rg-sec"
    names = [one["name"] for one in resources if one["type"].endswith("/automationRules")]
    assert len({uuid.UUID(name) for name in names}) == 2


def test_the_trigger_keeps_the_name_that_sentinel_looks_for() -> None:
    triggers = deployed(INCIDENT).definition["triggers"]
    assert set(triggers) == {"Microsoft_Sentinel_incident"}
    assert triggers["Microsoft_Sentinel_incident"]["inputs"]["path"] == "/incident-creation"
