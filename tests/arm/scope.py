"""What the expressions of a template see, and the functions that they call.

Subscription, tenant and resource group are invented, and so is what `reference` finds.
"""

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from tests.arm.expression import Node, Part, Value, is_expression, parse
from tests.arm.template import BadTemplate

SUBSCRIPTION = "5a7d0b0e-0000-4000-8000-00000000c001"
TENANT = "5a7d0b0e-0000-4000-8000-00000000f001"
CLOUDS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "AzureCloud": {
            "name": "AzureCloud",
            "resourceManager": "https://management.azure.com/",
            "authentication": {"loginEndpoint": "https://login.microsoftonline.com/"},
            "suffixes": {"storage": "core.windows.net", "keyvaultDns": ".vault.azure.net"},
        },
        "AzureUSGovernment": {
            "name": "AzureUSGovernment",
            "resourceManager": "https://management.usgovcloudapi.net/",
            "authentication": {"loginEndpoint": "https://login.microsoftonline.us/"},
            "suffixes": {
                "storage": "core.usgovcloudapi.net",
                "keyvaultDns": ".vault.usgovcloudapi.net",
            },
        },
        "AzureChinaCloud": {
            "name": "AzureChinaCloud",
            "resourceManager": "https://management.chinacloudapi.cn/",
            "authentication": {"loginEndpoint": "https://login.chinacloudapi.cn/"},
            "suffixes": {"storage": "core.chinacloudapi.cn", "keyvaultDns": ".vault.azure.cn"},
        },
    }
)
"""What `environment()` answers (az cloud list)."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a template is deployed to, and what it finds there by `reference`."""

    cloud: str = "AzureCloud"
    group: str = "rg-mdti"
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def group_id(self) -> str:
        """The id of the resource group."""
        return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{self.group}"

    def found(self, resource_id: str) -> dict[str, Any]:
        """Return what a resource would say of itself at run time, invented from its id."""
        kind = "/".join(resource_id.split("/providers/")[-1].split("/")[:2])
        name = resource_id.rsplit("/", 1)[-1]
        if kind == "Microsoft.ManagedIdentity/userAssignedIdentities":
            return {"principalId": guid("principal", resource_id), "clientId": guid(resource_id)}
        if kind == "Microsoft.Insights/components":
            return {"ConnectionString": f"InstrumentationKey={guid(resource_id)}"}
        if kind == "Microsoft.Web/sites":
            return {"defaultHostName": f"{name}.azurewebsites.net"}
        raise BadTemplate(f"nothing is known of {resource_id}")


def guid(*parts: str) -> str:
    """Return a GUID that follows from the parts; not the one that Azure would make."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "-".join(parts)))


def path_of(kind: str, *names: str) -> str:
    provider, *types = kind.split("/")
    if len(types) != len(names):
        raise BadTemplate(f"{kind} has {len(types)} names, not {len(names)}")
    pairs = (f"{one}/{name}" for one, name in zip(types, names, strict=True))
    return f"providers/{provider}/{'/'.join(pairs)}"


class Scope:
    """What the expressions of one template see."""

    def __init__(
        self, template: Mapping[str, Any], given: Mapping[str, Any], around: Surroundings
    ) -> None:
        self._around = around
        self._variables: Mapping[str, Any] = template.get("variables", {})
        self._known: dict[str, Any] = {}
        self._lambda: dict[str, Any] = {}
        self.allowed: tuple[frozenset[str], frozenset[str]] | None = None
        self.parameters: dict[str, Any] = {}
        declared = template.get("parameters", {})
        unknown = set(given) - set(declared)
        if unknown:
            raise BadTemplate(f"no such parameter: {sorted(unknown)}")
        for name, one in declared.items():
            if name not in given and "defaultValue" not in one:
                raise BadTemplate(f"parameter {name} needs a value")
            value = given[name] if name in given else self.value(one["defaultValue"])
            self.parameters[name] = _checked(name, one, value)

    def value(self, tree: Any) -> Any:
        """Return a JSON tree with its expressions replaced, keys included."""
        if isinstance(tree, Mapping):
            return {self.value(key): self.value(value) for key, value in tree.items()}
        if isinstance(tree, list):
            return [self.value(item) for item in tree]
        if isinstance(tree, str) and tree.startswith("[["):
            return tree[1:]
        if not is_expression(tree):
            return tree
        try:
            return self._evaluate(parse(tree[1:-1]))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise BadTemplate(f"{tree}: {error!r}") from error

    def _evaluate(self, node: Node) -> Any:
        if isinstance(node, Value):
            return node.value
        if isinstance(node, Part):
            return self._evaluate(node.of)[self._evaluate(node.key)]
        lazy = _LAZY.get(node.name)
        if lazy is not None:
            return lazy(self, node.arguments)
        if node.name in _FUNCTIONS:
            return _FUNCTIONS[node.name](*map(self._evaluate, node.arguments))
        raise BadTemplate(f"no such function: {node.name}")

    def _if(self, arguments: tuple[Node, ...]) -> Any:
        condition, yes, no = arguments
        chosen = self._evaluate(condition)
        if not isinstance(chosen, bool):
            raise BadTemplate("the condition of an if is neither true nor false")
        return self._evaluate(yes if chosen else no)

    def _lambda_of(self, arguments: tuple[Node, ...]) -> Callable[[Any], Any]:
        name, body = arguments

        def call(item: Any) -> Any:
            self._lambda[self._evaluate(name)] = item
            return self._evaluate(body)

        return call

    def _lambda_variable(self, arguments: tuple[Node, ...]) -> Any:
        return self._lambda[self._evaluate(arguments[0])]

    def _variable(self, arguments: tuple[Node, ...]) -> Any:
        name = self._evaluate(arguments[0])
        if name not in self._known:
            self._known[name] = self.value(self._variables[name])
        return self._known[name]

    def _parameter(self, arguments: tuple[Node, ...]) -> Any:
        return self.parameters[self._evaluate(arguments[0])]

    def _resource_group(self, arguments: tuple[Node, ...]) -> Any:
        around = self._around
        return {"id": around.group_id, "name": around.group, "location": "westeurope"}

    def _environment(self, arguments: tuple[Node, ...]) -> Any:
        return CLOUDS[self._around.cloud]

    def _resource_id(self, arguments: tuple[Node, ...]) -> Any:
        group, (kind, *names) = "", list(map(self._evaluate, arguments))
        if "/" not in kind:
            group, kind, *names = kind, *names
        prefix = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group or self._around.group}"
        return f"{prefix}/{path_of(kind, *names)}"

    def _reference(self, arguments: tuple[Node, ...]) -> Any:
        target, _version, *full = map(self._evaluate, arguments)
        if self.allowed is not None:
            declared, before = self.allowed
            if target in declared and target not in before:
                raise BadTemplate(f"reference to {target} without waiting for it")
        if full == ["Full"]:
            return {"properties": self._around.found(target), "tags": self._around.tags}
        return self._around.found(target)


def _checked(name: str, one: Mapping[str, Any], value: Any) -> Any:
    """Return a parameter's value; raise BadTemplate where its own constraints refuse it."""
    kinds: Mapping[str, type[str | int | list[Any]]] = {
        "string": str,
        "securestring": str,
        "int": int,
        "bool": bool,
        "array": list,
    }
    kind = kinds.get(one["type"].lower(), dict)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise BadTemplate(f"parameter {name} is no {one['type']}")
    allowed = one.get("allowedValues", [value])
    chosen = value if isinstance(value, list) and value not in allowed else [value]
    size: int = value if isinstance(value, int) else len(value)
    low = one.get("minLength", one.get("minValue", size))
    high = one.get("maxLength", one.get("maxValue", size))
    if not all(item in allowed for item in chosen) or not low <= size <= high:
        raise BadTemplate(f"parameter {name} may not be {value!r}")
    return value


def _union(first: Any, *others: Any) -> Any:
    if isinstance(first, Mapping):
        merged = dict(first)
        for other in others:
            merged |= other
        return merged
    joined = list(first)
    for other in others:
        joined += [item for item in other if item not in joined]
    return joined


def _string(value: Any) -> str:
    if isinstance(value, str | bool):
        return str(value)
    return json.dumps(value)


def _below_subscription(kind: str, *names: str) -> str:
    return f"/subscriptions/{SUBSCRIPTION}/{path_of(kind, *names)}"


_LAZY: Mapping[str, Callable[[Scope, tuple[Node, ...]], Any]] = MappingProxyType(
    {
        "if": Scope._if,
        "lambda": Scope._lambda_of,
        "lambdaVariables": Scope._lambda_variable,
        "parameters": Scope._parameter,
        "variables": Scope._variable,
        "resourceGroup": Scope._resource_group,
        "environment": Scope._environment,
        "resourceId": Scope._resource_id,
        "reference": Scope._reference,
    }
)
_FUNCTIONS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "concat": lambda *parts: "".join(parts),
        "contains": lambda where, what: what in where,
        "createArray": lambda *items: list(items),
        "createObject": lambda *pairs: dict(zip(pairs[::2], pairs[1::2], strict=True)),
        "empty": lambda value: not value,
        "equals": lambda one, other: one == other,
        "format": lambda text, *parts: text.format(*parts),
        "guid": guid,
        "join": lambda items, by: by.join(items),
        "last": lambda items: items[-1],
        "length": len,
        "not": lambda value: not value,
        "null": lambda: None,
        "replace": lambda text, old, new: text.replace(old, new),
        "split": lambda text, by: text.split(by),
        "string": _string,
        "sub": lambda one, other: one - other,
        "subscription": lambda: {"subscriptionId": SUBSCRIPTION, "tenantId": TENANT},
        "subscriptionResourceId": _below_subscription,
        "substring": lambda text, start, length: text[start : start + length],
        "toLower": lambda text: text.lower(),
        "toObject": lambda items, key, value: {key(item): value(item) for item in items},
        "true": lambda: True,
        "union": _union,
        "uniqueString": lambda *parts: uuid.uuid5(uuid.NAMESPACE_URL, "-".join(parts)).hex[:13],
    }
)
