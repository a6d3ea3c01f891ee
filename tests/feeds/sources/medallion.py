"""Runs medallion, a TAXII 2.1 server that others wrote, as a process of its own."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

COLLECTION = "91a7b528-80eb-42ed-a74d-c6fbd5a26116"
MEDIA_TYPE = "application/taxii+json;version=2.1"
USER, PASSWORD = "reader", "a-password"
_COLLECTION = {
    "id": COLLECTION,
    "title": "Indicators",
    "can_read": True,
    "can_write": True,
    "media_types": ["application/stix+json;version=2.1"],
}
_DATA = {
    "/discovery": {"title": "A server", "default": "http://127.0.0.1/api1/", "api_roots": []},
    "api1": {
        "information": {
            "title": "A root",
            "versions": [MEDIA_TYPE],
            "max_content_length": 9_765_625,
        },
        "status": [],
        "collections": [_COLLECTION | {"objects": [], "manifest": []}],
    },
}
# Its own command takes a fixed port only, and does not say when it listens.
_SERVER = """
import json, pathlib, sys
from medallion import application_instance as app, register_blueprints, set_config
from werkzeug.serving import make_server
config = json.loads(pathlib.Path(sys.argv[1]).read_text())
for part in ("users", "taxii", "backend"):
    set_config(app, part, config)
register_blueprints(app)
server = make_server("127.0.0.1", 0, app, threaded=True)
print(server.port, flush=True)
server.serve_forever()
"""


@dataclass(frozen=True)
class Medallion:
    """A running server with one empty collection."""

    root: str

    @property
    def authorization(self) -> str:
        return f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"

    def publish(self, *objects: Mapping[str, Any]) -> None:
        answer = self.ask("POST", "objects/", body=json.dumps({"objects": objects}).encode())
        assert answer.status_code == 202, answer.text

    def ask(self, method: str, path: str, *, body: bytes | None = None) -> requests.Response:
        headers = {
            "Authorization": self.authorization,
            "Accept": MEDIA_TYPE,
            "Content-Type": MEDIA_TYPE,
        }
        with requests.Session() as session:
            session.trust_env = False
            url = f"{self.root}/collections/{COLLECTION}/{path}"
            return session.request(method, url, headers=headers, data=body, timeout=30)


@contextmanager
def medallion(folder: Path) -> Iterator[Medallion]:
    """Run the server on a free port until the context ends."""
    data = folder / "data.json"
    data.write_text(json.dumps(_DATA))
    config = folder / "config.json"
    config.write_text(
        json.dumps(
            {
                "backend": {
                    "module": "medallion.backends.memory_backend",
                    "module_class": "MemoryBackend",
                    "filename": str(data),
                },
                "users": {USER: PASSWORD},
                "taxii": {"max_page_size": 100},
            }
        )
    )
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _SERVER, str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        assert port.isdecimal(), "medallion did not start"
        yield Medallion(f"http://127.0.0.1:{port}/api1")
    finally:
        process.kill()
        process.communicate(timeout=10)
