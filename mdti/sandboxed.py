"""An app without a cloud account: a sandbox beside it, and state that is gone afterwards."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from mdti.sandbox.host import Sandbox

_STORAGE = "AzureWebJobsStorage"


@contextmanager
def sandboxed(*, feeds: bool = False) -> Iterator[Sandbox]:
    """Serve a sandbox and point this process at it, with state in a temporary folder.

    `feeds` adds the vendors of the feeds, each with a few indicators.

    The process's own environment is changed and given back, because `azure-identity` reads the
    endpoint of a managed identity from there; a real storage account is out of sight meanwhile.
    """
    from mdti.sandbox.feeds import vendors

    with (
        Sandbox(vendors=vendors if feeds else None) as sandbox,
        tempfile.TemporaryDirectory(prefix="mdti-") as state,
        _environment({**sandbox.environment(), "MDTI_STATE_DIR": state}),
    ):
        yield sandbox


@contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    for name in [name for name in before if name.startswith(_STORAGE)]:
        del os.environ[name]
    os.environ.update(settings)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
