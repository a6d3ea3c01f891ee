from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.arm.deployment import Deployment
from tests.arm.expression import calls, expressions, parse
from tests.arm.scope import SUBSCRIPTION, Surroundings
from tests.arm.template import BadTemplate, load


def template(**resource: Any) -> dict[str, Any]:
    shown = {"type": "A.B/c", "name": "x"} | resource
    return {"resources": [shown]}


def evaluate(expression: str, cloud: str = "AzureCloud", **parts: Any) -> Any:
    made = Deployment(
        template(properties={"value": expression}) | parts,
        surroundings=Surroundings(cloud=cloud),
    )
    return made.resources[0].body["properties"]["value"]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("[[kept]", "[kept]"),
        ("[createArray(1, 'it''s')[1]]", "it's"),
        ("[createObject('a', createObject('b', 2)).a['b']]", 2),
        ("[if(empty(''), 'yes', parameters('nobody'))]", "yes"),
        ("[union(createArray('a'), createArray('a', 'b'))]", ["a", "b"]),
        ("[union(createObject('a', 1), createObject('a', 2))]", {"a": 2}),
        ("[toLower(string(true()))]", "true"),
        ("[string(32)]", "32"),
        ("[string(createObject('k', 'Value'))]", '{"k": "Value"}'),
        ("[format('{0}/{1}', 'a', 'it''s')]", "a/it's"),
        ("[last(split('a/b', '/'))]", "b"),
        ("[substring('abc', 0, sub(length('abc'), 1))]", "ab"),
        (
            "[subscriptionResourceId('A.B/c/d', 'one', 'two')]",
            f"/subscriptions/{SUBSCRIPTION}/providers/A.B/c/one/d/two",
        ),
        (
            "[toObject(createArray('x'), lambda('t', concat('k', lambdaVariables('t'))), "
            "lambda('t', lambdaVariables('t')))]",
            {"kx": "x"},
        ),
        ("[environment().name]", "AzureUSGovernment"),
    ],
)
def test_an_expression_gives_what_azure_gives(expression: str, value: Any) -> None:
    assert evaluate(expression, cloud="AzureUSGovernment") == value


@pytest.mark.parametrize(
    "expression",
    [
        "[parameters('nobody')]",
        "[variables('nobody')]",
        "[guess()]",
        "[concat('a'",
        "[concat('a' 'b')]",
        "[concat('a') left]",
        "[concat('a').'b']",
        "[createArray('a')[0)]",
        "[if('x', 1, 2)]",
        "[resourceId('A.B/c/d', 'one')]",
        "[reference('/nobody', '2024-01-01')]",
        "[concat]",
    ],
)
def test_what_azure_would_refuse_is_refused(expression: str) -> None:
    text = expression if expression.endswith("]") else f"{expression}]"
    with pytest.raises(BadTemplate):
        evaluate(text)


@pytest.mark.parametrize(
    ("declared", "given"),
    [
        ({"type": "string"}, {}),
        ({"type": "string"}, {"P": 1}),
        ({"type": "int"}, {"P": True}),
        ({"type": "int", "maxValue": 3}, {"P": 4}),
        ({"type": "string", "minLength": 2}, {"P": "a"}),
        ({"type": "string", "maxLength": 2}, {"P": "abc"}),
        ({"type": "array", "allowedValues": ["a"]}, {"P": ["b"]}),
        ({"type": "string", "defaultValue": ""}, {"Q": ""}),
    ],
)
def test_a_parameter_is_held_to_its_constraints(
    declared: Mapping[str, Any], given: Mapping[str, Any]
) -> None:
    with pytest.raises(BadTemplate):
        Deployment(template() | {"parameters": {"P": declared}}, given)


def test_a_dependency_has_to_exist_and_may_not_run_in_a_circle() -> None:
    one = {"type": "A.B/c", "name": "one", "dependsOn": ["[resourceId('A.B/c', 'two')]"]}
    two = {"type": "A.B/c", "name": "two", "dependsOn": ["[resourceId('A.B/c', 'one')]"]}
    for resources in ([one], [one, two], [one, one | {"dependsOn": []}]):
        with pytest.raises(BadTemplate):
            Deployment({"resources": resources})


def test_a_reference_has_to_wait_for_what_it_reads() -> None:
    site = "[resourceId('Microsoft.Web/sites', 'a')]"
    first = {"type": "Microsoft.Web/sites", "name": "a"}
    second = {
        "type": "A.B/c",
        "name": "b",
        "properties": {"host": f"[reference({site[1:-1]}, '2024-11-01').defaultHostName]"},
    }
    with pytest.raises(BadTemplate, match="without waiting"):
        Deployment({"resources": [first, second]})
    waiting = second | {"dependsOn": [site]}
    assert Deployment({"resources": [first, waiting]}).one("A.B/c").body["properties"] == {
        "host": "a.azurewebsites.net"
    }


def test_a_nested_template_sees_only_what_it_is_given() -> None:
    inner = template(name="[parameters('q')]") | {"parameters": {"q": {"type": "string"}}}
    nested = template(
        properties={
            "expressionEvaluationOptions": {"scope": "inner"},
            "parameters": {"q": {"value": "[resourceGroup().name]"}},
            "template": inner,
        }
    )
    assert [one.name for one in Deployment(nested).everything()] == ["x", "rg-mdti"]
    del nested["resources"][0]["properties"]["expressionEvaluationOptions"]
    with pytest.raises(BadTemplate, match="evaluated for itself"):
        Deployment(nested)


def test_a_false_condition_leaves_a_resource_out() -> None:
    assert Deployment(template(condition="[not(true())]")).resources == []


def test_keys_are_evaluated() -> None:
    made = Deployment(template(properties={"[concat('k', 'ey')]": 1}))
    assert made.resources[0].body["properties"] == {"key": 1}


def test_a_key_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "template.json"
    path.write_text('{"a": 1, "a": 2}', encoding="utf-8")
    with pytest.raises(BadTemplate):
        load(path)


def test_expressions_and_the_calls_in_them_are_found_wherever_they_are() -> None:
    tree = {"[a()]": ["[b(c(), d()[e()].f)]"], "template": "[g()]", "plain": "[[h()]"}
    names = [call.name for text in expressions(tree) for call in calls(parse(text))]
    assert names == ["a", "b", "c", "d", "e"]
