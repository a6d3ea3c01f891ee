import shutil
import sys
from pathlib import Path

import pytest

from tests.playbooks.arm import load, workflow_of
from tests.playbooks.place import REQUIRED
from tools import playbooks
from tools.playbooks import FOLDER, SOURCE, made_files


def test_the_second_template_and_the_picture_follow_from_the_first() -> None:
    for path, text in made_files().items():
        assert path.read_text("utf-8") == text, f"run: python -m tools.playbooks ({path.name})"


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
    shutil.copy(FOLDER / SOURCE, tmp_path)
    monkeypatch.setattr(playbooks, "FOLDER", tmp_path)
    monkeypatch.setattr(sys, "argv", ["playbooks", "--check"])
    assert playbooks.main() == 1
    assert "workflow.svg is not what azuredeploy.json makes of it" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["playbooks"])
    assert playbooks.main() == 0
    monkeypatch.setattr(sys, "argv", ["playbooks", "--check"])
    assert playbooks.main() == 0
