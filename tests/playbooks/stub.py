"""A server that answers from a script, for the tests of the runner itself."""

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, Mapping[str, str], Any]
"""Status, headers, and a body: JSON, text, or None for no body."""


class Stub:
    """Answers `METHOD /path` with the next of its answers; the last one repeats."""

    def __init__(self, script: Mapping[str, list[Answer]]) -> None:
        self.script = {route: list(answers) for route, answers in script.items()}
        self.received: list[tuple[str, Mapping[str, str], Any]] = []
        handler = type("Handler", (_Handler,), {"stub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, route: str) -> Answer:
        """Take the next answer to a route."""
        answers = self.script[route]
        return answers.pop(0) if len(answers) > 1 else answers[0]


class _Handler(BaseHTTPRequestHandler):
    stub: Stub

    def do_GET(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        route = f"{self.command} {self.path}"
        self.stub.received.append((route, dict(self.headers), json.loads(content or b"null")))
        status, headers, body = self.stub.answer(route)
        payload = b"" if body is None else json.dumps(body).encode()
        if isinstance(body, str):
            payload = body.encode()
        self.send_response_only(status)
        kind = "text/plain" if isinstance(body, str) else "application/json"
        for name, value in {"Content-Type": kind, **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def do_POST(self) -> None:
        self.do_GET()
