"""What the suite that all destinations share needs of each: a vendor, and a way to look into it."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar, Literal

from mdti.feeds.indicator import Indicator, IndicatorKind, Key
from mdti.feeds.ports import Destination, Drop, Operation, Outcome, Put
from tests.feeds.rig import NOW, VALUES, Clock, VendorRig

__all__ = ["NOW", "VALUES", "Clock", "Rig", "domain", "drop", "indicator", "put"]

Credential = Literal["right", "wrong"]


def indicator(value: str, kind: IndicatorKind = "domain", **fields: object) -> Indicator:
    """Return an indicator as a source gives it; fields may be set by name."""
    plain = Indicator(
        key=Key(kind, value),
        modified=NOW - timedelta(hours=1),
        confidence=80,
        title=f"about {value}",
        description="seen in a made-up campaign",
        threat_types=("malware",),
        tags=("loader",),
    )
    return replace(plain, **fields)  # type: ignore[arg-type]


def domain(number: int) -> str:
    return f"host-{number}.example"


def put(value: str | Indicator, *, generation: int = 0, remote_id: str | None = None) -> Put:
    item = value if isinstance(value, Indicator) else indicator(value)
    return Put(item.key, item, generation, remote_id)


def drop(outcome: Outcome, *, generation: int = 0) -> Drop:
    """Return the removal of what an outcome left behind."""
    return Drop(outcome.key, outcome.remote_id, generation)


class Rig(VendorRig):
    """One kind of destination before its vendor in the sandbox."""

    name: ClassVar[str]
    lists: ClassVar[bool] = True
    shares_values: ClassVar[bool] = False
    """True where somebody else's row with the same value is another row."""
    one_call: ClassVar[bool] = True
    """True where a batch is one request."""
    hosts_only: ClassVar[bool] = False
    """True where nothing but hosts and addresses has a row."""

    def __init__(self) -> None:
        super().__init__()
        self.credential: Credential = "right"

    @abstractmethod
    def destination(self) -> Destination:
        """Return a fresh destination."""

    @abstractmethod
    def present(self) -> list[str]:
        """Return the values of our rows that are in force, sorted; a value as often as it is."""

    @abstractmethod
    def describes(self, value: str) -> int:
        """Return the confidence, or what stands for it, of our row with a value."""

    @abstractmethod
    def spoil(self, value: str) -> None:
        """Let the vendor refuse a value."""

    @abstractmethod
    def add_foreign(self, value: str) -> None:
        """Let somebody else have a row with a value."""

    @abstractmethod
    def foreign(self, value: str) -> object:
        """Return somebody else's row with a value, to be compared."""

    @abstractmethod
    def vanish(self, value: str) -> None:
        """Let our row with a value go without our doing."""

    def apply(
        self,
        *operations: Operation,
        destination: Destination | None = None,
        seconds: float = 600.0,
    ) -> Sequence[Outcome]:
        """Apply operations with a fresh destination, as another process would."""
        chosen = destination or self.destination()
        return chosen.apply(operations, deadline=self.deadline(seconds))

    def token(self, scope: str, renew: bool) -> str:
        if self.credential == "wrong":
            return "wrong"
        return super().token(scope, renew)
