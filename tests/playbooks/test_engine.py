from typing import Any

import pytest

from tests.playbooks.engine import Engine, EngineRefused

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


def test_calls_are_listed_with_their_plain_arguments(engine: Engine) -> None:
    calls = engine.calls(
        {"a": "@concat(parameters('P'), 'x')?[toLower('K')]", "b": ["@{utcNow()}"]}
    )
    assert sorted(calls) == [
        ("concat", ("x",)),
        ("parameters", ("P",)),
        ("toLower", ("K",)),
        ("utcNow", ()),
    ]
