"""Runs in a clean environment: looks an IOC up in the packaged app, on Microsoft's worker.

    python packaged.py APP WORKER REPOSITORY IOC

APP holds the unpacked zip, WORKER the worker library alone; what the app needs beside itself has to
come from this interpreter's own packages. Prints what the worker found and answered, as JSON.
"""

import importlib
import json
import sys
from pathlib import Path


def main() -> int:
    """Index the app, ask it once and say what came of it."""
    app, worker, repository = (Path(argument) for argument in sys.argv[1:4])
    sys.path[0] = str(app)
    sys.path += [str(worker), str(repository)]
    speaker = importlib.import_module("tests.door.worker")
    spoken = speaker.Worker(app)
    answer, _ = spoken.http("post_lookups", method="POST", body={"ioc": sys.argv[4]})
    loaded = {name: importlib.import_module(name).__file__ for name in ("mdti", "function_app")}
    result = {
        "functions": sorted(spoken.functions),
        "loaded": loaded,
        "status": answer.status_code,
        "body": json.loads(answer.body.bytes),
    }
    sys.stdout.write(f"\n{json.dumps(result)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
