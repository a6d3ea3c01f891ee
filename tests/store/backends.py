"""The stores under test, and what only time or an operator can do to their leases."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from azure.storage.blob import BlobClient, BlobLeaseClient

from mdti.store.base import Store
from mdti.store.blob import BlobStore
from mdti.store.files import FileStore
from tests.azurite.server import Azurite

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class Clock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **amount: float) -> None:
        self.now += timedelta(**amount)


class Backend(Protocol):
    store: Store

    def another(self) -> Store:
        """Open the same state again, as another process would."""

    def end_term(self, key: str) -> None:
        """Let the term of a lease end, without its holder knowing."""

    def close(self) -> None: ...


class FileBackend:
    def __init__(self, root: Path) -> None:
        self.clock = Clock()
        self.root = root
        self.store: Store = self.another()

    def another(self) -> Store:
        return FileStore(self.root, clock=self.clock)

    def end_term(self, key: str) -> None:
        self.clock.forward(seconds=60)

    def close(self) -> None:
        self.store.close()


class BlobBackend:
    def __init__(self, server: Azurite, container: str) -> None:
        self._server = server
        self._container = container
        self._opened: list[BlobStore] = []
        self.store: Store = self.another()

    def another(self) -> Store:
        made = BlobStore.from_connection_string(
            self._server.connection_string, container=self._container
        )
        self._opened.append(made)
        return made

    def end_term(self, key: str) -> None:
        # The service's clock cannot be moved; breaking the lease at once ends it as well.
        with BlobClient.from_connection_string(
            self._server.connection_string, self._container, f".leases/{key}"
        ) as blob:
            BlobLeaseClient(blob).break_lease(lease_break_period=0)

    def close(self) -> None:
        for store in self._opened:
            store.close()
