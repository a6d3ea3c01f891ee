"""The state store: bytes under keys, conditional writes, appends and leases.

    read -> Stored(body, etag) | None      write(if_match | if_absent) -> ETag | WriteConflict
    append                                 lease -> Lease | LeaseLost

Equal ETags of one key mean equal bytes. A key is either written or appended to, never both, and no
key is a folder of another (`a` and `a/b`). Whatever fails is a `StoreError`; a write or an append
that ends in one which is neither `WriteConflict` nor `LeaseLost` may or may not have happened.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

MAX_KEY = 512
"""Longest key in characters; blob names may have 1,024, paths on macOS too."""

MAX_APPEND = 4 * 1024 * 1024
"""Most bytes of one append: what every version of the blob service takes as one atomic block."""

LEASE_SECONDS = (15, 60)
"""Shortest and longest term of a lease; the blob service grants no other."""

_SEGMENT = re.compile(r"[a-z0-9_-](?:[a-z0-9._-]{0,126}[a-z0-9_-])?")
_PREFIX = re.compile(r"(?:[a-z0-9_-][a-z0-9._-]*/?)*")


@dataclass(frozen=True, slots=True)
class Stored:
    """What is stored under a key, and the ETag to write it back with."""

    body: bytes
    etag: str


class Lease(Protocol):
    """The right to be the only one who does something, for a bounded time.

    Used as a context manager it is released at the end. A holder that dies loses it when its term
    is over.
    """

    key: str

    def renew(self) -> None:
        """Hold the lease for its whole term again; LeaseLost when somebody else took it."""

    def check(self) -> None:
        """Raise LeaseLost unless the lease is held at this moment; the term is not extended."""

    def release(self) -> None:
        """Give the lease back; a lost lease is left alone."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Store(Protocol):
    """Where state lives: blobs in Azure, files elsewhere."""

    def read(self, key: str) -> Stored | None:
        """Return what is stored under the key, or None."""

    def write(
        self,
        key: str,
        body: bytes,
        *,
        if_match: str | None = None,
        if_absent: bool = False,
        lease: Lease | None = None,
    ) -> str:
        """Store the bytes and return the new ETag.

        Raises WriteConflict when the ETag is not `if_match`, or the key exists and `if_absent`;
        LeaseLost when `lease` is no longer ours.
        """

    def append(self, key: str, body: bytes, *, lease: Lease | None = None) -> None:
        """Add 1 to `MAX_APPEND` bytes at the end, all or nothing; the key is made if absent."""

    def list_(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with the prefix, sorted."""

    def delete(self, key: str, *, if_match: str | None = None, lease: Lease | None = None) -> None:
        """Remove the key and its unheld lease; an absent key is fine unless `if_match` is given."""

    def lease(self, key: str, *, seconds: int = 60) -> Lease:
        """Take the lease of that name (nothing need be stored there); LeaseLost when it is held."""

    def close(self) -> None:
        """Give back connections; the store is not used afterwards."""


def check_key(key: str) -> str:
    """Return the key, or raise ValueError when it is not one.

    Segments of `a-z 0-9 . _ -` joined by `/`; no segment begins or ends with a dot, so that `..`,
    hidden files and the stores' own records (`.leases/`) cannot be named.
    """
    segments = key.split("/")
    if len(key) > MAX_KEY or not all(_SEGMENT.fullmatch(segment) for segment in segments):
        raise ValueError(f"not a store key: {key[:80]!r}")
    return key


def check_prefix(prefix: str) -> str:
    """Return the prefix, or raise ValueError when no key could begin with it."""
    if len(prefix) > MAX_KEY or not _PREFIX.fullmatch(prefix):
        raise ValueError(f"not a prefix of store keys: {prefix[:80]!r}")
    return prefix


def check_write(if_match: str | None, if_absent: bool) -> None:
    """Raise ValueError when both conditions are asked for: they can never hold together."""
    if if_match is not None and if_absent:
        raise ValueError("a write is either if_match or if_absent")


def check_append(body: bytes) -> None:
    """Raise ValueError when the bytes are none, or more than one append may carry."""
    if not 0 < len(body) <= MAX_APPEND:
        raise ValueError(f"{len(body)} bytes in one append; 1 to {MAX_APPEND} are possible")


def check_seconds(seconds: int) -> int:
    """Return the term of a lease, or raise ValueError when the blob service has no such term."""
    shortest, longest = LEASE_SECONDS
    if not shortest <= seconds <= longest:
        raise ValueError(f"a lease of {seconds} seconds; {shortest} to {longest} are possible")
    return seconds
