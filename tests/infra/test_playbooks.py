from typing import Any

import pytest

from tests.arm.deployment import Deployment
from tests.arm.scope import Surroundings
from tests.arm.template import load
from tests.infra.templates import INFRA, ROOT, SITE_TAGS
from tools.compose import COMMON, PLAYBOOKS, STATE, camel, made_files

LOGICAPPS = ROOT / "logicapps"
COMPOSITION = INFRA / "playbooks.json"


def compose(**given: Any) -> dict[str, dict[str, Any]]:
    """Return the linked deployments that would be made, by playbook."""
    deployment = Deployment(
        load(COMPOSITION),
        {"functionAppName": "contoso-mdti"} | given,
        surroundings=Surroundings(tags=SITE_TAGS),
    )
    return {one.name.removeprefix("mdti-"): one.body["properties"] for one in deployment.resources}


def everything(value: bool) -> dict[str, bool]:
    return {camel(folder): value for folder in PLAYBOOKS}


def test_every_playbook_can_be_chosen() -> None:
    folders = {path.parent.name for path in LOGICAPPS.glob("*/azuredeploy.json")}
    assert set(PLAYBOOKS) == folders
    assert set(compose(**everything(True))) == folders
    assert compose(**everything(False)) == {}
    assert set(compose()) == {"incident-actor-brief"}


def test_the_compositions_are_what_follows_from_the_templates() -> None:
    for path, text in made_files().items():
        assert path.read_text("utf-8") == text, f"run: python -m tools.compose ({path.name})"


@pytest.mark.parametrize("folder", sorted(PLAYBOOKS))
def test_a_playbook_gets_exactly_the_parameters_that_it_declares(folder: str) -> None:
    passed = compose(**everything(True))[folder]
    template = load(LOGICAPPS / folder / "azuredeploy.json")
    given = {name: one["value"] for name, one in passed["parameters"].items()}
    assert set(given) <= set(template["parameters"])
    assert set(given) >= {
        name for name, one in template["parameters"].items() if "defaultValue" not in one
    }
    assert passed["templateLink"]["uri"].endswith(f"/logicapps/{folder}/azuredeploy.json")
    Deployment(template, given)


@pytest.mark.parametrize("folder", sorted(PLAYBOOKS))
def test_a_playbook_speaks_to_the_app_as_the_platform_was_deployed(folder: str) -> None:
    passed = compose(**everything(True))[folder]["parameters"]
    assert {name: passed[name]["value"] for name in COMMON} == {
        "Location": "westeurope",
        "IdentityResourceId": SITE_TAGS["mdti-playbook-identity"],
        "FunctionBaseUrl": "https://contoso-mdti.azurewebsites.net",
        "FunctionAudience": SITE_TAGS["mdti-function-audience"],
    }


@pytest.mark.parametrize("folder", sorted(PLAYBOOKS))
def test_nothing_runs_until_it_is_granted(folder: str) -> None:
    template = load(LOGICAPPS / folder / "azuredeploy.json")
    passed = {
        name: one["value"]
        for name, one in compose(**everything(True))[folder]["parameters"].items()
    }
    deployment = Deployment(template, passed)
    workflow = deployment.one("Microsoft.Logic/workflows").body["properties"]
    if STATE in template["parameters"]:
        assert workflow["state"] == "Disabled"
        running = compose(**everything(True), playbookState="Enabled")[folder]["parameters"]
        assert running[STATE]["value"] == "Enabled"
        return
    # Sentinel starts it by a rule, and no rule is made before infra/grant.sh --attach.
    (trigger,) = workflow["definition"]["triggers"].values()
    assert trigger["type"] == "ApiConnectionWebhook"
    assert not [one for one in deployment.everything() if "automationRules" in one.type]


def test_parameters_of_two_playbooks_do_not_share_a_name() -> None:
    names = set(load(COMPOSITION)["parameters"])
    assert {"mdtiToAnomaliIntervalRecurrence", "anyrunToDefenderIntervalRecurrence"} <= names
