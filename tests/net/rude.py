"""A real HTTP server on loopback that answers exactly the bytes a test tells it to."""

import json
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast


@dataclass(frozen=True)
class Seen:
    """A request as it arrived; header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Clock:
    """Time that only moves when told; `sleep` moves it and remembers."""

    now: float = 1_000.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@dataclass(frozen=True)
class Raw:
    """Bytes to send in pieces; the connection is closed after them when `close`."""

    pieces: Iterable[bytes]
    close: bool = False


Handler = Callable[[Seen], Raw]


def reply(
    document: object = None,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Raw:
    """A proper answer: JSON unless `body` is given."""
    content = json.dumps(document).encode() if body is None else body
    known = {"content-type": "application/json", "content-length": str(len(content))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in (known | dict(headers or {})).items())
    return Raw([f"HTTP/1.1 {status} Status\r\n{lines}\r\n".encode() + content])


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128
    handler: Handler
    seen: list[Seen]
    lock: threading.Lock


class _Connection(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server = cast("_Server", self.server)
        try:
            while (request := self._read()) is not None:
                with server.lock:
                    server.seen.append(request)
                raw = server.handler(request)
                for piece in raw.pieces:
                    self.wfile.write(piece)
                if raw.close:
                    return
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            return

    def _read(self) -> Seen | None:
        line = self.rfile.readline().decode()
        if not line:
            return None
        method, path, _ = line.split(" ", 2)
        headers: dict[str, str] = {}
        while text := self.rfile.readline().decode().strip():
            name, _, value = text.partition(":")
            headers[name.lower()] = value.strip()
        body = self.rfile.read(int(headers.get("content-length", "0")))
        return Seen(method, path, headers, body)


@dataclass(frozen=True)
class Rude:
    """A running server: its root URL, and the requests it saw."""

    root: str
    seen: list[Seen]


@contextmanager
def rude(handler: Handler, *, tls: Path | None = None) -> Iterator[Rude]:
    """Run a server that answers by `handler`; `tls` is the file of its certificate and key."""
    with _Server(("127.0.0.1", 0), _Connection) as server:
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        server.handler, server.seen, server.lock = handler, [], threading.Lock()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005})
        thread.start()
        try:
            scheme = "https" if tls else "http"
            yield Rude(f"{scheme}://127.0.0.1:{server.server_address[1]}", server.seen)
        finally:
            server.shutdown()
            thread.join()
