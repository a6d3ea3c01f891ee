"""What a benchmark found, and how it is printed."""

from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One measured number, and the least or the most it should be; a row without either informs."""

    name: str
    measured: float
    unit: str = ""
    _: KW_ONLY
    at_least: float | None = None
    at_most: float | None = None

    @property
    def target(self) -> float | None:
        """The number to reach, or None."""
        return self.at_most if self.at_least is None else self.at_least

    @property
    def ok(self) -> bool:
        """False when the target is missed; a number that is not one misses every target."""
        least = self.at_least is None or self.measured >= self.at_least
        most = self.at_most is None or self.measured <= self.at_most
        return least and most


def show(title: str, rows: Iterable[Row]) -> bool:
    """Print the rows below their title; True when every target is met."""
    print(title)
    met = True
    for row in rows:
        met = met and row.ok
        print(f"  {_mark(row)} {row.name:<56} {row.measured:>9.3f} {row.unit:<13} {_goal(row)}")
    return met


def _mark(row: Row) -> str:
    if row.target is None:
        return "    "
    return "ok  " if row.ok else "MISS"


def _goal(row: Row) -> str:
    if row.target is None:
        return ""
    ratio = f" ({row.measured / row.target:.2f} of it)" if row.target else ""
    return f"{'<=' if row.at_least is None else '>='} {row.target:g}{ratio}"
