"""What a server that throttles costs, against the ideal time of its own limit.

1,000 requests to 50 per second with a burst of 50 take 19 s at best. Refused calls count half, and
`Retry-After` is in whole seconds. Run: `python -m tests.bench.throttle`.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

from mdti.net.deadline import Deadline
from mdti.net.transport import Request, Response, Transport
from tests.bench.report import Row, show
from tests.bench.server import running

REQUESTS = 1_000
RATE = 50.0
BURST = 50.0
LATENCIES = (0.05, 0.08, 0.15)


def run() -> list[Row]:
    """Measure three latencies side by side, each with a server of its own."""
    with ThreadPoolExecutor(len(LATENCIES)) as threads:
        return [row for rows in threads.map(_measure, LATENCIES) for row in rows]


def _measure(latency: float) -> list[Row]:
    ideal = (REQUESTS - BURST) / RATE
    with running(latency, RATE, BURST) as root:
        transport = Transport(token=lambda scope, renew: "token", concurrency=32)
        requests = [Request(f"{root}/hosts/{number}") for number in range(REQUESTS)]
        start = time.perf_counter()
        outcomes = dict(transport.map(requests, deadline=Deadline.after(120)))
        seconds = time.perf_counter() - start
        throttled = transport.counters().throttled
        transport.close()
    lost = REQUESTS - sum(isinstance(outcome, Response) for outcome in outcomes.values())
    name = f"throttled server, {latency * 1000:.0f} ms latency"
    return [
        Row(f"{name}: time", seconds / ideal, "x ideal", at_most=1.10),
        Row(f"{name}: refusals", throttled / REQUESTS, "429s per item", at_most=0.05),
        Row(f"{name}: lost", lost, "requests", at_most=0),
    ]


if __name__ == "__main__":
    sys.exit(0 if show("throttle", run()) else 1)
