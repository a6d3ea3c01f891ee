from pathlib import Path
from typing import Any

import pytest

from tests.playbooks.arm import BadTemplate, deploy, load

SUBSCRIPTION = "/subscriptions/5a7d0b0e-0000-4000-8000-00000000c001"


def resources(*names: Any, **more: Any) -> dict[str, Any]:
    return {"resources": [{"type": "T", "name": name} for name in names], **more}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("plain", "plain"),
        ("[[kept]", "[kept]"),
        ("[parameters('P')]", "p"),
        ("[variables('V')]", "p-v"),
        ("[if(equalsless, 1, 2)]", None),
        ("[format('{0}/{1}', 'a', 'it''s')]", "a/it's"),
        ("[resourceGroup().location]", "westeurope"),
        ("[last(split('a/b', '/'))]", "b"),
        ("[string(variables('W'))]", '{"k": "p"}'),
        ("[substring('abc', 0, sub(length('abc'), 1))]", "ab"),
        (
            "[resourceId('Microsoft.Web/connections', 'c')]",
            f"{SUBSCRIPTION}/resourceGroups/rg-playbooks/providers/Microsoft.Web/connections/c",
        ),
        (
            "[subscriptionResourceId('Microsoft.Web/locations/managedApis', 'west', 'x')]",
            f"{SUBSCRIPTION}/providers/Microsoft.Web/locations/west/managedApis/x",
        ),
    ],
)
def test_an_expression_gives_its_value_or_is_refused(expression: str, value: str | None) -> None:
    template = resources(
        expression,
        parameters={"P": {"type": "string", "defaultValue": "p"}},
        variables={"V": "[concat(parameters('P'), '-v')]", "W": {"k": "[parameters('P')]"}},
    )
    if value is None:
        with pytest.raises(BadTemplate):
            deploy(template, {})
        return
    assert deploy(template, {})[0]["name"] == value


@pytest.mark.parametrize(
    "expression",
    ["[guess('x')]", "[concat('a'", "[concat('a') 'b']", "[parameters('None')]", "[concat(#)]"],
)
def test_what_cannot_be_evaluated_is_refused(expression: str) -> None:
    with pytest.raises(BadTemplate):
        deploy(resources(f"{expression.rstrip(']')}]"), {})


def test_parameters_are_needed_known_and_allowed() -> None:
    template = resources("x", parameters={"P": {"type": "string", "allowedValues": ["a"]}})
    for given in ({}, {"P": "b"}, {"P": "a", "Q": "a"}):
        with pytest.raises(BadTemplate):
            deploy(template, given)
    assert deploy(template, {"P": "a"})


def test_a_false_condition_leaves_a_resource_out_and_keys_are_evaluated() -> None:
    template = resources("x", "y", parameters={"P": {"type": "bool", "defaultValue": False}})
    template["resources"][0]["condition"] = "[parameters('P')]"
    template["resources"][1]["[concat('k', 'ey')]"] = 1
    (left,) = deploy(template, {})
    assert (left["name"], left["key"]) == ("y", 1)


def test_a_nested_deployment_sees_only_what_it_is_given() -> None:
    inner = resources("[parameters('q')]", parameters={"q": {"type": "string"}})
    outer = resources("shell", parameters={"P": {"type": "string"}})
    passed = {"q": {"value": "[parameters('P')]"}}
    outer["resources"][0]["properties"] = {"parameters": passed, "template": inner}
    assert [one["name"] for one in deploy(outer, {"P": "p"})] == ["shell", "p"]


def test_a_key_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "template.json"
    path.write_text('{"a": 1, "a": 2}', encoding="utf-8")
    with pytest.raises(BadTemplate):
        load(path)
