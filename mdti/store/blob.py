"""The state store in one container of Azure Blob Storage.

`azure.storage.blob` is imported when a store is made, not with this module. Each request waits at
most 2 s for a connection and 5 s for an answer, and reads are repeated once after a second or two:
an operation of one request ends within 16 s. Conditional writes and appends are never repeated:
after a lost answer the second try would meet the first one.
"""

import base64
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit
from uuid import uuid4

from mdti.errors import LeaseLost, SettingError, WriteConflict
from mdti.store.azure_calls import ONCE, SETTING, condition, error_code, free_connection, meaning
from mdti.store.base import (
    Lease,
    Stored,
    check_append,
    check_key,
    check_prefix,
    check_seconds,
    check_write,
)
from mdti.store.blob_lease import BORN, GENERATION, BlobLease, under

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.storage.blob import BlobClient, BlobServiceClient, ContainerClient

_CHUNK = 4 * 1024 * 1024
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_SERVICE_URI = re.compile(r"https://[a-z0-9.-]+(?::\d+)?(?:/[a-z0-9]*)?")
_ACCOUNT_KEY = re.compile(r"AccountKey=([^;]*)", re.IGNORECASE)
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class BlobStore:
    """State in blobs below `container`, which is made on first use.

    ETags are the service's own: every write gives another one. Make it with
    `from_connection_string` or `from_identity`.
    """

    def __init__(self, service: "BlobServiceClient", *, container: str = "mdti") -> None:
        self._service = service
        self._name = container
        self._ready = False

    @classmethod
    def from_connection_string(cls, connection: str, *, container: str = "mdti") -> Self:
        """Use `AzureWebJobsStorage` as a connection string with an account key.

        Raises SettingError, without the value, when it is not one, names a shared access signature
        (it would be part of every URL) or plain HTTP to another machine.
        """
        from azure.storage.blob import BlobServiceClient

        if "sharedaccesssignature" in connection.lower():
            raise SettingError(
                f"{SETTING} holds a shared access signature.",
                hint=f"Use an identity ({SETTING}__accountName) or an account key.",
            )
        try:
            for key in _ACCOUNT_KEY.findall(connection):
                base64.b64decode(key, validate=True)
            service = BlobServiceClient.from_connection_string(connection, **_options(connection))
        except ValueError:
            # The text of the error may repeat a part of the value.
            raise SettingError(f"{SETTING} is not a storage connection string.") from None
        _check_endpoint(SETTING, service.url)
        return cls(service, container=container)

    @classmethod
    def from_identity(
        cls,
        credential: "TokenCredential",
        *,
        account_name: str | None = None,
        service_uri: str | None = None,
        container: str = "mdti",
    ) -> Self:
        """Use `AzureWebJobsStorage__blobServiceUri`, else `__accountName`, with an identity.

        Raises SettingError when neither names an https endpoint.
        """
        from azure.storage.blob import BlobServiceClient

        if service_uri is None:
            if not _ACCOUNT.fullmatch(account_name or ""):
                raise SettingError(f"{SETTING}__accountName is not a storage account's name.")
            service_uri = f"https://{account_name}.blob.core.windows.net"
        if not _SERVICE_URI.fullmatch(service_uri):
            raise SettingError(f"{SETTING}__blobServiceUri is not an https URL.")
        return cls(
            BlobServiceClient(service_uri, credential=credential, **_options(service_uri)),
            container=container,
        )

    def read(self, key: str) -> Stored | None:
        """Return what is stored under the key, or None."""
        from azure.core.exceptions import ResourceNotFoundError

        with meaning("read", key):
            try:
                download = self._blob(key).download_blob(raw_response_hook=free_connection)
                return Stored(download.readall(), str(download.properties.etag))
            except ResourceNotFoundError:
                return None

    def write(
        self,
        key: str,
        body: bytes,
        *,
        if_match: str | None = None,
        if_absent: bool = False,
        lease: Lease | None = None,
    ) -> str:
        """Store the bytes and return the new ETag; WriteConflict or LeaseLost when refused."""
        check_write(if_match, if_absent)
        blob = self._blob(key)
        options = condition(if_match, if_absent)
        with under(lease) as held, meaning("write", key):
            if held is not None:
                seen = held.fence(blob)
                options = (options or condition(seen, seen is None)) | {"metadata": held.stamp}
            answer = blob.upload_blob(body, overwrite=True, **options)
        return str(answer["etag"])

    def append(self, key: str, body: bytes, *, lease: Lease | None = None) -> None:
        """Add the bytes at the end, all or nothing."""
        from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

        check_append(body)
        blob = self._blob(key)
        with under(lease) as held, meaning("append to", key):
            options: dict[str, Any] = dict(ONCE)
            if held is not None:
                options = held.fence_append(blob)
            try:
                blob.append_block(body, **options)
            except ResourceNotFoundError:
                with suppress(ResourceExistsError):
                    blob.create_append_blob(**condition(None, True))
                blob.append_block(body, **ONCE)

    def list_(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with the prefix, sorted."""
        check_prefix(prefix)
        container = self._container()
        with meaning("list", prefix):
            for name in container.list_blob_names(name_starts_with=prefix or None):
                if not name.startswith("."):
                    yield name

    def delete(self, key: str, *, if_match: str | None = None, lease: Lease | None = None) -> None:
        """Remove the key and its unheld lease."""
        from azure.core.exceptions import ResourceNotFoundError

        blob = self._blob(key)
        options = condition(if_match, False)
        with under(lease) as held, meaning("delete", key):
            try:
                seen = held.fence(blob) if held is not None else None
                options = options or condition(seen, False)
                blob.delete_blob(**options)
            except ResourceNotFoundError:
                if if_match is not None:
                    raise WriteConflict(f"{key} is not what was read before") from None
        with (
            suppress(LeaseLost),
            meaning("delete the lease of", key),
            suppress(ResourceNotFoundError),
        ):
            self._lease_blob(key).delete_blob(**ONCE)

    def lease(self, key: str, *, seconds: int = 60) -> "BlobLease":
        """Take the lease; LeaseLost while somebody else holds it."""
        from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
        from azure.storage.blob import BlobLeaseClient

        check_key(key)
        check_seconds(seconds)
        blob = self._lease_blob(key)
        holder = BlobLeaseClient(blob)
        with meaning("take the lease", key):
            try:
                holder.acquire(lease_duration=seconds)
            except ResourceNotFoundError:
                with suppress(ResourceExistsError):
                    first = {BORN: str(uuid4()), GENERATION: "0"}
                    blob.upload_blob(b"", metadata=first, **condition(None, True))
                holder.acquire(lease_duration=seconds)
            known = blob.get_blob_properties(lease=holder).metadata
            generation = int(known[GENERATION]) + 1
            blob.set_blob_metadata(known | {GENERATION: str(generation)}, lease=holder)
        return BlobLease(blob, holder, key, born=known[BORN], generation=generation)

    def close(self) -> None:
        """Close the connections."""
        self._service.close()

    def _blob(self, key: str) -> "BlobClient":
        check_key(key)
        return self._container().get_blob_client(key)

    def _lease_blob(self, key: str) -> "BlobClient":
        return self._container().get_blob_client(f".leases/{key}")

    def _container(self) -> "ContainerClient":
        from azure.core.exceptions import ResourceExistsError

        container = self._service.get_container_client(self._name)
        if self._ready:
            return container
        with meaning("make the container", self._name):
            try:
                container.create_container()
            except ResourceExistsError as error:
                if error_code(error) != "ContainerAlreadyExists":
                    raise
            self._ready = True
        return container


def _options(endpoint: str) -> dict[str, Any]:
    from azure.storage.blob import LinearRetry

    return {
        "connection_timeout": 2,
        "read_timeout": 5,
        # An emulator on this machine is not reached through a proxy.
        "use_env_settings": "http://" not in endpoint,
        "retry_policy": LinearRetry(backoff=1, retry_total=1, random_jitter_range=1),
        "max_single_put_size": _CHUNK,
        "max_block_size": _CHUNK,
        "max_single_get_size": _CHUNK,
        "max_chunk_get_size": _CHUNK,
    }


def _check_endpoint(setting: str, url: str) -> None:
    address = urlsplit(url)
    if address.scheme != "https" and address.hostname not in _LOOPBACK:
        raise SettingError(f"{setting} names plain http; only https leaves this machine.")
