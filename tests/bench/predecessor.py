"""The earlier Actor Lookup beside this one: time, requests, attributions found, days with faults.

Its `function_app.py` has no licence to be copied, so a path to a copy of the user's own is given:

    python -m tests.bench.predecessor PATH

It runs as it is, in a process of its own with a limit of time, against the same sandbox as ours and
with the same 100 requests in flight. Before it is loaded, `requests` is turned towards the
sandbox; afterwards its `URL`. It needs `aiohttp` and `nest_asyncio`, which this project does not.
Both sides do the same work here: passive DNS of one host, the reputation of every artifact, and the
names in the rule "Cyber Threat Intelligence"; the hubs and the walk of our look-up are left out.
"""

import argparse
import asyncio
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import requests

from mdti.app import App
from mdti.client import MdtiClient
from mdti.errors import MdtiError
from mdti.graph_api import GraphApi
from mdti.models import Reputation, Resolutions
from mdti.sandbox.world import ACTOR_RULE
from tests.bench.report import Row, show
from tests.bench.sandbox import EVERY, ROOT, SEED, Place, fan

LATENCY = 0.05
NAMES = 1_000
FEW = 200
CONCURRENCY = 100  # what aiohttp allows the predecessor unless it is told otherwise
TIMES = 5
ROUNDS = 3
PARITY = 1.1
"""Neither side can beat the latency by much, so a tenth is left to the noise of the machine."""

OUR_SECONDS = 90.0
"""The time that a look-up has unless it is told otherwise."""

LIMIT = 15.0
"""Seconds after which the predecessor's run is ended: on some days it never returns."""

_LOGIN, _GRAPH = "https://login.microsoftonline.com", "https://graph.microsoft.com"
_REPUTATION = "GET *reputation"
NOT_FOUND = "a host that Graph does not know (404)"
_FAULTS: Mapping[str, Sequence[dict[str, Any]]] = {
    "30 % of reputations refused (429)": (
        {"kind": "throttle", "route": _REPUTATION, "probability": 0.3, "retryAfter": 1},
    ),
    "one reputation answered by a web page": (
        {"kind": "html", "status": 500, "route": _REPUTATION, "count": 1},
    ),
    NOT_FOUND: ({"kind": "gone", "route": "GET *passivedns*"},),
    "no licence (500 generalException)": ({"kind": "noLicence", "route": "GET *passivedns*"},),
    "token expired (401)": ({"kind": "expiredToken", "route": "GET /graph/*", "count": 1},),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run: its seconds, its `actor, artifact` rows, what it failed with, and its requests."""

    seconds: float
    rows: tuple[str, ...]
    failure: str
    requests: int = 0

    @property
    def found(self) -> int:
        return len(set(self.rows))

    @property
    def repeated(self) -> int:
        return len(self.rows) - len(set(self.rows))


def run(path: Path) -> list[Row]:
    """Run the file at `path` beside ours on every case."""
    rows = _speed(path)
    with fan(LATENCY, FEW) as place:
        rows += _duplicates(path, place)
        for name, faults in _FAULTS.items():
            rows += _fault(path, place, name, faults)
    return rows


def _speed(path: Path) -> list[Row]:
    with fan(LATENCY, NAMES) as place:
        pairs = [(_play(place), _play(place, path)) for _ in range(ROUNDS)]
    ours, theirs = zip(*pairs, strict=True)
    ratio = median(o.seconds for o in ours) / median(t.seconds for t in theirs)
    planted = NAMES // EVERY
    name = f"{NAMES:,} artifacts at 50 ms"
    return [
        Row(f"{name}: our time", ratio, "x theirs", at_most=PARITY),
        Row(f"{name}: our time", median(o.seconds for o in ours), "s"),
        Row(f"{name}: their time", median(t.seconds for t in theirs), "s"),
        Row(f"{name}: our requests", ours[0].requests),
        Row(f"{name}: their requests", theirs[0].requests),
        Row(f"{name}: we lost", planted - ours[0].found, "attributions", at_most=0),
        Row(f"{name}: they lost", planted - theirs[0].found, "attributions"),
    ]


def _duplicates(path: Path, place: Place) -> list[Row]:
    place.fault({"kind": "duplicates", "times": TIMES, "route": "GET *passivedns*"})
    ours, theirs = _play(place), _play(place, path)
    name = f"each record {TIMES} times"
    return [
        # One page of passive DNS is the same for both and not what is compared.
        Row(
            f"{name}: their reputations",
            (theirs.requests - 1) / max(1, ours.requests - 1),
            "x ours",
            at_least=TIMES,
        ),
        Row(f"{name}: we repeat", ours.repeated, "rows", at_most=0),
        Row(f"{name}: they repeat", theirs.repeated, "rows"),
    ]


def _fault(path: Path, place: Place, name: str, faults: Sequence[dict[str, Any]]) -> list[Row]:
    """Compare what is lost without a word: attributions missing from an answer that seems whole."""
    place.fault(*faults)
    ours = _play(place)
    place.fault(*faults)
    theirs = _play(place, path)
    planted = 0 if name == NOT_FOUND else FEW // EVERY
    print(f"  {name}: ours: {_told(ours)}; theirs: {_told(theirs)}")
    silent = 0 if theirs.failure else planted - theirs.found
    return [
        Row(
            f"{name}: we lost in silence",
            0 if ours.failure else planted - ours.found,
            "attributions",
            at_most=0,
        ),
        Row(f"{name}: our time", ours.seconds, "s", at_most=OUR_SECONDS),
        Row(f"{name}: they lost in silence", silent, "attributions"),
        Row(f"{name}: their time", theirs.seconds, "s"),
    ]


def _told(outcome: Outcome) -> str:
    return outcome.failure or f"{outcome.found} attributions"


def _play(place: Place, path: Path | None = None) -> Outcome:
    """Run one side in a child process; `path` is the predecessor's file, None means ours."""
    place.forget()
    limit = LIMIT if path else OUR_SECONDS + LIMIT
    command = [sys.executable, "-m", "tests.bench.predecessor", "--child", place.root]
    command += [str(path.resolve())] if path else []
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return Outcome(limit, (), "it never returned", len(place.paths()))
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no word"]
        raise SystemExit(f"{path or 'our look-up'} could not be run: {last[0][:200]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    rows = tuple(map(str, answer["rows"]))
    return Outcome(answer["seconds"], rows, answer["failure"], len(place.paths()))


def _child(root: str, path: Path | None) -> None:
    lookup = _ours() if path is None else _theirs(root, path)
    start = time.perf_counter()
    failure = ""
    rows: list[str] = []
    try:
        rows = lookup()
    except MdtiError as error:
        failure = f"it said {error.code}: {error.message}"
    except Exception as error:
        failure = f"it raised {type(error).__name__}"
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "rows": rows, "failure": failure}), flush=True)


def _ours() -> Callable[[], list[str]]:
    app = App({**os.environ, "LOOKUP_CONCURRENCY": str(CONCURRENCY)})
    client = MdtiClient(GraphApi(app.transport, settings=app.settings.graph), parser=app.parser)
    app.identity.token(app.settings.graph.audience)
    deadline = app.deadline(OUR_SECONDS)
    (seed,) = app.parse_lookup({"ioc": SEED}).hosts

    def lookup() -> list[str]:
        found = client.passive_dns([seed], enough=lambda _, __: False, deadline=deadline)[seed]
        if not isinstance(found, Resolutions):
            raise found
        artifacts = list(dict.fromkeys(record.answer for record in found.records))
        answers = client.reputations(artifacts, deadline=deadline)
        rows = []
        for host, answer in answers.items():
            if not isinstance(answer, Reputation):
                raise answer
            rows += [f"{r.description}, {host.value}" for r in answer.rules if r.name == ACTOR_RULE]
        return rows

    return lookup


def _theirs(root: str, path: Path) -> Callable[[], list[str]]:
    """Load the predecessor's file, turned towards the sandbox."""

    def turned(send: Callable[..., Any]) -> Callable[..., Any]:
        def call(url: str, *args: Any, **options: Any) -> Any:
            here = url.replace(_LOGIN, f"{root}/identity").replace(_GRAPH, f"{root}/graph")
            return send(here, *args, **options)

        return call

    requests.get, requests.post = turned(requests.get), turned(requests.post)
    spec = importlib.util.spec_from_file_location("predecessor_function_app", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} is no Python file")
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.URL = module.URL.replace(_GRAPH, f"{root}/graph")
    return lambda: list(asyncio.run(module.main(SEED)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return 1 when a target is missed."""
    parser = argparse.ArgumentParser(description="Run the predecessor's file beside our look-up.")
    parser.add_argument("--child", metavar="URL", help=argparse.SUPPRESS)
    parser.add_argument("path", nargs="?", type=Path, help="a copy of its function_app.py")
    options = parser.parse_args(arguments)
    if options.child:
        _child(options.child, options.path)
        return 0
    if options.path is None:
        parser.error("the path of the predecessor's function_app.py is needed")
    return 0 if show("predecessor", run(options.path)) else 1


if __name__ == "__main__":
    sys.exit(main())
