"""What a look-up costs: time against the limit of latency, requests, and what a second one saves.

Everything is asked of the sandbox's Graph over real HTTP, with tokens from its identity endpoint by
azure-identity. The limit of N requests is N / concurrency x latency. Run:
`python -m tests.bench.lookup`.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from mdti.app import App
from mdti.client import MdtiClient
from mdti.graph_api import GraphApi
from mdti.models import Host, Lookup, Reputation
from mdti.sandbox import triggers
from tests.bench.report import Row, show
from tests.bench.sandbox import ROOT, Place, story

HOSTS = 1_000
CONCURRENCY = 32
LATENCY = 0.05
ROUNDS = 3
SHARED = "203.0.113.50"
SHARED_NAMES = 41
"""A server of the story, and how many names it has."""

TIMES = 5
SEEDS = (
    "telemetry-cache.example",
    "198.51.100.23",
    "vault-key.example",
    "lighthouse-broker.example",
)


def run() -> list[Row]:
    """Measure everything against one sandbox, in turns where two ways are compared."""
    with story(LATENCY) as place, TemporaryDirectory() as folder:
        return [
            *_reputations(place),
            *_again(place, Path(folder) / "again"),
            *_duplicates(place, Path(folder) / "duplicates"),
            *_story(place, Path(folder)),
        ]


def _app(place: Place, state: Path, **settings: str) -> App:
    return App({**place.environment, "MDTI_STATE_DIR": str(state), **settings})


def _one(app: App, ioc: str, **options: int) -> Lookup:
    (lookup,) = app.look_up(app.parse_lookup({"ioc": ioc, **options}))
    return lookup


def _reputations(place: Place) -> list[Row]:
    limit = HOSTS / CONCURRENCY * LATENCY
    rounds = [(_ask(place, "off"), _ask(place, "on")) for _ in range(ROUNDS)]
    single, batched = (median(seconds) / limit for seconds in zip(*rounds, strict=True))
    return [
        Row(f"{HOSTS:,} reputations at 50 ms, 32 in flight", single, "x limit", at_most=1.2),
        Row("the same in batches of 20", batched, "x limit", at_most=0.3),
    ]


def _ask(place: Place, batch: str) -> float:
    app = _app(place, Path(), LOOKUP_CONCURRENCY=str(CONCURRENCY), GRAPH_BATCH=batch)
    client = MdtiClient(GraphApi(app.transport, settings=app.settings.graph), parser=app.parser)
    hosts = [Host("name", f"host-{number}.example") for number in range(HOSTS)]
    app.identity.token(app.settings.graph.audience)
    start = time.perf_counter()
    answers = client.reputations(hosts, deadline=app.deadline(60))
    seconds = time.perf_counter() - start
    app.close()
    lost = sum(not isinstance(answer, Reputation) for answer in answers.values())
    if lost:
        raise SystemExit(f"{lost} of {HOSTS} reputations were lost")
    return seconds


def _again(place: Place, state: Path) -> list[Row]:
    """Compare a first look-up with a second one; in other processes, each measures itself."""
    ratios, requests = [], 0
    for ioc in SEEDS:
        app = _app(place, state / "one" / ioc)
        _one(app, "never-seen.example")
        first = _timed(app, ioc)
        place.forget()
        ratios.append(first / _timed(app, ioc))
        requests += len(place.paths())
        app.close()
    cold, warm, elsewhere = [], [], 0
    for ioc in SEEDS:
        cold.append(_in_another_process(state / "two" / ioc, ioc))
        place.forget()
        seconds = [_in_another_process(state / "two" / ioc, ioc) for _ in range(ROUNDS)]
        warm.append(median(seconds))
        elsewhere += len(place.paths())
    other = [one / two for one, two in zip(cold, warm, strict=True)]
    return [
        Row("second look-up, same process: requests", requests, "to Graph", at_most=0),
        Row("second look-up, same process: faster", min(ratios), "x", at_least=50),
        Row("second look-up, new process: requests", elsewhere, "to Graph", at_most=0),
        Row("second look-up, new process: faster", min(other), "x", at_least=50),
        Row("first look-up in a new process", median(cold) * 1_000, "ms"),
        Row("second look-up in a new process", median(warm) * 1_000, "ms"),
    ]


def _timed(app: App, ioc: str) -> float:
    start = time.perf_counter()
    lookup = _one(app, ioc)
    seconds = time.perf_counter() - start
    if not lookup.complete:
        raise SystemExit(f"the look-up of {ioc} was incomplete: {lookup.gaps}")
    return seconds


def _in_another_process(state: Path, ioc: str) -> float:
    command = [sys.executable, "-m", "tests.bench.lookup", str(state), ioc]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    seconds: float = json.loads(done.stdout)
    return seconds


def measure_here(state: str, ioc: str) -> float:
    """Look up once in this process and return the seconds it took, imports apart."""
    app = App({**os.environ, "MDTI_STATE_DIR": state})
    try:
        return _timed(app, ioc)
    finally:
        app.close()


def _duplicates(place: Place, state: Path) -> list[Row]:
    """Count the reputations asked for when each record of a server comes five times."""
    app = _app(place, state)
    app.refresh_index()
    place.fault({"kind": "duplicates", "times": TIMES, "route": "GET *passivedns*"})
    place.forget()
    _one(app, SHARED, depth=1)
    place.fault()
    app.close()
    asked = [path for path in place.paths() if path.endswith("/reputation") and SHARED not in path]
    records = SHARED_NAMES * TIMES
    return [
        Row("records that came five times, per reputation", records / len(asked), "x", at_least=5)
    ]


def _story(place: Place, folder: Path) -> list[Row]:
    rows = []
    for ioc in SEEDS:
        app = _app(place, folder / f"alone-{ioc}")
        app.refresh_index()
        start = time.perf_counter()
        lookup = _one(app, ioc)
        seconds = time.perf_counter() - start
        rows.append(Row(f"{ioc}: requests", lookup.stats.requests))
        rows.append(Row(f"{ioc}: time at 50 ms", seconds / LATENCY, "x latency"))
        app.close()
    app = _app(place, folder / "incident")
    app.refresh_index()
    place.forget()
    body = triggers.incident("invoice", _one(app, "never-seen.example").at)
    place.forget()
    start = time.perf_counter()
    app.brief(app.parse_incident(body))
    seconds = time.perf_counter() - start
    app.close()
    return [
        *rows,
        Row("the incident of the demo: requests", len(place.paths())),
        Row("the incident of the demo: time at 50 ms", seconds / LATENCY, "x latency"),
    ]


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(measure_here(*sys.argv[1:])))
    else:
        sys.exit(0 if show("look-up", run()) else 1)
