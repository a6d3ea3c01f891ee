"""Text to `Key`: the one canonical form of every value that a feed carries.

Feeds are text from outside. Whatever one says an address, a name, a URL, a hash or a mail address
is passes here before it becomes an indicator, and destinations compare their own rows in the same
form. The reasons for a refusal are few and fixed, so that a run report can count them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from types import MappingProxyType
from typing import Literal
from urllib.parse import SplitResult, quote, urlsplit

from mdti.errors import InputError
from mdti.feeds.indicator import IndicatorKind, Key
from mdti.ioc import HostParser, refang

ValueKind = IndicatorKind | Literal["host", "hash"]
"""A kind of indicator, or one that the value itself decides: any host, any file hash."""

MAX_URL = 2_048
"""Longest canonical URL in characters; longer ones match nothing that browsers or proxies log."""
MAX_EMAIL = 254
"""Longest mail address (RFC 5321, 4.5.3.1.3)."""

_HASHES: Mapping[int, IndicatorKind] = MappingProxyType({32: "md5", 40: "sha1", 64: "sha256"})
_EMPTY_FILES = frozenset(
    {
        "d41d8cd98f00b204e9800998ecf8427e",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    }
)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_HEX = re.compile(r"[0-9a-f]+")
_LOCAL_PART = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}")
_ESCAPE = re.compile("%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_URL_SAFE = "!$%&'()*+,/:;=?@[]~"  # RFC 3986, 3.3 and 3.4; [] as browsers leave them in queries
_PORTS = {"http": 80, "https": 443, "ftp": 21}


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a text is no value that a feed may carry; one of a fixed set of reasons."""

    reason: str


@dataclass(frozen=True, slots=True)
class Values:
    """Makes canonical keys under one policy for hosts."""

    hosts: HostParser

    def key(self, kind: ValueKind, text: object) -> Key | Refused:
        """Return the key of `text`, or why it has none.

        What a host is, the text decides: a name given as `ipv4` is a domain. A hash must have the
        length of its kind. Feeding a key's own value back gives the same key.
        """
        if not isinstance(text, str):
            return Refused("not text")
        value = text.strip()
        if not value:
            return Refused("empty value")
        if _UNPRINTABLE.search(value):
            return Refused("control characters")
        match kind:
            case "url":
                return self._url(value)
            case "email":
                return self._email(value)
            case "ipv4" | "ipv6" | "domain" | "host":
                return self._host(value)
            case _:
                return _hash(kind, value)

    def _host(self, text: str) -> Key | Refused:
        if len(text) > MAX_URL:
            return Refused("value too long")
        if "*" in text:
            return Refused("wildcard")
        plain = refang(text)
        if "/" in plain:
            single = _single_address(plain)
            if single is None:
                return Refused("network" if _is_network(plain) else "not a host")
            plain = single
        if "@" in plain or (":" in plain and not _is_address(plain.strip("[]"))):
            return Refused("not a host")
        try:
            host = self.hosts.parse(plain)
        except InputError:
            is_host = _is_address(plain.strip("[]")) or "." in plain.strip(".")
            return Refused("not a public host" if is_host else "not a host")
        return Key("domain" if host.kind == "name" else host.kind, host.value)

    def _url(self, text: str) -> Key | Refused:
        if len(text) > MAX_URL:
            return Refused("value too long")
        plain = refang(text)
        try:
            parts = urlsplit(plain)
            port = parts.port
            username = parts.username
        except ValueError:
            return Refused("not a URL")
        if parts.scheme not in _PORTS or not parts.hostname:
            return Refused("not a URL")
        if "*" in parts.hostname:
            return Refused("wildcard")
        if username is not None or parts.netloc.count("@"):
            return Refused("URL with a user")
        host = self._host(parts.hostname)
        if isinstance(host, Refused):
            return host
        url = _canonical(parts, host, port)
        return Key("url", url) if len(url) <= MAX_URL else Refused("value too long")

    def _email(self, text: str) -> Key | Refused:
        local, _, domain = refang(text).rpartition("@")
        if len(text) > MAX_EMAIL or not _LOCAL_PART.fullmatch(local):
            return Refused("not a mail address")
        host = self._host(domain)
        if isinstance(host, Refused):
            return host
        if host.kind != "domain":
            return Refused("not a mail address")
        # Providers that tell letter cases apart are unheard of, logs that do not keep them are not.
        return Key("email", f"{local.lower()}@{host.value}")


def _hash(kind: ValueKind, text: str) -> Key | Refused:
    value = text.lower()
    known = _HASHES.get(len(value))
    if known is None or not _HEX.fullmatch(value):
        return Refused("not a hash")
    if kind not in (known, "hash"):
        return Refused("hash of another kind")
    if value in _EMPTY_FILES:
        return Refused("hash of the empty file")
    return Key(known, value)


def _canonical(parts: SplitResult, host: Key, port: int | None) -> str:
    """Return the URL in one spelling (RFC 3986, 6.2); the fragment never reaches a server."""
    shown = f"[{host.value}]" if host.kind == "ipv6" else host.value
    if port is not None and port != _PORTS[parts.scheme]:
        shown = f"{shown}:{port}"
    query = f"?{_spelling(parts.query)}" if parts.query else ""
    return f"{parts.scheme}://{shown}{_spelling(parts.path) or '/'}{query}"


def _spelling(text: str) -> str:
    """Return a path or query with every character written in its one way."""
    whole = re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", text)
    return _ESCAPE.sub(_normal, quote(whole, safe=_URL_SAFE))


def _normal(escape: re.Match[str]) -> str:
    character = chr(int(escape[1], 16))
    return character if character in _UNRESERVED else escape[0].upper()


def _single_address(text: str) -> str | None:
    """Return the address of a network that holds one address only, such as `192.0.2.1/32`."""
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return None
    return str(network.network_address) if network.num_addresses == 1 else None


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
