"""The time until which an answer is worth having."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from mdti.errors import DeadlineExceeded


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point on a monotonic clock; one is made per answer and handed down to every step.

    `at` is in seconds of `clock`.
    """

    at: float
    clock: Callable[[], float] = field(default=time.monotonic, repr=False, compare=False)

    @classmethod
    def after(cls, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> "Deadline":
        """Return the deadline that lies `seconds` ahead; a negative number counts as none left."""
        return cls(clock() + max(0.0, seconds), clock)

    def remaining(self) -> float:
        """Return the seconds that are left, never below 0.0."""
        return max(0.0, self.at - self.clock())

    @property
    def expired(self) -> bool:
        """True when no time is left."""
        return self.remaining() <= 0.0

    def check(self) -> None:
        """Raise `DeadlineExceeded` when no time is left."""
        if self.expired:
            raise DeadlineExceeded("The time for the whole answer is over.")
