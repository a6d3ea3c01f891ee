"""The form of the portal: what it asks for, takes and hands to the template."""

import re
from typing import Any

import pytest

from tests.arm.template import load
from tests.infra.templates import INFRA, PLATFORM

FORM = INFRA / "createUiDefinition.json"
TYPES = {
    "Microsoft.Common.CheckBox": "bool",
    "Microsoft.Common.DropDown": "string",
    "Microsoft.Common.InfoBox": None,
    "Microsoft.Common.PasswordBox": "securestring",
    "Microsoft.Common.TextBox": "string",
}
"""What each kind of element gives (learn.microsoft.com, create-uidefinition-elements)."""

CONVERSIONS = {"int": "[int(", "array": "[if(empty(", "object": "[if(empty("}
LATER = {"packageUri", "tags"}
"""Parameters with a default that no form needs to ask for."""


def document() -> dict[str, Any]:
    shown: dict[str, Any] = load(FORM)
    assert shown["handler"] == "Microsoft.Azure.CreateUIDef"
    parameters: dict[str, Any] = shown["parameters"]
    return parameters


def elements() -> dict[str, dict[str, Any]]:
    """Return every element by the expression that reads it."""
    form = document()
    found = {f"basics('{one['name']}')": one for one in form["basics"]}
    for step in form["steps"]:
        for one in step["elements"]:
            found[f"steps('{step['name']}').{one['name']}"] = one
    return found


def test_the_form_hands_over_every_parameter_and_nothing_else() -> None:
    assert set(document()["outputs"]) == set(load(PLATFORM)["parameters"]) - LATER


def test_every_output_reads_an_element_of_the_form_in_the_type_of_the_parameter() -> None:
    parameters, found = load(PLATFORM)["parameters"], elements()
    for name, expression in document()["outputs"].items():
        if name == "location":
            continue
        (source,) = {
            match[0] for match in re.finditer(r"(?:steps|basics)\('\w+'\)(?:\.\w+)?", expression)
        }
        kind = parameters[name]["type"]
        assert expression.startswith(CONVERSIONS.get(kind, f"[{source}]")), name
        if kind not in CONVERSIONS:
            assert TYPES[found[source]["type"]] == kind, name


def test_every_element_is_read() -> None:
    text = " ".join(document()["outputs"].values())
    for source, one in elements().items():
        assert TYPES[one["type"]] is None or source in text


def test_choices_and_defaults_are_those_of_the_template() -> None:
    parameters = load(PLATFORM)["parameters"]
    for one in elements().values():
        parameter = parameters.get(one["name"], {})
        if one["type"] == "Microsoft.Common.DropDown":
            choices = {
                choice["value"]: choice["label"] for choice in one["constraints"]["allowedValues"]
            }
            assert list(choices) == [str(value) for value in parameter["allowedValues"]]
            assert one["defaultValue"] == choices[str(parameter["defaultValue"])]
        elif parameter.get("type") == "int":
            assert one["defaultValue"] == str(parameter["defaultValue"])


def accepts(name: str, value: str) -> bool:
    (pattern,) = {one["constraints"]["regex"] for one in elements().values() if one["name"] == name}
    return re.search(pattern, value) is not None


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("namePrefix", ["mdti", "soc-1", "AB"], ["1soc", "a", "a_b", "ten-letters", "-ab", ""]),
        ("maximumInstanceCount", ["1", "1000"], ["0", "1001", "x"]),
        ("alwaysReadyInstances", ["0", "10"], ["11", "-1"]),
        ("logRetentionDays", ["30", "365", "730"], ["29", "731", "7"]),
        ("logDailyCapGb", ["1", "100"], ["0", "101"]),
        (
            "allowedCallers",
            ["", "7c9e2f3a-0000-4000-8000-00000000a001,7c9e2f3a-0000-4000-8000-00000000a002"],
            ["soc@contoso.com", "7c9e2f3a-0000-4000-8000-00000000a001, x"],
        ),
        ("anyRunTaxiiUrl", ["", "https://api.any.run/v1/feeds/taxii2"], ["http://x.example", "x"]),
        ("extraSettings", ["", '{"LOOKUP_DEPTH": "3"}'], ["LOOKUP_DEPTH=3"]),
        ("enabledTimers", ["", "daily", "daily,weekly"], ["daily weekly"]),
    ],
)
def test_bad_input_is_refused_before_it_is_deployed(
    name: str, good: list[str], bad: list[str]
) -> None:
    assert [value for value in good if not accepts(name, value)] == []
    assert [value for value in bad if accepts(name, value)] == []


def test_who_may_not_assign_roles_is_told_before_the_deployment() -> None:
    validations = document()["config"]["basics"]["subscription"]["constraints"]["validations"]
    permissions = {one["permission"] for one in validations}
    assert "Microsoft.Authorization/roleAssignments/write" in permissions
    assert all(one["message"] for one in validations)


def test_every_provider_of_the_template_is_registered() -> None:
    used = {one["type"].split("/")[0] for one in load(PLATFORM)["resources"]}
    providers = set(document()["config"]["basics"]["subscription"]["resourceProviders"])
    assert used - {"Microsoft.Resources", "Microsoft.Authorization"} <= providers


def test_a_secret_is_typed_once_hidden_and_may_be_left_empty() -> None:
    secrets = [one for one in elements().values() if one["type"] == "Microsoft.Common.PasswordBox"]
    assert len(secrets) == 4
    for one in secrets:
        assert one["constraints"] == {"required": False}
        assert one["options"] == {"hideConfirmation": True}
