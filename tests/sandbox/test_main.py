import json
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
import requests


@pytest.fixture
def started(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "mdti.sandbox", "--port", "0", *request.param]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("started", [["--json", "--rate", "5"]], indirect=True)
def test_it_runs_alone_prints_its_settings_and_ends_on_interrupt(
    started: subprocess.Popen[str],
) -> None:
    assert started.stdout is not None
    settings = json.loads(started.stdout.readline())
    root = settings["GRAPH_ENDPOINT"].removesuffix("/graph")
    with requests.Session() as session:
        faults = session.get(f"{root}/_sandbox/faults", timeout=10).json()
    started.send_signal(signal.SIGINT)

    assert faults["limit"]["rate"] == 5
    assert started.wait(timeout=20) == 0


@pytest.mark.parametrize("started", [["--latency", "0.001"]], indirect=True)
def test_it_tells_people_how_to_point_an_app_at_it(started: subprocess.Popen[str]) -> None:
    assert started.stdout is not None
    lines = [started.stdout.readline().strip() for _ in range(10)]
    exports = [line for line in lines if line.startswith("export ")]

    assert [line.partition("=")[0] for line in exports] == [
        "export AZURE_CLIENT_ID",
        "export GRAPH_ENDPOINT",
        "export IDENTITY_ENDPOINT",
        "export IDENTITY_HEADER",
    ]
    assert lines[0].startswith("The sandbox listens on http://127.0.0.1:")
