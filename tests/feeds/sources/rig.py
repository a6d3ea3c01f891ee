"""What the suite that all sources share needs of each: a vendor, and a source that reads it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import ClassVar

from mdti.feeds.ports import Batch, Cursor, Source
from mdti.feeds.values import Values
from mdti.ioc import HostParser
from mdti.net.deadline import Deadline
from mdti.net.transport import Transport
from mdti.sandbox.host import Sandbox
from mdti.sandbox.wire import Vendor

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
VALUES = Values(HostParser(examples=True))


@dataclass
class Clock:
    """Seconds since 1970 that pass only when told, and when somebody sleeps."""

    seconds: float = NOW.timestamp()
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds

    def pass_(self, **duration: float) -> None:
        self.seconds += timedelta(**duration).total_seconds()


class Rig(ABC):
    """One kind of source before its vendor in the sandbox.

    `ours` is the offset of this machine's clock from the vendor's, in seconds. The vendor holds
    domains; `add`, `change` and `remove` happen at the vendor's present time.
    """

    name: ClassVar[str]
    page: ClassVar[int] = 3

    def __init__(self) -> None:
        self.clock = Clock()
        self.ours = 0.0
        self.sandbox: Sandbox
        self.transport: Transport

    @abstractmethod
    def vendors(self, sandbox: Sandbox) -> list[Vendor]:
        """Return the vendors that the source needs."""

    @abstractmethod
    def source(self, *, key: str = "right", page: int | None = None) -> Source:
        """Return a fresh source with the right key or a wrong one."""

    @abstractmethod
    def add(self, domain: str, *, dated: datetime | None = None) -> None:
        """Publish a domain; `dated` is when the vendor says it was modified."""

    @abstractmethod
    def change(self, domain: str) -> None:
        """Change what is said of a domain."""

    @abstractmethod
    def remove(self, domain: str) -> None:
        """Withdraw a domain in a way that is told to those who ask for changes."""

    @abstractmethod
    def vanish(self, domain: str) -> None:
        """Withdraw a domain in a way that nobody is told of: only a full read shows it."""

    @abstractmethod
    def litter(self) -> int:
        """Publish records that are broken in every way; return how many."""

    @abstractmethod
    def forbid(self) -> None:
        """Take the caller's permission away."""

    def seconds(self) -> float:
        """Return this machine's time."""
        return self.clock.seconds + self.ours

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds(), UTC)

    def deadline(self, seconds: float = 600.0) -> Deadline:
        return Deadline.after(seconds, clock=self.clock)

    def read(
        self, cursor: Cursor | None = None, *, full: bool = False, page: int | None = None
    ) -> list[Batch]:
        """Read to the end with a fresh source."""
        source = self.source(page=page)
        return list(source.read(cursor, full=full, deadline=self.deadline()))

    def token(self, scope: str, renew: bool) -> str:
        return self.sandbox.tokens.issue(scope.removesuffix("/.default"), [])[0]

    @contextmanager
    def running(self) -> Iterator["Rig"]:
        with ExitStack() as stack:
            self.sandbox = stack.enter_context(
                Sandbox(vendors=self.vendors, clock=self.clock, sleep=self.clock.sleep)
            )
            self.transport = Transport(
                token=self.token, clock=self.clock, sleep=self.clock.sleep, random=Random(1)
            )
            stack.callback(self.transport.close)
            yield self
