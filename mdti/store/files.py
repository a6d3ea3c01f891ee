"""The state store in a directory, for machines without Azure storage.

One file per key, so the state can be read with any tool. Every operation runs under one lock file
(`flock`), which makes it atomic between threads and between processes on the same machine. Windows
has no `flock`: there the lock holds between the threads of one process only, so one process at a
time may use the directory. Network file systems are not supported.

Nothing is ever half written: a new body goes to `.new`, is flushed to the disk and then renamed; an
append first notes the old length in `.append`, and whoever comes next after a crash cuts the file
back to it.
"""

import hashlib
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from mdti.errors import LeaseLost, StoreError, WriteConflict
from mdti.store.base import (
    Lease,
    Stored,
    check_append,
    check_key,
    check_prefix,
    check_seconds,
    check_write,
)

_LOCK = ".lock"
_NEW = ".new"
_APPEND = ".append"
_LEASES = ".leases"


@dataclass(frozen=True, slots=True)
class _Holding:
    """What a lease file says: who has it, and until when."""

    owner: str
    expires: str

    def held(self, now: datetime) -> bool:
        return now < datetime.fromisoformat(self.expires)


class FileStore:
    """State in files below `root`; the directory is made when something is first kept there.

    `clock` gives the time in UTC and decides when a lease is over. ETags are hashes of the bytes:
    a body that is written again keeps its ETag.
    """

    def __init__(self, root: Path, *, clock: Callable[[], datetime]) -> None:
        self._root = root
        self._clock = clock
        self._threads = threading.Lock()

    def read(self, key: str) -> Stored | None:
        """Return what is stored under the key, or None."""
        check_key(key)
        with self._locked():
            return self._read(key)

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
        check_key(key)
        check_write(if_match, if_absent)
        with self._locked():
            self._hold(lease)
            self._expect(key, if_match, if_absent)
            self._replace(self._root / key, body)
        return _etag(body)

    def append(self, key: str, body: bytes, *, lease: Lease | None = None) -> None:
        """Add the bytes at the end, all or nothing."""
        check_key(key)
        check_append(body)
        with self._locked():
            self._hold(lease)
            path = self._root / key
            if not path.exists():
                self._replace(path, body)
                return
            note = json.dumps({"key": key, "length": path.stat().st_size})
            self._replace(self._root / _APPEND, note.encode())
            with path.open("ab") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            (self._root / _APPEND).unlink()
            _sync_folder(self._root)

    def list_(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with the prefix, sorted."""
        check_prefix(prefix)
        with self._locked():
            keys = sorted(self._keys(prefix))
        return iter(keys)

    def delete(self, key: str, *, if_match: str | None = None, lease: Lease | None = None) -> None:
        """Remove the key and its unheld lease."""
        check_key(key)
        with self._locked():
            self._hold(lease)
            self._expect(key, if_match, False)
            self._remove(key)
            holding = self._holding(key)
            if holding is not None and not holding.held(self._clock()):
                self._remove(f"{_LEASES}/{key}")

    def lease(self, key: str, *, seconds: int = 60) -> "FileLease":
        """Take the lease; LeaseLost while another holder's term is not over."""
        check_key(key)
        check_seconds(seconds)
        with self._locked():
            before = self._holding(key)
            if before is not None and before.held(self._clock()):
                raise LeaseLost(f"the lease {key} is held by {before.owner}")
            owner = f"process {os.getpid()}, {uuid4()}"
            self._keep(key, _Holding(owner, self._until(seconds)))
        return FileLease(self, key, owner, seconds)

    def close(self) -> None:
        """Do nothing: no file stays open between two operations."""

    def _renew(self, lease: "FileLease") -> None:
        with self._locked():
            self._hold(lease)

    def _check(self, lease: "FileLease") -> None:
        with self._locked():
            if not self._ours(lease).held(self._clock()):
                raise LeaseLost(f"the term of the lease {lease.key} is over")

    def _release(self, lease: "FileLease") -> None:
        with self._locked(), suppress(LeaseLost):
            self._ours(lease)
            self._remove(f"{_LEASES}/{lease.key}")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._threads, (self._root / _LOCK).open("ab") as lock:
                _lock(lock.fileno())
                self._undo_append()
                yield
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else type(error).__name__
            raise StoreError(
                f"the state directory cannot be used: {reason}",
                hint="Check MDTI_STATE_DIR: it must be a local directory that the app may write.",
            ) from error

    def _undo_append(self) -> None:
        note = self._root / _APPEND
        if not note.exists():
            return
        cut = json.loads(note.read_bytes())
        path = self._root / check_key(cut["key"])
        with path.open("r+b") as file:
            file.truncate(cut["length"])
            os.fsync(file.fileno())
        note.unlink()

    def _read(self, key: str) -> Stored | None:
        try:
            body = (self._root / key).read_bytes()
        except FileNotFoundError:
            return None
        return Stored(body, _etag(body))

    def _expect(self, key: str, if_match: str | None, if_absent: bool) -> None:
        if if_absent and (self._root / key).exists():
            raise WriteConflict(f"{key} exists already")
        if if_match is None:
            return
        stored = self._read(key)
        if stored is None or stored.etag != if_match:
            raise WriteConflict(f"{key} is not what was read before")

    def _replace(self, path: Path, body: bytes) -> None:
        new = self._root / _NEW
        new.touch(mode=0o600)
        with new.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        is_new_folder = not path.parent.exists()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new.replace(path)
        _sync_folder(path.parent)
        if is_new_folder:
            for folder in path.parent.relative_to(self._root).parents:
                _sync_folder(self._root / folder)

    def _remove(self, name: str) -> None:
        path = self._root / name
        path.unlink(missing_ok=True)
        if not path.parent.exists():
            return
        _sync_folder(path.parent)
        with suppress(OSError):
            for folder in path.relative_to(self._root).parents[:-1]:
                (self._root / folder).rmdir()

    def _keys(self, prefix: str) -> Iterator[str]:
        top = self._root / prefix.rpartition("/")[0]
        for folder, folders, files in os.walk(top):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in files:
                key = (Path(folder) / name).relative_to(self._root).as_posix()
                if key.startswith(prefix) and not name.startswith("."):
                    yield key

    def _holding(self, key: str) -> _Holding | None:
        stored = self._read(f"{_LEASES}/{key}")
        return _Holding(**json.loads(stored.body)) if stored else None

    def _keep(self, key: str, holding: _Holding) -> None:
        self._replace(self._root / _LEASES / key, json.dumps(asdict(holding)).encode())

    def _ours(self, lease: "FileLease") -> _Holding:
        holding = self._holding(lease.key)
        if holding is None or holding.owner != lease.owner:
            raise LeaseLost(f"the lease {lease.key} was taken by another holder, or given back")
        return holding

    def _hold(self, lease: Lease | None) -> None:
        if lease is None:
            return
        if not isinstance(lease, FileLease):
            raise TypeError("a lease of another store")
        self._ours(lease)
        self._keep(lease.key, _Holding(lease.owner, self._until(lease.seconds)))

    def _until(self, seconds: int) -> str:
        return (self._clock() + timedelta(seconds=seconds)).isoformat()


class FileLease:
    """A lease of a `FileStore`; `owner` is what its file says while nobody else took it.

    When its term is over and nobody came, `renew` and writes under the lease revive it, and `check`
    refuses. Writes under the lease are
    compared with it inside the same lock, so a stale holder is always refused.
    """

    def __init__(self, store: FileStore, key: str, owner: str, seconds: int) -> None:
        self.key = key
        self.owner = owner
        self.seconds = seconds
        self._store = store

    def renew(self) -> None:
        """Hold the lease for its whole term again."""
        self._store._renew(self)

    def check(self) -> None:
        """Raise LeaseLost unless the lease is held at this moment."""
        self._store._check(self)

    def release(self) -> None:
        """Give the lease back."""
        self._store._release(self)

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


def _etag(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:32]


def _lock(descriptor: int) -> None:
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
