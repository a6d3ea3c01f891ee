"""What the playbooks say to the function app is what the function app understands."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mdti.openapi import document
from tests.playbooks.definitions import (
    LOGICAPPS,
    TEMPLATES,
    actions_of,
    deployed,
    template_name,
)
from tests.playbooks.engine import Engine
from tests.playbooks.feed_scene import report
from tests.playbooks.function import fresh_function_app
from tests.playbooks.scene import brief

_TO_THE_APP = "@{parameters('FunctionBaseUrl')}"
FEEDS = [path for path in TEMPLATES if "-to-" in path.parent.name]
INCIDENT = [path for path in TEMPLATES if path.parent == LOGICAPPS / "incident-actor-brief"]


@pytest.fixture(scope="module")
def contract() -> dict[str, Any]:
    return document()


def requests_of(path: Path) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Method, path with `{}` for what is computed, and inputs of each request to the app."""
    found = []
    for _, action in actions_of(deployed(path).definition):
        inputs: Any = action.get("inputs")
        if action["type"] != "Http" or not inputs["uri"].startswith(_TO_THE_APP):
            continue
        route = re.sub(r"@\{[^}]*\}", "{}", inputs["uri"].removeprefix(_TO_THE_APP))
        found.append((inputs["method"], route, inputs))
    return found


def fits(path: str, route: str) -> bool:
    """Return whether a path, with `{}` for what is computed, is one of a route's."""
    return re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route), path) is not None


@pytest.mark.parametrize("path", TEMPLATES, ids=template_name)
def test_the_routes_are_those_of_the_function_app(path: Path) -> None:
    routes = set()
    for function in fresh_function_app().app.get_functions():
        for binding in (one.get_dict_repr() for one in function.get_bindings()):
            if binding["type"] == "httpTrigger":
                route = f"/api/{binding['route']}"
                routes |= {(str(getattr(m, "value", m)), route) for m in binding["methods"]}
    requests = requests_of(path)
    assert requests
    for method, route, _ in requests:
        assert [one for verb, one in routes if verb == method and fits(route, one)], route


@pytest.mark.parametrize("path", TEMPLATES, ids=template_name)
def test_the_requests_are_those_of_the_openapi_document(
    path: Path, contract: dict[str, Any]
) -> None:
    for method, route, inputs in requests_of(path):
        (operation,) = [
            methods[method.lower()]
            for known, methods in contract["paths"].items()
            if fits(route, known) and method.lower() in methods
        ]
        known = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "header"}
        assert set(inputs.get("headers", {})) <= known
        assert not inputs.get("queries")
        assert ("body" in inputs) == ("requestBody" in operation)


@pytest.mark.parametrize("path", INCIDENT, ids=template_name)
def test_every_field_that_is_read_is_a_field_of_the_brief(
    engine: Engine, contract: dict[str, Any], path: Path
) -> None:
    schemas = contract["components"]["schemas"]
    error = {"error": {"type": "object", "properties": {"message": {}}}}
    answer = {"properties": {**schemas["Brief"]["properties"], **error}}
    prompt = _of(schemas, schemas["Brief"]["properties"]["copilotPrompts"]["items"])
    read = set()
    for call in engine.calls(deployed(path).definition):
        if call.name == "outputs" and call.arguments == ("Brief",):
            read.add(_field(schemas, answer, call.path))
        if call.name == "variables" and call.arguments == ("Answer",) and call.path[1:]:
            assert call.path[0] == "body"
            read.add(_field(schemas, answer, call.path[1:]))
        if call.name == "items" and call.arguments == ("For_each_prompt",):
            read.add(_field(schemas, prompt, call.path))
    assert read >= {"raise", "severity", "status", "tags", "comment.id", "comment.html"}
    assert read >= {"complete", "actors", "copilotPrompts", "commentId", "fallbackHtml"}


@pytest.mark.parametrize("path", FEEDS, ids=template_name)
def test_every_field_that_is_read_is_a_field_of_a_feeds_report(
    engine: Engine, contract: dict[str, Any], path: Path
) -> None:
    schemas = contract["components"]["schemas"]
    read = {
        _field(schemas, schemas["FeedReport"], call.path[:2])
        for call in engine.calls(deployed(path).definition)
        if call.name == "outputs" and call.arguments == ("Report",) and call.path
    }
    approved = {"awaitingApproval"} if path.parent.name == "mdti-to-anomali" else set()
    assert read == approved | {"complete", "error", "error.message", "error.details", "pending"}


@pytest.mark.parametrize("path", FEEDS, ids=template_name)
def test_what_a_feed_run_is_asked_for_may_be_asked(contract: dict[str, Any], path: Path) -> None:
    schema = contract["components"]["schemas"]["FeedRequest"]
    bodies = [inputs["body"] for method, _, inputs in requests_of(path) if method == "POST"]
    assert bodies
    for body in bodies:
        assert set(body) <= set(schema["properties"])


def test_the_scripted_reports_have_the_fields_of_real_ones(contract: dict[str, Any]) -> None:
    assert set(report()) == set(contract["components"]["schemas"]["FeedReport"]["properties"])


def test_the_scripted_briefs_have_the_fields_of_real_ones(contract: dict[str, Any]) -> None:
    schemas = contract["components"]["schemas"]
    written = brief("Paper Drizzle")
    assert set(written) <= set(schemas["Brief"]["properties"])
    asked = _of(schemas, schemas["Brief"]["properties"]["copilotPrompts"]["items"])
    assert set(written["copilotPrompts"][0]) == set(asked["properties"])


def test_an_error_has_the_message_that_is_read(contract: dict[str, Any]) -> None:
    schemas = contract["components"]["schemas"]
    assert _field(schemas, schemas["Error"], ("error", "message")) == "error.message"


def _field(schemas: Mapping[str, Any], schema: Mapping[str, Any], path: tuple[Any, ...]) -> str:
    """Return the path as text once each step of it is found in the schema."""
    for step in path:
        schema = _of(schemas, schema)
        assert step in schema["properties"], path
        schema = schema["properties"][step]
    return ".".join(path)


def _of(schemas: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a schema with its reference followed, or the choice that is not null."""
    for choice in schema.get("anyOf", schema.get("oneOf", ())):
        if choice.get("type") != "null":
            return _of(schemas, choice)
    if "$ref" not in schema:
        return schema
    found: Mapping[str, Any] = schemas[schema["$ref"].rpartition("/")[2]]
    return found
