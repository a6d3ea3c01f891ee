"""`python -m mdti.sandbox`: serve the story until interrupted."""

import argparse
import json
import sys
import threading
from collections.abc import Sequence

from mdti.sandbox.faults import Fault, Faults, RateLimit
from mdti.sandbox.host import Sandbox

DEFAULT_PORT = 7070


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the sandbox until interrupted; print where it is and how to point an app at it."""
    parser = argparse.ArgumentParser(prog="mdti sandbox", description=main.__doc__)
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 takes any free port")
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--rate", type=float, metavar="PER_SECOND", help="answer 429 beyond it")
    parser.add_argument("--json", action="store_true", help="print the settings as one JSON line")
    options = parser.parse_args(arguments)
    latency = [Fault(kind="latency", seconds=options.latency)] if options.latency else []
    limit = RateLimit(rate=options.rate, burst=options.rate) if options.rate else None
    faults = Faults(latency, limit=limit)
    try:
        with Sandbox(port=options.port, faults=faults) as sandbox:
            sys.stdout.write(_settings(sandbox) if options.json else _instructions(sandbox))
            sys.stdout.flush()
            threading.Event().wait()
    except KeyboardInterrupt:
        return 0
    return 0


def _settings(sandbox: Sandbox) -> str:
    return json.dumps(sandbox.environment()) + "\n"


def _instructions(sandbox: Sandbox) -> str:
    exports = "\n".join(
        f"export {name}={value}" for name, value in sorted(sandbox.environment().items())
    )
    return (
        f"The sandbox listens on {sandbox.url} (Ctrl-C ends it).\n"
        "Point the app at it with these settings:\n\n"
        f"{exports}\n\n"
        "Then try: mdti lookup telemetry-cache.example\n"
        f"Make things fail: curl -X PUT {sandbox.url}/_sandbox/faults "
        """-d '{"faults":[{"kind":"throttle","count":5,"retryAfter":2}]}'\n"""
    )


if __name__ == "__main__":
    sys.exit(main())
