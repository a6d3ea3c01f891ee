"""Requests and responses as values, and the one check of a URL before it is used."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import SplitResult, unquote, urlsplit

from mdti.errors import BadAnswer, InputError, SettingError
from mdti.setting import is_loopback_host

_DEFAULT_PORTS = {"https": 443, "http": 80}
_IDEMPOTENT_VERBS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})  # RFC 9110, 9.2.2


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, not yet sent.

    `audience` is the scope of the token to send, such as `https://graph.microsoft.com/.default`;
    None sends no `Authorization` of ours. `idempotent` says whether it may be sent again after a
    fault; None decides by verb. The `repr` shows neither query, headers nor body.
    """

    url: str = field(repr=False)
    method: str = "GET"
    audience: str | None = None
    body: bytes | None = field(default=None, repr=False)
    content_type: str | None = None
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    idempotent: bool | None = None

    @property
    def repeatable(self) -> bool:
        """True when sending it twice does what sending it once does."""
        if self.idempotent is not None:
            return self.idempotent
        return self.method.upper() in _IDEMPOTENT_VERBS


@dataclass(frozen=True, slots=True)
class Response:
    """A complete answer with a status of 200 to 299.

    `headers` is read by name in any case; `api` is the host that answered.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    api: str = ""

    def json(self) -> Any:
        """Return the decoded body; raises `BadAnswer` when it is not JSON (RFC 8259)."""
        try:
            return json.loads(self.body, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            pass
        raise BadAnswer(
            f"{self.api or 'The API'} answered {self.status} with a body that is not JSON.",
            api=self.api,
            status=self.status,
        )


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port: what one connection pool and one gate belong to."""

    scheme: str
    host: str
    port: int

    @property
    def name(self) -> str:
        """The host as messages name it, with its port where that is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """True for this machine itself."""
        return is_loopback_host(self.host)


def origin_of(url: str) -> Origin:
    """Return the origin of an API's URL.

    Raises `SettingError` when the scheme is not https (http is for loopback only) or the URL names
    a user, and `InputError` when its path climbs or holds characters no URL has. Neither message
    repeats more of the URL than its host.
    """
    if any(character <= " " or character in "\\\x7f" for character in url):
        raise InputError("The address of an API holds characters that no URL has.")
    parts, port = _split(url)
    host = parts.hostname
    if not host or parts.scheme not in _DEFAULT_PORTS:
        raise SettingError("The address of an API must be a full https:// URL.")
    if "@" in parts.netloc:
        raise SettingError(f"The address of {host} must not contain a user or a password.")
    if parts.scheme == "http" and not is_loopback_host(host):
        raise SettingError(f"{host} must be addressed by https://; http:// is for loopback only.")
    if any(segment in {".", ".."} for segment in unquote(parts.path).split("/")):
        raise InputError(f"A path at {host} must not climb.")
    return Origin(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme])


def _split(url: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(url)
        return parts, parts.port
    except ValueError:
        pass
    raise SettingError("The address of an API is not a URL.")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
