"""What the benchmarks of feeds share: a source of made-up domains, and an engine over files."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from mdti.feeds.indicator import Indicator, Key
from mdti.feeds.pace import Pace
from mdti.feeds.policy import Policy
from mdti.feeds.ports import Batch, Change, Cursor, Destination, Phase, Remove, Upsert
from mdti.feeds.route import Route, Terms
from mdti.feeds.sync import Feed, Sync
from mdti.net.deadline import Deadline
from mdti.store.files import FileStore

PAGE = 5_000
MODIFIED = datetime(2026, 11, 21, tzinfo=UTC)


class Generated:
    """A source of so many domains of so many families, made while they are read.

    All of them change when `version` grows, and with `gone` they go.
    """

    name = "taxii"

    def __init__(self, count: int, *, families: int = 300) -> None:
        self._count, self._families = count, families
        self.version = 1
        self.gone = False

    def read(self, cursor: Cursor | None, *, full: bool, deadline: Deadline) -> Iterator[Batch]:
        if cursor is not None and cursor["version"] == str(self.version):
            return
        for start in range(0, self._count, PAGE):
            end = min(start + PAGE, self._count)
            changes = tuple(self._change(number) for number in range(start, end))
            last = end == self._count
            version = str(self.version if last else 0)
            yield Batch(changes, {"version": version}, self._phase(last=last))

    def _phase(self, *, last: bool) -> Phase:
        if self.gone:
            return "delta"
        return "snapshot_end" if last else "snapshot"

    def _change(self, number: int) -> Change:
        source_id, version = f"indicator--{number:032x}", str(self.version)
        if self.gone:
            return Remove(source_id, version, "gone")
        indicator = Indicator(
            key=Key("domain", f"host-{number:07}.bench.example"),
            modified=MODIFIED,
            confidence=50 + (number + self.version) % 50,
            title=f"host-{number:07}.bench.example",
            description="A host that a benchmark made, with a description of ordinary length.",
            threat_types=("malicious-activity",),
            tags=("bench", f"family-{number % self._families}"),
        )
        return Upsert(source_id, version, (indicator,))


@contextmanager
def engine(
    source: Generated,
    destination: Destination,
    terms: Terms,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    pacing: Callable[[float], object] | None = None,
) -> Iterator[tuple[Sync, Feed]]:
    """Yield an engine over files, and the feed from a source to a destination.

    `pacing` is how the pace sleeps, if otherwise than the engine.
    """
    pace = Pace(destination.limits.per_minute, clock=clock, sleep=pacing or sleep)
    route = Route(
        destination=destination,
        ledger=destination.name,
        policy=Policy(min_confidence=50),
        terms=terms,
    )
    with tempfile.TemporaryDirectory() as folder:
        sync = Sync(
            FileStore(Path(folder) / "state", clock=lambda: datetime.now(UTC)),
            route_of=lambda name: route,
            pace_of=lambda destination: pace,
            now=now,
            sleep=sleep,
            folder=Path(folder),
        )
        yield sync, Feed(name=f"taxii-to-{destination.name}", source=source, route=route)
