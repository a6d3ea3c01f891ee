import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from pycep import BicepParser
from tree_sitter import Language, Node, Parser
from tree_sitter_bicep import language

from tests.infra.templates import INFRA, ROOT
from tools.compose import PLAYBOOKS

FILES = ("main.bicep", "playbooks.bicep")
each_file = pytest.mark.parametrize("name", FILES)


@cache
def parsed(name: str) -> dict[str, Any]:
    """Return what pycep reads of a file."""
    document: Any = BicepParser().parse(text=(INFRA / name).read_text("utf-8"))
    assert isinstance(document, dict)
    return document


def modules(name: str) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Return the modules of a file: the file that each composes, and the parameters it gives."""
    found = {}
    for symbol, module in parsed(name)["modules"].items():
        config = module["config"]
        while "config" in config:
            config = config["config"]
        found[symbol] = ((INFRA / module["detail"]["path"]).resolve(), config["params"])
    return found


def interface(path: Path) -> tuple[dict[str, bool], set[str]]:
    """Return a file's parameters, whether each has to be given, and its outputs."""
    if path.suffix == ".bicep":
        document = parsed(path.name)
        needed = {
            name: one["default"] is None for name, one in document.get("parameters", {}).items()
        }
        return needed, set(document.get("outputs", {}))
    template = json.loads(path.read_text("utf-8"))
    needed = {name: "defaultValue" not in one for name, one in template["parameters"].items()}
    return needed, set(template["outputs"])


def test_every_bicep_file_of_the_folder_is_tested() -> None:
    assert {path.name for path in INFRA.glob("*.bicep")} == set(FILES)


@each_file
def test_the_syntax_is_bicep(name: str) -> None:
    tree = Parser(Language(language())).parse((INFRA / name).read_bytes())
    assert not tree.root_node.has_error, _errors(tree.root_node)


def _errors(node: Node) -> list[str]:
    found = [f"line {node.start_point[0] + 1}"] if node.is_error or node.is_missing else []
    return found + [one for child in node.children for one in _errors(child)]


@each_file
def test_every_module_gives_the_parameters_that_its_template_declares(name: str) -> None:
    for path, given in modules(name).values():
        needed, _ = interface(path)
        assert set(given) <= set(needed), path.name
        assert set(given) >= {one for one, must in needed.items() if must}, path.name


@each_file
def test_every_output_that_is_read_exists(name: str) -> None:
    found = modules(name)
    text = (INFRA / name).read_text("utf-8")
    for symbol, (path, _) in found.items():
        for part in text.split(f"{symbol}.outputs.")[1:]:
            output = part.split()[0]
            assert output in interface(path)[1]


@each_file
def test_every_parameter_is_used_and_described(name: str) -> None:
    text = (INFRA / name).read_text("utf-8")
    for parameter, one in parsed(name)["parameters"].items():
        assert text.count(parameter) > 1, parameter
        assert "description" in {decorator["type"] for decorator in one["decorators"]}


def test_azd_composes_the_templates_of_the_buttons_and_every_playbook() -> None:
    assert {path.name for path, _ in modules("main.bicep").values()} == {
        "azuredeploy.json",
        "playbooks.bicep",
    }
    assert {path.parent.name for path, _ in modules("playbooks.bicep").values()} == set(PLAYBOOKS)
    assert not parsed("playbooks.bicep").get("resources")
    assert set(parsed("main.bicep")["resources"]) == {"group"}


def test_azd_is_told_what_to_publish_where() -> None:
    document = yaml.safe_load((ROOT / "azure.yaml").read_text("utf-8"))
    assert document["infra"] == {"provider": "bicep", "path": "infra", "module": "main"}
    (service,) = document["services"]
    template = (INFRA / "azuredeploy.json").read_text("utf-8")
    assert f"'azd-service-name', '{service}'" in template
    assert document["services"][service] == {
        "project": ".",
        "language": "python",
        "host": "function",
    }
    given = json.loads((INFRA / "main.parameters.json").read_text("utf-8"))["parameters"]
    needed = {name for name, must in interface(INFRA / "main.bicep")[0].items() if must}
    assert set(given) == needed
