import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.arm.expression import Call, Value, calls, expressions, parse
from tests.arm.template import load
from tests.infra.shapes import faults
from tests.infra.templates import INFRA, TEMPLATES, deployed
from tests.infra.test_roles import ROLES

SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
METADATA = {"title", "description", "prerequisites", "postDeployment"}
SECRET = re.compile(r"key$|secret|password|token$", re.IGNORECASE)

each_template = pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)


def scopes(template: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a template and those nested in it."""
    nested = [one["properties"] for one in template["resources"] if _holds_template(one)]
    return [template, *(scope for one in nested for scope in scopes(one["template"]))]


def _holds_template(resource: dict[str, Any]) -> bool:
    properties = resource.get("properties", {})
    return isinstance(properties, dict) and "template" in properties


def named(scope: dict[str, Any], function: str) -> set[str]:
    """Return the names that a template's expressions give to `parameters` or `variables`."""
    found = set()
    for text in expressions({key: one for key, one in scope.items() if key != "metadata"}):
        for call in calls(parse(text)):
            if call.name == function:
                (argument,) = call.arguments
                assert isinstance(argument, Value), text
                found.add(argument.value)
    return found


def test_every_template_of_the_folder_is_tested() -> None:
    others = {"address.json", "createUiDefinition.json", "main.parameters.json"}
    found = {path.name for path in INFRA.glob("*.json")}
    assert found == others | {path.name for path in TEMPLATES}


@pytest.mark.parametrize("path", sorted(INFRA.glob("*.json")), ids=lambda path: path.name)
def test_a_file_is_strict_json_without_comments_tabs_or_a_mark_at_its_head(path: Path) -> None:
    raw = path.read_bytes()
    assert not raw.startswith(b"\xef\xbb\xbf")
    assert b"\t" not in raw
    assert raw.endswith(b"}\n")
    document = load(path)
    assert path.read_text("utf-8") == json.dumps(document, indent=2, ensure_ascii=False) + "\n"


@each_template
def test_a_template_says_what_it_is_and_what_comes_before_and_after(path: Path) -> None:
    template = load(path)
    assert template["$schema"] == SCHEMA
    assert template["contentVersion"] == "1.0.0.0"
    assert set(template["metadata"]) == METADATA


@each_template
def test_every_parameter_and_variable_is_described_known_and_used(path: Path) -> None:
    template = load(path)
    for name, one in template["parameters"].items():
        assert one["metadata"]["description"].endswith("."), name
    for scope in scopes(template):
        assert named(scope, "parameters") == set(scope.get("parameters", {}))
        assert named(scope, "variables") == set(scope.get("variables", {}))


@each_template
def test_every_expression_dependency_and_reference_resolves(path: Path) -> None:
    for deployment in deployed(path):
        assert deployment.resources


@each_template
def test_every_resource_has_the_shape_that_azure_expects(path: Path) -> None:
    for deployment in deployed(path):
        for resource in deployment.everything():
            assert faults(resource.body) == []


def test_a_wrong_shape_is_found() -> None:
    (body,) = [one.body for one in deployed(INFRA / "upgrade.json")[0].resources]
    for properties in (
        {"packageUri": "x"},
        {"packageUri": "x", "remoteBuild": "true"},
        {"packageUri": "x", "remoteBuild": True, "packageURI": "x"},
        "x",
    ):
        assert faults({**body, "properties": properties})
    assert faults({**body, "apiVersion": "2020-01-01"})
    assert faults({**body, "type": "Microsoft.Web/unknown"})


@each_template
def test_no_secret_is_a_plain_parameter_an_output_or_fetched_by_a_key(path: Path) -> None:
    template = load(path)
    secure = set()
    for name, one in template["parameters"].items():
        if SECRET.search(name):
            assert one["type"] == "securestring", name
            assert one["defaultValue"] == "", name
            secure.add(name)
    allowed = 0
    for resource in template["resources"]:
        used = [one for text in expressions(resource) for one in calls(parse(text))]
        assert not [one for one in used if one.name.lower().startswith("list")]
        for text in expressions(resource.get("properties", {})):
            touched = secure & {_argument(one) for one in calls(parse(text))}
            assert not touched or resource["type"] == "Microsoft.KeyVault/vaults/secrets"
            allowed += len(touched)
    assert allowed == len(secure)
    for scope in ("variables", "outputs"):
        for text in expressions(template.get(scope, {})):
            assert not secure & {_argument(one) for one in calls(parse(text))}


def _argument(call: Call) -> Any:
    known = call.name == "parameters" and isinstance(call.arguments[0], Value)
    return call.arguments[0].value if known and isinstance(call.arguments[0], Value) else None


@each_template
def test_nothing_in_a_template_belongs_to_a_real_tenant(path: Path) -> None:
    for text in re.findall(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[\w-]+", path.read_text("utf-8")):
        assert text in ROLES.values()
