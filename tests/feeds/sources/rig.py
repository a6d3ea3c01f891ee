"""What the suite that all sources share needs of each: a vendor, and a source that reads it."""

from abc import abstractmethod
from datetime import datetime
from typing import ClassVar

from mdti.feeds.ports import Batch, Cursor, Source
from tests.feeds.rig import VendorRig


class Rig(VendorRig):
    """One kind of source before its vendor in the sandbox.

    `ours` is the offset of this machine's clock from the vendor's, in seconds. The vendor holds
    domains; `add`, `change` and `remove` happen at the vendor's present time.
    """

    name: ClassVar[str]
    page: ClassVar[int] = 3

    def __init__(self) -> None:
        super().__init__()
        self.ours = 0.0

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

    def seconds(self) -> float:
        return self.clock.seconds + self.ours

    def read(
        self, cursor: Cursor | None = None, *, full: bool = False, page: int | None = None
    ) -> list[Batch]:
        """Read to the end with a fresh source."""
        source = self.source(page=page)
        return list(source.read(cursor, full=full, deadline=self.deadline()))
