"""What a feed costs: memory for a million indicators, the rate it reaches, the calls it makes.

A million indicators go from a generated source through mirror and ledger in files to a destination
that only counts; the peak is that of the whole process, which is a new one. The rate is measured
with the real clock against limits five times those of the documents, with a latency of 100 ms.
Run: `python -m tests.bench.feeds`.
"""

import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from mdti.feeds.indicator import Indicator, Key
from mdti.feeds.pace import Pace
from mdti.feeds.policy import Policy
from mdti.feeds.ports import Batch, Cursor, Limits, Operation, Outcome, Owned, Phase, Skip, Upsert
from mdti.feeds.route import Route, Terms
from mdti.feeds.sync import Feed, Run, Sync
from mdti.net.deadline import Deadline
from mdti.store.files import FileStore
from tests.bench.report import Row, show

MILLION = 1_000_000
PAGE = 5_000
SPEED = 5
LATENCY = 0.1
MODIFIED = datetime(2026, 11, 21, tzinfo=UTC)
DOCUMENTED = {"Sentinel": (100, 100.0), "Defender": (500, 30.0)}
"""Rows in one call and calls in a minute, as the vendors document them."""


class Generated:
    """A source of so many domains, made while they are read."""

    name = "taxii"

    def __init__(self, count: int) -> None:
        self._count = count

    def read(self, cursor: Cursor | None, *, full: bool, deadline: Deadline) -> Iterator[Batch]:
        for start in range(0 if cursor is None else self._count, self._count, PAGE):
            end = min(start + PAGE, self._count)
            changes = tuple(_upsert(number) for number in range(start, end))
            phase: Phase = "snapshot_end" if end == self._count else "snapshot"
            yield Batch(changes, {"at": str(end)}, phase)


class Counting:
    """A destination that takes everything, after a while."""

    name = "sentinel"

    def __init__(self, limits: Limits, *, latency: float = 0.0) -> None:
        self.limits = limits
        self._latency = latency
        self._lock = threading.Lock()
        self.calls: list[float] = []
        self.rows = 0

    def key(self, indicator: Indicator) -> Key | Skip:
        return indicator.key

    def listing(self, *, deadline: Deadline) -> Iterator[Owned] | None:
        return None

    def apply(self, operations: Sequence[Operation], *, deadline: Deadline) -> Sequence[Outcome]:
        with self._lock:
            self.calls.append(time.perf_counter())
            self.rows += len(operations)
        if self._latency:
            time.sleep(self._latency)
        return [Outcome(one.key, "accepted") for one in operations]


def _upsert(number: int) -> Upsert:
    indicator = Indicator(
        key=Key("domain", f"host-{number:07}.bench.example"),
        modified=MODIFIED,
        confidence=50 + number % 50,
        title=f"host-{number:07}.bench.example",
        description="A host that a benchmark made, with a description of ordinary length.",
        threat_types=("malicious-activity",),
        tags=("bench", f"family-{number % 300}"),
    )
    return Upsert(f"indicator--{number:032x}", "2026-11-21T00:00:00Z", (indicator,))


def _run(count: int, destination: Counting, *, paced: bool, times: int = 1) -> list[Run]:
    with tempfile.TemporaryDirectory() as folder:
        store = FileStore(Path(folder) / "state", clock=lambda: datetime.now(UTC))
        pace = Pace(
            destination.limits.per_minute,
            clock=time.monotonic,
            sleep=time.sleep if paced else lambda seconds: None,
        )
        route = Route(
            destination=destination,
            ledger="sentinel",
            policy=Policy(min_confidence=50),
            terms=Terms(expire_days=30),
        )
        sync = Sync(
            store,
            route_of=lambda name: route,
            pace_of=lambda destination: pace,
            now=lambda: datetime.now(UTC),
            sleep=time.sleep,
            folder=Path(folder),
        )
        feed = Feed(
            name="taxii-to-sentinel",
            source=Generated(count),
            route=route,
        )
        return [sync.run(feed, deadline=Deadline.after(36_000)) for _ in range(times)]


def million() -> dict[str, float]:
    """Send a million indicators in this process, then compare them all again with the ledger.

    Returns the peak of the process in MiB, rows, calls and seconds.
    """
    start = time.perf_counter()
    destination = Counting(Limits(batch=500, per_minute=30.0))
    first, second = _run(MILLION, destination, paced=False, times=2)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "peak": peak / (1024 if sys.platform != "darwin" else 1024 * 1024),
        "accepted": first.report.accepted,
        "unchanged": second.report.unchanged,
        "calls": len(destination.calls),
        "seconds": time.perf_counter() - start,
    }


def memory() -> list[Row]:
    """Measure a million in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.feeds", "million"]
    output = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(output.stdout)
    return [
        Row("a million indicators: peak memory of the process", found["peak"], "MiB", at_most=200),
        Row("a million indicators: lost", MILLION - found["accepted"], "rows", at_most=0),
        Row("a million: sent again", MILLION - found["unchanged"], "rows", at_most=0),
        Row("a million indicators: calls", found["calls"] / MILLION, "per indicator", at_most=0.01),
        Row("a million indicators: both runs without pacing", found["seconds"], "s"),
    ]


def rate(name: str) -> list[Row]:
    """Measure how much of a destination's documented rate is used."""
    batch, per_minute = DOCUMENTED[name]
    limits = Limits(batch=batch, per_minute=per_minute * SPEED, parallel=4)
    destination = Counting(limits, latency=LATENCY)
    calls = int(per_minute * SPEED / 4)
    _run(calls * batch, destination, paced=True)
    seconds = destination.calls[-1] - destination.calls[0]
    reached = (len(destination.calls) - 1) / seconds * 60 / limits.per_minute
    fullest = destination.rows / len(destination.calls) / batch
    title = f"{name}: rate, of {batch} rows {per_minute:g} times a minute"
    return [Row(title, reached * fullest, "of it", at_least=0.95, at_most=1.0)]


def run() -> list[Row]:
    """Measure everything."""
    return [*memory(), *(row for name in DOCUMENTED for row in rate(name))]


if __name__ == "__main__":
    if sys.argv[1:] == ["million"]:
        print(json.dumps(million()))
    else:
        sys.exit(0 if show("feeds", run()) else 1)
