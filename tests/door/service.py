"""The function app on a port of this machine, with a sandbox behind it."""

import importlib.util
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import requests

from mdti.app import App
from mdti.sandbox import triggers
from mdti.sandbox.host import Sandbox
from mdti.sandbox.wire import Vendor
from mdti.serve import Server, serve

ROOT = Path(__file__).parents[2]
SEED = "telemetry-cache.example"
"""Nobody wrote about it; the server that it shares gives Paper Drizzle away."""

LATER = {"Prefer": "respond-async"}
_OURS = ("AZURE_", "AzureWebJobs", "IDENTITY_", "MSI_", "WEBSITE_", "MDTI_", "GRAPH_", "LOOKUP_")


def load() -> ModuleType:
    """Return the function app as a fresh process would import it."""
    spec = importlib.util.spec_from_file_location("fresh_function_app", ROOT / "function_app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Service:
    """Speaks to a served function app; `sandbox` and `app` are what stands behind it."""

    def __init__(self, module: ModuleType, server: Server, sandbox: Sandbox) -> None:
        self.module = module
        self.server = server
        self.sandbox = sandbox
        self.session = requests.Session()
        self.session.trust_env = False

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def app(self) -> App:
        app: App = self.module.door.routes.app
        return app

    def get(
        self, path: str, *, headers: Mapping[str, str] | None = None, **query: str | int
    ) -> requests.Response:
        return self.session.get(f"{self.url}{path}", params=query, headers=headers, timeout=30)

    def post(
        self, path: str, document: object, *, headers: Mapping[str, str] | None = None
    ) -> requests.Response:
        return self.session.post(f"{self.url}{path}", json=document, headers=headers, timeout=30)

    def send(self, path: str, body: bytes) -> requests.Response:
        return self.session.post(f"{self.url}{path}", data=body, timeout=30)

    def incident(self, name: str) -> dict[str, Any]:
        return triggers.incident(name, self.sandbox.world.now)

    def settle(self) -> None:
        assert self.server.wait_until_idle(30)


@contextmanager
def running(
    state: Path,
    settings: Mapping[str, str] | None = None,
    *,
    sleep: Callable[[float], object] | None = None,
    vendors: Callable[[Sandbox], Iterable[Vendor]] | None = None,
) -> Iterator[Service]:
    """Serve a fresh function app over a fresh sandbox; `settings` win over the sandbox's.

    `vendors` are those of the sandbox beyond identity and Graph.

    `sleep` is how the sandbox waits when a fault says so.
    """
    with ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox(sleep=sleep, vendors=vendors))
        before = dict(os.environ)
        stack.callback(_restore, before)
        for name in [name for name in before if name.startswith(_OURS)]:
            del os.environ[name]
        os.environ.update(sandbox.environment())
        os.environ.update({"MDTI_STATE_DIR": str(state), **(settings or {})})
        module = load()
        stack.callback(module.door.close)
        server = stack.enter_context(serve(module.app.get_functions(), port=0))
        service = Service(module, server, sandbox)
        stack.enter_context(service.session)
        yield service


def _restore(environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
