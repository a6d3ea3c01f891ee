"""The identity endpoints: App Service's managed identity, and a client's own credentials.

Tokens look like those of Entra ID - three base64url parts, `aud`, `roles`, `iat`, `exp`, `appid` -
and are signed with a key that lives as long as the sandbox, so every vendor can tell a token of
this run from any other. They open nothing else.

    GET  /msi/token                        contract: App Service REST reference, 2019-08-01
    POST /{tenant}/oauth2/v2.0/token       grant_type=client_credentials; any client and secret,
                                           until a client is registered with one
"""

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qs

from mdti.sandbox.wire import Reply, Request, json_reply

CLIENT_ID = "5a7d0b0e-0000-4000-8000-00000000a001"
TENANT_ID = "5a7d0b0e-0000-4000-8000-00000000f001"
GRAPH = "https://graph.microsoft.com"
ROLES: Mapping[str, tuple[str, ...]] = {
    GRAPH: ("ThreatIntelligence.Read.All", "ThreatHunting.Read.All"),
    "https://api.securitycenter.microsoft.com": ("Ti.ReadWrite",),
    "https://management.azure.com": (),
    "https://api.loganalytics.azure.com": (),
    "https://api.loganalytics.io": (),
}
"""Application permissions of the app's identity at each audience; the last three use Azure RBAC."""

Word = Literal["valid", "missing", "malformed", "badSignature", "expired", "wrongAudience"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an Authorization header is worth at one API."""

    word: Word
    roles: frozenset[str] = frozenset()
    claims: Mapping[str, Any] = field(default_factory=dict)


class Tokens:
    """Issues and judges the tokens of one sandbox; `lifetime` is in seconds."""

    def __init__(self, *, clock: Callable[[], float] = time.time, lifetime: float = 86_400) -> None:
        self.clock = clock
        self.lifetime = lifetime
        self._key = secrets.token_bytes(32)
        self._serial = 0
        self._revoked = 0

    def issue(
        self, audience: str, roles: Iterable[str], *, client_id: str = CLIENT_ID
    ) -> tuple[str, int]:
        """Return a token for an audience and the time it expires, in seconds since 1970."""
        now = int(self.clock())
        expires = now + int(self.lifetime)
        self._serial += 1
        claims = {
            "aud": audience,
            "iss": f"https://sts.windows.net/{TENANT_ID}/",
            "iat": now,
            "nbf": now,
            "exp": expires,
            "appid": client_id,
            "tid": TENANT_ID,
            "idtyp": "app",
            "roles": sorted(roles),
            "uti": str(self._serial),
            "ver": "1.0",
        }
        signed = f"{_part({'typ': 'JWT', 'alg': 'HS256', 'kid': 'sandbox'})}.{_part(claims)}"
        return f"{signed}.{self._signature(signed)}", expires

    def revoke(self) -> None:
        """Let every token issued so far count as expired."""
        self._revoked = self._serial

    def judge(self, authorization: str | None, *audiences: str) -> Verdict:
        """Return what an Authorization header is worth at an API with these audiences."""
        if not authorization:
            return Verdict("missing")
        scheme, _, token = authorization.partition(" ")
        signed, _, signature = token.strip().rpartition(".")
        if scheme.lower() != "bearer" or signed.count(".") != 1:
            return Verdict("malformed")
        if not hmac.compare_digest(signature.encode(), self._signature(signed).encode()):
            return Verdict("badSignature")
        claims = _claims(signed)
        if int(claims["uti"]) <= self._revoked or claims["exp"] <= self.clock():
            return Verdict("expired", claims=claims)
        if claims["aud"].rstrip("/") not in {audience.rstrip("/") for audience in audiences}:
            return Verdict("wrongAudience", claims=claims)
        return Verdict("valid", frozenset(claims["roles"]), claims)

    def _signature(self, signed: str) -> str:
        return _base64(hmac.new(self._key, signed.encode(), hashlib.sha256).digest())


class Identity:
    """The identity vendor: who the app is, and what it was granted.

    `stale_seconds` is how long the platform hands out a token again after it made one, so a grant
    or a withdrawal shows only later; in Azure that is up to a day, here nothing unless told.
    """

    name = "identity"

    def __init__(self, tokens: Tokens, *, stale_seconds: float = 0.0) -> None:
        self.tokens = tokens
        self.stale_seconds = stale_seconds
        self._header = secrets.token_hex(16).upper()
        self._roles = {audience: set(roles) for audience, roles in ROLES.items()}
        self._made: dict[str, tuple[float, str, int]] = {}
        self._secrets: dict[str, str] = {}
        self._lock = threading.Lock()

    def register(self, client_id: str, secret: str) -> None:
        """Let a client sign in with this secret alone."""
        self._secrets[client_id] = secret

    def grant(self, audience: str, *roles: str) -> None:
        """Give the identity application permissions at an audience, which may be a further one."""
        with self._lock:
            self._roles.setdefault(audience.rstrip("/"), set()).update(roles)

    def withdraw(self, audience: str, *roles: str) -> None:
        """Take application permissions away."""
        with self._lock:
            self._roles[audience.rstrip("/")].difference_update(roles)

    def settings(self, base_url: str) -> Mapping[str, str]:
        """Return the settings App Service itself gives an app with a managed identity."""
        return {
            "IDENTITY_ENDPOINT": f"{base_url}/msi/token",
            "IDENTITY_HEADER": self._header,
            "AZURE_CLIENT_ID": CLIENT_ID,
        }

    def handle(self, request: Request) -> Reply:
        """Answer a request for a token."""
        match request.method, [segment.lower() for segment in request.segments]:
            case "GET", ["msi", "token"]:
                return self._managed_identity(request)
            case "POST", [_, "oauth2", "v2.0", "token"]:
                return self._client_credentials(request)
            case _:
                return _refused(404, "No such endpoint.")

    def _managed_identity(self, request: Request) -> Reply:
        sent = request.headers.get("x-identity-header", "")
        if not hmac.compare_digest(sent.encode(), self._header.encode()):
            return _refused(401, "The X-IDENTITY-HEADER is missing or wrong.", verdict="refused")
        if request.option("api-version") != "2019-08-01":
            return _refused(400, "The api-version must be 2019-08-01.", verdict="valid")
        resource = (request.option("resource") or "").rstrip("/")
        if request.option("client_id") != CLIENT_ID:
            message = "No User Assigned or Delegated Managed Identity found for specified ClientId."
            return _refused(400, message, verdict="valid")
        with self._lock:
            if resource not in self._roles:
                return _refused(500, "An unexpected error occurred.", verdict="valid")
            token, expires = self._token(resource)
        document = {
            "access_token": token,
            "expires_on": str(expires),
            "resource": resource,
            "token_type": "Bearer",
            "client_id": CLIENT_ID,
        }
        return json_reply(document, verdict="valid")

    def _token(self, resource: str) -> tuple[str, int]:
        now = self.tokens.clock()
        made, token, expires = self._made.get(resource, (0.0, "", 0))
        if token and now < min(made + self.stale_seconds, expires):
            return token, expires
        token, expires = self.tokens.issue(resource, self._roles[resource])
        self._made[resource] = (now, token, expires)
        return token, expires

    def _client_credentials(self, request: Request) -> Reply:
        form = parse_qs(request.body.decode("utf-8", "replace"))
        scope = form.get("scope", [""])[0]
        audience = scope.removesuffix("/.default").rstrip("/")
        complete = form.get("grant_type") == ["client_credentials"] and "client_secret" in form
        if not complete or audience not in self._roles:
            document = {"error": "invalid_request", "error_description": "AADSTS900144"}
            return json_reply(document, status=400, verdict="refused")
        client, secret = form.get("client_id", [""])[0], form["client_secret"][0]
        if not hmac.compare_digest(self._secrets.get(client, secret).encode(), secret.encode()):
            document = {"error": "invalid_client", "error_description": "AADSTS7000215"}
            return json_reply(document, status=401, verdict="refused")
        token, expires = self.tokens.issue(audience, self._roles[audience], client_id=client)
        seconds = expires - int(self.tokens.clock())
        granted = {"token_type": "Bearer", "expires_in": seconds, "access_token": token}
        return json_reply(granted, verdict="valid")


def _refused(status: int, message: str, *, verdict: str = "") -> Reply:
    return json_reply({"statusCode": status, "message": message}, status=status, verdict=verdict)


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _part(document: Mapping[str, Any]) -> str:
    return _base64(json.dumps(document, separators=(",", ":")).encode())


def _claims(signed: str) -> dict[str, Any]:
    payload = signed.partition(".")[2]
    claims: dict[str, Any] = json.loads(
        base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    )
    return claims
