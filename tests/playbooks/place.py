"""Where the incident playbook is played: the sandbox's Sentinel and Copilot, and a function app.

The template is deployed as a user would deploy it; only then its addresses are turned to loopback.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mdti.sandbox.copilot import Copilot
from mdti.sandbox.host import Sandbox
from mdti.sandbox.incidents import PLAYBOOK_CLIENT_ID, Incident, Incidents
from mdti.sandbox.sentinel import Arm, Connector
from tests.arm.scope import SUBSCRIPTION
from tests.arm.template import load
from tests.playbooks.deployed import GROUP, Workflow, workflow_of
from tests.playbooks.engine import Engine
from tests.playbooks.history import Run
from tests.playbooks.runner import Runner
from tests.playbooks.wire import Clock

FOLDER = Path(__file__).parents[2] / "logicapps" / "incident-actor-brief"
IDENTITY = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/"
    "Microsoft.ManagedIdentity/userAssignedIdentities/mdti-playbooks"
)
AUDIENCE = "api://5a7d0b0e-0000-4000-8000-00000000b001"
REQUIRED = {
    "IdentityResourceId": IDENTITY,
    "FunctionBaseUrl": "https://mdti.example",
    "FunctionAudience": AUDIENCE,
}
"""What the template asks for, as a deployment would give it."""


class Place:
    """A sandbox with Sentinel and Copilot; `with place.sandbox` serves it.

    `function` is the address of a function app; `caller_headers` are what its platform adds for
    the playbooks' identity once it has checked its token.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        function: str,
        caller_headers: Mapping[str, str] | None = None,
    ) -> None:
        self._engine = engine
        self._caller_headers = caller_headers or {}
        self.function = function
        self.incidents = Incidents()
        self.copilot = Copilot()
        self.client_id = PLAYBOOK_CLIENT_ID
        self.asked_for: list[str] = []
        self.runs = 0
        self.sandbox = Sandbox(vendors=self._vendors)

    def play(
        self,
        incident: Incident,
        *,
        template: str = "azuredeploy.json",
        entities: bool = True,
        before: Mapping[str, Callable[[], None]] | None = None,
        clock: Clock | None = None,
        **parameters: Any,
    ) -> Run:
        """Deploy the template with these parameters and run it for an incident."""
        self.runs += 1
        workflow = self.workflow(template, **parameters)
        values = {
            **workflow.parameters,
            "FunctionBaseUrl": self.function,
            "ResourceManager": self.sandbox.vendor_url("arm"),
        }
        runner = Runner(
            self._engine,
            workflow.definition,
            parameters=values,
            connectors={
                "azuresentinel": self.sandbox.vendor_url("sentinel"),
                "securitycopilot": self.sandbox.vendor_url("copilot"),
            },
            authenticate=self._authenticate,
            before=before,
            run_name=f"0858400000000000000000{self.runs:07}CU00",
            clock=clock,
        )
        return runner.run(self.incidents.trigger_body(incident, entities=entities))

    def workflow(self, template: str = "azuredeploy.json", **parameters: Any) -> Workflow:
        """Return the workflow that a deployment with these parameters creates."""
        return workflow_of(load(FOLDER / template), REQUIRED | parameters)

    def _vendors(self, sandbox: Sandbox) -> tuple[Arm, Connector, Copilot]:
        self.arm = Arm(self.incidents, sandbox.tokens)
        self.connector = Connector(self.incidents, sandbox.tokens)
        return self.arm, self.connector, self.copilot

    def _authenticate(self, authentication: Mapping[str, Any], url: str) -> Mapping[str, str]:
        """Return the headers that Logic Apps and the called platform make of an identity."""
        if not authentication:
            return {}
        assert authentication["type"] == "ManagedServiceIdentity"
        assert authentication["identity"] == IDENTITY
        audience = authentication.get("audience", "https://management.azure.com/")
        self.asked_for.append(audience)
        if audience == AUDIENCE:
            assert url.startswith(self.function)
            return self._caller_headers
        arm = self.sandbox.vendor_url("arm")
        # The workflow names the cloud's resource manager, which is the sandbox's here.
        audience = audience.replace(arm, "https://management.azure.com")
        token, _ = self.sandbox.tokens.issue(audience, (), client_id=self.client_id)
        return {"Authorization": f"Bearer {token}"}
