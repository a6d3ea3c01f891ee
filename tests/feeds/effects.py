"""What a process does outside itself, numbered, so that any of it may be the last thing it does."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeVar

from mdti.store.base import Lease
from mdti.store.files import FileLease, FileStore

T = TypeVar("T")
When = Literal["before", "after"]


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Effects:
    """Numbers effects from 1 and ends the process before or after number `at`.

    With `pause` the process does not end: it stands still while that runs, and goes on. `log` names
    the effects that were begun, `done` those that came to their end.
    """

    at: int | None = None
    when: When = "before"
    pause: Callable[[], None] | None = None
    count: int = 0
    dead: bool = False
    paused: bool = False
    log: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    def of(self, name: str, action: Callable[[], T]) -> T:
        """Do what is called so, unless the process ends before it."""
        self.live()
        self.count += 1
        self.log.append(name)
        here = self.count == self.at
        if here and self.when == "before":
            self._end()
        result = action()
        self.done.append(name)
        if here and self.when == "after":
            self._end()
        return result

    def live(self) -> None:
        """Raise Killed when the process has ended."""
        if self.dead:
            raise Killed

    def _end(self) -> None:
        if self.pause is None:
            self.dead = True
            raise Killed
        self.paused = True
        self.done.clear()
        self.pause()


class NumberedStore(FileStore):
    """Files, with all that changes them numbered; a dead process gives no lease back."""

    def __init__(self, root: Path, *, clock: Callable[[], datetime], effects: Effects) -> None:
        super().__init__(root, clock=clock)
        self.effects = effects

    def write(
        self,
        key: str,
        body: bytes,
        *,
        if_match: str | None = None,
        if_absent: bool = False,
        lease: Lease | None = None,
    ) -> str:
        write = super().write
        return self.effects.of(
            f"write {key}",
            lambda: write(key, body, if_match=if_match, if_absent=if_absent, lease=lease),
        )

    def append(self, key: str, body: bytes, *, lease: Lease | None = None) -> None:
        append = super().append
        self.effects.of(f"append {key}", lambda: append(key, body, lease=lease))

    def delete(self, key: str, *, if_match: str | None = None, lease: Lease | None = None) -> None:
        delete = super().delete
        self.effects.of(f"delete {key}", lambda: delete(key, if_match=if_match, lease=lease))

    def lease(self, key: str, *, seconds: int = 60) -> FileLease:
        take = super().lease
        return self.effects.of(f"lease {key}", lambda: take(key, seconds=seconds))

    def _renew(self, lease: FileLease) -> None:
        renew = super()._renew
        self.effects.of(f"renew {lease.key}", lambda: renew(lease))

    def _release(self, lease: FileLease) -> None:
        release = super()._release
        self.effects.of(f"release {lease.key}", lambda: release(lease))
