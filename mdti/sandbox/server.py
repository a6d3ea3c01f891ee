"""Sockets and threads below the sandbox: HTTP/1.1 with keep-alive, a thread per connection.

The standard library's request handler parses headers as e-mail, which costs more than everything
else a small answer needs; benchmarks run against this server, so it reads them itself.
"""

import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

from mdti.sandbox.wire import Reply

MAX_BODY = 64 * 1024 * 1024
"""Largest request body in bytes; the largest documented calls stay far below."""

_MAX_LINE = 65_536
_MAX_HEADERS = 200
_STOP_SECONDS = 5.0
_PIECES = 20

Answer = Callable[[str, str, dict[str, str], bytes], Reply]
"""Method, target as sent, lower-case headers and body to a reply."""


class Server(ThreadingTCPServer):
    """Listens on the IPv4 loopback address and hands every request to one function.

    `failure` is the first error that the function raised; its caller saw a 500.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 512

    def __init__(self, port: int, answer: Answer, sleep: Callable[[float], object]) -> None:
        self.answer = answer
        self.sleep = sleep
        self.failure: Exception | None = None
        self._connections: set[Any] = set()
        self._changed = threading.Condition()
        super().__init__(("127.0.0.1", port), _Connection)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.socket.getsockname()[1])

    def start(self) -> None:
        """Serve from a thread of its own."""
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Stop listening, break open connections and wait until their threads let go of them."""
        self.shutdown()
        with self._changed:
            for connection in self._connections:
                _hang_up(connection)
            self._changed.wait_for(lambda: not self._connections, timeout=_STOP_SECONDS)
        self.server_close()

    def get_request(self) -> tuple[Any, Any]:
        """Accept a connection and remember it until it is closed."""
        connection, address = super().get_request()
        with self._changed:
            self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        """Close a connection and forget it."""
        super().shutdown_request(request)
        with self._changed:
            self._connections.discard(request)
            self._changed.notify_all()


class _Connection(StreamRequestHandler):
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Server

    def handle(self) -> None:
        """Answer one request after the other until somebody hangs up."""
        try:
            while self._serve_one():
                self.wfile.flush()
        except OSError:
            return  # the caller has gone; nobody reads on

    def finish(self) -> None:
        """Send what is left and close."""
        try:
            super().finish()
        except OSError:
            return

    def _serve_one(self) -> bool:
        """Answer one request; False when the connection is to be closed."""
        line = self.rfile.readline(_MAX_LINE)
        parts = line.decode("latin-1").split()
        if len(parts) != 3 or parts[2] != "HTTP/1.1":
            return False
        method, target, _ = parts
        headers = self._headers()
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not length.isdecimal() or int(length) > MAX_BODY:
            self._write_head(Reply(status=411), 0, keep=False)
            return False
        if headers.get("expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.wfile.flush()
        body = self.rfile.read(int(length))
        keep = headers.get("connection", "").lower() != "close"
        return self._write(self._answer(method, target, headers, body), method, keep=keep)

    def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        for _ in range(_MAX_HEADERS):
            line = self.rfile.readline(_MAX_LINE).strip()
            if not line:
                break
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        return headers

    def _answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Reply:
        try:
            return self.server.answer(method, target, headers, body)
        except Exception as error:
            self.server.failure = self.server.failure or error
            return Reply(status=500, body=b"the sandbox itself failed", content_type="text/plain")

    def _write(self, reply: Reply, method: str, *, keep: bool) -> bool:
        if reply.cut_at is not None and reply.cut_at < 0:
            return False
        keep = keep and reply.cut_at is None
        if reply.stream is not None:
            self._write_stream(reply, keep=keep)
            return keep
        self._write_head(reply, len(reply.body), keep=keep)
        body = b"" if method == "HEAD" else reply.body[: reply.cut_at]
        if not reply.trickle:
            self.wfile.write(body)
            return keep
        size = max(1, -(-len(body) // _PIECES))
        for start in range(0, len(body), size):
            self.wfile.flush()
            self.server.sleep(reply.trickle / _PIECES)
            self.wfile.write(body[start : start + size])
        return keep

    def _write_head(self, reply: Reply, length: int | None, *, keep: bool) -> None:
        lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
        if reply.body or reply.stream is not None:
            lines.append(f"Content-Type: {reply.content_type}")
        if length is None:
            lines.append("Transfer-Encoding: chunked")
        else:
            lines.append(f"Content-Length: {length}")
        lines.extend(f"{name}: {value}" for name, value in reply.headers)
        if not keep:
            lines.append("Connection: close")
        self.wfile.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    def _write_stream(self, reply: Reply, *, keep: bool) -> None:
        self._write_head(reply, None, keep=keep)
        self.wfile.flush()
        for piece in reply.stream or ():
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the caller was faster
