"""Evaluates a template as Azure Resource Manager would, as far as ours go, and without Azure.

Every parameter, condition, name, dependency and property is evaluated. A function, a parameter or a
resource that is not known is an error. `reference` is only answered to a resource that has said in
`dependsOn` that it waits for the one it asks about.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.arm.scope import Scope, Surroundings, path_of
from tests.arm.template import BadTemplate


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource that a deployment would create, with every expression replaced."""

    id: str
    type: str
    name: str
    body: Mapping[str, Any]
    depends: frozenset[str] = frozenset()


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
        self._scope = Scope(template, given or {}, self.surroundings)
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
        return f"{prefix}/{path_of(one['type'], *name.split('/'))}"

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
