"""What finding the functions costs beside the libraries that it cannot do without."""

import subprocess
import sys
import time
from pathlib import Path

from tests.bench.report import Row, show

ROOT = Path(__file__).parents[2]
BARE = "import azure.functions, requests"
OURS = "import function_app; function_app.app.get_functions()"


def run(*, rounds: int = 15) -> list[Row]:
    """Start both in turn, so that a busy machine slows both; the fastest of each counts."""
    best = {code: float("inf") for code in (BARE, OURS)}
    for _ in range(rounds):
        for code in best:
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
            best[code] = min(best[code], time.perf_counter() - started)
    return [
        Row("python with azure.functions and requests", best[BARE], "s"),
        Row("python with function_app", best[OURS], "s"),
        Row("function_app over the libraries", best[OURS] / best[BARE], "x", at_most=1.25),
    ]


if __name__ == "__main__":
    sys.exit(0 if show("importing the function app", run()) else 1)
