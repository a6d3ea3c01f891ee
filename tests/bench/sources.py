"""What reading costs: requests and time of each feed source, and of a STIX pattern.

Every source reads the same number of domains from its vendor in the sandbox, which runs in this
process too and so shares its time. Run: `python -m tests.bench.sources`.
"""

import subprocess
import sys
import time
from collections.abc import Sequence

from mdti.feeds.patterns import by_grammar, observables
from tests.bench.report import Row, show
from tests.feeds.sources.conftest import RIGS
from tests.feeds.sources.rig import Rig

OBJECTS = 10_000
PAGE = 1_000
PATTERNS = 500


def main() -> int:
    """Measure, print, and return 1 when a target is missed."""
    met = show(f"a read of {OBJECTS:,} objects, {PAGE:,} a page", reads())
    return 0 if show("STIX patterns", patterns()) and met else 1


def reads() -> Sequence[Row]:
    """Return the requests and the objects a second of each source."""
    rows = []
    for kind in RIGS.values():
        with kind().running() as rig:
            name = rig.source().name
            requests, seconds = _read(rig)
        # One request for each page, and a few for where to begin and to end.
        most = OBJECTS / PAGE * 1.6 + 4
        rows.append(Row(f"{name}: requests", requests, at_most=most))
        rows.append(Row(f"{name}: objects a second", OBJECTS / seconds, "1/s"))
    return rows


def patterns() -> Sequence[Row]:
    """Return what the short way and the grammar take for a pattern, and the grammar's loading."""
    single = "[domain-name:value = 'host-1.example']"
    many = f"[{' OR '.join(f'url:value = {text!r}' for text in map(str, range(200)))}]"
    loading = _loading()
    by_grammar(single)
    short = _per_call(lambda: observables(single))
    grammar = _per_call(lambda: by_grammar(single))
    long = _per_call(lambda: observables(many), calls=5)
    return [
        Row("one comparison, the short way", short * 1e3, "ms"),
        Row("one comparison, the grammar", grammar * 1e3, "ms"),
        Row("the grammar, in times of the short way", grammar / short, at_least=10),
        Row("each of 200 comparisons, the grammar", long / 200 * 1e3, "ms"),
        Row("loading the grammar", loading * 1e3, "ms"),
    ]


def _read(rig: Rig) -> tuple[int, float]:
    for number in range(OBJECTS):
        rig.add(f"host-{number}.example")
        rig.clock.seconds += 0.01
    rig.clock.pass_(seconds=2)
    rig.sandbox.forget()
    begun = time.perf_counter()
    batches = rig.read(full=True, page=PAGE)
    seconds = time.perf_counter() - begun
    assert sum(len(batch.changes) for batch in batches) >= OBJECTS
    return len(rig.sandbox.requests), seconds


def _per_call(call: object, *, calls: int = PATTERNS) -> float:
    assert callable(call)
    begun = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - begun) / calls


def _loading() -> float:
    code = (
        "import time; begun = time.perf_counter(); import stix2patterns.v21.pattern; "
        "print(time.perf_counter() - begun)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
