"""How much of a destination's documented rate a feed uses: the real class before its sandbox.

Engine, pace, transport, destination and HTTP on loopback are those of the product. The vendor takes
a second to answer, ten seconds one time in fifty, and refuses what exceeds its documented limits.
For all of them time passes faster, as each title says, so what this machine computes weighs as much
more. A rate is that of the calls that write, from the arrival of the first to that of the last: the
start of the calls is in it, what is read and compared before them is not.

Anomali documents no limit for imports. What is measured there is how far the feed's own limit is
away, which counts batches of 1,000: each is read, imported and read back in many requests.
Run: `python -m tests.bench.feed_rate [DESTINATION ...]`.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from random import Random

from mdti.feeds.ports import Destination
from mdti.feeds.route import Terms
from mdti.feeds.sync import RUN_SECONDS
from mdti.net.deadline import Deadline
from mdti.net.transport import Transport
from mdti.sandbox.faults import Fault, Faults
from mdti.sandbox.host import Sandbox
from mdti.sandbox.wire import Reply, Request, Vendor
from tests.bench.feed_parts import Generated, engine
from tests.bench.report import Row, show
from tests.feeds.destinations.rig import NOW, Clock, Rig
from tests.feeds.destinations.rig_defender import DefenderRig
from tests.feeds.destinations.rig_sentinel import SentinelRig
from tests.feeds.destinations.rig_threatstream import SessionsRig, ThreatStreamRig

ANSWER, SLOW_ANSWER = 1.0, 10.0
"""Seconds that a vendor takes to answer."""
SLOW_SHARE = 0.02
FAMILIES = 10
"""The domains are of so many families: Anomali takes one import for each way to describe a row."""
DONE = {"new": "accepted", "changed": "accepted", "gone": "removed"}
"""What happens to the source, and the field of the report that counts what came of it."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A request as the vendor saw it."""

    at: float
    path: str
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One destination: how many rows it is given, how much faster time passes, what is measured.

    `writes` is how the paths end of which the vendor documents `per_minute` calls of `batch` rows;
    0 where it documents none.
    """

    rig: Callable[[], Rig]
    rows: int
    speed: float
    batch: int = 0
    per_minute: int = 0
    writes: tuple[str, ...] = ("",)
    phases: Sequence[str] = ("new", "changed", "gone")

    def written(self, arrived: Sequence[Arrived]) -> list[Arrived]:
        """Return the calls whose rate is measured."""
        return [one for one in arrived if one.path.endswith(self.writes)]


CASES: Mapping[str, Case] = {
    "defender": Case(
        rig=DefenderRig,
        rows=12_000,
        speed=8.0,
        batch=500,
        per_minute=30,
        writes=("/import", "/BatchDelete"),
    ),
    "sentinel": Case(
        rig=SentinelRig,
        rows=12_000,
        speed=5.0,
        batch=100,
        per_minute=100,
        writes=(":upload",),
    ),
    "anomali, direct": Case(rig=ThreatStreamRig, rows=4_000, speed=20.0, phases=("new", "changed")),
    "anomali, sessions": Case(rig=SessionsRig, rows=4_000, speed=20.0, phases=("new",)),
}


class Fast(Clock):
    """The machine's time, so many times as fast."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._begun = NOW.timestamp() - time.perf_counter() * speed

    def __call__(self) -> float:
        return self.seconds

    @property
    def seconds(self) -> float:
        return self._begun + time.perf_counter() * self._speed

    @seconds.setter
    def seconds(self, seconds: float) -> None:
        self._begun += seconds - self.seconds

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds) / self._speed)


class Watched:
    """A vendor that notes what arrives when."""

    def __init__(self, vendor: Vendor, clock: Clock) -> None:
        self._vendor, self._clock = vendor, clock
        self._arrived: list[Arrived] = []

    @property
    def name(self) -> str:
        return self._vendor.name

    def settings(self, base_url: str) -> Mapping[str, str]:
        return self._vendor.settings(base_url)

    def handle(self, request: Request) -> Reply:
        at = self._clock()
        reply = self._vendor.handle(request)
        self._arrived.append(Arrived(at, request.path, reply.status))
        return reply

    def take(self) -> list[Arrived]:
        """Return what arrived since it was last asked, by its time."""
        arrived, self._arrived = self._arrived, []
        return sorted(arrived, key=lambda one: one.at)


def rates(name: str) -> list[Row]:
    """Measure a destination whose rows are all new, then changed, then gone."""
    case = CASES[name]
    rows: list[Row] = []
    arrived: list[Arrived] = []
    lost = 0
    with _before_vendor(case) as (rig, vendor):
        destination, source = rig.destination(), Generated(case.rows, families=FAMILIES)
        with engine(
            source,
            destination,
            Terms(expire_days=30, capacity=destination.limits.capacity),
            clock=rig.clock,
            sleep=rig.clock.sleep,
            now=rig.now,
        ) as (sync, feed):
            for version, phase in enumerate(case.phases, 1):
                source.version, source.gone = version, phase == "gone"
                deadline = Deadline.after(RUN_SECONDS, clock=rig.clock)
                report = sync.run(feed, deadline=deadline).report
                done = getattr(report, DONE[phase])
                came = vendor.take()
                rows += _rate(f"{name}, {phase}", case, done, case.written(came), destination)
                arrived += came
                lost += case.rows - done
    refused = sum(one.status == 429 for one in arrived)
    return [
        *rows,
        *_busiest(name, case, case.written(arrived)),
        Row(f"{name}: refused with 429", refused, "calls", at_most=0),
        Row(f"{name}: lost", lost, "rows", at_most=0),
    ]


def _rate(
    title: str, case: Case, done: int, wrote: Sequence[Arrived], destination: Destination
) -> list[Row]:
    minutes = (wrote[-1].at - wrote[0].at) / 60
    if case.per_minute:
        # Neither the last call's rows nor the time that it takes up are counted.
        per_minute = done * (len(wrote) - 1) / len(wrote) / minutes
        share = per_minute / (case.batch * case.per_minute)
        return [Row(f"{title}: documented rate", share, "of it", at_least=0.95)]
    limits = destination.limits
    return [
        Row(f"{title}: rows a minute", done / minutes, "1/min"),
        Row(
            f"{title}: our own limit, none is documented",
            done / minutes / (limits.batch * limits.per_minute),
            "of it",
        ),
    ]


def _busiest(name: str, case: Case, wrote: Sequence[Arrived]) -> list[Row]:
    if not case.per_minute:
        return []
    busiest = max(sum(one.at <= other.at < one.at + 60 for other in wrote) for one in wrote)
    return [Row(f"{name}: busiest minute", busiest, "calls", at_most=case.per_minute)]


@contextmanager
def _before_vendor(case: Case) -> Iterator[tuple[Rig, Watched]]:
    """Yield a rig whose vendor runs and answers slowly, in fast time."""
    rig, clock = case.rig(), Fast(case.speed)
    rig.clock = clock
    watched: list[Watched] = []

    def vendors(sandbox: Sandbox) -> list[Watched]:
        watched.extend(Watched(vendor, clock) for vendor in rig.vendors(sandbox))
        return watched

    usual = Fault(kind="latency", seconds=ANSWER)
    slow = Fault(kind="latency", seconds=SLOW_ANSWER, probability=SLOW_SHARE)
    with ExitStack() as stack:
        sandbox = Sandbox(
            vendors=vendors, faults=Faults([usual, slow]), clock=clock, sleep=clock.sleep
        )
        rig.sandbox = stack.enter_context(sandbox)
        rig.transport = Transport(token=rig.token, clock=clock, sleep=clock.sleep, random=Random(1))
        stack.callback(rig.transport.close)
        yield rig, watched[0]


def main(names: Sequence[str]) -> int:
    """Measure the destinations that are named, or all; return 1 when a target is missed."""
    if unknown := [name for name in names if name not in CASES]:
        sys.exit(f"{unknown[0]} is none of: {'; '.join(CASES)}")
    met = True
    for name in names or CASES:
        slow = f"answers after {ANSWER:g} s, some after {SLOW_ANSWER:g} s"
        title = f"{name}: {slow}; time {CASES[name].speed:g} times as fast"
        met = show(title, rates(name)) and met
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
