"""The workflows of the playbooks as a deployment would store them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.arm.deployment import Deployment
from tests.arm.scope import Surroundings

GROUP = "rg-playbooks"


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


def deploy(template: Mapping[str, Any], given: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the resources that a deployment with these parameters would create.

    Those whose condition is false are left out; those of nested deployments follow theirs. Raises
    `BadTemplate`, also for a missing, unknown or disallowed parameter.
    """
    made = Deployment(template, given, surroundings=Surroundings(group=GROUP))
    return [resource.body for resource in made.everything()]


def workflow_of(template: Mapping[str, Any], given: Mapping[str, Any]) -> Workflow:
    """Return the one workflow that a deployment with these parameters would create."""
    (found,) = [
        resource
        for resource in deploy(template, given)
        if resource["type"] == "Microsoft.Logic/workflows"
    ]
    return Workflow(found)
