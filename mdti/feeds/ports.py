"""The two ports of the feed engine: what a source gives and what a destination takes.

    Source.read -> Batch(changes, cursor) -> mirror -> plan -> Put | Drop -> Destination.apply

The engine owns order, durability, retries and counting; a source or destination owns one vendor's
wire format, its limits and its words.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from mdti.feeds.indicator import Indicator, Key
from mdti.net.deadline import Deadline

Cursor = Mapping[str, str]
Phase = Literal["delta", "snapshot", "snapshot_end"]


@dataclass(frozen=True, slots=True)
class Upsert:
    """A source object as it is at `version`: its whole set of indicators, which may be empty.

    Versions are times (ISO 8601) or numbers (`17`, `17-2`) of the source's own clock, of one form
    in one source; a later one wins, whatever order they arrive in.
    `skipped` says, by reason, what of the object could not become an indicator.
    """

    source_id: str
    version: str
    indicators: tuple[Indicator, ...]
    skipped: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Remove:
    """A source object that is gone: deleted, revoked or out of the feed."""

    source_id: str
    version: str
    reason: str


Change = Upsert | Remove


@dataclass(frozen=True, slots=True)
class Batch:
    """Some changes, and a cursor that is always safe to resume after.

    A snapshot lists everything that exists, or everything whose version is not before `since`; only
    after its `snapshot_end`, which names it, may what was not listed be taken for gone.
    """

    changes: tuple[Change, ...]
    cursor: Cursor
    phase: Phase = "delta"
    since: str = ""


class Source(Protocol):
    """One place that indicators come from."""

    name: str

    def read(self, cursor: Cursor | None, *, full: bool, deadline: Deadline) -> Iterator[Batch]:
        """Yield what changed since `cursor`, or everything when it is None or `full`.

        Ends when the source has nothing more for now, or when the deadline is near: the last
        batch's cursor then says where to go on. Raises `MdtiError` for what only a person can mend.
        """


@dataclass(frozen=True, slots=True)
class Limits:
    """What a destination takes: rows in one call, calls in a minute, rows in all (None: any).

    `parallel` is how many calls of `apply` may be under way at once, from as many threads.
    """

    batch: int
    per_minute: float
    capacity: int | None = None
    parallel: int = 1


@dataclass(frozen=True, slots=True)
class Skip:
    """Why an indicator cannot become a row of this destination."""

    reason: str


@dataclass(frozen=True, slots=True)
class Put:
    """Create or update the row of an indicator; `remote_id` is set when the row is known."""

    key: Key
    indicator: Indicator
    generation: int = 0
    remote_id: str | None = None


@dataclass(frozen=True, slots=True)
class Drop:
    """Remove a row that is ours."""

    key: Key
    remote_id: str | None
    generation: int = 0


Operation = Put | Drop


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one operation, in the destination's own words where it refused.

    `awaiting_approval` is done as far as a machine can: a person decides there whether it counts.
    What was rejected with a `remote_id` is there in part, so it will have to be dropped.
    """

    key: Key
    state: Literal["accepted", "rejected", "pending", "awaiting_approval", "over_cap"]
    reason: str = ""
    remote_id: str | None = None


@dataclass(frozen=True, slots=True)
class Owned:
    """A row that the destination lists, and whether it carries our mark."""

    key: Key
    remote_id: str
    ours: bool


class Destination(Protocol):
    """One place that indicators go to."""

    name: str
    limits: Limits

    def key(self, indicator: Indicator) -> Key | Skip:
        """Return the row that the indicator becomes here, or why it becomes none."""

    def listing(self, *, deadline: Deadline) -> Iterator[Owned] | None:
        """Yield every row that may be ours, or return None where rows cannot be listed."""

    def apply(self, operations: Sequence[Operation], *, deadline: Deadline) -> Sequence[Outcome]:
        """Carry out at most `limits.batch` operations; one outcome each, in the same order.

        What could not be tried, or whose fate is unknown, is `pending`; like what awaits approval
        it is sent again, with the `remote_id` that its outcome named. Removing what is not there is
        accepted. All operations of one call are of one kind. Raises `MdtiError` when nothing can be
        done at all: wrong key, missing role, full stop.
        """
