"""A source, a destination, and a place where feeds run between them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mdti.errors import MdtiError
from mdti.feeds.indicator import Indicator, Key
from mdti.feeds.pace import Pace
from mdti.feeds.policy import Policy
from mdti.feeds.ports import (
    Batch,
    Change,
    Cursor,
    Destination,
    Drop,
    Limits,
    Operation,
    Outcome,
    Owned,
    Phase,
    Remove,
    Skip,
    Source,
    Upsert,
)
from mdti.feeds.route import Route, Terms
from mdti.feeds.sync import Feed, Run, Sync
from mdti.net.deadline import Deadline
from mdti.store.base import Store
from tests.feeds.effects import Effects, NumberedStore

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class Time:
    """One clock for everything: UTC, monotonic seconds, and a sleep that only moves it."""

    def __init__(self) -> None:
        self.moment = START
        self.slept = 0.0

    def now(self) -> datetime:
        return self.moment

    def clock(self) -> float:
        return (self.moment - START).total_seconds()

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.moment += timedelta(seconds=seconds)

    def forward(self, **amount: float) -> None:
        self.moment += timedelta(**amount)


class FakeSource:
    """A log of changes, read in pages; everything that lives, when asked for all.

    `fails` raises what it holds at the next page.
    """

    def __init__(self, name: str = "taxii", *, page: int = 4) -> None:
        self.name = name
        self.page = page
        self.log: list[Change] = []
        self.effects = Effects()
        self.fails: MdtiError | None = None
        self.asked: list[tuple[Cursor | None, bool]] = []

    def put(self, source_id: str, *indicators: Indicator, version: str | None = None) -> None:
        self.log.append(Upsert(source_id, version or str(len(self.log) + 1), indicators))

    def remove(self, source_id: str, *, version: str | None = None) -> None:
        self.log.append(Remove(source_id, version or str(len(self.log) + 1), "deleted"))

    @property
    def living(self) -> dict[str, Upsert]:
        """The objects as they are by the end of the log."""
        living: dict[str, Upsert] = {}
        for change in self.log:
            living.pop(change.source_id, None)
            if isinstance(change, Upsert):
                living[change.source_id] = change
        return living

    def read(self, cursor: Cursor | None, *, full: bool, deadline: Deadline) -> Iterator[Batch]:
        self.asked.append((cursor, full))
        begin = cursor if cursor is not None and not full else {"at": str(len(self.log))}
        if cursor is None or full or "page" in cursor:
            yield from self._snapshot(begin)
        at = int(begin["at"])
        while at < len(self.log):
            changes = tuple(self.log[at : at + self.page])
            at += len(changes)
            yield self._batch(changes, {"at": str(at)}, "delta")

    def _snapshot(self, begin: Cursor) -> Iterator[Batch]:
        """List the living by name; what changed meanwhile is read in the log after that."""
        after = begin.get("page", "")
        objects = [change for name, change in sorted(self.living.items()) if name > after]
        while len(objects) > self.page:
            changes, objects = tuple(objects[: self.page]), objects[self.page :]
            cursor = {"at": begin["at"], "page": changes[-1].source_id}
            yield self._batch(changes, cursor, "snapshot")
        yield self._batch(tuple(objects), {"at": begin["at"]}, "snapshot_end")

    def _batch(self, changes: Sequence[Change], cursor: Mapping[str, str], phase: Phase) -> Batch:
        if self.fails is not None:
            raise self.fails
        return self.effects.of("read", lambda: Batch(tuple(changes), cursor, phase))


def filled(count: int = 10, *, name: str = "taxii", page: int = 4) -> FakeSource:
    """Return a source of so many objects, with an address each."""
    source = FakeSource(name, page=page)
    for number in range(count):
        source.put(f"object-{number}", ip(number))
    return source


@dataclass(frozen=True)
class Cell:
    """A row of the destination."""

    indicator: Indicator | None
    ours: bool
    remote_id: str
    generation: int = 0


class FakeDestination:
    """Rows in memory; what may never happen is written into `wrongs`.

    `revokes`: a removed row cannot come back in the same generation, and rows cannot be listed.
    `verdict` may answer for one operation in place of doing it; `after` too, but it was done.
    `fails` is what the next call raises in place of being made, `no_answer` gives what it raises
    after it was carried out.
    """

    def __init__(
        self,
        name: str = "defender",
        *,
        limits: Limits | None = None,
        listable: bool = True,
        revokes: bool = False,
    ) -> None:
        self.name = name
        self.limits = limits or Limits(batch=5, per_minute=60_000)
        self.listable, self.revokes = listable, revokes
        self.rows: dict[Key, Cell] = {}
        self.revoked: set[tuple[Key, int]] = set()
        self.effects = Effects()
        self.fails: MdtiError | None = None
        self.verdict: Callable[[Operation], Outcome | None] = lambda operation: None
        self.after: Callable[[Operation], Outcome | None] = lambda operation: None
        self.before_call: Callable[[Sequence[Operation]], None] = lambda operations: None
        self.no_answer: Callable[[], MdtiError | None] = lambda: None
        self.calls: list[tuple[Operation, ...]] = []
        self.wrongs: list[str] = []

    def key(self, indicator: Indicator) -> Key | Skip:
        if indicator.key.kind == "email":
            return Skip("unsupportedKind")
        return indicator.key

    def listing(self, *, deadline: Deadline) -> Iterator[Owned] | None:
        if not self.listable:
            return None
        return iter([Owned(key, cell.remote_id, cell.ours) for key, cell in self.rows.items()])

    def apply(self, operations: Sequence[Operation], *, deadline: Deadline) -> Sequence[Outcome]:
        self.begin(operations)
        return self.end(self.effects.of("call", lambda: [self._do(one) for one in operations]))

    def begin(self, operations: Sequence[Operation]) -> None:
        """Note a call, and what is wrong with it."""
        self.calls.append(tuple(operations))
        self.before_call(operations)
        if self.fails is not None:
            raise self.fails
        if len(operations) > self.limits.batch:
            self.wrongs.append(f"{len(operations)} operations in one call")
        if len({type(operation) for operation in operations}) > 1:
            self.wrongs.append("two kinds of operations in one call")

    def end(self, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
        """Return the outcomes of a call that was carried out, unless its answer is lost."""
        if (error := self.no_answer()) is not None:
            raise error
        return outcomes

    @property
    def on_the_way(self) -> set[Key]:
        """The rows of calls that have left a process and have not landed."""
        return set()

    @property
    def ours(self) -> dict[Key, Indicator | None]:
        return {key: cell.indicator for key, cell in self.rows.items() if cell.ours}

    @property
    def _full(self) -> bool:
        return self.limits.capacity is not None and len(self.rows) >= self.limits.capacity

    def _do(self, operation: Operation) -> Outcome:
        instead = self.verdict(operation)
        if instead is not None:
            return instead
        key = operation.key
        there = self.rows.get(key)
        if there is not None and not there.ours:
            self.wrongs.append(f"{type(operation).__name__} of the foreign row {key.value}")
        remote_id = f"row-{key.value}"
        if isinstance(operation, Drop):
            self.rows.pop(key, None)
            self.revoked.add((key, operation.generation))
        elif self.revokes and (key, operation.generation) in self.revoked:
            self.wrongs.append(f"a revoked row came back: {key.value}")
        elif there is None and self._full:
            return Outcome(key, "over_cap", "full")
        else:
            self.rows[key] = Cell(operation.indicator, True, remote_id, operation.generation)
        return self.after(operation) or Outcome(key, "accepted", remote_id=remote_id)


class Place:
    """A store, a clock, and feeds between fakes; `restart` is what a crash is followed by."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.time = Time()
        self.effects = Effects()
        self.policy = Policy()
        self.terms = Terms()
        self.sweep_percent = 20
        self.full_days: int | None = None
        self.policies: dict[str, Policy] = {}
        self.all_terms: dict[str, Terms] = {}

    def store(self) -> Store:
        """Open the state as one process does."""
        return NumberedStore(self.root, clock=self.time.now, effects=self.effects)

    def feed(self, source: Source, destination: Destination) -> Feed:
        name = f"{source.name}-to-{destination.name}"
        return Feed(
            name=name,
            source=source,
            route=self.route(name, destination),
            sweep_percent=self.sweep_percent,
            full_days=self.full_days,
        )

    def route(self, name: str, destination: Destination) -> Route:
        policy = self.policies.get(name, self.policy)
        terms = self.all_terms.get(name, self.terms)
        return Route(destination=destination, ledger=destination.name, policy=policy, terms=terms)

    def sync(self, destination: Destination | None = None) -> Sync:
        return Sync(
            self.store(),
            route_of=lambda name: self.route(name, destination or FakeDestination()),
            pace_of=lambda destination: Pace(
                destination.limits.per_minute, clock=self.time.clock, sleep=self.time.sleep
            ),
            now=self.time.now,
            sleep=self.time.sleep,
        )

    def run(
        self,
        source: Source,
        destination: Destination,
        *,
        full: bool = False,
        dry_run: bool = False,
        seconds: float = 1_500,
    ) -> Run:
        deadline = Deadline.after(seconds, clock=self.time.clock)
        feed = self.feed(source, destination)
        return self.sync(destination).run(feed, deadline=deadline, full=full, dry_run=dry_run)

    def restart(self) -> None:
        """Go on as another process, after the leases of the one before have ended."""
        self.effects = Effects()
        self.time.forward(seconds=61)


def ip(number: int, **fields: object) -> Indicator:
    """Return an indicator of an address, as it was modified at `START`."""
    key = Key("ipv4", f"192.0.{number // 250 % 250}.{number % 250}")
    return Indicator(key=key, modified=START, **{"confidence": 80, **fields})  # type: ignore[arg-type]


def wanted(*sources: FakeSource) -> dict[Key, Indicator]:
    """Return what the destination ends with when no policy interferes: per key the highest."""
    rows: dict[Key, Indicator] = {}
    for source in sources:
        for upsert in source.living.values():
            for indicator in upsert.indicators:
                known = rows.get(indicator.key)
                if known is None or _worth(indicator) > _worth(known):
                    rows[indicator.key] = indicator
    return rows


def _worth(indicator: Indicator) -> tuple[int, datetime]:
    return indicator.score or indicator.confidence or 0, indicator.modified
