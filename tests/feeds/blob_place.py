"""A place whose state is in blobs, where every request that changes something is numbered."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import requests
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import BlobLeaseClient, BlobServiceClient

from mdti.store.base import Store
from mdti.store.blob import BlobStore
from mdti.store.files import FileStore
from tests.azurite.server import Azurite
from tests.feeds.crashes import Places, Stage
from tests.feeds.effects import Effects
from tests.feeds.fakes import Place

_ACTIONS = {"acquire": "lease", "release": "release", "metadata": "stamp", "appendblock": "block"}


class _Numbered(RequestsTransport):  # type: ignore[misc]
    """Sends the requests of one process; when that has ended, none.

    The renewal of a lease is not numbered: no state hangs on it, and a write follows it at once.
    """

    def __init__(self, session: requests.Session, effects: Effects) -> None:
        super().__init__(session=session, session_owner=False)
        self._effects = effects

    def send(self, request: Any, **options: Any) -> Any:
        send, name, effects = super().send, _name(request), self._effects
        effects.live()
        if name is None:
            return send(request, **options)
        answer = effects.of(name, lambda: send(request, **options))
        if answer.status_code >= 400 and name in effects.done:
            effects.done.remove(name)
        return answer


def _name(request: Any) -> str | None:
    """Return what a request does and to which key, None when it changes nothing.

    Creating a journal, its blocks and stamps are not called writes: those that were on their way
    when their process stood still may land, in an epoch that nobody reads.
    """
    address = urlsplit(request.url)
    _, _, _, *path = address.path.split("/")
    key = "/".join(path).removeprefix(".leases/")
    if request.method == "DELETE":
        return f"delete {key}"
    if request.method != "PUT" or not key:
        return None
    action = request.headers.get("x-ms-lease-action")
    part = action or parse_qs(address.query).get("comp", [""])[0]
    if part in ("renew", "break"):
        return None
    kind = "create" if "/journal/" in key or path[0] == ".leases" else "write"
    return f"{_ACTIONS.get(part, kind)} {key}"


class BlobPlace(Place):
    """A place in a container of its own.

    The clock of the service cannot be moved; a lease ends by being broken.
    """

    def __init__(self, server: Azurite, session: requests.Session) -> None:
        super().__init__(Path())
        self._server, self._session = server, session
        self._container = f"crash-{uuid4()}"

    def store(self) -> Store:
        return BlobStore(self._service(self.effects), container=self._container)

    def restart(self) -> None:
        super().restart()
        container = self._service(Effects()).get_container_client(self._container)
        for name in container.list_blob_names(name_starts_with=".leases/"):
            with suppress(HttpResponseError):
                lease = BlobLeaseClient(container.get_blob_client(name))
                lease.break_lease(lease_break_period=0)

    def fill(self, root: Path) -> None:
        """Copy the state of a place in files."""
        files, blobs = FileStore(root, clock=self.time.now), self.store()
        for key in files.list_(""):
            stored = files.read(key)
            assert stored is not None
            if "/journal/" in key:
                blobs.append(key, stored.body)
            else:
                blobs.write(key, stored.body)
        self.effects = Effects()

    def _service(self, effects: Effects) -> BlobServiceClient:
        return BlobServiceClient.from_connection_string(
            self._server.connection_string, transport=_Numbered(self._session, effects)
        )


@contextmanager
def containers(stage: Stage, server: Azurite) -> Iterator[Places]:
    """Give places in containers, each with a copy of the stage's state."""

    def copied() -> BlobPlace:
        place = BlobPlace(server, session)
        place.terms = stage.first.place.terms
        place.fill(stage.first.place.root)
        return place

    with requests.Session() as session:
        session.trust_env = False
        yield copied
