"""How near the transport comes to the limit that latency and concurrency set.

The limit of N requests is N / concurrency x latency. Run: `python -m tests.bench.transport`.
"""

import sys
import time

from mdti.net.batch import BatchRule
from mdti.net.deadline import Deadline
from mdti.net.transport import Request, Response, Transport
from tests.bench.report import Row, show
from tests.bench.server import running

REQUESTS = 1_000
CONCURRENCY = 32
LATENCY = 0.05
ROUNDS = 3


def run() -> list[Row]:
    """Measure 1,000 GETs one by one and in batches; the median of three runs each."""
    limit = REQUESTS / CONCURRENCY * LATENCY
    with running(LATENCY) as root:
        single = _median(root, None)
        batched = _median(root, BatchRule(root))
    return [
        Row("1,000 GETs at 50 ms, 32 in flight", single / limit, "x limit", at_most=1.2),
        Row("the same in batches of 20", batched / limit, "x limit", at_most=0.3),
    ]


def _median(root: str, batch: BatchRule | None) -> float:
    return sorted(_measure(root, batch) for _ in range(ROUNDS))[ROUNDS // 2]


def _measure(root: str, batch: BatchRule | None) -> float:
    transport = Transport(token=lambda scope, renew: "token", concurrency=CONCURRENCY, batch=batch)
    requests = [
        Request(f"{root}/hosts/{number}/reputation", audience="scope") for number in range(REQUESTS)
    ]
    start = time.perf_counter()
    outcomes = dict(transport.map(requests, deadline=Deadline.after(60)))
    seconds = time.perf_counter() - start
    transport.close()
    good = sum(isinstance(outcome, Response) for outcome in outcomes.values())
    if good != REQUESTS:
        raise SystemExit(f"{REQUESTS - good} of {REQUESTS} requests were lost")
    return seconds


if __name__ == "__main__":
    sys.exit(0 if show("transport", run()) else 1)
