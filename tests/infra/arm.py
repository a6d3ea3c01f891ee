"""Evaluates a template as Azure Resource Manager would, as far as ours go, and without Azure.

An expression is parsed into a tree and then evaluated against invented surroundings: a
subscription, a resource group, a cloud, and what `reference` would find. A function, a parameter or
a resource that is not known is an error. `reference` is only answered to a resource that has said
in `dependsOn` that it waits for the one it asks about.
"""

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from tests.playbooks.arm import BadTemplate, Token, tokenize

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
class Value:
    """A literal in an expression."""

    value: Any


@dataclass(frozen=True, slots=True)
class Call:
    """A function call in an expression."""

    name: str
    arguments: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A property or an element: `of.name`, `of[key]`."""

    of: "Node"
    key: "Node"


Node = Value | Call | Part


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource that a deployment would create, with every expression replaced."""

    id: str
    type: str
    name: str
    body: Mapping[str, Any]
    depends: frozenset[str] = frozenset()


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


def parse(text: str) -> Node:
    """Return the tree of an expression without its brackets; raise BadTemplate."""
    tokens = tokenize(text)
    try:
        node, rest = _node(tokens)
    except IndexError:
        raise BadTemplate(f"[{text}] ends too early") from None
    if rest:
        raise BadTemplate(f"[{text}]: left over {rest[0][1]!r}")
    return node


def _node(tokens: Sequence[Token]) -> tuple[Node, Sequence[Token]]:
    (kind, head), *rest = tokens
    node: Node
    if kind == "value":
        node = Value(head)
    elif kind == "name" and rest[0] == ("mark", "("):
        arguments: list[Node] = []
        rest = rest[1:]
        while rest[0] != ("mark", ")"):
            if arguments:
                if rest[0] != ("mark", ","):
                    raise BadTemplate(f"a comma is missing before {rest[0][1]!r}")
                rest = rest[1:]
            argument, following = _node(rest)
            arguments.append(argument)
            rest = list(following)
        node, rest = Call(head, tuple(arguments)), rest[1:]
    else:
        raise BadTemplate(f"{head!r} is neither a value nor a call")
    while rest and rest[0] in (("mark", "."), ("mark", "[")):
        if rest[0] == ("mark", "."):
            if rest[1][0] != "name":
                raise BadTemplate(f"{rest[1][1]!r} is no property")
            node, rest = Part(node, Value(rest[1][1])), rest[2:]
            continue
        key, following = _node(rest[1:])
        if not following or following[0] != ("mark", "]"):
            raise BadTemplate("a bracket is missing")
        node, rest = Part(node, key), list(following[1:])
    return node, rest


def is_expression(text: Any) -> bool:
    """Return whether a JSON value is an expression and no plain text."""
    return (
        isinstance(text, str)
        and text.startswith("[")
        and text.endswith("]")
        and not text.startswith("[[")
    )


def expressions(tree: Any) -> Iterator[str]:
    """Yield every expression of a JSON tree without its brackets, keys included.

    A nested template is left out: its expressions see other parameters.
    """
    if is_expression(tree):
        yield tree[1:-1]
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from expressions(key)
            if key != "template":
                yield from expressions(value)
    elif isinstance(tree, list):
        for item in tree:
            yield from expressions(item)


def calls(node: Node) -> Iterator[Call]:
    """Yield every function call of an expression."""
    if isinstance(node, Call):
        yield node
        for argument in node.arguments:
            yield from calls(argument)
    elif isinstance(node, Part):
        yield from calls(node.of)
        yield from calls(node.key)


class Deployment:
    """A template deployed with parameters: its resources, those of nested templates, its outputs.

    Raises BadTemplate for whatever Azure would refuse before it creates the first resource: a
    missing, unknown or disallowed parameter, a wrong expression, a dependency on nothing, a circle.
    """

    def __init__(
        self,
        template: Mapping[str, Any],
        given: Mapping[str, Any] | None = None,
        *,
        surroundings: Surroundings | None = None,
    ) -> None:
        self.surroundings = surroundings or Surroundings()
        self._template = template
        self._scope = _Scope(template, given or {}, self.surroundings)
        self.parameters = self._scope.parameters
        self.resources: list[Resource] = []
        self.nested: list[Deployment] = []
        declared = {self._id(one): one for one in template["resources"]}
        if len(declared) != len(template["resources"]):
            raise BadTemplate("two resources have the same id")
        self.declared = frozenset(declared)
        waits = {name: self._depends(one) for name, one in declared.items()}
        for name in declared:
            _no_circle(name, waits)
        for name, one in declared.items():
            if self._scope.value(one.get("condition", True)):
                self._create(name, one, waits)
        self._scope.allowed = None
        self.outputs: dict[str, Any] = {
            name: self._scope.value(one["value"])
            for name, one in template.get("outputs", {}).items()
        }

    def everything(self) -> list[Resource]:
        """Return the resources of this template and of all that are nested in it."""
        return self.resources + [one for nest in self.nested for one in nest.everything()]

    def one(self, kind: str, ending: str = "") -> Resource:
        """Return the one resource of a type whose name ends so."""
        (found,) = [
            one for one in self.everything() if one.type == kind and one.name.endswith(ending)
        ]
        return found

    def _create(
        self, name: str, one: Mapping[str, Any], waits: Mapping[str, frozenset[str]]
    ) -> None:
        self._scope.allowed = (self.declared, _all_before(name, waits))
        given = one.get("properties", {})
        inner = given.get("template") if isinstance(given, Mapping) else None
        shown = dict(one)
        if inner is not None:
            shown["properties"] = {key: value for key, value in given.items() if key != "template"}
        body = self._scope.value(shown)
        self.resources.append(Resource(name, one["type"], body["name"], body, waits[name]))
        if inner is None:
            return
        if given.get("expressionEvaluationOptions") != {"scope": "inner"}:
            raise BadTemplate(f"{name}: a nested template has to be evaluated for itself")
        passed = {key: one["value"] for key, one in body["properties"]["parameters"].items()}
        self.nested.append(Deployment(inner, passed, surroundings=self.surroundings))

    def _id(self, one: Mapping[str, Any]) -> str:
        name = str(self._scope.value(one["name"]))
        prefix = self.surroundings.group_id
        if "scope" in one:
            prefix = str(self._scope.value(one["scope"]))
        return f"{prefix}/{_path(one['type'], *name.split('/'))}"

    def _depends(self, one: Mapping[str, Any]) -> frozenset[str]:
        targets = frozenset(self._scope.value(target) for target in one.get("dependsOn", ()))
        unknown = targets - self.declared
        if unknown:
            raise BadTemplate(f"{one['name']} depends on what is not there: {sorted(unknown)}")
        return targets


def _no_circle(name: str, waits: Mapping[str, frozenset[str]]) -> None:
    if name in _all_before(name, waits):
        raise BadTemplate(f"{name} waits for itself")


def _all_before(name: str, waits: Mapping[str, frozenset[str]]) -> frozenset[str]:
    before: set[str] = set()
    open_ends = list(waits[name])
    while open_ends:
        one = open_ends.pop()
        if one not in before:
            before.add(one)
            open_ends += waits[one]
    return frozenset(before)


def _path(kind: str, *names: str) -> str:
    provider, *types = kind.split("/")
    if len(types) != len(names):
        raise BadTemplate(f"{kind} has {len(types)} names, not {len(names)}")
    pairs = (f"{one}/{name}" for one, name in zip(types, names, strict=True))
    return f"providers/{provider}/{'/'.join(pairs)}"


class _Scope:
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
        return f"{prefix}/{_path(kind, *names)}"

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
    return value if isinstance(value, str) else json.dumps(value).capitalize()


def _below_subscription(kind: str, *names: str) -> str:
    return f"/subscriptions/{SUBSCRIPTION}/{_path(kind, *names)}"


_LAZY: Mapping[str, Callable[[_Scope, tuple[Node, ...]], Any]] = MappingProxyType(
    {
        "if": _Scope._if,
        "lambda": _Scope._lambda_of,
        "lambdaVariables": _Scope._lambda_variable,
        "parameters": _Scope._parameter,
        "variables": _Scope._variable,
        "resourceGroup": _Scope._resource_group,
        "environment": _Scope._environment,
        "resourceId": _Scope._resource_id,
        "reference": _Scope._reference,
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
