import base64
import json
import logging
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdti.credentials import Identity
from mdti.errors import IdentityError, SettingError
from tests.net.certificates import certificate
from tests.net.rude import Clock, Raw, Rude, Seen, reply, rude

GRAPH = "https://graph.microsoft.com/.default"
ARM = "https://management.azure.com/.default"
CLIENT = "11111111-2222-3333-4444-555555555555"
HEADER = "s3cret-identity-header"
SECRET = {"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_CLIENT_SECRET": "s3cret"}
CERTIFICATE = {
    "AZURE_TENANT_ID": "t",
    "AZURE_CLIENT_ID": "c",
    "AZURE_CLIENT_CERTIFICATE_PATH": "/nowhere/cert.pem",
}
ON_AZURE = {"IDENTITY_ENDPOINT": "http://127.0.0.1:1/msi/token", "IDENTITY_HEADER": HEADER}


class Endpoint:
    """An App Service identity endpoint that numbers its tokens."""

    def __init__(self, lifetime: int = 86_400) -> None:
        self.lifetime = lifetime
        self.given = 0
        self.lock = threading.Lock()

    def __call__(self, seen: Seen) -> Raw:
        if seen.headers.get("x-identity-header") != HEADER:
            return reply({"statusCode": 401, "message": "who are you"}, status=401)
        with self.lock:
            self.given += 1
            number = self.given
        resource = parse_qs(urlsplit(seen.path).query)["resource"][0]
        return reply(
            {
                "access_token": f"s3cret-token-{number}",
                "expires_on": str(2_000_000_000 + self.lifetime),
                "resource": resource,
                "token_type": "Bearer",
                "client_id": CLIENT,
            }
        )


@contextmanager
def on_azure(
    handler: Callable[[Seen], Raw], monkeypatch: pytest.MonkeyPatch, **more: str
) -> Iterator[tuple[Rude, Identity]]:
    """An identity inside a platform whose identity endpoint answers by `handler`."""
    with rude(handler) as server:
        environ = {"IDENTITY_ENDPOINT": f"{server.root}/msi/token", "IDENTITY_HEADER": HEADER}
        for name, value in (environ | more).items():
            monkeypatch.setenv(name, value)
        identity = Identity(os.environ)
        yield server, identity
        identity.close()


@pytest.mark.parametrize(
    ("environ", "source"),
    [
        ({}, "az login"),
        ({"AZURE_CLIENT_ID": "c"}, "az login"),
        (SECRET, "client secret"),
        (CERTIFICATE, "certificate"),
        (SECRET | CERTIFICATE, "certificate"),
        (ON_AZURE, "managed identity"),
        (ON_AZURE | SECRET | CERTIFICATE, "managed identity"),
        ({"MSI_ENDPOINT": "http://127.0.0.1:1"}, "managed identity"),
        ({"IDENTITY_ENDPOINT": "http://127.0.0.1:1"}, "az login"),
        (SECRET | {"AZURE_CLIENT_SECRET": ""}, "az login"),
    ],
)
def test_who_speaks_is_decided_by_settings_alone(environ: Mapping[str, str], source: str) -> None:
    assert Identity(environ).source == source


def test_a_managed_identity_gets_a_token_per_audience_and_keeps_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endpoint = Endpoint()
    with on_azure(endpoint, monkeypatch, AZURE_CLIENT_ID=CLIENT) as (server, identity):
        assert [identity.token(GRAPH) for _ in range(3)] == ["s3cret-token-1"] * 3
        assert identity.token(ARM) == "s3cret-token-2"
    queries = [parse_qs(urlsplit(seen.path).query) for seen in server.seen]
    assert [query["resource"] for query in queries] == [
        ["https://graph.microsoft.com"],
        ["https://management.azure.com"],
    ]
    assert all(query["client_id"] == [CLIENT] for query in queries)


def test_a_system_assigned_identity_names_no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_CLIENT_ID", raising=False)
    with on_azure(Endpoint(), monkeypatch) as (server, identity):
        identity.token(GRAPH)
    assert "client_id" not in parse_qs(urlsplit(server.seen[0].path).query)


def test_renewing_drops_the_cached_token(monkeypatch: pytest.MonkeyPatch) -> None:
    with on_azure(Endpoint(), monkeypatch) as (_, identity):
        assert identity.token(GRAPH) == "s3cret-token-1"
        assert identity.token(GRAPH, renew=True) == "s3cret-token-2"
        assert identity.token(GRAPH) == "s3cret-token-2"


def test_threads_that_renew_together_share_one_renewal(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = Endpoint()
    waiting = threading.Event()

    def slow(seen: Seen) -> Raw:
        waiting.wait(30)
        return endpoint(seen)

    with on_azure(slow, monkeypatch) as (_, identity):
        arrived = threading.Barrier(9)
        tokens: list[str] = []

        def renew() -> None:
            arrived.wait(30)
            tokens.append(identity.token(GRAPH, renew=True))

        threads = [threading.Thread(target=renew) for _ in range(8)]
        for thread in threads:
            thread.start()
        arrived.wait(30)
        waiting.set()
        for thread in threads:
            thread.join()
    assert len(tokens) == 8
    assert endpoint.given <= 2


def test_a_token_is_asked_for_again_five_minutes_before_its_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls = fake_az(tmp_path, monkeypatch, '{"accessToken": "s3cret", "expires_on": 100000}')
    clock = Clock(now=0.0)
    identity = Identity({}, clock=clock)
    for moment, expected in ((0.0, 1), (99_699.0, 1), (99_700.0, 2)):
        clock.now = moment
        assert identity.token(GRAPH) == "s3cret"
        assert len(calls.read_text().splitlines()) == expected
    identity.close()


def test_a_proxy_in_the_environment_never_sees_the_identity_header(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with rude(lambda seen: reply({}, status=500)) as proxy:
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, proxy.root)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        with on_azure(Endpoint(), monkeypatch) as (_, identity):
            assert identity.token(GRAPH) == "s3cret-token-1"
    assert proxy.seen == []


@pytest.mark.parametrize(
    "answer",
    [
        reply({"statusCode": 400, "message": "s3cret-message"}, status=400),
        reply({"error": "invalid", "error_description": "s3cret-description"}, status=400),
        reply({"access_token": "s3cret-token"}),
        reply({"access_token": "s3cret-token", "expires_on": "s3cret-soon"}),
        reply(["s3cret"]),
        reply(None),
        reply(body=b"<html>s3cret</html>", headers={"content-type": "text/html"}),
        Raw([b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\ns3cret"], close=True),
    ],
)
def test_what_the_identity_service_answers_is_neither_shown_nor_logged(
    answer: Raw, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr("mdti.credentials._PATIENCE", {"retry_total": 0})
    with (
        on_azure(lambda seen: answer, monkeypatch) as (_, identity),
        pytest.raises(IdentityError) as caught,
    ):
        identity.token(GRAPH)
    error = caught.value
    assert "managed identity" in error.message
    assert error.hint is not None
    assert error.__context__ is None
    assert error.__cause__ is None
    shown = [repr(error), str(error.to_json()), repr(identity)]
    shown += [record.getMessage() for record in caplog.records]
    assert "s3cret" not in " ".join(shown)


def test_no_token_or_header_reaches_a_log_when_all_goes_well(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with on_azure(Endpoint(), monkeypatch, AZURE_CLIENT_ID=CLIENT) as (_, identity):
        identity.token(GRAPH)
        identity.token(GRAPH, renew=True)
        shown = [repr(identity)]
    shown += [record.getMessage() for record in caplog.records]
    assert "s3cret" not in " ".join(shown)


@pytest.mark.parametrize("name", ["AZURE_CLIENT_SECRET", "AZURE_CLIENT_ID", "AZURE_TENANT_ID"])
def test_a_key_vault_reference_that_was_not_resolved_is_named_and_never_sent(name: str) -> None:
    reference = "@Microsoft.KeyVault(SecretUri=https://vault.example/secrets/s3cret)"
    with pytest.raises(SettingError, match=name) as caught:
        Identity(SECRET | {name: reference}).token(GRAPH)
    assert "vault.example" not in str(caught.value.to_json())


def test_a_reference_in_a_setting_that_is_not_used_does_no_harm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reference = "@Microsoft.KeyVault(SecretUri=https://vault.example/secrets/x)"
    with on_azure(Endpoint(), monkeypatch, AZURE_CLIENT_SECRET=reference) as (_, identity):
        assert identity.token(GRAPH) == "s3cret-token-1"


@pytest.mark.parametrize("kind", ["certificate", "client secret"])
def test_a_certificate_or_a_secret_goes_to_the_login_service_by_the_proxy_that_is_set(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr("mdti.credentials._PATIENCE", {"retry_total": 0})
    environ = {"AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_ID": CLIENT}
    if kind == "certificate":
        environ["AZURE_CLIENT_CERTIFICATE_PATH"] = str(certificate(tmp_path))
    else:
        environ["AZURE_CLIENT_SECRET"] = "s3cret"
    with rude(lambda seen: reply({}, status=403)) as proxy:
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, proxy.root)
        identity = Identity(environ)
        with pytest.raises(IdentityError, match=kind):
            identity.token(GRAPH)
        identity.close()
    assert {(seen.method, seen.path) for seen in proxy.seen} == {
        ("CONNECT", "login.microsoftonline.com:443")
    }
    assert "s3cret" not in " ".join(record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("environ", [CERTIFICATE, SECRET | {"AZURE_AUTHORITY_HOST": "http://x"}])
def test_settings_that_cannot_be_used_are_an_identity_error(environ: Mapping[str, str]) -> None:
    with pytest.raises(IdentityError) as caught:
        Identity(environ).token(GRAPH)
    assert caught.value.__context__ is None
    assert "s3cret" not in str(caught.value.to_json())


def test_az_login_is_asked_when_nothing_is_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls = fake_az(tmp_path, monkeypatch, '{"accessToken": "s3cret", "expires_on": 4000000000}')
    identity = Identity({"AZURE_TENANT_ID": "tenant-1"})
    assert [identity.token(GRAPH) for _ in range(3)] == ["s3cret"] * 3
    identity.close()
    (call,) = calls.read_text().splitlines()
    assert "--resource https://graph.microsoft.com" in call
    assert "--tenant tenant-1" in call


def test_somebody_who_is_not_signed_in_is_told_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(IdentityError) as caught:
        Identity({}).token(GRAPH)
    assert "az login" in str(caught.value.hint)


def test_closing_forgets_the_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    with on_azure(Endpoint(), monkeypatch) as (_, identity):
        identity.token(GRAPH)
        identity.close()
        assert identity.token(GRAPH) == "s3cret-token-2"


def encoded(claims: object) -> str:
    text = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"header.{text}.signature"


@pytest.mark.parametrize(
    ("token", "claims"),
    [
        (encoded({"roles": ["a"], "aud": "x"}), {"roles": ["a"], "aud": "x"}),
        (encoded({"a": "ü?>"}), {"a": "ü?>"}),
        (encoded(["no", "object"]), {}),
        ("opaque", {}),
        ("a.b", {}),
        ("a.!!!.c", {}),
        ("a.YQ.c", {}),
        ("a.ü.c", {}),
    ],
)
def test_claims_are_read_without_being_trusted(
    token: str, claims: Mapping[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    document = {"access_token": token, "expires_on": "2000000000", "token_type": "Bearer"}
    with on_azure(lambda seen: reply(document), monkeypatch) as (_, identity):
        assert identity.claims(GRAPH) == claims


def test_importing_the_module_does_not_load_azure_identity() -> None:
    program = "import sys, mdti.credentials; print('azure.identity' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


@given(text=st.text(max_size=30))
@settings(deadline=None, max_examples=50)
def test_any_settings_choose_somebody(text: str) -> None:
    environ = dict.fromkeys(SECRET | CERTIFICATE, text)
    assert Identity(environ).source == ("certificate" if text else "az login")


def fake_az(folder: Path, monkeypatch: pytest.MonkeyPatch, answer: str) -> Path:
    """Put an `az` on the path that prints `answer`; returns the file of its calls."""
    calls = folder / "calls"
    program = folder / "az"
    program.write_text(f"#!/bin/sh\necho \"$@\" >> '{calls}'\necho '{answer}'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return calls
