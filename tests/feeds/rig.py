"""What stands before a vendor in the sandbox: one clock for both, a transport, a way to begin."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Self

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


class VendorRig(ABC):
    """One end of a feed before its vendor in the sandbox."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.roles: tuple[str, ...] = ()
        self.sandbox: Sandbox
        self.transport: Transport

    @abstractmethod
    def vendors(self, sandbox: Sandbox) -> list[Vendor]:
        """Return the vendors that are needed."""

    @abstractmethod
    def forbid(self) -> None:
        """Take the caller's permission away."""

    def seconds(self) -> float:
        """Return this machine's time."""
        return self.clock.seconds

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds(), UTC)

    def deadline(self, seconds: float = 600.0) -> Deadline:
        return Deadline.after(seconds, clock=self.clock)

    def token(self, scope: str, renew: bool) -> str:
        return self.sandbox.tokens.issue(scope.removesuffix("/.default"), self.roles)[0]

    @contextmanager
    def running(self) -> Iterator[Self]:
        with ExitStack() as stack:
            self.sandbox = stack.enter_context(
                Sandbox(vendors=self.vendors, clock=self.clock, sleep=self.clock.sleep)
            )
            self.transport = Transport(
                token=self.token, clock=self.clock, sleep=self.clock.sleep, random=Random(1)
            )
            stack.callback(self.transport.close)
            yield self
