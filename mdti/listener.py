"""HTTP on the loopback address by the standard library: the socket below `mdti.serve`.

Whoever can make a browser on this machine open a page could make it call us. So a request must
name us as its host, and one that a page of another site sent is refused.
"""

import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from mdti.errors import SettingError
from mdti.setting import is_loopback_host

MAX_BODY = 100 * 1024 * 1024
"""Largest request in bytes, as in Azure Functions."""

_IDLE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it arrived: the target is still encoded, header names are lower-case."""

    method: str
    target: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """What is sent back."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Listener(ThreadingHTTPServer):
    """Hands every request to one function, a thread for each connection.

    Raises SettingError for an address that is not loopback.
    """

    daemon_threads = False
    block_on_close = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, answer: Callable[[Call], Reply]) -> None:
        if not is_loopback_host(host):
            raise SettingError(
                f"serve listens on this machine only, not on {host!a}.",
                hint="Function keys and Easy Auth are the platform's; here nobody checks them.",
            )
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.answer = answer
        self._connections: set[socket.socket] = set()
        self._changed = threading.Lock()
        super().__init__((host, port), _Connection)

    @property
    def hostname(self) -> str:
        """The address and port as a URL has them."""
        host, port = self.socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def start(self) -> None:
        """Serve from a thread of its own."""
        threading.Thread(target=self.serve_forever, args=(0.05,), name="listener").start()

    def stop(self) -> None:
        """Stop listening, let requests under way end, and close every connection."""
        self.shutdown()
        with self._changed:
            for connection in self._connections:
                _stop_reading(connection)
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection until it is closed."""
        with self._changed:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection and forget it."""
        with self._changed:
            self._connections.discard(request)
        super().shutdown_request(request)


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "mdti"
    sys_version = ""
    timeout = _IDLE_SECONDS
    disable_nagle_algorithm = True
    server: Listener

    def handle(self) -> None:
        """Answer requests until somebody hangs up."""
        try:
            super().handle()
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Write nothing: the functions write their own line."""

    def _serve(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdecimal()):
            self._send(Reply(411), keep=False)
        elif int(length) > MAX_BODY:
            self._send(Reply(413), keep=False)
        else:
            body = self.rfile.read(int(length))
            headers: dict[str, str] = {}
            for name, value in self.headers.items():
                known = headers.get(name.lower())
                headers[name.lower()] = value if known is None else f"{known},{value}"
            self._send(self._reply(Call(self.command, self.path, headers, body)), keep=True)

    def __getattr__(self, name: str) -> Any:
        """Serve every method alike: the platform, too, knows no function for an unknown one."""
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def _reply(self, call: Call) -> Reply:
        host = call.headers.get("host", "")
        if not is_loopback_host(urlsplit(f"//{host}").hostname or ""):
            return Reply(421)
        origin = call.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return Reply(403)
        return self.server.answer(call)

    def _send(self, reply: Reply, *, keep: bool) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        if not keep:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)


def _stop_reading(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RD)
    except OSError:
        return  # the caller was faster
