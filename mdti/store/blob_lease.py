"""Leases of the blob store, and what a write under one guarantees.

The lease of `key` is a blob lease on `.leases/<key>`, whose metadata numbers its holders.
A write under a lease

1. renews it at the service, which refuses a holder that was replaced,
2. reads the target's stamp, and refuses if a later holder has written there,
3. writes on condition that the target is still what was read in 2, leaving its own stamp.

So a holder that stalls at any point cannot undo what a later holder wrote. One thing is left: a
write that stalls between 1 and 3 for longer than the lease may land after the next holder has read
the key and before it writes there. A holder that must notice this passes `if_match`.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mdti.errors import LeaseLost, StoreError, WriteConflict
from mdti.store.azure_calls import condition, meaning
from mdti.store.base import Lease

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, BlobLeaseClient

GENERATION = "mdtigeneration"
BORN = "mdtiborn"
_LEASE = "mdtilease"


class BlobLease:
    """A lease of a `BlobStore`; each holder has a higher `generation` than the one before."""

    def __init__(
        self,
        blob: "BlobClient",
        holder: "BlobLeaseClient",
        key: str,
        *,
        born: str,
        generation: int,
    ) -> None:
        self.key = key
        self.generation = generation
        # A lease that was deleted counts from 1 again; its stamps of before are another's then.
        self.stamp = {_LEASE: f"{key} {born}", GENERATION: str(generation)}
        self._blob = blob
        self._holder = holder
        self._released = False

    def renew(self) -> None:
        """Hold the lease for its whole term again."""
        self._refuse_released()
        with meaning("renew the lease", self.key):
            self._holder.renew()

    def check(self) -> None:
        """Raise LeaseLost unless the lease is held at this moment."""
        self._refuse_released()
        with meaning("check the lease", self.key):
            self._blob.get_blob_properties(lease=self._holder)

    def release(self) -> None:
        """Give the lease back."""
        if self._released:
            return
        self._released = True
        with suppress(LeaseLost), meaning("release the lease", self.key):
            self._holder.release()

    def fence(self, blob: "BlobClient") -> str | None:
        """Return the ETag that the blob has, None when absent; LeaseLost when we are late."""
        from azure.core.exceptions import ResourceNotFoundError

        try:
            known = blob.get_blob_properties()
        except ResourceNotFoundError:
            return None
        self._compare(known.metadata)
        return str(known.etag)

    def fence_append(self, blob: "BlobClient") -> dict[str, Any]:
        """Return the condition of an append; an older stamp is first replaced by ours.

        An append cannot carry metadata. Replacing the stamp changes the ETag, which refuses an
        append of the holder before us that is still on its way.
        """
        from azure.core.exceptions import ResourceNotFoundError

        try:
            known = blob.get_blob_properties()
        except ResourceNotFoundError:
            made = blob.create_append_blob(metadata=self.stamp, **condition(None, True))
            return condition(str(made["etag"]), False)
        self._compare(known.metadata)
        etag = str(known.etag)
        if known.metadata != self.stamp:
            etag = str(blob.set_blob_metadata(self.stamp, **condition(etag, False))["etag"])
        return condition(etag, False)

    def _refuse_released(self) -> None:
        # The service would revive a released lease that nobody has taken since.
        if self._released:
            raise LeaseLost(f"the lease {self.key} was given back")

    def _compare(self, stamp: dict[str, str]) -> None:
        same_lease = stamp.get(_LEASE) == self.stamp[_LEASE]
        if same_lease and int(stamp[GENERATION]) > self.generation:
            raise LeaseLost(f"a later holder of the lease {self.key} has written here")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # The term ends by itself; the error of the body matters more than one of giving back.
        with suppress(StoreError):
            self.release()


@contextmanager
def under(lease: Lease | None) -> Iterator[BlobLease | None]:
    """Renew the lease, and tell a lost lease from another conflict when the write is refused."""
    if lease is None:
        yield None
        return
    if not isinstance(lease, BlobLease):
        raise TypeError("a lease of another store")
    lease.renew()
    try:
        yield lease
    except WriteConflict:
        lease.check()
        raise
