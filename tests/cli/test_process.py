"""The command line as a process: pipes, signals, exit codes, and what it loads."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import requests

from mdti.sandbox.faults import Fault, Faults
from mdti.sandbox.host import Sandbox

SEED = "telemetry-cache.example"
MODULE = [sys.executable, "-m", "mdti"]
HEAVY = {"requests", "azure", "publicsuffixlist", "mdti.app", "mdti.render", "mdti.sandbox"}


def run(*arguments: str, **more: object) -> subprocess.CompletedProcess[str]:
    given = {"capture_output": True, "text": True, "timeout": 60} | more
    return subprocess.run([*MODULE, *arguments], **given)  # type: ignore[call-overload,no-any-return]


def test_iocs_come_from_arguments_files_and_stdin_each_once(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    file = tmp_path / "iocs.txt"
    file.write_bytes(
        "\ufeff# seen today\n\nweather-today.example\n  hxxp://quillpost[.]example/x\n".encode()
    )
    arguments = ("weather-today.example", "-", "--file", str(file), "--format", "json")
    done = run("lookup", *arguments, input=f"{SEED}\n")
    assert [lookup["ioc"]["value"] for lookup in json.loads(done.stdout)["lookups"]] == [
        "weather-today.example",
        "quillpost.example",
        SEED,
    ]
    assert (done.returncode, done.stderr) == (0, "")


def test_an_incident_is_read_from_stdin(incident: Path) -> None:
    done = run("incident", "-", input=incident.read_text())
    assert done.stdout.startswith("Incident 4711: ")
    assert "\nESCALATE: severity High" in done.stdout
    assert done.returncode == 0


def test_a_reader_that_goes_away_is_not_an_error(sandbox: Sandbox) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = run("lookup", SEED, capture_output=False, stdout=write, stderr=subprocess.PIPE)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_interrupt_ends_with_130_and_without_a_word(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    arrived, release = threading.Event(), threading.Event()

    def hold(seconds: float) -> None:
        arrived.set()
        release.wait(60)

    with Sandbox(faults=Faults([Fault(kind="latency", seconds=60)]), sleep=hold) as sandbox:
        settings = {**os.environ, **sandbox.environment(), "MDTI_STATE_DIR": str(tmp_path)}
        command = [*MODULE, "lookup", SEED]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, env=settings, **streams) as process:  # type: ignore[call-overload]
            assert arrived.wait(60)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
        release.set()
    assert (process.returncode, out, err) == (130, b"", b"")


def test_serve_answers_over_http_until_interrupted(tmp_path: Path) -> None:
    command = [*MODULE, "serve", "--sandbox", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert found
            with requests.Session() as session:
                session.trust_env = False
                url = f"{found[0]}/api/v1/lookups"
                answer = session.get(url, params={"ioc": SEED}, timeout=60).json()
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()
    assert [actor["name"] for actor in answer["actors"]] == ["Paper Drizzle"]


def test_help_and_version_load_nothing_heavy() -> None:
    code = "import sys; from mdti.cli import main; main(['--version']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    version, _, modules = done.stdout.partition("\n")
    assert version.startswith("mdti ")
    assert not HEAVY & set(modules.split())
