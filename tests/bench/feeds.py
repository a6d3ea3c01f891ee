"""What a feed costs: memory for a million indicators, the rate it reaches, the requests it makes.

A million indicators go from a generated source through mirror and ledger in files to a destination
that only counts; the peak is that of the whole process, which is a new one. Rates and requests are
measured with the real destinations: `feed_rate` and `feed_requests` say how.
Run: `python -m tests.bench.feeds`.
"""

import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence

from mdti.feeds.indicator import Indicator, Key
from mdti.feeds.ports import Limits, Operation, Outcome, Owned, Skip
from mdti.feeds.route import Terms
from mdti.net.deadline import Deadline
from tests.bench import feed_rate, feed_requests
from tests.bench.feed_parts import Generated, engine
from tests.bench.report import Row, show

MILLION = 1_000_000


class Counting:
    """A destination that takes everything."""

    name = "sentinel"

    def __init__(self) -> None:
        self.limits = Limits(batch=500, per_minute=30.0)
        self._lock = threading.Lock()
        self.calls = 0

    def key(self, indicator: Indicator) -> Key | Skip:
        return indicator.key

    def listing(self, *, deadline: Deadline) -> Iterator[Owned] | None:
        return None

    def apply(self, operations: Sequence[Operation], *, deadline: Deadline) -> Sequence[Outcome]:
        with self._lock:
            self.calls += 1
        return [Outcome(one.key, "accepted") for one in operations]


def million() -> dict[str, float]:
    """Send a million indicators in this process, then compare them all again with the ledger.

    Returns the peak of the process in MiB, rows, calls and seconds.
    """
    start = time.perf_counter()
    destination, terms = Counting(), Terms(expire_days=30)
    with engine(Generated(MILLION), destination, terms, pacing=lambda seconds: None) as (
        sync,
        feed,
    ):
        first, second = (sync.run(feed, deadline=Deadline.after(36_000)) for _ in range(2))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "peak": peak / (1024 if sys.platform != "darwin" else 1024 * 1024),
        "accepted": first.report.accepted,
        "unchanged": second.report.unchanged,
        "calls": destination.calls,
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


def main() -> int:
    """Measure everything, print, and return 1 when a target is missed."""
    met = [show("feeds: memory", memory()), feed_rate.main([]) == 0, feed_requests.main([]) == 0]
    return 0 if all(met) else 1


if __name__ == "__main__":
    if sys.argv[1:] == ["million"]:
        print(json.dumps(million()))
    else:
        sys.exit(main())
