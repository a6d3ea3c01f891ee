"""Every benchmark, one after the other, each in a process of its own: `make bench`.

    python -m tests.bench [--predecessor PATH] [NAME ...]

Prints what each measured beside its target and ends with 1 when a target is missed. The numbers
are ratios taken in one run wherever possible, and the load of the machine is printed with them.
"""

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.bench.sandbox import ROOT

NAMES = (
    "imports",
    "lists",
    "transport",
    "throttle",
    "lookup",
    "sources",
    "feeds",
    "accuracy",
    "crashes",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks that are named, or all; return 1 when any of them missed a target."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--predecessor", type=Path, metavar="PATH", help="its function_app.py")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(NAMES))
    if unknown:
        parser.error(f"there is no benchmark called {unknown[0]}")
    runs = [[name] for name in NAMES if name in (options.names or NAMES)]
    if options.predecessor:
        runs.append(["predecessor", str(options.predecessor.resolve())])
    print(f"Python {platform.python_version()}, {os.cpu_count()} processors, {platform.system()}")
    missed = [name for name, *more in runs if not _met(name, more)]
    print(f"missed: {', '.join(missed)}" if missed else "every target is met")
    return 1 if missed else 0


def _met(name: str, arguments: Sequence[str]) -> bool:
    print(f"\nload {os.getloadavg()[0]:.2f}", flush=True)
    command = [sys.executable, "-m", f"tests.bench.{name}", *arguments]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
