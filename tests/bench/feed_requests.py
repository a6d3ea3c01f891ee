"""How many requests a feed makes, against those of the connector that it takes the place of.

Each preset runs as the app runs it, with its settings as they are, from a source's sandbox into a
destination's: everything is new, then all of it has changed, then nothing has. Time passes only
when somebody sleeps. What is counted are requests to the destination, reads among them.
Run: `python -m tests.bench.feed_requests [FEED ...]`.

What the connectors do (their documents; contract of the sources, 1.5, 2.2 and 8): the playbooks of
MDTI and ThreatConnect send one request for each indicator in a loop, OpenCTI's connector one for
each that is new and two for each that changed. ANY.RUN's function lists, deletes and imports
everything again at each run, 500 at a time, changed or not.
"""

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from tempfile import TemporaryDirectory

from mdti.app import App
from mdti.feeds.service import FeedRequest
from mdti.sandbox.host import Sandbox
from tests.bench.report import Row, show
from tests.bench.sandbox import pointed_at
from tests.feeds.destinations.rig import Rig as DestinationRig
from tests.feeds.destinations.rig_defender import DefenderRig
from tests.feeds.destinations.rig_sentinel import SentinelRig
from tests.feeds.destinations.rig_threatstream import SessionsRig
from tests.feeds.sources.rig import Rig as SourceRig
from tests.feeds.sources.rig_mdti import MdtiRig
from tests.feeds.sources.rig_opencti import OpenCtiRig
from tests.feeds.sources.rig_taxii import AnyRunRig
from tests.feeds.sources.rig_threatconnect import ThreatConnectRig

BETWEEN = 900.0
"""Seconds between two runs."""


class ScoredRig(MdtiRig):
    """MDTI, whose reputation of every domain lets it pass, and whose changes are to the tags.

    A confidence would not show: for ThreatStream Microsoft's score is in its place.
    """

    def add(self, domain: str, *, dated: datetime | None = None) -> None:
        super().add(domain, dated=dated)
        self.sandbox.world.reputation(domain, 90)

    def change(self, domain: str) -> None:
        self.vendor.put(("domain-name:value", domain), Tags="activitygroup:storm-9302")


def one_each(rows: int, phase: str) -> int:
    """Return the requests of a connector that sends one for each indicator, new or changed."""
    return 0 if phase == "unchanged" else rows


def found_first(rows: int, phase: str) -> int:
    """Return those of OpenCTI's, which looks for what it changes."""
    return {"new": rows, "changed": 2 * rows}.get(phase, 0)


def all_again(rows: int, phase: str) -> int:
    """Return those of ANY.RUN's function: a list, deletions, imports."""
    calls = math.ceil(rows / 500)
    return 1 + calls + (0 if phase == "new" else calls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """One feed with its vendors: `written` is the name of the one that it writes to.

    `theirs` are the requests of its connector, and `at_most` what ours may be of them. A feed that
    `asks` needs a reputation of each host once.
    """

    source: Callable[[], SourceRig]
    destination: Callable[[], DestinationRig]
    rows: int
    theirs: Callable[[int, str], int]
    at_most: Mapping[str, float]
    written: str
    asks: bool = False


PRESETS: Mapping[str, Preset] = {
    "mdti-to-anomali": Preset(
        source=ScoredRig,
        destination=SessionsRig,
        rows=2_000,
        theirs=one_each,
        at_most={"new": 0.2, "changed": 2.1},
        written="threatstream",
        asks=True,
    ),
    "threatconnect-to-sentinel": Preset(
        source=ThreatConnectRig,
        destination=SentinelRig,
        rows=10_000,
        theirs=one_each,
        at_most={"new": 0.01, "changed": 0.01},
        written="sentinelupload",
    ),
    "opencti-to-defender": Preset(
        source=OpenCtiRig,
        destination=DefenderRig,
        rows=10_000,
        theirs=found_first,
        at_most={"new": 0.01, "changed": 0.01},
        written="defender",
    ),
    "anyrun-to-defender": Preset(
        source=AnyRunRig,
        destination=DefenderRig,
        rows=10_000,
        theirs=all_again,
        at_most={"new": 1.2, "changed": 0.6},
        written="defender",
    ),
}


def requests(feed: str) -> list[Row]:
    """Run a feed three times and count."""
    preset = PRESETS[feed]
    rows: list[Row] = []
    lost = 0
    with _running(preset) as (app, source, written):
        for phase in ("new", "changed", "unchanged"):
            _publish(source, phase, preset.rows)
            source.sandbox.forget()
            report = app.run_feed(FeedRequest(feed=feed)).report
            lost += preset.rows - (report.unchanged if phase == "unchanged" else report.accepted)
            seen = source.sandbox.requests
            made = [one for one in seen if one.vendor == written]
            theirs = preset.theirs(preset.rows, phase)
            title = f"{feed}: {preset.rows:,} {phase}"
            if phase == "unchanged":
                writes = sum(one.method != "GET" for one in made)
                rows.append(Row(f"{title}, writes", writes, f"theirs: {theirs:,}", at_most=0))
            else:
                name = f"{title}, {len(made):,} requests"
                rows.append(
                    Row(name, len(made) / theirs, "of theirs", at_most=preset.at_most[phase])
                )
            if preset.asks:
                asked = sum(one.vendor == "graph" for one in seen) / preset.rows
                most = 1 if phase == "new" else 0
                rows.append(Row(f"{title}, reputations", asked, "for each", at_most=most))
    return [*rows, Row(f"{feed}: lost", lost, "rows", at_most=0)]


def _publish(source: SourceRig, phase: str, count: int) -> None:
    """Let so many domains be published or change, and some time pass."""
    for number in range(count):
        source.clock.seconds += 0.001
        if phase == "new":
            source.add(f"host-{number:05}.bench.example")
        elif phase == "changed":
            source.change(f"host-{number:05}.bench.example")
    source.clock.seconds += BETWEEN


@contextmanager
def _running(preset: Preset) -> Iterator[tuple[App, SourceRig, str]]:
    """Yield the app, what it reads from and the name of the vendor that it writes to."""
    source, destination = preset.source(), preset.destination()
    clock = destination.clock = source.clock
    clock.seconds = time.time()  # tokens are judged by the machine's time as well
    with ExitStack() as stack:
        sandbox = Sandbox(
            vendors=lambda sandbox: [*source.vendors(sandbox), *destination.vendors(sandbox)],
            clock=clock,
            sleep=clock.sleep,
        )
        source.sandbox = destination.sandbox = stack.enter_context(sandbox)
        state = stack.enter_context(TemporaryDirectory())
        environment = {**sandbox.environment(), "MDTI_STATE_DIR": state}
        stack.enter_context(pointed_at(environment))
        app = App(environment, now=source.now, clock=clock, sleep=clock.sleep)
        stack.callback(app.close)
        yield app, source, preset.written


def main(names: Sequence[str]) -> int:
    """Count for the feeds that are named, or all; return 1 when a target is missed."""
    met = True
    for name in names or PRESETS:
        met = show(name, requests(name)) and met
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
