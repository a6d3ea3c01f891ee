"""The function app on this machine, called as the playbooks' identity calls it behind Easy Auth."""

import importlib.util
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from mdti.serve import Server, serve

PRINCIPAL_ID = "5a7d0b0e-0000-4000-8000-00000000a003"
"""Object id of the playbooks' identity, which the app admits."""

CALLER_HEADERS = {"X-MS-CLIENT-PRINCIPAL-ID": PRINCIPAL_ID}
"""What Easy Auth adds for that identity once it has checked its token."""

EASY_AUTH = {"WEBSITE_AUTH_ENABLED": "true", "MDTI_ALLOWED_CALLERS": PRINCIPAL_ID}
_SOURCE = Path(__file__).parents[2] / "function_app.py"
_STORAGE = "AzureWebJobsStorage"


@contextmanager
def function_app(settings: Mapping[str, str]) -> Iterator[Server]:
    """Serve the function app with these app settings; the environment is given back afterwards."""
    before = dict(os.environ)
    for name in [name for name in before if name.startswith(_STORAGE)]:
        del os.environ[name]
    os.environ.update({**EASY_AUTH, **settings})
    try:
        module = fresh_function_app()
        try:
            with serve(module.app.get_functions(), port=0) as server:
                yield server
        finally:
            module.door.close()
    finally:
        os.environ.clear()
        os.environ.update(before)


def fresh_function_app() -> ModuleType:
    """Return a copy of the app's module that has read today's settings, not an earlier test's."""
    spec = importlib.util.spec_from_file_location("function_app_of_the_playbook", _SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
