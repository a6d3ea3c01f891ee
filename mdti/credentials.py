"""Which identity speaks for this app, and its tokens for every audience.

The choice is made from the settings alone and is the same at every start, in contrast to a chain
of attempts in which a forgotten secret wins: a managed identity where the platform offers one, else
the certificate or the client secret that is set, else whoever is signed in with `az login`.
"""

import base64
import binascii
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, Protocol

from mdti.errors import IdentityError, SettingError
from mdti.net.quiet import quiet_libraries
from mdti.settings import KEY_VAULT_MARK

Source = Literal["managed identity", "certificate", "client secret", "az login"]

_SETTINGS: Mapping[Source, tuple[str, ...]] = MappingProxyType(
    {
        "managed identity": ("AZURE_CLIENT_ID",),
        "certificate": (
            "AZURE_TENANT_ID",
            "AZURE_CLIENT_ID",
            "AZURE_CLIENT_CERTIFICATE_PATH",
            "AZURE_CLIENT_CERTIFICATE_PASSWORD",
        ),
        "client secret": ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"),
        "az login": ("AZURE_TENANT_ID",),
    }
)
_HINTS: Mapping[Source, str] = MappingProxyType(
    {
        "managed identity": "Check that the identity in AZURE_CLIENT_ID is assigned to this app.",
        "certificate": "Check AZURE_TENANT_ID, AZURE_CLIENT_ID and the certificate's expiry.",
        "client secret": "Check AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or what "
        "the OpenCTI connector calls them (MICROSOFT_DEFENDER_INTEL_TENANT_ID and so on), and the "
        "secret's expiry.",
        "az login": "Sign in with `az login`, or set AZURE_CLIENT_ID and a certificate or secret.",
    }
)
_PATIENCE: Mapping[str, Any] = MappingProxyType(
    {"connection_timeout": 5, "read_timeout": 10, "retry_total": 2}  # seconds, seconds, times
)
_EARLY = 300  # seconds before its end in which azure-identity, too, takes a token for stale


class _Token(Protocol):
    @property
    def token(self) -> str: ...

    @property
    def expires_on(self) -> int: ...


class _Credential(Protocol):
    def get_token(self, *scopes: str) -> _Token: ...

    def close(self) -> None: ...


@dataclass(slots=True)
class _Slot:
    """One audience's credential, its last token, and how often it was renewed."""

    lock: threading.Lock
    credential: _Credential | None = None
    token: _Token | None = field(default=None, repr=False)
    renewals: int = 0


class Identity:
    """Tokens for this app, one per audience, kept until five minutes before they end.

    `environ` is the settings. `azure-identity` reads the endpoint of a managed identity from the
    process's own environment, so on Azure the two are the same. `clock` gives Unix time.
    """

    def __init__(
        self, environ: Mapping[str, str], *, clock: Callable[[], float] = time.time
    ) -> None:
        self._environ = environ
        self._clock = clock
        self._slots: dict[str, _Slot] = {}
        self._lock = threading.Lock()

    @property
    def source(self) -> Source:
        """Who speaks: decided by settings, without a request."""
        if self._has("IDENTITY_ENDPOINT", "IDENTITY_HEADER") or self._has("MSI_ENDPOINT"):
            return "managed identity"
        if self._has("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_CERTIFICATE_PATH"):
            return "certificate"
        if self._has("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"):
            return "client secret"
        return "az login"

    def token(self, scope: str, renew: bool = False) -> str:
        """Return a bearer token for `scope`, such as `https://graph.microsoft.com/.default`.

        With `renew` the cached token is dropped first; threads that ask for this together share one
        renewal. Raises `IdentityError` with what to do, `SettingError` for a setting that is a Key
        Vault reference still unresolved. Neither quotes what the identity service answered.
        """
        slot = self._slot(scope)
        seen = slot.renewals
        with slot.lock:
            if renew and slot.renewals == seen:
                self._drop(slot)
                slot.renewals += 1
            if slot.token is None or slot.token.expires_on - self._clock() <= _EARLY:
                if slot.credential is None:
                    slot.credential = self._credential()
                slot.token = self._ask(slot.credential, scope)
            return slot.token.token

    def claims(self, scope: str) -> Mapping[str, Any]:
        """Return the claims of the token for `scope`, such as `roles`, `aud`, `appid` and `iat`.

        They are not verified, which is the API's task: good for showing, never for deciding who may
        do what. A token that is no JWT has none.
        """
        parts = self.token(scope).split(".")
        if len(parts) != 3:
            return MappingProxyType({})
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        try:
            claims = json.loads(base64.urlsafe_b64decode(padded))
        except (binascii.Error, ValueError, RecursionError):
            claims = None
        return MappingProxyType(claims if isinstance(claims, dict) else {})

    def close(self) -> None:
        """Close the connections to the identity service and forget every token."""
        with self._lock:
            slots = tuple(self._slots.values())
            self._slots.clear()
        for slot in slots:
            with slot.lock:
                self._drop(slot)

    def _slot(self, scope: str) -> _Slot:
        with self._lock:
            return self._slots.setdefault(scope, _Slot(threading.Lock()))

    def _drop(self, slot: _Slot) -> None:
        if slot.credential is not None:
            slot.credential.close()
        slot.credential = None
        slot.token = None

    def _ask(self, credential: _Credential, scope: str) -> _Token:
        try:
            return credential.get_token(scope)
        except Exception:
            # A strange answer makes the libraries raise anything. Neither chained nor quoted,
            # because their texts repeat what the service answered.
            failed = self._failure(f"No token for {scope} could be had from the {self.source}.")
        raise failed

    def _credential(self) -> _Credential:
        for name in _SETTINGS[self.source]:
            if self._environ.get(name, "").startswith(KEY_VAULT_MARK):
                raise SettingError(
                    f"{name} is a Key Vault reference that was not resolved.",
                    hint="Check that the app's identity may read that secret, then restart.",
                )
        quiet_libraries()
        builders: Mapping[Source, Callable[[], _Credential]] = {
            "managed identity": self._managed_identity,
            "certificate": self._certificate,
            "client secret": self._client_secret,
            "az login": self._az_login,
        }
        try:
            return builders[self.source]()
        except (OSError, ValueError, TypeError):
            failed = self._failure(f"The {self.source} cannot be used as it is set.")
        raise failed

    def _managed_identity(self) -> _Credential:
        from azure.identity import ManagedIdentityCredential

        return ManagedIdentityCredential(
            client_id=self._environ.get("AZURE_CLIENT_ID") or None,
            use_env_settings=False,  # a proxy must never see the platform's identity header
            **_PATIENCE,
        )

    def _certificate(self) -> _Credential:
        from azure.identity import CertificateCredential

        return CertificateCredential(
            self._environ["AZURE_TENANT_ID"],
            self._environ["AZURE_CLIENT_ID"],
            self._environ["AZURE_CLIENT_CERTIFICATE_PATH"],
            password=self._environ.get("AZURE_CLIENT_CERTIFICATE_PASSWORD") or None,
            **self._login(),
        )

    def _client_secret(self) -> _Credential:
        from azure.identity import ClientSecretCredential

        return ClientSecretCredential(
            self._environ["AZURE_TENANT_ID"],
            self._environ["AZURE_CLIENT_ID"],
            self._environ["AZURE_CLIENT_SECRET"],
            **self._login(),
        )

    def _az_login(self) -> _Credential:
        from azure.identity import AzureCliCredential

        return AzureCliCredential(tenant_id=self._environ.get("AZURE_TENANT_ID") or "")

    def _login(self) -> dict[str, Any]:
        authority = self._environ.get("AZURE_AUTHORITY_HOST")
        return dict(_PATIENCE) | ({"authority": authority} if authority else {})

    def _failure(self, message: str) -> IdentityError:
        return IdentityError(message, hint=_HINTS[self.source])

    def _has(self, *names: str) -> bool:
        return all(self._environ.get(name) for name in names)
