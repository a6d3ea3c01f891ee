"""Walks over playbook templates and workflow definitions, for the static tests."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.arm.expression import tokenize
from tests.arm.template import load
from tests.playbooks.deployed import Workflow, workflow_of

LOGICAPPS = Path(__file__).parents[2] / "logicapps"
TEMPLATES = sorted(LOGICAPPS.glob("*/azuredeploy*.json"))
"""Every playbook template of the repository."""


def template_name(path: Path) -> str:
    """Return a short name for a test's id."""
    return f"{path.parent.name}/{path.name}"


def deployed(path: Path, **parameters: Any) -> Workflow:
    """Return the workflow a template deploys; parameters without a default get a stand-in."""
    template = load(path)
    needed = {
        name: f"https://{name.lower()}.example"
        for name, one in template["parameters"].items()
        if "defaultValue" not in one
    }
    return workflow_of(template, needed | parameters)


def actions_of(definition: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every action at every depth."""
    for name, action in definition.get("actions", {}).items():
        yield name, action
        yield from actions_of(action)
        yield from actions_of(action.get("else", {}))
        yield from actions_of(action.get("default", {}))
        for case in action.get("cases", {}).values():
            yield from actions_of(case)


def texts_of(tree: Any) -> Iterator[str]:
    """Yield every string of a JSON tree, keys included."""
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            yield key
            yield from texts_of(value)
    elif isinstance(tree, list):
        for item in tree:
            yield from texts_of(item)


def arm_names(tree: Any, function: str) -> set[str]:
    """Return the names that ARM expressions in a tree give to `parameters` or `variables`."""
    found: set[str] = set()
    for text in texts_of(tree):
        if not (text.startswith("[") and text.endswith("]")) or text.startswith("[["):
            continue
        tokens = tokenize(text[1:-1])
        found |= {
            tokens[index + 2][1]
            for index, token in enumerate(tokens)
            if token == ("name", function)
        }
    return found
