"""How near the transport comes to the limit that latency and concurrency set.

The limit of N requests is N / concurrency x latency. Run: `python -m tests.bench.transport`.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import requests
from requests.adapters import HTTPAdapter

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
    """Measure 1,000 GETs one by one and in batches; the median of three runs each.

    The bare library beside it, in turns, shows what a busy machine adds to all of them.
    """
    limit = REQUESTS / CONCURRENCY * LATENCY
    with running(LATENCY) as root:
        rounds = [
            (_bare(root), _measure(root, None), _measure(root, BatchRule(root)))
            for _ in range(ROUNDS)
        ]
    bare, single, batched = (median(seconds) / limit for seconds in zip(*rounds, strict=True))
    return [
        Row("1,000 GETs at 50 ms, 32 in flight", single, "x limit", at_most=1.2),
        Row("the same in batches of 20", batched, "x limit", at_most=0.3),
        Row("the same by requests and threads alone", bare, "x limit"),
    ]


def _bare(root: str) -> float:
    with requests.Session() as session, ThreadPoolExecutor(CONCURRENCY) as threads:
        session.trust_env = False
        session.mount("http://", HTTPAdapter(pool_connections=1, pool_maxsize=CONCURRENCY))

        def get(number: int) -> None:
            session.get(f"{root}/hosts/{number}/reputation", timeout=30).raise_for_status()

        start = time.perf_counter()
        for _ in threads.map(get, range(REQUESTS)):
            pass
        return time.perf_counter() - start


def _measure(root: str, batch: BatchRule | None) -> float:
    transport = Transport(token=lambda scope, renew: "token", concurrency=CONCURRENCY, batch=batch)
    wanted = [
        Request(f"{root}/hosts/{number}/reputation", audience="scope") for number in range(REQUESTS)
    ]
    start = time.perf_counter()
    outcomes = dict(transport.map(wanted, deadline=Deadline.after(60)))
    seconds = time.perf_counter() - start
    transport.close()
    good = sum(isinstance(outcome, Response) for outcome in outcomes.values())
    if good != REQUESTS:
        raise SystemExit(f"{REQUESTS - good} of {REQUESTS} requests were lost")
    return seconds


if __name__ == "__main__":
    sys.exit(0 if show("transport", run()) else 1)
