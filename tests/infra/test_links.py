"""The project's public address is in one file alone."""

import json
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.infra.templates import ROOT
from tools.links import ADDRESS, Address, button, made_files, read_address

OTHER = Address(raw="https://elsewhere.example/raw/v9", package="https://elsewhere.example/v9.zip")


def test_buttons_and_defaults_are_what_follows_from_the_address() -> None:
    for path, text in made_files(read_address()).items():
        assert path.read_text("utf-8") == text, f"run: make links ({path.name})"


def test_no_other_file_holds_the_address() -> None:
    address = read_address()
    hosts = {urlsplit(address.raw).hostname, urlsplit(address.package).hostname}
    made = made_files(OTHER)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this is no clone: which files belong to the project is not known")
    for name in filter(None, listed.stdout.decode("utf-8").split("\0")):
        path = ROOT / name
        if not path.is_file() or name == str(ADDRESS):
            continue
        text = made[path] if path in made else path.read_bytes().decode("utf-8", "ignore")
        assert not [host for host in hosts if str(host) in unquote(text)], name


def test_a_new_address_reaches_every_button_and_default(tmp_path: Path) -> None:
    for folder in ("infra", "docs", "logicapps"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / ADDRESS).write_text(
        json.dumps({"raw": f"{OTHER.raw}/", "package": OTHER.package}), "utf-8"
    )
    made = made_files(read_address(tmp_path), tmp_path)
    names = {path.relative_to(tmp_path).as_posix() for path in made}
    assert names >= {"docs/deploy.md", "infra/azuredeploy.json", "infra/playbooks.json"}
    for path, text in made.items():
        assert "elsewhere.example" in text, path.name


def test_a_button_opens_the_portal_with_template_and_form() -> None:
    public, government = button(OTHER, "infra/azuredeploy.json", "infra/form.json").splitlines()
    assert "(https://portal.azure.com/#create/Microsoft.Template/uri/https%3A%2F%2F" in public
    assert public.endswith(
        "/createUIDefinitionUri/https%3A%2F%2Felsewhere.example%2Fraw%2Fv9%2Finfra%2Fform.json)"
    )
    assert "(https://portal.azure.us/#create/" in government


def test_every_template_has_a_button() -> None:
    text = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    templates = [*ROOT.glob("logicapps/*/azuredeploy.json"), *ROOT.glob("infra/*.json")]
    for path in templates:
        if "resources" in json.loads(path.read_text("utf-8")):
            assert f"<!-- button: {path.relative_to(ROOT).as_posix()}" in text
