"""Evaluates the ARM template language as far as our playbook templates use it.

Anything else in a template - a function, a property - is an error, so a template cannot drift into
what no test has seen. Subscription, resource group and cloud are invented.
"""

import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Token = tuple[str, Any]

SUBSCRIPTION = "5a7d0b0e-0000-4000-8000-00000000c001"
GROUP = "rg-playbooks"
_TOKEN = re.compile(r"\s*(?:'((?:[^']|'')*)'|(-?\d+)|([A-Za-z_]\w*)|([()\[\],.]))")
_KNOWN: Mapping[str, Any] = {
    "resourceGroup": {"name": GROUP, "location": "westeurope"},
    "subscription": {
        "subscriptionId": SUBSCRIPTION,
        "tenantId": "5a7d0b0e-0000-4000-8000-00000000f001",
    },
    "environment": {"resourceManager": "https://management.azure.com/"},
}


class BadTemplate(Exception):
    """A template holds an expression that cannot be evaluated."""


@dataclass(frozen=True, slots=True)
class Workflow:
    """A workflow resource with every ARM expression replaced: what Logic Apps would store."""

    resource: Mapping[str, Any]

    @property
    def definition(self) -> dict[str, Any]:
        """The workflow definition."""
        definition: dict[str, Any] = self.resource["properties"]["definition"]
        return definition

    @property
    def parameters(self) -> dict[str, Any]:
        """The values of the definition's parameters."""
        given = self.resource["properties"]["parameters"]
        return {name: one["value"] for name, one in given.items()}


def load(path: Path) -> dict[str, Any]:
    """Read a template; JSON without duplicate keys."""
    template: dict[str, Any] = json.loads(path.read_text("utf-8"), object_pairs_hook=_unique)
    return template


def deploy(template: Mapping[str, Any], given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the resources that a deployment with these parameters would create.

    Those whose condition is false are left out; those of nested deployments follow theirs.
    Raises `BadTemplate`, also for a missing, unknown or disallowed parameter.
    """
    scope = _Scope(template, given)
    created: list[dict[str, Any]] = []
    for resource in template["resources"]:
        if not scope.value(resource.get("condition", True)):
            continue
        inner = resource.get("properties", {}).get("template")
        shell = {key: value for key, value in resource.items() if key != "properties"}
        if inner is None:
            created.append(scope.value(resource))
            continue
        created.append(scope.value(shell))
        passed = scope.value(resource["properties"]["parameters"])
        created += deploy(inner, {name: one["value"] for name, one in passed.items()})
    return created


def workflow_of(template: Mapping[str, Any], given: Mapping[str, Any]) -> Workflow:
    """Return the one workflow that a deployment with these parameters would create."""
    (found,) = [
        resource
        for resource in deploy(template, given)
        if resource["type"] == "Microsoft.Logic/workflows"
    ]
    return Workflow(found)


class _Scope:
    """The parameters and variables that a template's expressions see."""

    def __init__(self, template: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        declared = template.get("parameters", {})
        unknown = set(given) - set(declared)
        if unknown:
            raise BadTemplate(f"no such parameter: {sorted(unknown)}")
        self._variables = template.get("variables", {})
        self._parameters: dict[str, Any] = {}
        self._functions: Mapping[str, Callable[..., Any]] = {
            "parameters": lambda name: self._parameters[name],
            "variables": lambda name: self.value(self._variables[name]),
            "concat": lambda *parts: "".join(parts),
            "format": lambda text, *parts: text.format(*parts),
            "if": lambda condition, yes, no: yes if condition else no,
            "substring": lambda text, start, length: text[start : start + length],
            "length": len,
            "string": lambda tree: json.dumps(self.value(tree)),
            "sub": lambda one, other: one - other,
            "split": lambda text, by: text.split(by),
            "last": lambda items: items[-1],
            "guid": lambda *parts: str(uuid.uuid5(uuid.NAMESPACE_URL, "-".join(parts))),
            "resourceId": lambda kind, name: (
                f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/{kind}/{name}"
            ),
            "subscriptionResourceId": _below_subscription,
            **{name: lambda value=value: value for name, value in _KNOWN.items()},
        }
        for name, one in declared.items():
            if name not in given and "defaultValue" not in one:
                raise BadTemplate(f"parameter {name} needs a value")
            value = given[name] if name in given else self.value(one["defaultValue"])
            if value not in one.get("allowedValues", [value]):
                raise BadTemplate(f"parameter {name} may not be {value!r}")
            self._parameters[name] = value

    def value(self, tree: Any) -> Any:
        """Return a JSON tree with its expressions evaluated, keys included."""
        if isinstance(tree, dict):
            return {self.value(key): self.value(value) for key, value in tree.items()}
        if isinstance(tree, list):
            return [self.value(item) for item in tree]
        if isinstance(tree, str) and tree.startswith("[[") and tree.endswith("]"):
            return tree[1:]
        if isinstance(tree, str) and tree.startswith("[") and tree.endswith("]"):
            return self._expression(tree[1:-1])
        return tree

    def _expression(self, text: str) -> Any:
        tokens = tokenize(text)
        try:
            value, rest = self._term(tokens)
        except (KeyError, IndexError, TypeError) as error:
            raise BadTemplate(f"[{text}]: {error!r}") from error
        if rest:
            raise BadTemplate(f"[{text}]: left over {rest[0]!r}")
        return value

    def _term(self, tokens: list[Token]) -> tuple[Any, list[Token]]:
        (kind, head), *tokens = tokens
        if kind == "value":
            return head, tokens
        if kind != "name" or tokens.pop(0) != ("mark", "("):
            raise BadTemplate(f"{head!r} is no function call")
        arguments: list[Any] = []
        while tokens[0] != ("mark", ")"):
            value, tokens = self._term(tokens)
            arguments.append(value)
            if tokens[0] == ("mark", ","):
                tokens = tokens[1:]
        value = self._functions[head](*arguments)
        tokens = tokens[1:]
        while tokens and tokens[0] == ("mark", "."):
            value, tokens = value[tokens[1][1]], tokens[2:]
        return value, tokens


def tokenize(text: str) -> list[Token]:
    """Return the tokens of an expression: values, names and marks."""
    tokens: list[Token] = []
    position = 0
    while position < len(text.rstrip()):
        match = _TOKEN.match(text, position)
        if match is None:
            raise BadTemplate(f"[{text}] cannot be read at {position}")
        quoted, number, name, mark = match.groups()
        if quoted is not None:
            tokens.append(("value", quoted.replace("''", "'")))
        elif number is not None:
            tokens.append(("value", int(number)))
        else:
            tokens.append(("name", name) if name else ("mark", mark))
        position = match.end()
    return tokens


def _below_subscription(kind: str, *names: str) -> str:
    provider, *types = kind.split("/")
    path = "/".join(f"{one}/{name}" for one, name in zip(types, names, strict=True))
    return f"/subscriptions/{SUBSCRIPTION}/providers/{provider}/{path}"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise BadTemplate(f"a key occurs twice: {sorted(keys)}")
    return dict(pairs)
