"""What only storage in the cloud can do wrong: identities, refusals, silence, stalled writers."""

import base64
import ipaddress
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import run
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mdti.errors import LeaseLost, SettingError, StoreError, WriteConflict
from mdti.store.blob import BlobStore
from mdti.store.blob_lease import BlobLease, under
from tests.azurite.server import Azurite, missing, new_key, running
from tests.store.backends import BlobBackend

_SCOPE = "https://storage.azure.com/.default"


class Identity:
    """Gives tokens of the shape that Entra ID gives for storage; Azurite reads their claims."""

    def __init__(self, *, audience: str = "https://storage.azure.com") -> None:
        self.scopes: list[str] = []
        self._audience = audience

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.scopes += scopes
        now = int(time.time())
        claims = {
            "aud": self._audience,
            "iss": "https://sts.windows.net/00000000-0000-4000-8000-000000000000/",
            "nbf": now - 60,
            "iat": now - 60,
            "exp": now + 3600,
        }
        parts = [{"alg": "RS256", "typ": "JWT"}, claims, {"no": "signature"}]
        token = ".".join(
            base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
            for part in parts
        )
        return AccessToken(token, now + 3600)


class NoIdentity:
    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        raise ClientAuthenticationError("endpoint said: header=hunter2")


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library waits about a second before it reads again."""
    monkeypatch.setattr(time, "sleep", lambda _: None)


@pytest.fixture(scope="module")
def https(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Azurite, Path]]:
    """An Azurite that takes tokens, and the certificate to trust."""
    if reason := missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("azurite-https")
    certificate, key = certificate_for_loopback(folder)
    options = ("--oauth", "basic", "--cert", str(certificate), "--key", str(key))
    with running(folder, *options) as server:
        yield server, certificate


def certificate_for_loopback(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate, private


def test_an_identity_needs_no_key(
    https: tuple[Azurite, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, certificate = https
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    identity = Identity()
    store = BlobStore.from_identity(identity, service_uri=server.service_uri)

    with store.lease("feed") as lease:
        store.write("state", b"1", lease=lease)
    stored = store.read("state")
    store.close()

    assert stored is not None
    assert stored.body == b"1"
    assert set(identity.scopes) == {_SCOPE}


def test_a_certificate_that_nobody_signed_is_refused(https: tuple[Azurite, Path]) -> None:
    server, _ = https
    store = BlobStore.from_identity(Identity(), service_uri=server.service_uri)

    with pytest.raises(StoreError, match="did not answer"):
        store.read("state")
    store.close()


def test_an_identity_that_storage_refuses_is_told_which_role_it_needs(
    https: tuple[Azurite, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, certificate = https
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    identity = Identity(audience="https://graph.microsoft.com")
    store = BlobStore.from_identity(identity, service_uri=server.service_uri)

    with pytest.raises(StoreError, match=r"40[13]") as caught:
        store.read("state")
    store.close()
    assert "Storage Blob Data Owner" in (caught.value.hint or "")


def test_an_identity_without_a_token_is_named_without_its_words() -> None:
    store = BlobStore.from_identity(NoIdentity(), account_name="mdtitest")

    with pytest.raises(StoreError, match="no token") as caught:
        store.read("state")
    store.close()
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"
    assert caught.value.__suppress_context__


def test_a_wrong_key_is_refused_without_showing_it(azurite: Azurite) -> None:
    key = new_key()
    store = BlobStore.from_connection_string(azurite.connection_string_with(key))

    for act in (lambda: store.read("a"), lambda: store.write("a", b""), lambda: store.lease("a")):
        with pytest.raises(StoreError, match="403") as caught:
            act()
        assert key not in f"{caught.value!r} {caught.value.hint}"
        assert "Storage Blob Data Owner" in (caught.value.hint or "")
    store.close()
    assert key not in repr(store)


@pytest.mark.parametrize(
    "connection",
    [
        "",
        "nonsense-hunter2",
        "AccountName=a;AccountKey=hunter2",
        "BlobEndpoint=https://a.blob.core.windows.net;SharedAccessSignature=sv=1&sig=hunter2",
        "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=aHVudGVyMg==;"
        "EndpointSuffix=core.windows.net",
        "AccountName=a;AccountKey=aHVudGVyMg==;BlobEndpoint=http://192.0.2.1/a",
    ],
)
def test_a_wrong_connection_string_is_named_and_not_shown(connection: str) -> None:
    with pytest.raises(SettingError, match="AzureWebJobsStorage") as caught:
        BlobStore.from_connection_string(connection).read("a")
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"account_name": "a.evil.example/"},
        {"account_name": "@Microsoft.KeyVault(x)"},
        {"service_uri": "http://mdtitest.blob.core.windows.net"},
        {"service_uri": "https://mdtitest.blob.core.windows.net/?sig=hunter2"},
        {"service_uri": "mdtitest"},
        {"service_uri": "https://["},
    ],
)
def test_an_endpoint_that_is_none_is_named_before_a_token_leaves(wrong: dict[str, str]) -> None:
    identity = Identity()
    with pytest.raises(SettingError, match="AzureWebJobsStorage__"):
        BlobStore.from_identity(identity, **wrong)
    assert identity.scopes == []


def test_an_endpoint_where_nobody_listens_is_a_store_error_within_seconds() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        store = BlobStore.from_connection_string(Azurite(f"http://127.0.0.1:{port}", new_key())
                                                 .connection_string)  # fmt: skip
        began = time.monotonic()
        with pytest.raises(StoreError, match="did not answer"):
            store.read("a")
    store.close()
    assert time.monotonic() - began < 10


class Halting(BaseHTTPRequestHandler):
    """Storage that has the container, and answers everything else with 503."""

    requests: list[str]

    def do_GET(self) -> None:
        self.requests.append(self.path)
        self.send_response(503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_PUT(self) -> None:
        if "restype=container" not in self.path:
            self.do_GET()
            return
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


def test_conditional_writes_and_appends_are_sent_once_and_reads_twice() -> None:
    sent: list[str] = []
    handler = type("Handler", (Halting,), {"requests": sent})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    store = BlobStore.from_connection_string(Azurite(address, new_key()).connection_string)
    try:
        for act in (
            lambda: store.write("a", b"", if_absent=True),
            lambda: store.write("a", b"", if_match='"1"'),
            lambda: store.append("a", b"1"),
        ):
            sent.clear()
            with pytest.raises(StoreError, match="503") as caught:
                act()
            assert not isinstance(caught.value, WriteConflict)
            assert len(sent) == 1
        sent.clear()
        with pytest.raises(StoreError, match="503"):
            store.read("a")
        assert len(sent) == 2
    finally:
        store.close()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def backend(azurite: Azurite) -> Iterator[BlobBackend]:
    made = BlobBackend(azurite, f"fence-{time.monotonic_ns()}")
    yield made
    made.close()


def test_a_write_that_stalled_after_its_check_cannot_undo_the_next_holders(
    backend: BlobBackend,
) -> None:
    store = backend.another()
    assert isinstance(store, BlobStore)
    store.write("state", b"old")
    stalled = store.lease("feed")

    def write_slowly() -> None:
        with under(stalled) as held:
            assert held is not None
            seen = held.fence(store._blob("state"))
            backend.end_term("feed")
            with backend.another().lease("feed") as fresh:
                backend.store.write("state", b"new", lease=fresh)
            store.write("state", b"stalled", if_match=seen)

    with pytest.raises(LeaseLost):
        write_slowly()

    stored = store.read("state")
    assert stored is not None
    assert stored.body == b"new"


def test_an_append_that_stalled_after_its_check_cannot_follow_the_next_holders(
    backend: BlobBackend,
) -> None:
    from azure.core.exceptions import ResourceModifiedError

    store = backend.another()
    assert isinstance(store, BlobStore)
    stalled = store.lease("feed")
    store.append("journal", b"1", lease=stalled)
    blob = store._blob("journal")
    condition = stalled.fence_append(blob)
    backend.end_term("feed")
    with backend.another().lease("feed") as fresh:
        backend.store.append("journal", b"2", lease=fresh)
        with pytest.raises(ResourceModifiedError):
            blob.append_block(b"stalled", **condition)

    stored = store.read("journal")
    assert stored is not None
    assert stored.body == b"12"


def test_a_late_holder_is_refused_by_the_stamp_alone(backend: BlobBackend) -> None:
    store = backend.another()
    assert isinstance(store, BlobStore)
    early = store.lease("feed")
    early.release()
    with store.lease("feed") as later:
        store.write("state", b"new", lease=later)

    assert isinstance(early, BlobLease)
    with pytest.raises(LeaseLost, match="later holder"):
        early.fence(store._blob("state"))


def test_a_lease_that_was_deleted_and_made_anew_is_not_held_back_by_old_stamps(
    backend: BlobBackend,
) -> None:
    store = backend.store
    for _ in range(3):
        with store.lease("feed") as lease:
            store.write("state", b"old", lease=lease)
    store.delete("feed")

    with store.lease("feed") as lease:
        store.write("state", b"new", lease=lease)

    stored = store.read("state")
    assert stored is not None
    assert stored.body == b"new"


def test_making_a_store_is_what_loads_the_storage_library() -> None:
    code = "import sys, mdti.store.blob, mdti.jobs; print('azure.storage.blob' in sys.modules)"
    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
