import platform
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.playbooks import engine as module
from tests.playbooks import openssl
from tests.playbooks.engine import Engine, EngineRefused, FunctionCall, availability

_SCHEMA = (
    "https://schema.management.azure.com/providers/Microsoft.Logic/schemas/"
    "2016-06-01/workflowdefinition.json#"
)


def definition(**actions: dict[str, Any]) -> dict[str, Any]:
    return {
        "$schema": _SCHEMA,
        "contentVersion": "1.0.0.0",
        "triggers": {"manual": {"type": "Request", "kind": "Http", "inputs": {"schema": {}}}},
        "actions": actions,
    }


def compose(inputs: Any, **run_after: list[str]) -> dict[str, Any]:
    return {"type": "Compose", "inputs": inputs, "runAfter": run_after}


def test_a_sound_definition_is_accepted(engine: Engine) -> None:
    engine.validate(
        definition(A=compose("@triggerBody()"), B=compose("@outputs('A')", A=["Succeeded"])), {}
    )


@pytest.mark.parametrize(
    ("actions", "complaint"),
    [
        ({"A": {"type": "Guess", "inputs": {}, "runAfter": {}}}, "Guess"),
        ({"A": compose("@outputs('B')")}, "'B'"),
        ({"A": compose("x", B=["Succeeded"])}, "'B'"),
        ({"A": compose("@{concat('x'")}, "concat"),
        ({"A": compose("@variables('v')")}, "'v'"),
        ({"A": compose("@outputs('B')"), "B": compose("x")}, "'B'"),
    ],
    ids=[
        "unknown action type",
        "reference to nothing",
        "run after nothing",
        "open expression",
        "variable never initialised",
        "reference to an action that is not upstream",
    ],
)
def test_a_broken_definition_is_refused(
    engine: Engine, actions: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(EngineRefused, match=complaint):
        engine.validate(definition(**actions), {})


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("@body('Ask')?['n']", 1),
        ("@{triggerBody()['when']}!", "2026-11-20T10:00:00Z!"),
        ("@parameters('P')", "p"),
        ("@variables('v')", [1]),
        ("@items('Each')['x']", 2),
        ("@item()", 5),
        ("@result('Scope')[0]['status']", "Failed"),
        ("@iterationIndexes('Until')", 3),
        ("@workflow()['run']['name']", "run"),
        ("@coalesce(body('Ask')?['none'], 'else')", "else"),
        ('@json(\'{"when": "2026-11-20T10:00:00Z"}\')', {"when": "2026-11-20T10:00:00Z"}),
        ("@null", None),
        ("@@kept", "@kept"),
    ],
)
def test_an_expression_sees_the_whole_run(engine: Engine, expression: str, value: object) -> None:
    context = {
        "actions": {"Ask": {"status": "Succeeded", "outputs": {"body": {"n": 1}}}},
        "trigger": {"outputs": {"body": {"when": "2026-11-20T10:00:00Z"}}},
        "parameters": {"P": "p"},
        "variables": {"v": [1]},
        "items": {"Each": {"x": 2}},
        "item": 5,
        "results": {"Scope": [{"name": "Ask", "status": "Failed"}]},
        "iterations": {"Until": 3},
        "workflow": {"run": {"name": "run"}},
    }
    assert engine.evaluate({"deep": [expression]}, context) == {"deep": [value]}


@pytest.mark.parametrize(
    "expression",
    ["@guess('x')", "@length()", "@body('Nowhere')", "@triggerBody()['none']['none']"],
)
def test_a_wrong_expression_is_refused(engine: Engine, expression: str) -> None:
    with pytest.raises(EngineRefused):
        engine.evaluate(expression, {"actions": {}, "trigger": {"outputs": {"body": {}}}})


def test_calls_are_listed_with_what_is_plain_in_them(engine: Engine) -> None:
    tree = {"a": "@concat(parameters('P'), 'x')?[toLower('K')]", "b": ["@{body('A')?['x'][0]}"]}
    assert sorted(engine.calls(tree)) == [
        FunctionCall("body", ("A",), ("x", 0)),
        FunctionCall("concat", ("x",)),
        FunctionCall("parameters", ("P",)),
        FunctionCall("toLower", ("K",)),
    ]


@pytest.mark.parametrize("environ", [{}, {"CI": "true"}])
def test_where_the_engine_cannot_exist_its_tests_are_skipped_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    verdict, reason = availability(environ)
    assert verdict == "skip"
    assert "Linux on x86-64 only" in reason
    assert "arm64" in reason


@pytest.mark.parametrize(("environ", "expected"), [({}, "skip"), ({"CI": "true"}, "fail")])
def test_where_it_can_exist_a_missing_package_fails_in_ci(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], expected: str
) -> None:
    monkeypatch.setattr(module, "impossible", lambda: None)
    monkeypatch.setattr(module, "_PACKAGES", ("a_package_that_nobody_has",))
    verdict, reason = availability(environ)
    assert verdict == expected
    assert "a_package_that_nobody_has" in reason


def test_libraries_that_cannot_be_fetched_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "_PACKAGES", ())
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(openssl, "_DOWNLOAD", ("download", "--no-such-option"))
    reason = module.missing()
    assert reason is not None
    assert reason.startswith("pip could not download OpenSSL 1.1")
