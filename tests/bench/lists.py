"""How long the lists of shared infrastructure take to load and to ask.

python -m tests.bench.lists
"""

import sys
import time
from collections.abc import Callable

from mdti.infrastructure import SNAPSHOT, Infrastructure, parse_lists
from mdti.models import Host
from tests.bench.report import Row, show

ROUNDS = 5
CALLS = 20_000

HOSTS = (
    Host("ipv4", "104.16.1.1"),
    Host("ipv4", "52.95.110.1"),
    Host("ipv4", "198.51.100.1"),
    Host("ipv6", "2606:4700::1"),
)
NAMES = ("www.evil.example", "a.b.duckdns.org", "www.evil.co.uk")


def best_seconds(action: Callable[[], object]) -> float:
    """Return the shortest time of `action` over a few rounds: the rest is other processes."""
    times = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        action()
        times.append(time.perf_counter() - begin)
    return min(times)


def main() -> int:
    """Measure and print; return 1 when a target is missed."""
    text = SNAPSHOT.read_text(encoding="utf-8")
    infrastructure = Infrastructure()
    infrastructure.registrable("www.evil.example")

    def addresses() -> None:
        for number in range(CALLS):
            infrastructure.standing(HOSTS[number % len(HOSTS)])

    def domains() -> None:
        for number in range(CALLS):
            infrastructure.registrable(NAMES[number % len(NAMES)])

    table = [
        Row("load", best_seconds(lambda: parse_lists(text)) * 1_000, "ms", at_most=50),
        Row("an address", best_seconds(addresses) / CALLS * 1e6, "us", at_most=5),
        Row("a registrable domain", best_seconds(domains) / CALLS * 1e6, "us"),
        Row("size of the snapshot", len(text) / 1_000, "kB", at_most=1_000),
    ]
    return 0 if show(f"lists of {infrastructure.snapshot}", table) else 1


if __name__ == "__main__":
    sys.exit(main())
