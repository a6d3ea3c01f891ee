"""Starts Azurite, Microsoft's storage emulator, as a process of its own for the tests.

It is pinned in `package.json` beside this file and installed by `npm ci`. Instead of the emulator's
well-known development account (the one behind `UseDevelopmentStorage=true`) each run has an account
with a random key, so no key is written here and two runs cannot meet.
"""

import base64
import os
import queue
import re
import secrets
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ACCOUNT = "mdtitest"
_PROGRAM = Path(__file__).parent / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
_READY = re.compile(r"successfully listens on (https?://127\.0\.0\.1:\d+)")
_START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Azurite:
    """A running emulator: its address and the key of its one account."""

    address: str
    key: str

    @property
    def service_uri(self) -> str:
        return f"{self.address}/{ACCOUNT}"

    @property
    def connection_string(self) -> str:
        return self.connection_string_with(self.key)

    def connection_string_with(self, key: str) -> str:
        scheme = self.address.partition(":")[0]
        return (
            f"DefaultEndpointsProtocol={scheme};AccountName={ACCOUNT};AccountKey={key};"
            f"BlobEndpoint={self.service_uri};"
        )


def missing() -> str | None:
    """Say why Azurite cannot be started on this machine, or return None."""
    if shutil.which("node") is None:
        return "Azurite needs Node.js, which is not installed"
    if not _PROGRAM.exists():
        return "Azurite is not installed: run `npm ci --prefix tests/azurite`"
    return None


def new_key() -> str:
    return base64.b64encode(secrets.token_bytes(64)).decode()


@contextmanager
def running(folder: Path, *options: str) -> Iterator[Azurite]:
    """Run Azurite's blob service on a free port of the loopback until the block ends."""
    key = new_key()
    # The API version of the SDK is newer than any that this Azurite knows by name.
    command = ["node", str(_PROGRAM), "--blobPort", "0", "--silent", "--skipApiVersionCheck"]
    process = subprocess.Popen(
        [*command, "--inMemoryPersistence", "--disableTelemetry", *options],
        cwd=folder,
        env=os.environ | {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{key}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield Azurite(_address(process), key)
    finally:
        process.kill()
        process.communicate()


def _address(process: "subprocess.Popen[str]") -> str:
    found: queue.Queue[str] = queue.Queue()

    def read() -> None:
        said = []
        for line in process.stdout or ():
            said.append(line)
            if ready := _READY.search(line):
                found.put(ready[1])
                return
        found.put("".join(said))

    threading.Thread(target=read, daemon=True).start()
    address = found.get(timeout=_START_SECONDS)
    if not address.startswith("http"):
        raise RuntimeError(f"Azurite did not start: {address}")
    return address
