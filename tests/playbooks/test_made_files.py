import shutil
import sys
from pathlib import Path

import pytest

from tests.arm.template import load
from tests.playbooks.definitions import TEMPLATES
from tests.playbooks.deployed import workflow_of
from tests.playbooks.place import REQUIRED
from tools import playbooks
from tools.playbooks import INCIDENT, LOGICAPPS, SOURCE, made_files

FOLDER = LOGICAPPS / INCIDENT


def test_templates_and_pictures_are_what_is_made_of_their_sources() -> None:
    for path, text in made_files(LOGICAPPS).items():
        assert path.read_text("utf-8") == text, f"run: python -m tools.playbooks ({path})"


def test_every_template_is_a_source_or_made_and_has_a_readme_and_a_picture() -> None:
    made = set(made_files(LOGICAPPS))
    assert set(TEMPLATES) == {path for path in made if path.suffix == ".json"} | {FOLDER / SOURCE}
    for path in TEMPLATES:
        assert path.with_name("workflow.svg") in made
        assert "![The steps of the playbook](workflow.svg)" in (
            path.with_name("README.md").read_text("utf-8")
        )


def test_both_templates_do_the_same() -> None:
    one = workflow_of(load(FOLDER / SOURCE), REQUIRED)
    other = workflow_of(
        load(FOLDER / "azuredeploy.http.json"), REQUIRED | {"CallerObjectId": "caller"}
    )
    assert other.definition["actions"] == one.definition["actions"]
    assert other.definition["parameters"] == one.definition["parameters"]


def test_a_signed_address_does_not_open_the_second_template() -> None:
    given = REQUIRED | {"CallerObjectId": "caller"}
    workflow = workflow_of(load(FOLDER / "azuredeploy.http.json"), given)
    control = workflow.resource["properties"]["accessControl"]["triggers"]
    assert control["sasAuthenticationPolicy"] == {"state": "Disabled"}
    (policy,) = control["openAuthenticationPolicies"]["policies"].values()
    claims = {claim["name"]: claim["value"] for claim in policy["claims"]}
    assert claims["oid"] == "caller"
    assert claims["aud"] == "https://management.azure.com/"
    assert set(claims) == {"iss", "aud", "oid"}


def test_a_stale_file_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / INCIDENT).mkdir()
    shutil.copy(FOLDER / SOURCE, tmp_path / INCIDENT)
    monkeypatch.setattr(playbooks, "LOGICAPPS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["playbooks", "--check"])
    assert playbooks.main() == 1
    said = capsys.readouterr().err
    assert f"{INCIDENT}/workflow.svg is not what python -m tools.playbooks makes of it" in said
    monkeypatch.setattr(sys, "argv", ["playbooks"])
    assert playbooks.main() == 0
    monkeypatch.setattr(sys, "argv", ["playbooks", "--check"])
    assert playbooks.main() == 0
