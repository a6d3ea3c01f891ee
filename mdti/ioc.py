"""Text to `Host`: the only place that makes one; and text to `FileHash`.

Whatever comes from outside - a request, an incident, a passive-DNS answer - passes here before it
may become part of a path. Accepted are addresses, host names and URLs, also defanged
(`hxxps://evil[.]example`). Refused, with the reason, is everything that is not one public host.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from mdti.errors import InputError
from mdti.incident_models import FileHash
from mdti.models import Host

MAX_TEXT = 2_048
"""Longest input in characters; no browser or proxy log holds a longer usable URL host."""

_INTERNAL_SUFFIXES = frozenset(
    {"local", "internal", "lan", "corp", "home", "localdomain", "intranet"}
)
_EXAMPLE_SUFFIXES = frozenset({"example", "test", "invalid"})
_ALWAYS_REFUSED = (
    "home.arpa",
    "in-addr.arpa",
    "ip6.arpa",
    "localhost",
    "onion",
)
# RFC 5737, RFC 3849, RFC 9637 and RFC 2544: for documents and benchmarks, never on the Internet.
_EXAMPLE_NETWORKS = tuple(
    ip_network(network)
    for network in (
        "192.0.2.0/24",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "198.18.0.0/15",
        "2001:db8::/32",
        "3fff::/20",
    )
)
_SHARED_ADDRESS_SPACE = ip_network("100.64.0.0/10")  # RFC 6598
_NAT64 = ip_network("64:ff9b::/96")  # RFC 6052
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]{1,15}://", re.IGNORECASE)
_REFANG = (
    (re.compile(r"[\[({]\s*(?:\.|dot)\s*[\])}]", re.IGNORECASE), "."),
    (re.compile(r"[\[({]\s*:\s*[\])}]"), ":"),
    (re.compile(r"\[://\]"), "://"),
    (re.compile(r"^(h)(?:xx|\*\*|tt)(ps?)\b", re.IGNORECASE), r"\1tt\2"),
    (re.compile(r"^f(?:x|t)p(?=://)", re.IGNORECASE), "ftp"),
)
_CLIMBS = re.compile(r"\.\.|%2e|\\|;", re.IGNORECASE)
_IDNA_DOTS = str.maketrans({"\u3002": ".", "\uff0e": ".", "\uff61": "."})  # RFC 3490, 3.1

_HASHES = {32: "MD5", 40: "SHA1", 64: "SHA256"}
"""Algorithms by the length of their hexadecimal form."""


@dataclass(frozen=True, slots=True)
class HostParser:
    """Parses text to hosts under one policy.

    `examples` admits names and ranges that exist for documentation only; the sandbox needs them.
    """

    examples: bool = False

    def parse(self, text: object) -> Host:
        """Return the public host that `text` names; raise `InputError` saying why there is none."""
        if not isinstance(text, str):
            raise InputError(f"An IOC must be text, not {type(text).__name__}.")
        if len(text) > MAX_TEXT:
            raise InputError(
                f"An IOC has at most {MAX_TEXT:,} characters; this one has {len(text):,}."
            )
        if any(ord(character) < 32 or ord(character) == 127 for character in text.strip()):
            raise InputError("An IOC has no control characters.")
        candidate = _host_part(refang(text.strip()))
        address = _address(candidate)
        if address is not None:
            return self._public_address(address)
        return self._public_name(candidate)

    def parse_or_none(self, text: object) -> Host | None:
        """Return the public host that `text` names, or None."""
        try:
            return self.parse(text)
        except InputError:
            return None

    def _public_address(self, address: IPv4Address | IPv6Address) -> Host:
        shown = address.compressed
        if isinstance(address, IPv6Address):
            embedded = _embedded_ipv4(address)
            if embedded is not None:
                return self._public_address(embedded)
            if address.sixtofour is not None:  # RFC 3056; Pythons disagree whether it is global
                if _refusal(address.sixtofour) is None:
                    return Host("ipv6", shown)
                raise InputError(f"{shown} stands for {address.sixtofour}, which is not public.")
        if any(
            address in network
            for network in _EXAMPLE_NETWORKS
            if network.version == address.version
        ):
            if self.examples:
                return Host("ipv4" if address.version == 4 else "ipv6", shown)
            raise InputError(f"{shown} is reserved for documentation and benchmarks.")
        reason = _refusal(address)
        if reason is not None:
            raise InputError(f"{shown} is {reason}: nobody outside can own it.")
        return Host("ipv4" if address.version == 4 else "ipv6", shown)

    def _public_name(self, candidate: str) -> Host:
        name = _ascii_name(candidate)
        labels = name.split(".")
        if len(labels) < 2:
            raise InputError(f"'{_shown(name)}' is a single label, not a public host name.")
        if any(name == suffix or name.endswith(f".{suffix}") for suffix in _ALWAYS_REFUSED):
            raise InputError(f"'{_shown(name)}' is not a public host name.")
        suffix = labels[-1]
        if suffix in _INTERNAL_SUFFIXES:
            raise InputError(
                f"'{_shown(name)}' is internal: .{suffix} does not exist in public DNS."
            )
        if suffix in _EXAMPLE_SUFFIXES and not self.examples:
            raise InputError(f"'{_shown(name)}' is reserved for examples.")
        if suffix.isdigit() or re.fullmatch(r"0x[0-9a-f]*", suffix):
            raise InputError(f"'{_shown(name)}' is neither an address nor a host name.")
        return Host("name", name)


def file_hash_of(text: str) -> FileHash | None:
    """Return the MD5, SHA-1 or SHA-256 hash that `text` is, or None."""
    value = text.lower()
    algorithm = _HASHES.get(len(value))
    if algorithm is None or any(digit not in "0123456789abcdef" for digit in value):
        return None
    return FileHash(algorithm, value)


def refang(text: str) -> str:
    """Return `text` with the usual ways of defanging undone: `hxxp`, `[.]`, `(dot)`, `[:]`."""
    for pattern, replacement in _REFANG:
        text = pattern.sub(replacement, text)
    return text


def _host_part(text: str) -> str:
    """Return the host of a URL, or of `host:port`, or the text itself when it is neither."""
    if _SCHEME.match(text):
        try:
            parts = urlsplit(text)
        except ValueError as error:
            raise InputError("The URL cannot be read.") from error
        if "\\" in parts.netloc:  # ends the host for a browser, and not for RFC 3986
            raise InputError("The URL names two hosts, depending on who reads it.")
        if not parts.hostname:
            raise InputError("The URL has no host.")
        return parts.hostname
    if text.startswith("[") and "]" in text:
        host, _, rest = text[1:].partition("]")
        if rest and not re.fullmatch(r":\d{1,5}", rest):
            raise InputError("The text is neither a host nor a URL.")
        return host
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        if re.fullmatch(r"\d{1,5}", port):
            return host
    return _bare_url_host(text)


def _bare_url_host(text: str) -> str:
    """Return the host of a URL without a scheme; one whose path climbs is not a URL but a trick."""
    host, path = re.match(r"([^/?#]*)(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    if not path or "." not in host.strip(".") or _CLIMBS.search(path):
        return text
    if _address(host) is not None and re.fullmatch(r"/\d{1,3}", path):
        raise InputError("The text is a network, not a host.")
    return _host_part(host)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    if "%" in text:  # a zone id, or percent-encoding: neither belongs in a public address
        return None
    try:
        return ip_address(text)
    except ValueError:
        return None


def _embedded_ipv4(address: IPv6Address) -> IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return None


def _refusal(address: IPv4Address | IPv6Address) -> str | None:
    if address.is_unspecified:
        return "the unspecified address"
    if address.is_loopback:
        return "a loopback address"
    if address.is_link_local:
        return "a link-local address"
    if address.is_multicast:
        return "a multicast address"
    if address.version == 4 and address in _SHARED_ADDRESS_SPACE:
        return "behind carrier-grade NAT"
    if address.is_private or (isinstance(address, IPv6Address) and address.is_site_local):
        return "a private address"
    if address.is_reserved or not address.is_global:
        return "a reserved address"
    return None


def _ascii_name(candidate: str) -> str:
    text = candidate.translate(_IDNA_DOTS).strip().rstrip(".") if candidate else candidate
    if not text:
        raise InputError("The IOC is empty.")
    if text.isascii():
        name = text.lower()
    else:
        import idna  # loads large tables, and few hosts are not ASCII

        try:
            name = idna.encode(text, uts46=True).decode("ascii")
        except UnicodeError as error:
            raise InputError(
                f"'{_shown(text)}' is not a host name: it has no IDNA form."
            ) from error
    if len(name) > 253:
        raise InputError("A host name has at most 253 characters.")
    if not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise InputError(f"'{_shown(name)}' is neither an address, a host name nor a URL.")
    return name


def _shown(text: str) -> str:
    """Return at most 80 printable ASCII characters of hostile text, for an error message."""
    safe = text.encode("ascii", "backslashreplace").decode("ascii")
    return safe if len(safe) <= 80 else f"{safe[:77]}..."
